// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

@Suite("Records of Bitcoin and Lightning nodes, with real daemons", .serialized)
struct NodeRecordTests {
    private static let tool = PythonTools.tool("loopback_socks.py")

    private func altnet(_ arguments: [String], at daemon: DaemonProcess) async throws -> Programs.Result {
        try await Programs.run(
            "altnet", arguments + ["--network", "regtest", "--data-directory", daemon.dataDirectory])
    }

    private func node(of daemon: DaemonProcess) async throws -> String {
        try await Condition.value("the Lightning node's key") {
            try await daemon.control.drivers().first { $0.name == "lightning" }?.identity
        }
    }

    /// What a daemon knows of a Lightning node, once `isWanted` says so.
    private func known(
        _ node: String, by daemon: DaemonProcess, _ what: String,
        where isWanted: @escaping @Sendable (PeerNodeReport) -> Bool = { $0.sequence != nil }
    ) async throws -> PeerReport {
        try await Condition.value(what) {
            try await daemon.control.peers(after: nil, limit: 100).peers.first {
                guard let known = $0.node else { return false }
                return known.lightningNode == node && isWanted(known)
            }
        }
    }

    private static func settings(port: UInt16, connect: String = "") -> [String: String] {
        [
            "drivers.bitcoin.connect": "", "drivers.lightning.listen": "127.0.0.1:\(port)",
            "drivers.lightning.announce": "203.0.113.7:\(port)",
            "drivers.lightning.announce_bitcoin": "203.0.113.7:8333", "drivers.lightning.connect": connect,
            // Who calls from this machine may come out of a hidden service, so that it is told nothing by default.
            "peers.share_record": "pseudonym",
        ]
    }

    @Test("a node's record reaches others over links, is handed on, and leads to the node wherever it moves")
    func moves() async throws {
        let socks = try BackgroundProcess("/usr/bin/python3", [Self.tool])
        let proxy = try await Condition.value("the proxy listens") {
            UInt16(socks.output.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        let firstPort = try FreePort.find()
        let bob = try await DaemonProcess.start(settings: Self.settings(port: firstPort))
        let place = try await bob.listening("lightning")
        let key = try await self.node(of: bob)
        let proxied = [
            "drivers.bitcoin.connect": "", "drivers.lightning.proxy": "127.0.0.1:\(proxy)",
            "peers.share_record": "pseudonym", "drivers.lightning.listen": "127.0.0.1:0",
        ]
        let alice = try await DaemonProcess.start(
            settings: proxied.merging(["drivers.lightning.connect": place]) { $1 })
        let first = try await self.known(key, by: alice, "Alice has the record of Bob's nodes")
        let addresses = (first.node?.addresses ?? []).filter { $0.sources.contains("certified") }
        #expect(
            Set(addresses.map { "\($0.use ?? "") \($0.address)" })
                == ["lightning /ip4/203.0.113.7/tcp/\(firstPort)", "bitcoin /ip4/203.0.113.7/tcp/8333"])
        #expect(first.addresses.isEmpty, "addresses of nodes are none of libp2p's")
        let shown = try await self.altnet(["peers", "show", first.id], at: alice)
        #expect(shown.output.contains("nodes: signed record, sequence number"), "\(shown.output)\(shown.errors)")
        #expect(shown.output.contains("of Lightning node \(key)"))
        let line = shown.output.split(separator: "\n").first { $0.contains("/tcp/\(firstPort)") }
        #expect(line?.hasPrefix("lightning") == true && line?.contains("certified") == true, "\(shown.output)")

        // What is exported leads there elsewhere, and proves itself.
        let file = "\(TemporaryDirectory.make())/peers.jsonl"
        #expect(try await self.altnet(["peers", "export", file], at: alice).status == 0)
        let carol = try await DaemonProcess.start(settings: ["drivers.bitcoin.connect": ""])
        let imported = try await self.altnet(["peers", "import", file], at: carol)
        #expect(imported.status == 0, "\(imported.output)\(imported.errors)")
        #expect(try await carol.control.peer(first.id).node?.record == first.node?.record)

        // By its key alone, at the address that Bob signed.
        try await alice.control.closeTarget(place, driver: "lightning")
        try await Condition.wait("the link at the typed address is gone") {
            try await !alice.control.links().contains { $0.target == place && $0.state == "open" }
        }
        try await alice.control.openTarget(key, driver: "lightning")
        let link = try await Condition.value("a link at the signed address") {
            try await alice.control.links().first { $0.target == key && $0.state == "open" }
        }
        #expect(link.remote?.contains("203.0.113.7:\(firstPort)") == true, "\(link)")
        try await Condition.wait("the store knows that it worked") {
            try await alice.control.peer(first.id).node?.addresses.contains {
                $0.address == "/ip4/203.0.113.7/tcp/\(firstPort)" && $0.lastSuccess != nil
            } == true
        }

        // Bob ends as in a power cut, and comes back at another port.
        try await bob.kill()
        let secondPort = try FreePort.find()
        let again = try await DaemonProcess.start(
            settings: Self.settings(port: secondPort, connect: try await alice.listening("lightning")),
            dataDirectory: bob.dataDirectory)
        #expect(try await self.node(of: again) == key)
        let former = try #require(first.node?.sequence.flatMap { UInt64($0) })
        let second = try await self.known(key, by: alice, "Alice has Bob's newer record") { report in
            UInt64(report.sequence ?? "0").map { $0 > former } ?? false
        }
        let certified = (second.node?.addresses ?? []).filter { $0.sources.contains("certified") }.map(\.address)
        #expect(certified.contains("/ip4/203.0.113.7/tcp/\(secondPort)"))
        #expect(!certified.contains("/ip4/203.0.113.7/tcp/\(firstPort)"))
        let followed = try await Condition.value("Alice follows Bob", within: .seconds(60)) {
            try await alice.control.links().first {
                $0.target == key && $0.state == "open" && $0.remote?.contains("203.0.113.7:\(secondPort)") == true
            }
        }
        #expect(followed.identity == key)

        // Who never met Bob hears of him from Alice, and reaches him.
        let dave = try await DaemonProcess.start(
            settings: proxied.merging(["drivers.lightning.connect": try await alice.listening("lightning")]) { $1 })
        let heard = try await self.known(key, by: dave, "Dave has Bob's record")
        #expect(heard.node?.record == second.node?.record)
        try await dave.control.openTarget(key, driver: "lightning")
        try await Condition.wait("Dave reaches Bob") {
            try await dave.control.links().contains { $0.target == key && $0.state == "open" }
        }
        _ = try await socks.finish()
    }

    @Test("a node that nobody knows, and an address that leads elsewhere, are said by name")
    func mistakes() async throws {
        let daemon = try await DaemonProcess.start(
            settings: ["drivers.bitcoin.connect": "", "drivers.lightning.listen": "127.0.0.1:0"])
        _ = try await daemon.listening("lightning")
        let stranger = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        try await daemon.control.openTarget(stranger, driver: "lightning")
        let reason = try await Condition.value("why there is no link") {
            try await daemon.control.links().first { $0.target == stranger }?.reason
        }
        #expect(reason.contains("no address of that node is known"), "\(reason)")
        let wrong = try await DaemonProcess.start(
            settings: ["drivers.bitcoin.connect": "", "drivers.lightning.announce": "192.168.1.7:9735"])
        try await Condition.wait("the driver says what is wrong") {
            wrong.log.contains("lead to this machine from everywhere")
        }
    }
}
