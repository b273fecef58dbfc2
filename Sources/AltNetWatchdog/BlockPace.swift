// SPDX-License-Identifier: MIT

internal import AltNetBase

/// When the last block came, and how the pace of the blocks before it compares with an attacker's.
struct BlockPace: Hashable, Sendable {
    /// When the last fresh block was proven.
    private(set) var last: WallClockTime?

    mutating func note(_ time: WallClockTime) {
        self.last = max(self.last ?? time, time)
    }
}
