// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetLightning
import Testing

@Suite("BigSize (BOLT 1, appendix A)")
struct BigSizeTests {
    struct Vector: Sendable, CustomTestStringConvertible {
        let name: String
        let value: UInt64
        let bytes: String

        var testDescription: String { self.name }
    }

    static let vectors = [
        Vector(name: "zero", value: 0, bytes: "00"),
        Vector(name: "one byte high", value: 252, bytes: "fc"),
        Vector(name: "two byte low", value: 253, bytes: "fd00fd"),
        Vector(name: "two byte high", value: 65535, bytes: "fdffff"),
        Vector(name: "four byte low", value: 65536, bytes: "fe00010000"),
        Vector(name: "four byte high", value: 4_294_967_295, bytes: "feffffffff"),
        Vector(name: "eight byte low", value: 4_294_967_296, bytes: "ff0000000100000000"),
        Vector(name: "eight byte high", value: .max, bytes: "ffffffffffffffffff"),
    ]

    @Test("what BOLT 1 encodes is encoded and decoded alike", arguments: vectors)
    func roundTrip(_ vector: Vector) throws {
        var bytes: [UInt8] = []
        bytes.appendBigSize(vector.value)
        #expect(Hex.encode(bytes) == vector.bytes)
        var reader = ByteReader(bytes)
        #expect(try reader.bigSize() == vector.value)
        #expect(reader.isAtEnd)
    }

    @Test("longer forms than necessary are refused", arguments: ["fd00fc", "fe0000ffff", "ff00000000ffffffff"])
    func notCanonical(_ hex: String) throws {
        var reader = ByteReader(try #require(Hex.decode(hex)))
        #expect(throws: ByteReaderError.notMinimal) { try reader.bigSize() }
    }

    @Test("forms that are cut off are refused", arguments: ["fd00", "feffff", "ffffffffff", "", "fd", "fe", "ff"])
    func truncated(_ hex: String) throws {
        var reader = ByteReader(try #require(Hex.decode(hex)))
        let error = #expect(throws: ByteReaderError.self) { try reader.bigSize() }
        guard case .truncated = error else {
            Issue.record("\(String(describing: error)) instead of a truncation")
            return
        }
    }
}
