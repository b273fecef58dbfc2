// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

/// Three real nodes: Alice gives Bob an alternative address, and Carol learns it as well.
@Suite("Alternative addresses", .serialized)
struct AlternativeAddressTests {
    /// The public keys of the private keys 1, 2 and 3.
    private static let keys = [
        "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
        "02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
    ]
    private static let (alice, bob, carol) = (Self.keys[0], Self.keys[1], Self.keys[2])
    private static let channel = String(repeating: "c0ffee00", count: 8)

    private static func node(
        _ key: String, _ settings: [String: String], dataDirectory: String? = nil
    ) async throws -> DaemonProcess {
        let directory = dataDirectory ?? TemporaryDirectory.make()
        let file = "\(directory)/node.key"
        let number = (Self.keys.firstIndex(of: key) ?? 0) + 1
        _ = FileManager.default.createFile(
            atPath: file, contents: Data((String(repeating: "0", count: 63) + "\(number)\n").utf8),
            attributes: [.posixPermissions: 0o600])
        var all = ["drivers.lightning.key_file": file]
        for (name, value) in settings { all["drivers.lightning.\(name)"] = value }
        let daemon = try await DaemonProcess.start(settings: all, dataDirectory: directory)
        try await Condition.wait("the driver is attached") {
            try await daemon.control.drivers().contains { $0.state == "attached" }
        }
        return daemon
    }

    private static func given(_ daemon: DaemonProcess) async throws -> [GivenAddressesReport.Address] {
        try await daemon.control.perform(.givenAddresses, NoQuestion(), by: "lightning").given
    }

    private static func received(_ daemon: DaemonProcess) async throws -> [ReceivedAddressesReport.Address] {
        try await daemon.control.perform(.receivedAddresses, NoQuestion(), by: "lightning").received
    }

    /// Where a daemon's links lead, as people are shown it.
    private static func remotes(_ daemon: DaemonProcess) async throws -> [String] {
        try await daemon.control.links().compactMap(\.remote)
    }

    /// Everything that a daemon tells and keeps in the open: the answers to those who may ask, and its log.
    private static func shown(_ daemon: DaemonProcess) async throws -> String {
        var text = daemon.log
        for path in ["status", "links", "drivers", "incidents", "events?limit=1000"] {
            text += try await Programs.run(
                "/usr/bin/curl",
                [
                    "--silent", "--max-time", "2", "--unix-socket",
                    "\(daemon.dataDirectory)/regtest/run/control.sock", "http://altnetd/v1/\(path)",
                ]
            ).output
        }
        return text
    }

