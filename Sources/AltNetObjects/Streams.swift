// SPDX-License-Identifier: MIT

/// Bounds of the raw two-way byte streams that a link may carry beside objects. They are the same on every hop, so that
/// whoever passes a message on never has to cut it.
public enum StreamLimits {
    /// How many bytes may be on their way in one direction of a stream, from the socket at one end to the socket at the
    /// other: the credit that each side has at the beginning. At a round trip of 100 ms it carries 2.6 MB a second,
    /// which is a block in less than a second; and a reader that stops costs all hops together no more than this.
    public static let window = 256 * 1024
    /// The longest piece of a stream in one message, in bytes. An object waits behind at most one piece, and a Lightning
    /// message has room for it.
    public static let maximumPiece = 32 * 1024
    /// The most streams over one link that one side opened: as many as Bitcoin Core makes outbound connections.
    public static let maximumPerLink = 8
    /// A receiver grants credit when this many bytes have been taken, a quarter of the window: few messages, and the
    /// sender never stands still while bytes are taken.
    public static let grantStep = StreamLimits.window / 4
}

/// One of the two sides of a link.
public enum StreamSide: Hashable, Sendable {
    /// The orchestrator's side of the link, its driver included.
    case us
    /// The other side of the link.
    case remote

    public var other: StreamSide { self == .us ? .remote : .us }
}

/// A stream of a link. Each side counts the streams that it opens, so both can open one at the same moment.
public struct StreamID: Hashable, Sendable, CustomStringConvertible {
    public let opener: StreamSide
    /// Greater than that of every stream that the same side opened before over this link.
    public let index: UInt32

    public init(_ opener: StreamSide, _ index: UInt32) {
        self.opener = opener
        self.index = index
    }

    /// The greatest index: twice of it and one more still fit into the 32 bits of the wire.
    public static let maximumIndex = UInt32.max / 2 - 1

    /// The number on a wire that tells the sides apart by parity, as HTTP/2 does.
    public func number(even side: StreamSide) -> UInt32 { self.index * 2 + (self.opener == side ? 0 : 1) }

    /// The stream of a number on such a wire.
    public init(number: UInt32, even side: StreamSide) {
        self.init(number.isMultiple(of: 2) ? side : side.other, number / 2)
    }

    public var description: String { "\(self.index) of \(self.opener == .us ? "ours" : "the remote's")" }
}

/// What a stream is for. The opener names only this: where the stream comes out is the other operator's choice.
public struct StreamPurpose: Hashable, Sendable {
    public let number: UInt8

    public init(_ number: UInt8) {
        self.number = number
    }

    /// Bitcoin's P2P protocol, with the node that the other side's operator names.
    public static let bitcoinP2P = StreamPurpose(1)
}

/// Why a stream is not opened.
public enum StreamRefusal: UInt8, Hashable, Sendable, CaseIterable, Error, CustomStringConvertible {
    /// The other side's operator has not said where such streams come out.
    case notAccepted = 1
    /// The purpose is not known, or the link carries no streams.
    case unsupported = 2
    /// Too many streams; try again later.
    case busy = 3
    /// The node behind the other side cannot be reached, or the link is gone.
    case unavailable = 4

    public var description: String {
        switch self {
        case .notAccepted: "the other side accepts no streams"
        case .unsupported: "the other side does not know such streams"
        case .busy: "there are too many streams"
        case .unavailable: "the node behind the other side cannot be reached"
        }
    }
}

/// Why a stream is cut off before both of its directions have ended.
public enum StreamReset: UInt8, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    /// The connection at the sender's end broke.
    case closed = 1
    /// The sender's side stops, or no longer wants the stream.
    case cancelled = 2
    /// The stream stood half open, or unanswered, for too long.
    case timedOut = 3
    /// A message about the stream broke the rules.
    case violation = 4

    public var description: String {
        switch self {
        case .closed: "the connection at the other end broke"
        case .cancelled: "the other side no longer wants the stream"
        case .timedOut: "the stream stood still for too long"
        case .violation: "a message about the stream broke the rules"
        }
    }
}

/// What one side of a stream says to the other, whatever carries it.
public enum StreamMessage: Hashable, Sendable {
    /// The sender wants a stream. Nothing may follow before the answer, save a reset.
    case open(StreamPurpose)
    /// The answer to `open`: the stream stands, and both sides have a credit of ``StreamLimits/window`` bytes.
    case opened
    /// The answer to `open`: there is no stream.
    case refused(StreamRefusal)
    /// The next bytes; 1 to ``StreamLimits/maximumPiece``, and no more than the sender has credit for.
    case data([UInt8])
    /// The sender's end has taken so many bytes, and the other side may send as many more.
    case credit(UInt32)
    /// Nothing more comes in this direction.
    case end
    /// The stream is gone in both directions, whatever is on its way.
    case reset(StreamReset)
}
