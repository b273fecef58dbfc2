// SPDX-License-Identifier: MIT

internal import Crypto

/// One direction's key with its counter (Noise, section 5.1, "CipherState").
struct NoiseCipher: Sendable {
    /// Poly1305 tags are 16 bytes.
    static let tagSize = 16
    private static let nonceSize = 12

    private let key: SymmetricKey
    private var counter: UInt64 = 0

    init(key: SymmetricKey) {
        self.key = key
    }

    /// Encrypts, and appends ciphertext and tag.
    mutating func seal(
        _ plaintext: some Collection<UInt8>, authenticating data: [UInt8] = [], into output: inout [UInt8]
    ) throws(NoiseError) {
        guard let nonce = self.nonce else { throw .exhausted }
        guard let box = try? ChaChaPoly.seal(Array(plaintext), using: self.key, nonce: nonce, authenticating: data)
        else { preconditionFailure("sealing fails for a wrong size of key or nonce only, and both are fixed") }
        // The combined form is nonce, ciphertext, tag: the last two are what Noise sends, in one copy.
        output.append(contentsOf: box.combined.dropFirst(Self.nonceSize))
        self.counter += 1
    }

    /// Decrypts a ciphertext that its tag follows.
    mutating func open(
        _ sealed: some Collection<UInt8>, authenticating data: [UInt8] = []
    ) throws(NoiseError) -> [UInt8] {
        guard let nonce = self.nonce else { throw .exhausted }
        guard sealed.count >= Self.tagSize else { throw .tooShort(sealed.count) }
        // The library copies what it is given; one piece is copied once.
        guard let box = try? ChaChaPoly.SealedBox(combined: Array(nonce) + sealed),
            let plaintext = try? ChaChaPoly.open(box, using: self.key, authenticating: data)
        else { throw .badTag }
        self.counter += 1
        return Array(plaintext)
    }

    /// Noise, section 12.3: 32 zero bits, then the counter with its least significant byte first. The last value is
    /// reserved.
    private var nonce: ChaChaPoly.Nonce? {
        guard self.counter != .max else { return nil }
        let words = (
            UInt32(0), UInt32(truncatingIfNeeded: self.counter).littleEndian, UInt32(self.counter >> 32).littleEndian
        )
        return Swift.withUnsafeBytes(of: words) { try? ChaChaPoly.Nonce(data: $0) }
    }
}

/// The chaining key, the handshake digest and the current key (Noise, section 5.2, "SymmetricState").
struct NoiseSymmetricState: Sendable {
    private var chainingKey: SymmetricKey
    private(set) var digest: [UInt8]
    private var cipher: NoiseCipher?

    /// - Parameter protocolName: 32 bytes at most, so that it is the first digest itself.
    init(protocolName: String, prologue: [UInt8]) {
        let name = Array(protocolName.utf8)
        precondition(name.count <= SHA256.byteCount, "a longer name would have to be hashed")
        self.digest = name + [UInt8](repeating: 0, count: SHA256.byteCount - name.count)
        self.chainingKey = SymmetricKey(data: self.digest)
        self.mix(prologue)
    }

    /// `MixHash`.
    mutating func mix(_ bytes: some Collection<UInt8>) {
        self.digest = Array(SHA256.hash(data: self.digest + bytes))
    }

    /// `MixKey` with the result of a key agreement.
    mutating func mix(_ secret: SharedSecret) {
        let input = secret.withUnsafeBytes { SymmetricKey(data: $0) }
        let (chainingKey, key) = self.derive(from: input)
        self.chainingKey = chainingKey
        self.cipher = NoiseCipher(key: key)
    }

    /// `EncryptAndHash`: as it is while there is no key.
    mutating func seal(_ plaintext: [UInt8], into output: inout [UInt8]) throws(NoiseError) {
        var sealed: [UInt8] = []
        if self.cipher == nil {
            sealed = plaintext
        } else {
            try self.cipher?.seal(plaintext, authenticating: self.digest, into: &sealed)
        }
        self.mix(sealed)
        output.append(contentsOf: sealed)
    }

    /// `DecryptAndHash`: as it is while there is no key.
    mutating func open(_ sealed: ArraySlice<UInt8>) throws(NoiseError) -> [UInt8] {
        guard let plaintext = try self.cipher?.open(sealed, authenticating: self.digest) else {
            self.mix(sealed)
            return Array(sealed)
        }
        self.mix(sealed)
        return plaintext
    }

    /// `Split`: what the initiator sends with, and what the responder sends with.
    func split() -> (initiator: NoiseCipher, responder: NoiseCipher) {
        let (first, second) = self.derive(from: SymmetricKey(data: [UInt8]()))
        return (NoiseCipher(key: first), NoiseCipher(key: second))
    }

    /// Noise's `HKDF` with two outputs is RFC 5869's with empty info.
    private func derive(from input: SymmetricKey) -> (SymmetricKey, SymmetricKey) {
        let both = self.chainingKey.withUnsafeBytes { salt in
            HKDF<SHA256>.deriveKey(inputKeyMaterial: input, salt: salt, outputByteCount: 64)
        }
        return both.withUnsafeBytes { (SymmetricKey(data: $0.prefix(32)), SymmetricKey(data: $0.suffix(32))) }
    }
}
