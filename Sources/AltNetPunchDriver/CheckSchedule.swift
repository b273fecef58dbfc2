// SPDX-License-Identifier: MIT

internal import AltNetBase

/// When the NAT is checked again.
struct CheckSchedule: Sendable {
    /// No two checks begin within this time, whatever asks for them, save after one that found nothing: an address that
    /// comes and goes, or a witness that lies, would have all witnesses asked again and again.
    static let floor: Duration = .seconds(60)
    /// The same for what a stranger can bring about, whose attempts with us may fail on purpose.
    static let strangersFloor: Duration = .seconds(600)
    /// After a check that told nothing, the pause until the next one; it doubles with each. A driver often starts before
    /// its witnesses can be reached.
    static let firstRetry: Duration = .seconds(5)
    static let longestRetry: Duration = .seconds(600)
    /// What was found is looked at again after this long: routers get other addresses, and witnesses go away.
    static let longestAge: Duration = .seconds(6 * 3600)

    private var lastStart: MonotonicInstant?
    private var next: MonotonicInstant?
    private var pause = CheckSchedule.firstRetry

    /// Whether a check is to begin.
    func isDue(now: MonotonicInstant) -> Bool { self.next.map { now >= $0 } ?? true }

    /// When the next check is to begin; `nil` for at once.
    var moment: MonotonicInstant? { self.next }

    mutating func began(now: MonotonicInstant) {
        self.lastStart = now
    }

    /// - Parameter isKnown: whether the check found out what our NAT is like.
    mutating func ended(isKnown: Bool, now: MonotonicInstant) {
        guard !isKnown else {
            self.pause = Self.firstRetry
            self.next = now + Self.longestAge
            return
        }
        self.next = now + self.pause
        self.pause = min(self.pause * 2, Self.longestRetry)
    }

    /// Something says that what was found is not so any more: check as soon as `floor` allows.
    mutating func doubt(floor: Duration = CheckSchedule.floor) {
        guard let lastStart = self.lastStart, let next = self.next else { return }
        self.next = min(next, lastStart + floor)
    }
}
