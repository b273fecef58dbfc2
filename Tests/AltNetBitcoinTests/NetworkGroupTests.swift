// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@Suite("Network groups")
struct NetworkGroupTests {
    @Test(arguments: [
        ("203.0.113.5:8333", "203.0"), ("203.0.113.200", "203.0"), ("8.8.8.8:1", "8.8"),
        ("127.0.0.1:8333", "local"), ("10.1.2.3:8333", "local"), ("192.168.0.9:8333", "local"),
        ("172.16.0.1:8333", "local"), ("172.32.0.1:8333", "172.32"), ("100.100.1.1:8333", "local"),
        ("[2001:db8:1::5]:8333", "2001:db8"), ("2001:0db8::1", "2001:db8"), ("[2a00::1]:8333", "2a00:0"),
        ("[::1]:8333", "local"), ("[fe80::1%eth0]:8333", "local"), ("[fc12::1]:8333", "cjdns"),
        ("[::ffff:203.0.113.5]:8333", "203.0"),
        ("abcdef.onion:8333", "onion"), ("ABC.b32.I2P:0", "i2p"), ("seed.example.org:8333", "seed.example.org"),
        ("localhost:8333", "local"), ("", "local"), ("999.1.1.1:8333", "999.1.1.1"),
    ])
    func `An address belongs to its group`(address: String, group: String) {
        #expect(NetworkGroup.of(address) == group)
    }

    @Test func `Bytes belong to the group of their text`() {
        var random = SeededRandom(seed: 1)
        let fronts: [[UInt8]] = [
            [], [10], [127], [192, 168], [172, 20], [169, 254], [0xfc], [0xfd], [0xfe, 0x80], [0, 0, 0, 0],
            [0x20, 0x01, 0x0d, 0xb8], [UInt8](repeating: 0, count: 10) + [0xff, 0xff],
        ]
        for round in 0..<1_000 {
            let front = fronts[round % fronts.count]
            let ipv4 = front.prefix(4) + random.bytes(4 - min(4, front.count))
            #expect(NetworkGroup.of(ipv4: ipv4) == NetworkGroup.of(IPAddressText.text(ipv4: Array(ipv4))))
            let ipv6 = front + random.bytes(16 - front.count)
            #expect(NetworkGroup.of(ipv6: ipv6) == NetworkGroup.of("[\(IPAddressText.text(ipv6: ipv6))]:1"))
        }
    }
}
