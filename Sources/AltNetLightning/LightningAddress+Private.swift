// SPDX-License-Identifier: MIT

extension LightningAddress {
    /// Whether the address leads into a network of somebody's own, or nowhere at all: this machine, a private or
    /// link-local range, shared address space (RFC 6598), multicast, documentation and reserved ranges, and names that
    /// only a local resolver knows.
    ///
    /// Dialling such an address because a peer said so would let that peer make us knock on doors inside our network.
    /// A name can still lead there: callers MUST look at what it resolves to as well.
    public var isPrivate: Bool {
        switch self.host {
        case .ipv4(let bytes): Self.isPrivate(ipv4: bytes)
        case .ipv6(let bytes): Self.isPrivate(ipv6: bytes)
        case .torV3: false
        case .name(let name): Self.isPrivate(name: name)
        }
    }

    /// IANA's registry of special-purpose IPv4 addresses, multicast and the reserved rest.
    private static let privateIPv4: [(prefix: [UInt8], bits: Int)] = [
        ([0], 8), ([10], 8), ([100, 64], 10), ([127], 8), ([169, 254], 16), ([172, 16], 12), ([192, 0, 0], 24),
        ([192, 0, 2], 24), ([192, 88, 99], 24), ([192, 168], 16), ([198, 18], 15), ([198, 51, 100], 24),
        ([203, 0, 113], 24), ([224], 3),
    ]

    /// Prefixes of IPv6 that carry an IPv4 address, and where: mapped, NAT64 (RFC 6052) and 6to4 (RFC 3056).
    private static let carriesIPv4: [(prefix: [UInt8], offset: Int)] = [
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], 12), ([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0], 12),
        ([0x20, 0x02], 2),
    ]

    private static func isPrivate(ipv4 bytes: [UInt8]) -> Bool {
        Self.privateIPv4.contains { Self.matches(bytes, $0.prefix, bits: $0.bits) }
    }

    private static func isPrivate(ipv6 bytes: [UInt8]) -> Bool {
        if let carrier = Self.carriesIPv4.first(where: { bytes.starts(with: $0.prefix) }) {
            return Self.isPrivate(ipv4: Array(bytes[carrier.offset..<(carrier.offset + 4)]))
        }
        // Only 2000::/3 is given out as global unicast; loopback, unspecified, fc00::/7, fe80::/10 and ff00::/8 are not
        // in it. Of it, 2001::/23 and 2001:db8::/32, 3fff::/20 are for protocols and documentation.
        guard Self.matches(bytes, [0x20], bits: 3) else { return true }
        return Self.matches(bytes, [0x20, 0x01, 0x00], bits: 23) || bytes.starts(with: [0x20, 0x01, 0x0d, 0xb8])
            || Self.matches(bytes, [0x3f, 0xff, 0x00], bits: 20)
    }

    /// Names without a dot and special-use names (RFC 6761, 6762, 8375, 9476 and ICANN's `internal`).
    private static func isPrivate(name: String) -> Bool {
        let labels = name.split(separator: ".")
        guard labels.count > 1, let last = labels.last else { return true }
        return ["localhost", "local", "internal", "invalid", "test", "example", "alt", "lan", "home", "localdomain"]
            .contains(last) || name.hasSuffix(".home.arpa")
    }

    private static func matches(_ bytes: [UInt8], _ prefix: [UInt8], bits: Int) -> Bool {
        for (index, expected) in prefix.enumerated() {
            let left = min(8, bits - index * 8)
            guard left > 0 else { break }
            let mask = UInt8(truncatingIfNeeded: 0xff00 >> left)
            guard bytes[index] & mask == expected & mask else { return false }
        }
        return true
    }
}
