// SPDX-License-Identifier: MIT

/// The texts of IP addresses, strictly: nothing that one resolver reads in another way than the next.
public enum IPAddressText {
    /// Four decimal numbers without leading zeros.
    public static func ipv4(_ text: some StringProtocol) -> [UInt8]? {
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
    public static func ipv6(_ text: some StringProtocol) -> [UInt8]? {
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

    /// Four decimal numbers.
    public static func text(ipv4 bytes: [UInt8]) -> String {
        bytes.map { "\($0)" }.joined(separator: ".")
    }

    /// RFC 5952: lower case, no leading zeros, `::` for the first longest run of two zero groups or more.
    public static func text(ipv6 bytes: [UInt8]) -> String {
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

    /// Whether a byte is one of the characters 0 to 9.
    public static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        Self.isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
    }
}
