// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKademlia
import AltNetLibp2pHost
import AltNetPeerRecords
import AltNetPeerStore
import AltNetTestKit
import Foundation
import Libp2pTestSupport
import Logging
import Testing

/// A private DHT of ten processes: five `altnet dht serve`, five of py-libp2p.
@Suite(
    "A DHT of py-libp2p's nodes and ours", .enabled(if: PythonPeer.isInstalled, Comment(rawValue: PythonPeer.missing)),
    .serialized, .timeLimit(.minutes(5)))
struct MixedDHTTests {
    @Test("Ten nodes find each other's records, and go on when two are killed")
    func ten() async throws {
        var ours = [try await OurNode.start()]
        for _ in 1..<5 { ours.append(try await OurNode.start(bootstrap: ours[0].address)) }
        var theirs: [PythonPeer] = []
        for number in 0..<5 {
            let node = try await PythonPeer.start(
                key: number.isMultiple(of: 2) ? "ed25519" : "secp256k1", script: "libp2p_dht.py")
            // Each knows one node only, every second one none of ours.
            let entry = number.isMultiple(of: 2) ? ours[number].address : theirs[number - 1].address
            _ = try await node.run(["do": "join", "address": entry.description])
            _ = try await node.run(["do": "refresh"])
            theirs.append(node)
        }

        // Theirs find ours. Their code verifies.
        for node in theirs {
            for wanted in ours {
                let found = try await node.run(["do": "find", "peer": wanted.peer.description])
                #expect(found.told == true)
                #expect(found.record?.peer == wanted.peer.description)
                #expect(found.record?.addresses == [wanted.address.withoutPeerID.description])
            }
        }
        // Ours find theirs and one another, each through its own node only.
        let everybody = ours.map { ($0.peer, $0.address) } + theirs.map { ($0.peer, $0.address) }
        for entry in ours { try await Self.find(everybody, through: entry.address) }

        // GET_VALUE: what ours have published, and what theirs have put at ours.
        for node in theirs {
            let put = try await node.run(["do": "put"])
            let key = KademliaValueKey.peerRecord(node.peer).bytes
            let value = try #require(try await Self.value(of: key, through: ours[0].address))
            let record = try CertifiedPeerRecord(verifying: value).record
            #expect(record.peer == node.peer)
            #expect(record.sequence == put.record?.sequence)
        }
        for wanted in ours {
            let got = try await theirs[4].run(["do": "get", "peer": wanted.peer.description])
            #expect(got.record?.peer == wanted.peer.description)
        }

        // Two vanish, and what is asked of the others is still found.
        ours[0].process.kill()
        theirs[0].kill()
        let rest = Array(everybody[1..<5]) + Array(everybody[6...])
        try await Self.find(rest, through: ours[3].address)
        let found = try await theirs[3].run(["do": "find", "peer": ours[4].peer.description])
        #expect(found.record?.peer == ours[4].peer.description)
        for node in theirs[1...] { #expect(try await node.finish() == 0) }
    }

    @Test("Providers announced by either side are found by the other")
    func providers() async throws {
        let theirs = try await PythonPeer.start(script: "libp2p_dht.py")
        let others = try await PythonPeer.start(script: "libp2p_dht.py")
        _ = try await others.run(["do": "join", "address": theirs.address.description])
        let (host, service) = try await Self.node(mode: .server)
        let running = Task { await host.runKademlia(service, publishes: false) }
        #expect(await service.bootstrap([theirs.peer, others.peer]) == 0)
        for node in [theirs, others] {
            _ = try await host.connect(to: node.peer, addresses: [node.address.withoutPeerID])
            #expect(await service.bootstrap([node.peer]) == 1)
        }

        _ = try await theirs.run(["do": "provide", "key": "their content"])
        let found = try await service.providers(of: Self.theirContent, count: 1)
        #expect(found == [theirs.peer])

        #expect(try await service.provide(Self.ourContent) == 2)
        let providers = try await others.run(["do": "providers", "key": "our content"])
        #expect(providers.peers?.contains(host.peer.description) == true)
        running.cancel()
        await host.shutdown()
    }

    @Test("Whom nobody knows is not found, and the status says so")
    func notFound() async throws {
        let node = try await OurNode.start()
        let unknown = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
        let result = try await Programs.run(
            "altnet", ["dht", "find", unknown, "--bootstrap", node.address.description, "--json"])
        #expect(result.status == 1)
        #expect(try Self.reports(result.output).map(\.found) == [false])
        node.process.kill()
        let nobody = try await Programs.run(
            "altnet", ["dht", "find", unknown, "--bootstrap", node.address.description])
        #expect(nobody.status == 1)
        #expect(nobody.errors.contains("no node given with --bootstrap answers"))
    }

    /// The keys that `libp2p_dht.py` makes of "their content" and "our content": their SHA-256.
    private static let theirContent =
        Hex.decode("f1857e514182a0bafabf2c0be3e843c238f8f01536cc62d20731cc7141b95f77") ?? []
    private static let ourContent = Hex.decode("8a0a58f7af585c4743a6c2eda128050dacc7644758f7dd60aef9ea3c5efff0e7") ?? []

    /// What `altnet dht find --json` prints of a peer.
    private struct Found: Decodable {
        struct Record: Decodable {
            let sequence: UInt64
            let addresses: [String]
            let envelope: String
        }

        let peer: String
        let found: Bool
        let record: Record?
    }

    private static func reports(_ output: String) throws -> [Found] {
        try output.split(separator: "\n").map { try JSONDecoder().decode(Found.self, from: Data($0.utf8)) }
    }

    private static func find(_ wanted: [(PeerID, Multiaddress)], through entry: Multiaddress) async throws {
        let result = try await Programs.run(
            "altnet",
            ["dht", "find"] + wanted.map(\.0.description) + ["--bootstrap", entry.description, "--json"])
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        let reports = try Self.reports(result.output)
        #expect(reports.map(\.peer) == wanted.map(\.0.description))
        for (report, (peer, address)) in zip(reports, wanted) {
            let envelope = try #require(report.record.flatMap { Hex.decode($0.envelope) }, "no record of \(peer)")
            let record = try CertifiedPeerRecord(verifying: envelope).record
            #expect(record.peer == peer)
            #expect(record.addresses.map(\.withoutPeerID) == [address.withoutPeerID])
        }
    }

    private static func value(of key: [UInt8], through entry: Multiaddress) async throws -> [UInt8]? {
        let (host, service) = try await Self.node(mode: .client)
        let peer = try #require(entry.peerID)
        _ = try await host.connect(to: peer, addresses: [entry.withoutPeerID])
        #expect(await service.bootstrap([peer]) == 1)
        let value = try await service.value(of: key)
        await host.shutdown()
        return value
    }

    /// A node in this process.
    private static func node(mode: KademliaService.Mode) async throws -> (Libp2pHost, KademliaService) {
        let key = PeerKeyFile.random()
        var configuration = HostConfiguration()
        configuration.recordIssuer = CountingIssuer(key)
        var logger = Logger(label: "node")
        logger.logLevel = .critical
        let book = StoredPeerBook(
            store: MemoryPeerStore(),
            now: { WallClockTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1_000)) })
        let host = Libp2pHost(key: key, book: book, configuration: configuration, logger: logger)
        try await host.listen(on: [try Multiaddress(text: "/ip4/127.0.0.1/tcp/0")])
        return (host, host.joinKademlia(.init(mode: mode)))
    }
}

/// `altnet dht serve` in a process of its own.
private struct OurNode {
    let process: BackgroundProcess
    let address: Multiaddress
    let peer: PeerID

    private struct Event: Decodable {
        let event: String
        let addresses: [String]?
    }

    /// Starts one, and waits until it has joined.
    static func start(bootstrap: Multiaddress? = nil) async throws -> OurNode {
        let process = try BackgroundProcess(
            "\(Programs.directory)/altnet",
            ["dht", "serve", "--listen", "/ip4/127.0.0.1/tcp/0", "--data", TemporaryDirectory.make(), "--json"]
                + (bootstrap.map { ["--bootstrap", $0.description] } ?? []))
        let listening = try await Condition.value("a node of ours has joined", within: .seconds(60)) {
            () -> Event? in
            guard process.isRunning else { throw Condition.Failure("altnet dht serve ended: \(process.errors)") }
            let events = process.output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
                .compactMap { try? JSONDecoder().decode(Event.self, from: Data($0.utf8)) }
            return events.contains { $0.event == "joined" } ? events.first { $0.event == "listening" } : nil
        }
        let address = try Multiaddress(text: try #require(listening.addresses?.first))
        return OurNode(process: process, address: address, peer: try #require(address.peerID))
    }
}
