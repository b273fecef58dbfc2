// SPDX-License-Identifier: MIT

/// The times of the last eleven headers, in the order they came and sorted, so that the median costs nothing.
struct MedianTimes: Sendable {
    private static let span = HeaderCursor.medianTimeSpan

    /// A ring of the times in the order they came.
    private var ring: InlineArray<11, UInt32>
    /// The same times in ascending order; the first `count` are in use.
    private var sorted: InlineArray<11, UInt32>
    private var count: Int
    /// Where in the ring the next time goes.
    private var next: Int

    /// After a genesis header the median is that of the headers there are.
    init(genesisTime: UInt32) {
        self.ring = InlineArray(repeating: 0)
        self.sorted = InlineArray(repeating: 0)
        self.count = 0
        self.next = 0
        self.append(genesisTime)
    }

    /// After a trusted header the ten before are not known; taken for very old, they never refuse what is valid.
    init(trustedTime: UInt32) {
        self.ring = InlineArray(repeating: 0)
        self.sorted = InlineArray(repeating: 0)
        self.count = Self.span
        self.next = 0
        self.append(trustedTime)
    }

    /// The middle one; of an even number the later of the two, as in Bitcoin Core.
    var median: UInt32 { self.sorted[self.count / 2] }

    /// The time that was appended last.
    var newest: UInt32 { self.ring[(self.next + Self.span - 1) % Self.span] }

    mutating func append(_ time: UInt32) {
        var position: Int
        if self.count == Self.span {
            // Take the oldest out of the sorted times, and close the gap towards the place of the new one.
            let oldest = self.ring[self.next]
            position = 0
            while self.sorted[position] != oldest { position += 1 }
        } else {
            position = self.count
            self.count += 1
        }
        while position + 1 < self.count, self.sorted[position + 1] < time {
            self.sorted[position] = self.sorted[position + 1]
            position += 1
        }
        while position > 0, self.sorted[position - 1] > time {
            self.sorted[position] = self.sorted[position - 1]
            position -= 1
        }
        self.sorted[position] = time
        self.ring[self.next] = time
        self.next = self.next + 1 == Self.span ? 0 : self.next + 1
    }
}
