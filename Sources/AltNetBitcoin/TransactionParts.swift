// SPDX-License-Identifier: MIT

internal import AltNetBase

/// What our checks need of a transaction.
struct TransactionParts {
    /// `txid`: the hash without witnesses.
    let id: BlockHash
    /// `wtxid`: the hash of everything (BIP 141).
    let witnessID: BlockHash
    let hasWitness: Bool
    let inputs: Int
    let outputs: Int
    /// Of a block's first transaction: what it commits to, and the 32 bytes that are hashed along.
    private(set) var commitment: [UInt8]?
    private(set) var reserved: [UInt8]?

    /// Takes one transaction, with or without witnesses (BIP 144).
    init(_ reader: inout ByteReader, isFirst: Bool) throws(ByteReaderError) {
        let start = reader
        let version = try reader.bytes(4)
        var bookmark = reader
        self.hasWitness = try bookmark.littleEndian(UInt16.self) == 0x0100
        if self.hasWitness { reader = bookmark }
        let body = reader
        self.inputs = try reader.compactCount(limit: reader.count)
        for _ in 0..<self.inputs {
            _ = try reader.bytes(36)
            _ = try Self.text(&reader)
            _ = try reader.bytes(4)
        }
        self.outputs = try reader.compactCount(limit: reader.count)
        for _ in 0..<self.outputs {
            _ = try reader.bytes(8)
            let script = try Self.text(&reader)
            // Of several commitments the last one counts.
            if isFirst, script.count >= 38, script.starts(with: BlockCheck.commitmentMark) {
                self.commitment = Array(script.dropFirst(6).prefix(32))
            }
        }
        let bodyLength = body.count - reader.count
        if self.hasWitness {
            for index in 0..<self.inputs {
                let items = try reader.compactCount(limit: reader.count)
                for _ in 0..<items {
                    let item = try Self.text(&reader)
                    if isFirst, index == 0, items == 1, item.count == 32 { self.reserved = Array(item) }
                }
            }
        }
        let lockTime = try reader.bytes(4)
        let whole = start.remaining.prefix(start.count - reader.count)
        self.witnessID = whole.withUnsafeBytes { DoubleSHA256.hash($0) }
        self.id =
            self.hasWitness
            ? DoubleSHA256.hash(Array(version) + body.remaining.prefix(bodyLength) + lockTime) : self.witnessID
    }

    private static func text(_ reader: inout ByteReader) throws(ByteReaderError) -> ArraySlice<UInt8> {
        try reader.bytes(try reader.compactCount(limit: reader.count))
    }
}
