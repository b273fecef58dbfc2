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
        CurvePoint(other).flatMap { self.sharedSecret(with: $0) }
    }

    /// The same with a point that has been read already. With a `factor` the number is our key times the factor, as
    /// route blinding needs it (BOLT 4); `nil` when the factor is zero or not below the curve's order.
    public func sharedSecret(with other: CurvePoint, factor: SymmetricKey? = nil) -> SymmetricKey? {
        guard let factor else {
            return self.secret.withUnsafeBytes { Secp256k1.shared.sharedSecret(of: other.point, with: $0) }
        }
        return self.product(with: factor)?.withUnsafeBytes { Secp256k1.shared.sharedSecret(of: other.point, with: $0) }
    }

    /// This key times a number of 32 bytes, most significant first; `nil` for zero and for numbers that are not below
    /// the curve's order, which of hashes is one in 2^128.
    public func multiplied(by factor: SymmetricKey) -> NodePrivateKey? {
        self.product(with: factor).flatMap(Self.init(secret:))
    }

    /// BOLT 4's key generation for a session key: the HMAC-SHA-256 of this key under a public label.
    public func derivedKey(_ label: String) -> SymmetricKey {
        self.secret.withUnsafeBytes { secret in
            SymmetricKey(
                data: HMAC<SHA256>.authenticationCode(for: secret, using: SymmetricKey(data: Array(label.utf8))))
        }
    }

    /// An ECDSA signature in DER over the SHA-256 of a message, always the same for the same message (RFC 6979).
    public func signature(for message: some Sequence<UInt8>) -> [UInt8]? {
        let hash = Array(SHA256.hash(data: Array(message)))
        return self.secret.withUnsafeBytes { Secp256k1.shared.signature(of: hash, with: $0) }
    }

    private func product(with factor: SymmetricKey) -> SymmetricKey? {
        self.secret.withUnsafeBytes { secret in
            factor.withUnsafeBytes { Secp256k1.shared.product(of: secret, and: $0) }
        }
    }
}
