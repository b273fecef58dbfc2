// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetPunchReports
import AltNetTestKit
import Foundation
import Testing

/// Two daemons on one machine, which arrange connections over coordination endpoints with ordinary addresses.
@Suite("Hole punching, with real processes", .serialized)
struct PunchTests {
    private static func daemon(_ settings: [String: String], dataDirectory: String? = nil) async throws -> DaemonProcess
    {
        // What the machine under the test has of IPv6 and routers makes no difference.
        let own = [
            "drivers.punch.allow_private_addresses": "true", "drivers.punch.map_ports": "false",
            "drivers.punch.ipv6": "false", "drivers.punch.relay": "true",
        ]
        let daemon = try await DaemonProcess.start(
            settings: own.merging(settings) { $1 }, dataDirectory: dataDirectory)
        try await Condition.wait("the driver is attached") {
            try await daemon.control.drivers().contains { $0.name == "punch" && $0.state == "attached" }
        }
        return daemon
    }

    /// A data directory with headers.
    private static func directory(headers: Int) async throws -> String {
        let directory = TemporaryDirectory.make()
        let chain = TemporaryDirectory.make() + "/chain"
        _ = try await Programs.run("altnet", ["regtest", "mine", "--count", "\(headers)", "--output", chain])
        _ = try await Programs.run(
            "altnet", ["headers", "import", chain, "--network", "regtest", "--data-directory", directory])
        return directory
    }

    /// One that has headers and lets others connect.
    private static func responder(_ settings: [String: String] = [:]) async throws -> DaemonProcess {
        let own = ["drivers.punch.coordination": "direct:127.0.0.1:0", "drivers.punch.offer": "4"]
        return try await Self.daemon(
            own.merging(settings) { $1 }, dataDirectory: try await Self.directory(headers: 2500))
    }

