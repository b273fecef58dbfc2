// SPDX-License-Identifier: MIT

import AltNetConfiguration
import Testing

@Suite("The options of alternative addresses")
struct AlternativeAddressOptionTests {
    static let key = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    static let channel = String(repeating: "ab", count: 32)

    @Test("they reach the driver")
    func reach() throws {
        let text = """
            [drivers.lightning]
            alt_addr_peers = ['\(Self.key)', '\(Self.key)@\(Self.channel)']
            alt_listen = ['10.0.0.5:19735', '[::]:20000-20100', '127.0.0.1:0']
            alt_announce = ['192.0.2.7:1', '[2001:db8::1]:30000-30100', 'a.example.org:3']
            tor_control = 'unix:/run/tor/control'
            tor_control_password_file = '/etc/altnet/tor'
            alt_addr_private = true
            alt_addr_log = false
            """
        let settings = try parse(text).drivers[0].settings
        #expect(settings["alt_addr_peers"] == .texts([Self.key, "\(Self.key)@\(Self.channel)"]))
        #expect(settings["alt_listen"] == .texts(["10.0.0.5:19735", "[::]:20000-20100", "127.0.0.1:0"]))
        #expect(settings["alt_announce"] == .texts(["192.0.2.7:1", "[2001:db8::1]:30000-30100", "a.example.org:3"]))
        #expect(settings["tor_control"] == .text("unix:/run/tor/control"))
        #expect(settings["tor_control_password_file"] == .text("/etc/altnet/tor"))
        #expect(settings["alt_addr_private"] == .flag(true) && settings["alt_addr_log"] == .flag(false))
    }

    @Test(
        "what is wrong is refused, and no sentence shows an address",
        arguments: [
            "alt_addr_peers = ['04\(String(repeating: "0", count: 64))']", "alt_addr_peers = ['\(Self.key)@']",
            "alt_addr_peers = ['\(Self.key)@\(String(repeating: "0", count: 64))']", "alt_listen = ['10.7.7.7']",
            "alt_listen = ['10.7.7.7:5-4']", "alt_listen = ['10.7.7.7:0-4']", "alt_listen = ['10.7.7.7:70000']",
            "alt_listen = ['10.7.7.7:1-']", "alt_announce = ['10.7.7.7:0']", "tor_control = '9051'",
        ])
    func refused(_ line: String) throws {
        let error = try mistake("[drivers.lightning]\n\(line)")
        let key = try #require(line.split(separator: " ").first)
        #expect(error.sentence.hasPrefix("`drivers.lightning.\(key)` must "))
        #expect(!error.sentence.contains("10.7.7.7"))
    }
}
