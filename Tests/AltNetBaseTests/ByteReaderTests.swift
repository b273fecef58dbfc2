// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@Suite("ByteReader")
struct ByteReaderTests {
    @Test("reads integers of every width in both orders")
    func integers() throws {
        var reader = ByteReader([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xfe, 0xff, 0xff, 0xff])
        #expect(try reader.littleEndian(UInt16.self) == 0x0201)
        #expect(try reader.bigEndian(UInt16.self) == 0x0304)
        #expect(try reader.littleEndian(UInt8.self) == 5)
        #expect(try reader.bigEndian(UInt32.self) == 0x0607_0809)
        #expect(try reader.littleEndian(UInt8.self) == 10)
        #expect(try reader.littleEndian(Int32.self) == -2)
        #expect(reader.isAtEnd)
        #expect(throws: Never.self) { try reader.expectEnd() }
    }

    @Test("writes what it reads", arguments: [0, 1, 0x0102_0304_0506_0708, .max] as [UInt64])
    func roundTrip(value: UInt64) throws {
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(value)
        bytes.appendBigEndian(value)
        #expect(bytes[0..<8].reversed() == Array(bytes[8..<16]))
        var reader = ByteReader(bytes)
        #expect(try reader.littleEndian(UInt64.self) == value)
        #expect(try reader.bigEndian(UInt64.self) == value)
    }

    @Test("never goes beyond the end, and stays where it is when it fails")
    func truncated() throws {
        for length in 0..<8 {
            var reader = ByteReader([UInt8](repeating: 1, count: length))
            #expect(throws: ByteReaderError.truncated(needed: 8, available: length)) {
                _ = try reader.littleEndian(UInt64.self)
            }
            #expect(throws: ByteReaderError.truncated(needed: length + 1, available: length)) {
                _ = try reader.bytes(length + 1)
            }
            #expect(throws: ByteReaderError.truncated(needed: -1, available: length)) { _ = try reader.bytes(-1) }
            #expect(throws: ByteReaderError.truncated(needed: .max, available: length)) { _ = try reader.bytes(.max) }
            #expect(reader.count == length)
            #expect(try reader.bytes(length).count == length)
        }
    }

    @Test("reads slices in place, hands out the rest, and minds what is left over")
    func slices() throws {
        let bytes: [UInt8] = Array(0..<10)
        var reader = ByteReader(bytes[2..<8])
        #expect(try reader.littleEndian(UInt16.self) == 0x0302)
        let bookmark = reader
        #expect(throws: ByteReaderError.trailingBytes(4)) { try reader.expectEnd() }
        #expect(Array(reader.rest()) == [4, 5, 6, 7])
        #expect(reader.isAtEnd && reader.rest().isEmpty)
        #expect(bookmark.count == 4)
    }
}

@Suite("Hex")
struct HexTests {
    @Test("reads what it writes, in either case")
    func roundTrip() {
        let bytes = (0...255).map { UInt8($0) }
        let text = Hex.encode(bytes)
        #expect(text.hasPrefix("000102") && text.hasSuffix("fdfeff"))
        #expect(Hex.decode(text) == bytes)
        #expect(Hex.decode(text.uppercased()) == bytes)
        #expect(Hex.decode("") == [])
        #expect(Hex.encode([]) == "")
    }

    @Test("refuses anything else", arguments: ["0", "abc", "0g", "g0", " 00", "0x00", "00 ", "é0", "００"])
    func invalid(text: String) {
        #expect(Hex.decode(text) == nil)
    }

    @Test("takes every byte value as a digit or refuses it")
    func everyCharacter() {
        for byte in 0...127 as ClosedRange<UInt8> {
            let character = Character(UnicodeScalar(byte))
            #expect((Hex.decode("0\(character)") != nil) == character.isHexDigit)
        }
    }
}

@Suite("NearestWord")
struct NearestWordTests {
    @Test(
        "finds what was meant",
        arguments: [
            ("statsu", "status"), ("stauts", "status"), ("lnks", "links"), ("incident", "incidents"),
            ("hesders", "headers"), ("configuratoin", "configuration"), ("links", "links"),
        ])
    func near(word: String, meant: String) {
        let words = ["status", "links", "incidents", "headers", "configuration"]
        #expect(NearestWord.to(word, among: words) == meant)
    }

    @Test("does not guess when nothing is near", arguments: ["elephant", "xyz", "a very different word"])
    func far(word: String) {
        #expect(NearestWord.to(word, among: ["status", "incidents"]) == nil)
        #expect(NearestWord.to(word, among: []) == nil)
    }

    @Test("prefers the nearest, then the first in the alphabet")
    func ties() {
        #expect(NearestWord.to("bat", among: ["rat", "cat", "bats"]) == "bats")
        #expect(NearestWord.to("bat", among: ["rat", "cat"]) == "cat")
    }
}

@Suite("UntrustedText")
struct UntrustedTextTests {
    @Test("keeps printable ASCII and hides all else")
    func printable() {
        #expect(UntrustedText("/Satoshi:31.0.0/").description == "/Satoshi:31.0.0/")
        #expect(UntrustedText("a\u{1b}[2Jb\r\n\0").description == "a?[2Jb???")
        #expect(UntrustedText([0x1f, 0x20, 0x7e, 0x7f, 0x80, 0xff]).description == "? ~???")
        #expect(UntrustedText("é").description == "??")
    }

    @Test("cuts what is too long")
    func long() {
        let text = UntrustedText(String(repeating: "x", count: 100_000))
        #expect(text.description.utf8.count == UntrustedText.maximumLength)
    }
}
