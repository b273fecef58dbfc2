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

    /// Digits that are taken together: five of base 58 fit 32 bits.
    private static let group = 5

    private let alphabet: [UInt8]
    /// At the index of a character its value; 255 for those that are no digits.
    private let values: [UInt8]
    private let groupSize: UInt64

    private init(_ alphabet: String) {
        self.alphabet = Array(alphabet.utf8)
        var values = [UInt8](repeating: 255, count: 256)
        for (value, digit) in alphabet.utf8.enumerated() { values[Int(digit)] = UInt8(value) }
        self.values = values
        self.groupSize = (0..<Self.group).reduce(1) { size, _ in size * UInt64(alphabet.utf8.count) }
    }

    func encode(_ bytes: [UInt8]) -> String {
        let zeros = bytes.prefix { $0 == 0 }.count
        // Least significant first.
        var groups: [UInt64] = []
        for byte in bytes.dropFirst(zeros) {
            var carry = UInt64(byte)
            for index in groups.indices {
                carry += groups[index] << 8
                groups[index] = carry % self.groupSize
                carry /= self.groupSize
            }
            if carry > 0 { groups.append(carry) }
        }
        var digits: [UInt8] = []
        digits.reserveCapacity(groups.count * Self.group + zeros)
        for group in groups {
            var rest = group
            for _ in 0..<Self.group {
                digits.append(self.alphabet[Int(rest % UInt64(self.alphabet.count))])
                rest /= UInt64(self.alphabet.count)
            }
        }
        while digits.last == self.alphabet[0] { digits.removeLast() }
        digits.append(contentsOf: repeatElement(self.alphabet[0], count: zeros))
        return String(decoding: digits.reversed(), as: UTF8.self)
    }

    func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        // Least significant first, 32 bits each.
        var words: [UInt64] = []
        var zeros = 0
        for digit in text {
            let value = self.values[Int(digit)]
            guard value < 255 else { return nil }
            if value == 0, words.isEmpty {
                zeros += 1
                continue
            }
            var carry = UInt64(value)
            for index in words.indices {
                carry += words[index] * UInt64(self.alphabet.count)
                words[index] = carry & 0xffff_ffff
                carry >>= 32
            }
            if carry > 0 { words.append(carry) }
        }
        var bytes: [UInt8] = []
        for word in words {
            for shift in stride(from: UInt64(0), to: 32, by: 8) { bytes.append(UInt8(word >> shift & 255)) }
        }
        while bytes.last == 0 { bytes.removeLast() }
        bytes.append(contentsOf: repeatElement(0, count: zeros))
        return bytes.reversed()
    }
}

/// Text that begins with the letter of its base.
enum Multibase {
    /// The bytes of a text in base 16, 32, 36, 58 or 64 (RFC 4648's alphabet for URLs); `nil` for other bases and for
    /// texts that are none.
    static func decode(_ text: [UInt8]) -> [UInt8]? {
        let digits = text.dropFirst()
        switch text.first {
        case UInt8(ascii: "f"), UInt8(ascii: "F"): return Hex.decode(Self.string(digits))
        case UInt8(ascii: "b"): return Base32.decode(Self.string(digits))
        case UInt8(ascii: "B"): return Self.lowered(digits).flatMap { Base32.decode(Self.string($0[...])) }
        case UInt8(ascii: "k"): return PositionalText.base36.decode(digits)
        case UInt8(ascii: "K"): return Self.lowered(digits).flatMap { PositionalText.base36.decode($0) }
        case UInt8(ascii: "z"): return PositionalText.base58.decode(digits)
        case UInt8(ascii: "u"): return Base64Text.url.decode(digits)
        default: return nil
        }
    }

    /// In lower case; `nil` if there is lower case already.
    private static func lowered(_ digits: ArraySlice<UInt8>) -> [UInt8]? {
        let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
        guard !digits.contains(where: letters.contains) else { return nil }
        return digits.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 }
    }

    private static func string(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
}

/// Base 64 without padding (RFC 4648), with digits 62 and 63 chosen.
struct Base64Text: Sendable {
    /// Multibase `u`.
    static let url = Base64Text("-_")
    /// I2P's.
    static let i2p = Base64Text("-~")

    private let alphabet: [UInt8]

    private init(_ last: String) {
        self.alphabet = Array(("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + last).utf8)
    }

    func encode(_ bytes: some Collection<UInt8>) -> [UInt8] {
        var text: [UInt8] = []
        var (pending, bits) = (0, 0)
        for byte in bytes {
            pending = (pending << 8 | Int(byte)) & 0xffff
            bits += 8
            while bits >= 6 {
                bits -= 6
                text.append(self.alphabet[pending >> bits & 63])
            }
        }
        if bits > 0 { text.append(self.alphabet[pending << (6 - bits) & 63]) }
        return text
    }

    /// `nil` for other characters, and for a last digit that says more than its bytes.
    func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var (pending, bits) = (0, 0)
        for digit in text {
            guard let value = self.alphabet.firstIndex(of: digit) else { return nil }
            pending = (pending << 6 | value) & 0xffff
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(pending >> bits & 255))
            }
        }
        guard bits < 6, pending & (1 << bits - 1) == 0 else { return nil }
        return bytes
    }
}
