// SPDX-License-Identifier: MIT

/// Which addresses probably belong to one operator: Bitcoin Core's network groups, without a map of autonomous systems.
///
/// Nodes of one group cost an attacker little more than a single one: they lie in one provider's block of addresses, or
/// in an overlay network in which addresses are free.
public enum NetworkGroup {
    /// The group of an address in the form `host`, `host:port` or `[ipv6]:port`.
    ///
    /// IPv4: the first 16 bits, "203.0". IPv6: the first 32 bits, "2001:db8". This machine and private ranges: "local".
    /// Overlays: "onion", "i2p", "cjdns". Anything else is a name and its own group.
    public static func of(_ address: String) -> String {
        let host = Self.host(of: address)
        if let bytes = Self.ipv4(host) { return Self.group(ipv4: bytes) }
        if host.contains(":") { return Self.group(ipv6: host) }
        let name = host.lowercased()
        if name.hasSuffix(".onion") { return "onion" }
        if name.hasSuffix(".i2p") { return "i2p" }
        return name == "localhost" || name.isEmpty ? "local" : name
    }

    /// The group of the 4 bytes of an IPv4 address.
    public static func of(ipv4 bytes: some Collection<UInt8>) -> String {
        Self.group(ipv4: Array(bytes))
    }

    /// The group of the 16 bytes of an IPv6 address.
    public static func of(ipv6 bytes: some Collection<UInt8>) -> String {
        let bytes = Array(bytes)
        // An IPv4 address in IPv6's clothes.
        if bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]) {
            return Self.group(ipv4: Array(bytes.suffix(4)))
        }
        return Self.group(UInt16(bytes[0]) << 8 | UInt16(bytes[1]), UInt16(bytes[2]) << 8 | UInt16(bytes[3]))
    }

    private static func host(of address: String) -> String {
        if address.hasPrefix("["), let end = address.firstIndex(of: "]") {
            return String(address[address.index(after: address.startIndex)..<end])
        }
        let colons = address.utf8.count { $0 == UInt8(ascii: ":") }
        guard colons == 1, let colon = address.firstIndex(of: ":") else { return address }
        return String(address[..<colon])
    }

    private static func ipv4(_ host: String) -> [UInt8]? {
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { UInt8($0) }
        return parts.count == 4 && bytes.count == 4 ? bytes : nil
    }

    private static func group(ipv4 bytes: [UInt8]) -> String {
        switch (bytes[0], bytes[1]) {
        case (127, _), (10, _), (0, _), (192, 168), (172, 16...31), (169, 254), (100, 64...127): "local"
        default: "\(bytes[0]).\(bytes[1])"
        }
    }

    private static func group(ipv6 text: String) -> String {
        let host = text.lowercased().split(separator: "%").first.map(String.init) ?? ""
        // An IPv4 address in IPv6's clothes.
        if let last = host.split(separator: ":").last, let bytes = Self.ipv4(String(last)) {
            return Self.group(ipv4: bytes)
        }
        let front = host.split(separator: ":", omittingEmptySubsequences: false).prefix(while: { !$0.isEmpty })
        let words = front.prefix(2).map { UInt16($0, radix: 16) ?? 0 } + [0, 0]
        return Self.group(words[0], words[1])
    }

    /// Of the first two words of an IPv6 address.
    private static func group(_ first: UInt16, _ second: UInt16) -> String {
        switch first {
        case 0, 0xfe80...0xfebf, 0xfd00...0xfdff: return "local"
        case 0xfc00...0xfcff: return "cjdns"
        default: return "\(String(first, radix: 16)):\(String(second, radix: 16))"
        }
    }
}
