// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetConfiguration
import FoundationEssentials
import Testing

@Suite("The example file")
struct ExampleFileTests {
    private let text: String

    init() throws {
        // The folder of this file may be a link.
        let folder = URL(filePath: #filePath).deletingLastPathComponent().resolvingSymlinksInPath()
        let root = folder.deletingLastPathComponent().deletingLastPathComponent()
        let data = try Data(contentsOf: root.appending(path: "Examples/altnet.toml"))
        self.text = String(decoding: data, as: UTF8.self)
    }

    /// The file with the comment signs before keys and tables taken away.
    private var uncommented: String {
        self.text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            guard line.hasPrefix("# ") else { return line }
            let rest = line.dropFirst(2)
            let key = rest.prefix { $0.isLowercase || $0.isNumber || $0 == "_" || $0 == "-" }
            return rest.hasPrefix("[") || (!key.isEmpty && rest.dropFirst(key.count).hasPrefix(" = ")) ? rest : line
        }
        .joined(separator: "\n")
    }

    @Test func `It changes nothing as it is`() throws {
        #expect(try parse(self.text) == parse())
    }

    @Test func `With every option taken in, only those without a default differ`() throws {
        var configuration = try parse(self.uncommented)
        let radio = configuration.drivers.removeLast()
        let punch = configuration.drivers.removeLast()
        #expect(punch.program == "altnet-punch")
        #expect(punch.settings.count == 18)
        #expect(punch.settings["coordination"] == .texts(["tor"]))
        #expect(punch.settings["offer"] == .number(0))
        let plugin = configuration.drivers.removeLast()
        let libp2p = configuration.drivers.remove(at: 1)
        #expect(libp2p.program == "altnet-libp2p")
        #expect(libp2p.settings["dial"] == .texts(["first user certified", "rank success latency"]))
        #expect(libp2p.settings["dht"] == .text("server"))
        #expect(plugin == DaemonConfiguration.Driver(name: "plugin", program: nil))
        #expect(
            radio
                == DaemonConfiguration.Driver(
                    name: "radio",
                    program: "/usr/local/bin/altnet-radio",
                    settings: [
                        "device": .text("/dev/ttyUSB0"), "baud": .number(9600), "duplex": .flag(false),
                        "relays": .texts(["north", "south"]),
                    ]
                )
        )
        for index in configuration.drivers.indices {
            for key in [
                "listen", "proxy", "serve_only", "serve_blocks", "user_agent", "key_file", "messages", "message_rate",
                "lnd", "lnd_certificate", "lnd_macaroon", "alt_addr_peers",
                "alt_listen", "alt_announce", "alt_addr_private", "alt_addr_log", "tor_control",
                "tor_control_password_file", "announce", "announce_bitcoin", "announce_bitcoin_services", "dial",
            ] {
                configuration.drivers[index].settings[key] = nil
            }
        }
        configuration.drivers[1].settings["connect"] = nil
        #expect(configuration.alerts.map(\.name) == ["mail", "pager", "script", "system"])
        #expect(configuration.splice.ports.map(\.name) == ["lightning"])
        #expect(configuration.policy.spareLinks == [.init(driver: "bitcoin", target: "203.0.113.5:8333")])
        configuration.alerts = []
        configuration.splice = .init()
        configuration.policy.spareLinks = []
        configuration.http.isRequired = false
        configuration.node.zmq = nil
        configuration.node.library = nil
        #expect(try configuration == parse())
    }

    @Test(arguments: [
        "network", "data_directory", "runtime_directory", "log_level", "start", "minimum_work",
        "request_timeout_seconds", "behind_probe_seconds", "idle_probe_seconds", "grace_seconds", "program", "start",
        "enabled",
        "traffic", "messages_per_second", "bytes_per_second", "connect", "listen", "proxy", "serve_only",
        "serve_blocks",
        "user_agent", "key_file", "messages", "message_rate", "lnd", "lnd_certificate", "lnd_macaroon",
        "expected_interval_seconds",
        "record", "kind", "url", "allow_remote", "cookie_file", "follow",
        "zmq", "poll_seconds", "allow", "library", "dry_run", "spare_links", "node-behind", "metrics_without_token",
        "accept", "driver", "target", "secret_file", "minimum", "timeout_seconds", "allow_plain", "command", "to",
        "from", "sendmail", "alt_addr_peers", "alt_listen", "alt_announce", "alt_addr_private", "alt_addr_log",
        "tor_control", "tor_control_password_file", "capacity", "share_record", "keep_private_ranges",
        "keep_unknown_transports", "announce", "dial", "dht", "dht_protocol", "loopback_is_foreign",
        "announce_bitcoin", "announce_bitcoin_services", "outbound", "relay_offers", "coordination",
        "socks", "sam", "offer", "use", "witnesses", "minimum_witnesses", "predict_port", "relay", "map_ports", "ipv6",
        "answer_checks", "rotate_hours", "allow_private_addresses",
    ])
    func `Every option is in it`(key: String) {
        #expect(self.text.contains("\n# \(key) = "))
    }

    @Test(arguments: UInt64(1)...8)
    func `Random damage never crashes`(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        let original = Array(self.uncommented.utf8)
        let scraps = [
            "[", "]", "{", "}", "\"", "'", "\"\"\"", "'''", "=", ".", ",", "\n", "\\", "\\u0000", "\0", "#", "nan",
            "-1",
            "1e999", "99999999999999999999", "2020-01-01", "[[", "]]", "drivers", "[drivers.x]", "ü", "\u{202e}", "\r",
        ].map { Array($0.utf8) }
        for _ in 0..<400 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let start = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<5, using: &generator) {
                case 0: bytes[start] = UInt8.random(in: .min ... .max, using: &generator)
                case 1:
                    bytes.removeSubrange(start..<min(start + Int.random(in: 1...40, using: &generator), bytes.count))
                case 2: bytes.insert(contentsOf: scraps.randomElement(using: &generator) ?? [], at: start)
                case 3: bytes.removeSubrange(start...)
                default:
                    let from = Int.random(in: 0..<original.count, using: &generator)
                    bytes.insert(contentsOf: original[from...].prefix(60), at: start)
                }
                if bytes.isEmpty { bytes = [0x0a] }
            }
            let text = String(decoding: bytes, as: UTF8.self)
            do throws(ConfigurationError) {
                _ = try parse(text)
            } catch {
                #expect(!error.sentence.isEmpty && !error.description.contains("\n"), "seed \(seed)")
            }
        }
    }

    @Test func `Nesting that goes too deep never crashes`() {
        let depth = 100_000
        let texts = [
            String(repeating: "a.", count: depth) + "a = 1", "[" + String(repeating: "a.", count: depth) + "a]",
            String(repeating: "a = {", count: depth), "a = " + String(repeating: "[", count: depth),
            "a = {" + String(repeating: "'b'.", count: depth) + "c = 1}",
            "a = " + String(repeating: "[[{a.b.c.d.e.f.g.h=", count: 84) + "1" + String(repeating: "}]]", count: 84),
            "[drivers.x]\nprogram = 'y'\nsettings.x = " + String(repeating: "[", count: 200)
                + String(repeating: "]", count: 200),
        ]
        for text in texts {
            #expect(throws: ConfigurationError.self) { try parse(text) }
        }
    }
}
