// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetBitcoin

@Suite("Blocks against their headers")
struct BlockCheckTests {
    /// Bitcoin's first block, as every node has it built in.
    static let genesis =
        Network.main.genesis.bytes + [1]
        + (Hex.decode(
            "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f722062616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
        ) ?? [])

    /// A transaction with one input, one output, and a witness if asked for.
    static func transaction(_ number: UInt32, witness: [UInt8]? = nil) -> (raw: [UInt8], id: BlockHash) {
        var body: [UInt8] = [1] + [UInt8](repeating: 7, count: 32)
        body.appendLittleEndian(number)
        body += [2, 0x51, 0x52, 0xff, 0xff, 0xff, 0xff, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0x51]
        let version: [UInt8] = [2, 0, 0, 0]
        let lockTime: [UInt8] = [0, 0, 0, 0]
        let id = DoubleSHA256.hash(version + body + lockTime)
        guard let witness else { return (version + body + lockTime, id) }
        return (version + [0, 1] + body + [1, UInt8(witness.count)] + witness + lockTime, id)
    }

    /// A first transaction that commits to these witnesses, as BIP 141 has it; without its own witness if asked for.
    static func coinbase(root: BlockHash, withReserved: Bool = true) -> (raw: [UInt8], id: BlockHash) {
        let reserved = [UInt8](repeating: 9, count: 32)
        let commitment = DoubleSHA256.hash(root.bytes + reserved).bytes
        let body: [UInt8] =
            [1] + [UInt8](repeating: 0, count: 32) + [0xff, 0xff, 0xff, 0xff, 2, 0x51, 0x52, 0xff, 0xff, 0xff, 0xff]
            + [1, 0, 0, 0, 0, 0, 0, 0, 0, 38, 0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed] + commitment
        let version: [UInt8] = [2, 0, 0, 0]
        let lockTime: [UInt8] = [0, 0, 0, 0]
        let plain = version + body + lockTime
        let raw = withReserved ? version + [0, 1] + body + [1, 32] + reserved + lockTime : plain
        return (raw, DoubleSHA256.hash(plain))
    }

    static func block(_ transactions: [(raw: [UInt8], id: BlockHash)]) throws -> (raw: [UInt8], hash: BlockHash) {
        var header = Network.regtest.genesis
        header.merkleRoot = try BlockCheck.merkleRoot(transactions.map(\.id))
        var raw = header.bytes
        raw.appendCompactSize(UInt64(transactions.count))
        for transaction in transactions { raw += transaction.raw }
        return (raw, header.hash)
    }

    /// A block with a commitment to its witnesses.
    static func witnessBlock(
        _ transactions: [(raw: [UInt8], id: BlockHash)], withReserved: Bool = true
    ) throws -> (raw: [UInt8], hash: BlockHash) {
        let root = try BlockCheck.merkleRoot([.zero] + transactions.map { DoubleSHA256.hash($0.raw) })
        return try Self.block([Self.coinbase(root: root, withReserved: withReserved)] + transactions)
    }

    @Test func `The first block is what its header says`() throws {
        try BlockCheck.check(Self.genesis, is: Network.main.genesis.hash)
    }

    @Test(arguments: [1, 2, 3, 4, 5, 7, 8, 300])
    func `Any number of transactions, with witnesses and without, is read`(count: Int) throws {
        let transactions = (0..<count).map {
            Self.transaction(UInt32($0), witness: $0.isMultiple(of: 2) ? nil : [1, 2, 3])
        }
        let block = try Self.witnessBlock(transactions)
        try BlockCheck.check(block.raw, is: block.hash)
    }

    @Test func `Another witness than the block commits to is refused, and so is none`() throws {
        let block = try Self.witnessBlock([Self.transaction(1, witness: [1, 2, 3]), Self.transaction(2)])
        try BlockCheck.check(block.raw, is: block.hash)
        // The header commits to this one too, because a witness is no part of `txid`.
        let coinbase = try Self.coinbase(
            root: BlockCheck.merkleRoot(
                [.zero]
                    + [Self.transaction(1, witness: [1, 2, 3]), Self.transaction(2)].map { DoubleSHA256.hash($0.raw) }))
        let spoiled = try Self.block([coinbase, Self.transaction(1, witness: [1, 2, 4]), Self.transaction(2)])
        #expect(spoiled.hash == block.hash && spoiled.raw != block.raw)
        #expect(throws: BlockDefect.wrongWitnesses) { try BlockCheck.check(spoiled.raw, is: block.hash) }
        let bare = try Self.witnessBlock([Self.transaction(1)], withReserved: false)
        #expect(throws: BlockDefect.wrongWitnesses) { try BlockCheck.check(bare.raw, is: bare.hash) }
        // Before BIP 141 was active, miners committed to witnesses that no block had.
        try BlockCheck.check(bare.raw, is: bare.hash, needsWitnesses: false)
        let uncommitted = try Self.block([Self.transaction(1, witness: [1])])
        #expect(throws: BlockDefect.wrongWitnesses) { try BlockCheck.check(uncommitted.raw, is: uncommitted.hash) }
    }

    @Test(arguments: [true, false])
    func `Every change of any byte is noticed`(withWitnesses: Bool) throws {
        let block =
            withWitnesses
            ? try Self.witnessBlock((0..<3).map { Self.transaction($0, witness: [7, 8]) })
            : try Self.block((0..<3).map { Self.transaction($0) })
        for index in block.raw.indices {
            var changed = block.raw
            changed[index] ^= 1
            #expect(throws: BlockDefect.self, "byte \(index)") { try BlockCheck.check(changed, is: block.hash) }
        }
    }

    @Test func `Every cut and every addition is noticed`() throws {
        let block = try Self.witnessBlock((0..<3).map { Self.transaction($0, witness: [9]) })
        for length in block.raw.indices {
            #expect(throws: BlockDefect.self) {
                try BlockCheck.check(Array(block.raw.prefix(length)), is: block.hash)
            }
        }
        #expect(throws: BlockDefect.malformed(.trailingBytes(1))) {
            try BlockCheck.check(block.raw + [0], is: block.hash)
        }
    }

    @Test func `Transactions repeated so that the root stays the same are refused`() throws {
        // With three leaves the third counts twice, so a fourth that equals it gives the same root.
        let three = (0..<3).map { Self.transaction($0) }
        var header = Network.regtest.genesis
        header.merkleRoot = try BlockCheck.merkleRoot(three.map(\.id))
        let raw = header.bytes + [4] + (three + [three[2]]).flatMap(\.raw)
        #expect(throws: BlockDefect.repeatedTransactions) { try BlockCheck.check(raw, is: header.hash) }
    }

    @Test func `What is no such block is refused by name`() throws {
        let hash = Network.main.genesis.hash
        let none = Network.main.genesis.bytes + [0]
        #expect(throws: BlockDefect.empty) { try BlockCheck.check(none, is: hash) }
        #expect(throws: BlockDefect.otherHeader(hash)) { try BlockCheck.check(Self.genesis, is: .zero) }
        let large = Self.genesis + [UInt8](repeating: 0, count: BlockCheck.maximumSize)
        #expect(throws: BlockDefect.tooLarge(bytes: large.count)) { try BlockCheck.check(large, is: hash) }
        // A count that promises more than there is allocates nothing.
        let promise = Network.main.genesis.bytes + [0xfe, 0xff, 0xff, 0, 0]
        #expect(throws: BlockDefect.self) { try BlockCheck.check(promise, is: hash) }
    }
}
