// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Lets `burst` events pass at once, and after that one per `interval`: `TokenBucket` for rates below one a second.
struct Trickle: Hashable, Sendable {
    private let burst: Int
    private let interval: Duration
    /// When all tokens will be back.
    private var fullAt: MonotonicInstant

    init(burst: Int, interval: Duration, now: MonotonicInstant) {
        self.burst = burst
        self.interval = interval
        self.fullAt = now
    }

    func canTake(now: MonotonicInstant) -> Bool {
        self.fullAt - now <= self.interval * (self.burst - 1)
    }

    /// Takes a token; `false` when there is none.
    mutating func take(now: MonotonicInstant) -> Bool {
        guard self.canTake(now: now) else { return false }
        self.fullAt = max(self.fullAt, now) + self.interval
        return true
    }

    func isFull(now: MonotonicInstant) -> Bool { self.fullAt <= now }
}
