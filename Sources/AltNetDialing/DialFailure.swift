// SPDX-License-Identifier: MIT

/// Why a request ended without a connection. The text is for the operator.
public enum DialFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// No address of the peer is known.
    case noAddress
    /// Addresses are known, and the policy allows none of them.
    case noneAllowed(known: Int)
    /// All that the policy allows have failed lately and are left alone for a while.
    case inBackOff(addresses: Int, wait: Duration)
    /// All that could be tried were tried in vain. `inBackOff`: those that were left alone.
    case unreachable(tried: Int, inBackOff: Int)
    /// ``Dialing/Settings/requestTimeout`` went by. `tried`: addresses that had failed by then.
    case timedOut(tried: Int)
    /// More requests wait than ``Dialing/maximumRequests``.
    case tooManyRequests
    /// More requests wait for this peer than ``Dialing/maximumRequestsPerPeer``.
    case tooManyRequestsForPeer

    public var description: String {
        switch self {
        case .noAddress: "no address of the peer is known"
        case .noneAllowed(let known):
            "the dial policy allows none of the \(Self.addresses(known)) of the peer that are known"
        case .inBackOff(let addresses, let wait):
            "the peer's \(Self.addresses(addresses)) failed lately; the next try is due in "
                + "\(max(1, Int(wait.components.seconds))) seconds"
        case .unreachable(let tried, 0): "none of the peer's \(Self.addresses(tried)) answered"
        case .unreachable(let tried, let inBackOff):
            "none of the peer's \(Self.addresses(tried)) answered, and \(inBackOff) more failed lately"
        case .timedOut(let tried):
            "no connection to the peer came about in time; \(Self.addresses(tried)) had failed by then"
        case .tooManyRequests: "too many connections are being opened; try again in a while"
        case .tooManyRequestsForPeer: "too many wait for a connection to this peer; try again in a while"
        }
    }

    private static func addresses(_ count: Int) -> String { count == 1 ? "1 address" : "\(count) addresses" }
}
