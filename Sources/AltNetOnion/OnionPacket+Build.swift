// SPDX-License-Identifier: MIT

public import AltNetKeys
internal import AltNetLightning
internal import Crypto

/// One node of a route, and what it is told.
public struct OnionHop: Hashable, Sendable {
    /// Whom the payload is encrypted for: a node, or its blinded identity.
    public let node: NodeID
    /// The payload, without its length.
    public let payload: [UInt8]

    public init(_ node: NodeID, _ payload: [UInt8]) {
        self.node = node
        self.payload = payload
    }
}

extension OnionPacket {
    /// The most hops that a packet can have when every payload has at least `length` bytes. Each hop takes its payload,
    /// the payload's length (1 byte, or 3 from 253 on) and 32 bytes for the code of the next.
    ///
    /// | bytes in each payload | 2 | 18 | 32 | 33 | 64 | 100 | 252 | 253 | 400 | 615 | 1,265 |
    /// | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
    /// | hops in 1,300 bytes | 37 | 25 | 20 | 19 | 13 | 9 | 4 | 4 | 2 | 2 | 1 |
    public static func maximumHops(
        payload length: Int = Self.minimumPayload, hopPayloadsSize: Int = Self.standardPayloadsSize
    ) -> Int {
        hopPayloadsSize / Self.size(ofPayload: max(length, Self.minimumPayload))
    }

    /// The bytes of `hop_payloads` that a payload takes: its length as a BigSize, itself, and the code for the next hop.
    public static func size(ofPayload length: Int) -> Int {
        [UInt8].sizeOfBigSize(length) + length + Self.hmacSize
    }

    /// Builds the packet for the first hop of a route, and gives the secrets that are shared with each hop, first hop
    /// first.
    ///
    /// The caller MUST use a fresh, random session key for each packet. The payloads are given without their length.
    /// What the route leaves free is filled from the session key, as BOLT 4 has it, so that the last hop cannot tell
    /// how long the route was.
    public static func build(
        _ hops: [OnionHop], sessionKey: NodePrivateKey, associatedData: [UInt8] = [],
        hopPayloadsSize size: Int = Self.standardPayloadsSize
    ) throws(OnionError) -> (packet: OnionPacket, secrets: [OnionSecret]) {
        try Self.check(hops, size: size)
        let secrets = try Self.secrets(hops, sessionKey: sessionKey)
        // One derivation for the two uses of each key.
        let streams = secrets.map { $0.key(.rho) }
        let filler = Self.filler(hops, streams: streams, size: size)

        var payloads = Keystream.apply(sessionKey.derivedKey("pad"), to: [UInt8](repeating: 0, count: size))
        var code = [UInt8](repeating: 0, count: Self.hmacSize)
        for (index, hop) in hops.enumerated().reversed() {
            var plain: [UInt8] = []
            plain.reserveCapacity(size)
            plain.appendBigSize(UInt64(hop.payload.count))
            plain.append(contentsOf: hop.payload)
            plain.append(contentsOf: code)
            plain.append(contentsOf: payloads[..<(size - plain.count)])
            payloads = Keystream.apply(streams[index], to: plain)
            if index == hops.count - 1 { payloads.replaceSubrange((size - filler.count)..., with: filler) }
            code = Self.code(of: payloads, associatedData: associatedData, key: secrets[index].key(.mu))
        }
        return (OnionPacket(publicKey: sessionKey.publicKey.bytes, hopPayloads: payloads, hmac: code), secrets)
    }

    private static func check(_ hops: [OnionHop], size: Int) throws(OnionError) {
        guard size > 0, size <= Self.maximumSize - Self.overhead else { throw .badLength(size) }
        guard !hops.isEmpty else { throw .emptyPath }
        let limit = Self.maximumHops(hopPayloadsSize: size)
        guard hops.count <= limit else { throw .tooManyHops(hops.count, limit: limit) }
        guard hops.allSatisfy({ $0.payload.count >= Self.minimumPayload }) else { throw .badPayload(Self.reserved) }
        let needed = hops.reduce(0) { $0 + Self.size(ofPayload: $1.payload.count) }
        guard needed <= size else { throw .tooLong(bytes: needed, limit: size) }
    }

    /// The secrets shared with each hop (BOLT 4, "Packet Construction").
    private static func secrets(
        _ hops: [OnionHop], sessionKey: NodePrivateKey
    ) throws(OnionError) -> [OnionSecret] {
        var ephemeral = sessionKey
        var secrets: [OnionSecret] = []
        secrets.reserveCapacity(hops.count)
        for hop in hops {
            if let last = secrets.last {
                let factor = last.blindingFactor(of: ephemeral.publicKey.bytes)
                // Not below the curve's order: for one hash in 2^128.
                guard let next = ephemeral.multiplied(by: factor) else { throw .badKey }
                ephemeral = next
            }
            guard let secret = ephemeral.sharedSecret(with: hop.node) else { throw .badKey }
            secrets.append(OnionSecret(secret))
        }
        return secrets
    }

    /// What the last hop's `hop_payloads` ends with: the zeros that each hop before it put there, encrypted by that hop
    /// and those after it (BOLT 4, "Filler Generation").
    private static func filler(_ hops: [OnionHop], streams: [SymmetricKey], size: Int) -> [UInt8] {
        var filler: [UInt8] = []
        for (hop, stream) in zip(hops, streams).dropLast() {
            let start = size - filler.count
            filler.append(contentsOf: repeatElement(0, count: Self.size(ofPayload: hop.payload.count)))
            filler = Keystream.apply(stream, to: filler, from: start)
        }
        return filler
    }

    static func code(of payloads: [UInt8], associatedData: [UInt8], key: SymmetricKey) -> [UInt8] {
        var hmac = HMAC<SHA256>(key: key)
        hmac.update(data: payloads)
        hmac.update(data: associatedData)
        return Array(hmac.finalize())
    }

    /// Why a payload of one byte or none is refused.
    static let reserved = "a payload has fewer than two bytes, and those lengths are reserved"
}

extension [UInt8] {
    /// How many bytes a length takes as a BigSize.
    static func sizeOfBigSize(_ value: Int) -> Int {
        switch value {
        case ..<0xfd: 1
        case ...0xffff: 3
        case ...0xffff_ffff: 5
        default: 9
        }
    }
}
