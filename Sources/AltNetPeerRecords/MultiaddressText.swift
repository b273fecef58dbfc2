// SPDX-License-Identifier: MIT

internal import AltNetBase

extension Multiaddress {
    private static let unknownPrefix = Array("unknown-0x".utf8)
    private static let slash = UInt8(ascii: "/")

    /// Reads `/protocol/value/…`; slashes at the end are allowed.
    public init(text: String) throws(MultiaddressError) {
        // Bytes, not characters: a slash is one whatever accent follows it.
        var rest = Array(text.utf8)[...]
        // Texts are at most this much longer than bytes: three characters for an escaped one, and the names.
        guard rest.count <= 4 * Self.maximumSize else { throw .tooLong(rest.count) }
        guard rest.popFirst() == Self.slash else { throw text.isEmpty ? .empty : .badText }
        while rest.last == Self.slash { rest.removeLast() }
        var components: [Component] = []
        while !rest.isEmpty {
            guard components.count < Self.maximumComponents else { throw .tooDeep }
            components.append(try Self.component(&rest))
        }
        try self.init(components)
    }

    private static func component(_ rest: inout ArraySlice<UInt8>) throws(MultiaddressError) -> Component {
        let word = Self.word(&rest)
        guard !word.isEmpty else { throw .badText }
        if word.starts(with: Self.unknownPrefix) {
            let digits = String(decoding: word.dropFirst(Self.unknownPrefix.count), as: UTF8.self)
            guard digits.first?.isHexDigit == true, let code = UInt64(digits, radix: 16), code <= UInt64.max >> 1,
                MultiaddressProtocol.form(of: code) == nil,
                let value = Hex.decode(String(decoding: rest, as: UTF8.self))
            else { throw .badText }
            rest = []
            return Component(code: code, value: value)
        }
        let name = String(decoding: word, as: UTF8.self)
        guard let known = MultiaddressProtocol.of(name: name) else { throw .unknownProtocol(name) }
        switch known.form {
        case .nothing: return Component(known)
        case .path:
            // A path has slashes of its own, so it takes the rest.
            let path = [Self.slash] + rest
            rest = []
            return Component(known, try known.value(of: path[...]))
        default:
            guard !rest.isEmpty else { throw .badText }
            return Component(known, try known.value(of: Self.word(&rest)))
        }
    }

    private static func word(_ rest: inout ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let end = rest.firstIndex(of: Self.slash) ?? rest.endIndex
        let word = rest[..<end]
        rest = rest[end...].dropFirst()
        return word
    }

    /// `/protocol/value/…`. What follows a code that is not understood is written as hexadecimal digits, and read again.
    public var description: String {
        var text = ""
        var parts = self.parts
        while let part = parts.following() {
            guard let known = MultiaddressProtocol.of(code: part.code) else {
                text += "/\(String(decoding: Self.unknownPrefix, as: UTF8.self))\(String(part.code, radix: 16))"
                if !part.value.isEmpty { text += "/\(Hex.encode(part.value))" }
                break
            }
            text += "/\(known.name)"
            switch known.form {
            case .nothing: break
            // Begins with a slash.
            case .path: text += known.form.text(of: part.value)
            default: text += "/\(known.form.text(of: part.value))"
            }
        }
        return text
    }
}

extension MultiaddressProtocol {
    /// The value that a text stands for.
    fileprivate func value(of text: ArraySlice<UInt8>) throws(MultiaddressError) -> [UInt8] {
        guard let value = self.form.value(of: text), self.form.accepts(value[...]) else { throw .badValue(self.name) }
        return value
    }
}

extension MultiaddressProtocol.Form {
    /// The longest name or path, in bytes: RFC 1035 has 253 for names, Linux 107 for sockets.
    static let maximumNameLength = 253

    /// Whether bytes of the right size are a value of this form.
    func accepts(_ value: ArraySlice<UInt8>) -> Bool {
        switch self {
        case .nothing, .ip4, .ip6, .port: true
        case .cidr: value.first.map { $0 <= 128 } ?? false
        case .name: Self.isPrintable(value) && !value.contains(UInt8(ascii: "/"))
        case .peerID: PeerID.isValid(value)
        // Port 0 is none.
        case .onion, .onion3: value.suffix(2).contains { $0 != 0 }
        // A key's hash, or that of a hidden service with an encrypted lease set.
        case .garlic32: value.count == 32 || (35...64).contains(value.count)
        // A destination with its certificate.
        case .garlic64: value.count >= 386
        case .path:
            Self.isPrintable(value) && value.count >= 2 && value.first == UInt8(ascii: "/")
                && value.last != UInt8(ascii: "/")
        case .escaped: !value.isEmpty
        case .hash: Self.isMultihash(value)
        }
    }

