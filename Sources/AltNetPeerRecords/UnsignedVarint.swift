// SPDX-License-Identifier: MIT

public import AltNetBase

/// Why bytes are no unsigned varint.
public enum VarintError: Error, Hashable, Sendable, CustomStringConvertible {
    case truncated, notMinimal, tooLong

    public var description: String {
        switch self {
        case .truncated: "the bytes end within a varint"
        case .notMinimal: "a varint is not written in its shortest form"
        case .tooLong: "a varint is longer than its kind may be"
        }
    }
}

/// The unsigned varint of multiformats: seven bits a byte, least significant first, in the shortest form only.
public enum UnsignedVarint {
    /// The specification's limit for now, in bytes: numbers up to 2^63 - 1.
    public static let maximumSize = 9
    /// The limit of Protocol Buffers, in bytes: numbers up to 2^64 - 1. Apart from that, their varints are the same.
    static let maximumProtobufSize = 10

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
        let bytes = reader.remaining
        var index = bytes.startIndex
        let value = try Self.read(bytes, at: &index)
        _ = try? reader.bytes(index - bytes.startIndex)
        return value
    }

    /// Reads at an index, and moves it behind the number.
    static func read(
        _ bytes: ArraySlice<UInt8>, at index: inout Int, maximumSize: Int = Self.maximumSize
    ) throws(VarintError) -> UInt64 {
        guard index < bytes.endIndex else { throw .truncated }
        let first = bytes[index]
        if first < 0x80 {
            index += 1
            return UInt64(first)
        }
        var value = UInt64(first & 0x7f)
        var shift: UInt64 = 7
        for position in (index + 1)..<(index + maximumSize) {
            guard position < bytes.endIndex else { throw .truncated }
            let byte = bytes[position]
            // The tenth byte has room for one bit only.
            guard shift < 63 || byte <= 1 else { throw .tooLong }
            value |= UInt64(byte & 0x7f) << shift
            shift += 7
            guard byte < 0x80 else { continue }
            guard byte > 0 else { throw .notMinimal }
            index = position + 1
            return value
        }
        throw .tooLong
    }
}
