// SPDX-License-Identifier: MIT

public import AltNetBase

extension ByteReader {
    /// Takes a BigSize integer (BOLT 1, appendix A): one byte up to 252, otherwise a marker and 2, 4 or 8 bytes, most
    /// significant first. Longer forms than necessary are refused.
    public mutating func bigSize() throws(ByteReaderError) -> UInt64 {
        let marker: UInt8 = try self.bigEndian()
        let (value, smallest): (UInt64, UInt64)
        switch marker {
        case 0xfd: (value, smallest) = (UInt64(try self.bigEndian(UInt16.self)), 0xfd)
        case 0xfe: (value, smallest) = (UInt64(try self.bigEndian(UInt32.self)), 0x1_0000)
        case 0xff: (value, smallest) = (try self.bigEndian(), 0x1_0000_0000)
        default: (value, smallest) = (UInt64(marker), 0)
        }
        guard value >= smallest else { throw .notMinimal }
        return value
    }

    /// Takes everything that is left as a truncated integer (BOLT 1, `tu16` to `tu64`): most significant byte first,
    /// without leading zeros, and nothing at all for zero.
    public mutating func truncatedInteger<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type = Value.self
    ) throws(ByteReaderError) -> Value {
        let size = MemoryLayout<Value>.size
        guard self.count <= size else { throw .tooLong(length: UInt64(self.count), limit: size) }
        let bytes = self.rest()
        guard bytes.first != 0 else { throw .notMinimal }
        return bytes.reduce(0) { $0 << 8 | Value($1) }
    }
}

extension [UInt8] {
    /// Appends a BigSize integer in its only valid form (BOLT 1, appendix A).
    public mutating func appendBigSize(_ value: UInt64) {
        switch value {
        case 0..<0xfd:
            self.append(UInt8(value))
        case 0xfd...0xffff:
            self.append(0xfd)
            self.appendBigEndian(UInt16(value))
        case 0x1_0000...0xffff_ffff:
            self.append(0xfe)
            self.appendBigEndian(UInt32(value))
        default:
            self.append(0xff)
            self.appendBigEndian(value)
        }
    }
}
