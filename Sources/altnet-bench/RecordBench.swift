// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetPeerRecords
internal import Crypto

/// Verifying signed records, beside the check of the signature alone that it cannot do without; and what a store does
/// with each address.
enum RecordBench {
    private static let rounds = 500

    static func run() throws {
        try Self.verify("Ed25519", key: PeerPrivateKey.ed25519(seed: [UInt8](repeating: 7, count: 32)))
        try Self.verify("secp256k1", key: PeerPrivateKey.secp256k1([UInt8](repeating: 7, count: 32)))
        try Self.addresses()
    }

    private static func texts(_ peer: PeerID) -> [String] {
        [
            "/ip4/203.0.113.7/tcp/4001", "/ip4/203.0.113.7/udp/4001/quic-v1", "/ip6/2001:db8::7/tcp/4001",
            "/ip6/2001:db8::7/udp/4001/quic-v1", "/dns4/node.example.org/tcp/443/wss", "/ip4/192.168.1.2/tcp/4001",
            "/ip4/198.51.100.9/tcp/4001/p2p/\(peer)/p2p-circuit",
        ]
    }

    private static func verify(_ kind: String, key: PeerPrivateKey?) throws {
        guard let key else { return }
        let relay = PeerID(PeerPrivateKey(Curve25519.Signing.PrivateKey()).publicKey)
        let addresses = try Self.texts(relay).map { try Multiaddress(text: $0) }
        let sealed = try PeerRecord(peer: key.peerID, sequence: 1_700_000_000_000_000_000, addresses: addresses)
            .sealed(by: key).envelope
        let opened = try UnverifiedEnvelope(sealed)
        let (data, signature) = (key.publicKey.data, Array(opened.signature))
        // What is signed; its contents do not matter to the time, its length does.
        let message = [UInt8](repeating: 1, count: opened.payload.count + 24)
        let signed = key.signature(for: message) ?? signature
        var (bare, whole) = (Double.infinity, Double.infinity)
        var genuine = 0
        // In turn, so that both see the same machine.
        for _ in 0..<10 {
            bare = min(
                bare,
                try Stopwatch.once {
                    for _ in 0..<Self.rounds where try Self.isValid(signed, of: message, by: data, key.publicKey.kind) {
                        genuine += 1
                    }
                })
            whole = min(
                whole,
                try Stopwatch.once {
                    for _ in 0..<Self.rounds
                    where try CertifiedPeerRecord(verifying: sealed).record.addresses.count == addresses.count {
                        genuine += 1
                    }
                })
        }
        precondition(genuine == 20 * Self.rounds)
        let rounds = Double(Self.rounds)
        Figure.print("bare check of an \(kind) signature", bare / rounds * 1e6, "µs")
        Figure.print("verifying a record of \(addresses.count) addresses, \(kind)", whole / rounds * 1e6, "µs")
        Figure.print(
            "verifying a record against the bare check, \(kind)", whole / bare, "times", atMost: 1.3,
            of: "of the bare check")
    }

    /// The library's call, with the key read anew as a verifier must.
    private static func isValid(
        _ signature: [UInt8], of message: [UInt8], by key: [UInt8], _ kind: PeerKeyKind
    ) throws -> Bool {
        switch kind {
        case .ed25519:
            try Curve25519.Signing.PublicKey(rawRepresentation: key).isValidSignature(signature, for: message)
        default: CurvePoint(bytes: key)?.isValid(signature: signature, for: message) ?? false
        }
    }

    private static func addresses() throws {
        let peer = PeerID(PeerPrivateKey(Curve25519.Signing.PrivateKey()).publicKey)
        let texts = Self.texts(peer)
        let addresses = try texts.map { try Multiaddress(text: $0) }
        let bytes = addresses.map(\.bytes)
        let rounds = 20_000
        let each = Double(rounds * texts.count)
        var count = 0
        func measure(_ name: String, _ body: () throws -> Void) rethrows {
            let best = try Stopwatch.best { for _ in 0..<rounds { try body() } }
            Figure.print(name, best / each * 1e9, "ns")
        }
        try measure("a multiaddr from bytes") {
            for address in bytes { count &+= try Multiaddress(bytes: address).bytes.count }
        }
        try measure("a multiaddr from text") {
            for text in texts { count &+= try Multiaddress(text: text).bytes.count }
        }
        measure("a multiaddr as text") { for address in addresses { count &+= address.description.utf8.count } }
        measure("the reach of a multiaddr") { for address in addresses { count &+= address.isAmbiguous ? 1 : 0 } }
        measure("the endpoint of a multiaddr") {
            for address in addresses { count &+= address.endpoint == nil ? 0 : 1 }
        }
        measure("the network group of a multiaddr") {
            for address in addresses { count &+= address.networkGroup.utf8.count }
        }
        measure("a multiaddr without its peer") {
            for address in addresses { count &+= address.withoutPeerID.bytes.count }
        }
        measure("the id of a peer from its key") { for _ in addresses { count &+= PeerID(Self.key).bytes.count } }
        precondition(count != 1)
    }

    private static let key = PeerPrivateKey(Curve25519.Signing.PrivateKey()).publicKey
}
