// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Lets a number of events pass at once, and after that as many as trickle back.
struct TokenBucket: Sendable {
    private static let perToken: Int64 = 1_000_000_000

    private let capacity: Int64
    private let perSecond: Int64
    /// Billionths of a token, so that a nanosecond at one token per second is a whole number.
    private var level: Int64
    private var filledAt: MonotonicInstant

    /// A full bucket.
    init(burst: Int, perSecond: Int, now: MonotonicInstant) {
        self.capacity = Int64(burst) * Self.perToken
        self.perSecond = Int64(perSecond)
        self.level = self.capacity
        self.filledAt = now
    }

    /// Takes one token; `false` when there is none.
    mutating func take(now: MonotonicInstant) -> Bool {
        let elapsed = max(0, (now - self.filledAt).wholeNanoseconds)
        // More than the capacity cannot be gained, so that no product overflows.
        let gained = min(elapsed, self.capacity / self.perSecond) * self.perSecond
        self.level = min(self.capacity, self.level + gained)
        self.filledAt = now
        guard self.level >= Self.perToken else { return false }
        self.level -= Self.perToken
        return true
    }
}
