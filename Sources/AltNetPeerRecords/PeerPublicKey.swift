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
        Self.check(Array(signature), of: Array(message), by: self.kind, self.data) == .genuine
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
        guard let (first, type) = try Self.next(&reader), first == 1, let number = type.number,
            let (second, value) = try Self.next(&reader), second == 2, let data = value.bytes,
            try Self.next(&reader) == nil
        else { throw .notCanonical }
        guard let kind = PeerKeyKind(rawValue: number) else { throw .unknownKind(number) }
        return (kind, Array(data))
    }

    private static func next(
        _ reader: inout ProtobufReader
    ) throws(PeerKeyError) -> (field: Int, value: ProtobufValue)? {
        do {
            return try reader.next()
        } catch {
            throw .malformed(error)
        }
    }

    // MARK: - Signatures

    /// What a check of a signature shows.
    enum SignatureCheck {
        case genuine, forged, noKey
    }

    /// Checks the key and the signature, and reads the key only once: that costs a tenth of the whole.
    static func check(
        _ signature: [UInt8], of message: [UInt8], by kind: PeerKeyKind, _ data: [UInt8]
    ) -> SignatureCheck {
        switch kind {
        case .ed25519:
            guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: data) else { return .noKey }
            return key.isValidSignature(signature, for: message) ? .genuine : .forged
        case .secp256k1:
            guard let key = CurvePoint(bytes: data) else { return .noKey }
            return key.isValid(signature: signature, for: message) ? .genuine : .forged
        case .rsa:
            guard let key = Self.rsaKey(data) else { return .noKey }
            let isGenuine = key.isValidSignature(
                _RSA.Signing.RSASignature(rawRepresentation: signature), for: SHA256.hash(data: message),
                padding: .insecurePKCS1v1_5)
            return isGenuine ? .genuine : .forged
        case .ecdsa: return Self.checkECDSA(signature, of: SHA256.hash(data: message), by: data)
        }
    }

    private var isKey: Bool {
        switch self.kind {
        case .ed25519: (try? Curve25519.Signing.PublicKey(rawRepresentation: self.data)) != nil
        case .secp256k1: CurvePoint(bytes: self.data) != nil
        case .rsa: Self.rsaKey(self.data) != nil
        case .ecdsa:
            (try? P256.Signing.PublicKey(derRepresentation: self.data)) != nil
                || (try? P384.Signing.PublicKey(derRepresentation: self.data)) != nil
                || (try? P521.Signing.PublicKey(derRepresentation: self.data)) != nil
        }
    }

    private static func rsaKey(_ data: [UInt8]) -> _RSA.Signing.PublicKey? {
        guard let key = try? _RSA.Signing.PublicKey(derRepresentation: data),
            Self.rsaBits.contains(key.keySizeInBits)
        else { return nil }
        return key
    }

    private static func checkECDSA(_ bytes: [UInt8], of hash: SHA256Digest, by data: [UInt8]) -> SignatureCheck {
        let isGenuine: Bool?
        if let key = try? P256.Signing.PublicKey(derRepresentation: data) {
            let signature = try? P256.Signing.ECDSASignature(derRepresentation: bytes)
            isGenuine = signature.map { key.isValidSignature($0, for: hash) }
        } else if let key = try? P384.Signing.PublicKey(derRepresentation: data) {
            let signature = try? P384.Signing.ECDSASignature(derRepresentation: bytes)
            isGenuine = signature.map { key.isValidSignature($0, for: hash) }
        } else if let key = try? P521.Signing.PublicKey(derRepresentation: data) {
            let signature = try? P521.Signing.ECDSASignature(derRepresentation: bytes)
            isGenuine = signature.map { key.isValidSignature($0, for: hash) }
        } else {
            return .noKey
        }
        return isGenuine == true ? .genuine : .forged
    }
}
