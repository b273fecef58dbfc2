// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
public import AltNetHeaderChain
internal import AltNetObjects
internal import Crypto

/// Decides whether a long chain has enough work to be worth memory, while keeping next to nothing of it.
///
///     committing ──enough work──▶ redownloading ──everything released──▶ finished
///         │                             │
///         └── chain ends too early      └── a header differs from the first pass
///
/// Bitcoin has no way to ask for the work of a chain: one has to look at all of its headers. So the headers are
/// downloaded twice. The first time they are judged by every rule and forgotten, save one secret bit for every
/// ``commitmentPeriod``th of them. When their work reaches the threshold they are fetched again, checked against the
/// bits, and handed on only when ``redownloadBuffer`` later headers have been checked as well. A peer that shows the
/// honest chain first and a cheap one afterwards has to guess some 25 coin flips in a row to make us keep one header.
///
/// The method is Bitcoin Core's (`HeadersSyncState`); unlike there, the first pass applies the whole difficulty rule
/// and not only the factor of four, because a ``HeaderCursor`` needs no ancestors for it.
public struct HeaderPresync: Sendable {
    /// One commitment for this many headers. Fewer would need more of ``redownloadBuffer`` for the same certainty,
    /// more would make the bits count: 900,000 headers leave 1,500 bits.
    public static let commitmentPeriod: UInt32 = 600
    /// How many checked headers must follow one that is handed on: 25 commitments, at 80 bytes each 1.2 MB.
    public static let redownloadBuffer = 15_000
    /// The median time past lets at most six headers carry the same second, so no valid chain has more of them than
    /// six times the seconds it spans.
    static let maximumHeadersPerSecond: Int64 = 6

    /// What to do after a batch of headers.
    public enum BatchDirective: Hashable, Sendable {
        /// Ask for more with ``HeaderPresync/locator``.
        case request
        /// These headers (80 bytes each, the first one building on the hash) belong to a chain with enough work.
        case release(parent: BlockHash, headers: [UInt8])
        /// Everything was released; go on as with any other chain after the last header.
        case finished
        /// The peer is refused, and nothing of its chain is kept.
        case refuse(Refusal)
    }

    /// Why a peer is refused.
    public enum Refusal: Hashable, Sendable {
        case invalid(HeaderRejection)
        /// More headers than any valid chain can have by now.
        case tooMany(limit: UInt32)
        /// The second download differs from the first.
        case commitmentMismatch(height: UInt32)
    }

    private enum Phase {
        case committing
        case redownloading
        case finished
    }

    private let anchor: HeaderCursor
    private let minimumWork: Work
    private let key: [UInt8]
    private let offset: UInt32
    private let maximumHeaders: UInt32
    private var phase: Phase = .committing
    private var cursor: HeaderCursor
    private var commitments = BitQueue()
    private var buffer: [UInt8] = []
    private var bufferParent: BlockHash

    /// - Parameters:
    ///   - anchor: a cursor on the header that the peer's chain builds on.
    ///   - minimumWork: the total work that makes a chain worth keeping.
    ///   - key: 16 secret random bytes.
    ///   - now: our clock.
    public init(anchor: HeaderCursor, minimumWork: Work, key: [UInt8], now: WallClockTime) {
        self.anchor = anchor
        self.minimumWork = minimumWork
        self.key = key
        self.offset = key.reduce(0) { ($0 &* 31 &+ UInt32($1)) } % Self.commitmentPeriod
        self.cursor = anchor
        self.bufferParent = anchor.hash
        let span = max(0, now.seconds - Int64(anchor.medianTimePast)) + HeaderCursor.maximumFutureSeconds
        // Heights stay far away from the end of their 32 bits, even after a trusted start whose past is not known.
        self.maximumHeaders = UInt32(clamping: min(span * Self.maximumHeadersPerSecond, Int64(Int32.max)))
    }

    /// The most bytes that one peer can make us hold: a bit for every ``commitmentPeriod``th possible header, the
    /// buffer, and one batch on top.
    public var maximumBytes: Int {
        Int(self.maximumHeaders / Self.commitmentPeriod) / 8 + 8
            + (Self.redownloadBuffer + Int(ObjectRequest.maximumHeaders)) * BlockHeader.size
    }

    /// The bytes that are held now.
    public var heldBytes: Int { self.commitments.bytes + self.buffer.count }

    /// Where the next batch begins: the last header of the current pass, and what the chain builds on.
    public var locator: [BlockHash] {
        self.cursor.hash == self.anchor.hash ? [self.anchor.hash] : [self.cursor.hash, self.anchor.hash]
    }

    /// The height that the current pass has reached.
    public var height: UInt32 { self.cursor.height }

    /// The last header of the current pass.
    var hash: BlockHash { self.cursor.hash }

