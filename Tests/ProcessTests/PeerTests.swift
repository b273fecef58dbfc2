// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

@Suite("Peers, with real daemons", .serialized)
struct PeerTests {
    /// A peer that nobody is.
    private static let stranger = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"

    private func altnet(_ arguments: [String], at daemon: DaemonProcess) async throws -> Programs.Result {
        try await Programs.run(
            "altnet", arguments + ["--network", "regtest", "--data-directory", daemon.dataDirectory])
    }

    /// The id of a daemon's libp2p host.
    private func identity(of daemon: DaemonProcess) async throws -> String {
        try await Condition.value("the identity") {
            try await daemon.control.drivers().first { $0.name == "libp2p" }?.identity
        }
    }

    @Test("what is added by hand is there after kill -9, can be taken to another daemon, and is forgotten by hand")
    func byHand() async throws {
        let daemon = try await DaemonProcess.start(settings: ["drivers.bitcoin.connect": ""])
        let added = try await self.altnet(
            ["peers", "add", Self.stranger, "/ip4/203.0.113.5/tcp/4001", "/dns/example.com/tcp/4001"], at: daemon)
        #expect(added.status == 0, "\(added.errors)")
        #expect(added.output == "\(Self.stranger): stored\n")
        try await daemon.kill()
        let again = try await DaemonProcess.start(
            settings: ["drivers.bitcoin.connect": ""], dataDirectory: daemon.dataDirectory)
        let peer = try await again.control.peer(Self.stranger)
        #expect(Set(peer.addresses.map(\.address)) == ["/ip4/203.0.113.5/tcp/4001", "/dns/example.com/tcp/4001"])
        #expect(peer.addresses.allSatisfy { $0.sources == ["user"] && $0.expires == nil })

        let file = "\(TemporaryDirectory.make())/peers.jsonl"
        let exported = try await self.altnet(["peers", "export", file], at: again)
        #expect(exported.output == "1 peers are in \(file)\n")
        let other = try await DaemonProcess.start(settings: ["drivers.bitcoin.connect": ""])
        let imported = try await self.altnet(["peers", "import", "--own", file], at: other)
        #expect(imported.output == "2 stored, 0 known already, 0 refused\n", "\(imported.errors)")
        let twin = try await other.control.peer(Self.stranger)
        #expect(Set(twin.addresses.map(\.address)) == Set(peer.addresses.map(\.address)))

        let others = "/dns/example.com/tcp/4001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
        let wrong = try await self.altnet(["peers", "forget", Self.stranger, others], at: other)
        #expect(wrong.status != 0 && wrong.errors.contains("leads to another peer"), "\(wrong.errors)")
        #expect(try await other.control.peer(Self.stranger).addresses.count == 2)
        let one = try await self.altnet(
            ["peers", "forget", Self.stranger, "/dns/example.com/tcp/4001"], at: other)
        #expect(one.status == 0)
        #expect(try await other.control.peer(Self.stranger).addresses.map(\.address) == ["/ip4/203.0.113.5/tcp/4001"])
        let all = try await self.altnet(["peers", "forget", Self.stranger], at: other)
        #expect(all.status == 0)
        let strange = try await self.altnet(["peers", "import", file], at: other)
        #expect(strange.output.hasPrefix("2 stored"), "\(strange.output)")
        let hearsay = try await other.control.peer(Self.stranger)
        #expect(hearsay.addresses.allSatisfy { $0.sources == ["link"] && $0.expires != nil })
        #expect(try await self.altnet(["peers", "forget", Self.stranger], at: other).status == 0)
        let gone = try await self.altnet(["peers", "show", Self.stranger], at: other)
        #expect(gone.status == 1)
        #expect(gone.errors == "error: nothing is known of that peer\n")
    }

    @Test("a Lightning node is added, shown, listed and forgotten by its key, in commands and over HTTP")
    func byNodeKey() async throws {
        let daemon = try await DaemonProcess.start(settings: ["drivers.bitcoin.connect": ""])
        let key = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        let place = "/ip4/203.0.113.7/tcp/9735"
        let added = try await self.altnet(["peers", "add", key, place, "--use", "lightning"], at: daemon)
        #expect(added.status == 0, "\(added.errors)")
        let report = try await daemon.control.peer(key)
        #expect(report.node?.lightningNode == key && report.addresses.isEmpty, "\(report)")
        #expect(report.node?.addresses.map(\.address) == [place])
        #expect(report.node?.addresses.map(\.use) == ["lightning"])
        #expect(try await daemon.control.peer(report.id) == report)
        // The id may be the key where additions come over HTTP, too.
        let more = try await daemon.control.addPeers([
            PeerAddition(peer: key, addresses: ["/ip4/203.0.113.7/tcp/8333"], use: "bitcoin")
        ])
        #expect(more.map(\.outcome) == [.stored])
        let shown = try await self.altnet(["peers", "show", key], at: daemon)
        #expect(shown.output.contains("of Lightning node \(key)"), "\(shown.output)\(shown.errors)")
        let list = try await self.altnet(["peers", "list"], at: daemon)
        #expect(list.output.contains(report.id) && list.output.contains(key), "\(list.output)")
        #expect(try await self.altnet(["peers", "forget", key, place], at: daemon).status == 0)
        #expect(try await daemon.control.peer(key).node?.addresses.map(\.use) == ["bitcoin"])
        #expect(try await self.altnet(["peers", "forget", key], at: daemon).status == 0)
        let gone = try await self.altnet(["peers", "show", key], at: daemon)
        #expect(gone.status == 1 && gone.errors == "error: nothing is known of that peer\n", "\(gone.errors)")
        let wrong = try await self.altnet(["peers", "show", String(key.dropLast())], at: daemon)
        #expect(wrong.status == 64 && wrong.errors.contains("66 hexadecimal digits"), "\(wrong.errors)")
    }

