// SPDX-License-Identifier: MIT

/// Why a handshake or a message is refused. BOLT 8: the connection ends without another byte.
public enum NoiseError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The three messages of the handshake.
    public enum Act: Int, Hashable, Sendable {
        case one = 1
        case two = 2
        case three = 3
    }

    /// An act starts with a version other than 0.
    case badVersion(Act, version: UInt8)
    /// The key in an act is no point of the curve.
    case badKey(Act)
    /// The tag at the end of an act does not fit: the other side does not hold the key that it should, or somebody
    /// changed bytes on the way.
    case badMAC(Act)
    /// The encrypted static key in act three does not open.
    case badStaticKeyMAC
    /// The encrypted length of a message does not open.
    case badLengthMAC
    /// A message does not open.
    case badMessageMAC
    /// A message to be sent is longer than ``SendCipher/maximumMessageLength``.
    case messageTooLong(Int)

    /// What is wrong, as a fragment of a sentence; holds no key and no bytes of the other side.
    public var description: String {
        switch self {
        case .badVersion(let act, let version): "act \(act) has the unknown version \(version)"
        case .badKey(let act): "the key in act \(act) is no point of the curve"
        case .badMAC(let act): "the tag of act \(act) does not fit"
        case .badStaticKeyMAC: "the key in act three does not decrypt"
        case .badLengthMAC: "the length of a message does not decrypt"
        case .badMessageMAC: "a message does not decrypt"
        case .messageTooLong(let length): "a message has \(length) bytes, and 65535 are allowed"
        }
    }
}
