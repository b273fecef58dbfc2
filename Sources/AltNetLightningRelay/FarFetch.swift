// SPDX-License-Identifier: MIT

internal import AltNetLightning
internal import AltNetObjects

/// One answer that is fetched in pieces.
struct FarFetch: Sendable {
    enum Outcome {
        case more
        case complete([UInt8])
        /// The answer is not what it was when the first piece came.
        case changed
        case violation(String)
    }

    /// A piece that ends before the asked range does has at least this many bytes, so that a far node cannot make us
    /// ask for every byte.
    static let minimumPart = 256

    let request: ObjectRequest
    private let room: Int
    /// The length of the whole; `nil` before the first piece.
    private var total: Int?
    /// What is to be asked for.
    private var missing: [Range<Int>]
    private var parts: [Int: [UInt8]] = [:]
    private(set) var heldBytes = 0

    init(_ request: ObjectRequest, room: Int) {
        self.request = request
        self.room = room
        self.missing = [0..<room]
    }

    /// The next piece to ask for; `nil` when all are on their way.
    mutating func next() -> Range<Int>? {
        guard let first = self.missing.first else { return nil }
        let piece = first.lowerBound..<min(first.upperBound, first.lowerBound + self.room)
        if piece.upperBound == first.upperBound {
            self.missing.removeFirst()
        } else {
            self.missing[0] = piece.upperBound..<first.upperBound
        }
        return piece
    }

    /// The answer to a piece.
    mutating func onPart(_ part: [UInt8], at offset: Int, of total: Int, _ range: Range<Int>) -> Outcome {
        guard total <= self.request.maximumLightningAnswer else {
            return .violation("an answer of \(total) bytes to a request for \(self.request.kind.rawValue)")
        }
        if let known = self.total, known != total { return .changed }
        guard offset == range.lowerBound, part.count <= range.count else {
            return .violation("a part of an answer is not the one that was asked for")
        }
        let end = min(range.upperBound, total)
        guard offset + part.count == end || part.count >= Self.minimumPart else {
            return .violation("a part of an answer has \(part.count) bytes only")
        }
        if self.total == nil, end < total { self.missing.append(end..<total) }
        self.total = total
        if offset + part.count < end { self.missing.append((offset + part.count)..<end) }
        self.parts[offset] = part
        self.heldBytes += part.count
        guard self.heldBytes == total else { return .more }
        return .complete(self.parts.sorted { $0.key < $1.key }.flatMap(\.value))
    }
}

/// The transactions that are handed over, one after the other.
struct FarTransactions: Sendable {
    private struct Transfer: Sendable {
        let id: [UInt8]
        let bytes: [UInt8]
        var offset = 0
        var isPartOpen = false
        var setbacks = 0
    }

    private var waiting: [Transfer] = []
    private(set) var heldBytes = 0

    /// Queues a transaction; one for which there is no room is left out, as is one that waits already.
    mutating func add(_ transaction: [UInt8], id: [UInt8]) {
        guard self.heldBytes + transaction.count <= FarLinkSession.maximumTransactionBytes,
            !self.waiting.contains(where: { $0.bytes == transaction })
        else { return }
        self.heldBytes += transaction.count
        self.waiting.append(Transfer(id: id, bytes: transaction))
    }

    /// The next part to send; `nil` while one is on its way.
    mutating func next(room: Int) -> (transfer: [UInt8], total: Int, offset: Int, bytes: [UInt8])? {
        guard let first = self.waiting.first, !first.isPartOpen, room > 0 else { return nil }
        self.waiting[0].isPartOpen = true
        let end = min(first.offset + room, first.bytes.count)
        return (first.id, first.bytes.count, first.offset, Array(first.bytes[first.offset..<end]))
    }

    /// The far node holds so many bytes, after a part that began at `offset`; `false` when the transfer makes no sense
    /// any more.
    mutating func onHeld(_ held: Int, after offset: Int, room: Int) -> Bool {
        guard let first = self.waiting.first, held < first.bytes.count else { return false }
        self.waiting[0].isPartOpen = false
        self.waiting[0].offset = held
        if held != offset + room {
            // The far node has forgotten what came before: once or twice that may happen.
            self.waiting[0].setbacks += 1
            return self.waiting[0].setbacks < FarLinkSession.attempts
        }
        return true
    }

    /// The first transaction is through, refused or lost.
    mutating func removeFirst() {
        guard let first = self.waiting.first else { return }
        self.heldBytes -= first.bytes.count
        self.waiting.removeFirst()
    }
}
