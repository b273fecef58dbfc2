// SPDX-License-Identifier: MIT

internal import AltNetBase

/// The header of a Yamux frame (libp2p specs, yamux/README.md, "Framing").
struct YamuxHeader: Hashable, Sendable {
    enum Kind: UInt8, Sendable {
        case data = 0
        case windowUpdate = 1
        case ping = 2
        case goAway = 3
    }

    struct Flags: OptionSet, Hashable, Sendable {
        let rawValue: UInt16

        static let syn = Flags(rawValue: 1)
        static let ack = Flags(rawValue: 2)
        static let fin = Flags(rawValue: 4)
        static let rst = Flags(rawValue: 8)
        static let all: Flags = [.syn, .ack, .fin, .rst]
    }

    /// Version, kind, flags, stream, length.
    static let size = 12
    static let version: UInt8 = 0

    let kind: Kind
    let flags: Flags
    /// 0 is the connection itself.
    let stream: UInt32
    /// Bytes that follow, a growth of the window, an opaque value, or a code; see ``Kind``.
    let length: UInt32

    init(_ kind: Kind, _ flags: Flags = [], stream: UInt32 = 0, length: UInt32 = 0) {
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.length = length
    }

    /// - Parameter bytes: ``size`` bytes.
    init(bytes: ArraySlice<UInt8>) throws(YamuxError) {
        var reader = ByteReader(bytes)
        guard let version = try? reader.bigEndian(UInt8.self), let kind = try? reader.bigEndian(UInt8.self),
            let flags = try? reader.bigEndian(UInt16.self), let stream = try? reader.bigEndian(UInt32.self),
            let length = try? reader.bigEndian(UInt32.self)
        else { preconditionFailure("the caller brings a whole header") }
        guard version == Self.version else { throw .unknownVersion(version) }
        guard let known = Kind(rawValue: kind) else { throw .unknownType(kind) }
        self.init(known, Flags(rawValue: flags), stream: stream, length: length)
        guard Flags.all.isSuperset(of: self.flags) else { throw .unknownFlags(flags) }
        let isOfConnection = self.kind == .ping || self.kind == .goAway
        guard isOfConnection == (stream == 0) else { throw .wrongStream(stream) }
    }

    func append(to output: inout [UInt8]) {
        output.appendBigEndian(Self.version)
        output.appendBigEndian(self.kind.rawValue)
        output.appendBigEndian(self.flags.rawValue)
        output.appendBigEndian(self.stream)
        output.appendBigEndian(self.length)
    }
}

/// How the other side breaks the rules of Yamux, or uses them up. The connection ends.
public enum YamuxError: Error, Hashable, Sendable, CustomStringConvertible {
    case unknownVersion(UInt8)
    case unknownType(UInt8)
    case unknownFlags(UInt16)
    /// Data or a window for the connection itself, or a ping or an end for one stream.
    case wrongStream(UInt32)
    /// A stream is opened with a number that belongs to our side.
    case wrongParity(UInt32)
    /// A stream is opened while one with its number is open.
    case streamInUse(UInt32)
    /// A frame for a stream that nobody has opened.
    case streamNeverOpened(UInt32)
    /// More data than the window of the stream allows.
    case windowExceeded(UInt32)
    /// The window that the other side grants is more than 32 bits can say.
    case windowOverflow(UInt32)
    /// Data or an end after the end of the stream.
    case dataAfterEnd(UInt32)
    /// More pings than ``YamuxLimits`` allows.
    case tooManyPings
    /// Streams are opened faster than ``YamuxLimits`` allows.
    case tooManyOpenings
    /// More frames that bring nothing than ``YamuxLimits`` allows.
    case tooManyEmptyFrames

    public var description: String {
        switch self {
        case .unknownVersion(let version): "a frame has the unknown version \(version)"
        case .unknownType(let type): "a frame has the unknown type \(type)"
        case .unknownFlags(let flags): "a frame has the unknown flags \(flags)"
        case .wrongStream(let stream): "a frame of this type cannot be for stream \(stream)"
        case .wrongParity(let stream): "the other side opened stream \(stream), a number of ours"
        case .streamInUse(let stream): "stream \(stream) was opened twice"
        case .streamNeverOpened(let stream): "a frame came for stream \(stream), which nobody has opened"
        case .windowExceeded(let stream): "stream \(stream) brings more than its window allows"
        case .windowOverflow(let stream): "the window of stream \(stream) grew beyond all bounds"
        case .dataAfterEnd(let stream): "stream \(stream) goes on after its end"
        case .tooManyPings: "the other side sends too many pings"
        case .tooManyOpenings: "the other side opens streams too fast"
        case .tooManyEmptyFrames: "the other side sends too many frames with nothing in them"
        }
    }
}

/// What one connection may hold and be asked for.
public struct YamuxLimits: Hashable, Sendable {
    /// Events at once, and a second.
    public struct Rate: Hashable, Sendable {
        public var burst: Int
        public var perSecond: Int

        public init(burst: Int, perSecond: Int) {
            self.burst = burst
            self.perSecond = perSecond
        }
    }

    /// What a sender may send before it hears of the reader (yamux/README.md, "Flow Control"), in bytes.
    public static let initialWindow = 256 * 1_024
    /// Data in one frame of ours, in bytes: a Noise message takes two, and no stream keeps the others waiting for long.
    public static let maximumFrame = 32 * 1_024

    /// Streams that the other side has open; more are refused. The backlog that the specification allows.
    public var inboundStreams = 256
    /// Streams that we have open; more are not opened.
    public var outboundStreams = 256
    /// Bytes of all streams that nobody has read; the stream that brings more is reset. Four full windows: a reader that
    /// keeps up needs a part of one.
    public var unreadBytes = 4 * Self.initialWindow
    /// Pings that we answer. Others measure with one in 30 seconds.
    public var pings = Rate(burst: 64, perSecond: 4)
    /// Streams that the other side opens. A DHT's look-up opens a few on each connection.
    public var openings = Rate(burst: 1_024, perSecond: 128)
    /// Frames without data, window, opening or end.
    public var emptyFrames = Rate(burst: 256, perSecond: 16)

    public init() {}
}
