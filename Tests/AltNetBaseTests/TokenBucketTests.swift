// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@Suite("TokenBucket")
struct TokenBucketTests {
    @Test("a full bucket gives its burst at once, and then as much as trickles back")
    func trickle() {
        var bucket = TokenBucket(burst: 3, perSecond: 2, now: .zero)
        #expect(bucket.isFull(now: .zero))
        for _ in 0..<3 {
            let taken = bucket.take(now: .zero)
            #expect(taken)
        }
        let early = bucket.take(now: .zero + .milliseconds(499))
        #expect(!early)
        #expect(bucket.delay(now: .zero + .milliseconds(499)) == .milliseconds(1))
        let inTime = bucket.take(now: .zero + .milliseconds(500))
        #expect(inTime)
        #expect(!bucket.isFull(now: .zero + .milliseconds(1999)))
        #expect(bucket.isFull(now: .zero + .seconds(2)))
        #expect(bucket.delay(now: .zero + .seconds(2)) == .zero)
    }

    @Test("it gives as many as a plain count of time allows, whatever the rate", arguments: 1...50)
    func model(_ seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        let (burst, perSecond) = (Int.random(in: 1...20, using: &random), Int.random(in: 1...30, using: &random))
        var bucket = TokenBucket(burst: burst, perSecond: perSecond, now: .zero)
        // Billionths, in wide numbers.
        var (level, now) = (Int64(burst) * 1_000_000_000, Int64(0))
        for _ in 0..<500 {
            let step = Int64.random(in: 0...200_000_000, using: &random)
            now += step
            level = min(Int64(burst) * 1_000_000_000, level + step * Int64(perSecond))
            let expected = level >= 1_000_000_000
            if expected { level -= 1_000_000_000 }
            let taken = bucket.take(now: MonotonicInstant(nanoseconds: now))
            #expect(taken == expected)
        }
    }

    @Test("extreme numbers and clocks do not overflow")
    func extremes() {
        for (burst, perSecond) in [(Int.max, Int.max), (0, 0), (-5, -5), (1, .max), (.max, 1)] {
            var bucket = TokenBucket(burst: burst, perSecond: perSecond, now: MonotonicInstant(nanoseconds: .min))
            let first = bucket.take(now: .zero)
            #expect(first)
            _ = bucket.take(now: MonotonicInstant(nanoseconds: .max))
            _ = bucket.take(now: MonotonicInstant(nanoseconds: .min))
            #expect(bucket.delay(now: .zero) >= .zero)
        }
    }
}