    @Test("the right peer gets in and a wrong one does not; kill -9 loses nothing; nothing shows the address; clearing")
    func threeNodes() async throws {
        let (original, alternative) = ("127.0.0.1:\(try FreePort.find())", "127.0.0.1:\(try FreePort.find())")
        let aliceSettings = [
            "listen": original, "alt_listen": alternative, "alt_addr_peers": "\(Self.bob)@\(Self.channel)",
        ]
        var alice = try await Self.node(Self.alice, aliceSettings)
        _ = try await alice.listening("lightning")
        let bobSettings = ["connect": "\(Self.alice)@\(original)", "alt_addr_private": "true"]
        var bob = try await Self.node(Self.bob, bobSettings)

        // It is given by itself, over the original address, and recorded on both sides.
        try await Condition.wait("Bob has the address") { try await Self.received(bob).map(\.address) == [alternative] }
        let record = try #require(try await Self.given(alice).first)
        #expect(record.peer == Self.bob && record.address == alternative && record.channelID == Self.channel)
        #expect(record.endpoint == "listen-1" && record.until == nil)
        #expect(try await Self.remotes(bob) == [original])

        // Both are killed. Bob comes back by the alternative, because Alice's record is still there.
        try await bob.kill()
        try await alice.kill()
        alice = try await Self.node(Self.alice, aliceSettings, dataDirectory: alice.dataDirectory)
        bob = try await Self.node(Self.bob, bobSettings, dataDirectory: bob.dataDirectory)
        try await Condition.wait("Bob is in by the alternative") {
            let (near, far) = (try await Self.remotes(bob), try await Self.remotes(alice))
            return near == ["alternative address of \(Self.alice)"] && far == ["alternative endpoint listen-1"]
        }
        try await Condition.wait("the address is validated") { try await Self.received(bob).first?.validatedAt != nil }
        #expect(try await Self.given(alice) == [record])

        // Carol has the right address and proves to be Carol.
        let carol = try await Self.node(Self.carol, ["connect": "\(Self.alice)@\(alternative)"])
        try await Condition.wait("Carol is turned away") { alice.log.contains("a peer was turned away") }
        #expect(try await Self.remotes(carol).isEmpty)
        #expect(try await Self.remotes(alice) == ["alternative endpoint listen-1"])

        // Clearing ends the record, tells Bob, and he comes back by the original.
        let delivery = try await alice.control.perform(.clearAddress, AddressPeer(peer: Self.bob), by: "lightning")
        #expect(delivery.sent == [Self.bob] && delivery.waiting == [])
        try await Condition.wait("Bob has forgotten it") { try await Self.received(bob).isEmpty }
        #expect(try await Self.given(alice).map(\.until).contains { $0 != nil })
        try await bob.kill()
        bob = try await Self.node(Self.bob, bobSettings, dataDirectory: bob.dataDirectory)
        try await Condition.wait("Bob is in by the original") { try await Self.remotes(bob) == [original] }
        // A restart does not give it again; the operator does.
        #expect(try await Self.received(bob).isEmpty)
        let again = try await Programs.run(
            "altnet",
            ["alt-addr", "send", "--network", "regtest", "--data-directory", alice.dataDirectory])
        #expect(again.status == 0, "\(again.errors)")
        try await Condition.wait("Bob has it again") { try await Self.received(bob).map(\.address) == [alternative] }

        for daemon in [alice, bob] {
            let shown = try await Self.shown(daemon)
            #expect(shown.contains("alternative"))
            #expect(!shown.contains(alternative), "the address is shown")
        }
        // Not even Alice's own listeners say so.
        #expect(try await alice.control.drivers().flatMap(\.listening) == ["\(Self.alice)@\(original)"])
    }

    @Test(
        "a peer that the original address fails for gets in by the alternative, and one that it fails for by the original"
    )
    func fallback() async throws {
        let (original, alternative) = ("127.0.0.1:\(try FreePort.find())", "127.0.0.1:\(try FreePort.find())")
        let settings = [
            "listen": original, "alt_listen": alternative, "alt_addr_peers": "\(Self.bob)@\(Self.channel)",
        ]
        var alice = try await Self.node(Self.alice, settings)
        _ = try await alice.listening("lightning")
        let bob = try await Self.node(
            Self.bob, ["connect": "\(Self.alice)@\(original)", "alt_addr_private": "true"])
        try await Condition.wait("Bob has the address") { try await !Self.received(bob).isEmpty }
        // Alice leaves her original address.
        try await alice.kill()
        var moved = settings
        moved["listen"] = "127.0.0.1:0"
        alice = try await Self.node(Self.alice, moved, dataDirectory: alice.dataDirectory)
        try await Condition.wait("Bob is in by the alternative", within: .seconds(60)) {
            try await Self.remotes(alice) == ["alternative endpoint listen-1"]
        }
        // Now the alternative is gone, and Bob was not there to be told.
        try await Condition.wait("it is validated") { try await Self.received(bob).first?.validatedAt != nil }
        try await alice.kill()
        alice = try await Self.node(Self.alice, ["listen": original], dataDirectory: alice.dataDirectory)
        try await Condition.wait("Bob is in by the original", within: .seconds(60)) {
            try await Self.remotes(bob) == [original]
        }
        // He is told as soon as he is there.
        try await Condition.wait("Bob has forgotten it") { try await Self.received(bob).isEmpty }
    }

