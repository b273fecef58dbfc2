// SPDX-License-Identifier: MIT

public import AltNetBase

/// Why bytes are no transaction that a node would relay.
public enum TransactionDefect: Error, Hashable, Sendable {
    /// Fewer bytes than any transaction has, or more than any that is relayed.
    case size(bytes: Int)
    /// A field is cut off, oddly encoded, or bytes are left.
    case malformed(ByteReaderError)
    /// No input, or no output.
    case empty
}

/// What identifies a transaction.
public struct TransactionIdentifiers: Hashable, Sendable {
    /// `txid`: the hash without witnesses.
    public let id: BlockHash
    /// `wtxid`: the hash of everything (BIP 141).
    public let witnessID: BlockHash
}

/// Checks that raw bytes have the form of one transaction. Whether it is valid is the node's word.
public enum TransactionCheck {
    /// One input without script and one output without script.
    public static let minimumSize = 60
    /// Bitcoin Core relays no transaction of more than 400,000 weight units (`MAX_STANDARD_TX_WEIGHT`), and a byte
    /// weighs at least one.
    public static let maximumSize = 400_000

    /// Reads one transaction, with or without witnesses (BIP 144), and nothing after it.
    public static func identify(_ bytes: [UInt8]) throws(TransactionDefect) -> TransactionIdentifiers {
        guard (Self.minimumSize...Self.maximumSize).contains(bytes.count) else { throw .size(bytes: bytes.count) }
        let parts: TransactionParts
        do throws(ByteReaderError) {
            var reader = ByteReader(bytes[...])
            parts = try TransactionParts(&reader, isFirst: false)
            try reader.expectEnd()
        } catch {
            throw .malformed(error)
        }
        guard parts.inputs > 0, parts.outputs > 0 else { throw .empty }
        return TransactionIdentifiers(id: parts.id, witnessID: parts.witnessID)
    }
}
