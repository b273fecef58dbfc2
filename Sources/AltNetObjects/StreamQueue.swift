// SPDX-License-Identifier: MIT

/// What one stream waits to say, as little as says the same: bytes run together, credits are added up, and a reset
/// drops what it makes void. So a stream that waits holds its window and a few numbers, however small the pieces were.
public struct OutgoingStream: Sendable {
    /// `open` or its answer, which comes before all else.
    private var first: StreamMessage?
    private var credit: UInt32 = 0
    private var bytes: [UInt8] = []
    /// Everything before this index is gone.
    private var start = 0
    private var hasEnd = false
    private var reset: StreamReset?

    public init() {}

    /// The bytes that wait.
    public var waitingBytes: Int { self.bytes.count - self.start }
    /// Whether nothing waits.
    public var isEmpty: Bool {
        self.first == nil && self.credit == 0 && self.waitingBytes == 0 && !self.hasEnd && self.reset == nil
    }

    public mutating func add(_ message: StreamMessage) {
        switch message {
        case .open, .opened, .refused: self.first = message
        case .data(let bytes): self.add(bytes)
        case .credit(let bytes): self.credit += bytes
        case .end: self.hasEnd = true
        case .reset(let reason):
            (self.credit, self.bytes, self.start, self.hasEnd) = (0, [], 0, false)
            self.reset = reason
        }
    }

    private mutating func add(_ bytes: [UInt8]) {
        guard self.start < self.bytes.count else {
            (self.bytes, self.start) = (bytes, 0)
            return
        }
        if self.start >= StreamLimits.maximumPiece {
            self.bytes.removeSubrange(..<self.start)
            self.start = 0
        }
        self.bytes.append(contentsOf: bytes)
    }

    /// Takes the next message, with at most `credit` bytes; `nil` when there is nothing that may be said now.
    public mutating func next(credit: Int = .max) -> StreamMessage? {
        if let first = self.first {
            self.first = nil
            return first
        }
        if let reset = self.reset {
            self.reset = nil
            return .reset(reset)
        }
        if self.credit > 0 {
            defer { self.credit = 0 }
            return .credit(self.credit)
        }
        if self.waitingBytes > 0 {
            let count = min(self.waitingBytes, StreamLimits.maximumPiece, credit)
            guard count > 0 else { return nil }
            defer { self.start += count }
            if self.start == 0, count == self.bytes.count { return .data(self.bytes) }
            return .data(Array(self.bytes[self.start..<self.start + count]))
        }
        guard self.hasEnd else { return nil }
        self.hasEnd = false
        return .end
    }
}

/// What the streams of a link wait to say: each in turn says one thing, so that none starves another.
public struct StreamQueue: Sendable {
    private var waiting: [StreamID: OutgoingStream] = [:]
    /// The streams that wait, the next one first. As many as a ledger holds, so taking the first is cheap.
    private var order: [StreamID] = []

    public init() {}

    public var isEmpty: Bool { self.order.isEmpty }
    /// The streams that have something to say.
    public var count: Int { self.order.count }
    /// The bytes that wait, of all streams together.
    public var waitingBytes: Int { self.waiting.values.reduce(0) { $0 + $1.waitingBytes } }

    public mutating func add(_ message: StreamMessage, of id: StreamID) {
        if self.waiting[id] == nil { self.order.append(id) }
        self.waiting[id, default: OutgoingStream()].add(message)
    }

    /// Takes the next message.
    public mutating func next() -> (id: StreamID, message: StreamMessage)? {
        while !self.order.isEmpty {
            let id = self.order.removeFirst()
            guard let message = self.waiting[id]?.next() else {
                self.waiting[id] = nil
                continue
            }
            if self.waiting[id]?.isEmpty == false { self.order.append(id) } else { self.waiting[id] = nil }
            return (id, message)
        }
        return nil
    }
}
