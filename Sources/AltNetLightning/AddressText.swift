// SPDX-License-Identifier: MIT

internal import Crypto

/// The texts of IP addresses, strictly: nothing that one resolver reads in another way than the next.
enum AddressText {
    /// Four decimal numbers without leading zeros.
    static func ipv4(_ text: Substring) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bytes: [UInt8] = []
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy(Self.isDigit),
                part.utf8.count == 1 || part.utf8.first != UInt8(ascii: "0"), let byte = UInt8(part)
            else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    /// RFC 4291, section 2.2: groups, one `::`, and an IPv4 address as the last two groups. No zones.
    static func ipv6(_ text: Substring) -> [UInt8]? {
        // An empty group is part of a `::`, or of a text that is none.
        var groups = text.split(separator: ":", omittingEmptySubsequences: false)
        guard groups.count >= 3, groups.count <= 9 else { return nil }
        if groups.first?.isEmpty == true {
            guard groups[1].isEmpty else { return nil }
            groups.removeFirst()
        }
        if groups.last?.isEmpty == true {
            guard groups[groups.count - 2].isEmpty else { return nil }
            groups.removeLast()
        }
        guard groups.count(where: \.isEmpty) <= 1 else { return nil }
        var head: [UInt8] = []
        var tail: [UInt8]?
        for (index, group) in groups.enumerated() {
            let bytes: [UInt8]
            if group.isEmpty {
                tail = []
                continue
            } else if index == groups.count - 1, group.contains(".") {
                guard let found = Self.ipv4(group) else { return nil }
                bytes = found
            } else {
                guard group.utf8.count <= 4, group.utf8.allSatisfy(Self.isHexDigit),
                    let value = UInt16(group, radix: 16)
                else { return nil }
                bytes = [UInt8(value >> 8), UInt8(value & 0xff)]
            }
            if tail == nil { head += bytes } else { tail?.append(contentsOf: bytes) }
        }
        guard let tail else { return head.count == 16 ? head : nil }
        let missing = 16 - head.count - tail.count
        // `::` stands for one group or more.
        guard missing >= 2 else { return nil }
        return head + [UInt8](repeating: 0, count: missing) + tail
    }

    static func text(ipv4 bytes: [UInt8]) -> String {
        bytes.map { "\($0)" }.joined(separator: ".")
    }

    /// RFC 5952: lower case, no leading zeros, `::` for the first longest run of two zero groups or more.
    static func text(ipv6 bytes: [UInt8]) -> String {
        let groups = stride(from: 0, to: bytes.count - 1, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
        if bytes.prefix(12) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] {
            return "::ffff:" + Self.text(ipv4: Array(bytes.suffix(4)))
        }
        var longest = 0..<0
        var start = 0
        while start < groups.count {
            let end = groups[start...].firstIndex { $0 != 0 } ?? groups.count
            if end - start >= 2, end - start > longest.count { longest = start..<end }
            start = max(end, start + 1)
        }
        func joined(_ part: ArraySlice<UInt16>) -> String {
            part.map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard !longest.isEmpty else { return joined(groups[...]) }
        return joined(groups[..<longest.lowerBound]) + "::" + joined(groups[longest.upperBound...])
    }

    static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        Self.isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
    }
}

/// Names that DNS can have, in lower case.
enum HostName {
    /// Labels of letters, digits, hyphens and underscores, 63 bytes at most (RFC 1035, section 2.3.4).
    ///
    /// A name whose last label is a number is refused: resolvers read `10.1` or `0x7f000001` as IPv4 addresses, and so
    /// one could pass a private address off as a name. So is `.onion`, which is no matter of DNS (RFC 7686).
    static func read(_ bytes: some Collection<UInt8>) throws(LightningAddressError) -> String {
        guard bytes.count <= LightningAddress.maximumNameLength else { throw .badName }
        let name = String(decoding: bytes, as: UTF8.self).lowercased()
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        guard labels.allSatisfy(Self.isLabel), let last = labels.last else { throw .badName }
        guard last != "onion" else { throw .badOnion }
        guard !last.utf8.allSatisfy(AddressText.isDigit), !last.hasPrefix("0x") else { throw .badName }
        return name
    }

    private static func isLabel(_ label: Substring) -> Bool {
        (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
            && label.utf8.allSatisfy { byte in
                AddressText.isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                    || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
            }
    }
}

/// Onion services of version 3: `publicKey ‖ checksum ‖ version` in base 32 (Tor's rend-spec-v3, section 6).
enum OnionAddress {
    /// Public key, checksum and version, in bytes.
    static let size = 35
    private static let version: UInt8 = 3
    /// RFC 4648, in lower case.
    private static let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)

    static func bytes(of publicKey: [UInt8]) -> [UInt8] {
        publicKey + Self.checksum(publicKey) + [Self.version]
    }

    static func publicKey(of bytes: [UInt8]) throws(LightningAddressError) -> [UInt8] {
        guard bytes.count == Self.size, let version = bytes.last else { throw .badOnion }
        guard version == Self.version else { throw .onionVersion(version) }
        let key = Array(bytes.prefix(32))
        guard Array(bytes[32..<34]) == Self.checksum(key) else { throw .badOnion }
        return key
    }

    /// The key behind a name in lower case; `nil` when the name is of another kind.
    static func publicKey(name: String) throws(LightningAddressError) -> [UInt8]? {
        guard name.hasSuffix(".onion") else { return nil }
        let label = name.dropLast(6)
        // 80 bits: version 2.
        guard label.utf8.count != 16 else { throw .torV2 }
        guard label.utf8.count == 56, let bytes = Self.decode(label) else { throw .badOnion }
        return try Self.publicKey(of: bytes)
    }

    static func name(of publicKey: [UInt8]) -> String {
        Self.encode(Self.bytes(of: publicKey)) + ".onion"
    }

    private static func checksum(_ publicKey: [UInt8]) -> [UInt8] {
        Array(SHA3_256.hash(data: Array(".onion checksum".utf8) + publicKey + [Self.version]).prefix(2))
    }

    /// 35 bytes are 56 digits, so that nothing needs padding.
    private static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        var pending = 0
        var bits = 0
        for byte in bytes {
            pending = pending << 8 | Int(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                text.append(Self.alphabet[pending >> bits & 31])
            }
            pending &= 31
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func decode(_ text: Substring) -> [UInt8]? {
        var bytes: [UInt8] = []
        var pending = 0
        var bits = 0
        for digit in text.utf8 {
            guard let value = Self.alphabet.firstIndex(of: digit) else { return nil }
            pending = pending << 5 | value
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(pending >> bits & 255))
            }
            pending &= 255
        }
        return bytes
    }
}
