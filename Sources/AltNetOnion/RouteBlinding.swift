// SPDX-License-Identifier: MIT

public import AltNetKeys
internal import Crypto

/// What a node does with its part of a blinded path (BOLT 4, "Route Blinding").
public enum RouteBlinding {
    /// The bytes that encryption adds to a node's data.
    public static let overhead = 16

    /// Decrypts the `encrypted_recipient_data` that came with `pathKey`, and gives the path key for the next node.
    ///
    /// `next_path_key_override` in the data takes the place of that key: see
    /// ``EncryptedRecipientData/nextPathKeyOverride``.
    public static func unblind(
        _ encrypted: [UInt8], key: NodePrivateKey, pathKey: NodeID
    ) throws(OnionError) -> (data: [UInt8], nextPathKey: NodeID) {
        guard let point = CurvePoint(pathKey), let shared = key.sharedSecret(with: point) else { throw .badKey }
        let secret = OnionSecret(shared)
        guard let data = Self.open(encrypted, secret: secret) else { throw .badEncryptedData }
        guard let next = point.multiplied(by: secret.blindingFactor(of: pathKey.bytes))?.id else { throw .badKey }
        return (data, next)
    }

    /// The private key of this node's blinded identity.
    public static func blindedKey(_ key: NodePrivateKey, pathKey: NodeID) throws(OnionError) -> NodePrivateKey {
        guard let shared = key.sharedSecret(with: pathKey),
            let blinded = key.multiplied(by: OnionSecret(shared).key(.blindedNode))
        else { throw .badKey }
        return blinded
    }

    /// The identity under which the maker of a path hides a node.
    static func blindedNode(_ node: NodeID, secret: OnionSecret) -> NodeID? {
        CurvePoint(node)?.multiplied(by: secret.key(.blindedNode))?.id
    }

    static func seal(_ data: [UInt8], secret: OnionSecret) -> [UInt8] {
        guard let nonce = Self.nonce, let box = try? ChaChaPoly.seal(data, using: secret.key(.rho), nonce: nonce)
        else { preconditionFailure("sealing fails for a wrong size of key or nonce only, and both are fixed") }
        return Array(box.ciphertext) + Array(box.tag)
    }

    private static func open(_ encrypted: [UInt8], secret: OnionSecret) -> [UInt8]? {
        guard encrypted.count >= Self.overhead, let nonce = Self.nonce,
            let box = try? ChaChaPoly.SealedBox(
                nonce: nonce, ciphertext: encrypted.dropLast(Self.overhead), tag: encrypted.suffix(Self.overhead)),
            let data = try? ChaChaPoly.open(box, using: secret.key(.rho))
        else { return nil }
        return Array(data)
    }

    /// BOLT 4: "an all-zero nonce"; the key encrypts once.
    private static let nonce = try? ChaChaPoly.Nonce(data: [UInt8](repeating: 0, count: 12))
}
