// SPDX-License-Identifier: MIT

public import AltNetBase

/// Why bytes are not the block that a header commits to.
public enum BlockDefect: Error, Hashable, Sendable {
    /// More bytes than consensus allows any block to have.
    case tooLarge(bytes: Int)
    /// A field is cut off, oddly encoded, or bytes are left.
    case malformed(ByteReaderError)
    /// The block belongs to another header.
    case otherHeader(BlockHash)
    /// There is no transaction.
    case empty
    /// The transactions are not those that the header commits to.
    case wrongMerkleRoot
    /// Two neighbouring subtrees are the same: transactions were repeated to keep the root (CVE-2012-2459).
    case repeatedTransactions
    /// The witnesses are not those that the first transaction commits to, or are left out (BIP 141).
    case wrongWitnesses
}

extension BlockDefect: CustomStringConvertible {
    /// The end of "it brought …".
    public var description: String {
        switch self {
        case .tooLarge(let bytes): "\(bytes) bytes, more than any block has"
        case .malformed: "bytes that are no block"
        case .otherHeader(let hash): "another block, \(hash)"
        case .empty: "a block without transactions"
        case .wrongMerkleRoot: "transactions that its header does not commit to"
        case .repeatedTransactions: "transactions repeated so that its header seems to commit to them"
        case .wrongWitnesses: "witnesses that the block does not commit to"
        }
    }
}

/// Checks that raw bytes are a block whose transactions and witnesses a header commits to: enough to know that whoever
/// brought it brought what was asked for. Whether the block is valid is the node's word.
public enum BlockCheck {
    /// A block has at most 4,000,000 weight units, and a byte weighs at least one (BIP 141).
    public static let maximumSize = 4_000_000
    /// No block has more than fit with the smallest size.
    static let maximumTransactions = BlockCheck.maximumSize / TransactionCheck.minimumSize
    /// What a commitment to witnesses begins with: OP_RETURN, 36 bytes, and BIP 141's mark.
    static let commitmentMark: [UInt8] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed]

    /// Reads a whole block, in one pass that copies each transaction at most once.
    ///
    /// - Parameters:
    ///   - hash: of the header that is wanted.
    ///   - needsWitnesses: whether a block that commits to witnesses must have them: from the activation of BIP 141 on.
    ///     Before, miners committed to witnesses that no block had.
    public static func check(
        _ block: [UInt8], is hash: BlockHash, needsWitnesses: Bool = true
    ) throws(BlockDefect) {
        guard block.count <= Self.maximumSize else { throw .tooLarge(bytes: block.count) }
        guard let header = BlockHeader(bytes: block.prefix(BlockHeader.size)) else {
            throw .malformed(.truncated(needed: BlockHeader.size, available: block.count))
        }
        guard header.hash == hash else { throw .otherHeader(header.hash) }
        var transactions: [TransactionParts] = []
        do throws(ByteReaderError) {
            var reader = ByteReader(block[BlockHeader.size...])
            let count = try reader.compactCount(limit: Self.maximumTransactions)
            for index in 0..<count { transactions.append(try TransactionParts(&reader, isFirst: index == 0)) }
            try reader.expectEnd()
        } catch {
            throw .malformed(error)
        }
        guard let first = transactions.first else { throw .empty }
        guard try Self.merkleRoot(transactions.map(\.id)) == header.merkleRoot else { throw .wrongMerkleRoot }
        try Self.checkWitnesses(of: transactions, first: first, areNeeded: needsWitnesses)
    }

    /// BIP 141, "Commitment structure".
    private static func checkWitnesses(
        of transactions: [TransactionParts], first: TransactionParts, areNeeded: Bool
    ) throws(BlockDefect) {
        let hasWitnesses = transactions.contains(where: \.hasWitness)
        guard let commitment = first.commitment else {
            guard !hasWitnesses else { throw .wrongWitnesses }
            return
        }
        guard hasWitnesses || areNeeded else { return }
        guard let reserved = first.reserved else { throw .wrongWitnesses }
        let root = try Self.merkleRoot([.zero] + transactions.dropFirst().map(\.witnessID))
        guard DoubleSHA256.hash(root.bytes + reserved).bytes == commitment else { throw .wrongWitnesses }
    }

    /// The root of Bitcoin's tree of hashes, in which a level of odd length repeats its last hash.
    static func merkleRoot(_ leaves: [BlockHash]) throws(BlockDefect) -> BlockHash {
        var level = leaves
        while level.count > 1 {
            var next: [BlockHash] = []
            next.reserveCapacity((level.count + 1) / 2)
            for index in stride(from: 0, to: level.count, by: 2) {
                let left = level[index]
                let right = index + 1 < level.count ? level[index + 1] : left
                guard index + 1 == level.count || left != right else { throw .repeatedTransactions }
                next.append(DoubleSHA256.hash(left.bytes + right.bytes))
            }
            level = next
        }
        return level.first ?? .zero
    }
}
