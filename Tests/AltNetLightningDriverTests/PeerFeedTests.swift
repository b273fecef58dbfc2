// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDialing
import AltNetDriverKit
import AltNetDriverProtocol
import AltNetKeys
import AltNetLightning
import AltNetPeerRecords
import AltNetTestKit
import AltNetTransport
import Synchronization
import Testing

@testable import AltNetLightningDriver

/// An orchestrator that takes all news and keeps what it was told.
final class NewsTaker: Sendable {
    private let taken = Mutex<[PeerNews]>([])
    private let made = Mutex<OrchestratorBook?>(nil)

    var news: [PeerNews] { self.taken.withLock { $0 } }

    var book: OrchestratorBook {
        let book = OrchestratorBook { event in
            guard case .peerNews(let id, let news) = event else { return }
            self.taken.withLock { $0 += news }
            await self.made.withLock { $0 }?.heard(.peerOutcomes(id: id, news.map { _ in .stored }))
        }
        self.made.withLock { $0 = book }
        return book
    }
}

@Suite("What the Lightning driver tells the peer store")
struct PeerFeedTests {
    private static let place = "203.0.113.7:9735"

    @Test("what the attached node knows of its peers by gossip, once a day, and of nobody who has left")
    func gossip() async throws {
        let (taker, node) = (NewsTaker(), FakeAttachment())
        let feed = PeerFeed(taker.book)
        let (known, unknown, gone) = (
            Keys.random().publicKey, Keys.random().publicKey, Keys.random().publicKey
        )
        node.announces([try LightningAddress(text: Self.place)], of: known)
        node.announces([try LightningAddress(text: Self.place)], of: gone)
        for peer in [known, unknown, gone] { await feed.attached(peer, isConnected: true) }
        await feed.attached(gone, isConnected: false)
        await feed.ask(node)
        await feed.attached(known, isConnected: true)
        await feed.ask(node)
        #expect(Set(node.asked) == [known, unknown] && node.asked.count == 2)
        let peer = try #require(PeerID(known))
        #expect(
            taker.news == [
                .addresses(
                    peer, [try Multiaddress(text: "/ip4/203.0.113.7/tcp/9735")], source: .bolt7,
                    lifetime: .seconds(7 * 86_400), toldBy: NewsOrigin(networkGroup: "gossip"), use: .lightning)
            ])
    }

    @Test("many peers are asked about a few at a time")
    func many() async throws {
        let (taker, node) = (NewsTaker(), FakeAttachment())
        let feed = PeerFeed(taker.book)
        for _ in 0..<50 { await feed.attached(Keys.random().publicKey, isConnected: true) }
        await feed.ask(node)
        #expect(node.asked.count == 20)
        await feed.ask(node)
        await feed.ask(node)
        #expect(Set(node.asked).count == 50)
        await feed.ask(node)
        #expect(node.asked.count == 50)
    }

    @Test("what a peer gave to us alone, as such: a new address in place of the former one, or none any more")
    func confidences() async throws {
        let taker = NewsTaker()
        let node = Keys.random().publicKey
        let peer = try #require(PeerID(node))
        let feed = PeerFeed(taker.book)
        let address = try Multiaddress(text: "/ip4/203.0.113.7/tcp/9735")
        feed.given(.init(peer: node, address: try LightningAddress(text: Self.place)))
        try await Condition.wait("it is told") { !taker.news.isEmpty }
        #expect(
            taker.news == [
                .addresses(
                    peer, [address], source: .altAddr, lifetime: .seconds(7 * 86_400), use: .lightning),
                .withdrawn(peer, source: .altAddr, except: address, use: .lightning),
            ])
        feed.given(.init(peer: node, address: nil))
        try await Condition.wait("that it is taken back is told") { taker.news.count == 3 }
        #expect(taker.news.last == .withdrawn(peer, source: .altAddr, use: .lightning))
        // However quickly a peer changes its mind, its last word is the last that is told.
        for port in 1...200 {
            feed.given(.init(peer: node, address: try LightningAddress(text: "203.0.113.7:\(port)")))
        }
        let last = PeerNews.withdrawn(
            peer, source: .altAddr, except: try Multiaddress(text: "/ip4/203.0.113.7/tcp/200"), use: .lightning)
        try await Condition.wait("the last address is told") { taker.news.contains(last) }
        #expect(taker.news.last == last)
    }

    @Test("peers that give something at the same time are all told of")
    func manyConfidences() async throws {
        let taker = NewsTaker()
        let feed = PeerFeed(taker.book)
        let nodes = (0..<150).map { _ in Keys.random().publicKey }
        for node in nodes { feed.given(.init(peer: node, address: nil)) }
        let told = Set(
            nodes.compactMap { PeerID($0).map { PeerNews.withdrawn($0, source: .altAddr, use: .lightning) } })
        try await Condition.wait("all are told of") { Set(taker.news) == told }
    }

    @Test("whose news are attempts to connect: each counts once")
    func attempts() async throws {
        let taker = NewsTaker()
        let peer = try #require(PeerID(Keys.random().publicKey))
        let address = try Multiaddress(text: "/ip4/203.0.113.7/tcp/9735")
        let good = KnownAddressDial(taker.book, peer, at: address)
        good.proven()
        good.ended()
        try await Condition.wait("the success is told") { taker.news.count == 1 }
        guard case .connected(peer, address, _, nil, .lightning) = taker.news[0] else {
            Issue.record("\(taker.news)")
            return
        }
        let bad = KnownAddressDial(taker.book, peer, at: address)
        bad.ended()
        bad.proven()
        try await Condition.wait("the failure is told") { taker.news.count == 2 }
        #expect(taker.news[1] == .failed(peer, address, use: .lightning))
        // We broke it off ourselves.
        let cancelled = KnownAddressDial(taker.book, peer, at: address)
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            cancelled.ended()
        }
        task.cancel()
        await task.value
        cancelled.failed()
        try await Condition.wait("only what counts is told") { taker.news.count == 3 }
    }
}