    private static func read(_ count: Int, from socket: LoopbackSocket) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let received = recv(socket.descriptor, &bytes, count, Int32(MSG_WAITALL))
        return Array(bytes.prefix(max(0, received)))
    }

    private static func endpoint(_ daemon: DaemonProcess) async throws -> String {
        try await Condition.value("the coordination endpoint is up") {
            try await daemon.control.punchStats().endpoints.first
        }
    }

    /// Bitcoin nodes on several addresses of this machine, which tell who asks how they see it.
    private static func witnesses() async throws -> (process: BackgroundProcess, settings: [String: String]) {
        let hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
        let tool = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Tools/nat_witness.py").path
        let process = try BackgroundProcess("/usr/bin/python3", [tool] + hosts)
        let addresses = try await Condition.value("the witnesses listen") {
            let lines = process.output.split(separator: "\n")
            return lines.count == hosts.count ? lines : nil
        }
        return (process, ["drivers.punch.witnesses": addresses.joined(separator: ",")])
    }

    private static func checked(_ daemon: DaemonProcess, _ mapping: String) async throws -> NATReport {
        try await Condition.value("the NAT is checked") {
            let report = try await daemon.control.punchOverview().nat
            return report?.mapping == mapping ? report : nil
        }
    }

    /// Signs a record of a peer that is nowhere else, and gives it to a daemon.
    private static func addRecord(at address: String, to daemon: DaemonProcess) async throws {
        let file = "\(TemporaryDirectory.make())/other"
        for words in [
            ["record", "create", "\(file).record", "--key", "\(file).key", "--address", address],
            [
                "peers", "add", "--record", "\(file).record", "--network", "regtest", "--data-directory",
                daemon.dataDirectory,
            ],
        ] {
            let result = try await Programs.run("altnet", words)
            #expect(result.status == 0, "\(result.errors)")
        }
    }

    @Test("both learn their addresses from witnesses, connect at one moment, and headers and records of peers travel")
    func punched() async throws {
        let (witnesses, given) = try await Self.witnesses()
        defer { witnesses.kill() }
        // Who calls from this machine may come out of a hidden service, so that it is told nothing by default.
        let settings = given.merging(["peers.share_record": "pseudonym"]) { $1 }
        let alice = try await Self.responder(settings.merging(["drivers.punch.relay": "false"]) { $1 })
        let bob = try await Self.daemon(settings)
        for daemon in [alice, bob] {
            let nat = try await Self.checked(daemon, "endpoint-independent")
            #expect(nat.preservesPort == true && nat.evidence.count >= 3, "\(nat)")
        }
        let known = "/ip4/198.51.100.3/tcp/4001"
        try await Self.addRecord(at: known, to: alice)
        let report = try await bob.control.punch(PunchRequest(endpoint: try await Self.endpoint(alice)))
        #expect(report.outcome == PunchReport.connected, "\(report)")
        #expect(report.path == "punch" && report.attempts == 1, "\(report)")
        try await bob.reaches(2500)
        let link = try #require(try await bob.control.links().first { $0.driver == "punch" })
        #expect(link.remote == report.peer && link.exposure == "clearnetAddress")
        try await Condition.wait("Bob has the record that Alice knows") {
            try await bob.control.peers(after: nil, limit: 10).peers.contains {
                $0.addresses.map(\.address) == [known] && $0.addresses.allSatisfy { $0.sources == ["certified"] }
            }
        }
        let theirs = try #require(try await alice.control.punches().punches.first)
        #expect(theirs.role == "responder" && theirs.path == "punch")
        #expect(try await alice.control.punchStats().slotsTaken == 1)
        // The slot is free again when the link is gone.
        try await bob.stop()
        try await Condition.wait("the slot is free") { try await alice.control.punchStats().slotsTaken == 0 }
    }

    @Test("without a NAT there is nothing to punch: witnesses that connect back show it")
    func direct() async throws {
        let port = try FreePort.find()
        let witness = try await Self.daemon(["drivers.punch.answer_checks": "0.0.0.0:\(port)"])
        let asked = (2...4).map { "127.0.0.\($0):\(port)" }.joined(separator: ",")
        let alice = try await Self.responder(["drivers.punch.witnesses": asked])
        _ = try await Self.checked(alice, "open")
        // Bob's witnesses do not connect back, and one of the two sides is enough.
        let (witnesses, settings) = try await Self.witnesses()
        defer { witnesses.kill() }
        let bob = try await Self.daemon(settings)
        _ = try await Self.checked(bob, "endpoint-independent")
        let report = try await bob.control.punch(PunchRequest(endpoint: try await Self.endpoint(alice)))
        #expect(report.outcome == PunchReport.connected && report.path == "direct", "\(report)")
        try await bob.reaches(2500)
        #expect(try await witness.control.punchStats().counters["checks-connected-back", default: 0] >= 1)
    }

    /// Bitcoin's nodes are sockets here: what one writes the other reads.
    @Test("nodes talk over a punched connection as if it were one of their own")
    func node() async throws {
        let node = try LoopbackSocket.listening()
        let alice = try await Self.responder(["drivers.punch.use": "node", "splice.accept": node.address])
        // The other side speaks for itself: either use goes with the other.
        let bob = try await Self.daemon([:])
        let request = PunchRequest(endpoint: try await Self.endpoint(alice))
        let call = Task { try await bob.control.punch(request) }
        let accepted = try await node.accept()
        let version = Self.read(24, from: accepted)
        // Regtest's magic, and the first message of whoever connects.
        #expect(Array(version.prefix(4)) == [0xfa, 0xbf, 0xb5, 0xda])
        #expect(String(decoding: version[4..<11], as: UTF8.self) == "version")
        // This node never answers, so that the caller has a connection and no link.
        let error = await #expect(throws: ControlError.self) { try await call.value }
        #expect(error?.description.contains("no link") == true, "\(String(describing: error))")
    }

    @Test("who asks for a connection for a node that does not take it is told so")
    func nodeMissing() async throws {
        let node = try LoopbackSocket.listening()
        let settings = ["drivers.punch.use": "node", "splice.accept": node.address]
        let alice = try await Self.responder(settings)
        // Takes connections for a node that listens, and has none that could be told to connect.
        let bob = try await Self.daemon(settings)
        let request = PunchRequest(endpoint: try await Self.endpoint(alice))
        let error = await #expect(throws: ControlError.self) { try await bob.control.punch(request) }
        #expect(error?.description.contains("there is no node: set [node]") == true, "\(String(describing: error))")
    }

    @Test("where nothing else works, headers travel over the coordination endpoint itself")
    func relayed() async throws {
        let alice = try await Self.responder()
        let bob = try await Self.daemon([:])
        let report = try await bob.control.punch(PunchRequest(endpoint: try await Self.endpoint(alice)))
        #expect(report.outcome == PunchReport.connected, "\(report)")
        #expect(report.path == "relayed", "\(report)")
        #expect(report.role == "initiator" && report.peer == nil)
        try await bob.reaches(2500)
        #expect(try await alice.control.punchStats().slotsTaken == 1)
        let theirs = try #require(try await alice.control.punches().punches.first)
        #expect(theirs.role == "responder" && theirs.path == "relayed")
        // Neither side's address shows over the endpoint.
        let links = try await alice.control.links() + bob.control.links()
        #expect(links.allSatisfy { $0.exposure != "clearnetAddress" })
    }

    @Test("a target that is an endpoint is called, and called again when the connection is gone")
    func target() async throws {
        let alice = try await Self.responder()
        let endpoint = try await Self.endpoint(alice)
        let bob = try await Self.daemon(["drivers.punch.connect": endpoint])
        try await bob.reaches(2500)
        #expect(try await bob.control.links().contains { $0.target == endpoint && $0.state == "open" })
        try await alice.stop()
        let gone = try await Condition.value("the endpoint is called again") {
            try await bob.control.links().first { $0.target == endpoint && $0.state == "unreachable" }
        }
        #expect(gone.reason?.isEmpty == false, "\(gone)")
    }

    @Test("a node that wants no more peers says so, and one that offers none cannot be called")
    func slots() async throws {
        let (witnesses, settings) = try await Self.witnesses()
        defer { witnesses.kill() }
        let alice = try await Self.responder(settings.merging(["drivers.punch.offer": "1"]) { $1 })
        _ = try await Self.checked(alice, "endpoint-independent")
        let endpoint = try await Self.endpoint(alice)
        let bob = try await Self.daemon(settings)
        _ = try await Self.checked(bob, "endpoint-independent")
        let first = try await bob.control.punch(PunchRequest(endpoint: endpoint))
        #expect(first.path == "punch", "\(first)")
        let carol = try await Self.daemon([:])
        let report = try await carol.control.punch(PunchRequest(endpoint: endpoint))
        #expect(report.outcome == "refused-by-peer", "\(report)")
        #expect(report.reason?.contains("no more punched connections") == true, "\(report)")
        #expect(try await alice.control.punchStats().counters["requests-without-slot"] == 1)
    }

    @Test("relayed connections take a part of the slots, and leave the rest to punched ones")
    func relayedPart() async throws {
        let (witnesses, settings) = try await Self.witnesses()
        defer { witnesses.kill() }
        let alice = try await Self.responder(settings.merging(["drivers.punch.offer": "1"]) { $1 })
        _ = try await Self.checked(alice, "endpoint-independent")
        let request = PunchRequest(endpoint: try await Self.endpoint(alice))
        // Without witnesses these two know no address.
        let bob = try await Self.daemon([:])
        let first = try await bob.control.punch(request)
        #expect(first.path == "relayed" && first.isConnected, "\(first)")
        let carol = try await Self.daemon([:])
        let second = try await carol.control.punch(request)
        #expect(!second.isConnected, "\(second)")
        #expect(try await alice.control.punchStats().slotsTaken == 1)
        let dave = try await Self.daemon(settings)
        _ = try await Self.checked(dave, "endpoint-independent")
        let third = try await dave.control.punch(request)
        #expect(third.path == "punch" && third.isConnected, "\(third)")
        let stats = try await alice.control.punchStats()
        #expect(stats.slotsTaken == 1 && stats.counters["relayed-pushed-out"] == 1, "\(stats)")
        try await Condition.wait("the relayed link is gone") {
            try await !bob.control.links().contains { $0.driver == "punch" && $0.state == "open" }
        }
    }

    /// What Tests/Tools/hostile_visitors.py says.
    private static func visitors(_ way: String, to daemon: DaemonProcess) async throws -> [String] {
        let endpoint = try await Self.endpoint(daemon).dropFirst("direct:".count).split(separator: ":").map(String.init)
        let tool = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Tools/hostile_visitors.py").path
        let process = try BackgroundProcess("/usr/bin/python3", [tool, way] + endpoint)
        try await Condition.wait("the visitors are done", within: .seconds(60)) { !process.isRunning }
        #expect(process.errors.isEmpty, "\(process.errors)")
        return process.output.split(separator: "\n").map(String.init)
    }

    @Test("a connection that proves itself when its coordination ends is left to nobody")
    func lateProof() async throws {
        let (witnesses, settings) = try await Self.witnesses()
        defer { witnesses.kill() }
        let alice = try await Self.responder(settings)
        _ = try await Self.checked(alice, "endpoint-independent")
        #expect(try await Self.visitors("late-proof", to: alice) == Array(repeating: "closed", count: 4))
        #expect(try await alice.control.punchStats().slotsTaken == 0)
    }

    @Test("silent visitors push each other out and not who has begun to talk; who is pushed out hears that we are busy")
    func visitors() async throws {
        let (witnesses, settings) = try await Self.witnesses()
        defer { witnesses.kill() }
        let alice = try await Self.responder(settings)
        _ = try await Self.checked(alice, "endpoint-independent")
        #expect(try await Self.visitors("flood", to: alice) == ["taken"])
        #expect(try await Self.visitors("crowd", to: alice) == ["refused with reason 1"])
        #expect(try await alice.control.punchStats().counters["connections-pushed-out", default: 0] > 0)
    }

    @Test("endpoints that cannot be called, or are none, are told in a sentence")
    func refused() async throws {
        let bob = try await Self.daemon([:])
        let report = try await bob.control.punch(PunchRequest(endpoint: "direct:127.0.0.1:1"))
        #expect(report.outcome == "unreachable" && report.reason == "Connection refused", "\(report)")
        let onion = "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion:8333"
        let tor = try await bob.control.punch(PunchRequest(endpoint: onion))
        #expect(tor.reason == "the endpoint is in Tor, and socks is not set", "\(tor)")
        for text in ["nowhere", "abc.onion:1", "direct:host"] {
            await #expect(throws: ControlError.self, "\(text)") {
                try await bob.control.punch(PunchRequest(endpoint: text))
            }
        }
    }
}
