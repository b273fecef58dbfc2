// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Counts outcomes by what matters for judging them. Everything it counts by has few values, so it cannot grow.
public struct PunchTally: Hashable, Sendable {
    /// What is told apart.
    public struct Key: Hashable, Sendable {
        public let role: PunchRole
        /// The path on which a connection stands; `nil` when there is none.
        public let path: PunchPath?
        /// A word for why there is none: see ``PunchTally/word(for:)``; empty when there is one.
        public let failure: String
        public let ownMapping: NATMapping
        public let peerMapping: NATMapping?
    }

    public private(set) var counts: [Key: Int] = [:]
    /// Punched connections by the number of attempts that they took.
    public private(set) var attemptsToSuccess: [Int: Int] = [:]

    public init() {}

    public mutating func count(_ outcome: PunchOutcome) {
        let path: PunchPath?
        let failure: String
        switch outcome.ending {
        case .connected(let found, _):
            (path, failure) = (found, "")
            if found != .relayed { self.attemptsToSuccess[outcome.attempts.count, default: 0] += 1 }
        case .failed(let why): (path, failure) = (nil, Self.word(for: why))
        }
        let key = Key(
            role: outcome.role, path: path, failure: failure, ownMapping: outcome.ownMapping,
            peerMapping: outcome.peerMapping)
        self.counts[key, default: 0] += 1
    }

    /// The word for an endpoint that does not have the address of its offer: whoever told the offer lied, and that need
    /// not be the endpoint.
    public static let notTheOffered = "not-the-offered"

    /// One word out of a fixed set, for metrics.
    public static func word(for failure: PunchFailure) -> String {
        switch failure {
        case .refusedByPeer: "refused-by-peer"
        case .refused: "refused"
        case .impossible: "impossible"
        case .noCommonPath: "no-common-path"
        case .attemptsFailed(.notTheOffered): Self.notTheOffered
        case .attemptsFailed: "attempts-failed"
        case .timedOut: "timed-out"
        case .violation: "protocol-violation"
        case .closed: "closed"
        }
    }
}
