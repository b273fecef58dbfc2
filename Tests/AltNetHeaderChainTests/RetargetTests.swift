// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetHeaderChain

/// The difficulty and time rules of all networks against a reference that looks at whole chains, without work.
@Suite("Difficulty rules")
struct RetargetTests {
    /// Real retargets of the main chain, as in Bitcoin Core's `pow_tests`: the time of the first header of the period,
    /// that of the last one, the old bits and the new ones.
    @Test(
        "retargets as the main chain did",
        arguments: [
            (1_261_130_161, 1_262_152_739, 0x1d00_ffff, 0x1d00_d86a),
            // The easiest target, both limits.
            (1_231_006_505, 1_233_061_996, 0x1d00_ffff, 0x1d00_ffff),
            (1_279_008_237, 1_279_297_671, 0x1c05_a3f4, 0x1c01_68fd),
            (1_263_163_443, 1_269_211_443, 0x1c38_7f6f, 0x1d00_e1fd),
        ] as [(Int64, Int64, UInt32, UInt32)])
    func vectors(first: Int64, last: Int64, old: UInt32, new: UInt32) {
        let cursor = HeaderCursor(genesisOf: .main)
        #expect(cursor.retarget(from: CompactTarget(old), timespan: last - first) == CompactTarget(new))
    }

    @Test("never leaves the limit of a network nor overflows", arguments: Network.allCases)
    func limits(network: Network) {
        let cursor = HeaderCursor(genesisOf: network)
        let limit = network.proofOfWorkLimit
        guard network != .regtest else { return }  // Its target leaves no room for the product; it never retargets.
        #expect(cursor.retarget(from: limit, timespan: .max) == limit)
        #expect(cursor.retarget(from: limit, timespan: 1_209_600) == limit)
        #expect(cursor.retarget(from: limit, timespan: .min) == cursor.retarget(from: limit, timespan: 302_400))
        #expect((cursor.retarget(from: limit, timespan: 1_209_599).target ?? .max) < (limit.target ?? .zero))
    }

    /// A header that nobody mined.
    private static func header(_ previous: BlockHash, time: UInt32, bits: CompactTarget) -> BlockHeader {
        BlockHeader(version: 4, previous: previous, merkleRoot: .zero, time: time, bits: bits, nonce: 0)
    }

    /// The times of a random chain: mostly near ten minutes, some late, some early, whole stretches fast or slow.
    private static func time(after times: [UInt32], pace: UInt32, using generator: inout SeededRandom) -> UInt32 {
        let last = times[times.count - 1]
        let earliest = ReferenceRules.medianTimePast(times) + 1
        switch UInt32.random(in: 0..<20, using: &generator) {
        case 0: return max(earliest, last + 1200)
        case 1, 2, 3: return max(earliest, last + 1201)
        case 4: return max(earliest, last + UInt32.random(in: 1201...9000, using: &generator))
        case 5: return earliest
        case 6: return max(earliest, last - 600)
        case 7: return max(earliest, last - 601)
        default: return max(earliest, last + UInt32.random(in: 0...(2 * pace), using: &generator))
        }
    }

