// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Crypto

/// Numbers from a seed that say nothing about each other: SHA-256 of the seed and a counter.
///
/// The far node sees the numbers of our questions. With an ordinary generator one of them would give away all others,
/// and so which questions come from the same asker.
struct OneWayRandom: RandomNumberGenerator, Sendable {
    private let seed: UInt64
    private var counter: UInt64 = 0

    init(seed: UInt64) {
        self.seed = seed
    }

    mutating func next() -> UInt64 {
        var input: [UInt8] = []
        input.appendBigEndian(self.seed)
        input.appendBigEndian(self.counter)
        self.counter &+= 1
        return SHA256.hash(data: input).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
