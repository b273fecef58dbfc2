// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Testing

@Suite("Peer records")
struct PeerRecordTests {
    @Test(
        "records of py-libp2p, with every kind of key it has, are genuine",
        arguments: [
            (RecordVectors.ed25519, RecordVectors.ed25519Peer), (RecordVectors.secp256k1, RecordVectors.secp256k1Peer),
            (RecordVectors.rsa, RecordVectors.rsaPeer),
        ])
    func python(digits: String, peer: String) throws {
        let certified = try CertifiedPeerRecord(verifying: hex(digits))
        #expect(certified.record.peer.description == peer)
        #expect(certified.record.sequence == RecordVectors.sequence)
        #expect(certified.record.addresses.map(\.description) == RecordVectors.addresses)
        #expect(try CertifiedPeerRecord(verifiedBefore: certified.envelope) == certified)
        // py-libp2p leaves the kind of an RSA key out, without which nobody else reads it; we put it in.
        guard peer != RecordVectors.rsaPeer else {
            #expect(certified.envelope.count == hex(digits).count + 2)
            #expect(certified.envelope.starts(with: hex("0aab02" + KeyVectors.goRsaPublic)))
            #expect(try CertifiedPeerRecord(verifying: certified.envelope) == certified)
            return
        }
        #expect(certified.envelope == hex(digits))
    }

    @Test("our signatures over the same are py-libp2p's, byte for byte")
    func same() throws {
        let addresses = try RecordVectors.addresses.map { try Multiaddress(text: $0) }
        for (key, digits) in [
            (try EnvelopeTests.key(), RecordVectors.ed25519),
            (try EnvelopeTests.lightningKey(), RecordVectors.secp256k1),
        ] {
            let record = PeerRecord(peer: key.peerID, sequence: RecordVectors.sequence, addresses: addresses)
            #expect(try record.sealed(by: key).envelope == hex(digits))
        }
        let key = try EnvelopeTests.key()
        let empty = PeerRecord(peer: key.peerID, sequence: 0, addresses: [])
        #expect(try empty.sealed(by: key).envelope == hex(RecordVectors.withoutAddresses))
        let highest = PeerRecord(peer: key.peerID, sequence: .max, addresses: [addresses[0]])
        #expect(try highest.sealed(by: key).envelope == hex(RecordVectors.highestSequence))
        #expect(try CertifiedPeerRecord(verifying: hex(RecordVectors.highestSequence)).record.sequence == .max)
    }

    @Test("records of rust-libp2p and go-libp2p, and one signed with ECDSA, are read")
    func others() throws {
        let rust = try CertifiedPeerRecord(verifying: hex(RecordVectors.rust))
        let key = try #require(PeerPrivateKey.ed25519(seed: [UInt8](repeating: 1, count: 32)))
        #expect(rust.record.peer == key.peerID)
        #expect(rust.record.sequence == 42)
        #expect(rust.record.addresses.map(\.description) == ["/ip4/11.1.0.1/tcp/4001"])
        #expect(try rust.record.sealed(by: key).envelope == hex(RecordVectors.rust))
        let ecdsa = try CertifiedPeerRecord(verifying: hex(RecordVectors.ecdsa)).record
        #expect(ecdsa.addresses.map(\.description) == [RecordVectors.addresses[0]])
        #expect(ecdsa.peer.bytes.first == 0x12)
        let go = try PeerRecord(decoding: hex(RecordVectors.goPayload))
        #expect(go.peer.description == "12D3KooWB1b3qZxWJanuhtseF3DmPggHCtG36KZ9ixkqHtdKH9fh")
        #expect(go.sequence == 1_636_553_709_551_319_707)
        #expect(go.addresses.map(\.description) == ["/ip4/1.2.3.4/tcp/0", "/ip4/1.2.3.4/tcp/1"])
        #expect(go.encoded == hex(RecordVectors.goPayload))
    }

