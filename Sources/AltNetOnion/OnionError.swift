// SPDX-License-Identifier: MIT

/// Why an onion, a reply, a blinded path or a payload is refused, or cannot be built.
public enum OnionError: Error, Hashable, Sendable {
    /// A packet has another version than 0 (BOLT 4, `invalid_onion_version`).
    case unknownVersion(UInt8)
    /// A key is no point of the curve (BOLT 4, `invalid_onion_key`).
    case badKey
    /// The authentication code does not fit: somebody changed bytes on the way, or it is not for this key, or not with
    /// this associated data (BOLT 4, `invalid_onion_hmac`). Of a reply: no hop of the route made it.
    case badHMAC
    /// What was opened, or is to be sent, does not have the form that it must have (BOLT 4, `invalid_onion_payload`).
    case badPayload(String)
    /// `encrypted_recipient_data` does not decrypt with this node's key and path key.
    case badEncryptedData
    /// The payloads of a route need more bytes than the packet has.
    case tooLong(bytes: Int, limit: Int)
    /// A route has more hops than fit even with the shortest payloads, or a blinded path more than its format counts.
    case tooManyHops(Int, limit: Int)
    /// A route without hops.
    case emptyPath
    /// Bytes that are to be a packet or a reply have a length that none can have.
    case badLength(Int)
}

extension OnionError: CustomStringConvertible {
    /// What is wrong, as a fragment of a sentence.
    public var description: String {
        switch self {
        case .unknownVersion(let version): "an onion has the unknown version \(version)"
        case .badKey: "a key is no point of the curve"
        case .badHMAC: "the authentication code does not fit"
        case .badPayload(let detail): detail
        case .badEncryptedData: "the encrypted data for this node does not decrypt"
        case .tooLong(let bytes, let limit): "the route needs \(bytes) bytes, and the onion has \(limit)"
        case .tooManyHops(let count, let limit): "the route has \(count) hops, and \(limit) are allowed"
        case .emptyPath: "the route has no hops"
        case .badLength(let length): "it has \(length) bytes, which is no possible length"
        }
    }
}
