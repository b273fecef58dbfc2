// SPDX-License-Identifier: MIT

import AltNetConfiguration
import Testing

@Suite("The settings of hole punching")
struct PunchOptionTests {
    @Test func `The daemon makes no punched links by itself, and passes offers on`() throws {
        #expect(try parse().punch == DaemonConfiguration.Punch(outbound: 0, relaysOffers: true))
        #expect(
            try parse("[punch]\noutbound = 8\nrelay_offers = true").punch
                == DaemonConfiguration.Punch(outbound: 8, relaysOffers: true))
        #expect(try parse("punch.relay_offers = false").punch == DaemonConfiguration.Punch(relaysOffers: false))
        #expect(try parse(environment: ["ALTNET_PUNCH_OUTBOUND": "2"]).punch.outbound == 2)
    }

    @Test(arguments: [
        ("outbound = 9", "`punch.outbound` must be from 0 to 8, not 9"),
        ("outbound = -1", "`punch.outbound` must be from 0 to 8, not -1"),
        (
            "outbound = 1\nrelay_offers = false",
            "`punch.outbound` must be 0 while `punch.relay_offers` is false: nobody is known to connect to"
        ),
        ("outbond = 1", "there is no key `outbond` in [punch]; did you mean `outbound`?"),
    ])
    func `What cannot be is refused`(lines: String, sentence: String) throws {
        #expect(try mistake("[punch]\n\(lines)").sentence == sentence)
    }

    @Test func `The driver has its own program and is handed its settings`() throws {
        let text = """
            [node]
            kind = "bitcoin-core"
            allow = ["peers"]
            [splice]
            accept = "127.0.0.1:8333"
            [drivers.punch]
            connect = ["direct:192.0.2.1:9735", "abc.onion:8333", "abc.b32.i2p"]
            coordination = ["tor", "i2p", "direct:127.0.0.1:0"]
            tor_control = "unix:/run/tor/control"
            tor_control_password_file = "~/tor-password"
            socks = "127.0.0.1:9050"
            sam = "127.0.0.1:7656"
            offer = 4
            use = "node"
            witnesses = ["[2001:db8::1]:8333", "a.example:8333"]
            minimum_witnesses = 2
            predict_port = true
            relay = false
            map_ports = false
            answer_checks = "0.0.0.0:0"
            serve_blocks = false
            rotate_hours = 12
            allow_private_addresses = true
            """
        let driver = try #require(try parse(text).driver("punch"))
        #expect(driver.program == "altnet-punch")
        #expect(
            driver.settings == [
                "connect": .texts(["direct:192.0.2.1:9735", "abc.onion:8333", "abc.b32.i2p"]),
                "coordination": .texts(["tor", "i2p", "direct:127.0.0.1:0"]),
                "tor_control": .text("unix:/run/tor/control"),
                "tor_control_password_file": .text("/home/anna/tor-password"), "socks": .text("127.0.0.1:9050"),
                "sam": .text("127.0.0.1:7656"), "offer": .number(4), "use": .text("node"),
                "witnesses": .texts(["[2001:db8::1]:8333", "a.example:8333"]), "minimum_witnesses": .number(2),
                "predict_port": .flag(true), "relay": .flag(false), "map_ports": .flag(false),
                "answer_checks": .text("0.0.0.0:0"), "serve_blocks": .flag(false), "rotate_hours": .number(12),
                "allow_private_addresses": .flag(true),
            ])
        #expect(try parse("[drivers.punch]").driver("punch")?.settings == [:])
    }

    @Test("blocks are served only where a node has them, and not beside a node that answers for itself")
    func servedBlocks() throws {
        let core = """
            [node]
            kind = "bitcoin-core"
            url = "http://127.0.0.1:8332"

            """
        for driver in ["bitcoin", "punch"] {
            let text = "[drivers.\(driver)]\nserve_blocks = true\n"
            #expect(try parse(core + text).driver(driver)?.settings["serve_blocks"] == .flag(true))
            let error = #expect(throws: ConfigurationError.self) { try parse(text) }
            #expect(error?.description.contains("needs a node that has them") == true, "\(String(describing: error))")
        }
        let none = #expect(throws: ConfigurationError.self) {
            try parse(core + "[drivers.bitcoin]\nserve_blocks = true\ntraffic = [\"headers\"]\n")
        }
        #expect(none?.description.contains("needs `blocks` in `traffic`") == true, "\(String(describing: none))")
        let error = #expect(throws: ConfigurationError.self) {
            try parse(core + "allow = [\"peers\"]\n[drivers.punch]\nuse = \"node\"\nserve_blocks = true\n")
        }
        #expect(error?.description.contains("the node answers for itself") == true, "\(String(describing: error))")
    }

    @Test(arguments: [
        ("offer = 4", "", "hands who connects to us to the node, which needs `splice.accept`, the address of the node"),
        ("", "[punch]\noutbound = 2", Self.callsThroughNode),
        ("connect = ['direct:192.0.2.1:9735']", "", Self.callsThroughNode),
        ("", "[node]\nkind = 'bitcoin-core'\n[punch]\noutbound = 2", Self.callsThroughNode),
        ("", "[node]\nkind = 'kernel'\nallow = ['peers']\n[punch]\noutbound = 2", Self.callsThroughNode),
    ])
    func `Connections for a node that cannot take them are refused`(lines: String, rest: String, end: String) throws {
        let text = "[drivers.punch]\ncoordination = ['direct:127.0.0.1:0']\nuse = 'node'\n\(lines)\n\(rest)"
        #expect(try mistake(text).sentence == "`drivers.punch.use` \(end)")
        // A driver that is switched off bothers nobody, and one whose connections are links needs no node.
        _ = try parse(text.replacing("use = 'node'", with: "use = 'node'\nenabled = false"))
        _ = try parse(text.replacing("use = 'node'", with: "use = 'links'"))
    }

    @Test func `A driver that is attached later is judged by what the daemon has`() throws {
        let taking = try parse("[splice]\naccept = '127.0.0.1:8333'")
        let calling = try parse("[node]\nkind = 'bitcoin-core'\nallow = ['peers']\n[punch]\noutbound = 2")
        let offering = ["program": "altnet-punch", "coordination": "direct:127.0.0.1:0", "use": "node", "offer": "4"]
        #expect(try taking.driver("punch", flags: offering)?.settings["offer"] == .number(4))
        #expect(throws: ConfigurationError.self) { try calling.driver("punch", flags: offering) }
        let bare = offering.filter { $0.key != "offer" }
        #expect(try calling.driver("punch", flags: bare)?.settings["use"] == .text("node"))
        let deaf = try parse("[punch]\noutbound = 2")
        let error = #expect(throws: ConfigurationError.self) { try deaf.driver("punch", flags: bare) }
        #expect(error?.sentence == "`drivers.punch.use` \(Self.callsThroughNode)")
    }

    private static let callsThroughNode =
        "has the node make the connections, which needs `node.kind` = `bitcoin-core` and `peers` in `node.allow`"

    @Test(arguments: [
        (
            "coordination = ['onion']",
            "`drivers.punch.coordination` must have the form tor, i2p or direct:host:port, unlike `onion`"
        ),
        (
            "coordination = ['direct:here']",
            "`drivers.punch.coordination` must have the form tor, i2p or direct:host:port, unlike `direct:here`"
        ),
        (
            "tor_control = '9051'",
            "`drivers.punch.tor_control` must have the form host:port or unix:/path, unlike `9051`"
        ),
        ("socks = '9050'", "`drivers.punch.socks` must have the form host:port, unlike `9050`"),
        ("sam = 'localhost'", "`drivers.punch.sam` must have the form host:port, unlike `localhost`"),
        ("witnesses = ['a']", "`drivers.punch.witnesses` must have the form host:port, unlike `a`"),
        ("answer_checks = 'yes'", "`drivers.punch.answer_checks` must have the form host:port, unlike `yes`"),
        ("use = 'nodes'", "`drivers.punch.use` must be links or node, not `nodes`; did you mean `node`?"),
        ("minimum_witnesses = 1", "`drivers.punch.minimum_witnesses` must be from 2 to 16, not 1"),
        (
            "connect = ['192.0.2.1:8333']",
            "`drivers.punch.connect` must have the form name.onion:port, name.b32.i2p or direct:host:port, unlike `192.0.2.1:8333`"
        ),
        ("offer = 1", "`drivers.punch.offer` needs `coordination`: somewhere to arrange the connections"),
        ("coordination = ['tor']", "`drivers.punch.coordination` has `tor`, which needs `tor_control`"),
        ("coordination = ['i2p']", "`drivers.punch.coordination` has `i2p`, which needs `sam`"),
        ("offer = 126", "`drivers.punch.offer` must be from 0 to 125, not 126"),
        ("rotate_hours = 0", "`drivers.punch.rotate_hours` must be from 1 to 8760, not 0"),
    ])
    func `A slip of the finger in the driver's settings is told`(line: String, sentence: String) throws {
        #expect(try mistake("[drivers.punch]\n\(line)").sentence == sentence)
    }
}
