// SPDX-License-Identifier: MIT

public import AltNetKeys
internal import Crypto

/// Both sides of the handshake of BOLT 8, `Noise_XK`.
///
/// ```
/// initiator: start ──write act one──▶ awaitingActTwo ──act two: write act three──▶ finished
/// responder: awaitingActOne ──act one: write act two──▶ awaitingActThree ──act three──▶ finished
/// ```
///
/// The caller MUST use a fresh, random ephemeral key for each handshake, MUST carry out the directives in order, and
/// MUST close the connection after ``Directive/failed(_:)`` without sending anything. A short act is waited for;
/// whoever owns the clock sets the deadline.
public struct NoiseHandshake: Sendable {
    /// What the caller has to do.
    public enum Directive: Sendable {
        /// Send these bytes.
        case write([UInt8])
        /// The handshake is complete; always the last directive.
        case established(NoiseTransport)
        /// The other side is not who it should be, or speaks something else; always the last directive.
        case failed(NoiseError)
    }

    private enum State {
        /// The initiator knows whom it calls, but has not called yet.
        case start(remote: NodeID, HandshakeHash)
        /// The initiator sent act one and expects 50 bytes.
        case awaitingActTwo(remote: NodeID, HandshakeHash)
        /// The responder expects 50 bytes.
        case awaitingActOne(HandshakeHash)
        /// The responder sent act two, made with `temporaryKey`, and expects 66 bytes.
        case awaitingActThree(HandshakeHash, temporaryKey: SymmetricKey)
        /// Nothing more to do.
        case finished
    }

    /// Acts one and two: version, compressed key, tag.
    static let shortActSize = 1 + NodeID.size + RotatingKey.tagSize
    /// Act three: version, encrypted compressed key with its tag, tag.
    static let actThreeSize = 1 + NodeID.size + 2 * RotatingKey.tagSize
    /// The only version of the handshake that BOLT 8 defines.
    static let version: UInt8 = 0

    private let local: NodePrivateKey
    private let ephemeral: NodePrivateKey
    private var state: State
    private var buffer: [UInt8] = []

    /// The side that opens the connection and knows the other's identity.
    public init(initiator local: NodePrivateKey, remote: NodeID, ephemeral: NodePrivateKey) {
        self.local = local
        self.ephemeral = ephemeral
        self.state = .start(remote: remote, HandshakeHash(responder: remote))
    }

    /// The side that is called, and learns who calls in act three.
    public init(responder local: NodePrivateKey, ephemeral: NodePrivateKey) {
        self.local = local
        self.ephemeral = ephemeral
        self.state = .awaitingActOne(HandshakeHash(responder: local.publicKey))
    }

    /// The connection stands: the initiator writes act one. Call it once, before ``onBytes(_:)``.
    public mutating func onConnected() -> [Directive] {
        guard case .start(let remote, var hash) = self.state else { return [] }
        hash.mix(self.ephemeral.publicKey.bytes)
        guard let secret = self.ephemeral.sharedSecret(with: remote) else { return self.fail(.badKey(.one)) }
        let key = hash.mixKey(secret)
        let tag = hash.seal([], key: key, nonce: 0)
        self.state = .awaitingActTwo(remote: remote, hash)
        return [.write([Self.version] + self.ephemeral.publicKey.bytes + tag)]
    }

    /// The other side sent bytes, cut anywhere. Bytes after the last act go to ``NoiseTransport/receive``.
    public mutating func onBytes(_ bytes: [UInt8]) -> [Directive] {
        switch self.state {
        case .start, .finished: return []
        case .awaitingActTwo, .awaitingActOne, .awaitingActThree: self.buffer.append(contentsOf: bytes)
        }
        var directives: [Directive] = []
        // The other side may not send anything between its acts, so that each call completes one act in honest use;
        // the loop lets a call with more than that fail as soon as it can.
        while true {
            let before = directives.count
            switch self.state {
            case .start, .finished:
                return directives
            case .awaitingActTwo(let remote, let hash):
                guard let act = self.take(Self.shortActSize) else { return directives }
                directives += self.onActTwo(act, remote: remote, hash)
            case .awaitingActOne(let hash):
                guard let act = self.take(Self.shortActSize) else { return directives }
                directives += self.onActOne(act, hash)
            case .awaitingActThree(let hash, let temporaryKey):
                guard let act = self.take(Self.actThreeSize) else { return directives }
                directives += self.onActThree(act, hash, temporaryKey: temporaryKey)
            }
            precondition(directives.count > before, "an act of the BOLT 8 handshake led to nothing")
        }
    }

