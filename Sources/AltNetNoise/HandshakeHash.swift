// SPDX-License-Identifier: MIT

internal import AltNetKeys
internal import Crypto

/// The chaining key and the handshake digest, which both sides keep alike (BOLT 8, "Handshake State").
struct HandshakeHash: Sendable {
    /// BOLT 8: "the official protocol name for the Lightning variant of Noise".
    static let protocolName = "Noise_XK_secp256k1_ChaChaPoly_SHA256"
    /// BOLT 8: `prologue` is the ASCII string `lightning`.
    static let prologue = "lightning"

    private(set) var chainingKey: SymmetricKey
    private var digest: [UInt8]

    /// The state before act one. Both sides mix in the static public key of the responder.
    init(responder: NodeID) {
        self.digest = Array(SHA256.hash(data: Array(Self.protocolName.utf8)))
        self.chainingKey = SymmetricKey(data: self.digest)
        self.mix(Array(Self.prologue.utf8))
        self.mix(responder.bytes)
    }

    /// `h = SHA-256(h || bytes)`.
    mutating func mix(_ bytes: [UInt8]) {
        self.digest = Array(SHA256.hash(data: self.digest + bytes))
    }

    /// `ck, temp_k = HKDF(ck, secret)`; gives the temporary key.
    mutating func mixKey(_ secret: SymmetricKey) -> SymmetricKey {
        let (chainingKey, temporaryKey) = Self.derive(salt: self.chainingKey, input: secret)
        self.chainingKey = chainingKey
        return temporaryKey
    }

    /// `encryptWithAD(key, nonce, h, plaintext)`, mixed into the digest.
    mutating func seal(_ plaintext: [UInt8], key: SymmetricKey, nonce: UInt64) -> [UInt8] {
        guard
            let box = try? ChaChaPoly.seal(
                plaintext,
                using: key,
                nonce: ChaChaPoly.Nonce(counter: nonce),
                authenticating: self.digest
            )
        else { preconditionFailure("sealing fails for a wrong size of key or nonce only, and both are fixed") }
        let sealed = Array(box.combined.dropFirst(ChaChaPoly.Nonce.size))
        self.mix(sealed)
        return sealed
    }

    /// `decryptWithAD(key, nonce, h, sealed)`, mixed into the digest; `nil` when the tag does not fit.
    mutating func open(_ sealed: [UInt8], key: SymmetricKey, nonce: UInt64) -> [UInt8]? {
        guard let nonce = try? ChaChaPoly.Nonce(counter: nonce),
            let box = try? ChaChaPoly.SealedBox(
                nonce: nonce,
                ciphertext: sealed.dropLast(RotatingKey.tagSize),
                tag: sealed.suffix(RotatingKey.tagSize)
            ),
            let plaintext = try? ChaChaPoly.open(box, using: key, authenticating: self.digest)
        else { return nil }
        self.mix(sealed)
        return Array(plaintext)
    }

    /// BOLT 8's `HKDF(salt, ikm)` with empty info: 64 bytes, given as two keys.
    static func derive(salt: SymmetricKey, input: SymmetricKey) -> (SymmetricKey, SymmetricKey) {
        let both = salt.withUnsafeBytes { salt in
            HKDF<SHA256>.deriveKey(inputKeyMaterial: input, salt: salt, outputByteCount: 64)
        }
        return both.withUnsafeBytes { (SymmetricKey(data: $0.prefix(32)), SymmetricKey(data: $0.suffix(32))) }
    }
}
