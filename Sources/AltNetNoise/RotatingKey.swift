// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Crypto

/// One direction's key with its nonce and chaining key (BOLT 8, "Lightning Message Key Rotation").
struct RotatingKey: Sendable {
    /// BOLT 8: a key is replaced after it encrypted or decrypted 1000 times.
    static let usesPerKey: UInt64 = 1000
    /// Poly1305 tags are 16 bytes.
    static let tagSize = 16

    private var chainingKey: SymmetricKey
    private var key: SymmetricKey
    private var nonce: UInt64 = 0

    init(chainingKey: SymmetricKey, key: SymmetricKey) {
        self.chainingKey = chainingKey
        self.key = key
    }

    /// Encrypts a message and appends ciphertext and tag.
    mutating func seal(_ message: UnsafeRawBufferPointer, into output: inout [UInt8]) {
        guard let box = try? ChaChaPoly.seal(message, using: self.key, nonce: ChaChaPoly.Nonce(counter: self.nonce))
        else { preconditionFailure("sealing fails for a wrong size of key or nonce only, and both are fixed") }
        // The combined form is nonce, ciphertext, tag: the last two are what BOLT 8 sends, in one copy.
        output.append(contentsOf: box.combined.dropFirst(ChaChaPoly.Nonce.size))
        self.advance()
    }

    /// Decrypts a ciphertext followed by its tag; `nil` when the tag does not fit.
    mutating func open(_ sealed: UnsafeRawBufferPointer) -> [UInt8]? {
        // The library copies what it is given in any case. Given the parts, it copies them one after the other into
        // memory that grows; given nonce, ciphertext and tag in one piece, it copies once: nearly twice as fast.
        let combined = [UInt8](unsafeUninitializedCapacity: ChaChaPoly.Nonce.size + sealed.count) { buffer, count in
            let memory = UnsafeMutableRawBufferPointer(buffer)
            memory.storeBytes(of: 0, as: UInt32.self)
            memory.storeBytes(of: self.nonce.littleEndian, toByteOffset: 4, as: UInt64.self)
            UnsafeMutableRawBufferPointer(rebasing: memory[ChaChaPoly.Nonce.size...]).copyMemory(from: sealed)
            count = memory.count
        }
        guard let box = try? ChaChaPoly.SealedBox(combined: combined),
            let message = try? ChaChaPoly.open(box, using: self.key)
        else { return nil }
        self.advance()
        return Array(message)
    }

    private mutating func advance() {
        self.nonce += 1
        guard self.nonce == Self.usesPerKey else { return }
        (self.chainingKey, self.key) = HandshakeHash.derive(salt: self.chainingKey, input: self.key)
        self.nonce = 0
    }
}

extension ChaChaPoly.Nonce {
    /// The size of a nonce, in bytes.
    static let size = 12

    /// BOLT 8: 32 zero bits, followed by a little-endian 64-bit value.
    init(counter: UInt64) throws {
        let words = (UInt32(0), UInt32(truncatingIfNeeded: counter).littleEndian, UInt32(counter >> 32).littleEndian)
        self = try Swift.withUnsafeBytes(of: words) { try Self(data: $0) }
    }
}
