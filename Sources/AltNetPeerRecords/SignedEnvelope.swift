// SPDX-License-Identifier: MIT

/// Why bytes are no envelope that counts.
public enum EnvelopeError: Error, Hashable, Sendable, CustomStringConvertible {
    case tooLong(Int)
    case malformed(ProtobufError)
    /// A field that the envelope needs is not there.
    case missing(String)
    /// A field is there twice, or is of another kind.
    case badField(Int)
    case key(PeerKeyError)
    /// The envelope holds something else than what was asked for.
    case payloadType([UInt8])
    /// Not signed by the key in it, or for another domain.
    case badSignature
    /// Domain or payload type are empty, so that the signature would count for others too.
    case noDomain
    /// The key cannot sign.
    case signing

    public var description: String {
        switch self {
        case .tooLong(let count): "an envelope has \(count) bytes, and may have \(SignedEnvelope.maximumSize)"
        case .malformed(let error): "an envelope is malformed: \(error)"
        case .missing(let field): "an envelope lacks its \(field)"
        case .badField(let number): "an envelope has field \(number) twice, or of a wrong kind"
        case .key(let error): error.description
        case .payloadType: "an envelope holds something else than was asked for"
        case .badSignature: "an envelope's signature is not genuine, or was made for another purpose"
        case .noDomain: "an envelope needs a domain and a payload type"
        case .signing: "the key could not sign"
        }
    }
}

/// A payload of any kind with a signature and the key to check it (libp2p RFC 0002).
///
/// The signature covers a domain that is not in the envelope, so that one made for one purpose counts for no other. An
/// envelope that exists is genuine: there is no way to make one without signing or verifying.
public struct SignedEnvelope: Hashable, Sendable {
    /// The longest envelope, in bytes: what go-libp2p reads in one identify message. A record of 100 usual addresses
    /// fits.
    public static let maximumSize = 8_192

    public let publicKey: PeerPublicKey
    /// How to interpret the payload: a multicodec or a path.
    public let payloadType: [UInt8]
    public let payload: [UInt8]
    public let signature: [UInt8]
    /// The wire form. Of a foreign envelope, without what nobody signed.
    public let bytes: [UInt8]

    /// Signs a payload.
    public init(
        sealing payload: [UInt8], type: [UInt8], domain: String, key: PeerPrivateKey
    ) throws(EnvelopeError) {
        guard !domain.isEmpty, !type.isEmpty else { throw .noDomain }
        guard let signature = key.signature(for: Self.signedBytes(domain, type[...], payload[...])) else {
            throw .signing
        }
        self.publicKey = key.publicKey
        self.payloadType = type
        self.payload = payload
        self.signature = signature
        self.bytes = Self.encoded(key.publicKey.protobuf[...], type[...], payload[...], signature[...])
        guard self.bytes.count <= Self.maximumSize else { throw .tooLong(self.bytes.count) }
    }

    /// Takes an envelope apart and verifies it for a domain and a payload type; nobody sees the payload of one that is
    /// not genuine.
    public init(opening bytes: some Collection<UInt8>, domain: String, type: [UInt8]) throws(EnvelopeError) {
        guard bytes.count <= Self.maximumSize else { throw .tooLong(bytes.count) }
        try self.init(UnverifiedEnvelope(Array(bytes)), domain: domain, type: type)
    }

    init(_ envelope: UnverifiedEnvelope, domain: String, type: [UInt8]) throws(EnvelopeError) {
        guard envelope.payloadType.elementsEqual(type) else {
            throw .payloadType(Array(envelope.payloadType.prefix(32)))
        }
        let (kind, data): (PeerKeyKind, [UInt8])
        do {
            (kind, data) = try envelope.keyFields()
        } catch {
            throw .key(error)
        }
        let signature = Array(envelope.signature)
        let signed = Self.signedBytes(domain, envelope.payloadType, envelope.payload)
        switch PeerPublicKey.check(signature, of: signed, by: kind, data) {
        case .genuine: break
        case .forged: throw .badSignature
        case .noKey: throw .key(.badKey(kind))
        }
        self.publicKey = PeerPublicKey(valid: kind, data)
        self.payloadType = type
        self.payload = Array(envelope.payload)
        self.signature = signature
        self.bytes = Self.encoded(
            self.publicKey.protobuf[...], envelope.payloadType, envelope.payload, envelope.signature)
        guard self.bytes.count <= Self.maximumSize else { throw .tooLong(self.bytes.count) }
    }

