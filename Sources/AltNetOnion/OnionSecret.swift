// SPDX-License-Identifier: MIT

internal import Crypto

/// The secret that the sender of an onion shares with one hop (BOLT 4, "Shared Secret"). Encrypts replies on their way
/// back.
///
/// No description shows its bytes.
public struct OnionSecret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable
{
    /// The size of a secret, in bytes.
    public static let size = 32

    /// The 32 bytes, for whoever stores them between an onion and its reply.
    public let bytes: [UInt8]

    /// Takes 32 bytes; `nil` for any other length.
    public init?(bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        guard bytes.count == Self.size else { return nil }
        self.bytes = bytes
    }

    init(_ key: SymmetricKey) {
        self.bytes = key.withUnsafeBytes { Array($0) }
    }

    /// Never the secret itself.
    public var description: String { "OnionSecret(redacted)" }

    /// Never the secret itself.
    public var debugDescription: String { self.description }

    /// Shows no children, so that `dump` cannot print the secret either.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension OnionSecret {
    /// What a key is for (BOLT 4, "Key Generation" and "Route Blinding").
    struct Purpose: Sendable {
        fileprivate let label: SymmetricKey

        private init(_ label: String) {
            self.label = SymmetricKey(data: Array(label.utf8))
        }

        /// Encrypts the payloads of an onion.
        static let rho = Purpose("rho")
        /// Authenticates the payloads of an onion.
        static let mu = Purpose("mu")
        /// Authenticates a reply.
        static let um = Purpose("um")
        /// Encrypts a reply.
        static let ammag = Purpose("ammag")
        /// Blinds the identity of a node.
        static let blindedNode = Purpose("blinded_node_id")
    }

    /// The key for one purpose: HMAC-SHA-256 of the secret under the purpose's label.
    func key(_ purpose: Purpose) -> SymmetricKey {
        SymmetricKey(data: HMAC<SHA256>.authenticationCode(for: self.bytes, using: purpose.label))
    }

    /// SHA-256 of a public key and this secret: what the key is multiplied with for the next hop (BOLT 4, "Blinding
    /// Ephemeral Onion Keys").
    func blindingFactor(of publicKey: [UInt8]) -> SymmetricKey {
        var hash = SHA256()
        hash.update(data: publicKey)
        hash.update(data: self.bytes)
        return SymmetricKey(data: hash.finalize())
    }
}
