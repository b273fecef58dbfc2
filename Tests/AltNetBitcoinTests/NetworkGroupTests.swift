// SPDX-License-Identifier: MIT

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
}
