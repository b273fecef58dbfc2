// SPDX-License-Identifier: MIT

public import AltNetPeerRecords

/// Why the encrypted channel is refused. The connection ends without another byte.
public enum NoiseError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A key has the wrong size, or the secret made with it would be a constant.
    case badKey
    /// A tag does not fit: somebody changed bytes on the way, or the other side speaks something else.
    case badTag
    /// A message of so many bytes lacks a key or a tag.
    case tooShort(Int)
    /// A message of the handshake is longer than ``SecureChannel/maximumHandshakeMessage``.
    case handshakeTooLong(Int)
    /// The payload of the handshake is no proper protobuf message, or repeats extensions beyond the bound.
    case badPayload
    /// The payload has no identity key, or one of a kind that is not known.
    case badIdentityKey
    /// The identity key did not sign the static key of the channel.
    case badIdentitySignature
    /// The other side is somebody else.
    case unexpectedPeer(expected: PeerID, found: PeerID)
    /// Our own identity key does not sign.
    case cannotSign
    /// All counters of a key have been used.
    case exhausted

    public var description: String {
        switch self {
        case .badKey: "a key of the encrypted channel is not usable"
        case .badTag: "a message of the encrypted channel does not decrypt"
        case .tooShort(let count): "a message of the encrypted channel has only \(count) bytes"
        case .handshakeTooLong(let count):
            "a message of the handshake has \(count) bytes, and \(SecureChannel.maximumHandshakeMessage) are allowed"
        case .badPayload: "the payload of the handshake is malformed"
        case .badIdentityKey: "the identity key in the handshake is not usable"
        case .badIdentitySignature: "the identity key did not sign the key of the channel"
        case .unexpectedPeer(let expected, let found): "expected peer \(expected), and found \(found)"
        case .cannotSign: "our own identity key cannot sign"
        case .exhausted: "the keys of the encrypted channel are used up"
        }
    }
}
