// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Testing

@Suite("Signed envelopes")
struct EnvelopeTests {
    static let domain = "libp2p-testing"
    static let type = Array("/libp2p/testdata".utf8)

    static func key() throws -> PeerPrivateKey {
        try #require(PeerPrivateKey.ed25519(seed: hex(RecordVectors.ed25519Seed)))
    }

    static func lightningKey() throws -> PeerPrivateKey {
        try #require(PeerPrivateKey.secp256k1(hex(RecordVectors.secp256k1Secret)))
    }

    /// An envelope of fields in any order and number.
    static func encoded(_ fields: [(Int, [UInt8])]) -> [UInt8] {
        var writer = ProtobufWriter()
        for (field, bytes) in fields { writer.bytes(field, bytes) }
        return writer.encoded
    }

    @Test("go-libp2p's envelope is opened, and written as it was")
    func goEnvelope() throws {
        let bytes = hex(RecordVectors.goEnvelope)
        let envelope = try SignedEnvelope(opening: bytes, domain: Self.domain, type: Self.type)
        #expect(envelope.payload == Array("hello world!".utf8))
        #expect(envelope.bytes == bytes)
        #expect(envelope.signer == PeerID(envelope.publicKey))
        for domain in ["libp2p-testin", "libp2p-testing ", "", "libp2p-peer-record", "Libp2p-testing"] {
            #expect(throws: EnvelopeError.badSignature) {
                try SignedEnvelope(opening: bytes, domain: domain, type: Self.type)
            }
        }
        #expect(throws: EnvelopeError.payloadType(Self.type)) {
            try SignedEnvelope(opening: bytes, domain: Self.domain, type: [3, 1])
        }
    }

    @Test("every cut, and every change of a signed or signing bit is refused")
    func altered() throws {
        let bytes = hex(RecordVectors.goEnvelope)
        for length in bytes.indices {
            #expect(throws: EnvelopeError.self) {
                try SignedEnvelope(opening: bytes.prefix(length), domain: Self.domain, type: Self.type)
            }
        }
        for index in bytes.indices {
            for bit in 0..<8 {
                var altered = bytes
                altered[index] ^= 1 << UInt8(bit)
                #expect(throws: EnvelopeError.self, "bit \(bit) of byte \(index)") {
                    try SignedEnvelope(opening: altered, domain: Self.domain, type: Self.type)
                }
            }
        }
    }

    @Test("length and contents cannot be moved between domain, type and payload")
    func boundaries() throws {
        let key = try Self.key()
        let envelope = try SignedEnvelope(sealing: [1, 2, 3], type: [3, 1], domain: "ab", key: key)
        // The same bytes in a row, cut elsewhere.
        for (domain, type, payload) in [
            ("abc", [1], [1, 2, 3]), ("a", [3, 1], [1, 2, 3]), ("ab", [3], [1, 1, 2, 3]), ("ab", [3, 1, 1], [2, 3]),
        ] as [(String, [UInt8], [UInt8])] {
            let bytes = Self.encoded([
                (1, envelope.publicKey.protobuf), (2, type), (3, payload), (5, envelope.signature),
            ])
            #expect(throws: EnvelopeError.badSignature) {
                try SignedEnvelope(opening: bytes, domain: domain, type: type)
            }
        }
    }

    @Test("signatures of two envelopes, swapped, are not genuine")
    func swapped() throws {
        let key = try Self.key()
        let one = try SignedEnvelope(sealing: [1], type: Self.type, domain: Self.domain, key: key)
        let two = try SignedEnvelope(sealing: [2], type: Self.type, domain: Self.domain, key: key)
        let other = try SignedEnvelope(sealing: [1], type: Self.type, domain: Self.domain, key: try Self.lightningKey())
        for (body, signature) in [(one, two.signature), (two, one.signature), (one, other.signature)] {
            let bytes = Self.encoded([
                (1, body.publicKey.protobuf), (2, body.payloadType), (3, body.payload), (5, signature),
            ])
            #expect(throws: EnvelopeError.badSignature) {
                try SignedEnvelope(opening: bytes, domain: Self.domain, type: Self.type)
            }
        }
        // And a key, swapped.
        let bytes = Self.encoded([
            (1, other.publicKey.protobuf), (2, one.payloadType), (3, one.payload), (5, one.signature),
        ])
        #expect(throws: EnvelopeError.badSignature) {
            try SignedEnvelope(opening: bytes, domain: Self.domain, type: Self.type)
        }
    }

    @Test("fields missing, twice and of a wrong kind are refused by name")
    func fields() throws {
        let good = try SignedEnvelope(sealing: [9], type: Self.type, domain: Self.domain, key: try Self.key())
        let (key, signature) = (good.publicKey.protobuf, good.signature)
        let all = [(1, key), (2, Self.type), (3, [9]), (5, signature)]
        func open(_ bytes: [UInt8]) throws -> SignedEnvelope {
            try SignedEnvelope(opening: bytes, domain: Self.domain, type: Self.type)
        }
        #expect(throws: EnvelopeError.missing("public key")) { try open(Self.encoded(Array(all.dropFirst()))) }
        #expect(throws: EnvelopeError.missing("signature")) { try open(Self.encoded(Array(all.dropLast()))) }
        #expect(throws: EnvelopeError.missing("public key")) { try open([]) }
        for (index, field) in all.enumerated() {
            #expect(throws: EnvelopeError.badField(field.0)) { try open(Self.encoded(all + [field])) }
            var number = ProtobufWriter()
            number.varint(field.0, 1)
            var others = all
            others.remove(at: index)
            #expect(throws: EnvelopeError.badField(field.0)) { try open(Self.encoded(others) + number.encoded) }
        }
        #expect(throws: EnvelopeError.malformed(.truncated)) { try open(good.bytes + [0x0a]) }
        #expect(throws: EnvelopeError.malformed(.wireType(3))) { try open(good.bytes + [0x33]) }
        #expect(throws: EnvelopeError.key(.notCanonical)) {
            try open(Self.encoded([(1, key + [0x18, 1]), (2, Self.type), (3, [9]), (5, signature)]))
        }
        let longKey = [UInt8](repeating: 0, count: PeerPublicKey.maximumSize + 1)
        #expect(throws: EnvelopeError.key(.tooLong(longKey.count))) {
            try open(Self.encoded([(1, longKey), (2, Self.type), (3, [9]), (5, signature)]))
        }
        let noPoint = PeerIDTests.secp256k1Key([UInt8](repeating: 0xff, count: 33))
        #expect(throws: EnvelopeError.key(.badKey(.secp256k1))) {
            try open(Self.encoded([(1, noPoint), (2, Self.type), (3, [9]), (5, signature)]))
        }
    }

    @Test("what others add to an envelope is not kept, and its order does not matter")
    func canonical() throws {
        let good = try SignedEnvelope(sealing: [9], type: Self.type, domain: Self.domain, key: try Self.key())
        let shuffled = Self.encoded([
            (5, good.signature), (3, [9]), (7, [UInt8](repeating: 1, count: 500)), (2, Self.type),
            (1, good.publicKey.protobuf),
        ])
        let opened = try SignedEnvelope(opening: shuffled, domain: Self.domain, type: Self.type)
        #expect(opened == good)
        #expect(opened.bytes == good.bytes)
    }

    @Test("envelopes are bounded, read and written")
    func bounds() throws {
        let key = try Self.key()
        let large = try SignedEnvelope(
            sealing: [UInt8](repeating: 1, count: 8_067), type: Self.type, domain: Self.domain, key: key)
        #expect(large.bytes.count == SignedEnvelope.maximumSize)
        #expect(try SignedEnvelope(opening: large.bytes, domain: Self.domain, type: Self.type) == large)
        #expect(throws: EnvelopeError.tooLong(8_193)) {
            try SignedEnvelope(
                sealing: [UInt8](repeating: 1, count: 8_068), type: Self.type, domain: Self.domain, key: key)
        }
        #expect(throws: EnvelopeError.tooLong(8_194)) {
            try SignedEnvelope(opening: large.bytes + [0x38, 0], domain: Self.domain, type: Self.type)
        }
        #expect(throws: EnvelopeError.noDomain) { try SignedEnvelope(sealing: [1], type: [3], domain: "", key: key) }
        #expect(throws: EnvelopeError.noDomain) { try SignedEnvelope(sealing: [1], type: [], domain: "a", key: key) }
    }

    @Test("an empty payload is signed and opened")
    func empty() throws {
        let envelope = try SignedEnvelope(sealing: [], type: Self.type, domain: Self.domain, key: try Self.key())
        let without = Self.encoded([(1, envelope.publicKey.protobuf), (2, Self.type), (5, envelope.signature)])
        #expect(try SignedEnvelope(opening: without, domain: Self.domain, type: Self.type).payload.isEmpty)
        #expect(try SignedEnvelope(opening: envelope.bytes, domain: Self.domain, type: Self.type) == envelope)
    }
}