    @Test(
        "two libp2p drivers meet, certify their addresses to each other, and one finds a third in the DHT and dials it")
    func meet() async throws {
        let listen = ["drivers.libp2p.listen": "/ip4/127.0.0.1/tcp/0", "drivers.bitcoin.connect": ""]
        let bob = try await DaemonProcess.start(settings: listen)
        let place = try await bob.listening("libp2p")
        let carol = try await DaemonProcess.start(settings: listen.merging(["drivers.libp2p.connect": place]) { $1 })
        let alice = try await DaemonProcess.start(settings: listen.merging(["drivers.libp2p.connect": place]) { $1 })
        let (bobID, carolID) = (try await self.identity(of: bob), try await self.identity(of: carol))
        let seen = try await Condition.value("Alice has Bob's record") { () -> PeerReport? in
            let peer = try? await alice.control.peer(bobID)
            return peer?.sequence == nil ? nil : peer
        }
        #expect(seen.addresses.map { "\($0.address)/p2p/\(bobID)" } == [place])
        #expect(seen.addresses.first?.sources.contains("certified") == true)
        #expect(seen.addresses.first?.network == "loopback")
        // Carol is known to Bob, who tells of her.
        _ = try await Condition.value("Bob has Carol's record") {
            (try? await bob.control.peer(carolID))?.sequence
        }
        let found = try await self.altnet(["dht", "find", carolID, "--bootstrap", place], at: alice)
        #expect(found.status == 64, "dht find takes no --network: \(found.output)")
        let search = try await Programs.run("altnet", ["dht", "find", carolID, "--bootstrap", place])
        #expect(search.status == 0, "\(search.errors)")
        #expect(search.output.contains("signed by the peer"))
        _ = try await Condition.value("Alice has Carol's record") {
            (try? await alice.control.peer(carolID))?.sequence
        }
        let dialled = try await self.altnet(["peers", "dial", carolID], at: alice)
        #expect(dialled.status == 0, "\(dialled.errors)")
        #expect(dialled.output.hasPrefix("connected at /ip4/127.0.0.1/tcp/"))
        // It is shown when its peer has said what it is, a moment later.
        try await Condition.wait("Alice shows the link") {
            try await alice.control.links().contains { $0.identity == carolID }
        }
        let unwanted = try await self.altnet(["peers", "dial", carolID, "--policy", "private-only"], at: alice)
        #expect(unwanted.status == 1)
        let unknown = try await self.altnet(["peers", "dial", Self.stranger], at: alice)
        #expect(unknown.status == 1)
        #expect(unknown.errors.contains(Self.stranger), "\(unknown.errors)")
    }

