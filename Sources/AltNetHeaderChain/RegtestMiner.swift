// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetBitcoin

/// Finds headers on the regression test network, where two attempts are enough: for trying things out, and for tests.
///
/// There are no blocks behind them: their Merkle roots are random.
public struct RegtestMiner: Sendable {
    /// The last header that was found.
    public private(set) var tip: BlockHeader
    private var hash: BlockHash
    private var generator: SeededRandom

    /// Continues a chain; the same seed gives the same headers.
    public init(on tip: BlockHeader, seed: UInt64) {
        self.tip = tip
        self.hash = tip.hash
        self.generator = SeededRandom(seed: seed)
    }

    /// Finds headers on top of each other; `time` makes each one's time from its predecessor's.
    public mutating func mine(_ count: UInt32, time: (UInt32) -> UInt32) -> [UInt8] {
        let target = Network.regtest.proofOfWorkLimitTarget
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(count) * BlockHeader.size)
        for _ in 0..<count {
            var header = BlockHeader(
                version: 0x2000_0000, previous: self.hash,
                merkleRoot: BlockHash(
                    number: UInt256(
                        self.generator.next(), self.generator.next(), self.generator.next(), self.generator.next())),
                time: time(self.tip.time), bits: Network.regtest.proofOfWorkLimit, nonce: 0)
            var hash = header.hash
            while hash.number > target {
                header.nonce += 1
                hash = header.hash
            }
            header.append(to: &bytes)
            self.tip = header
            self.hash = hash
        }
        return bytes
    }
}
