// SPDX-License-Identifier: MIT

internal import AltNetBase

extension MultiaddressProtocol {
    /// The longest name or path, in bytes: RFC 1035 has 253 for names, Linux 107 for sockets.
    static let maximumNameLength = 253

    /// Whether bytes are a value of this protocol.
    func check(_ value: [UInt8]) throws(MultiaddressError) {
        let isGood: Bool =
            switch self.form {
            case .nothing: value.isEmpty
            case .ip4, .ip6, .port: true
            case .cidr: value.first.map { $0 <= 128 } ?? false
            case .name: Self.isPrintable(value) && !value.contains(UInt8(ascii: "/"))
            case .peerID: (try? PeerID(bytes: value)) != nil
            // Port 0 is none.
            case .onion, .onion3: value.suffix(2).contains { $0 != 0 }
            // A key's hash, or that of a hidden service with an encrypted lease set.
            case .garlic32: value.count == 32 || (35...64).contains(value.count)
            // A destination with its certificate.
            case .garlic64: (386...Multiaddress.maximumSize).contains(value.count)
            case .path:
                Self.isPrintable(value) && value.count >= 2 && value.first == UInt8(ascii: "/")
                    && value.last != UInt8(ascii: "/")
            case .escaped: !value.isEmpty
            case .multibase: value.count >= 3
            }
        guard isGood else { throw .badValue(self.name) }
    }

    /// UTF-8 of a sensible length without control characters: it is printed.
    private static func isPrintable(_ value: [UInt8]) -> Bool {
        guard (1...Self.maximumNameLength).contains(value.count) else { return false }
        guard let text = String(validating: value, as: UTF8.self) else { return false }
        return text.unicodeScalars.allSatisfy { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
                .spaceSeparator:
                false
            default: true
            }
        }
    }

    /// A value as text; empty for protocols without one.
    func text(of value: [UInt8]) -> String {
        switch self.form {
        case .nothing: ""
        case .ip4: IPAddressText.text(ipv4: value)
        case .ip6: IPAddressText.text(ipv6: value)
        case .port: "\(Self.port(value))"
        case .cidr: "\(value.first ?? 0)"
        case .name, .path: String(decoding: value, as: UTF8.self)
        case .peerID: PositionalText.base58.encode(value)
        case .onion, .onion3: Base32.encode(value.dropLast(2)) + ":\(Self.port(value.suffix(2)))"
        case .garlic32: Base32.encode(value)
        case .garlic64: I2PBase64.encode(value)
        case .escaped: PercentText.encode(value)
        case .multibase: "u" + URLBase64.encode(value)
        }
    }

    /// The value that a text stands for.
    func value(of text: Substring) throws(MultiaddressError) -> [UInt8] {
        let value: [UInt8]? =
            switch self.form {
            case .nothing: []
            case .ip4: IPAddressText.ipv4(text)
            case .ip6: IPAddressText.ipv6(text)
            case .port: Self.number(text, below: 65_536).map { [UInt8($0 >> 8), UInt8($0 & 255)] }
            case .cidr: Self.number(text, below: 129).map { [UInt8($0)] }
            case .name, .path: Array(text.utf8)
            case .peerID: (try? PeerID(text: String(text)))?.bytes
            case .onion: Self.onion(text, digits: 16)
            case .onion3: Self.onion(text, digits: 56)
            case .garlic32: Base32.decode(text)
            case .garlic64: I2PBase64.decode(text)
            case .escaped: PercentText.decode(text)
            case .multibase: text.first == "u" ? URLBase64.decode(text.dropFirst()) : nil
            }
        guard let value else { throw .badValue(self.name) }
        try self.check(value)
        return value
    }

    static func port(_ bytes: some Collection<UInt8>) -> UInt16 {
        bytes.reduce(0) { $0 << 8 | UInt16($1) }
    }

    /// Decimal digits only, and no leading zeros.
    private static func number(_ text: Substring, below limit: Int) -> Int? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy(IPAddressText.isDigit),
            text.utf8.count == 1 || text.utf8.first != UInt8(ascii: "0"), let number = Int(text), number < limit
        else { return nil }
        return number
    }

    private static func onion(_ text: Substring, digits: Int) -> [UInt8]? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].utf8.count == digits, let host = Base32.decode(parts[0].lowercased()),
            let port = Self.number(parts[1], below: 65_536)
        else { return nil }
        return host + [UInt8(port >> 8), UInt8(port & 255)]
    }
}

/// Base 64 without padding, with digits 62 and 63 chosen.
struct Base64Text: Sendable {
    private let alphabet: [UInt8]

    init(_ last: String) {
        self.alphabet = Array(("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + last).utf8)
    }

    func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let number = (0..<3).reduce(0) { $0 << 8 | Int(start + $1 < group.endIndex ? group[start + $1] : 0) }
            for digit in 0...group.count { text.append(self.alphabet[number >> (18 - 6 * digit) & 63]) }
        }
        return String(decoding: text, as: UTF8.self)
    }

    func decode(_ text: some StringProtocol) -> [UInt8]? {
        var bytes: [UInt8] = []
        var (pending, bits) = (0, 0)
        for digit in text.utf8 {
            guard let value = self.alphabet.firstIndex(of: digit) else { return nil }
            pending = pending << 6 | value
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(pending >> bits & 255))
            }
            pending &= 255
        }
        guard bits < 6, pending & (1 << bits - 1) == 0 else { return nil }
        return bytes
    }
}

/// I2P's base 64, which has `=` at the end like the usual one.
enum I2PBase64 {
    private static let digits = Base64Text("-~")

    static func encode(_ bytes: [UInt8]) -> String {
        let text = Self.digits.encode(bytes)
        return text + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
    }

    static func decode(_ text: Substring) -> [UInt8]? {
        guard text.utf8.count.isMultiple(of: 4), let last = text.lastIndex(where: { $0 != "=" }) else { return nil }
        let digits = text[...last]
        guard text.utf8.count - digits.utf8.count <= 2 else { return nil }
        return Self.digits.decode(digits)
    }
}

/// Multibase `u`.
enum URLBase64 {
    private static let digits = Base64Text("-_")

    static func encode(_ bytes: [UInt8]) -> String { Self.digits.encode(bytes) }

    static func decode(_ text: Substring) -> [UInt8]? { Self.digits.decode(text) }
}

/// Percent encoding (RFC 3986, section 2.1): everything but unreserved characters is escaped.
enum PercentText {
    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        for byte in bytes {
            if Self.isUnreserved(byte) {
                text.append(byte)
            } else {
                text.append(UInt8(ascii: "%"))
                text.append(contentsOf: Hex.encode([byte]).uppercased().utf8)
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    static func decode(_ text: Substring) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                guard byte != UInt8(ascii: "/") else { return nil }
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let escaped = Hex.decode(String(decoding: rest.prefix(2), as: UTF8.self)) else {
                return nil
            }
            bytes.append(contentsOf: escaped)
            rest = rest.dropFirst(2)
        }
        return bytes
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"),
            UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
            true
        default: IPAddressText.isDigit(byte)
        }
    }
}
