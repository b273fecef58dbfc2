// SPDX-License-Identifier: MIT

/// A message about a stream that breaks the rules: which, in words.
public struct StreamViolation: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// The streams of one link as any hop sees them: which are open, and what each side may still send.
///
/// Every hop that passes messages on keeps one and shows it each message of both sides in the order in which it passes
/// them on. Because credit is granted by the ends alone, a ledger needs no bytes and no clock.
///
///     (none) ──open──▶ asked ──opened──▶ open ──end of both sides──▶ (gone)
///                        └──refused──▶ (gone) ◀──reset── asked, open
public struct StreamLedger: Sendable {
    /// What becomes of a message.
    public enum Verdict: Hashable, Sendable {
        /// It keeps the rules: pass it on.
        case pass
        /// It is about a stream that is gone, as its sender could not know yet.
        case ignore
        /// It opens one stream too many: answer it so.
        case refuse(StreamRefusal)
    }

    private struct Stream {
        var isAnswered = false
        /// What each side may still send, in bytes.
        var credit = BothSides(StreamLimits.window)
        var hasEnded = BothSides(false)
    }

    /// At most ``StreamLimits/maximumPerLink`` of each side.
    private var streams: [StreamID: Stream] = [:]
    /// The least index that each side may open next.
    private var next = BothSides<UInt32>(0)

    public init() {}

    /// The streams that are open or asked for.
    public var open: [StreamID] { Array(self.streams.keys) }
    public var count: Int { self.streams.count }

    /// Whether a stream is open or asked for.
    public func contains(_ id: StreamID) -> Bool { self.streams[id] != nil }

    /// Judges a message. After an error the sender cannot be relied on: what it said before may be half a stream.
    ///
    /// - Parameter hasRoom: `false` refuses a stream that would be opened, for want of room elsewhere.
    public mutating func onMessage(
        _ message: StreamMessage, of id: StreamID, from side: StreamSide, hasRoom: Bool = true
    ) throws(StreamViolation) -> Verdict {
        if case .open = message { return try self.onOpen(id, from: side, hasRoom: hasRoom) }
        guard var stream = self.streams[id] else {
            guard id.index < self.next[id.opener] else {
                throw StreamViolation("a message about stream \(id), which was never opened")
            }
            return .ignore
        }
        switch message {
        case .open: break
        case .opened, .refused:
            guard side != id.opener, !stream.isAnswered else {
                throw StreamViolation("an answer about stream \(id), which asked for none")
            }
            if case .refused = message {
                self.streams[id] = nil
                return .pass
            }
            stream.isAnswered = true
        case .data(let bytes):
            try Self.requireSending(stream, id, side)
            guard (1...StreamLimits.maximumPiece).contains(bytes.count) else {
                throw StreamViolation("\(bytes.count) bytes at once for stream \(id)")
            }
            guard bytes.count <= stream.credit[side] else {
                throw StreamViolation(
                    "\(bytes.count) bytes for stream \(id) with a credit of \(stream.credit[side])")
            }
            stream.credit[side] -= bytes.count
        case .credit(let bytes):
            guard stream.isAnswered else { throw StreamViolation("credit for stream \(id) before its answer") }
            guard bytes > 0, Int(bytes) <= StreamLimits.window - stream.credit[side.other] else {
                throw StreamViolation("a credit of \(bytes) bytes for stream \(id), more than were sent")
            }
            stream.credit[side.other] += Int(bytes)
        case .end:
            try Self.requireSending(stream, id, side)
            stream.hasEnded[side] = true
            if stream.hasEnded[side.other] {
                self.streams[id] = nil
                return .pass
            }
        case .reset:
            self.streams[id] = nil
            return .pass
        }
        self.streams[id] = stream
        return .pass
    }

    private mutating func onOpen(
        _ id: StreamID, from side: StreamSide, hasRoom: Bool
    ) throws(StreamViolation) -> Verdict {
        guard side == id.opener else { throw StreamViolation("stream \(id) opened by the side that does not count it") }
        let next = self.next[side]
        guard id.index >= next else { throw StreamViolation("stream \(id) opened, and a later one before it") }
        guard id.index <= StreamID.maximumIndex else { throw StreamViolation("stream \(id), which is no number") }
        self.next[side] = id.index + 1
        guard hasRoom, self.streams.keys.count(where: { $0.opener == side }) < StreamLimits.maximumPerLink else {
            return .refuse(.busy)
        }
        self.streams[id] = Stream()
        return .pass
    }

    private static func requireSending(
        _ stream: Stream, _ id: StreamID, _ side: StreamSide
    ) throws(StreamViolation) {
        guard stream.isAnswered else { throw StreamViolation("bytes for stream \(id) before its answer") }
        guard !stream.hasEnded[side] else { throw StreamViolation("bytes for stream \(id) after its end") }
    }
}

/// A value for each side of a link.
struct BothSides<Value: Sendable>: Sendable {
    private var us: Value
    private var remote: Value

    init(_ value: Value) {
        (self.us, self.remote) = (value, value)
    }

    subscript(side: StreamSide) -> Value {
        get { side == .us ? self.us : self.remote }
        set {
            switch side {
            case .us: self.us = newValue
            case .remote: self.remote = newValue
            }
        }
    }
}
