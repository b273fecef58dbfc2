// SPDX-License-Identifier: MIT

public import AltNetBase

extension ByteReader {
    /// Takes a CompactSize: 1, 3, 5 or 9 bytes, least significant first.
    ///
    /// Throws ``ByteReaderError/notMinimal`` when a shorter form exists: Bitcoin Core refuses such counts too, and two
    /// spellings of one number would be two encodings of one object.
    public mutating func compactSize() throws(ByteReaderError) -> UInt64 {
        let first: UInt8 = try self.littleEndian()
        let (value, smallest): (UInt64, UInt64)
        switch first {
        case 0xfd: (value, smallest) = (UInt64(try self.littleEndian(UInt16.self)), 0xfd)
        case 0xfe: (value, smallest) = (UInt64(try self.littleEndian(UInt32.self)), 0x1_0000)
        case 0xff: (value, smallest) = (try self.littleEndian(UInt64.self), 0x1_0000_0000)
        default: return UInt64(first)
        }
        guard value >= smallest else { throw .notMinimal }
        return value
    }

    /// Takes a CompactSize that counts things; throws ``ByteReaderError/tooLong(length:limit:)`` above `limit`.
    ///
    /// Every count from outside goes through here, so that nothing is allocated by a number that somebody made up.
    public mutating func compactCount(limit: Int) throws(ByteReaderError) -> Int {
        let value = try self.compactSize()
        guard let count = Int(exactly: value), count <= limit else { throw .tooLong(length: value, limit: limit) }
        return count
    }
}

extension [UInt8] {
    /// Appends a CompactSize in its only valid, shortest form.
    public mutating func appendCompactSize(_ value: UInt64) {
        switch value {
        case ..<0xfd:
            self.append(UInt8(value))
        case ...0xffff:
            self.append(0xfd)
            self.appendLittleEndian(UInt16(value))
        case ...0xffff_ffff:
            self.append(0xfe)
            self.appendLittleEndian(UInt32(value))
        default:
            self.append(0xff)
            self.appendLittleEndian(value)
        }
    }
}
