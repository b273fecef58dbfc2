// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetBitcoin

@Suite("Transactions by their form")
struct TransactionCheckTests {
    private static func defect(_ bytes: [UInt8]) -> TransactionDefect? {
        do throws(TransactionDefect) {
            _ = try TransactionCheck.identify(bytes)
            return nil
        } catch {
            return error
        }
    }

    @Test("the first block's transaction has the identifier that everybody knows")
    func genesis() throws {
        let found = try TransactionCheck.identify(Array(BlockCheckTests.genesis[81...]))
        #expect(found.id.description == "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b")
        #expect(found.witnessID == found.id)
    }

    @Test("witnesses change one identifier and not the other")
    func witnesses() throws {
        let plain = try TransactionCheck.identify(BlockCheckTests.transaction(1).raw)
        let signed = try TransactionCheck.identify(BlockCheckTests.transaction(1, witness: [1, 2]).raw)
        let spoiled = try TransactionCheck.identify(BlockCheckTests.transaction(1, witness: [1, 3]).raw)
        #expect(plain.id == signed.id && signed.id == spoiled.id)
        #expect(Set([plain.witnessID, signed.witnessID, spoiled.witnessID]).count == 3)
    }

    @Test("cut short anywhere, or with a byte left, it is none", arguments: [nil, [5, 6, 7]] as [[UInt8]?])
    func cut(witness: [UInt8]?) {
        let whole = BlockCheckTests.transaction(1, witness: witness).raw
        #expect(Self.defect(whole) == nil)
        for length in whole.indices { #expect(Self.defect(Array(whole.prefix(length))) != nil) }
        #expect(Self.defect(whole + [0]) != nil)
    }

    @Test("the sizes at the bounds")
    func sizes() {
        #expect(Self.defect([]) == .size(bytes: 0))
        #expect(Self.defect([UInt8](repeating: 0, count: 59)) == .size(bytes: 59))
        // One output whose script makes up the rest.
        func transaction(_ size: Int) -> [UInt8] {
            var bytes: [UInt8] = [2, 0, 0, 0, 1] + [UInt8](repeating: 7, count: 36) + [0, 0, 0, 0, 0, 1]
            bytes += [UInt8](repeating: 0, count: 8)
            bytes.appendCompactSize(UInt64(size - bytes.count - 5 - 4))
            bytes += [UInt8](repeating: 0, count: size - bytes.count)
            return bytes
        }
        #expect(transaction(TransactionCheck.maximumSize).count == TransactionCheck.maximumSize)
        #expect(Self.defect(transaction(TransactionCheck.maximumSize)) == nil)
        let tooLarge = TransactionCheck.maximumSize + 1
        #expect(Self.defect(transaction(tooLarge)) == .size(bytes: tooLarge))
    }

    @Test("without inputs or outputs it is none")
    func empty() {
        let inputs: [UInt8] = [1] + [UInt8](repeating: 7, count: 36) + [13] + [UInt8](repeating: 0, count: 13 + 4)
        #expect(Self.defect([2, 0, 0, 0] + inputs + [0, 0, 0, 0, 0]) == .empty)
    }

    @Test("a count that promises more than there is costs no memory")
    func promises() {
        let large: [UInt8] = [0xff] + [UInt8](repeating: 0xff, count: 8)
        #expect(Self.defect([2, 0, 0, 0] + large + [UInt8](repeating: 0, count: 60)) != nil)
    }
}
