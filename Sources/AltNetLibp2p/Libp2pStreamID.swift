// SPDX-License-Identifier: MIT

/// One stream of one connection. Never used again, unlike the numbers on the wire.
public struct Libp2pStreamID: Hashable, Sendable, CustomStringConvertible {
    /// The number in Yamux's frames.
    let number: UInt32
    /// Counts the streams of the connection.
    let serial: UInt64

    public var description: String { "stream \(self.number)" }
}

/// Why a stream has ended before its time.
public enum StreamReset: Error, Hashable, Sendable, CustomStringConvertible {
    /// The other side reset it.
    case byRemote
    /// The readers of this connection leave too much unread, see ``YamuxLimits/unreadBytes``.
    case tooMuchUnread
    /// The connection has ended.
    case connectionClosed
    /// No protocol was agreed on in time.
    case negotiationTimeout
    /// The negotiation of its protocol failed.
    case negotiation(MultistreamError)
    /// The other side ended the stream before a protocol was agreed on.
    case endedInNegotiation
    /// We did.
    case byUs

    public var description: String {
        switch self {
        case .byRemote: "the other side reset the stream"
        case .tooMuchUnread: "too much of this connection waits to be read"
        case .connectionClosed: "the connection has ended"
        case .negotiationTimeout: "no protocol was agreed on in time"
        case .negotiation(let error): error.description
        case .endedInNegotiation: "the other side ended the stream before a protocol was agreed on"
        case .byUs: "the stream was reset on our side"
        }
    }
}
