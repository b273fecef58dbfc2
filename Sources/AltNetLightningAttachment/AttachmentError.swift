// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetKeys

/// Why an attached Lightning node did not do what it was asked to.
public enum AttachmentError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The peer is not connected with the node.
    case notConnected(NodeID)
    /// The node could not connect to the peer. Its words are left out, as they have addresses in them.
    case peerUnreachable(NodeID)
    /// The node refused, with its own number for the reason.
    case refused(code: Int, UntrustedText)
    /// The node cannot be reached, or went away.
    case unreachable(String)
    /// The node did not answer in time.
    case timedOut(Duration)
    /// The node says something that its interface does not allow.
    case nonsense(String)
    /// This kind of node, or this version of it, cannot do that.
    case unsupported(String)
    /// The message is none that may be sent this way.
    case unsendable(String)
    /// Too many calls wait for the node already.
    case busy(limit: Int)

    /// One sentence for the operator.
    public var description: String {
        switch self {
        case .notConnected(let peer): "the Lightning node is not connected with \(peer)"
        case .peerUnreachable(let peer): "the Lightning node could not connect to \(peer)"
        case .refused(let code, let text): "the Lightning node refused (\(code)): \(text)"
        case .unreachable(let why): "the Lightning node cannot be reached: \(why)"
        case .timedOut(let time): "the Lightning node did not answer within \(time.inSeconds) seconds"
        case .nonsense(let what): "the Lightning node's answer makes no sense: \(what)"
        case .unsupported(let what): "the Lightning node cannot do that: \(what)"
        case .unsendable(let why): "this message cannot be sent: \(why)"
        case .busy(let limit): "\(limit) calls wait for the Lightning node already"
        }
    }
}
