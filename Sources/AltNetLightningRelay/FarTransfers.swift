// SPDX-License-Identifier: MIT

public import AltNetBase
internal import AltNetLightning
public import AltNetObjects

/// The transactions that strangers hand over in parts.
///
/// When there is no room, the transfer of which least has come makes place, the oldest of those: whoever only begins
/// transfers pushes out its own. What a first part announces takes no room; what has come does.
public struct FarTransfers: Sendable {
    enum Outcome: Hashable {
        /// So many bytes from the start are here.
        case held(Int)
        case complete([UInt8])
        /// The last part came again, because the answer to it was lost.
        case alreadyComplete
        case refused(ObjectRefusal)
    }

    private struct Transfer: Sendable {
        /// Its place in the order in which they were begun.
        let number: UInt64
        let total: Int
        var bytes: [UInt8]
        let begun: MonotonicInstant
        var deadline: MonotonicInstant
    }

    /// The most transactions that are incomplete at a time.
    public static let maximumTransfers = 16
    /// The most bytes of them together: five of the longest.
    public static let maximumBytes = 2_000_000
    /// How long the next part may take.
    public static let partTimeout = Duration.seconds(60)
    /// How long all parts may take, so that nobody keeps a place for ever.
    public static let transferTimeout = Duration.seconds(300)
    /// Complete transactions that are handed to the node at once after a silence, and that trickle back every second:
    /// as many as one Lightning neighbour may announce.
    public static let rate = (burst: 32, perSecond: 1)
    /// How many complete transfers are recognised when their last part comes again.
    static let maximumCompleted = 64

    private var transfers: [[UInt8]: Transfer] = [:]
    private var nextNumber: UInt64 = 0
    private var completed: [[UInt8]] = []
    private var bucket: TokenBucket?

    /// How many transfers were forgotten to make room for others.
    private(set) var replaced = 0

    var heldBytes: Int { self.transfers.values.reduce(0) { $0 + $1.bytes.count } }

    var count: Int { self.transfers.count }

    var deadline: MonotonicInstant? { self.transfers.values.map(\.deadline).min() }

    mutating func expire(now: MonotonicInstant) {
        self.transfers = self.transfers.filter { $0.value.deadline > now }
    }

    /// A part came. Parts are taken in order only; one that does not follow changes nothing, and the answer says where
    /// to go on.
    mutating func onPart(
        _ part: [UInt8], at offset: Int, of total: Int, transfer id: [UInt8], now: MonotonicInstant
    ) -> Outcome {
        guard !self.completed.contains(id) else { return .alreadyComplete }
        guard total >= BitcoinOverLightning.minimumTransaction else { return .refused(.invalid) }
        // Not the whole entry: a second reference to its bytes would make each part copy them.
        guard let (known, held, begun) = self.transfers[id].map({ ($0.total, $0.bytes.count, $0.begun) }) else {
            // The bytes before this part are not here, or not any more.
            guard offset == 0 else { return .held(0) }
            if part.count == total { return self.complete(part, id: id, now: now) }
            self.makeRoom(for: part.count, sparing: id)
            self.transfers[id] = Transfer(
                number: self.nextNumber, total: total, bytes: part, begun: now, deadline: now + Self.partTimeout)
            self.nextNumber += 1
            return .held(part.count)
        }
        guard known == total else { return .refused(.invalid) }
        guard offset == held else { return .held(held) }
        self.makeRoom(for: part.count, sparing: id)
        self.transfers[id]?.bytes += part
        self.transfers[id]?.deadline = min(now + Self.partTimeout, begun + Self.transferTimeout)
        guard held + part.count == total, let whole = self.transfers.removeValue(forKey: id) else {
            return .held(held + part.count)
        }
        return self.complete(whole.bytes, id: id, now: now)
    }

    /// Forgets transfers until a part of the one that is spared has room: alone it would have five times as much as
    /// it may need.
    private mutating func makeRoom(for bytes: Int, sparing id: [UInt8]) {
        let places = self.transfers[id] == nil ? Self.maximumTransfers - 1 : Self.maximumTransfers
        while self.transfers.count > places || self.heldBytes + bytes > Self.maximumBytes {
            let least = self.transfers.filter { $0.key != id }.min {
                ($0.value.bytes.count, $0.value.number) < ($1.value.bytes.count, $1.value.number)
            }
            guard let least else { return }
            self.transfers[least.key] = nil
            self.replaced += 1
        }
    }

    private mutating func complete(_ transaction: [UInt8], id: [UInt8], now: MonotonicInstant) -> Outcome {
        var bucket =
            self.bucket ?? TokenBucket(burst: Self.rate.burst, perSecond: Self.rate.perSecond, now: now)
        defer { self.bucket = bucket }
        guard bucket.take(now: now) else { return .refused(.busy) }
        self.completed.append(id)
        if self.completed.count > Self.maximumCompleted { self.completed.removeFirst() }
        return .complete(transaction)
    }
}
