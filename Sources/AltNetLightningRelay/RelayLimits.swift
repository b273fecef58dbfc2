// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetOnion
internal import Crypto

/// How much the relay does for others and for us. Numbers below 1 count as 1.
public struct RelayLimits: Hashable, Sendable {
    /// Forwards that are remembered for their replies: the draft's 1,000. One takes less than a kilobyte.
    public var forwards = 1000
    /// How long a forward is remembered: as long as the most patient origin waits.
    public var forwardLifetime = Duration.seconds(60)
    /// Messages of ours that may wait for their answers.
    public var originated = 256
    /// The longest time that a message of ours may wait for its answer: nobody on the way remembers it for longer.
    public var longestTimeout = Duration.seconds(60)
    /// Messages for us that may wait for our answers. Of more, a random one is forgotten of the neighbour that most of
    /// them came from.
    public var deliveries = 256
    /// Messages that a neighbour may send at once after a silence: a handful of far links' requests.
    public var burst = 32
    /// Messages that trickle back to a neighbour each second. The longest replies to so many are half a megabyte.
    public var perSecond = 8
    /// How many times the rate of one neighbour an attached node may deliver to us, for all of its neighbours together:
    /// as many as that busy ones at a time. It drops most floods itself.
    public static let attachedFactor = 8
    /// Neighbours whose rate is counted at the same time; messages of any more are refused.
    public var neighbours = 1024
    /// Onions that are recognised when they come again. A neighbour that keeps to ``perSecond`` needs more than eight
    /// minutes to push one out.
    public var rememberedOnions = 4096

    /// The documented limits.
    public static let standard = RelayLimits()

    /// The documented limits, to be changed one by one.
    public init() {}
}

/// How many messages an attached node may still deliver.
struct AttachedRate: Sendable {
    /// `nil` before the first message.
    private var bucket: TokenBucket?

    /// Takes a message into account; `false` when there were too many.
    mutating func take(_ limits: RelayLimits, now: MonotonicInstant) -> Bool {
        // Within these bounds nothing overflows, and a bucket counts no more than a billion anyway.
        let rates = [limits.burst, limits.perSecond].map {
            min(max($0, 1), 1_000_000_000) * RelayLimits.attachedFactor
        }
        var bucket = self.bucket ?? TokenBucket(burst: rates[0], perSecond: rates[1], now: now)
        defer { self.bucket = bucket }
        return bucket.take(now: now)
    }
}

/// How many messages each neighbour may still send.
struct NeighbourRates: Sendable {
    private let limits: RelayLimits
    private var buckets: [NodeID: TokenBucket] = [:]

    init(_ limits: RelayLimits) {
        self.limits = limits
    }

    /// The number of neighbours that are counted.
    var count: Int { self.buckets.count }

    /// Takes a message of a neighbour into account; `false` when it is over its rate, or when so many others are
    /// counted that it cannot be.
    ///
    /// A bucket outlives its connection, so that nobody gains by connecting again; it is forgotten once it is full.
    mutating func take(_ neighbour: NodeID, now: MonotonicInstant) -> Bool {
        if self.buckets[neighbour] == nil {
            if self.buckets.count >= max(1, self.limits.neighbours) {
                self.buckets = self.buckets.filter { !$0.value.isFull(now: now) }
            }
            guard self.buckets.count < max(1, self.limits.neighbours) else { return false }
            self.buckets[neighbour] = TokenBucket(
                burst: self.limits.burst, perSecond: self.limits.perSecond, now: now)
        }
        return self.buckets[neighbour]?.take(now: now) ?? false
    }
}

/// Recognises an onion that comes a second time by the secret that it shares with us: whoever recorded an onion could
/// otherwise send it again and watch where it goes.
///
/// Keeps hashes, so that what is remembered opens nothing.
struct SeenOnions: Sendable {
    private let limit: Int
    private var seen: Set<[UInt8]> = []
    /// The same in the order in which they came; a ring once it is full.
    private var order: [[UInt8]] = []
    private var oldest = 0

    init(limit: Int) {
        self.limit = max(1, limit)
    }

    var count: Int { self.seen.count }

    /// Notes an onion; `false` when it was noted before. The oldest is forgotten for it when there is no room.
    mutating func insert(_ secret: OnionSecret) -> Bool {
        let hash = Array(SHA256.hash(data: secret.bytes))
        guard self.seen.insert(hash).inserted else { return false }
        if self.order.count < self.limit {
            self.order.append(hash)
        } else {
            self.seen.remove(self.order[self.oldest])
            self.order[self.oldest] = hash
            self.oldest = (self.oldest + 1) % self.limit
        }
        return true
    }
}
