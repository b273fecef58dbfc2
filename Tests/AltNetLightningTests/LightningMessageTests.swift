// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetLightning
import AltNetObjects
import Testing

@Suite("LightningMessage (BOLT 1)")
struct LightningMessageTests {
    static func decode(_ hex: String) throws -> LightningMessage {
        try LightningMessage(decoding: try #require(Hex.decode(hex)))
    }

    @Test(
        "init messages that appendix C calls valid are read",
        arguments: ["001000000000", "001000000000c9012acb0104"]
    )
    func validExtensions(_ hex: String) throws {
        #expect(try Self.decode(hex) == .initialization(InitMessage(features: LightningFeatures())))
    }

    @Test(
        "init messages that appendix C calls invalid are refused",
        arguments: [
            (
                "00100000000001",
                LightningMessageError.badRecords(
                    type: 16,
                    .malformed(.truncated(needed: 1, available: 0))
                )
            ),
            ("001000000000ca012a", .badRecords(type: 16, .unknownEvenType(0xca))),
            ("001000000000c90101c90102", .badRecords(type: 16, .notIncreasing(type: 0xc9, after: 0xc9))),
        ]
    )
    func invalidExtensions(_ hex: String, _ error: LightningMessageError) {
        #expect(throws: error) { try Self.decode(hex) }
    }

    @Test("both feature fields are combined, whatever their padding")
    func features() throws {
        guard case .initialization(let message) = try Self.decode("0010" + "00020201" + "0003008002") else {
            Issue.record("not an init message")
            return
        }
        #expect(message.features.bits == [0, 1, 9, 15])
    }

    @Test("an init message with every record survives")
    func fullInit() throws {
        let message = InitMessage(
            features: LightningFeatures([1, BitcoinOverLightning.featureBit]),
            networks: [Network.main.chainHash, Network.regtest.chainHash],
            remoteAddress: [1, 127, 0, 0, 1, 0x26, 7],
            servedObjects: [.headers, .blocks, .tips]
        )
        let encoded = LightningMessage.initialization(message).encoded
        #expect(try LightningMessage(decoding: encoded) == .initialization(message))
    }

    @Test(
        "records of a wrong form are refused",
        arguments: [
            ("0010000000000101aa", 1 as UInt64), ("001000000000fe0006c7f1020002", 444_401),
        ]
    )
    func badRecords(_ hex: String, _ record: UInt64) {
        #expect(throws: LightningMessageError.badRecord(type: 16, record: record)) { try Self.decode(hex) }
    }

    @Test(
        "messages survive their encoding",
        arguments: [
            LightningMessage.ping(pongLength: 0, paddingLength: 0), .ping(pongLength: 65535, paddingLength: 65529),
            .pong(length: 0), .pong(length: 65531), .warning(NoticeMessage("no")), .error(NoticeMessage("")),
            .bitcoin(.request(id: .max, kind: 200, body: [1, 2])), .bitcoin(.answer(id: 5, remaining: 9, part: [3])),
            .bitcoin(.announcement(remaining: 0, part: [4])), .other(type: 33001),
        ]
    )
    func roundTrips(_ message: LightningMessage) throws {
        #expect(message.encoded.count <= 65535)
        #expect(try LightningMessage(decoding: message.encoded) == message)
    }

    @Test("the largest ping and pong fill a Lightning message exactly")
    func largest() {
        #expect(LightningMessage.pong(length: LightningMessage.pongLengthLimit - 1).encoded.count == 65535)
    }

    @Test(
        "messages that end early are refused",
        arguments: [
            "0010", "001000", "0010000000", "00100001", "001000000001", "0011",
            "0001" + String(repeating: "00", count: 33),
            "0011" + String(repeating: "00", count: 32) + "0001", "0012", "00120000", "001200000001", "0013",
            "00130001",
            "ad71", "ad710000000000000001", "ad73", "ad7300000000000000010000", "ad75", "ad75000000",
        ]
    )
    func truncated(_ hex: String) {
        let error = #expect(throws: LightningMessageError.self) { try Self.decode(hex) }
        guard case .malformed = error else {
            Issue.record("\(String(describing: error)) instead of a malformed message")
            return
        }
    }

    @Test("a message without a type is refused", arguments: ["", "00"])
    func noType(_ hex: String) {
        #expect(throws: LightningMessageError.noType) { try Self.decode(hex) }
    }

    @Test("it is ok to be odd, and gossip is known")
    func oddRule() throws {
        for type: UInt16 in [3, 21, 515, 32769, 65535, 256, 258, 262, 264] {
            var bytes: [UInt8] = []
            bytes.appendBigEndian(type)
            #expect(try LightningMessage(decoding: bytes + [1, 2, 3]) == .other(type: type))
        }
        for type: UInt16 in [0, 2, 20, 32, 128, 266, 32768, 44402, 65534] {
            var bytes: [UInt8] = []
            bytes.appendBigEndian(type)
            #expect(throws: LightningMessageError.unknownEvenType(type)) { try LightningMessage(decoding: bytes) }
        }
    }

    @Test("the text of errors and warnings cannot move the cursor")
    func untrustedText() throws {
        guard
            case .error(let notice) = try Self.decode(
                "0011" + String(repeating: "ab", count: 32) + "0004" + "1b5b3241"
            )
        else {
            Issue.record("not an error message")
            return
        }
        #expect(notice.text.description == "?[2A")
        #expect(!notice.concernsConnection)
    }

    @Test("random bytes are read or refused, never worse")
    func randomBytes() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededRandom(seed: seed)
        let types: [UInt16] = [1, 16, 17, 18, 19, 44401, 44403, 44405]
        for _ in 0..<20_000 {
            var bytes: [UInt8] = []
            bytes.appendBigEndian(types.randomElement(using: &random) ?? 0)
            let length = Int.random(in: 0...80, using: &random)
            bytes += (0..<length).map { _ in
                UInt8.random(in: 0...(Bool.random(using: &random) ? 4 : 255), using: &random)
            }
            guard let message = try? LightningMessage(decoding: bytes) else { continue }
            #expect((try? LightningMessage(decoding: message.encoded)) == message, "seed \(seed)")
        }
    }
}

