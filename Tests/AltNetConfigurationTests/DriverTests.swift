// SPDX-License-Identifier: MIT

import AltNetConfiguration
import AltNetObjects
import Testing

@Suite("Drivers")
struct DriverTests {
    private static let key = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"

    @Test func `Exactly the drivers that are named run`() throws {
        #expect(try parse("[drivers.lightning]").drivers.map(\.name) == ["lightning"])
        #expect(try parse("[drivers]").drivers.map(\.name) == ["bitcoin", "lightning"])
        #expect(
            try parse(flags: ["drivers.lightning.connect": "\(Self.key)@a:1"]).drivers.map(\.name) == ["lightning"]
        )
        #expect(
            try parse(environment: ["ALTNET_DRIVERS_LIGHTNING_CONNECT": ""]).drivers.map(\.name) == ["lightning"]
        )
        #expect(
            try parse("[drivers.bitcoin]", flags: ["drivers.tor.program": "altnet-bitcoin"]).drivers.map(\.name)
                == ["bitcoin", "tor"]
        )
    }

    @Test func `A driver that is named bitcoin keeps the own node unless told otherwise`() throws {
        let own = DaemonConfiguration.DriverSetting.texts(["127.0.0.1:8333"])
        #expect(try parse("[drivers.bitcoin]\nmessages_per_second = 5").drivers[0].settings == ["connect": own])
        #expect(try parse("[drivers.bitcoin]\nconnect = []").drivers[0].settings.isEmpty)
        #expect(
            try parse("[drivers.bitcoin]\nproxy = 'localhost:9050'").drivers[0].settings
                == ["proxy": .text("localhost:9050")]
        )
        #expect(try parse("[drivers.tor]\nprogram = 'altnet-bitcoin'").drivers[0].settings.isEmpty)
    }

    @Test func `A program of ours is known by its file name`() throws {
        let text = """
            [drivers.second]
            program = "~/bin/altnet-lightning"
            connect = ["\(Self.key)@x.onion:9735", "\(Self.key)@[2001:db8::1]:9735"]
            listen = ["[::]:9736"]
            proxy = "127.0.0.1:9050"
            key_file = "~/key"
            """
        let driver = try #require(try parse(text).driver("second"))
        #expect(driver.program == "/home/anna/bin/altnet-lightning")
        #expect(
            driver.settings == [
                "connect": .texts(["\(Self.key)@x.onion:9735", "\(Self.key)@[2001:db8::1]:9735"]),
                "listen": .texts(["[::]:9736"]), "proxy": .text("127.0.0.1:9050"),
                "key_file": .text("/home/anna/key"),
            ]
        )
    }

    @Test func `Any other program has free settings`() throws {
        let text = """
            [drivers.my-radio]
            program = "altnet-radio"
            [drivers.my-radio.settings]
            device = "/dev/ttyUSB0"
            baud = 9600
            duplex = false
            relays = ["north", "south"]
            none = []
            """
        #expect(
            try parse(text).driver("my-radio")?.settings == [
                "device": .text("/dev/ttyUSB0"), "baud": .number(9600), "duplex": .flag(false),
                "relays": .texts(["north", "south"]), "none": .texts([]),
            ]
        )
        // Other sources follow the file's types; what the file does not have is text.
        let other = try parse(
            text,
            environment: [
                "ALTNET_DRIVERS_MY_RADIO_SETTINGS_BAUD": "1200", "ALTNET_DRIVERS_MY_RADIO_SETTINGS_CALL_SIGN": "X1",
            ],
            flags: ["drivers.my-radio.settings.duplex": "yes", "drivers.my-radio.settings.a.b": "5"]
        )
        #expect(
            other.driver("my-radio")?.settings == [
                "device": .text("/dev/ttyUSB0"), "baud": .number(1200), "duplex": .flag(true),
                "relays": .texts(["north", "south"]), "none": .texts([]), "call_sign": .text("X1"),
                "a.b": .text("5"),
            ]
        )
    }

    @Test func `A driver that something else starts has no program and free settings`() throws {
        let text = """
            [drivers.lightning]
            start = "external"
            [drivers.lightning.settings]
            connect = ["x"]
            [drivers.radio]
            start = "altnetd"
            program = "altnet-radio"
            """
        let configuration = try parse(text)
        #expect(
            configuration.driver("lightning")
                == DaemonConfiguration.Driver(name: "lightning", program: nil, settings: ["connect": .texts(["x"])]))
        #expect(configuration.driver("radio")?.program == "altnet-radio")
        #expect(try parse(environment: ["ALTNET_DRIVERS_LIGHTNING_START": "external"]).drivers.map(\.program) == [nil])
        #expect(try parse(flags: ["drivers.plugin.start": "external"]).driver("plugin")?.program == nil)
    }

    @Test func `The program from the command line decides which settings there are`() throws {
        let configuration = try parse(
            "[drivers.bitcoin.settings]\nx = 1",
            flags: ["drivers.bitcoin.program": "other"]
        )
        #expect(configuration.driver("bitcoin")?.settings == ["x": .number(1)])
    }

    @Test func `All kinds of traffic are the same as no limit`() throws {
        let all = ObjectKind.allCases.map { "'\($0.rawValue)'" }.joined(separator: ",")
        #expect(try parse("[drivers.bitcoin]\ntraffic = [\(all)]").drivers[0].traffic == nil)
        #expect(try parse("[drivers.bitcoin]\ntraffic = ['tips', 'tips']").drivers[0].traffic == [.tips])
    }

    @Test(arguments: ["a:1", "1.2.3.4:65535", "[::1]:8333", "[fe80::1%eth0]:1", "x_y.example.org:80"])
    func `An address is a host and a port`(address: String) throws {
        #expect(try parse("[drivers.bitcoin]\nconnect = ['\(address)']").drivers[0].settings["connect"] != nil)
    }

    @Test(arguments: [
        "a", "a:", ":1", "a:0", "a:65536", "a:+1", "a:1x", "::1", "::1:8333", "[::1]", "[]:1", "[a]:1", "a b:1",
        "a/b:1",
        "02@a:1", "a:\u{661}", "ü:1", "",
    ])
    func `Anything else is none`(address: String) throws {
        #expect(
            try mistake("[drivers.bitcoin]\nconnect = ['\(address)']").description
                == "altnet.toml:2: `drivers.bitcoin.connect` must have the form host:port, unlike `\(address)`"
        )
    }

    @Test(arguments: [
        "a:1", "@a:1", "00@a:1", "04\(String(repeating: "0", count: 64))@a:1", "\(key)@a", "\(key)@", "\(key)00",
    ])
    func `A Lightning node needs its public key`(address: String) throws {
        let error = try mistake("[drivers.lightning]\nconnect = ['\(address)']")
        #expect(error.code == .invalidValue)
        #expect(error.sentence.hasPrefix("`drivers.lightning.connect` must have the form pubkey@host:port, pubkey, "))
    }
}