    /// UTF-8 of a sensible length without control characters and spaces: it is printed.
    private static func isPrintable(_ value: ArraySlice<UInt8>) -> Bool {
        guard (1...Self.maximumNameLength).contains(value.count) else { return false }
        if value.allSatisfy({ (0x21...0x7e).contains($0) }) { return true }
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

    /// The code of a hash function, the length of the hash, and the hash.
    private static func isMultihash(_ value: ArraySlice<UInt8>) -> Bool {
        var index = value.startIndex
        guard (try? UnsignedVarint.read(value, at: &index)) != nil,
            let count = try? UnsignedVarint.read(value, at: &index)
        else { return false }
        return count == UInt64(value.endIndex - index)
    }

    /// A value as text; empty for those without one.
    func text(of value: ArraySlice<UInt8>) -> String {
        switch self {
        case .nothing: ""
        case .ip4: IPAddressText.text(ipv4: Array(value))
        case .ip6: IPAddressText.text(ipv6: Array(value))
        case .port: "\(Self.port(value))"
        case .cidr: "\(value.first ?? 0)"
        case .name, .path: String(decoding: value, as: UTF8.self)
        case .peerID: PositionalText.base58.encode(Array(value))
        case .onion, .onion3: Base32.encode(value.dropLast(2)) + ":\(Self.port(value.suffix(2)))"
        case .garlic32: Base32.encode(value)
        case .garlic64: I2PBase64.encode(value)
        case .escaped: PercentText.encode(value)
        case .hash: "u" + String(decoding: Base64Text.url.encode(value), as: UTF8.self)
        }
    }

    /// The value that a text stands for, to be checked further.
    fileprivate func value(of bytes: ArraySlice<UInt8>) -> [UInt8]? {
        var text: String { String(decoding: bytes, as: UTF8.self) }
        return switch self {
        case .nothing: []
        case .ip4: IPAddressText.ipv4(text)
        case .ip6: IPAddressText.ipv6(text)
        case .port: Self.number(bytes, below: 65_536).map { [UInt8($0 >> 8), UInt8($0 & 255)] }
        case .cidr: Self.number(bytes, below: 129).map { [UInt8($0)] }
        case .name, .path: Array(bytes)
        case .peerID: (try? PeerID(text: text))?.bytes
        case .onion: Self.onion(bytes, digits: 16)
        case .onion3: Self.onion(bytes, digits: 56)
        case .garlic32: Base32.decode(text)
        case .garlic64: I2PBase64.decode(bytes)
        case .escaped: PercentText.decode(bytes)
        case .hash: Multibase.decode(Array(bytes))
        }
    }

    static func port(_ bytes: ArraySlice<UInt8>) -> UInt16 {
        bytes.reduce(0) { $0 << 8 | UInt16($1) }
    }

    /// Decimal digits only, and no leading zeros.
    private static func number(_ digits: ArraySlice<UInt8>, below limit: Int) -> Int? {
        guard (1...5).contains(digits.count), digits.allSatisfy(IPAddressText.isDigit),
            digits.count == 1 || digits.first != UInt8(ascii: "0")
        else { return nil }
        let number = digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
        return number < limit ? number : nil
    }

    private static func onion(_ text: ArraySlice<UInt8>, digits: Int) -> [UInt8]? {
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].count == digits,
            let host = Base32.decode(String(decoding: parts[0], as: UTF8.self).lowercased()),
            let port = Self.number(parts[1], below: 65_536)
        else { return nil }
        return host + [UInt8(port >> 8), UInt8(port & 255)]
    }
}

/// I2P's base 64, which has `=` at the end like the usual one.
enum I2PBase64 {
    private static let padding = UInt8(ascii: "=")

    static func encode(_ bytes: ArraySlice<UInt8>) -> String {
        var text = Base64Text.i2p.encode(bytes)
        while !text.count.isMultiple(of: 4) { text.append(Self.padding) }
        return String(decoding: text, as: UTF8.self)
    }

    static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        guard text.count.isMultiple(of: 4), let last = text.lastIndex(where: { $0 != Self.padding }) else { return nil }
        let digits = text[...last]
        guard text.count - digits.count <= 2 else { return nil }
        return Base64Text.i2p.decode(digits)
    }
}

/// Percent encoding (RFC 3986, section 2.1): everything but unreserved characters is escaped.
///
/// go-multiaddr also writes a space as `+` and reads a `+` as a space. The specification of `http-path` does not; what
/// is written here, both read alike.
enum PercentText {
    private static let percent = UInt8(ascii: "%")

    static func encode(_ bytes: ArraySlice<UInt8>) -> String {
        var text: [UInt8] = []
        for byte in bytes {
            if Self.isUnreserved(byte) {
                text.append(byte)
            } else {
                text.append(Self.percent)
                text.append(contentsOf: Hex.encode([byte]).uppercased().utf8)
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = text
        while let byte = rest.popFirst() {
            guard byte == Self.percent else {
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
