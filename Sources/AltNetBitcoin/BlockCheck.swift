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
}

/// Checks that raw bytes are a block whose transactions a header commits to: enough to know that it is worth handing to
/// a node, which checks all the rest.
///
/// Witnesses are not compared with their commitment: a node refuses a block with other witnesses without holding it
/// against the header.
public enum BlockCheck {
    /// A block has at most 4,000,000 weight units, and a byte weighs at least one (BIP 141).
    public static let maximumSize = 4_000_000
    /// The smallest transaction has 60 bytes, so that no block has more.
    static let maximumTransactions = BlockCheck.maximumSize / 60

    /// Reads a whole block, in one pass that copies each transaction at most once.
    ///
    /// - Parameter hash: of the header that is wanted.
    public static func check(_ block: [UInt8], is hash: BlockHash) throws(BlockDefect) {
        guard block.count <= Self.maximumSize else { throw .tooLarge(bytes: block.count) }
        guard let header = BlockHeader(bytes: block.prefix(BlockHeader.size)) else {
            throw .malformed(.truncated(needed: BlockHeader.size, available: block.count))
        }
        guard header.hash == hash else { throw .otherHeader(header.hash) }
        var transactions: [BlockHash] = []
        do throws(ByteReaderError) {
            var reader = ByteReader(block[BlockHeader.size...])
            let count = try reader.compactCount(limit: Self.maximumTransactions)
            for _ in 0..<count { transactions.append(try Self.transactionID(&reader)) }
            try reader.expectEnd()
        } catch {
            throw .malformed(error)
        }
        guard !transactions.isEmpty else { throw .empty }
        guard try Self.merkleRoot(transactions) == header.merkleRoot else { throw .wrongMerkleRoot }
    }

    /// Takes one transaction, with or without witnesses (BIP 144); gives its `txid`.
    private static func transactionID(_ reader: inout ByteReader) throws(ByteReaderError) -> BlockHash {
        let start = reader
        let version = try reader.bytes(4)
        var bookmark = reader
        let hasWitness = try bookmark.littleEndian(UInt16.self) == 0x0100
        if hasWitness { reader = bookmark }
        let body = reader
        let inputs = try reader.compactCount(limit: reader.count)
        for _ in 0..<inputs {
            _ = try reader.bytes(36)
            try Self.skipText(&reader)
            _ = try reader.bytes(4)
        }
        for _ in 0..<(try reader.compactCount(limit: reader.count)) {
            _ = try reader.bytes(8)
            try Self.skipText(&reader)
        }
        let bodyLength = body.count - reader.count
        if hasWitness {
            for _ in 0..<inputs {
                for _ in 0..<(try reader.compactCount(limit: reader.count)) { try Self.skipText(&reader) }
            }
        }
        let lockTime = try reader.bytes(4)
        guard hasWitness else {
            let whole = start.remaining.prefix(start.count - reader.count)
            return whole.withUnsafeBytes { DoubleSHA256.hash($0) }
        }
        return DoubleSHA256.hash(Array(version) + body.remaining.prefix(bodyLength) + lockTime)
    }

    private static func skipText(_ reader: inout ByteReader) throws(ByteReaderError) {
        _ = try reader.bytes(try reader.compactCount(limit: reader.count))
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
