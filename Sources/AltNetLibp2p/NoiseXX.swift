// SPDX-License-Identifier: MIT

internal import Crypto

/// The pattern XX of Noise with Curve25519, ChaCha20-Poly1305 and SHA-256:
///
/// ```
/// -> e
/// <- e, ee, s, es
/// -> s, se
/// ```
///
/// Messages only; how they are framed and what they carry is ``SecureChannel``'s business.
struct NoiseXX: Sendable {
    static let protocolName = "Noise_XX_25519_ChaChaPoly_SHA256"
    /// Bytes of a public key.
    static let keySize = 32

    private let isInitiator: Bool
    private let staticKey: Curve25519.KeyAgreement.PrivateKey
    private let ephemeralKey: Curve25519.KeyAgreement.PrivateKey
    private var remoteEphemeral: Curve25519.KeyAgreement.PublicKey?
    private var remoteStatic: Curve25519.KeyAgreement.PublicKey?
    private var state: NoiseSymmetricState
    /// How many of the three messages there have been.
    private var messages = 0

    /// - Parameters:
    ///   - prologue: what both sides must agree on; libp2p has none.
    init(
        isInitiator: Bool, prologue: [UInt8] = [], staticKey: Curve25519.KeyAgreement.PrivateKey,
        ephemeralKey: Curve25519.KeyAgreement.PrivateKey
    ) {
        self.isInitiator = isInitiator
        self.staticKey = staticKey
        self.ephemeralKey = ephemeralKey
        self.state = NoiseSymmetricState(protocolName: Self.protocolName, prologue: prologue)
    }

    /// Whether all three messages are done.
    var isFinished: Bool { self.messages == 3 }
    /// Whether it is our turn to write.
    var isOurTurn: Bool { !self.isFinished && (self.messages % 2 == 0) == self.isInitiator }
    /// The other side's static key, once it has come.
    var remoteStaticKey: [UInt8]? { self.remoteStatic.map { Array($0.rawRepresentation) } }
    /// Binds both sides to everything that was said; for tests.
    var handshakeDigest: [UInt8] { self.state.digest }

    /// Writes our next message.
    mutating func write(_ payload: [UInt8]) throws(NoiseError) -> [UInt8] {
        precondition(self.isOurTurn, "the pattern says who writes")
        var message: [UInt8] = []
        if self.messages < 2 {
            let key = Array(self.ephemeralKey.publicKey.rawRepresentation)
            self.state.mix(key)
            message += key
        }
        switch self.messages {
        case 0: break
        case 1:
            try self.mix(self.ephemeralKey, self.remoteEphemeral)
            try self.state.seal(Array(self.staticKey.publicKey.rawRepresentation), into: &message)
            try self.mix(self.staticKey, self.remoteEphemeral)
        default:
            try self.state.seal(Array(self.staticKey.publicKey.rawRepresentation), into: &message)
            try self.mix(self.staticKey, self.remoteEphemeral)
        }
        try self.state.seal(payload, into: &message)
        self.messages += 1
        return message
    }

    /// Reads the other side's next message; gives its payload.
    mutating func read(_ message: [UInt8]) throws(NoiseError) -> [UInt8] {
        precondition(!self.isFinished && !self.isOurTurn, "the pattern says who reads")
        var rest = message[...]
        if self.messages < 2 {
            let key = try Self.take(Self.keySize, from: &rest)
            self.remoteEphemeral = try Self.publicKey(key)
            self.state.mix(key)
        }
        switch self.messages {
        case 0: break
        case 1:
            try self.mix(self.ephemeralKey, self.remoteEphemeral)
            try self.readStaticKey(&rest)
            try self.mix(self.ephemeralKey, self.remoteStatic)
        default:
            try self.readStaticKey(&rest)
            try self.mix(self.ephemeralKey, self.remoteStatic)
        }
        let payload = try self.state.open(rest)
        self.messages += 1
        return payload
    }

    /// The keys for what follows: what we send with, and what we receive with.
    func split() -> (send: NoiseCipher, receive: NoiseCipher) {
        precondition(self.isFinished, "keys exist after the last message")
        let (initiator, responder) = self.state.split()
        return self.isInitiator ? (initiator, responder) : (responder, initiator)
    }

    private mutating func readStaticKey(_ rest: inout ArraySlice<UInt8>) throws(NoiseError) {
        let sealed = try Self.take(Self.keySize + NoiseCipher.tagSize, from: &rest)
        self.remoteStatic = try Self.publicKey(try self.state.open(sealed)[...])
    }

    private mutating func mix(
        _ ours: Curve25519.KeyAgreement.PrivateKey, _ theirs: Curve25519.KeyAgreement.PublicKey?
    ) throws(NoiseError) {
        // A key of small order makes the secret zero, whatever ours is: known to everybody. Noise leaves the check to us
        // (section 9.1), and the library does not make it.
        guard let theirs, let secret = try? ours.sharedSecretFromKeyAgreement(with: theirs),
            secret.withUnsafeBytes({ $0.contains { $0 != 0 } })
        else { throw .badKey }
        self.state.mix(secret)
    }

    private static func publicKey(
        _ bytes: ArraySlice<UInt8>
    ) throws(NoiseError) -> Curve25519.KeyAgreement.PublicKey {
        guard let key = try? Curve25519.KeyAgreement.PublicKey(rawRepresentation: bytes) else { throw .badKey }
        return key
    }

    private static func take(
        _ count: Int, from rest: inout ArraySlice<UInt8>
    ) throws(NoiseError) -> ArraySlice<UInt8> {
        guard rest.count >= count else { throw .tooShort(rest.count) }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }
}