@Suite("LightningFeatures (BOLT 9)")
struct LightningFeaturesTests {
    @Test("bits are counted from the last byte and written in the shortest form")
    func bytes() {
        #expect(LightningFeatures().bytes == [])
        #expect(LightningFeatures([0]).bytes == [1])
        #expect(LightningFeatures([15, 9]).bytes == [0x82, 0])
        #expect(LightningFeatures(bytes: [0, 0, 2]).bytes == [2])
        #expect(LightningFeatures([BitcoinOverLightning.featureBit]).bits == [445])
    }

    @Test("either bit of a pair offers the feature")
    func offers() {
        #expect(LightningFeatures([444]).offers(445))
        #expect(LightningFeatures([445]).offers(444))
        #expect(!LightningFeatures([445]).contains(444))
        #expect(!LightningFeatures([443, 446]).offers(445))
    }

    @Test("unknown compulsory bits are found, unknown optional ones are not")
    func compulsory() {
        #expect(LightningFeatures([1, 3, 999]).firstUnknownCompulsoryBit(understood: []) == nil)
        #expect(LightningFeatures([8, 100]).firstUnknownCompulsoryBit(understood: [8]) == 100)
    }

    @Test("a feature without what it depends on is found")
    func dependencies() {
        #expect(LightningFeatures([51]).missingDependency?.needs == 46)
        #expect(LightningFeatures([51, 47]).missingDependency == nil)
        #expect(LightningFeatures([60]).missingDependency?.feature == 60)
    }

    @Test("the union of any two sets has the bits of both")
    func union() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededRandom(seed: seed)
        for _ in 0..<500 {
            let left = (0..<Int.random(in: 0...5, using: &random)).map { _ in UInt16.random(in: 0...500, using: &random)
            }
            let right = (0..<Int.random(in: 0...5, using: &random)).map { _ in
                UInt16.random(in: 0...500, using: &random)
            }
            let union = LightningFeatures(left).union(LightningFeatures(right))
            #expect(union == LightningFeatures(left + right), "seed \(seed)")
            #expect(Set(union.bits) == Set((left + right).map(Int.init)), "seed \(seed)")
        }
    }
}
