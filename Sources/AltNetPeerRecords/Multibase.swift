// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Numbers written with the digits of an alphabet: base 58 of Bitcoin, base 36 of multibase.
///
/// Takes time with the square of the length, so callers bound it first.
struct PositionalText: Sendable {
    /// Multibase `z`, and what peer ids are usually written in.
    static let base58 = PositionalText("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
    /// Multibase `k`.
    static let base36 = PositionalText("0123456789abcdefghijklmnopqrstuvwxyz")

    private let alphabet: [UInt8]
    private let values: [UInt8: UInt8]

    private init(_ alphabet: String) {
        self.alphabet = Array(alphabet.utf8)
        self.values = Dictionary(
            uniqueKeysWithValues: alphabet.utf8.enumerated().map { ($1, UInt8(truncatingIfNeeded: $0)) })
    }

    func encode(_ bytes: [UInt8]) -> String {
        let base = self.alphabet.count
        var digits: [UInt8] = []
        for byte in bytes {
            var carry = Int(byte)
            for index in digits.indices {
                carry += Int(digits[index]) << 8
                digits[index] = UInt8(carry % base)
                carry /= base
            }
            while carry > 0 {
                digits.append(UInt8(carry % base))
                carry /= base
            }
        }
        let zeros = bytes.prefix { $0 == 0 }.map { _ in self.alphabet[0] }
        return String(decoding: zeros + digits.reversed().map { self.alphabet[Int($0)] }, as: UTF8.self)
    }

    func decode(_ text: some StringProtocol) -> [UInt8]? {
        let base = self.alphabet.count
        var bytes: [UInt8] = []
        for digit in text.utf8 {
            guard let value = self.values[digit] else { return nil }
            var carry = Int(value)
            for index in bytes.indices {
                carry += Int(bytes[index]) * base
                bytes[index] = UInt8(carry & 0xff)
                carry >>= 8
            }
            while carry > 0 {
                bytes.append(UInt8(carry & 0xff))
                carry >>= 8
            }
        }
        let zeros = text.utf8.prefix { $0 == self.alphabet[0] }.map { _ in UInt8(0) }
        return zeros + bytes.reversed()
    }
}
