// SPDX-License-Identifier: MIT

internal import AltNetBase

/// When the last blocks were proven, of those that were news.
struct BlockPace: Hashable, Sendable {
    /// Two days of blocks: a feed at a third of the rate shows within some thirty.
    static let capacity = 288

    /// In the order of time.
    private(set) var arrivals: [WallClockTime] = []

    /// The last one that is no longer remembered by itself.
    private(set) var forgotten: WallClockTime?

    /// When the last one was proven.
    var last: WallClockTime? { self.arrivals.last }

    mutating func note(_ time: WallClockTime) {
        self.arrivals.append(max(self.last ?? time, time))
        // Cut rarely: taking one from the front moves all others.
        if self.arrivals.count > Self.capacity * 2 {
            self.forgotten = self.arrivals[Self.capacity - 1]
            self.arrivals.removeFirst(Self.capacity)
        }
    }
}
