// SPDX-License-Identifier: MIT

/// What one node finds in an onion message (BOLT 4, `onionmsg_tlv`).
public struct OnionMessagePayload: Hashable, Sendable {
    /// The way back to the sender, for the last node (type 2).
    public var replyPath: BlindedPath?
    /// What the maker of the path tells this node (type 4); see ``RouteBlinding/unblind(_:key:pathKey:)``.
    public var encryptedRecipientData: [UInt8]?
    /// All other records, by type. Types from 64 on are for the last node.
    public var fields: [UInt64: [UInt8]]

    /// Makes a payload. Types 2 and 4 of `fields` are overwritten by the other two.
    public init(
        replyPath: BlindedPath? = nil, encryptedRecipientData: [UInt8]? = nil, fields: [UInt64: [UInt8]] = [:]
    ) {
        self.replyPath = replyPath
        self.encryptedRecipientData = encryptedRecipientData
        self.fields = fields
    }

    /// Reads the TLV stream. Even types that are neither BOLT 4's 2 and 4 nor among `known` are refused; unknown odd
    /// ones are kept, as a node that is not the last MUST ignore messages that have any.
    public init(decoding bytes: some Collection<UInt8>, known: Set<UInt64> = []) throws(OnionError) {
        var records = try Records.read(bytes, known: known.union([2, 4]))
        // Not `map`, whose closure would lose the type of the error.
        if let path = records.removeValue(forKey: 2) { self.replyPath = try BlindedPath(decoding: path) }
        self.encryptedRecipientData = records.removeValue(forKey: 4)
        self.fields = records
    }

    /// The TLV stream, without its length.
    public var encoded: [UInt8] {
        var records = self.fields
        records[2] = self.replyPath?.bytes
        records[4] = self.encryptedRecipientData
        return Records.encode(records)
    }
}