    @Test(
        "agrees with the reference on every header of random chains, and refuses every other bits",
        arguments: [Network.main, .testnet3, .testnet4, .signet], [1, 2, 3] as [UInt64])
    func random(network: Network, seed: UInt64) throws {
        var generator = SeededRandom(seed: seed)
        var reference = ReferenceRules(network)
        var cursor = HeaderCursor(genesisOf: network)
        var chain = HeaderChain(network: network, salt: seed)
        var hash = network.chainHash
        var paces: [UInt32] = [60, 300, 600, 1100]
        var exceptions = 0
        paces.shuffle(using: &generator)
        for height in 1...UInt32(4 * 2016 + 100) {
            let pace = paces[Int(height / 2016) % paces.count]
            var time = Self.time(after: reference.times, pace: pace, using: &generator)
            if height % 2016 == 2015, seed > 1 {
                // An exception at the end of a period, where BIP 94 differs from what was before it.
                time = reference.times[Int(height) - 1] + 1201
            }
            if let earliest = reference.earliestTime, time < earliest {
                #expect(throws: HeaderRule.timewarp(earliest: earliest, found: time), "seed \(seed)") {
                    let bits = reference.bits(time: time)
                    try cursor.step(
                        onto: Self.header(hash, time: time, bits: bits), hash: .zero, target: .zero, latestTime: .max)
                }
                time = earliest
            }
            let bits = reference.bits(time: time)
            if bits != reference.lastBits { exceptions += 1 }
            for other in [network.proofOfWorkLimit, reference.lastBits, CompactTarget(bits.rawValue - 1)]
            where other != bits {
                #expect(throws: HeaderRule.wrongBits(expected: bits, found: other), "seed \(seed) height \(height)") {
                    var copy = cursor
                    try copy.step(
                        onto: Self.header(hash, time: time, bits: other), hash: .zero, target: .zero, latestTime: .max)
                }
            }
            let header = Self.header(hash, time: time, bits: bits)
            hash = BlockHash(number: UInt256(UInt64(height), generator.next(), 0, 0))
            let target = try #require(bits.target)
            do {
                try cursor.step(onto: header, hash: hash, target: target, latestTime: .max)
            } catch {
                Issue.record("seed \(seed) height \(height): \(error)")
                return
            }
            reference.append(time: time, bits: bits)
            #expect(cursor.medianTimePast == ReferenceRules.medianTimePast(reference.times), "seed \(seed)")
            let isRestored = chain.restore(
                hash: hash, previous: header.previous, time: time, bits: bits, workOfHeader: bits.work)
            #expect(isRestored)
            if height % 97 == 0 || height % 2016 < 3 || height % 2016 > 2013 {
                let node = try #require(chain.find(hash))
                expectSame(chain.rebuiltCursor(at: node), cursor, "seed \(seed) height \(height)")
            }
        }
        #expect(exceptions > 1)
    }

    @Test("lets any bits follow a trusted exception on the test networks, until a regular header was seen")
    func trustedException() throws {
        let limit = Network.testnet4.proofOfWorkLimit
        let trusted = Self.header(.zero, time: 1_800_000_000, bits: limit)
        var cursor = HeaderCursor(network: .testnet4, trusted: trusted, height: 100_000)
        let hard = CompactTarget(0x1a00_ffff)
        var chain = HeaderChain(
            network: .testnet4, start: .trusted(height: 100_000, header: trusted), salt: 1)
        expectSame(chain.rebuiltCursor(at: .start), cursor, "start")
        for (offset, bits, time) in [(1, limit, 300), (2, hard, 600), (3, hard, 900), (4, limit, 2200)] {
            let header = Self.header(cursor.hash, time: 1_800_000_000 + UInt32(time), bits: bits)
            let hash = BlockHash(number: UInt256(UInt64(offset)))
            try cursor.step(onto: header, hash: hash, target: .max, latestTime: .max)
            let isRestored = chain.restore(
                hash: hash, previous: header.previous, time: header.time, bits: bits, workOfHeader: bits.work)
            #expect(isRestored)
            expectSame(chain.rebuiltCursor(at: try #require(chain.find(hash))), cursor, "offset \(offset)")
        }
        // The last one was an exception: the regular bits are those before it.
        let wrong = Self.header(cursor.hash, time: 1_800_002_201, bits: limit)
        #expect(throws: HeaderRule.wrongBits(expected: hard, found: limit)) {
            try cursor.step(onto: wrong, hash: .zero, target: .max, latestTime: .max)
        }
    }
}

/// What the next header must look like, computed from the whole chain each time, in the words of the rule book.
private struct ReferenceRules {
    let network: Network
    private(set) var times: [UInt32]
    private var bits: [CompactTarget]

    init(_ network: Network) {
        self.network = network
        self.times = [network.genesis.time]
        self.bits = [network.genesis.bits]
    }

    var lastBits: CompactTarget { self.bits[self.bits.count - 1] }

    mutating func append(time: UInt32, bits: CompactTarget) {
        self.times.append(time)
        self.bits.append(bits)
    }

    static func medianTimePast(_ times: [UInt32]) -> UInt32 {
        let sorted = times.suffix(11).sorted()
        return sorted[sorted.count / 2]
    }

    /// BIP 94's bound on the next header's time.
    var earliestTime: UInt32? {
        self.network == .testnet4 && self.times.count % 2016 == 0 ? self.times[self.times.count - 1] - 600 : nil
    }

    func bits(time: UInt32) -> CompactTarget {
        let height = self.times.count
        if height % 2016 != 0 {
            guard self.network == .testnet3 || self.network == .testnet4 else { return self.lastBits }
            guard time <= self.times[height - 1] + 1200 else { return self.network.proofOfWorkLimit }
            var regular = height - 1
            while regular % 2016 != 0, self.bits[regular] == self.network.proofOfWorkLimit { regular -= 1 }
            return self.bits[regular]
        }
        let first = height - 2016
        let took = min(max(Int64(self.times[height - 1]) - Int64(self.times[first]), 302_400), 4_838_400)
        let base = self.network == .testnet4 ? self.bits[first] : self.lastBits
        let target = (base.target ?? .zero) &* UInt64(took) / UInt64(1_209_600)
        return CompactTarget(target: min(target, self.network.proofOfWorkLimitTarget))
    }
}
