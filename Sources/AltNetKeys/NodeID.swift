// SPDX-License-Identifier: MIT

internal import AltNetBase

/// A Lightning node's identity: its public key on secp256k1 in compressed form (BOLT 8).
public struct NodeID: Hashable, Sendable, CustomStringConvertible {
    /// The size of a compressed public key, in bytes.
    public static let size = 33

    /// The 33 bytes of the compressed public key, always a point of the curve.
    public let bytes: [UInt8]

    /// Takes a compressed public key; `nil` for any other length and for bytes that are no point of the curve.
    public init?(bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        guard Secp256k1.shared.isCompressedPoint(bytes) else { return nil }
        self.bytes = bytes
    }

    /// Reads 66 hexadecimal digits, as Lightning software prints node identities; `nil` for anything that is no point
    /// of the curve.
    public init?(hex text: some StringProtocol) {
        guard let bytes = Hex.decode(text) else { return nil }
        self.init(bytes: bytes)
    }

    /// For bytes that the library itself has just made.
    init(valid bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// 66 hexadecimal digits, lower case.
    public var description: String { Hex.encode(self.bytes) }
}

extension NodeID {
    /// Whether bytes are this key's ECDSA signature, in DER, over the SHA-256 of a message.
    public func isValid(signature: [UInt8], for message: some Sequence<UInt8>) -> Bool {
        CurvePoint(self)?.isValid(signature: signature, for: Array(message)) ?? false
    }
}