@Suite("Dialling a node by its key alone")
struct KnownNodeDialerTests {
    private static func known(
        _ text: String, _ sources: AddressSources = .certified, use: AddressUse = .lightning,
        failed: Int64? = nil, network: LocalNetwork? = nil
    ) throws -> KnownAddress {
        let time = WallClockTime(seconds: 1)
        return KnownAddress(
            address: try Multiaddress(text: text), sources: sources, firstSeen: time, lastSeen: time, expiry: nil,
            lastFailure: failed.map { WallClockTime(seconds: $0) }, network: network, use: use)
    }

    @Test("takes Lightning addresses only, the best first by the policy, and what the network or a proxy can reach")
    func plan() throws {
        let onion = "/onion3/cqkvoyooxkpi763a4wczaludrheuwpt7ndghhfymv5hohgkmm26pboqd:9735"
        let node = KnownNode(
            record: nil,
            addresses: [
                try Self.known("/ip4/198.51.100.1/tcp/9735", .bolt7),
                try Self.known("/ip4/198.51.100.2/tcp/8333", use: .bitcoin),
                try Self.known("/ip4/198.51.100.3/tcp/9735", failed: 5),
                try Self.known("/ip4/198.51.100.4/tcp/9735"),
                try Self.known("/ip4/10.0.0.5/tcp/9735", network: .loopback),
                try Self.known("/ip4/198.51.100.6/tcp/9735", .altAddr),
                try Self.known("/ip4/198.51.100.7/udp/9735"), try Self.known("/ip6/fc00::7/tcp/9735"),
                try Self.known(onion),
            ])
        let dialer = KnownNodeDialer(policy: .standard, takesPrivate: false)
        let open = dialer.plan(node, isProxied: false).map(\.description)
        #expect(
            open == [
                "/ip6/fc00::7/tcp/9735", "/ip4/198.51.100.4/tcp/9735", "/ip4/198.51.100.3/tcp/9735",
                "/ip4/198.51.100.1/tcp/9735",
            ])
        #expect(Set(dialer.plan(node, isProxied: true).map(\.description)) == Set(open + [onion]))
        let certified = KnownNodeDialer(policy: .certifiedOnly, takesPrivate: false)
        #expect(certified.plan(node, isProxied: false).map(\.description) == Array(open.dropLast()))
        let many = KnownNode(
            record: nil, addresses: try (0..<100).map { try Self.known("/ip4/198.51.100.\($0)/tcp/9735") })
        #expect(dialer.plan(many, isProxied: false).count == KnownNodeDialer.maximumAddresses)
    }

    @Test("a target is a key alone, or a key with an address")
    func targets() throws {
        let key = Keys.random().publicKey
        #expect(try LightningTarget("\(key)") == .known(key))
        #expect(
            try LightningTarget("\(key)@203.0.113.7:1") == .peer(key, HostAndPort(host: "203.0.113.7", port: 1)))
        for text in ["", "02", "\(key)@", "\(key)00", "04" + "\(key)".dropFirst(2)] {
            #expect(throws: DriverSetupError.self) { try LightningTarget(text) }
        }
    }
}

