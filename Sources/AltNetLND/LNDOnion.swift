// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningAttachment
internal import Crypto

/// An onion message as LND tells of it: peeled, but with the data of its blinded path still encrypted.
struct LNDOnion: Hashable, Sendable {
    /// Fields that are taken. Together with all else they fit into one Lightning message.
    static let maximumFields = 64
    /// The records of `encrypted_data_tlv` (BOLT 4): padding, short_channel_id, next_node_id, path_id,
    /// next_path_key_override, payment_relay, payment_constraints, allowed_features.
    private static let knownRecords: Set<UInt64> = [1, 2, 4, 6, 8, 10, 12, 14]
    private static let pathID: UInt64 = 6

    let fields: [UInt64: [UInt8]]
    let replyPath: [UInt8]?
    /// `path_key` as it arrived.
    let pathKey: NodeID
    let encryptedData: [UInt8]

    /// Whether a message is for us. LND tells also of those that it forwards; the last hop alone has fields of 64 and
    /// above, and a message of ours has such a field always.
    static func isForUs(_ update: Lnrpc_OnionMessageUpdate) -> Bool { !update.customRecords.isEmpty }

    /// Reads a message; `nil` for one that its sender made against the rules.
    init?(_ update: Lnrpc_OnionMessageUpdate) {
        guard update.customRecords.count <= Self.maximumFields, let pathKey = NodeID(bytes: update.pathKey) else {
            return nil
        }
        self.fields = update.customRecords.mapValues { Array($0) }
        self.pathKey = pathKey
        self.encryptedData = Array(update.encryptedRecipientData)
        guard update.hasReplyPath else {
            self.replyPath = nil
            return
        }
        guard let path = Self.bytes(of: update.replyPath) else { return nil }
        self.replyPath = path
    }

    /// Its size, for the bounds of ``LNDInbox``.
    var count: Int {
        self.fields.values.reduce(self.encryptedData.count + (self.replyPath?.count ?? 0)) { $0 + $1.count }
    }

    /// As the users of an attachment know it.
    ///
    /// - Parameter secret: the node's shared secret with ``pathKey``, which opens the encrypted data.
    func delivery(secret: [UInt8]?) -> OnionDelivery {
        let path = secret.flatMap { Self.pathID(in: self.encryptedData, secret: $0) }
        return OnionDelivery(fields: self.fields, replyPath: self.replyPath, pathSecret: path)
    }

    /// BOLT 4's `blinded_path`.
    private static func bytes(of path: Lnrpc_BlindedPath) -> [UInt8]? {
        let introduction = path.introductionNode.count
        guard introduction == NodeID.size || introduction == 9, path.blindingPoint.count == NodeID.size,
            let hops = UInt8(exactly: path.blindedHops.count), hops > 0
        else { return nil }
        var bytes = Array(path.introductionNode) + path.blindingPoint + [hops]
        for hop in path.blindedHops {
            guard hop.blindedNode.count == NodeID.size, let length = UInt16(exactly: hop.encryptedData.count) else {
                return nil
            }
            bytes += hop.blindedNode
            bytes += [UInt8(length >> 8), UInt8(length & 0xff)]
            bytes += hop.encryptedData
        }
        return bytes
    }

    /// `path_id` of the data, or `nil` when there is none or the data cannot be opened (BOLT 4, "Route Blinding").
    private static func pathID(in encrypted: [UInt8], secret: [UInt8]) -> [UInt8]? {
        let key = HMAC<SHA256>.authenticationCode(for: secret, using: SymmetricKey(data: Array("rho".utf8)))
        guard let nonce = try? ChaChaPoly.Nonce(data: [UInt8](repeating: 0, count: 12)), encrypted.count >= 16,
            let box = try? ChaChaPoly.SealedBox(
                nonce: nonce, ciphertext: encrypted.dropLast(16), tag: encrypted.suffix(16)),
            let data = try? ChaChaPoly.open(box, using: SymmetricKey(data: key))
        else { return nil }
        var reader = ByteReader(Array(data))
        return (try? TLVStream(&reader, known: Self.knownRecords))?.values[Self.pathID].map { Array($0) }
    }
}
