// SPDX-License-Identifier: MIT

internal import AltNetBase

/// The steps of a coordination, each with a deadline.
public enum CoordinationStep: String, Hashable, Sendable, CaseIterable {
    /// Version messages and hellos of both sides.
    case handshake
    /// The responder asks its limits whether it may go on.
    case decision
    /// Our own address for the attempt is learnt.
    case mapping
    /// The other side's addresses, the clock, and the moment.
    case agreement
    /// The connection is opened and proved.
    case opening
    /// The other side's result.
    case result
    /// The answer to the wish for a relayed connection, or the wish itself.
    case relay
    /// All of it.
    case whole

    /// The step in a sentence.
    var text: String {
        switch self {
        case .handshake: "the handshake"
        case .decision: "our own limits"
        case .mapping: "our own address"
        case .agreement: "the other side's addresses and the moment"
        case .opening: "the connection"
        case .result: "the other side's result"
        case .relay: "the relayed connection"
        case .whole: "the whole coordination"
        }
    }
}

/// How the other side broke the protocol.
public enum CoordinationViolation: Error, Hashable, Sendable, CustomStringConvertible {
    /// Another network, or another protocol.
    case wrongMagic
    case messageTooLong(Int)
    case wrongChecksum
    case malformedVersion
    case malformed(PunchMessageError)
    /// More messages than ``Coordination/maximumIgnored`` that this endpoint has no use for.
    case tooManyIgnored
    /// More messages than ``Coordination/maximumMessages``.
    case tooManyMessages
    /// A message out of its turn.
    case unexpected(String)
    /// The initiator's moment lies further ahead than ``Coordination/maximumLead``.
    case momentTooFar
    /// An answer about the clock that cannot be.
    case impossibleClock
    /// What was connected to offers no coordination.
    case notAnEndpoint

    public var description: String {
        switch self {
        case .wrongMagic: "the other side speaks another network's protocol"
        case .messageTooLong(let length): "a message of \(length) bytes is too long for a coordination endpoint"
        case .wrongChecksum: "the checksum of a message is wrong"
        case .malformedVersion: "the version message is malformed"
        case .malformed(let error): error.description
        case .tooManyIgnored: "too many messages that have no place on a coordination endpoint"
        case .tooManyMessages: "too many messages"
        case .unexpected(let what): "\(what) came out of turn"
        case .momentTooFar: "the moment is too far ahead"
        case .impossibleClock: "an answer about the clock cannot be true"
        case .notAnEndpoint: "the other side does not say that it is a coordination endpoint"
        }
    }
}

/// Why a coordination ended without a connection.
public enum PunchFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The other side goes no further.
    case refusedByPeer(PunchRefusal)
    /// We go no further.
    case refused(PunchRefusal)
    /// Both mappings, of which at least one cannot be punched, and nothing else is possible.
    case impossible(own: NATMapping, peer: NATMapping)
    /// The two have no address family in common, or one side offers no path at all.
    case noCommonPath
    /// All attempts failed, the last one for this reason.
    case attemptsFailed(PunchReason)
    /// A step took too long.
    case timedOut(CoordinationStep)
    case violation(CoordinationViolation)
    /// The other side closed the coordination connection, or it broke.
    case closed

    public var description: String {
        switch self {
        case .refusedByPeer(let refusal): "the other side refused: \(refusal)"
        case .refused(let refusal): "refused: \(refusal)"
        case .impossible(let own, let peer):
            "hole punching cannot work between a NAT with \(own.name) mapping here and one with \(peer.name) mapping there"
        case .noCommonPath: "the two sides have no path in common"
        case .attemptsFailed(let reason): "all attempts failed, the last because \(reason)"
        case .timedOut(let step): "\(step.text) took too long"
        case .violation(let violation): violation.description
        case .closed: "the other side closed the coordination connection"
        }
    }
}

/// What came of a coordination, with what is worth counting and reporting.
public struct PunchOutcome: Hashable, Sendable {
    /// One attempt, as both sides saw it.
    public struct Attempt: Hashable, Sendable {
        public let number: UInt8
        public let path: PunchPath
        public let hasSucceeded: Bool
        /// Why it failed here; `nil` when it did not, or when the coordination ended in the middle of it.
        public let own: PunchReason?
        /// Why it failed over there; `nil` when it did not, or nothing was heard.
        public let peer: PunchReason?
    }

    /// The path on which a connection stands, or why there is none.
    public enum Ending: Hashable, Sendable {
        case connected(PunchPath, peer: ExternalEndpoint?)
        case failed(PunchFailure)
    }

    public let ending: Ending
    public let role: PunchRole
    public let attempts: [Attempt]
    public let ownMapping: NATMapping
    /// `nil` when the other side never said.
    public let peerMapping: NATMapping?
    /// From the beginning of the coordination connection to the end.
    public let duration: Duration
    /// The shortest round trip over the coordination connection; only the initiator measures.
    public let coordinationRoundTrip: Duration?
    /// From the agreed moment until the new connection stood.
    public let opening: Duration?
    /// The round trip of the new connection, where it was measured.
    public let roundTrip: Duration?

    /// How many of its round trips the new connection needed from the agreed moment on, rounded up.
    public var roundTrips: Int? {
        guard let opening = self.opening, let roundTrip = self.roundTrip, roundTrip > .zero else { return nil }
        return max(1, Int((opening / roundTrip).rounded(.up)))
    }
}
