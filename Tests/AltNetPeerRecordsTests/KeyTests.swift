// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Testing

/// Bytes of hexadecimal digits; a test that has wrong ones fails elsewhere.
func hex(_ digits: String) -> [UInt8] { Hex.decode(digits) ?? [] }

@Suite("Peer keys")
struct KeyTests {
    @Test(
        "the specification's public keys are read and written",
        arguments: [
            (KeyVectors.rsaPublic, PeerKeyKind.rsa), (KeyVectors.ed25519Public, .ed25519),
            (KeyVectors.secp256k1Public, .secp256k1), (KeyVectors.ecdsaPublic, .ecdsa),
        ])
    func publicKeys(digits: String, kind: PeerKeyKind) throws {
        let key = try PeerPublicKey(protobuf: hex(digits))
        #expect(key.kind == kind)
        #expect(key.protobuf == hex(digits))
    }

    @Test(
        "the specification's private keys have its public keys, and are written as they were",
        arguments: [
            (KeyVectors.ed25519Private, KeyVectors.ed25519Public),
            (KeyVectors.secp256k1Private, KeyVectors.secp256k1Public),
        ])
    func privateKeys(secret: String, digits: String) throws {
        let key = try PeerPrivateKey(protobuf: hex(secret))
        #expect(key.publicKey.protobuf == hex(digits))
        #expect(key.protobuf == hex(secret))
        let message = Array("message".utf8)
        let signature = try #require(key.signature(for: message))
        #expect(key.publicKey.isValid(signature: signature, for: message))
        #expect(!key.publicKey.isValid(signature: signature, for: message + [0]))
    }

    @Test("RSA and ECDSA keys verify, and refuse to sign")
    func verifyOnly() {
        #expect(throws: PeerKeyError.cannotSign(.ecdsa)) { try PeerPrivateKey(protobuf: hex(KeyVectors.ecdsaPrivate)) }
        // The key's beginning, with its length put right.
        let start = hex(KeyVectors.rsaPrivateStart).dropFirst(5)
        var writer = ProtobufWriter()
        writer.varint(1, 0)
        writer.bytes(2, start)
        #expect(throws: PeerKeyError.cannotSign(.rsa)) { try PeerPrivateKey(protobuf: writer.encoded) }
    }

