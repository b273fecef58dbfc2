// SPDX-License-Identifier: MIT

internal import CSecp256k1
public import Crypto

/// A point of secp256k1, read from its bytes once and ready for arithmetic: what reading costs is a square root.
public struct CurvePoint: Sendable {
    let point: secp256k1_pubkey

    /// Takes a compressed public key of 33 bytes; `nil` for any other length and for bytes that are no point.
    public init?(bytes: [UInt8]) {
        guard let point = Secp256k1.shared.parse(bytes) else { return nil }
        self.point = point
    }

    /// The point of a node identity; `nil` only when the library fails.
    public init?(_ id: NodeID) {
        self.init(bytes: id.bytes)
    }

    private init(point: secp256k1_pubkey) {
        self.point = point
    }

    /// Whether bytes are an ECDSA signature, in DER, of this point's key over the SHA-256 of a message.
    public func isValid(signature: [UInt8], for message: [UInt8]) -> Bool {
        Secp256k1.shared.isValid(signature: signature, of: Array(SHA256.hash(data: message)), by: self.point)
    }

    /// This point times a number of 32 bytes, most significant first; `nil` for zero and for numbers that are not
    /// below the curve's order, which of hashes is one in 2^128.
    ///
    /// The time that it takes depends on the number. It is for blinding factors, which all who see the point's use
    /// know, and never for private keys.
    public func multiplied(by factor: SymmetricKey) -> CurvePoint? {
        factor.withUnsafeBytes { Secp256k1.shared.product(of: self.point, and: $0) }.map(Self.init(point:))
    }

    /// The 33 bytes of the compressed form; `nil` only when the library fails.
    public var id: NodeID? { Secp256k1.shared.serialize(self.point).map(NodeID.init(valid:)) }
}
