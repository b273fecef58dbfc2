// SPDX-License-Identifier: MIT

public import Crypto

/// A private key on secp256k1: a node's long-lived identity, or the ephemeral key of one handshake.
///
/// The bytes live in memory that is overwritten when the last copy goes away; no description shows them.
public struct NodePrivateKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The size of a private key, in bytes.
    public static let size = 32

    /// The public key that belongs to this private key.
    public let publicKey: NodeID
    private let secret: SymmetricKey

    /// Takes 32 bytes, most significant first; `nil` for any other length, for zero and for numbers that are not below
    /// the curve's order. Of random bytes, all but about one in 2^128 are accepted.
    public init?(bytes: some Sequence<UInt8>) {
        self.init(secret: SymmetricKey(data: Array(bytes)))
    }

    private init?(secret: SymmetricKey) {
        guard let point = secret.withUnsafeBytes({ Secp256k1.shared.publicKey(of: $0) }) else { return nil }
        self.publicKey = NodeID(valid: point)
        self.secret = secret
    }

    /// The 32 bytes, most significant first, for writing a key file and for nothing else.
    public var secretBytes: [UInt8] { self.secret.withUnsafeBytes { Array($0) } }

    /// Never the key itself: only whose it is.
    public var description: String { "NodePrivateKey(redacted, of \(self.publicKey))" }

    /// Never the key itself: only whose it is.
    public var debugDescription: String { self.description }

    /// Shows no children, so that `dump` cannot print the key either.
    public var customMirror: Mirror { Mirror(self, children: []) }

    /// BOLT 8's and BOLT 4's `ECDH(k, rk)`: SHA-256 of the compressed product of the other side's point and our number.
    public func sharedSecret(with other: NodeID) -> SymmetricKey? {
        guard let product = self.secret.withUnsafeBytes({ Secp256k1.shared.sharedSecret(of: other.bytes, with: $0) }),
            product.count == Self.size
        else { return nil }
        return SymmetricKey(data: product)
    }
}
