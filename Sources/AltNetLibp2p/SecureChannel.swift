// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords
internal import Crypto

/// The private keys of one encrypted channel: 64 bytes that nobody else knows and that are used once.
///
/// libp2p allows a static key for each connection, because the identity signs it; so nothing has to be kept.
public struct NoiseEntropy: Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// Bytes that are needed.
    public static let size = 2 * NoiseXX.keySize

    let staticKey: Curve25519.KeyAgreement.PrivateKey
    let ephemeralKey: Curve25519.KeyAgreement.PrivateKey

    /// - Parameter bytes: ``size`` bytes from the system's generator of random numbers; `nil` for any other number.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.size,
            let first = try? Curve25519.KeyAgreement.PrivateKey(rawRepresentation: bytes.prefix(NoiseXX.keySize)),
            let second = try? Curve25519.KeyAgreement.PrivateKey(rawRepresentation: bytes.suffix(NoiseXX.keySize))
        else { return nil }
        self.staticKey = first
        self.ephemeralKey = second
    }

    public var description: String { "<private>" }
    public var debugDescription: String { "<private>" }
}

/// The encrypted channel of libp2p's noise/README.md: frames of two bytes of length and a Noise message, first the
/// three of the handshake, then encrypted pieces of a stream of bytes.
struct SecureChannel: Sendable {
    enum Event: Sendable {
        /// The other side proved who it is. Comes once, before anything else.
        case secured(PeerID, PeerPublicKey, muxers: [String])
        /// The next bytes of the stream.
        case plaintext([UInt8])
    }

    /// A frame carries up to 65,535 bytes, which is what its length can say.
    static let maximumMessage = 65_535
    static let maximumPlaintext = Self.maximumMessage - NoiseCipher.tagSize
    /// The largest message of an honest handshake has an RSA key and signature of 8,192 bits, about 2,200 bytes.
    static let maximumHandshakeMessage = 8_192

    private enum State {
        case handshake(NoiseXX)
        case open(send: NoiseCipher, receive: NoiseCipher)
    }

    private let key: PeerPrivateKey
    private let staticKey: [UInt8]
    private let expected: PeerID?
    private let muxers: [String]
    private var state: State
    /// An incomplete frame.
    private var buffer: [UInt8] = []

    /// - Parameters:
    ///   - key: our identity.
    ///   - expected: who the other side must be, if that is known.
    ///   - muxers: stream multiplexers to offer in the handshake; empty to negotiate them afterwards.
    init(isInitiator: Bool, key: PeerPrivateKey, expected: PeerID?, muxers: [String], entropy: NoiseEntropy) {
        self.key = key
        self.staticKey = Array(entropy.staticKey.publicKey.rawRepresentation)
        self.expected = expected
        self.muxers = muxers
        self.state = .handshake(
            NoiseXX(isInitiator: isInitiator, staticKey: entropy.staticKey, ephemeralKey: entropy.ephemeralKey))
    }

    /// The initiator writes the first message.
    mutating func start(_ output: inout [UInt8]) throws(NoiseError) {
        guard case .handshake(var noise) = self.state, noise.isOurTurn else { return }
        Self.append(frame: try noise.write([]), to: &output)
        self.state = .handshake(noise)
    }

    /// Takes bytes that the other side sent, cut anywhere.
    mutating func onBytes(_ input: ArraySlice<UInt8>, output: inout [UInt8]) throws(NoiseError) -> [Event] {
        self.buffer.append(contentsOf: input)
        var events: [Event] = []
        var taken = 0
        while self.buffer.count - taken >= 2 {
            let length = Int(self.buffer[taken]) << 8 | Int(self.buffer[taken + 1])
            if case .handshake = self.state, length > Self.maximumHandshakeMessage { throw .handshakeTooLong(length) }
            guard self.buffer.count - taken - 2 >= length else { break }
            let message = self.buffer[(taken + 2)..<(taken + 2 + length)]
            taken += 2 + length
            if let event = try self.onMessage(message, output: &output) { events.append(event) }
        }
        if taken > 0 { self.buffer.removeFirst(taken) }
        return events
    }

    /// Encrypts bytes; MUST NOT be called before the channel is secured.
    mutating func seal(_ plaintext: [UInt8], into output: inout [UInt8]) throws(NoiseError) {
        guard case .open(var send, let receive) = self.state else {
            preconditionFailure("nothing is sent before the channel is secured")
        }
        var rest = plaintext[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Self.maximumPlaintext)
            rest = rest.dropFirst(piece.count)
            output.appendBigEndian(UInt16(piece.count + NoiseCipher.tagSize))
            try send.seal(piece, into: &output)
        }
        self.state = .open(send: send, receive: receive)
    }

    private mutating func onMessage(
        _ message: ArraySlice<UInt8>, output: inout [UInt8]
    ) throws(NoiseError) -> Event? {
        switch self.state {
        case .open(let send, var receive):
            let plaintext = try receive.open(message)
            self.state = .open(send: send, receive: receive)
            return plaintext.isEmpty ? nil : .plaintext(plaintext)
        case .handshake(var noise):
            let payload = try noise.read(Array(message))
            var remote: NoisePayload?
            if noise.remoteStaticKey != nil { remote = try self.verified(payload, noise) }
            if noise.isOurTurn {
                let ours = try NoisePayload(key: self.key, staticKey: self.staticKey, muxers: self.muxers)
                Self.append(frame: try noise.write(ours.bytes), to: &output)
            }
            guard noise.isFinished, let remote else {
                self.state = .handshake(noise)
                return nil
            }
            let (send, receive) = noise.split()
            self.state = .open(send: send, receive: receive)
            return .secured(PeerID(remote.identityKey), remote.identityKey, muxers: remote.muxers)
        }
    }

    /// The identity in a payload, checked against the static key that the other side has just proved to own.
    private func verified(_ payload: [UInt8], _ noise: NoiseXX) throws(NoiseError) -> NoisePayload {
        let remote = try NoisePayload(bytes: payload)
        guard let staticKey = noise.remoteStaticKey, remote.isSigned(for: staticKey) else {
            throw .badIdentitySignature
        }
        let found = PeerID(remote.identityKey)
        if let expected = self.expected, expected != found { throw .unexpectedPeer(expected: expected, found: found) }
        return remote
    }

    private static func append(frame message: [UInt8], to output: inout [UInt8]) {
        output.appendBigEndian(UInt16(message.count))
        output.append(contentsOf: message)
    }
}
