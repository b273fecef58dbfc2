// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@Suite("SpecialIPv4")
struct SpecialIPv4Tests {
    /// First and last address of each range, and their neighbours outside.
    @Test(
        "each range begins and ends where IANA's registry says",
        arguments: [
            ("0.0.0.0", "0.255.255.255", SpecialIPv4.unspecified), ("10.0.0.0", "10.255.255.255", .private),
            ("100.64.0.0", "100.127.255.255", .private), ("127.0.0.0", "127.255.255.255", .loopback),
            ("169.254.0.0", "169.254.255.255", .linkLocal), ("172.16.0.0", "172.31.255.255", .private),
            ("192.0.0.0", "192.0.0.255", .reserved), ("192.0.2.0", "192.0.2.255", .documentation),
            ("192.88.99.0", "192.88.99.255", .reserved), ("192.168.0.0", "192.168.255.255", .private),
            ("198.18.0.0", "198.19.255.255", .reserved), ("198.51.100.0", "198.51.100.255", .documentation),
            ("203.0.113.0", "203.0.113.255", .documentation), ("224.0.0.0", "239.255.255.255", .multicast),
            ("240.0.0.0", "255.255.255.255", .reserved),
        ])
    func ranges(_ first: String, _ last: String, _ expected: SpecialIPv4) throws {
        let (low, high) = (try #require(Self.number(first)), try #require(Self.number(last)))
        #expect(Self.kind(low) == expected && Self.kind(high) == expected)
        #expect(low == 0 || Self.kind(low - 1) != expected)
        #expect(high == .max || Self.kind(high + 1) != expected)
    }

    @Test("an ordinary host is nothing special, and neither is what is no IPv4 address")
    func ordinary() {
        for text in ["8.8.8.8", "44.7.0.2", "100.63.0.1", "172.32.0.1", "1.0.0.0", "223.255.255.255"] {
            #expect(IPAddressText.ipv4(text).flatMap { SpecialIPv4($0) } == nil)
        }
        #expect(SpecialIPv4([]) == nil)
        #expect(SpecialIPv4([UInt8](repeating: 0, count: 16)) == nil)
    }

    private static func number(_ text: String) -> UInt32? {
        IPAddressText.ipv4(text)?.reduce(0) { $0 << 8 | UInt32($1) }
    }

    private static func kind(_ number: UInt32) -> SpecialIPv4? {
        SpecialIPv4((0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * UInt32($0))) })
    }
}
