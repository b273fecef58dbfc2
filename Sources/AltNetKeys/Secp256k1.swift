// SPDX-License-Identifier: MIT

internal import CSecp256k1

/// The library context for the curve, made once for the whole process.
///
/// libsecp256k1 documents that functions which take a const context may run on several threads at once; nothing here
/// changes it after the start, so sharing it is safe.
final class Secp256k1: @unchecked Sendable {
    static let shared = Secp256k1()

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

    /// Whether 33 bytes are a point of the curve in compressed form.
    func isCompressedPoint(_ bytes: [UInt8]) -> Bool {
        // The library also takes the 65-byte forms: the length alone tells them apart.
        bytes.count == NodeID.size && self.parse(bytes) != nil
    }

    /// The SHA-256 of the compressed product of a public key and a private key, BOLT 8's `ECDH`.
    func sharedSecret(of publicKey: [UInt8], with privateKey: UnsafeRawBufferPointer) -> [UInt8]? {
        guard let context, var point = self.parse(publicKey), privateKey.count == 32,
            let scalar = privateKey.baseAddress
        else { return nil }
        return [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            let made = secp256k1_ecdh(context, start, &point, scalar.assumingMemoryBound(to: UInt8.self), nil, nil)
            count = made == 1 ? 32 : 0
        }
    }

    private func parse(_ bytes: [UInt8]) -> secp256k1_pubkey? {
        guard let context else { return nil }
        var point = secp256k1_pubkey()
        let parsed = bytes.withUnsafeBufferPointer { buffer in
            buffer.baseAddress.map { secp256k1_ec_pubkey_parse(context, &point, $0, buffer.count) } ?? 0
        }
        return parsed == 1 ? point : nil
    }
}
