// SPDX-License-Identifier: MIT

public import AltNetKeys
public import Crypto

/// A peer's private key: Ed25519 or secp256k1. No description shows it.
public struct PeerPrivateKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private enum Secret: Sendable {
        case ed25519(Curve25519.Signing.PrivateKey)
        case secp256k1(NodePrivateKey)
    }

    public let publicKey: PeerPublicKey
    private let secret: Secret

    /// Who holds this key.
    public var peerID: PeerID { PeerID(self.publicKey) }

    public init(_ key: Curve25519.Signing.PrivateKey) {
        self.publicKey = PeerPublicKey(valid: .ed25519, Array(key.publicKey.rawRepresentation))
        self.secret = .ed25519(key)
    }

    /// A Lightning node's key, or any other on secp256k1.
    public init(_ key: NodePrivateKey) {
        self.publicKey = PeerPublicKey(valid: .secp256k1, key.publicKey.bytes)
        self.secret = .secp256k1(key)
    }

    /// The Ed25519 key that follows from 32 random bytes; `nil` for any other length.
    public static func ed25519(seed: [UInt8]) -> PeerPrivateKey? {
        (try? Curve25519.Signing.PrivateKey(rawRepresentation: seed)).map { PeerPrivateKey($0) }
    }

    /// The secp256k1 key of 32 bytes; `nil` for zero, for numbers not below the curve's order and for other lengths.
    public static func secp256k1(_ bytes: [UInt8]) -> PeerPrivateKey? {
        NodePrivateKey(bytes: bytes).map { PeerPrivateKey($0) }
    }

    /// Takes a libp2p `PrivateKey` message, the form of key files; Ed25519 also in the older form with the public key
    /// twice.
    public init(protobuf: some Collection<UInt8>) throws(PeerKeyError) {
        guard protobuf.count <= Self.maximumSize else { throw .tooLong(protobuf.count) }
        let (kind, data) = try PeerPublicKey.fields(of: protobuf)
        switch kind {
        case .ed25519:
            guard data.count == 64 || data.count == 96 && data[32..<64] == data[64..<96],
                let key = Self.ed25519(seed: Array(data[..<32])), key.publicKey.data == Array(data[32..<64])
            else { throw .badKey(kind) }
            self = key
        case .secp256k1:
            guard let key = Self.secp256k1(data) else { throw .badKey(kind) }
            self = key
        case .rsa, .ecdsa: throw .cannotSign(kind)
        }
    }

    /// The longest encoded key that is looked at, in bytes: an RSA key of 8,192 bits has 4,700.
    public static let maximumSize = 8_192

    /// libp2p's `PrivateKey` message, for writing a key file and for nothing else.
    public var protobuf: [UInt8] {
        switch self.secret {
        case .ed25519(let key): PeerPublicKey.encoded(.ed25519, Array(key.rawRepresentation) + self.publicKey.data)
        case .secp256k1(let key): PeerPublicKey.encoded(.secp256k1, key.secretBytes)
        }
    }

    /// A signature as the key's kind makes it; `nil` if the library cannot, which it can with every key made here.
    public func signature(for message: [UInt8]) -> [UInt8]? {
        switch self.secret {
        case .ed25519(let key): (try? key.signature(for: message)).map { Array($0) }
        case .secp256k1(let key): key.signature(for: message)
        }
    }

    /// Never the key itself: only whose it is.
    public var description: String { "PeerPrivateKey(redacted, of \(self.peerID))" }

    /// Never the key itself: only whose it is.
    public var debugDescription: String { self.description }

    /// Shows no children, so that `dump` cannot print the key either.
    public var customMirror: Mirror { Mirror(self, children: []) }
}
