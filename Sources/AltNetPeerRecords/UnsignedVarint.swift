// SPDX-License-Identifier: MIT

public import AltNetBase

/// Why bytes are no unsigned varint.
public enum VarintError: Error, Hashable, Sendable, CustomStringConvertible {
    case truncated, notMinimal, tooLong

    public var description: String {
        switch self {
        case .truncated: "the bytes end within a varint"
        case .notMinimal: "a varint is not written in its shortest form"
        case .tooLong: "a varint has more than \(UnsignedVarint.maximumSize) bytes"
        }
    }
}

/// The unsigned varint of multiformats: seven bits a byte, least significant first, in the shortest form only.
public enum UnsignedVarint {
    /// The specification's limit for now, in bytes: numbers up to 2^63 - 1.
    public static let maximumSize = 9

    public static func append(_ value: UInt64, to bytes: inout [UInt8]) {
        var value = value
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        bytes.append(UInt8(value))
    }

    public static func encoded(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        Self.append(value, to: &bytes)
        return bytes
    }

    public static func read(from reader: inout ByteReader) throws(VarintError) -> UInt64 {
        try Self.read(from: &reader, maximumSize: Self.maximumSize)
    }

    /// Protobuf's varints have up to 10 bytes; apart from that, the same.
    static func read(from reader: inout ByteReader, maximumSize: Int) throws(VarintError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        var size = 0
        for byte in reader.remaining.prefix(maximumSize) {
            size += 1
            // The tenth byte has room for one bit only.
            guard shift < 63 || byte <= 1 else { throw .tooLong }
            value |= UInt64(byte & 0x7f) << shift
            shift += 7
            guard byte < 0x80 else { continue }
            guard byte > 0 || size == 1 else { throw .notMinimal }
            _ = try? reader.bytes(size)
            return value
        }
        throw size == maximumSize ? .tooLong : .truncated
    }
}