    private mutating func onActOne(_ act: [UInt8], _ hash: HandshakeHash) -> [Directive] {
        var hash = hash
        guard act[0] == Self.version else { return self.fail(.badVersion(.one, version: act[0])) }
        guard let remoteEphemeral = NodeID(bytes: act[1...NodeID.size]),
            let secret = self.local.sharedSecret(with: remoteEphemeral)
        else { return self.fail(.badKey(.one)) }
        hash.mix(remoteEphemeral.bytes)
        let key = hash.mixKey(secret)
        guard hash.open(Array(act.suffix(RotatingKey.tagSize)), key: key, nonce: 0) != nil else {
            return self.fail(.badMAC(.one))
        }
        hash.mix(self.ephemeral.publicKey.bytes)
        guard let answerSecret = self.ephemeral.sharedSecret(with: remoteEphemeral) else {
            return self.fail(.badKey(.one))
        }
        let answerKey = hash.mixKey(answerSecret)
        let tag = hash.seal([], key: answerKey, nonce: 0)
        self.state = .awaitingActThree(hash, temporaryKey: answerKey)
        return [.write([Self.version] + self.ephemeral.publicKey.bytes + tag)]
    }

    private mutating func onActTwo(_ act: [UInt8], remote: NodeID, _ hash: HandshakeHash) -> [Directive] {
        var hash = hash
        guard act[0] == Self.version else { return self.fail(.badVersion(.two, version: act[0])) }
        guard let remoteEphemeral = NodeID(bytes: act[1...NodeID.size]),
            let secret = self.ephemeral.sharedSecret(with: remoteEphemeral)
        else { return self.fail(.badKey(.two)) }
        hash.mix(remoteEphemeral.bytes)
        let key = hash.mixKey(secret)
        guard hash.open(Array(act.suffix(RotatingKey.tagSize)), key: key, nonce: 0) != nil else {
            return self.fail(.badMAC(.two))
        }
        let sealedKey = hash.seal(self.local.publicKey.bytes, key: key, nonce: 1)
        guard let lastSecret = self.local.sharedSecret(with: remoteEphemeral) else {
            return self.fail(.badKey(.two))
        }
        let lastKey = hash.mixKey(lastSecret)
        let tag = hash.seal([], key: lastKey, nonce: 0)
        let (first, second) = HandshakeHash.derive(salt: hash.chainingKey, input: SymmetricKey(data: [UInt8]()))
        return [.write([Self.version] + sealedKey + tag)]
            + self.finish(remote: remote, chainingKey: hash.chainingKey, send: first, receive: second)
    }

    private mutating func onActThree(
        _ act: [UInt8],
        _ hash: HandshakeHash,
        temporaryKey: SymmetricKey
    ) -> [Directive] {
        var hash = hash
        guard act[0] == Self.version else { return self.fail(.badVersion(.three, version: act[0])) }
        let sealedKey = Array(act[1..<(act.count - RotatingKey.tagSize)])
        guard let remoteKey = hash.open(sealedKey, key: temporaryKey, nonce: 1) else {
            return self.fail(.badStaticKeyMAC)
        }
        guard let remote = NodeID(bytes: remoteKey), let secret = self.ephemeral.sharedSecret(with: remote) else {
            return self.fail(.badKey(.three))
        }
        let key = hash.mixKey(secret)
        guard hash.open(Array(act.suffix(RotatingKey.tagSize)), key: key, nonce: 0) != nil else {
            return self.fail(.badMAC(.three))
        }
        let (first, second) = HandshakeHash.derive(salt: hash.chainingKey, input: SymmetricKey(data: [UInt8]()))
        return self.finish(remote: remote, chainingKey: hash.chainingKey, send: second, receive: first)
    }

    private mutating func finish(
        remote: NodeID,
        chainingKey: SymmetricKey,
        send: SymmetricKey,
        receive: SymmetricKey
    ) -> [Directive] {
        var receiver = ReceiveCipher(chainingKey: chainingKey, key: receive)
        receiver.append(self.buffer)
        self.buffer = []
        self.state = .finished
        let sender = SendCipher(chainingKey: chainingKey, key: send)
        return [.established(NoiseTransport(remote: remote, send: sender, receive: receiver))]
    }

    private mutating func fail(_ error: NoiseError) -> [Directive] {
        self.buffer = []
        self.state = .finished
        return [.failed(error)]
    }

    private mutating func take(_ count: Int) -> [UInt8]? {
        guard self.buffer.count >= count else { return nil }
        defer { self.buffer.removeFirst(count) }
        return Array(self.buffer.prefix(count))
    }
}
