// SPDX-License-Identifier: MIT

internal import AltNetBase

/// A proof-of-work target in the 32-bit form that headers carry (`nBits`): one byte of size, three of mantissa.
public struct CompactTarget: Hashable, Sendable {
    public let rawValue: UInt32

    @inlinable
    public init(_ rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// The target as a number, or `nil` when the form is negative, zero or too large for 256 bits: no header with such
    /// bits is valid.
    public var target: UInt256? {
        let size = Int(self.rawValue >> 24)
        let mantissa = self.rawValue & 0x007f_ffff
        let isNegative = mantissa != 0 && self.rawValue & 0x0080_0000 != 0
        let isTooLarge =
            mantissa != 0 && (size > 34 || (mantissa > 0xff && size > 33) || (mantissa > 0xffff && size > 32))
        guard !isNegative, !isTooLarge else { return nil }
        let value =
            size <= 3
            ? UInt256(UInt64(mantissa >> UInt32(8 * (3 - size))))
            : UInt256(UInt64(mantissa)) << (8 * (size - 3))
        return value == .zero ? nil : value
    }

    /// The form of a target, rounded down to what three bytes of mantissa hold.
    public init(target: UInt256) {
        var size = (target.bitWidth + 7) / 8
        var mantissa: UInt32
        if size <= 3 {
            mantissa = UInt32(truncatingIfNeeded: target.limbs.0) << UInt32(8 * (3 - size))
        } else {
            mantissa = UInt32(truncatingIfNeeded: (target >> (8 * (size - 3))).limbs.0)
        }
        if mantissa & 0x0080_0000 != 0 {
            // The mantissa's top bit is a sign: move it into the next byte.
            mantissa >>= 8
            size += 1
        }
        self.init(UInt32(size) << 24 | mantissa & 0x007f_ffff)
    }

    /// The expected number of hashes to find a header with this target, 2^256 / (target + 1); zero for invalid bits.
    public var work: Work {
        guard let target = self.target else { return .zero }
        // 2^256 does not fit, but 2^256 / (t + 1) = (2^256 - t - 1) / (t + 1) + 1, and 2^256 - t - 1 is ~t.
        return ~target / (target &+ UInt256(1)) &+ UInt256(1)
    }
}

extension CompactTarget: CustomStringConvertible {
    /// Eight hexadecimal digits, as block explorers print it.
    public var description: String {
        var bytes: [UInt8] = []
        bytes.appendBigEndian(self.rawValue)
        return Hex.encode(bytes)
    }
}
