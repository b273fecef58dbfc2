// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import Testing

@testable import AltNetOnion

@Suite("Records in onion messages")
struct OnionRecordsTests {
    private static let point = "031b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd078f"

    private static let badStreams: [(String, String?)] = [
        ("0500", nil),
        ("05", "a record is malformed: 1 bytes are needed and 0 are left"),
        ("0501", "a record is malformed: 1 bytes are needed and 0 are left"),
        ("fd00050100", "a record is malformed: a number is longer than necessary"),
        ("05fd000100", "a record is malformed: a number is longer than necessary"),
        ("05ffffffffffffffffff00", "a record is malformed: 9223372036854775807 bytes are needed and 1 are left"),
        ("05000500", "record 5 comes after record 5"),
        ("05000300", "record 3 comes after record 5"),
        ("1000", "record 16 is even and unknown"),
        ("0500fe0001000000", "record 65536 is even and unknown"),
    ]

    @Test("streams that break BOLT 1's rules are refused by name", arguments: Self.badStreams)
    func streams(_ hex: String, _ reason: String?) throws {
        let bytes = try Vectors.bytes(hex)
        let expected = reason.map { OnionError.badPayload($0) }
        #expect(refusal { () throws(OnionError) in _ = try EncryptedRecipientData(decoding: bytes) } == expected)
        #expect(refusal { () throws(OnionError) in _ = try OnionMessagePayload(decoding: bytes) } == expected)
    }

    private static let badRecords: [(String, OnionError)] = [
        ("020700000000000000", .badPayload("a short_channel_id has 7 bytes instead of 8")),
        ("0209000000000000000000", .badPayload("a short_channel_id has 9 bytes instead of 8")),
        ("0200", .badPayload("a short_channel_id has 0 bytes instead of 8")),
        ("0400", .badKey),
        ("0421ff1b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd078f", .badKey),
        ("0801ff", .badKey),
        ("0420031b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd07", .badKey),
        ("0822031b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd078f00", .badKey),
    ]

    @Test("records of a wrong form are refused by name", arguments: Self.badRecords)
    func data(_ hex: String, _ expected: OnionError) throws {
        let bytes = try Vectors.bytes(hex)
        #expect(refusal { () throws(OnionError) in _ = try EncryptedRecipientData(decoding: bytes) } == expected)
    }

    @Test("a payload keeps unknown odd records, and even ones only when they are said to be known")
    func fields() throws {
        let odd = try OnionMessagePayload(decoding: try Vectors.bytes("0302aabb0400410107"))
        #expect(odd.encryptedRecipientData == [] && odd.replyPath == nil)
        #expect(odd.fields == [3: [0xaa, 0xbb], 65: [7]])
        let even = try Vectors.bytes("400107")
        #expect(
            refusal { () throws(OnionError) in _ = try OnionMessagePayload(decoding: even) }
                == .badPayload("record 64 is even and unknown"))
        #expect(try OnionMessagePayload(decoding: even, known: [64]).fields == [64: [7]])
        #expect(refusal { () throws(OnionError) in _ = try OnionMessagePayload(decoding: [2, 0]) } != nil)
    }

    @Test("what is encoded is what is decoded")
    func roundTrip() throws {
        var random = SeededRandom(seed: 51)
        for _ in 0..<500 {
            func maybe<Value>(_ value: Value) -> Value? { Bool.random(using: &random) ? value : nil }
            var data = EncryptedRecipientData(
                shortChannelID: maybe(random.next()), nextNode: maybe(try Vectors.node(Self.point)),
                pathID: maybe(random.bytes(5)), nextPathKeyOverride: maybe(try Vectors.node(Self.point)))
            data.padding = maybe(random.bytes(300))
            data.allowedFeatures = maybe([])
            data.others = Bool.random(using: &random) ? [10: [1], 12: [], 15: [3], 99_999: random.bytes(9)] : [:]
            #expect(try EncryptedRecipientData(decoding: data.encoded) == data)
            let fields: [UInt64: [UInt8]] = Bool.random(using: &random) ? [1: [2], 65: random.bytes(400)] : [:]
            let payload = OnionMessagePayload(encryptedRecipientData: maybe(data.encoded), fields: fields)
            #expect(try OnionMessagePayload(decoding: payload.encoded) == payload)
        }
    }

    @Test("padding gives the data of all nodes one length, whatever their lengths are")
    func padding() throws {
        var random = SeededRandom(seed: 52)
        for long in 0..<600 {
            let all = [0, 1, 30, long].map { EncryptedRecipientData(pathID: random.bytes($0)) }
            let encoded = EncryptedRecipientData.encodings(ofOneLength: all)
            #expect(Set(encoded.map(\.count)).count == 1)
            for (bytes, data) in zip(encoded, all) {
                #expect(try EncryptedRecipientData(decoding: bytes).pathID == data.pathID)
            }
        }
        #expect(EncryptedRecipientData.encodings(ofOneLength: []).isEmpty)
    }

    @Test("whatever bytes come, they are refused, or are what is encoded again")
    func anything() throws {
        var random = SeededRandom(seed: 53)
        let key = try TestRoute.key(using: &random)
        let path = try BlindedPath([(key.publicKey, [1, 2, 3]), (key.publicKey, [])], sessionKey: key)
        var data = EncryptedRecipientData(
            shortChannelID: 5, nextNode: key.publicKey, pathID: [1, 2], nextPathKeyOverride: key.publicKey)
        data.others = [561: [0x12, 0x34, 0x56]]
        let payload = OnionMessagePayload(
            replyPath: path, encryptedRecipientData: data.encoded,
            fields: [3: [], 65: [UInt8](repeating: 1, count: 300)])
        var (taken, refused) = (0, 0)
        for round in 0..<6_000 {
            var bytes = [path.bytes, data.encoded, payload.encoded][round % 3]
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[index] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 2: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: index)
                default: bytes.removeSubrange(index..<min(bytes.count, index + Int.random(in: 1...40, using: &random)))
                }
                if bytes.isEmpty { break }
            }
            do throws(OnionError) {
                switch round % 3 {
                case 0: #expect(try BlindedPath(decoding: bytes).bytes == bytes)
                case 1: #expect(try EncryptedRecipientData(decoding: bytes).encoded == bytes)
                default: #expect(try OnionMessagePayload(decoding: bytes).encoded == bytes)
                }
                taken += 1
            } catch {
                refused += 1
            }
        }
        #expect(taken > 100 && refused > 100)
    }
}
