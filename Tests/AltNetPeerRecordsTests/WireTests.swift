// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Testing

@Suite("Varints and Protocol Buffers")
struct WireTests {
    @Test(
        "the numbers of the specification are written and read",
        arguments: [
            (0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (255, "ff01"), (300, "ac02"), (16_384, "808001"),
            (UInt64.max >> 1, "ffffffffffffffff7f"),
        ] as [(UInt64, String)])
    func numbers(value: UInt64, digits: String) throws {
        #expect(UnsignedVarint.encoded(value) == hex(digits))
        var reader = ByteReader(hex(digits) + [7])
        #expect(try UnsignedVarint.read(from: &reader) == value)
        #expect(reader.rest() == [7])
        for length in 0..<(digits.utf8.count / 2) {
            var short = ByteReader(Array(hex(digits).prefix(length)))
            #expect(throws: VarintError.truncated) { try UnsignedVarint.read(from: &short) }
        }
    }

    @Test(
        "other ways to write a number are refused by name",
        arguments: [
            ("8100", VarintError.notMinimal), ("8000", .notMinimal), ("808000", .notMinimal), ("ff8000", .notMinimal),
            ("80808080808080808000", .tooLong), ("ffffffffffffffffff01", .tooLong), ("808080808080808080", .tooLong),
            ("ffffffffffffffffffffffffffff", .tooLong), ("", .truncated), ("80", .truncated),
        ])
    func bad(digits: String, error: VarintError) {
        var reader = ByteReader(hex(digits))
        #expect(throws: error) { try UnsignedVarint.read(from: &reader) }
        #expect(reader.count == hex(digits).count, "nothing is taken")
    }

    @Test("random numbers are the same after writing")
    func roundTrip() throws {
        var random = SeededRandom(seed: 9)
        for _ in 0..<2_000 {
            let value = random.next() >> UInt64.random(in: 1...63, using: &random)
            var reader = ByteReader(UnsignedVarint.encoded(value))
            #expect(try UnsignedVarint.read(from: &reader) == value)
            #expect(reader.isAtEnd)
        }
    }

    @Test("fields of all kinds are read as they were written")
    func fields() throws {
        var writer = ProtobufWriter()
        writer.varint(1, .max)
        writer.bytes(2, [1, 2, 3])
        writer.string(536_870_911, "ü")
        writer.bytes(3, [])
        var reader = ProtobufReader(writer.encoded + hex("2501000002" + "290100000000000003"))
        let first = try #require(try reader.next())
        #expect(first.field == 1 && first.value == .varint(.max) && first.value.number == .max)
        let second = try #require(try reader.next())
        #expect(second.field == 2 && second.value.bytes == [1, 2, 3] && second.value.number == nil)
        let third = try #require(try reader.next())
        #expect(third.field == 536_870_911 && third.value == .bytes(Array("ü".utf8)[...]))
        let fourth = try #require(try reader.next())
        #expect(fourth.field == 3 && fourth.value.bytes == [])
        let fifth = try #require(try reader.next())
        #expect(fifth.field == 4 && fifth.value == .fixed32(0x0200_0001) && fifth.value.bytes == nil)
        let sixth = try #require(try reader.next())
        #expect(sixth.field == 5 && sixth.value == .fixed64(0x0300_0000_0000_0001))
        #expect(try reader.next() == nil)
    }

    @Test(
        "malformed fields are refused by name",
        arguments: [
            ("08", ProtobufError.truncated), ("0880", .truncated), ("0a", .truncated), ("0a02ff", .truncated),
            ("0affffffffffffffffff01", .truncated), ("0d000000", .truncated), ("0900000000000000", .truncated),
            ("088000", .varint(.notMinimal)), ("8800", .varint(.notMinimal)), ("0a8000", .varint(.notMinimal)),
            ("08ffffffffffffffffffff01", .varint(.tooLong)), ("08ffffffffffffffffff02", .varint(.tooLong)),
            ("00", .badField), ("02", .badField), ("808080801000", .badField), ("0b", .wireType(3)),
            ("0c", .wireType(4)),
            ("0e", .wireType(6)), ("0f", .wireType(7)),
        ])
    func malformed(digits: String, error: ProtobufError) {
        var reader = ProtobufReader(hex(digits))
        #expect(throws: error) { try reader.next() }
    }

    @Test("random bytes end, whatever they are")
    func random() {
        var random = SeededRandom(seed: 10)
        for _ in 0..<5_000 {
            var reader = ProtobufReader(random.bytes(Int.random(in: 0...64, using: &random)))
            while let next = try? reader.next(), next.field > 0 {}
        }
    }
}