    @Test(
        "signatures of other implementations are genuine, and no altered one is",
        arguments: [
            (KeyVectors.goRsaPublic, KeyVectors.goRsaSignature),
            (KeyVectors.goSecp256k1Public, KeyVectors.goSecp256k1Signature),
            (KeyVectors.goEcdsaPublic, KeyVectors.goEcdsaSignature),
            (KeyVectors.p384Public, KeyVectors.p384Signature), (KeyVectors.p521Public, KeyVectors.p521Signature),
        ])
    func foreignSignatures(digits: String, signature: String) throws {
        let key = try PeerPublicKey(protobuf: hex(digits))
        let message = Array(KeyVectors.message.utf8)
        let good = hex(signature)
        #expect(key.isValid(signature: good, for: message))
        #expect(!key.isValid(signature: good, for: message.dropLast()))
        for length in 0..<good.count { #expect(!key.isValid(signature: good.prefix(length), for: message)) }
        for index in good.indices {
            var bad = good
            bad[index] ^= 1
            #expect(!key.isValid(signature: bad, for: message))
        }
        #expect(!key.isValid(signature: good + good, for: message))
    }

    @Test("our secp256k1 signatures are go-libp2p's, byte for byte")
    func deterministic() throws {
        let key = try PeerPrivateKey(protobuf: hex(KeyVectors.goSecp256k1Private))
        #expect(key.publicKey.protobuf == hex(KeyVectors.goSecp256k1Public))
        #expect(key.signature(for: Array(KeyVectors.message.utf8)) == hex(KeyVectors.goSecp256k1Signature))
    }

    @Test("a signature of one key is none of another, of the same kind or not")
    func swapped() throws {
        let message = Array(KeyVectors.message.utf8)
        let all = [
            (KeyVectors.goRsaPublic, KeyVectors.goRsaSignature),
            (KeyVectors.goSecp256k1Public, KeyVectors.goSecp256k1Signature),
            (KeyVectors.goEcdsaPublic, KeyVectors.goEcdsaSignature),
        ]
        let others = [
            KeyVectors.rsaPublic, KeyVectors.secp256k1Public, KeyVectors.ecdsaPublic, KeyVectors.ed25519Public,
        ]
        for (own, signature) in all {
            for other in all.map(\.0) + others where other != own {
                #expect(!(try PeerPublicKey(protobuf: hex(other)).isValid(signature: hex(signature), for: message)))
            }
        }
    }

    @Test("Ed25519 key files with the public key twice are read, if both are the key's")
    func olderEd25519() throws {
        let key = try PeerPrivateKey(protobuf: hex(KeyVectors.ed25519Private))
        let data = hex(KeyVectors.ed25519Private).dropFirst(4)
        func file(_ data: some Collection<UInt8>) -> [UInt8] {
            var writer = ProtobufWriter()
            writer.varint(1, 1)
            writer.bytes(2, data)
            return writer.encoded
        }
        let older = try PeerPrivateKey(protobuf: file(data + data.suffix(32)))
        #expect(older.protobuf == key.protobuf)
        var twisted = Array(data + data.suffix(32))
        twisted[95] ^= 1
        #expect(throws: PeerKeyError.badKey(.ed25519)) { try PeerPrivateKey(protobuf: file(twisted)) }
        #expect(throws: PeerKeyError.badKey(.ed25519)) { try PeerPrivateKey(protobuf: file(data.prefix(32))) }
        var foreign = Array(data)
        foreign[63] ^= 1
        #expect(throws: PeerKeyError.badKey(.ed25519)) { try PeerPrivateKey(protobuf: file(foreign)) }
    }

    @Test("a key that is cut off anywhere is refused")
    func cutOff() {
        for digits in [
            KeyVectors.rsaPublic, KeyVectors.ed25519Public, KeyVectors.secp256k1Public, KeyVectors.ecdsaPublic,
        ] {
            let key = hex(digits)
            for length in key.indices {
                #expect(throws: PeerKeyError.self) { try PeerPublicKey(protobuf: key.prefix(length)) }
            }
        }
    }

    @Test("a key in another encoding than the one allowed is refused by name")
    func notCanonical() {
        let data = "1220" + String(repeating: "11", count: 32)
        let cases: [(String, PeerKeyError)] = [
            ("", .notCanonical), ("0801", .notCanonical), (data, .notCanonical),
            // Data first; the kind twice; a third field; the kind with a byte too many; as bytes; as fixed32.
            (data + "0801", .notCanonical), ("08010801" + data, .notCanonical), ("0801" + data + "1801", .notCanonical),
            ("088100" + data, .malformed(.varint(.notMinimal))), ("0a0101" + data, .notCanonical),
            ("0d01000000" + data, .notCanonical), ("0804" + data, .unknownKind(4)),
            ("08ffffffffffffffffff01" + data, .unknownKind(.max)),
            ("08ffffffffffffffffff02" + data, .malformed(.varint(.tooLong))),
            ("0801121f" + String(repeating: "11", count: 31), .badKey(.ed25519)), ("08011200", .badKey(.ed25519)),
            ("08021221" + "02" + String(repeating: "00", count: 32), .badKey(.secp256k1)),
            ("08021221" + "02" + String(repeating: "ff", count: 32), .badKey(.secp256k1)),
            // Points are compressed.
            ("08021241" + "04" + String(repeating: "11", count: 64), .badKey(.secp256k1)),
            ("08031203300101", .badKey(.ecdsa)), ("08001203300101", .badKey(.rsa)),
            (KeyVectors.shortRSAPublic, .badKey(.rsa)), ("0801" + "13" + "00", .malformed(.wireType(3))),
        ]
        for (digits, error) in cases {
            #expect(throws: error, "\(digits)") { try PeerPublicKey(protobuf: hex(digits)) }
        }
        let long = [UInt8](repeating: 0, count: PeerPublicKey.maximumSize + 1)
        #expect(throws: PeerKeyError.tooLong(long.count)) { try PeerPublicKey(protobuf: long) }
    }

    @Test("no description shows a private key")
    func redacted() throws {
        let key = try #require(PeerPrivateKey.ed25519(seed: hex(RecordVectors.ed25519Seed)))
        for text in ["\(key)", String(reflecting: key), "\(Mirror(reflecting: key).children.count)"] {
            #expect(!text.lowercased().contains(RecordVectors.ed25519Seed.prefix(8)))
        }
        #expect(Mirror(reflecting: key).children.isEmpty)
        #expect(PeerPrivateKey.ed25519(seed: [1, 2, 3]) == nil)
        #expect(PeerPrivateKey.secp256k1([UInt8](repeating: 0, count: 32)) == nil)
    }
}
