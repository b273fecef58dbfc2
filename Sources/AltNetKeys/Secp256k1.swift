// SPDX-License-Identifier: MIT

internal import CSecp256k1
internal import Crypto

/// The library context for the curve, made once for the whole process.
///
/// libsecp256k1 documents that functions which take a const context may run on several threads at once; nothing here
/// changes it after the start, so sharing it is safe.
final class Secp256k1: @unchecked Sendable {
    static let shared = Secp256k1()

    /// The longest DER form of a signature, in bytes.
    private static let maximumSignatureSize = 72

    private let context: OpaquePointer?

    private init() {
        self.context = secp256k1_context_create(UInt32(SECP256K1_CONTEXT_NONE))
    }

    /// The compressed public key of a private key, or `nil` when the number is zero or not below the curve's order.
    func publicKey(of privateKey: UnsafeRawBufferPointer) -> [UInt8]? {
        guard let context, privateKey.count == 32, let scalar = privateKey.baseAddress else { return nil }
        var point = secp256k1_pubkey()
        let made = secp256k1_ec_pubkey_create(context, &point, scalar.assumingMemoryBound(to: UInt8.self))
        guard made == 1 else { return nil }
        return self.serialize(point)
    }

    /// Whether 33 bytes are a point of the curve in compressed form.
    func isCompressedPoint(_ bytes: [UInt8]) -> Bool { self.parse(bytes) != nil }

    /// The SHA-256 of the compressed product of a point and a private key, BOLT 8's `ECDH`.
    func sharedSecret(of point: secp256k1_pubkey, with privateKey: UnsafeRawBufferPointer) -> SymmetricKey? {
        guard let context, privateKey.count == 32, let scalar = privateKey.baseAddress else { return nil }
        var point = point
        return Self.withSecretBytes { secret, start in
            let made = secp256k1_ecdh(context, start, &point, scalar.assumingMemoryBound(to: UInt8.self), nil, nil)
            return made == 1 ? SymmetricKey(data: secret) : nil
        }
    }

    /// The product of a private key and a number, or `nil` when the number is zero or not below the curve's order.
    func product(of privateKey: UnsafeRawBufferPointer, and factor: UnsafeRawBufferPointer) -> SymmetricKey? {
        guard let context, privateKey.count == 32, factor.count == 32, let factor = factor.baseAddress else {
            return nil
        }
        return Self.withSecretBytes { secret, start in
            secret.copyMemory(from: privateKey)
            let made = secp256k1_ec_seckey_tweak_mul(context, start, factor.assumingMemoryBound(to: UInt8.self))
            return made == 1 ? SymmetricKey(data: secret) : nil
        }
    }

    /// The product of a point and a number, or `nil` when the number is zero or not below the curve's order. Takes
    /// more or less time with other numbers, so the number MUST be known to whoever can measure that.
    func product(of point: secp256k1_pubkey, and factor: UnsafeRawBufferPointer) -> secp256k1_pubkey? {
        guard let context, factor.count == 32, let factor = factor.baseAddress else { return nil }
        var point = point
        let made = secp256k1_ec_pubkey_tweak_mul(context, &point, factor.assumingMemoryBound(to: UInt8.self))
        return made == 1 ? point : nil
    }

    /// An ECDSA signature in DER over a hash of 32 bytes, with the nonce of RFC 6979 and the smaller of its two forms.
    func signature(of hash: [UInt8], with privateKey: UnsafeRawBufferPointer) -> [UInt8]? {
        guard let context, hash.count == 32, privateKey.count == 32, let scalar = privateKey.baseAddress else {
            return nil
        }
        var signature = secp256k1_ecdsa_signature()
        let signed = secp256k1_ecdsa_sign(
            context, &signature, hash, scalar.assumingMemoryBound(to: UInt8.self), nil, nil)
        guard signed == 1 else { return nil }
        var length = Self.maximumSignatureSize
        let bytes = [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
            if let start = buffer.baseAddress,
                secp256k1_ecdsa_signature_serialize_der(context, start, &length, &signature) == 1
            {
                count = length
            }
        }
        return bytes.isEmpty ? nil : bytes
    }

    /// Whether an ECDSA signature in DER is one of the point's key over a hash of 32 bytes. Both forms of a signature
    /// count, as not all signers take the smaller one.
    func isValid(signature bytes: [UInt8], of hash: [UInt8], by point: secp256k1_pubkey) -> Bool {
        guard let context, hash.count == 32, bytes.count <= Self.maximumSignatureSize else { return false }
        var point = point
        var signature = secp256k1_ecdsa_signature()
        guard secp256k1_ecdsa_signature_parse_der(context, &signature, bytes, bytes.count) == 1 else { return false }
        var smaller = secp256k1_ecdsa_signature()
        _ = secp256k1_ecdsa_signature_normalize(context, &smaller, &signature)
        return secp256k1_ecdsa_verify(context, &smaller, hash, &point) == 1
    }

    /// The point that 33 bytes are in compressed form, or `nil`.
    func parse(_ bytes: [UInt8]) -> secp256k1_pubkey? {
        // The library also takes the 65-byte forms: the length alone tells them apart.
        guard let context, bytes.count == NodeID.size else { return nil }
        var point = secp256k1_pubkey()
        let parsed = bytes.withUnsafeBufferPointer { buffer in
            buffer.baseAddress.map { secp256k1_ec_pubkey_parse(context, &point, $0, buffer.count) } ?? 0
        }
        return parsed == 1 ? point : nil
    }

    /// The compressed form of a point.
    func serialize(_ point: secp256k1_pubkey) -> [UInt8]? {
        guard let context else { return nil }
        var point = point
        var length = NodeID.size
        let bytes = [UInt8](unsafeUninitializedCapacity: NodeID.size) { buffer, count in
            if let start = buffer.baseAddress,
                secp256k1_ec_pubkey_serialize(context, start, &length, &point, UInt32(SECP256K1_EC_COMPRESSED)) == 1
            {
                count = length
            }
        }
        return bytes.count == NodeID.size ? bytes : nil
    }

    /// 32 bytes for a secret on its way, overwritten at the end.
    private static func withSecretBytes(
        _ body: (UnsafeMutableRawBufferPointer, UnsafeMutablePointer<UInt8>) -> SymmetricKey?
    ) -> SymmetricKey? {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { bytes in
            bytes.initialize(repeating: 0)
            defer { bytes.update(repeating: 0) }
            return bytes.baseAddress.flatMap { body(UnsafeMutableRawBufferPointer(bytes), $0) }
        }
    }
}
