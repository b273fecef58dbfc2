// SPDX-License-Identifier: MIT

internal import AltNetBase

/// How late a subject showed its last blocks, after the first on any link.
struct ArrivalHistory: Hashable, Sendable {
    /// Two days of blocks: enough that a few slow ones weigh little, few enough that an attack shows within hours.
    static let capacity = 24

    private(set) var lateness: [Duration] = []
    private(set) var latest: WallClockTime?

    mutating func note(lateness: Duration, at time: WallClockTime) {
        self.lateness.append(max(.zero, lateness))
        if self.lateness.count > Self.capacity { self.lateness.removeFirst() }
        self.latest = time
    }

    /// The middle one; `nil` without any.
    var median: Duration? {
        guard !self.lateness.isEmpty else { return nil }
        return self.lateness.sorted()[self.lateness.count / 2]
    }
}
