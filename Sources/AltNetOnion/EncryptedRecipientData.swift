// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetKeys

/// What the maker of a blinded path tells one node of it, decrypted (BOLT 4, `encrypted_data_tlv`).
public struct EncryptedRecipientData: Hashable, Sendable {
    /// Bytes without meaning, so that the data of all nodes have one length (type 1).
    public var padding: [UInt8]?
    /// The channel to the next node (type 2).
    public var shortChannelID: UInt64?
    /// The next node (type 4).
    public var nextNode: NodeID?
    /// What the maker of the path recognises it by, in the data of the last node (type 6).
    public var pathID: [UInt8]?
    /// The path key for the next node, in place of the one that follows from this node's (type 8).
    public var nextPathKeyOverride: NodeID?
    /// The features that a message may use, as a bit field of BOLT 9 (type 14). Whoever finds an unknown bit in it MUST
    /// ignore the message.
    public var allowedFeatures: [UInt8]?
    /// All other records: those of payments (types 10 and 12), and unknown ones with odd types.
    public var others: [UInt64: [UInt8]]

    public init(
        shortChannelID: UInt64? = nil, nextNode: NodeID? = nil, pathID: [UInt8]? = nil,
        nextPathKeyOverride: NodeID? = nil
    ) {
        self.shortChannelID = shortChannelID
        self.nextNode = nextNode
        self.pathID = pathID
        self.nextPathKeyOverride = nextPathKeyOverride
        self.others = [:]
    }

    /// Reads the TLV stream. Unknown even types, and values that have not exactly the form of their type, are refused.
    public init(decoding bytes: some Collection<UInt8>) throws(OnionError) {
        let known: Set<UInt64> = [2, 4, 6, 8, 10, 12, 14]
        var records = try Records.read(bytes, known: known)
        self.padding = records.removeValue(forKey: 1)
        if let value = records.removeValue(forKey: 2) {
            guard value.count == 8 else {
                throw .badPayload("a short_channel_id has \(value.count) bytes instead of 8")
            }
            self.shortChannelID = value.reduce(0) { $0 << 8 | UInt64($1) }
        }
        self.nextNode = try Self.point(records.removeValue(forKey: 4))
        self.pathID = records.removeValue(forKey: 6)
        self.nextPathKeyOverride = try Self.point(records.removeValue(forKey: 8))
        self.allowedFeatures = records.removeValue(forKey: 14)
        self.others = records
    }

    /// The TLV stream.
    public var encoded: [UInt8] {
        var records = self.others
        records[1] = self.padding
        records[2] = self.shortChannelID.map { number in
            var bytes: [UInt8] = []
            bytes.appendBigEndian(number)
            return bytes
        }
        records[4] = self.nextNode?.bytes
        records[6] = self.pathID
        records[8] = self.nextPathKeyOverride?.bytes
        records[14] = self.allowedFeatures
        return Records.encode(records)
    }

    /// The streams of all nodes of a path, with padding that gives them one length, so that whoever uses the path
    /// cannot tell the nodes apart by it (BOLT 4: SHOULD). Replaces what padding they have.
    public static func encodings(ofOneLength all: [EncryptedRecipientData]) -> [[UInt8]] {
        let bare = all.map { data in
            var data = data
            data.padding = nil
            return data
        }
        let lengths = bare.map(\.encoded.count)
        guard var length = lengths.max(), Set(lengths).count > 1 else { return bare.map(\.encoded) }
        // Padding takes two bytes even when it is empty, and four from 253 bytes on: a record of 255 or 256 bytes does
        // not exist. At one of the next few lengths it fits everywhere.
        length += 2
        while lengths.contains(where: { [255, 256].contains(length - $0) }) { length += 1 }
        return zip(bare, lengths).map { data, bareLength in
            var data = data
            let record = length - bareLength
            data.padding = [UInt8](repeating: 0, count: record - (record < 255 ? 2 : 4))
            return data.encoded
        }
    }

    private static func point(_ bytes: [UInt8]?) throws(OnionError) -> NodeID? {
        guard let bytes else { return nil }
        guard let node = NodeID(bytes: bytes) else { throw .badKey }
        return node
    }

    /// Why the data of a node that is not the last are refused.
    static let noNextNode = "the data for a node of a blinded path name no next node"
}
