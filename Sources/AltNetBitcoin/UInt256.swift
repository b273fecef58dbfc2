// SPDX-License-Identifier: MIT

internal import AltNetBase

/// An unsigned integer of 256 bits: targets and work are compared and added as such.
///
/// Only what header validation needs. Shifts and sums that leave the 256 bits wrap around, as in Bitcoin Core's
/// `arith_uint256`, which consensus depends on.
public struct UInt256: Hashable, Sendable, Comparable {
    /// The four 64-bit limbs, least significant first.
    public let limbs: (UInt64, UInt64, UInt64, UInt64)

    @inlinable
    public init(_ l0: UInt64, _ l1: UInt64, _ l2: UInt64, _ l3: UInt64) {
        self.limbs = (l0, l1, l2, l3)
    }

    @inlinable
    public init(_ value: UInt64) {
        self.init(value, 0, 0, 0)
    }

    public static let zero = UInt256(0)
    public static let max = UInt256(.max, .max, .max, .max)

    @inlinable
    public static func == (left: Self, right: Self) -> Bool { left.limbs == right.limbs }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.limbs.0)
        hasher.combine(self.limbs.1)
        hasher.combine(self.limbs.2)
        hasher.combine(self.limbs.3)
    }

    @inlinable
    public static func < (left: Self, right: Self) -> Bool {
        if left.limbs.3 != right.limbs.3 { return left.limbs.3 < right.limbs.3 }
        if left.limbs.2 != right.limbs.2 { return left.limbs.2 < right.limbs.2 }
        if left.limbs.1 != right.limbs.1 { return left.limbs.1 < right.limbs.1 }
        return left.limbs.0 < right.limbs.0
    }

    /// The number of bits up to the highest one that is set; 0 for zero.
    public var bitWidth: Int {
        if self.limbs.3 != 0 { return 256 - self.limbs.3.leadingZeroBitCount }
        if self.limbs.2 != 0 { return 192 - self.limbs.2.leadingZeroBitCount }
        if self.limbs.1 != 0 { return 128 - self.limbs.1.leadingZeroBitCount }
        return 64 - self.limbs.0.leadingZeroBitCount
    }

    @inlinable
    public static func &+ (left: Self, right: Self) -> Self {
        let (l0, c0) = left.limbs.0.addingReportingOverflow(right.limbs.0)
        let (l1, c1) = Self.add(left.limbs.1, right.limbs.1, carry: c0)
        let (l2, c2) = Self.add(left.limbs.2, right.limbs.2, carry: c1)
        let (l3, _) = Self.add(left.limbs.3, right.limbs.3, carry: c2)
        return Self(l0, l1, l2, l3)
    }

    /// The sum, or the largest value when it does not fit.
    @inlinable
    public func addingSaturating(_ other: Self) -> Self {
        let sum = self &+ other
        return sum < self ? .max : sum
    }

    @inlinable
    public static func &- (left: Self, right: Self) -> Self {
        left &+ (~right &+ Self(1))
    }

    /// The difference, or zero when `other` is larger.
    @inlinable
    public func subtractingSaturating(_ other: Self) -> Self {
        self < other ? .zero : self &- other
    }

    @inlinable
    public static prefix func ~ (value: Self) -> Self {
        Self(~value.limbs.0, ~value.limbs.1, ~value.limbs.2, ~value.limbs.3)
    }

    /// The low 256 bits of the product.
    public static func &* (left: Self, right: UInt64) -> Self {
        let p0 = left.limbs.0.multipliedFullWidth(by: right)
        let p1 = left.limbs.1.multipliedFullWidth(by: right)
        let p2 = left.limbs.2.multipliedFullWidth(by: right)
        let (l1, c1) = p1.low.addingReportingOverflow(p0.high)
        let (l2, c2) = Self.add(p2.low, p1.high, carry: c1)
        let l3 = left.limbs.3 &* right &+ p2.high &+ (c2 ? 1 : 0)
        return Self(p0.low, l1, l2, l3)
    }

    /// The quotient of a division by a small number other than zero.
    public static func / (left: Self, right: UInt64) -> Self {
        precondition(right != 0, "division of a 256-bit integer by zero")
        let (q3, r3) = left.limbs.3.quotientAndRemainder(dividingBy: right)
        let (q2, r2) = right.dividingFullWidth((r3, left.limbs.2))
        let (q1, r1) = right.dividingFullWidth((r2, left.limbs.1))
        let (q0, _) = right.dividingFullWidth((r1, left.limbs.0))
        return Self(q0, q1, q2, q3)
    }

    /// The quotient of a division by any number other than zero, one bit at a time: called once per change of target.
    public static func / (left: Self, right: Self) -> Self {
        precondition(right != .zero, "division of a 256-bit integer by zero")
        var shift = left.bitWidth - right.bitWidth
        guard shift >= 0 else { return .zero }
        var remainder = left
        var divisor = right << shift
        var quotient = UInt256.zero
        while shift >= 0 {
            quotient = quotient << 1
            if divisor <= remainder {
                remainder = remainder &- divisor
                quotient = quotient &+ UInt256(1)
            }
            divisor = divisor >> 1
            shift -= 1
        }
        return quotient
    }

    public static func << (value: Self, count: Int) -> Self {
        guard count > 0 else { return value }
        guard count < 256 else { return .zero }
        let words = count / 64
        let bits = UInt64(count % 64)
        let source = [value.limbs.0, value.limbs.1, value.limbs.2, value.limbs.3]
        var result: [UInt64] = [0, 0, 0, 0]
        for index in words..<4 {
            result[index] = source[index - words] << bits
            if bits > 0, index > words { result[index] |= source[index - words - 1] >> (64 - bits) }
        }
        return Self(result[0], result[1], result[2], result[3])
    }

    public static func >> (value: Self, count: Int) -> Self {
        guard count > 0 else { return value }
        guard count < 256 else { return .zero }
        let words = count / 64
        let bits = UInt64(count % 64)
        let source = [value.limbs.0, value.limbs.1, value.limbs.2, value.limbs.3]
        var result: [UInt64] = [0, 0, 0, 0]
        for index in 0..<(4 - words) {
            result[index] = source[index + words] >> bits
            if bits > 0, index + words + 1 < 4 { result[index] |= source[index + words + 1] << (64 - bits) }
        }
        return Self(result[0], result[1], result[2], result[3])
    }

    @inlinable
    static func add(_ left: UInt64, _ right: UInt64, carry: Bool) -> (UInt64, Bool) {
        let (partial, first) = left.addingReportingOverflow(right)
        let (sum, second) = partial.addingReportingOverflow(carry ? 1 : 0)
        return (sum, first || second)
    }
}

extension UInt256: CustomStringConvertible {
    /// 64 hexadecimal digits, most significant first.
    public var description: String { Hex.encode(self.bigEndianBytes) }

    /// 32 bytes, most significant first.
    public var bigEndianBytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(32)
        bytes.appendBigEndian(self.limbs.3)
        bytes.appendBigEndian(self.limbs.2)
        bytes.appendBigEndian(self.limbs.1)
        bytes.appendBigEndian(self.limbs.0)
        return bytes
    }

    /// Reads up to 64 hexadecimal digits, most significant first; `nil` for anything else.
    public init?(hex text: some StringProtocol) {
        guard !text.isEmpty, text.utf8.count <= 64,
            let bytes = Hex.decode(String(repeating: "0", count: 64 - text.utf8.count) + text)
        else { return nil }
        self.init(
            Self.limb(bytes[24..<32]),
            Self.limb(bytes[16..<24]),
            Self.limb(bytes[8..<16]),
            Self.limb(bytes[0..<8])
        )
    }

    private static func limb(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }
}

/// The number of hash attempts that a chain is expected to have cost: what chains are compared by.
public typealias Work = UInt256
