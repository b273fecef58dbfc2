// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Lets a steady amount through, and a second's worth of it at once.
struct TokenBucket: Sendable {
    private let perSecond: Double
    private var tokens: Double
    private var refilled: MonotonicInstant

    init(perSecond: Int, now: MonotonicInstant) {
        self.perSecond = Double(max(1, perSecond))
        self.tokens = self.perSecond
        self.refilled = now
    }

    /// Takes one if there is one.
    mutating func takeOne(now: MonotonicInstant) -> Bool {
        guard self.take(0, now: now) == .zero, self.tokens >= 1 else { return false }
        self.tokens -= 1
        return true
    }

    /// Takes an amount, on credit if need be, and says how long to wait until the credit is paid back.
    mutating func take(_ amount: Int, now: MonotonicInstant) -> Duration {
        self.tokens = min(self.perSecond, self.tokens + (now - self.refilled).inSeconds * self.perSecond)
        self.refilled = now
        self.tokens -= Double(amount)
        return self.tokens >= 0 ? .zero : .seconds(-self.tokens / self.perSecond)
    }
}