    @Test("the older names are recognised when asked for, and otherwise refused by name")
    func older() throws {
        let type = Array("/libp2p/routing-state-record".utf8)
        for digits in [RecordVectors.routingState, RecordVectors.routingRecord] {
            let bytes = hex(digits)
            let certified = try CertifiedPeerRecord(verifying: bytes, namings: [.olderRFC])
            #expect(certified.record.sequence == 7)
            #expect(try CertifiedPeerRecord(verifying: bytes, namings: [.current, .olderRFC]) == certified)
            #expect(throws: PeerRecordError.envelope(.payloadType(type))) { try CertifiedPeerRecord(verifying: bytes) }
        }
        let current = hex(RecordVectors.ed25519)
        #expect(throws: PeerRecordError.envelope(.payloadType([3, 1]))) {
            try CertifiedPeerRecord(verifying: current, namings: [.olderRFC])
        }
        #expect(throws: PeerRecordError.self) { try CertifiedPeerRecord(verifying: current, namings: []) }
        let key = try EnvelopeTests.key()
        let record = try CertifiedPeerRecord(verifying: current).record
        let sealed = try record.sealed(by: key, naming: .olderRFC)
        #expect(try CertifiedPeerRecord(verifying: sealed.envelope, namings: [.olderRFC]).record == record)
        // Signed for the current domain and labelled with the older type, and the other way round.
        for (domain, label) in [("libp2p-peer-record", type), ("libp2p-routing-state", [3, 1])] {
            let crossed = try SignedEnvelope(sealing: record.encoded, type: label, domain: domain, key: key)
            #expect(throws: PeerRecordError.envelope(.badSignature)) {
                try CertifiedPeerRecord(verifying: crossed.bytes, namings: [.current, .olderRFC])
            }
        }
    }

    @Test("a record about another peer than its signer is refused by name, and not signed either")
    func otherPeer() throws {
        let (key, other) = (try EnvelopeTests.key(), try EnvelopeTests.lightningKey())
        let record = PeerRecord(peer: other.peerID, sequence: 1, addresses: [])
        let error = PeerRecordError.otherPeer(record: other.peerID, signer: key.peerID)
        #expect(throws: error) { try record.sealed(by: key) }
        #expect(throws: error) { try Self.verify(payload: record.encoded, key) }
        // The hash of a key that has to be in the id itself is another id.
        var hashed = try PeerID(text: MultiaddressVectors.base58)
        #expect(throws: PeerRecordError.self) {
            try Self.verify(payload: PeerRecord(peer: hashed, sequence: 1, addresses: []).encoded, key)
        }
        hashed = key.peerID
        #expect(throws: Never.self) {
            try Self.verify(payload: PeerRecord(peer: hashed, sequence: 1, addresses: []).encoded, key)
        }
    }

    /// What becomes of a payload that is genuinely signed.
    @discardableResult
    static func verify(payload: [UInt8], _ key: PeerPrivateKey) throws -> CertifiedPeerRecord {
        let envelope = try SignedEnvelope(sealing: payload, type: [3, 1], domain: "libp2p-peer-record", key: key)
        return try CertifiedPeerRecord(verifying: envelope.bytes)
    }

    @Test("bad payloads are refused by name, however well they are signed")
    func badPayloads() throws {
        let key = try EnvelopeTests.key()
        let peer = EnvelopeTests.encoded([(1, key.peerID.bytes)])
        func address(_ digits: String) -> [UInt8] {
            EnvelopeTests.encoded([(3, EnvelopeTests.encoded([(1, hex(digits))]))])
        }
        func number(_ field: Int) -> [UInt8] {
            var writer = ProtobufWriter()
            writer.varint(field, 1)
            return writer.encoded
        }
        let cases: [([UInt8], PeerRecordError)] = [
            ([], .missing("peer id")), (number(2), .missing("peer id")), (peer + peer, .badField(1)),
            (number(1), .badField(1)), (peer + number(2) + number(2), .badField(2)),
            (peer + EnvelopeTests.encoded([(2, [1])]), .badField(2)), (peer + number(3), .badField(3)),
            (peer + hex("1080" + "00"), .malformed(.varint(.notMinimal))),
            (peer + hex("10ffffffffffffffffff02"), .malformed(.varint(.tooLong))),
            (peer + hex("1d00000000"), .badField(3)), (peer + [0x1a, 5], .malformed(.truncated)),
            (EnvelopeTests.encoded([(1, [])]), .peerID(.empty)),
            (EnvelopeTests.encoded([(1, [1])]), .peerID(.badMultihash)),
            (peer + address("04"), .address(.truncated)), (peer + address("3502c328"), .address(.badValue("dns"))),
            (peer + address("a202a202"), .address(.cyclic)),
            (peer + address(String(repeating: "ad02", count: 21)), .address(.tooDeep)),
            (peer + address(String(repeating: "060050", count: 342)), .address(.tooLong(1_026))),
            (peer + address("8400"), .address(.varint(.notMinimal))),
            (peer + EnvelopeTests.encoded([(3, hex("0a0106" + "0a0106"))]), .badField(3)),
            (peer + EnvelopeTests.encoded([(3, hex("0801"))]), .badField(3)),
            (peer + EnvelopeTests.encoded([(3, hex("0a05"))]), .malformed(.truncated)),
            (peer + (0..<101).flatMap { _ in address("060050") }, .tooManyAddresses(101)),
        ]
        for (payload, error) in cases {
            #expect(throws: error, "\(Hex.encode(payload.prefix(80)))") { try Self.verify(payload: payload, key) }
        }
        #expect(throws: PeerRecordError.tooManyAddresses(101)) {
            let addresses = [Multiaddress](repeating: try Multiaddress(text: "/tcp/1"), count: 101)
            _ = try PeerRecord(peer: key.peerID, sequence: 1, addresses: addresses).sealed(by: key)
        }
    }

    @Test("empty addresses, which older go-libp2p wrote, and fields of the future are passed over")
    func tolerant() throws {
        let key = try EnvelopeTests.key()
        let payload =
            EnvelopeTests.encoded([(1, key.peerID.bytes), (3, []), (3, hex("0a00")), (3, hex("0a03060050")), (9, [1])])
            + EnvelopeTests.encoded([(3, hex("0a03060051" + "1001"))])
        let certified = try Self.verify(payload: payload, key)
        #expect(certified.record.addresses.map(\.description) == ["/tcp/80", "/tcp/81"])
        #expect(certified.record.sequence == 0)
        // It is handed on as it was signed.
        #expect(try CertifiedPeerRecord(verifying: certified.envelope) == certified)
        #expect(try UnverifiedEnvelope(certified.envelope).payload.elementsEqual(payload))
    }

    @Test("a record of the most addresses is taken")
    func most() throws {
        let key = try EnvelopeTests.key()
        let addresses = try (1...100).map {
            try Multiaddress(text: "/ip6/2001:db8::\($0)/udp/4001/quic-v1/p2p/\(key.peerID)")
        }
        let sealed = try PeerRecord(peer: key.peerID, sequence: 1, addresses: addresses).sealed(by: key)
        #expect(try CertifiedPeerRecord(verifying: sealed.envelope).record.addresses == addresses)
    }

    @Test("every cut of every genuine record is refused")
    func cutOff() {
        for digits in [
            RecordVectors.ed25519, RecordVectors.secp256k1, RecordVectors.ecdsa, RecordVectors.rust, RecordVectors.rsa,
        ] {
            let bytes = hex(digits)
            for length in bytes.indices {
                #expect(throws: PeerRecordError.self) { try CertifiedPeerRecord(verifying: bytes.prefix(length)) }
                #expect(throws: PeerRecordError.self) { try CertifiedPeerRecord(verifying: bytes.suffix(length)) }
            }
        }
    }

    @Test("altered records are refused, or say what was signed", arguments: [11, 12])
    func mutations(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let originals = try [RecordVectors.ed25519, RecordVectors.rust, RecordVectors.withoutAddresses].map {
            try CertifiedPeerRecord(verifying: hex($0))
        }
        for _ in 0..<2_000 {
            let original = originals[Int.random(in: 0..<originals.count, using: &random)]
            var bytes = original.envelope
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 1: bytes.insert(random.bytes(1)[0], at: index)
                default: bytes.remove(at: index)
                }
            }
            // Only what nobody signed can have changed: a field that is passed over.
            if let taken = try? CertifiedPeerRecord(verifying: bytes) { #expect(taken == original) }
        }
        for _ in 0..<2_000 {
            var payload = originals[0].record.encoded
            payload[Int.random(in: 0..<payload.count, using: &random)] = random.bytes(1)[0]
            guard let record = try? PeerRecord(decoding: payload) else { continue }
            #expect(try PeerRecord(decoding: record.encoded) == record)
        }
    }
}
