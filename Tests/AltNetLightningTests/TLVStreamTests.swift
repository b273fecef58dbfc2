// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetLightning
import Testing

@Suite("TLVStream (BOLT 1, appendix B)")
struct TLVStreamTests {
    /// One of the two namespaces of the vectors: which types it knows, and how their values are read.
    enum Namespace: Sendable {
        case n1, n2

        func decode(_ hex: String) throws -> [UInt64: [UInt64]] {
            var reader = ByteReader(try #require(Hex.decode(hex.filter { $0 != " " })))
            let known: Set<UInt64> = self == .n1 ? [1, 2, 3, 254] : [0, 11]
            return try TLVStream(&reader, known: known).values.reduce(into: [:]) { values, record in
                var value = ByteReader(record.value)
                values[record.key] = try self.value(of: record.key, &value)
                try value.expectEnd()
            }
        }

        private func value(of type: UInt64, _ reader: inout ByteReader) throws -> [UInt64] {
            switch (self, type) {
            case (.n1, 1), (.n2, 0):
                return [try reader.truncatedInteger(UInt64.self)]
            case (.n1, 2):
                return [try reader.bigEndian(UInt64.self)]
            case (.n1, 3):
                let point = try reader.bytes(33)
                guard point.first == 2 || point.first == 3 else { throw ByteReaderError.notMinimal }
                return [try reader.bigEndian(UInt64.self), try reader.bigEndian(UInt64.self)]
            case (.n1, _):
                return [UInt64(try reader.bigEndian(UInt16.self))]
            case (.n2, _):
                return [UInt64(try reader.truncatedInteger(UInt32.self))]
            }
        }
    }

    static let point = "023da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb"

    static let failuresAnywhere = [
        "fd", "fd01", "fd0001 00", "fd0101", "0f fd", "0f fd26", "0f fd2602", "0f fd0001 00",
        "0f fd0201 " + String(repeating: "00", count: 512), "12 00", "fd0102 00", "fe01000002 00",
        "ff0100000000000002 00",
    ]

    static let failuresInN1 = [
        "01 09 ffffffffffffffffff", "01 01 00", "01 02 0001", "01 03 000100", "01 04 00010000", "01 05 0001000000",
        "01 06 000100000000", "01 07 00010000000000", "01 08 0001000000000000", "02 07 01010101010101",
        "02 09 010101010101010101", "03 21 \(point)", "03 29 \(point)0000000000000001",
        "03 30 \(point)000000000000000100000000000001",
        "03 31 04\(point.dropFirst(2))00000000000000010000000000000002",
        "03 32 \(point)0000000000000001000000000000000001", "fd00fe 00", "fd00fe 01 01", "fd00fe 03 010101", "00 00",
        "02 08 0000000000000226 01 01 2a", "02 08 0000000000000231 02 08 0000000000000451", "1f 00 0f 01 2a",
        "1f 00 1f 01 2a",
    ]

    static let ignored = ["", "21 00", "fd0201 00", "fd00fd 00", "fd00ff 00", "fe02000001 00", "ff0200000000000001 00"]

    static let successesInN1: [(String, UInt64, [UInt64])] = [
        ("01 00", 1, [0]), ("01 01 01", 1, [1]), ("01 02 0100", 1, [256]), ("01 03 010000", 1, [65536]),
        ("01 04 01000000", 1, [16_777_216]), ("01 05 0100000000", 1, [4_294_967_296]),
        ("01 06 010000000000", 1, [1_099_511_627_776]), ("01 07 01000000000000", 1, [281_474_976_710_656]),
        ("01 08 0100000000000000", 1, [72_057_594_037_927_936]), ("02 08 0000000000000226", 2, [550]),
        ("03 31 \(point)00000000000000010000000000000002", 3, [1, 2]), ("fd00fe 02 0226", 254, [550]),
    ]

    @Test("streams that fail in any namespace", arguments: failuresAnywhere)
    func failsAnywhere(_ hex: String) {
        #expect(throws: (any Error).self) { try Namespace.n1.decode(hex) }
        #expect(throws: (any Error).self) { try Namespace.n2.decode(hex) }
    }

    @Test("streams that fail in n1", arguments: failuresInN1)
    func failsInN1(_ hex: String) {
        #expect(throws: (any Error).self) { try Namespace.n1.decode(hex) }
    }

    @Test("a stream whose types wrap around fails in n2")
    func failsInN2() {
        #expect(throws: (any Error).self) { try Namespace.n2.decode("ffffffffffffffffff 00 00 00") }
    }

    @Test("unknown odd records are skipped", arguments: ignored)
    func skipsUnknown(_ hex: String) throws {
        #expect(try Namespace.n1.decode(hex).isEmpty)
        #expect(try Namespace.n2.decode(hex).isEmpty)
    }

    @Test("known records of n1 have the values of the vectors", arguments: successesInN1)
    func succeedsInN1(_ hex: String, _ type: UInt64, _ value: [UInt64]) throws {
        #expect(try Namespace.n1.decode(hex) == [type: value])
    }

    @Test("an invalid stream after a valid one fails, a higher valid one does not")
    func appended() throws {
        for (valid, _, _) in Self.successesInN1 {
            for invalid in Self.failuresAnywhere + Self.failuresInN1 {
                #expect(throws: (any Error).self) { try Namespace.n1.decode(valid + " " + invalid) }
            }
        }
        #expect(
            try Namespace.n1.decode("01 00 02 08 0000000000000226 fd00fe 02 0226") == [1: [0], 2: [550], 254: [550]]
        )
    }

    @Test("records are written in order of their types")
    func writing() {
        var stream = TLVStream()
        stream.set(300, to: [1])
        stream.set(2, to: [])
        stream.set(5, to: [9])
        stream.set(5, to: nil)
        var bytes: [UInt8] = []
        stream.append(to: &bytes)
        #expect(Hex.encode(bytes) == "0200fd012c0101")
    }
}