@Suite("What a node announces of itself")
struct NodeAnnouncementTests {
    private static func announcement(
        _ settings: [String: SettingValue], isProxied: Bool = false
    ) throws -> NodeAnnouncement {
        var settings = DriverSettings(settings)
        return try NodeAnnouncement(&settings, isProxied: isProxied)
    }

    @Test("the addresses at which it listens, where they lead to it from everywhere, unless it says others")
    func listeners() throws {
        let listening = Set(
            try ["203.0.113.7:9735", "192.168.1.7:9735", "127.0.0.1:9735", "[2001:db8::7]:9735", "0.0.0.0:9735"].map {
                try LightningAddress(text: $0)
            })
        let own = try Self.announcement([:])
        #expect(own.lightning(listening: listening).map(\.text) == ["203.0.113.7:9735", "[2001:db8::7]:9735"])
        // Behind a proxy nothing of it is told.
        #expect(try Self.announcement([:], isProxied: true).lightning(listening: listening).isEmpty)
        let onion = "cqkvoyooxkpi763a4wczaludrheuwpt7ndghhfymv5hohgkmm26pboqd.onion:9735"
        // Nor beside a hidden service, which the record would tie to this machine.
        let hidden = try Self.announcement(["announce_bitcoin": .texts([onion])])
        #expect(hidden.lightning(listening: listening).isEmpty)
        for isProxied in [true, false] {
            let said = try Self.announcement(["announce": .texts([onion])], isProxied: isProxied)
            #expect(said.lightning(listening: listening).map(\.text) == [onion])
        }
    }

    @Test(
        "refuses what does not lead to it from everywhere",
        arguments: [
            ["announce": ["10.0.0.7:9735"]], ["announce": ["127.0.0.1:9735"]], ["announce": ["0.0.0.0:9735"]],
            ["announce": ["nothing"]], ["announce": ["example.org:0"]], ["announce_bitcoin": ["192.168.0.9:8333"]],
            ["announce_bitcoin": ["example.org:8333"]], ["announce_bitcoin": ["[fe80::1]:8333"]],
            ["announce": (1...101).map { "203.0.113.\($0):9735" }],
            [
                "announce": (1...60).map { "203.0.113.\($0):9735" },
                "announce_bitcoin": (1...41).map { "203.0.113.\($0):1" },
            ],
        ])
    func refuses(settings: [String: [String]]) {
        #expect(throws: DriverSetupError.self) { try Self.announcement(settings.mapValues { .texts($0) }) }
    }
}
