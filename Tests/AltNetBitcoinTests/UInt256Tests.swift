// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@Suite("UInt256")
struct UInt256Tests {
    /// A number made of bits, least significant first: slow and obviously right.
    private struct Bits: Equatable {
        var bits: [Bool]

        init(_ number: UInt256) {
            let limbs = [number.limbs.0, number.limbs.1, number.limbs.2, number.limbs.3]
            self.bits = limbs.flatMap { limb in (0..<64).map { limb >> UInt64($0) & 1 == 1 } }
        }

        static func + (left: Self, right: Self) -> Self {
            var sum = left
            var carry = false
            for index in sum.bits.indices {
                let ones = [left.bits[index], right.bits[index], carry].filter(\.self).count
                sum.bits[index] = ones % 2 == 1
                carry = ones >= 2
            }
            return sum
        }

        static func << (value: Self, count: Int) -> Self {
            var shifted = value
            for index in shifted.bits.indices {
                shifted.bits[index] = value.bits.indices.contains(index - count) && value.bits[index - count]
            }
            return shifted
        }
    }

    private static func random(using generator: inout SeededRandom) -> UInt256 {
        let number = UInt256(generator.next(), generator.next(), generator.next(), generator.next())
        // Small numbers and numbers with empty limbs are where mistakes hide.
        return number >> Int.random(in: 0..<256, using: &generator)
    }

    /// The product by adding and doubling, wrapped at 256 bits.
    private static func product(_ left: UInt256, _ right: UInt256) -> UInt256 {
        (0..<right.bitWidth).reduce(UInt256.zero) { sum, bit in
            (right >> bit).limbs.0 & 1 == 1 ? sum &+ (left << bit) : sum
        }
    }

    @Test("agrees with arithmetic on single bits", arguments: [UInt64(1), 2, 3, 2026])
    func model(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        for _ in 0..<300 {
            let left = Self.random(using: &generator)
            let right = Self.random(using: &generator)
            let shift = Int.random(in: 0...256, using: &generator)
            #expect(Bits(left &+ right) == Bits(left) + Bits(right), "seed \(seed)")
            #expect(Bits(left << shift) == Bits(left) << shift, "seed \(seed)")
            #expect(Bits(left >> shift) == Bits(left) << -shift, "seed \(seed)")
            #expect((left &- right) &+ right == left, "seed \(seed)")
            #expect(left &* right.limbs.0 == Self.product(left, UInt256(right.limbs.0)), "seed \(seed)")
            #expect((left < right) == (right.subtractingSaturating(left) != .zero), "seed \(seed)")
            #expect(left.bitWidth == (Bits(left).bits.lastIndex(of: true) ?? -1) + 1, "seed \(seed)")
        }
    }

    @Test("divides with a remainder smaller than the divisor", arguments: [UInt64(4), 5, 6])
    func division(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        for _ in 0..<300 {
            let dividend = Self.random(using: &generator)
            let divisor = Self.random(using: &generator).addingSaturating(UInt256(1))
            let quotient = dividend / divisor
            let remainder = dividend &- Self.product(quotient, divisor)
            #expect(remainder < divisor, "seed \(seed)")
            #expect(quotient <= dividend, "seed \(seed)")
            let small = divisor.limbs.0 | 1
            #expect(dividend / small == dividend / UInt256(small), "seed \(seed)")
        }
    }

    @Test("saturates where asked to")
    func saturation() {
        #expect(UInt256.max.addingSaturating(UInt256(1)) == .max)
        #expect(UInt256(5).subtractingSaturating(UInt256(6)) == .zero)
        #expect(UInt256.max &+ UInt256(1) == .zero)
        #expect(UInt256.zero &- UInt256(1) == .max)
    }

    @Test("reads and prints hexadecimal digits, most significant first")
    func text() {
        let digits = "0123456789abcdef0011223344556677fedcba98765432108899aabbccddeeff"
        #expect(UInt256(hex: digits)?.description == digits)
        #expect(UInt256(hex: "f") == UInt256(15))
        #expect(UInt256(hex: String(repeating: "f", count: 64)) == .max)
        for wrong in ["", "g", digits + "0", "-1"] { #expect(UInt256(hex: wrong) == nil) }
    }
}
