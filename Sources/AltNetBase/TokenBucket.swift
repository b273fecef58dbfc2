// SPDX-License-Identifier: MIT

/// Lets a number of events pass at once, and after that as many as trickle back.
///
/// Counts in whole billionths of a token, so that the same calls at the same moments always decide alike.
public struct TokenBucket: Sendable {
    private static let perToken: Int64 = 1_000_000_000

    private let capacity: Int64
    private let perSecond: Int64
    /// Billionths of a token, so that a nanosecond at one token per second is a whole number.
    private var level: Int64
    private var filledAt: MonotonicInstant

    /// A full bucket. Both numbers count events; less than 1 counts as 1, and more than a billion as a billion.
    public init(burst: Int, perSecond: Int, now: MonotonicInstant) {
        let bounds = 1...Int(Self.perToken)
        self.capacity = Int64(min(max(burst, bounds.lowerBound), bounds.upperBound)) * Self.perToken
        self.perSecond = Int64(min(max(perSecond, bounds.lowerBound), bounds.upperBound))
        self.level = self.capacity
        self.filledAt = now
    }

    /// Takes one token; `false` when there is none.
    public mutating func take(now: MonotonicInstant) -> Bool {
        self.level = self.level(now: now)
        self.filledAt = now
        guard self.level >= Self.perToken else { return false }
        self.level -= Self.perToken
        return true
    }

    /// How long until a token can be taken; zero when one can be taken now.
    public func delay(now: MonotonicInstant) -> Duration {
        let missing = Self.perToken - self.level(now: now)
        guard missing > 0 else { return .zero }
        return .nanoseconds((missing + self.perSecond - 1) / self.perSecond)
    }

    /// Whether the bucket is as if nothing had ever been taken, so that it can be forgotten.
    public func isFull(now: MonotonicInstant) -> Bool { self.level(now: now) == self.capacity }

    private func level(now: MonotonicInstant) -> Int64 {
        let elapsed = max(0, (now - self.filledAt).wholeNanoseconds)
        // More than the capacity cannot be gained, so that no product overflows.
        let gained = min(elapsed, self.capacity / self.perSecond + 1) * self.perSecond
        return min(self.capacity, self.level + gained)
    }
}
