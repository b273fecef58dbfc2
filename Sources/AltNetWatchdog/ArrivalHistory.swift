// SPDX-License-Identifier: MIT

internal import AltNetBase

/// How late a subject showed its last blocks, after the first on any link.
struct ArrivalHistory: Hashable, Sendable {
    /// Four hours of blocks: enough that a few slow ones weigh little, few enough that an attack shows the same day.
    static let capacity = 24

    private(set) var lateness: [Duration] = []

    mutating func note(lateness: Duration) {
        self.lateness.append(max(.zero, lateness))
        if self.lateness.count > Self.capacity { self.lateness.removeFirst() }
    }

    /// The middle one; `nil` without any.
    var median: Duration? {
        guard !self.lateness.isEmpty else { return nil }
        return self.lateness.sorted()[self.lateness.count / 2]
    }
}
