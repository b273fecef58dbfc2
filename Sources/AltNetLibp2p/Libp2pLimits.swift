// SPDX-License-Identifier: MIT

/// What one connection may take and hold.
public struct Libp2pLimits: Hashable, Sendable {
    /// From the first byte to streams that can be opened: three round trips, with a slow onion service at the other end.
    public var handshakeTimeout: Duration = .seconds(30)
    /// From the opening of a stream to its agreed protocol. py-libp2p allows 30 seconds, go-libp2p 10.
    public var negotiationTimeout: Duration = .seconds(20)
    /// A connection on which nothing came for so long is asked for a sign of life, and given the same time for it.
    public var keepAlive: Duration = .seconds(30)
    /// A connection without streams for so long is closed; `nil` keeps it. Connections cost both sides memory, and a new
    /// one is quickly made.
    public var idleTimeout: Duration? = .seconds(300)
    /// How long streams under way may take to end when the other side has said that it goes.
    public var goAwayTimeout: Duration = .seconds(10)
    /// Streams, windows and floods.
    public var yamux = YamuxLimits()

    public init() {}
}

/// Why a connection has ended.
public enum Libp2pFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// Security or multiplexer could not be agreed on.
    case negotiation(MultistreamError)
    /// The other side is not who it should be, or the encrypted channel is broken.
    case noise(NoiseError)
    /// The other side broke the rules of streams.
    case yamux(YamuxError)
    /// The handshake took longer than ``Libp2pLimits/handshakeTimeout``.
    case handshakeTimeout
    /// No sign of life, see ``Libp2pLimits/keepAlive``.
    case silent
    /// No streams, see ``Libp2pLimits/idleTimeout``.
    case idle
    /// The other side said that it ends the connection, with a code; 0 is the normal end.
    case goneAway(code: UInt32)
    /// Our side ended it.
    case requested

    public var description: String {
        switch self {
        case .negotiation(let error): error.description
        case .noise(let error): error.description
        case .yamux(let error): error.description
        case .handshakeTimeout: "the handshake took too long"
        case .silent: "the other side gives no sign of life"
        case .idle: "nobody used the connection"
        case .goneAway(let code):
            code == 0 ? "the other side ended the connection" : "the other side ended the connection with code \(code)"
        case .requested: "the connection was closed on our side"
        }
    }
}

/// Why a stream was not opened.
public enum StreamRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// The connection is not ready for streams, or has ended.
    case notConnected
    /// Too many streams of ours are open, see ``YamuxLimits/outboundStreams``.
    case tooManyStreams
    /// No protocol was named, or one whose name is too long for a line of the negotiation.
    case badProtocol

    public var description: String {
        switch self {
        case .notConnected: "the connection takes no streams"
        case .tooManyStreams: "too many streams are open on this connection"
        case .badProtocol: "no protocol was named, or one with a name that is too long"
        }
    }
}