    /// Who signed.
    public var signer: PeerID { PeerID(self.publicKey) }

    /// RFC 0002, "Wire Format".
    private static func encoded(
        _ key: ArraySlice<UInt8>, _ type: ArraySlice<UInt8>, _ payload: ArraySlice<UInt8>,
        _ signature: ArraySlice<UInt8>
    ) -> [UInt8] {
        var writer = ProtobufWriter(capacity: key.count + type.count + payload.count + signature.count + 16)
        writer.bytes(1, key)
        writer.bytes(2, type)
        writer.bytes(3, payload)
        writer.bytes(5, signature)
        return writer.encoded
    }

    /// RFC 0002, "Signature Production / Verification".
    private static func signedBytes(
        _ domain: String, _ type: ArraySlice<UInt8>, _ payload: ArraySlice<UInt8>
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(domain.utf8.count + type.count + payload.count + 9)
        UnsignedVarint.append(UInt64(domain.utf8.count), to: &bytes)
        bytes.append(contentsOf: domain.utf8)
        for part in [type, payload] {
            UnsignedVarint.append(UInt64(part.count), to: &bytes)
            bytes.append(contentsOf: part)
        }
        return bytes
    }
}

/// The fields of an envelope of which nobody knows whether it is genuine: for opening it, and for showing an operator
/// what it would say.
public struct UnverifiedEnvelope: Hashable, Sendable {
    let key: ArraySlice<UInt8>
    /// How to interpret the payload, says whoever made the envelope.
    public let payloadType: ArraySlice<UInt8>
    /// What nobody may rely on.
    public let payload: ArraySlice<UInt8>
    public let signature: ArraySlice<UInt8>

    /// Takes an envelope apart. ``SignedEnvelope/maximumSize`` holds here, too.
    public init(_ bytes: [UInt8]) throws(EnvelopeError) {
        guard bytes.count <= SignedEnvelope.maximumSize else { throw .tooLong(bytes.count) }
        var key: ArraySlice<UInt8>?
        var payloadType: ArraySlice<UInt8>?
        var payload: ArraySlice<UInt8>?
        var signature: ArraySlice<UInt8>?
        var reader = ProtobufReader(bytes[...])
        while let (field, value) = try Self.next(&reader) {
            switch field {
            case 1: try Self.set(&key, field, value)
            case 2: try Self.set(&payloadType, field, value)
            case 3: try Self.set(&payload, field, value)
            case 5: try Self.set(&signature, field, value)
            // Others may come one day; the signature does not cover them, so they are not looked at, and not kept.
            default: break
            }
        }
        guard let key else { throw .missing("public key") }
        guard let signature else { throw .missing("signature") }
        self.key = key
        // Protocol Buffers 3 leaves empty fields out.
        self.payloadType = payloadType ?? []
        self.payload = payload ?? []
        self.signature = signature
    }

    /// Whose the envelope says it is.
    public func publicKey() throws(PeerKeyError) -> PeerPublicKey {
        let (kind, data) = try self.keyFields()
        return try PeerPublicKey(kind: kind, data: data)
    }

    /// Kind and data of the key.
    ///
    /// py-libp2p leaves the kind out when it is 0, RSA, which only an envelope allows: the id of the peer follows from
    /// the key in full, and that is how the envelope is handed on.
    func keyFields() throws(PeerKeyError) -> (PeerKeyKind, [UInt8]) {
        guard self.key.count <= PeerPublicKey.maximumSize else { throw .tooLong(self.key.count) }
        let isWithoutKind = self.key.first == Self.dataField
        return try PeerPublicKey.fields(of: isWithoutKind ? Self.rsaKind[...] + self.key : self.key)
    }

    private static let dataField: UInt8 = 2 << 3 | 2
    private static let rsaKind: [UInt8] = [1 << 3, UInt8(PeerKeyKind.rsa.rawValue)]

    private static func next(
        _ reader: inout ProtobufReader
    ) throws(EnvelopeError) -> (field: Int, value: ProtobufValue)? {
        do {
            return try reader.next()
        } catch {
            throw .malformed(error)
        }
    }

    private static func set(
        _ bytes: inout ArraySlice<UInt8>?, _ field: Int, _ value: ProtobufValue
    ) throws(EnvelopeError) {
        guard bytes == nil, let found = value.bytes else { throw .badField(field) }
        bytes = found
    }
}
