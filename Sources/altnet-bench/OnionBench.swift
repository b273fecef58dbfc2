// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetOnion
internal import CSecp256k1

/// Onions on one core, beside the calls of libsecp256k1 that they cannot do without.
enum OnionBench {
    /// The route of a directed message that is as long as fits: 33 bytes for each node.
    private static let hops = OnionPacket.maximumHops(payload: NodeID.size)
    private static let rounds = 50

    static func run() throws {
        var random = SeededRandom(seed: 1)
        func key() -> NodePrivateKey {
            while true { if let key = NodePrivateKey(bytes: random.bytes(32)) { return key } }
        }
        let keys = (0..<Self.hops).map { _ in key() }
        let route = keys.map { OnionHop($0.publicKey, $0.publicKey.bytes) }
        let session = key()
        let packet = try OnionPacket.build(route, sessionKey: session).packet
        let curve = BareCurve()
        let nodes = route.map(\.node.bytes)
        let (sessionBytes, nodeBytes) = (session.secretBytes, keys[0].secretBytes)

        var (bareBuild, build, barePeel, peel) = (Double.infinity, Double.infinity, Double.infinity, Double.infinity)
        var checksum = 0
        // In turn, so that all see the same machine.
        for _ in 0..<20 {
            bareBuild = min(
                bareBuild,
                Stopwatch.once { for _ in 0..<Self.rounds { checksum &+= curve.build(nodes, session: sessionBytes) } })
            build = min(
                build,
                try Stopwatch.once {
                    for _ in 0..<Self.rounds {
                        checksum &+= try OnionPacket.build(route, sessionKey: session).packet.hmac.count
                    }
                })
            barePeel = min(
                barePeel,
                Stopwatch.once {
                    for _ in 0..<Self.rounds * Self.hops {
                        checksum &+= curve.peel(packet.publicKey, key: nodeBytes)
                    }
                })
            peel = min(
                peel,
                try Stopwatch.once {
                    for _ in 0..<Self.rounds * Self.hops { checksum &+= try packet.peel(key: keys[0]).payload.count }
                })
        }
        let builds = Double(Self.rounds)
        let peels = Double(Self.rounds * Self.hops)
        Figure.print("bare curve operations of building an onion for \(Self.hops) hops", bareBuild / builds * 1e6, "µs")
        Figure.print("building an onion for \(Self.hops) hops", build / builds * 1e6, "µs")
        Figure.print(
            "building against the bare curve operations", build / bareBuild, "times", atMost: 1.3,
            of: "of the library's time")
        Figure.print("bare curve operations of peeling", barePeel / peels * 1e6, "µs")
        Figure.print("peeling an onion and making the next", peel / peels * 1e6, "µs")
        Figure.print(
            "peeling against the bare curve operations", peel / barePeel, "times", atMost: 1.3,
            of: "of the library's time")
        precondition(checksum != 1)
    }
}

extension OnionBench {
    /// The time that the bare curve operations of so many peelings take, in seconds.
    static func barePeels(_ count: Int) -> Double {
        let curve = BareCurve()
        guard let key = NodePrivateKey(bytes: Array(repeating: 7, count: 32)) else { return 0 }
        let (point, secret) = (key.publicKey.bytes, key.secretBytes)
        var checksum = 0
        let time = Stopwatch.once { for _ in 0..<count { checksum &+= curve.peel(point, key: secret) } }
        precondition(checksum != 1)
        return time
    }
}

/// The calls of the library that BOLT 4 demands, and nothing else: no hash, no cipher, no copy beyond the library's own.
private struct BareCurve {
    private let context = secp256k1_context_create(UInt32(SECP256K1_CONTEXT_NONE))

    /// For every hop: read the node's key, share a secret with it. For every hop but the last: multiply the private
    /// key for the next. For every hop between: the public key that the next factor is a hash of.
    func build(_ nodes: [[UInt8]], session: [UInt8]) -> Int {
        guard let context else { return 0 }
        var (ephemeral, secret, factor) = (session, session, session)
        var (point, made) = (secp256k1_pubkey(), 0)
        for (index, node) in nodes.enumerated() {
            made += Int(secp256k1_ec_pubkey_parse(context, &point, node, node.count))
            made += Int(secp256k1_ecdh(context, &secret, &point, ephemeral, nil, nil))
            guard index < nodes.count - 1 else { break }
            if index > 0 { made += self.publicKey(of: ephemeral) }
            // A hash would be another factor each time: any is as good.
            factor = secret
            made += Int(secp256k1_ec_seckey_tweak_mul(context, &ephemeral, factor))
        }
        return made
    }

    /// Read the packet's key, share a secret with it, multiply it for the next hop, write that.
    func peel(_ publicKey: [UInt8], key: [UInt8]) -> Int {
        guard let context else { return 0 }
        var point = secp256k1_pubkey()
        var secret = key
        var made = Int(secp256k1_ec_pubkey_parse(context, &point, publicKey, publicKey.count))
        made += Int(secp256k1_ecdh(context, &secret, &point, key, nil, nil))
        made += Int(secp256k1_ec_pubkey_tweak_mul(context, &point, secret))
        return made + self.serialize(&point)
    }

    private func publicKey(of key: [UInt8]) -> Int {
        guard let context else { return 0 }
        var point = secp256k1_pubkey()
        return Int(secp256k1_ec_pubkey_create(context, &point, key)) + self.serialize(&point)
    }

    private func serialize(_ point: inout secp256k1_pubkey) -> Int {
        guard let context else { return 0 }
        var bytes = [UInt8](repeating: 0, count: 33)
        var length = bytes.count
        return Int(
            secp256k1_ec_pubkey_serialize(context, &bytes, &length, &point, UInt32(SECP256K1_EC_COMPRESSED)))
    }
}
