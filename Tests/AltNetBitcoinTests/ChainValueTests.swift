// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@Suite("CompactTarget")
struct CompactTargetTests {
    /// The edge cases of Bitcoin Core's `arith_uint256_tests`: sizes, signs and overflows.
    @Test(
        "expands to the number that consensus compares with",
        arguments: [
            (0x0112_3456, "12"), (0x0212_3456, "1234"), (0x0312_3456, "123456"), (0x0412_3456, "12345600"),
            (0x0500_9234, "92340000"), (0x0200_8000, "80"),
            (0x2012_3456, "1234560000000000000000000000000000000000000000000000000000000000"),
            (0x1d00_ffff, "ffff0000000000000000000000000000000000000000000000000000"),
            (0x1b04_04cb, "404cb000000000000000000000000000000000000000000000000"),
        ] as [(UInt32, String)]
    )
    func targets(bits: UInt32, target: String) {
        #expect(CompactTarget(bits).target == UInt256(hex: target))
    }

    @Test(
        "has no target when zero, negative or above 256 bits",
        arguments: [
            0, 0x0012_3456, 0x0100_3456, 0x0200_0056, 0x0300_0000, 0x0400_0000, 0x0092_3456,
            0x0492_3456, 0x01fe_dcba, 0x1d80_ffff, 0xff12_3456, 0x2300_0001, 0x2200_0100, 0x2101_0000,
        ] as [UInt32]
    )
    func invalid(bits: UInt32) {
        #expect(CompactTarget(bits).target == nil)
        #expect(CompactTarget(bits).work == .zero)
    }

    @Test(
        "comes back from its target in its only normal form",
        arguments: [0x1d00_ffff, 0x207f_ffff, 0x1e03_77ae, 0x1b04_04cb, 0x0500_9234, 0x0112_0000] as [UInt32]
    )
    func roundTrip(bits: UInt32) throws {
        let target = try #require(CompactTarget(bits).target)
        #expect(CompactTarget(target: target).rawValue == bits)
    }

    @Test("does not set the sign when the highest bit of the mantissa would be")
    func sign() {
        #expect(CompactTarget(target: UInt256(0x80)).rawValue == 0x0200_8000)
        #expect(CompactTarget(target: .max).rawValue == 0x2100_ffff)
        #expect(CompactTarget(target: .zero).rawValue == 0)
    }

    @Test(
        "costs the work that the whole network agrees on",
        arguments: [
            (0x1d00_ffff, "100010001"), (0x207f_ffff, "2"), (0x1b04_04cb, "3fb3ab764c00"),
        ] as [(UInt32, String)]
    )
    func work(bits: UInt32, work: String) {
        #expect(CompactTarget(bits).work == UInt256(hex: work))
    }
}

@Suite("BlockHeader and Network")
struct BlockHeaderTests {
    @Test(
        "has the first block that everybody knows",
        arguments: [
            (.main, "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"),
            (.testnet3, "000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943"),
            (.testnet4, "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043"),
            (.signet, "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6"),
            (.regtest, "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"),
        ] as [(Network, String)]
    )
    func genesis(network: Network, hash: String) throws {
        #expect(network.chainHash.description == hash)
        let target = try #require(network.genesis.bits.target)
        #expect(network.chainHash.number <= target)
        #expect(target <= network.proofOfWorkLimitTarget)
        #expect(CompactTarget(target: network.proofOfWorkLimitTarget) == network.proofOfWorkLimit)
    }

    @Test("has a magic of its own for each network, four bytes long")
    func magic() {
        #expect(Set(Network.allCases.map(\.magic)).count == Network.allCases.count)
        for network in Network.allCases { #expect(network.magic.count == P2PMessageHeader.magicLength) }
    }

    @Test("knows its networks by the names people use")
    func names() {
        #expect(Network(name: "mainnet") == .main)
        #expect(Network(name: "bitcoin") == .main)
        #expect(Network(name: "test") == .testnet3)
        #expect(Network(name: "signet") == .signet)
        #expect(Network(name: "dogecoin") == nil)
    }

    /// Blocks 1 and 125552 of the main chain.
    @Test(
        "hashes known blocks",
        arguments: [
            (
                "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd1e4ba744bbbe680e1fee14"
                    + "677ba1a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299",
                "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048"
            ),
            (
                "0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000e320b6c2fffc8d750423db8b1eb942"
                    + "ae710e951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695",
                "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d"
            ),
        ]
    )
    func knownBlocks(header: String, hash: String) throws {
        let bytes = try #require(Hex.decode(header))
        let parsed = try #require(BlockHeader(bytes: bytes))
        #expect(parsed.bytes == bytes)
        #expect(parsed.hash.description == hash)
        #expect(parsed.hash == BlockHash(hex: hash))
        let target = try #require(parsed.bits.target)
        #expect(parsed.hash.number <= target)
    }

    @Test("refuses any number of bytes but its own")
    func lengths() {
        #expect(BlockHeader(bytes: [UInt8](repeating: 0, count: 79)) == nil)
        #expect(BlockHeader(bytes: [UInt8](repeating: 0, count: 81)) == nil)
        #expect(BlockHash(bytes: [UInt8](repeating: 0, count: 31)) == nil)
        #expect(BlockHash(bytes: [UInt8](repeating: 0, count: 33)) == nil)
        #expect(BlockHash(hex: "00") == nil)
        #expect(BlockHash(hex: String(repeating: "zz", count: 32)) == nil)
    }

    @Test("keeps the bytes of a hash in the order of the wire and prints them backwards")
    func hashOrder() throws {
        let bytes = (0..<32).map { UInt8($0) }
        let hash = try #require(BlockHash(bytes: bytes))
        #expect(hash.bytes == bytes)
        #expect(hash.description.hasPrefix("1f1e1d"))
        #expect(BlockHash(hex: hash.description) == hash)
    }

    @Test("hashes nothing at all as SHA-256 of SHA-256 does")
    func emptyHash() {
        #expect(Hex.encode(DoubleSHA256.hash([]).bytes.prefix(4)) == "5df6e0e2")
    }
}