    @Test("an outsider hears nothing for ten seconds and then a reset, whatever it sends")
    func outsider() async throws {
        struct Knock: Decodable {
            let knock: String
            let bytes: Int
            let end: String
            let seconds: Double
        }
        struct Relay: Decodable { let relay: UInt16 }

        let port = try FreePort.find()
        let alice = try await Self.node(
            Self.alice,
            ["alt_listen": "127.0.0.1:\(port)", "alt_addr_peers": "\(Self.bob)@\(Self.channel)"])
        try await Condition.wait("Alice listens") { (try? LoopbackSocket.connected(to: "127.0.0.1:\(port)")) != nil }

        let tool = "\(PythonTools.repository)/Tests/Tools/outsider.py"
        let all = try BackgroundProcess("/usr/bin/python3", [tool, "\(port)"])
        #expect(try await all.finish() == 0, "\(all.errors)")
        let knocks = try all.output.split(separator: "\n").map {
            try JSONDecoder().decode(Knock.self, from: Data($0.utf8))
        }
        #expect(knocks.count == 12)
        for knock in knocks {
            #expect(knock.bytes == 0, "\(knock)")
            switch knock.knock {
            case "ninth": #expect(knock.end == "reset" && knock.seconds < 1, "\(knock)")
            case _ where knock.knock.hasPrefix("end of "):
                #expect(knock.end == "closed" && knock.seconds < 1, "\(knock)")
            default: #expect(knock.end == "reset" && (9.5...12).contains(knock.seconds), "\(knock)")
            }
        }

        // Carol knows Alice's key as well. Through a relay it shows what she gets: act two, and the same end.
        let relay = try BackgroundProcess("/usr/bin/python3", [tool, "\(port)", "relay"])
        let through = try await Condition.value("the relay") {
            try relay.output.split(separator: "\n").first.map {
                try JSONDecoder().decode(Relay.self, from: Data($0.utf8))
            }
        }
        let carol = try await Self.node(Self.carol, ["connect": "\(Self.alice)@127.0.0.1:\(through.relay)"])
        #expect(try await relay.finish() == 0, "\(relay.errors)")
        let knock = try JSONDecoder().decode(
            Knock.self, from: Data((relay.output.split(separator: "\n").last ?? "").utf8))
        #expect(knock.bytes == 50 && knock.end == "reset" && (9.5...12).contains(knock.seconds), "\(knock)")
        #expect(try await Self.remotes(carol).isEmpty)
        #expect(try await Self.remotes(alice).isEmpty)
        #expect(!alice.log.contains("127.0.0.1:\(port)"))
    }

    @Test(
        "a peer gets an onion service of its own, the same after a restart, and goes on without a proxy for it",
        .enabled(if: TorProcess.program != nil, "\(TorProcess.missing)"))
    func onion() async throws {
        let directory = TemporaryDirectory.make()
        let control = "\(directory)/control"
        let tor = try TorProcess.start(
            in: directory, ["--ControlPort", "unix:\(control)", "--CookieAuthentication", "1"])
        let original = "127.0.0.1:\(try FreePort.find())"
        let settings = [
            "listen": original, "tor_control": "unix:\(control)",
            "alt_addr_peers": "\(Self.bob)@\(Self.channel),\(Self.carol)@\(Self.channel)",
        ]
        var alice = try await Self.node(Self.alice, settings)
        let bobSettings = ["connect": "\(Self.alice)@\(original)"]
        var bob = try await Self.node(Self.bob, bobSettings)
        let carol = try await Self.node(Self.carol, bobSettings)
        let address = try await Condition.value("Bob has an onion service") {
            try await Self.received(bob).first?.address
        }
        #expect(address.hasSuffix(".onion:9735") && address.utf8.count == 56 + 11)
        let other = try await Condition.value("and Carol another") { try await Self.received(carol).first?.address }
        #expect(other != address)
        let before = try await Self.given(alice)
        #expect(Set(before.map(\.endpoint)) == ["onion/\(Self.bob)", "onion/\(Self.carol)"])

        try await alice.kill()
        alice = try await Self.node(Self.alice, settings, dataDirectory: alice.dataDirectory)
        try await bob.kill()
        bob = try await Self.node(Self.bob, bobSettings, dataDirectory: bob.dataDirectory)
        // Without a proxy an onion service cannot be dialled, and is not looked up in DNS: the original it is.
        try await Condition.wait("Bob is in by the original") { try await Self.remotes(bob) == [original] }
        #expect(try await Self.received(bob).first?.lastFailureAt != nil)
        // Tor took the keys again, so nothing is given anew.
        try await Condition.wait("Carol is back") { try await Self.remotes(carol) == [original] }
        #expect(try await Self.given(alice) == before)
        for daemon in [alice, bob] { #expect(!(try await Self.shown(daemon)).contains(".onion")) }
        #expect(!alice.log.contains("Tor refuses"))
        _ = try await tor.finish()
        try await Condition.wait("Alice misses Tor") { alice.log.contains("the onion services are down") }
    }
}
