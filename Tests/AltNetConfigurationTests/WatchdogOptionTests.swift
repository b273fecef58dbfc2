// SPDX-License-Identifier: MIT

import AltNetBitcoin
import AltNetConfiguration
import AltNetObjects
import AltNetWatchdog
import Testing

@Suite("Options of the watchdog, the node and the interfaces")
struct WatchdogOptionTests {
    @Test func `Blocks are expected every ten minutes on the main network only`() throws {
        #expect(try parse().watchdog.expectedInterval == .seconds(600))
        #expect(try parse("network = 'regtest'").watchdog.expectedInterval == nil)
        #expect(try parse("watchdog.expected_interval_seconds = 0").watchdog.expectedInterval == nil)
        let signet = try parse("network = 'signet'\nwatchdog.expected_interval_seconds = 600")
        #expect(signet.watchdog.expectedInterval == .seconds(600))
    }

    @Test(arguments: [
        (Network.main, "http://127.0.0.1:8332", "/home/anna/.bitcoin/.cookie"),
        (.testnet3, "http://127.0.0.1:18332", "/home/anna/.bitcoin/testnet3/.cookie"),
        (.testnet4, "http://127.0.0.1:48332", "/home/anna/.bitcoin/testnet4/.cookie"),
        (.signet, "http://127.0.0.1:38332", "/home/anna/.bitcoin/signet/.cookie"),
        (.regtest, "http://127.0.0.1:18443", "/home/anna/.bitcoin/regtest/.cookie"),
    ])
    func `A node is looked for where Bitcoin Core is by default`(network: Network, url: String, cookie: String) throws {
        let node = try parse("network = '\(network.rawValue)'\nnode.kind = 'bitcoin-core'").node
        #expect(node.kind == .bitcoinCore)
        #expect(node.url == url)
        #expect(node.credentials == .cookie(file: cookie))
        #expect(node.allow.isEmpty && !node.allowsRemote)
    }

    @Test func `A node can be described in full`() throws {
        let node = try parse(
            """
            [node]
            kind = "bitcoin-core"
            url = "http://127.0.0.1:1234/"
            user = "u"
            password = "p:q"
            follow = "zmq"
            zmq = "tcp://127.0.0.1:28332"
            poll_seconds = 0.5
            allow = ["headers", "blocks"]
            """
        ).node
        #expect(node.url == "http://127.0.0.1:1234")
        #expect(node.credentials == .password(user: "u", password: "p:q"))
        #expect(node.follow == .zmq && node.zmq == "tcp://127.0.0.1:28332" && node.poll == .milliseconds(500))
        #expect(node.allow == [.headers, .blocks])
    }

    @Test func `The policy's table is the standard one with what is said otherwise`() throws {
        let settings = try parse("[policy]\ndry_run = false\nnode-behind = ['alert', 'alert']\nlink-behind = []").policy
        #expect(!settings.policy.dryRun)
        #expect(settings.policy.table[.nodeBehind] == [.alert])
        #expect(settings.policy.table[.linkBehind] == [])
        #expect(settings.policy.table[.staleTip] == Policy.standard.table[.staleTip])
        #expect(try parse().policy.policy == .standard)
    }

    @Test func `Alerts and spliced ports have names of the operator's choice`() throws {
        let configuration = try parse(
            """
            [alerts.b]
            kind = "journal"
            minimum = "critical"
            [alerts.a]
            kind = "webhook"
            url = "https://example.org/x"
            secret_file = "secret"
            [splice.ports.one]
            driver = "lightning"
            """,
            flags: ["alerts.c.kind": "command", "alerts.c.command": "/bin/true,-x"]
        )
        #expect(
            configuration.alerts == [
                .init(
                    name: "a",
                    way: .webhook(
                        url: "https://example.org/x", secretFile: "/srv/secret", proxy: nil, allowsPlain: false)),
                .init(name: "b", way: .journal(socket: "/run/systemd/journal/socket"), minimum: .critical),
                .init(name: "c", way: .command(["/bin/true", "-x"])),
            ])
        #expect(configuration.splice.ports == [.init(name: "one", listen: "127.0.0.1:0", driver: "lightning")])
    }

    @Test func `HTTP is on loopback, or off`() throws {
        #expect(try parse().http.listen == "127.0.0.1:8430")
        #expect(try parse("http.listen = ''").http.listen == nil)
        #expect(try parse("http.listen = '[::1]:0'").http.listen == "[::1]:0")
    }

    @Test(arguments: [
        ("http.listen = '0.0.0.0:80'", "must be an address of this machine's loopback, such as 127.0.0.1"),
        ("http.listen = 'example.org:80'", "must be an address of this machine's loopback"),
        ("http.listen = '127.0.0.1.evil:80'", "must be an address of this machine's loopback"),
        ("node.url = 'http://127.0.0.1:8332/wallet/x'", "must have the form http://host:port"),
        ("node.url = 'https://127.0.0.1:8332'", "must have the form http://host:port"),
        ("node.kind = 'core'", "must be embedded, bitcoin-core or kernel"),
        ("node.allow = ['block']", "did you mean `blocks`?"),
        ("node.user = 'x'", "needs `password` beside it"),
        ("node.user = 'x'\nnode.password = 'y'\nnode.cookie_file = '/z'", "does not go together"),
        ("node.poll_seconds = 0", "must be from 0.1 to 600"),
        ("node.zmq = '127.0.0.1:1'", "must be an endpoint such as tcp://"),
        ("policy.node-behind = ['feed']", "must be open-links"),
        ("policy.node-behnd = []", "did you mean `node-behind`?"),
        ("policy.spare_links = ['bitcoin']", "must name a driver and a target"),
        ("alerts.x.minimum = 'warning'", "the alert `x` needs `alerts.x.kind`"),
        ("alerts.x.kind = 'sms'", "must be webhook, command, email or journal"),
        ("alerts.x.kind = 'journal'\nalerts.x.url = 'http://a'", "belongs to webhook, not to journal"),
        ("alerts.x.kind = 'webhook'", "the alert `x` needs `alerts.x.url`"),
        ("alerts.x.kind = 'command'\nalerts.x.command = ['ls']", "must begin with the absolute path"),
        ("alerts.x.kind = 'email'\nalerts.x.to = ['-oQ/tmp']", "must be mail addresses"),
        ("alerts.X.kind = 'journal'", "the alert's name `X` must have 1 to 32 characters"),
        ("alerts.kind = 'journal'", "there is no key `kind` in [alerts]"),
        ("splice.ports.a.listen = '127.0.0.1:0'", "needs `splice.ports.a.driver`"),
        ("splice.ports.a.driver = 'l'\nsplice.ports.a.listen = '10.0.0.1:5'", "must be an address of this machine's"),
        ("splice.accept = 'here'", "must have the form host:port"),
    ])
    func `A mistake is named`(text: String, part: String) throws {
        let sentence = try mistake(text).sentence
        #expect(sentence.contains(part), "\(sentence)")
    }
}
