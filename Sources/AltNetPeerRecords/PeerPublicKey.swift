// SPDX-License-Identifier: MIT

internal import AltNetKeys
internal import Crypto
internal import CryptoExtras

/// Why bytes are no key of a peer.
public enum PeerKeyError: Error, Hashable, Sendable, CustomStringConvertible {
    case malformed(ProtobufError)
    /// A field missing, out of order, given twice or unknown: a key has exactly one encoding.
    case notCanonical
    case unknownKind(UInt64)
    /// The data is no key of its kind: a point outside the curve, a wrong length, an RSA modulus that is too short.
    case badKey(PeerKeyKind)
    case tooLong(Int)
    /// Keys of this kind can be verified with, and not signed with.
    case cannotSign(PeerKeyKind)

    public var description: String {
        switch self {
        case .malformed(let error): "a key is malformed: \(error)"
        case .notCanonical: "a key is not in the one form that libp2p allows"
        case .unknownKind(let kind): "a key is of the unknown kind \(kind)"
        case .badKey(let kind): "this is no valid \(kind) key"
        case .tooLong(let count): "a key has \(count) bytes, and may have \(PeerPublicKey.maximumSize)"
        case .cannotSign(let kind): "signing with \(kind) keys is not supported; use an Ed25519 or secp256k1 key"
        }
    }
}

/// The kinds of key that libp2p knows, with the numbers of its `KeyType`.
public enum PeerKeyKind: UInt64, Hashable, Sendable, CustomStringConvertible {
    case rsa = 0, ed25519 = 1, secp256k1 = 2, ecdsa = 3

    public var description: String {
        switch self {
        case .rsa: "RSA"
        case .ed25519: "Ed25519"
        case .secp256k1: "secp256k1"
        case .ecdsa: "ECDSA"
        }
    }
}

/// A peer's public key (libp2p's peer id specification, "Keys").
public struct PeerPublicKey: Hashable, Sendable {
    /// The longest encoded key, in bytes: an RSA key of 8,192 bits has 1,062.
    public static let maximumSize = 1_100
    /// RSA moduli in bits, as go-libp2p takes them: shorter ones can be broken, longer ones cost the verifier.
    static let rsaBits = 2_048...8_192

    public let kind: PeerKeyKind
    /// In the form of its kind: 32 bytes for Ed25519, 33 for secp256k1, DER for the others.
    public let data: [UInt8]

    /// Takes a libp2p `PublicKey` message in its only allowed encoding, and checks that it is a key.
    public init(protobuf: some Collection<UInt8>) throws(PeerKeyError) {
        guard protobuf.count <= Self.maximumSize else { throw .tooLong(protobuf.count) }
        let (kind, data) = try Self.fields(of: protobuf)
        try self.init(kind: kind, data: data)
    }

    /// Takes a key in the form of its kind.
    public init(kind: PeerKeyKind, data: [UInt8]) throws(PeerKeyError) {
        self.kind = kind
        self.data = data
        guard self.isKey else { throw .badKey(kind) }
    }

    /// A key that is known to be one.
    init(valid kind: PeerKeyKind, _ data: [UInt8]) {
        self.kind = kind
        self.data = data
    }

    /// libp2p's `PublicKey` message.
    public var protobuf: [UInt8] { Self.encoded(self.kind, self.data) }

    /// Whether a signature of this key's owner over a message is genuine. Of malformed signatures, no.
    public func isValid(signature: some Collection<UInt8>, for message: some Collection<UInt8>) -> Bool {
        let (signature, message) = (Array(signature), Array(message))
        switch self.kind {
        case .ed25519:
            guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: self.data) else { return false }
            return key.isValidSignature(signature, for: message)
        case .secp256k1: return NodeID(bytes: self.data)?.isValid(signature: signature, for: message) ?? false
        case .rsa:
            guard let key = self.rsaKey else { return false }
            return key.isValidSignature(
                _RSA.Signing.RSASignature(rawRepresentation: signature), for: SHA256.hash(data: message),
                padding: .insecurePKCS1v1_5)
        case .ecdsa: return self.isValidECDSA(signature, for: SHA256.hash(data: message))
        }
    }

    // MARK: -

    static func encoded(_ kind: PeerKeyKind, _ data: [UInt8]) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.varint(1, kind.rawValue)
        writer.bytes(2, data)
        return writer.encoded
    }

    /// Kind and data of a `PublicKey` or `PrivateKey` message.
    static func fields(of protobuf: some Collection<UInt8>) throws(PeerKeyError) -> (PeerKeyKind, [UInt8]) {
        var reader = ProtobufReader(protobuf)
        do {
            guard let (first, type) = try reader.next(), first == 1, let number = type.number,
                let (second, value) = try reader.next(), second == 2, let data = value.bytes,
                try reader.next() == nil
            else { throw PeerKeyError.notCanonical }
            guard let kind = PeerKeyKind(rawValue: number) else { throw PeerKeyError.unknownKind(number) }
            return (kind, Array(data))
        } catch let error as ProtobufError {
            throw .malformed(error)
        } catch let error as PeerKeyError {
            throw error
        } catch {
            throw .notCanonical
        }
    }

    private var isKey: Bool {
        switch self.kind {
        case .ed25519: (try? Curve25519.Signing.PublicKey(rawRepresentation: self.data)) != nil
        case .secp256k1: NodeID(bytes: self.data) != nil
        case .rsa: self.rsaKey != nil
        case .ecdsa: self.isECDSAKey
        }
    }

    private var rsaKey: _RSA.Signing.PublicKey? {
        guard let key = try? _RSA.Signing.PublicKey(derRepresentation: self.data),
            Self.rsaBits.contains(key.keySizeInBits)
        else { return nil }
        return key
    }

    private var isECDSAKey: Bool {
        (try? P256.Signing.PublicKey(derRepresentation: self.data)) != nil
            || (try? P384.Signing.PublicKey(derRepresentation: self.data)) != nil
            || (try? P521.Signing.PublicKey(derRepresentation: self.data)) != nil
    }

    private func isValidECDSA(_ signature: [UInt8], for hash: SHA256Digest) -> Bool {
        if let key = try? P256.Signing.PublicKey(derRepresentation: self.data) {
            guard let signature = try? P256.Signing.ECDSASignature(derRepresentation: signature) else { return false }
            return key.isValidSignature(signature, for: hash)
        }
        if let key = try? P384.Signing.PublicKey(derRepresentation: self.data) {
            guard let signature = try? P384.Signing.ECDSASignature(derRepresentation: signature) else { return false }
            return key.isValidSignature(signature, for: hash)
        }
        if let key = try? P521.Signing.PublicKey(derRepresentation: self.data) {
            guard let signature = try? P521.Signing.ECDSASignature(derRepresentation: signature) else { return false }
            return key.isValidSignature(signature, for: hash)
        }
        return false
    }
}