    /// The height of what the chain builds on.
    var anchorHeight: UInt32 { self.anchor.height }

    /// Whether the peer has shown enough work and is asked for its headers a second time.
    public var isRedownloading: Bool {
        switch self.phase {
        case .committing, .finished: false
        case .redownloading: true
        }
    }

    /// Takes the next batch, in answer to the last ``BatchDirective/request``; the first batch follows the
    /// anchor. MUST NOT be called after ``BatchDirective/finished`` or ``BatchDirective/refuse(_:)``.
    public mutating func onHeaders(_ headers: [UInt8], now: WallClockTime) -> [BatchDirective] {
        switch self.phase {
        case .committing: self.commit(headers, now: now)
        case .redownloading: self.redownload(headers, now: now)
        case .finished: []
        }
    }

    private mutating func commit(_ headers: [UInt8], now: WallClockTime) -> [BatchDirective] {
        let first = self.cursor.height + 1
        let (hashes, refusal) = self.step(headers, now: now)
        if let refusal { return [refusal] }
        for (position, hash) in hashes.enumerated() where self.isCommitted(first + UInt32(position)) {
            self.commitments.append(self.commitment(to: hash))
        }
        guard self.cursor.height - self.anchor.height <= self.maximumHeaders else {
            return self.refuse(.tooMany(limit: self.maximumHeaders))
        }
        guard self.cursor.work >= self.minimumWork else { return [.request] }
        self.cursor = self.anchor
        self.phase = .redownloading
        return [.request]
    }

    private mutating func redownload(_ headers: [UInt8], now: WallClockTime) -> [BatchDirective] {
        let first = self.cursor.height + 1
        let (hashes, refusal) = self.step(headers, now: now)
        if let refusal { return [refusal] }
        for (position, hash) in hashes.enumerated() where self.isCommitted(first + UInt32(position)) {
            // Without a commitment it is a longer chain than in the first pass that has no more work.
            guard self.commitments.removeFirst() == self.commitment(to: hash) else {
                return self.refuse(.commitmentMismatch(height: first + UInt32(position)))
            }
        }
        self.buffer.append(contentsOf: headers)
        guard self.cursor.work < self.minimumWork else {
            self.phase = .finished
            return self.release(keeping: 0) + [.finished]
        }
        return self.release(keeping: Self.redownloadBuffer) + [.request]
    }

    /// Judges a batch.
    ///
    /// - Returns: the hashes of its first headers, up to where the work reaches the threshold: these are committed to.
    private mutating func step(
        _ headers: [UInt8], now: WallClockTime
    ) -> (hashes: [BlockHash], refusal: BatchDirective?) {
        var hashes: [BlockHash] = []
        hashes.reserveCapacity(headers.count / BlockHeader.size)
        let minimumWork = self.minimumWork
        let rejection = headers.withUnsafeBytes { bytes in
            self.cursor.advance(over: bytes, now: now) { if $0.work < minimumWork { hashes.append($0.hash) } }
        }
        return (hashes, rejection.flatMap { self.refuse(.invalid($0)).first })
    }

    private mutating func release(keeping count: Int) -> [BatchDirective] {
        let surplus = self.buffer.count - count * BlockHeader.size
        guard surplus > 0 else { return [] }
        let released = Array(self.buffer.prefix(surplus))
        let parent = self.bufferParent
        self.buffer.removeFirst(surplus)
        self.bufferParent = DoubleSHA256.hash(Array(released.suffix(BlockHeader.size)))
        return [.release(parent: parent, headers: released)]
    }

    private mutating func refuse(_ refusal: Refusal) -> [BatchDirective] {
        self.phase = .finished
        self.commitments = BitQueue()
        self.buffer = []
        return [.refuse(refusal)]
    }

    private func isCommitted(_ height: UInt32) -> Bool {
        height % Self.commitmentPeriod == self.offset
    }

    private func commitment(to hash: BlockHash) -> Bool {
        var hasher = SHA256()
        hasher.update(data: self.key)
        hasher.update(data: hash.bytes)
        return hasher.finalize().first { _ in true }.map { $0 & 1 == 1 } ?? false
    }
}

/// Bits, first in first out.
struct BitQueue: Sendable {
    private var words: [UInt64] = []
    private var first = 0
    private var count = 0

    var bytes: Int { self.words.count * 8 }

    mutating func append(_ bit: Bool) {
        if self.count.isMultiple(of: 64) { self.words.append(0) }
        if bit { self.words[self.count / 64] |= 1 << UInt64(self.count % 64) }
        self.count += 1
    }

    mutating func removeFirst() -> Bool? {
        guard self.first < self.count else { return nil }
        defer { self.first += 1 }
        return self.words[self.first / 64] >> UInt64(self.first % 64) & 1 == 1
    }
}