    @Test("after kill -9 of the driver its record has a higher number, and nobody keeps the old one")
    func higherNumber() async throws {
        let bob = try await DaemonProcess.start(
            settings: ["drivers.libp2p.listen": "/ip4/127.0.0.1/tcp/0", "drivers.bitcoin.connect": ""])
        let bobID = try await self.identity(of: bob)
        let alice = try await DaemonProcess.start(
            settings: [
                "drivers.libp2p.connect": try await bob.listening("libp2p"), "drivers.bitcoin.connect": "",
            ])
        let first = try await Condition.value("the first record") { try? await alice.control.peer(bobID).sequence }
        try await bob.kill()
        let again = try await DaemonProcess.start(
            settings: [
                "drivers.libp2p.listen": "/ip4/127.0.0.1/tcp/0", "drivers.bitcoin.connect": "",
                "drivers.libp2p.connect": "",
            ], dataDirectory: bob.dataDirectory)
        #expect(try await self.identity(of: again) == bobID)
        let place = try await again.listening("libp2p")
        try await alice.control.openTarget(place, driver: "libp2p")
        let second = try await Condition.value("a newer record") { () -> PeerReport? in
            let peer = try? await alice.control.peer(bobID)
            return peer?.sequence == first ? nil : peer
        }
        let (old, new) = (try #require(UInt64(first)), try #require(second.sequence.flatMap { UInt64($0) }))
        #expect(new > old)
        // Where it was, the record no longer says; that it was reached there once is a word of its own.
        let certified = second.addresses.filter { $0.sources.contains("certified") }.map(\.address)
        #expect(certified.map { "\($0)/p2p/\(bobID)" } == [place])
    }

    @Test("an address that the operator types while a peer is dialled joins the dial")
    func typedMeanwhile() async throws {
        let settings = ["drivers.libp2p.listen": "/ip4/127.0.0.1/tcp/0", "drivers.bitcoin.connect": ""]
        let bob = try await DaemonProcess.start(settings: settings)
        let (bobID, place) = (try await self.identity(of: bob), try await bob.listening("libp2p"))
        let alice = try await DaemonProcess.start(settings: settings)
        let silent = try LoopbackSocket.listening()
        let nowhere = "/ip4/127.0.0.1/tcp/\(silent.address.split(separator: ":")[1])"
        #expect(try await self.altnet(["peers", "add", bobID, nowhere], at: alice).status == 0)
        let dial = Task { try await self.altnet(["peers", "dial", bobID], at: alice) }
        let stuck = try await silent.accept()
        let added = try await self.altnet(["peers", "add", bobID, place], at: alice)
        #expect(added.status == 0, "\(added.errors)")
        let result = try await dial.value
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        #expect(result.output.contains(place.replacing("/p2p/\(bobID)", with: "")), "\(result.output)")
        // Let go of for the other one.
        try await stuck.ends()
    }

    @Test("what somebody tells over a link on which nothing names us is given back, about us as about others")
    func ownRecordPushed() async throws {
        let directory = TemporaryDirectory.make()
        for name in ["own", "other"] {
            let made = try await Programs.run(
                "altnet",
                [
                    "record", "create", "\(directory)/\(name).record", "--key", "\(directory)/\(name).key", "--address",
                    "/ip4/203.0.113.7/tcp/4001", "--sequence", name == "own" ? "5" : "6",
                ])
            #expect(made.status == 0, "\(made.errors)")
        }
        let pusher = try BackgroundProcess(
            "/usr/bin/python3",
            [PythonTools.tool("record_pusher.py"), "\(directory)/own.record", "\(directory)/other.record"])
        let port = try await Condition.value("the peer listens") {
            UInt16(pusher.output.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        // Its own record is a newer one, and is told to nobody who sees an address alone.
        let daemon = try await DaemonProcess.start(
            settings: [
                "drivers.libp2p.listen": "/ip4/127.0.0.1/tcp/0", "drivers.libp2p.key_file": "\(directory)/own.key",
                "drivers.bitcoin.connect": "127.0.0.1:\(port)",
            ])
        let result = try await pusher.finish()
        #expect(result == 0, "\(pusher.output)\(pusher.errors)")
        try await daemon.stop()
    }

    @Test(
        "records travel over links where the operator wants it: our own, and those of others",
        arguments: ["lightning", "bitcoin"])
    func overLinks(_ medium: String) async throws {
        let announced = "/ip4/203.0.113.7/tcp/4001"
        // Who calls from this machine may come out of a hidden service, so that it is told nothing by default.
        let giver = try await DaemonProcess.start(
            settings: [
                "drivers.libp2p.listen": "/ip4/127.0.0.1/tcp/0", "drivers.libp2p.announce": announced,
                "drivers.bitcoin.connect": "", "drivers.\(medium).listen": "127.0.0.1:0",
                "peers.share_record": "pseudonym",
            ])
        let directory = TemporaryDirectory.make()
        let made = try await Programs.run(
            "altnet",
            [
                "record", "create", "\(directory)/other.record", "--key", "\(directory)/other.key", "--address",
                "/ip4/198.51.100.3/tcp/4001",
            ])
        #expect(made.status == 0, "\(made.errors)")
        let added = try await self.altnet(["peers", "add", "--record", "\(directory)/other.record"], at: giver)
        #expect(added.status == 0, "\(added.errors)")
        #expect(added.output.hasPrefix("12D3Koo"))
        let taker = try await DaemonProcess.start(
            settings: ["drivers.bitcoin.connect": ""].merging([
                "drivers.\(medium).connect": try await giver.listening(medium)
            ]) { $1 })
        let own = try await self.identity(of: giver)
        for (what, address) in [("the other's", "/ip4/198.51.100.3/tcp/4001"), ("the giver's", announced)] {
            let peer = try await Condition.value("\(what) record") {
                try await taker.control.peers(after: nil, limit: 100).peers.first {
                    $0.addresses.map(\.address) == [address]
                }
            }
            #expect(peer.addresses.allSatisfy { $0.sources == ["certified"] })
            #expect((peer.id == own) == (address == announced))
        }
    }
}
