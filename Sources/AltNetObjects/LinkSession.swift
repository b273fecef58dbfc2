// SPDX-License-Identifier: MIT

public import AltNetBase

/// A protocol spoken on one connection, as a value without I/O: bytes, time and our own wishes go in, directives come
/// out.
///
/// One shell runs every session (`AltNetTransport`), and one driver core connects any session with the orchestrator, so
/// that a new medium made of byte streams is a new session and little else.
///
/// The caller MUST carry out the directives of one call in order and before the next call, and MUST NOT call again
/// after ``LinkDirective/disconnect(_:)``.
public protocol LinkSession: Sendable {
    /// Whether the session takes bytes now. While it does not, nothing more is read, so that the other side waits; at
    /// most what was read already still comes. Asked after every input.
    var takesBytes: Bool { get }
    /// The connection stands.
    mutating func onConnected(now: MonotonicInstant) -> [LinkDirective]
    /// The other side sent bytes, cut anywhere.
    mutating func onBytes(_ bytes: [UInt8], now: MonotonicInstant) -> [LinkDirective]
    /// The moment of the last ``LinkDirective/setTimer(_:)`` has come.
    mutating func onTimer(now: MonotonicInstant) -> [LinkDirective]
    /// We want something; it is answered with ``LinkDirective/answer(id:_:)`` and the same number, which the caller
    /// chooses and uses once. Only after ``LinkDirective/established(_:)``.
    mutating func onRequest(id: UInt64, _ request: ObjectRequest, now: MonotonicInstant) -> [LinkDirective]
    /// The answer to a ``LinkDirective/request(id:_:)``. An unknown number is ignored: the other side may be gone.
    mutating func onAnswer(id: UInt64, _ answer: ObjectAnswer, now: MonotonicInstant) -> [LinkDirective]
    /// We have something to tell. What the protocol cannot carry is dropped.
    mutating func onAnnouncement(_ announcement: ObjectAnnouncement, now: MonotonicInstant) -> [LinkDirective]
    /// Our side says something about a stream. A protocol without streams refuses to open one.
    mutating func onStream(_ id: StreamID, _ message: StreamMessage, now: MonotonicInstant) -> [LinkDirective]
    /// The driver has a message of the medium's own for the other side; see ``LinkDirective/message(_:)``. What the
    /// other side does not take (``LinkPeer/takesMessages``) is dropped.
    mutating func onMessage(_ message: [UInt8], now: MonotonicInstant) -> [LinkDirective]
}

extension LinkSession {
    /// A protocol whose messages are bounded has room for the next one.
    public var takesBytes: Bool { true }

    /// A protocol that carries objects and nothing else has no messages of its own.
    public mutating func onMessage(_ message: [UInt8], now: MonotonicInstant) -> [LinkDirective] { [] }

    /// What a protocol without streams answers.
    public mutating func onStream(
        _ id: StreamID, _ message: StreamMessage, now: MonotonicInstant
    ) -> [LinkDirective] {
        guard case .open = message else { return [] }
        return [.stream(id, .refused(.unsupported))]
    }
}

/// What a session asks its shell to do.
public enum LinkDirective: Hashable, Sendable {
    /// Send these bytes.
    case write([UInt8])
    /// Call `onTimer` at this moment; replaces any earlier moment.
    case setTimer(MonotonicInstant)
    /// The handshake is complete; comes once and before any request, answer or announcement.
    case established(LinkPeer)
    /// The other side asks.
    case request(id: UInt64, ObjectRequest)
    /// The other side answered, or never will.
    case answer(id: UInt64, ObjectAnswer)
    /// The other side tells.
    case announcement(ObjectAnnouncement)
    /// The other side says something about a stream.
    case stream(StreamID, StreamMessage)
    /// The other side sent a message that concerns the driver as a whole, not this link: one to be forwarded over
    /// another link, for instance. Its form is the medium's business.
    case message([UInt8])
    /// Close the connection after what was written before; always the last directive.
    case disconnect(DisconnectReason)
    /// Close the connection as if nothing had ever been behind it (TCP: with a reset); always the last directive.
    case abort(DisconnectReason)
}

/// What a handshake told about the other side. Nothing in it is checked, save `identity` where a protocol proves it.
public struct LinkPeer: Hashable, Sendable {
    /// A key that the handshake proved, in hexadecimal; empty where the protocol knows none.
    public var identity: String
    /// What the other side calls itself.
    public var agent: UntrustedText
    /// The height that the other side claims; `nil` where the protocol does not tell.
    public var claimedHeight: UInt32?
    /// The other side's clock when it introduced itself, in seconds since 1970; `nil` where the protocol does not tell.
    public var clock: Int64?
    /// What the other side says it serves.
    public var serves: Set<ObjectKind>
    /// Whether streams can be opened towards the other side. Its operator may still refuse each of them.
    public var takesStreams: Bool
    /// The types of the medium's own messages that the other side takes, as the medium numbers them.
    public var takesMessages: Set<UInt16>

    public init(
        identity: String, agent: UntrustedText, claimedHeight: UInt32?, clock: Int64? = nil,
        serves: Set<ObjectKind>, takesStreams: Bool = false, takesMessages: Set<UInt16> = []
    ) {
        self.identity = identity
        self.agent = agent
        self.claimedHeight = claimedHeight
        self.clock = clock
        self.serves = serves
        self.takesStreams = takesStreams
        self.takesMessages = takesMessages
    }
}

/// Why a connection ends.
public struct DisconnectReason: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of reason: what programs act on.
    public enum Code: String, Hashable, Sendable, Codable {
        /// We wanted it so.
        case requested
        /// The other side closed, or the network did.
        case closed
        /// No connection could be made.
        case unreachable
        /// The other side was silent for too long.
        case timedOut
        /// The other side broke the protocol.
        case protocolViolation
        /// The other side failed to prove its identity, or the encryption does not fit.
        case authenticationFailed
        /// The other side belongs to another network.
        case wrongNetwork
        /// The other side is ourselves.
        case selfConnection
        /// The other side asked or sent more than the limits allow.
        case limitExceeded
        /// The other side reported an error and expects the end.
        case remoteError
        /// The other side's headers break a consensus rule.
        case invalidHeaders
    }

    public let code: Code
    /// One sentence fragment for people: what was expected, what came. Holds no secret, and no text of the other side
    /// that has not passed through ``UntrustedText``.
    public let detail: String

    public init(_ code: Code, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    public var description: String { "\(self.code.rawValue): \(self.detail)" }
}
