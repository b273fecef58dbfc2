// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetKeys
internal import Crypto

/// Why bytes or a text are no peer id.
public enum PeerIDError: Error, Hashable, Sendable, CustomStringConvertible {
    case empty
    case tooLong(Int)
    /// The text has a character that its base does not have, or does not start as a peer id does.
    case badText
    /// No multihash: its code or length is cut off or not in its shortest form, or bytes follow or are missing.
    case badMultihash
    /// A hash function that peer ids do not use.
    case hashFunction(UInt64)
    /// A CID of something else than a libp2p key.
    case codec(UInt64)

    public var description: String {
        switch self {
        case .empty: "a peer id is empty"
        case .tooLong(let count): "a peer id has \(count) bytes or characters, which is more than any has"
        case .badText:
            "this is no peer id: they start with 12D3Koo, 16Uiu2, Qm or bafz and have letters and digits only"
        case .badMultihash: "a peer id is no well-formed multihash"
        case .hashFunction(let code): "a peer id uses the hash function \(code); only identity and SHA-256 are in use"
        case .codec(let code): "the identifier is of something else (codec \(code)), not of a libp2p key"
        }
    }
}

/// Who a peer is: the multihash of its public key (libp2p's peer id specification).
///
/// Keys of up to 42 bytes, Ed25519 and secp256k1, are in the id itself; longer ones are hashed with SHA-256.
public struct PeerID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The longest public key, encoded, that is kept whole in the id.
    public static let maximumInlineKey = 42
    /// Longer texts are no peer ids: a hash in the longest form has about 70 characters.
    public static let maximumTextLength = 128

    /// The longest id, in bytes: code and length take one byte each.
    private static let maximumSize = Self.maximumInlineKey + 2
    private static let identity: UInt64 = 0x00
    private static let sha256: UInt64 = 0x12
    private static let libp2pKey: UInt64 = 0x72

    /// The multihash.
    public let bytes: [UInt8]

    /// Takes a multihash.
    public init(bytes: some Collection<UInt8>) throws(PeerIDError) {
        guard !bytes.isEmpty else { throw .empty }
        guard bytes.count <= Self.maximumSize else { throw .tooLong(bytes.count) }
        let bytes = Array(bytes)
        try Self.check(bytes[...])
        self.bytes = bytes
    }

    /// Whether bytes are a peer id.
    static func isValid(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard bytes.count <= Self.maximumSize else { return false }
        return (try? Self.check(bytes)) != nil
    }

    private static func check(_ bytes: ArraySlice<UInt8>) throws(PeerIDError) {
        var index = bytes.startIndex
        guard let code = try? UnsignedVarint.read(bytes, at: &index),
            let size = try? UnsignedVarint.read(bytes, at: &index), size == UInt64(bytes.endIndex - index)
        else { throw .badMultihash }
        switch code {
        case Self.identity: guard size > 0 else { throw .badMultihash }
        case Self.sha256: guard size == 32 else { throw .badMultihash }
        default: throw .hashFunction(code)
        }
    }

    /// The id of whoever holds the private key.
    public init(_ key: PeerPublicKey) {
        let encoded = key.protobuf
        if encoded.count <= Self.maximumInlineKey {
            self.bytes = [UInt8(Self.identity), UInt8(encoded.count)] + encoded
        } else {
            self.bytes = [UInt8(Self.sha256), 32] + Array(SHA256.hash(data: encoded))
        }
    }

    /// The id of a Lightning node: that of its key.
    public init?(_ node: NodeID) {
        guard let key = try? PeerPublicKey(kind: .secp256k1, data: node.bytes) else { return nil }
        self.init(key)
    }

    /// The Lightning node whose key the id is made of; nil when it is another kind of key, or only a key's hash.
    public var lightningNode: NodeID? {
        guard let key = self.embeddedKey, key.kind == .secp256k1 else { return nil }
        return NodeID(bytes: key.data)
    }

    /// What a driver says it is called: a peer id, or the key of a Lightning node in hexadecimal digits. Nil for anything
    /// else.
    public init?(identity text: String) {
        if let node = NodeID(hex: text) {
            self.init(node)
        } else if let peer = try? PeerID(text: text) {
            self = peer
        } else {
            return nil
        }
    }

    /// Reads either text form: base 58 (`12D3…`, `16Uiu2…`, `Qm…`), or a CID of version 1 in any usual multibase.
    public init(text: String) throws(PeerIDError) {
        guard !text.isEmpty else { throw .empty }
        guard text.utf8.count <= Self.maximumTextLength else { throw .tooLong(text.utf8.count) }
        if text.hasPrefix("1") || text.hasPrefix("Qm") {
            guard let bytes = PositionalText.base58.decode(text.utf8) else { throw .badText }
            try self.init(bytes: bytes)
            return
        }
        guard let decoded = Multibase.decode(Array(text.utf8)) else { throw .badText }
        var reader = ByteReader(decoded)
        guard let version = try? UnsignedVarint.read(from: &reader), version == 1,
            let codec = try? UnsignedVarint.read(from: &reader)
        else { throw .badMultihash }
        guard codec == Self.libp2pKey else { throw .codec(codec) }
        try self.init(bytes: reader.rest())
    }

    /// In base 58, as peer ids are usually shown.
    public var description: String { PositionalText.base58.encode(self.bytes) }

    /// As a CID of version 1 in base 32, the newer form.
    public var cidText: String { "b" + Base32.encode([1, UInt8(Self.libp2pKey)] + self.bytes) }

    /// The public key, where the id holds it whole and it is one that we know.
    public var embeddedKey: PeerPublicKey? {
        guard self.bytes.first == UInt8(Self.identity) else { return nil }
        return try? PeerPublicKey(protobuf: self.bytes.dropFirst(2))
    }

    public static func < (left: Self, right: Self) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}
