// SPDX-License-Identifier: MIT

internal import AltNetBase

/// How late a subject showed its last blocks, after the first on any link.
struct ArrivalHistory: Hashable, Sendable {
    /// Four hours of blocks: enough that a few slow ones weigh little, few enough that an attack shows the same day.
    static let capacity = 24

    /// Blocks that are shown within this time of each other count once: after one long delay a subject shows many
    /// blocks at once, and all of them are late for the same reason.
    static let wave = Duration.seconds(60)

    private(set) var lateness: [Duration] = []
    private var latest: WallClockTime?

    mutating func note(lateness: Duration, at time: WallClockTime) {
        if let latest = self.latest, time - latest < Self.wave { return }
        self.latest = time
        self.lateness.append(max(.zero, lateness))
        if self.lateness.count > Self.capacity { self.lateness.removeFirst() }
    }

    /// The middle one; `nil` without any.
    var median: Duration? {
        guard !self.lateness.isEmpty else { return nil }
        return self.lateness.sorted()[self.lateness.count / 2]
    }
}
