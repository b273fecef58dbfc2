// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetControl
import AltNetPunchReports
import AltNetTestKit
import Foundation
import Glibc
import Testing

/// What a link shows of us decides whether offers of hole punching travel over it, and whom the driver that punches may
/// ask how it is seen. Offers wait for a random time before they leave, so links that carry them are counted here.
@Suite("What links show of us, with real daemons", .serialized)
struct LinkExposureTests {
    /// A proxy that leads every address to this machine, and where it listens.
    private static func proxy() async throws -> (process: BackgroundProcess, address: String) {
        let process = try BackgroundProcess("/usr/bin/python3", [PythonTools.tool("loopback_socks.py")])
        let port = try await Condition.value("the proxy listens") {
            UInt16(process.output.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        return (process, "127.0.0.1:\(port)")
    }

    /// A daemon with one driver that listens. Whether offers travel is the daemon's to say, with or without a driver
    /// that makes some.
    private static func daemon(_ driver: String, _ settings: [String: String] = [:]) async throws -> DaemonProcess {
        let own = ["drivers.bitcoin.connect": "", "drivers.\(driver).listen": "127.0.0.1:0"]
        return try await DaemonProcess.start(settings: own.merging(settings) { $1 })
    }

    /// The link to a target as `altnet links --json` shows it, once it is open.
    private static func link(to target: String, at daemon: DaemonProcess) async throws -> LinkReport {
        try await Condition.wait("the link to \(target) is open") {
            try await daemon.control.links().contains { $0.target == target && $0.state == "open" }
        }
        let shown = try await Programs.run(
            "altnet", ["links", "--json", "--network", "regtest", "--data-directory", daemon.dataDirectory])
        #expect(shown.status == 0, "\(shown.errors)")
        let links = try JSONDecoder().decode([LinkReport].self, from: Data(shown.output.utf8))
        return try #require(links.first { $0.target == target })
    }

    /// What `altnet punch status` says of offers.
    private static func offers(at daemon: DaemonProcess) async throws -> String {
        let shown = try await Programs.run(
            "altnet", ["punch", "status", "--network", "regtest", "--data-directory", daemon.dataDirectory])
        return shown.output.split(separator: "\n").first { $0.hasPrefix("offers") }.map(String.init) ?? shown.output
    }

    @Test("who is reached through a proxy does not see our address and hears no offers, though we listen, too")
    func bitcoin() async throws {
        let (process, proxy) = try await Self.proxy()
        defer { process.kill() }
        let bob = try await Self.daemon("bitcoin")
        let place = try await bob.listening("bitcoin")
        let port = try #require(place.split(separator: ":").last)
        let (far, onion) = (
            "203.0.113.7:\(port)", "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:\(port)"
        )
        let alice = try await Self.daemon(
            "bitcoin", ["drivers.bitcoin.proxy": proxy, "drivers.bitcoin.connect": "\(far),\(onion)"])
        _ = try await alice.listening("bitcoin")
        for target in [far, onion] {
            let link = try await Self.link(to: target, at: alice)
            #expect(link.exposure == "none", "\(link)")
        }
        #expect(try await alice.control.punchOverview().offerLinks == 0)
        #expect(try await Self.offers(at: alice).contains("over 0 links"))
        // Without the proxy the same link shows our address, and carries them.
        let carol = try await Self.daemon("bitcoin", ["drivers.bitcoin.connect": place])
        let link = try await Self.link(to: place, at: carol)
        #expect(link.exposure == "clearnetAddress", "\(link)")
        try await Condition.wait("offers travel over it") { try await carol.control.punchOverview().offerLinks == 1 }
        #expect(try await Self.offers(at: carol).contains("over 1 link"))
    }

    private static func read(_ count: Int, from socket: LoopbackSocket) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let received = recv(socket.descriptor, &bytes, count, Int32(MSG_WAITALL))
        return Array(bytes.prefix(max(0, received)))
    }

    @Test(
        "whoever has a number of ours through a proxy cannot find us by it; without one we know ourselves",
        arguments: [true, false])
    func ownNumbers(isProxied: Bool) async throws {
        let (process, proxy) = try await Self.proxy()
        defer { process.kill() }
        let peer = try LoopbackSocket.listening()
        let port = try #require(peer.address.split(separator: ":").last)
        let settings =
            isProxied
            ? ["drivers.bitcoin.proxy": proxy, "drivers.bitcoin.connect": "203.0.113.7:\(port)"]
            : ["drivers.bitcoin.connect": peer.address]
        let alice = try await Self.daemon("bitcoin", settings)
        let place = try await alice.listening("bitcoin")
        let dialled = try await peer.accept()
        var version = Self.read(24, from: dialled)
        try #require(version.count == 24)
        version += Self.read(Int(version[16]) | Int(version[17]) << 8, from: dialled)
        // The same message where Alice listens, her random number in it.
        let caller = try LoopbackSocket.connected(to: place)
        #expect(send(caller.descriptor, version, version.count, Int32(MSG_NOSIGNAL)) == version.count)
        let answer = Self.read(24, from: caller)
        #expect(answer.starts(with: version.prefix(16)) == isProxied, "\(answer)")
        #expect(answer.isEmpty != isProxied)
    }

    @Test("a Lightning link shows our key with a proxy and our address without one, and carries offers in neither case")
    func lightning() async throws {
        let (process, proxy) = try await Self.proxy()
        defer { process.kill() }
        // Both have something to offer.
        let punching = [
            "drivers.punch.coordination": "direct:127.0.0.1:0", "drivers.punch.offer": "1",
            "drivers.punch.allow_private_addresses": "true", "drivers.punch.map_ports": "false",
            "drivers.punch.ipv6": "false",
        ]
        let bob = try await Self.daemon("lightning", punching)
        let place = try await bob.listening("lightning")
        let parts = place.split(separator: ":")
        let far = "\(place.split(separator: "@")[0])@203.0.113.7:\(try #require(parts.last))"
        let alice = try await Self.daemon("lightning", ["drivers.lightning.proxy": proxy])
        _ = try await alice.listening("lightning")
        try await alice.control.openTarget(far, driver: "lightning")
        let proxied = try await Self.link(to: far, at: alice)
        #expect(proxied.exposure == "pseudonym", "\(proxied)")
        let carol = try await Self.daemon("lightning", punching.merging(["drivers.lightning.connect": place]) { $1 })
        let link = try await Self.link(to: place, at: carol)
        #expect(link.exposure == "clearnetAddress", "\(link)")
        try await Condition.wait("Carol's driver of hole punching tells of itself") {
            try await carol.control.punchOverview().stats?.endpoints.isEmpty == false
        }
        for daemon in [alice, bob, carol] {
            #expect(try await daemon.control.punchOverview().offerLinks == 0)
            #expect(try await Self.offers(at: daemon).contains("over 0 links"))
        }
    }

    /// A node whose outbound peers are at public addresses, four of IPv4 and two of IPv6, with or without a proxy.
    private static func node(ipv4Proxy: String, genesis: String) async throws -> ScriptedNode {
        let addresses = (1...4).map { ("8.\($0).8.8:8333", "ipv4") } + (1...2).map { ("[2a0\($0)::8]:8333", "ipv6") }
        let peers = addresses.enumerated().map { index, peer in
            ["id": index, "addr": peer.0, "inbound": false, "network": peer.1] as [String: Any]
        }
        let networks = [
            ["name": "ipv4", "proxy": ipv4Proxy], ["name": "ipv6", "proxy": ""],
            ["name": "onion", "proxy": "127.0.0.1:9050"],
        ]
        return try await ScriptedNode([
            "headers": [genesis],
            "answers": [
                "getnetworkinfo": ["result": ["subversion": "/Satoshi:31.0.0/", "networks": networks]],
                "getpeerinfo": ["result": peers],
            ],
        ])
    }

    /// More witnesses are needed than there are, so that nobody is asked anything.
    @Test("peers that the node reaches through a proxy are no witnesses of our address; others are")
    func witnesses() async throws {
        let genesis = try await Self.genesis()
        var daemons: [(daemon: DaemonProcess, node: ScriptedNode, missing: Int)] = []
        for (proxy, missing) in [("127.0.0.1:9050", 14), ("", 10)] {
            let node = try await Self.node(ipv4Proxy: proxy, genesis: genesis)
            let daemon = try await DaemonProcess.start(settings: [
                "drivers.bitcoin.connect": "", "node.kind": "bitcoin-core", "node.user": "u", "node.password": "p",
                "node.url": "http://127.0.0.1:\(node.port)", "node.poll_seconds": "0.1",
                "drivers.punch.minimum_witnesses": "16", "drivers.punch.map_ports": "false",
                "drivers.punch.ipv6": "false",
            ])
            daemons.append((daemon, node, missing))
        }
        for (daemon, node, missing) in daemons {
            let reason = try await Condition.value("the driver is told of witnesses") {
                let reason = try await daemon.control.punchOverview().nat?.reason
                return reason == "16 more witnesses are needed" ? nil : reason
            }
            #expect(reason == "\(missing) more witnesses are needed")
            #expect(try await daemon.control.node().outboundPeers == 6)
            node.stop()
        }
    }

    /// The first header of regtest, in hexadecimal digits.
    private static func genesis() async throws -> String {
        let daemon = try await DaemonProcess.start(settings: ["drivers.bitcoin.connect": ""])
        return Hex.encode(try await daemon.control.headers(from: 0, count: 1))
    }
}
