// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Testing

@Suite("Peer ids")
struct PeerIDTests {
    /// A key message with any bytes as a secp256k1 key.
    static func secp256k1Key(_ data: [UInt8]) -> [UInt8] {
        var writer = ProtobufWriter()
        writer.varint(1, 2)
        writer.bytes(2, data)
        return writer.encoded
    }

    @Test(
        "both text forms of the specification and of other implementations are the same id",
        arguments: [
            // libp2p's peer id specification; the sha2-256 CID and its base 58.
            (
                "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
                "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"
            ),
            // go-multiaddr's tests.
            (
                "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC",
                "bafzbeigvf25ytwc3akrijfecaotc74udrhcxzh2cx3we5qqnw5vgrei4bm"
            ),
            (
                "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC",
                "k2k4r8oqamigqdo6o7hsbfwd45y70oyynp98usk7zmyfrzpqxh1pohl7"
            ),
            (
                "12D3KooWCryG7Mon9orvQxcS1rYZjotPgpwoJNHHKcLLfE4Hf5mV",
                "k51qzi5uqu5dhb6l8spkdx7yxafegfkee5by8h7lmjh2ehc2sgg34z7c15vzqs"
            ),
            (
                "12D3KooWCryG7Mon9orvQxcS1rYZjotPgpwoJNHHKcLLfE4Hf5mV",
                "bafzaajaiaejcalj543iwv2d7pkjt7ykvefrkfu7qjfi6sduakhso4lay6abn2d5u"
            ),
        ])
    func textForms(base58: String, cid: String) throws {
        let id = try PeerID(text: base58)
        #expect(id.description == base58)
        #expect(try PeerID(text: cid) == id)
        #expect(try PeerID(text: id.cidText) == id)
        if cid.hasPrefix("b") { #expect(id.cidText == cid) }
        let upper = cid.uppercased()
        #expect(try PeerID(text: upper) == id)
        #expect(throws: PeerIDError.badText) { try PeerID(text: String(upper.prefix(1)) + cid.dropFirst()) }
    }

    @Test(
        "the id follows from the key",
        arguments: [
            (RecordVectors.ed25519, RecordVectors.ed25519Peer), (RecordVectors.secp256k1, RecordVectors.secp256k1Peer),
            (RecordVectors.rsa, RecordVectors.rsaPeer),
        ])
    func ofKey(record: String, peer: String) throws {
        let envelope = try UnverifiedEnvelope(hex(record))
        let key = try envelope.publicKey()
        let id = PeerID(key)
        #expect(id.description == peer)
        #expect(id.embeddedKey == (key.kind == .rsa ? nil : key))
        #expect(try PeerID(bytes: id.bytes) == id)
    }

    @Test("go-libp2p's manual key has its id")
    func goKey() throws {
        // Type and first bytes of the id's text tell the hash from the key itself.
        let id = try PeerID(text: "QmcJeseojbPW9hSejUM1sQ1a2QmbrryPK4Z8pWbRUPaYEn")
        #expect(id.bytes.prefix(2) == [0x12, 0x20])
        #expect(id.bytes.count == 34)
        #expect(id.embeddedKey == nil)
    }

    @Test(
        "what is no id is refused by name",
        arguments: [
            ("", PeerIDError.empty), (String(repeating: "1", count: 129), .tooLong(129)),
            // go-libp2p's CID of something else than a key, and a digest that is longer than SHA-256's.
            ("bafkreifoybygix7fh3r3g5rqle3wcnhqldgdg4shzf4k3ulyw3gn7mabt4", .codec(0x55)),
            ("QmxoHT6iViN5xAjoz1VZ553cL31U9F94ht3QvWR1FrEbZY", .badMultihash),
            ("Qm0", .badText), ("Qml", .badText), ("QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNK", .badMultihash),
            ("hello", .badText), ("x", .badText), ("b", .badMultihash), ("bé", .badText), ("12D3KooW é", .badText),
            ("1", .badMultihash), ("11", .badMultihash), ("b1", .badText),
        ])
    func badTexts(text: String, error: PeerIDError) {
        #expect(throws: error) { try PeerID(text: text) }
    }

    @Test("bytes that are no multihash of a key are refused by name")
    func badBytes() {
        let hash = String(repeating: "11", count: 32)
        let cases: [(String, PeerIDError)] = [
            ("", .empty), ("00", .badMultihash), ("0000", .badMultihash), ("1220" + hash.dropLast(2), .badMultihash),
            ("1220" + hash + "11", .badMultihash), ("121f" + hash.dropLast(2), .badMultihash),
            ("1320" + hash, .hashFunction(0x13)), ("920020" + hash, .badMultihash), ("12a000" + hash, .badMultihash),
            ("8012" + "20" + hash, .hashFunction(0x900)), ("002b" + String(repeating: "11", count: 43), .tooLong(45)),
        ]
        for (digits, error) in cases {
            #expect(throws: error, "\(digits)") { try PeerID(bytes: hex(digits)) }
        }
    }

    @Test("random ids are the same after every text form")
    func roundTrip() throws {
        var random = SeededRandom(seed: 42)
        for round in 0..<300 {
            let bytes =
                round.isMultiple(of: 2)
                ? [0x12, 0x20] + random.bytes(32)
                : { (count: Int) in [0, UInt8(count)] + random.bytes(count) }(1 + round % 42)
            let id = try PeerID(bytes: bytes)
            // An identity hash that begins with zeros has a text of ones; those of keys begin with 08.
            #expect(try PeerID(text: id.description) == id)
            #expect(try PeerID(text: id.cidText) == id)
        }
    }
}
