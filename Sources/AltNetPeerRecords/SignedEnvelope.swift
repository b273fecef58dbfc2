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
        case .signing: "the key could not sign"
        }
    }
}

/// A payload of any kind with a signature and the key to check it (libp2p RFC 0002).
///
/// The signature covers a domain that is not in the envelope, so that one made for one purpose counts for no other. An
/// envelope that exists is genuine: there is no way to make one without signing or verifying.
public struct SignedEnvelope: Hashable, Sendable {
    /// The longest envelope, in bytes: what go-libp2p reads in one identify message. A record of 100 addresses fits.
    public static let maximumSize = 8_192

    public let publicKey: PeerPublicKey
    /// How to interpret the payload: a multicodec or a path.
    public let payloadType: [UInt8]
    public let payload: [UInt8]
    public let signature: [UInt8]

    /// Signs a payload.
    public init(
        sealing payload: [UInt8], type: [UInt8], domain: String, key: PeerPrivateKey
    ) throws(EnvelopeError) {
        guard let signature = key.signature(for: Self.signedBytes(domain, type[...], payload[...])) else {
            throw .signing
        }
        self.publicKey = key.publicKey
        self.payloadType = type
        self.payload = payload
        self.signature = signature
        let count = self.bytes.count
        guard count <= Self.maximumSize else { throw .tooLong(count) }
    }

    /// Takes an envelope apart and verifies it for a domain and a payload type; nobody sees the payload of one that is
    /// not genuine.
    public init(opening bytes: some Collection<UInt8>, domain: String, type: [UInt8]) throws(EnvelopeError) {
        guard bytes.count <= Self.maximumSize else { throw .tooLong(bytes.count) }
        var fields: [Int: ArraySlice<UInt8>] = [:]
        var reader = ProtobufReader(bytes)
        do {
            while let (field, value) = try reader.next() {
                // Others may come one day; the signature does not cover them, so they are not looked at.
                guard [1, 2, 3, 5].contains(field) else { continue }
                guard let bytes = value.bytes, fields.updateValue(bytes, forKey: field) == nil else {
                    throw EnvelopeError.badField(field)
                }
            }
        } catch let error as EnvelopeError {
            throw error
        } catch let error as ProtobufError {
            throw .malformed(error)
        } catch {
            throw .badSignature
        }
        guard let key = fields[1] else { throw .missing("public key") }
        guard let signature = fields[5] else { throw .missing("signature") }
        // Protocol Buffers 3 leaves empty fields out.
        let (payloadType, payload) = (fields[2] ?? [], fields[3] ?? [])
        guard payloadType.elementsEqual(type) else { throw .payloadType(Array(payloadType.prefix(32))) }
        do {
            self.publicKey = try PeerPublicKey(protobuf: key)
        } catch {
            throw .key(error)
        }
        guard self.publicKey.isValid(signature: signature, for: Self.signedBytes(domain, payloadType, payload)) else {
            throw .badSignature
        }
        self.payloadType = Array(payloadType)
        self.payload = Array(payload)
        self.signature = Array(signature)
    }

    /// Who signed.
    public var signer: PeerID { PeerID(self.publicKey) }

    /// The wire form.
    public var bytes: [UInt8] {
        var writer = ProtobufWriter()
        writer.bytes(1, self.publicKey.protobuf)
        writer.bytes(2, self.payloadType)
        writer.bytes(3, self.payload)
        writer.bytes(5, self.signature)
        return writer.encoded
    }

    /// RFC 0002, "Signature Production / Verification".
    private static func signedBytes(_ domain: String, _ type: ArraySlice<UInt8>, _ payload: ArraySlice<UInt8>)
        -> [UInt8]
    {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(domain.utf8.count + type.count + payload.count + 9)
        for part in [Array(domain.utf8)[...], type, payload] {
            UnsignedVarint.append(UInt64(part.count), to: &bytes)
            bytes.append(contentsOf: part)
        }
        return bytes
    }
}
