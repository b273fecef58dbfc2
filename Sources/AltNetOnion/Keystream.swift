// SPDX-License-Identifier: MIT

internal import Crypto
internal import CryptoExtras

/// BOLT 4's pseudo-random byte stream: ChaCha20 with a nonce of zeros.
enum Keystream {
    /// ChaCha20 makes its stream in blocks of 64 bytes, which it counts.
    private static let blockSize = 64

    private static let nonce: Insecure.ChaCha20CTR.Nonce = {
        guard let nonce = try? Insecure.ChaCha20CTR.Nonce(data: [UInt8](repeating: 0, count: 12)) else {
            preconditionFailure("a nonce of twelve bytes has the only size that there is")
        }
        return nonce
    }()

    /// The bytes, XORed with the stream of `key` from its beginning.
    static func apply(_ key: SymmetricKey, to bytes: [UInt8]) -> [UInt8] {
        Self.apply(key, to: bytes, block: 0)
    }

    /// The bytes, XORed with the stream of `key` from byte `offset` on. Makes nothing of what lies before, but for the
    /// rest of a block.
    static func apply(_ key: SymmetricKey, to bytes: [UInt8], from offset: Int) -> [UInt8] {
        let (block, skipped) = offset.quotientAndRemainder(dividingBy: Self.blockSize)
        let aligned = [UInt8](repeating: 0, count: skipped) + bytes
        return Array(Self.apply(key, to: aligned, block: UInt32(block)).dropFirst(skipped))
    }

    private static func apply(_ key: SymmetricKey, to bytes: [UInt8], block: UInt32) -> [UInt8] {
        guard let counter = try? Insecure.ChaCha20CTR.Counter(offset: block),
            let result = try? Insecure.ChaCha20CTR.encrypt(bytes, using: key, counter: counter, nonce: Self.nonce)
        else { preconditionFailure("the cipher fails for a wrong size of its key only, and keys have 32 bytes here") }
        return Array(result)
    }
}
