// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

@Suite("Far nodes, with real daemons", .serialized)
struct MessageTests {
    /// Alice is connected with Bob, Bob with Carol, Carol with Dave. Bob and Carol take no headers from anybody, so what
    /// Dave has can reach Alice through messages only.
    struct Row {
        let alice, bob, carol, dave: DaemonProcess
        let path: [String]

        static func start(headers: Int) async throws -> Row {
            let dave = try await DaemonProcess.start(settings: ["drivers.lightning.listen": "127.0.0.1:0"])
            let mined = try await Programs.run(
                "altnet",
                [
                    "regtest", "mine", "--count", "\(headers)", "--network", "regtest", "--data-directory",
                    dave.dataDirectory,
                ])
            #expect(mined.status == 0, "\(mined.errors)")
            let carol = try await Self.between(try await dave.listening("lightning"))
            let bob = try await Self.between(try await carol.listening("lightning"))
            var path: [String] = []
            for daemon in [bob, carol, dave] { path.append(String(try await daemon.listening("lightning").prefix(66))) }
            let alice = try await DaemonProcess.start(
                settings: [
                    "drivers.lightning.connect":
                        "\(try await bob.listening("lightning")),directed:\(path.joined(separator: "/"))",
                    "drivers.bitcoin.connect": "", "sync.behind_probe_seconds": "0.2",
                ])
            return Row(alice: alice, bob: bob, carol: carol, dave: dave, path: path)
        }

        private static func between(_ next: String) async throws -> DaemonProcess {
            let daemon = try await DaemonProcess.start(
                settings: [
                    "drivers.lightning.listen": "127.0.0.1:0", "drivers.lightning.serve_only": "true",
                    "drivers.lightning.connect": next, "drivers.bitcoin.connect": "",
                ])
            try await Condition.wait("a link to the next") {
                try await daemon.control.links().contains { $0.state == "open" }
            }
            return daemon
        }

        /// Runs `altnet` against a daemon.
        func altnet(_ arguments: [String], at daemon: DaemonProcess) async throws -> Programs.Result {
            try await Programs.run(
                "altnet", arguments + ["--network", "regtest", "--data-directory", daemon.dataDirectory])
        }
    }

    @Test("headers come from a node three hops away, and its link says that we show it nothing")
    func headers() async throws {
        let row = try await Row.start(headers: 300)
        do {
            // Messages are unreliable: one that is lost is repeated after twenty seconds.
            try await row.alice.reaches(300, within: .seconds(90))
        } catch {
            Issue.record("\(error); Alice: \(row.alice.log)")
            throw error
        }
        let link = try #require(try await row.alice.control.links().first { $0.tipHeight == 300 })
        #expect(link.exposure == "none")
        for daemon in [row.bob, row.carol] { #expect(try await daemon.control.status().chain.height == 0) }
        // What Dave sees is that somebody asks.
        let seen = try await row.dave.control.links().filter { $0.remote?.contains("127.0.0.1") == false }
        #expect(seen.compactMap(\.remote) == ["directed and onion messages"])
        #expect(!row.dave.log.contains(try await row.alice.control.drivers().compactMap(\.identity).joined()))
    }

    @Test("altnet message: ping, send and received")
    func commands() async throws {
        let row = try await Row.start(headers: 1)
        try await row.alice.reaches(1)
        let path = row.path.joined(separator: ",")
        let ping = try await row.altnet(["message", "ping", "--path", path], at: row.alice)
        #expect(ping.status == 0, "\(ping.errors)")
        for node in row.path { #expect(ping.output.contains(node.prefix(10))) }
        let sent = try await row.altnet(["message", "send", "--path", path, "--text", "hello, Dave"], at: row.alice)
        #expect(sent.status == 0, "\(sent.errors)")
        let received = try await row.altnet(["message", "received"], at: row.dave)
        #expect(received.output.contains("hello, Dave"))
        #expect(received.output.contains(row.path[1].prefix(10)))
        let onion = try await row.altnet(
            ["message", "send", "--path", path, "--over", "onion", "--text", "over onions"], at: row.alice)
        #expect(onion.status == 0, "\(onion.errors)")
        let stranger = String(repeating: "02", count: 33)
        let lost = try await row.altnet(["message", "ping", "--path", "\(path),\(stranger)"], at: row.alice)
        #expect(lost.status != 0)
        #expect((lost.output + lost.errors).contains("unknown_next_peer") || lost.errors.contains("public key"))
    }
}
