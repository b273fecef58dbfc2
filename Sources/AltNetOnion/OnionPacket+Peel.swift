// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetKeys
internal import AltNetLightning
internal import Crypto

/// What a node found in an onion.
public struct PeeledOnion: Sendable {
    /// The payload for this node, without its length.
    public let payload: [UInt8]
    /// What the next node is to be sent; `nil` when this node is the last.
    public let next: OnionPacket?
    /// What this node shares with the sender; encrypts the reply.
    public let secret: OnionSecret
}

extension OnionPacket {
    /// Peels with this node's key (BOLT 4, "Onion Decryption"). `pathKey` is the key that came with the packet, when
    /// the packet was encrypted for this node's blinded identity.
    ///
    /// Keeps no memory of packets: the caller decides about those that arrive twice.
    public func peel(
        key: NodePrivateKey, associatedData: [UInt8] = [], pathKey: NodeID? = nil
    ) throws(OnionError) -> PeeledOnion {
        guard let point = CurvePoint(bytes: self.publicKey) else { throw .badKey }
        var factor: SymmetricKey?
        if let pathKey {
            guard let shared = key.sharedSecret(with: pathKey) else { throw .badKey }
            factor = OnionSecret(shared).key(.blindedNode)
        }
        guard let shared = key.sharedSecret(with: point, factor: factor) else { throw .badKey }
        let secret = OnionSecret(shared)
        // The comparison takes the same time for all codes (BOLT 4 demands it).
        let authenticated = associatedData.isEmpty ? self.hopPayloads : self.hopPayloads + associatedData
        guard HMAC<SHA256>.isValidAuthenticationCode(self.hmac, authenticating: authenticated, using: secret.key(.mu))
        else { throw .badHMAC }

        let size = self.hopPayloads.count
        let plain = Keystream.apply(
            secret.key(.rho), to: self.hopPayloads + [UInt8](repeating: 0, count: size))
        var reader = ByteReader(plain)
        let (payload, code) = try Self.payload(&reader, size: size)
        guard code.contains(where: { $0 != 0 }) else {
            return PeeledOnion(payload: payload, next: nil, secret: secret)
        }
        guard let next = point.multiplied(by: secret.blindingFactor(of: self.publicKey))?.id else { throw .badKey }
        let packet = OnionPacket(publicKey: next.bytes, hopPayloads: Array(reader.remaining.prefix(size)), hmac: code)
        return PeeledOnion(payload: payload, next: packet, secret: secret)
    }

    /// Takes this node's payload and the next hop's code from the front. Both must lie within the packet; what follows
    /// it is what this node adds for the next.
    private static func payload(
        _ reader: inout ByteReader, size: Int
    ) throws(OnionError) -> (payload: [UInt8], code: [UInt8]) {
        let (length, payload, code): (UInt64, ArraySlice<UInt8>, ArraySlice<UInt8>)
        do throws(ByteReaderError) {
            length = try reader.bigSize()
            payload = try reader.bytes(Int(clamping: length))
            code = try reader.bytes(Self.hmacSize)
        } catch {
            throw .badPayload(error == .notMinimal ? Self.notMinimal : Self.beyond)
        }
        guard length >= UInt64(Self.minimumPayload) else { throw .badPayload(Self.reserved) }
        guard reader.count >= size else { throw .badPayload(Self.beyond) }
        return (Array(payload), Array(code))
    }

    static let notMinimal = "the length of a payload is longer than necessary"
    static let beyond = "a payload reaches beyond the end of the onion"
}
