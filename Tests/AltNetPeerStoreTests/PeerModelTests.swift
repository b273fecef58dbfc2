// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import AltNetTestKit
import Testing

@testable import AltNetPeerStore

/// What the store must know, kept in the simplest way and without any bound: one fact for each thing that was said, all of
/// them looked at for every answer.
private struct NaiveStore {
    private struct Fact {
        var address: Multiaddress
        var network: LocalNetwork?
        var source: AddressSources
        var at: WallClockTime
        var until: WallClockTime?
        /// For success and failure.
        var latency: Duration?
    }

    private struct Peer {
        var facts: [Fact] = []
        var failures: [Fact] = []
        var record: CertifiedPeerRecord?
        var sequence: UInt64?
        var numberUntil = WallClockTime(milliseconds: 0)
    }

    private var peers: [PeerID: Peer] = [:]

    private static func isLive(_ peer: Peer, _ address: Multiaddress, _ network: LocalNetwork?, _ now: WallClockTime)
        -> Bool
    {
        peer.facts.contains { fact in
            fact.address == address && fact.network == network && fact.until.map { $0 > now } ?? true
        }
    }

    /// Time passes: what has expired never was.
    private mutating func forget(_ id: PeerID, _ now: WallClockTime) -> Peer {
        var peer = self.peers[id] ?? Peer()
        let all = peer
        peer.facts.removeAll { !Self.isLive(all, $0.address, $0.network, now) }
        peer.failures.removeAll { !Self.isLive(all, $0.address, $0.network, now) }
        if peer.facts.isEmpty {
            peer.record = nil
            if peer.numberUntil <= now { peer.sequence = nil }
        }
        return peer
    }

    private mutating func keep(_ peer: Peer, _ id: PeerID, _ now: WallClockTime) {
        var peer = peer
        if peer.sequence != nil {
            let last = max(now, peer.facts.compactMap(\.until).max() ?? now)
            peer.numberUntil = max(peer.numberUntil, last + PeerRules.sequenceMemory)
        }
        self.peers[id] = peer
    }

    /// Whether it is stored, and if not, why.
    mutating func learn(_ news: PeerNews, _ now: WallClockTime) throws -> PeerNewsRefusal.Code? {
        switch news {
        case .record(let envelope, _, let about, _, _):
            let record = try CertifiedPeerRecord(verifying: envelope)
            let id = record.record.peer
            if let about, about != id { return .otherPeer }
            var peer = self.forget(id, now)
            if let sequence = peer.sequence {
                if record.record.sequence < sequence { return .pastRecord }
                if record.record.sequence == sequence, let known = peer.record, known != record { return .sameSequence }
            }
            if record.record.sequence != peer.sequence {
                // It was said, and counts no more.
                for index in peer.facts.indices where peer.facts[index].source == .certified {
                    (peer.facts[index].source, peer.facts[index].until) = ([], now)
                }
            }
            (peer.record, peer.sequence) = (record, record.record.sequence)
            for address in record.record.addresses {
                peer.facts.append(
                    Fact(address: address, source: .certified, at: now, until: now + PeerRules.recordLifetime))
            }
            self.keep(peer, id, now)
            self.peers[id] = self.forget(id, now)
        case .addresses(let id, let addresses, let source, let lifetime, let network, _, _):
            var peer = self.forget(id, now)
            for address in addresses {
                peer.facts.append(
                    Fact(
                        address: address, network: address.isAmbiguous ? network : nil, source: source, at: now,
                        until: source == .user ? nil : now + min(lifetime, PeerRules.maximumLifetime)))
            }
            self.keep(peer, id, now)
        case .connected(let id, let address, let latency, _, _):
            var peer = self.forget(id, now)
            peer.facts.append(
                Fact(
                    address: address, source: .connection, at: now, until: now + PeerRules.provenLifetime,
                    latency: latency))
            self.keep(peer, id, now)
        case .failed(let id, let address, _, _):
            var peer = self.forget(id, now)
            guard Self.isLive(peer, address, nil, now) else { return .unknownAddress }
            peer.failures.append(Fact(address: address, source: .dht, at: now))
            self.peers[id] = peer
        case .withdrawn(let id, let source, _, _):
            var peer = self.forget(id, now)
            guard peer.facts.contains(where: { $0.source == source }) else { return nil }
            peer.facts.removeAll { $0.source == source }
            self.keep(peer, id, now)
        }
        return nil
    }

    mutating func forgetPeer(_ id: PeerID) { self.peers[id] = nil }

    mutating func known(_ id: PeerID, _ now: WallClockTime) -> KnownPeer? {
        let peer = self.forget(id, now)
        var addresses: [KnownAddress] = []
        for fact in peer.facts {
            let same = peer.facts.filter { $0.address == fact.address && $0.network == fact.network }
            guard !addresses.contains(where: { $0.address == fact.address && $0.network == fact.network }) else {
                continue
            }
            let success = same.last { $0.source == .connection }
            let failures = peer.failures.filter { $0.address == fact.address && $0.network == fact.network }
            addresses.append(
                KnownAddress(
                    address: fact.address, sources: AddressSources(same.map(\.source)),
                    firstSeen: same[0].at, lastSeen: same.map(\.at).max() ?? now,
                    expiry: same.contains { $0.until == nil } ? nil : same.compactMap(\.until).max(),
                    lastSuccess: success?.at, lastFailure: failures.last?.at, latency: success?.latency,
                    failures: failures.count { failure in success.map { failure.at >= $0.at } ?? true },
                    network: fact.network))
        }
        return addresses.isEmpty ? nil : KnownPeer(id: id, record: peer.record, addresses: addresses)
    }
}

@Suite("A peer store against a naive model")
struct PeerModelTests {
    /// Addresses are few, so that they meet; times are whole hours, so that nothing is too soon to be written again.
    private struct World {
        var random: SeededRandom
        let keys: [PeerPrivateKey]
        let envelopes: [[UInt8]]
        var now = Sample.start

        init(seed: UInt64) throws {
            var random = SeededRandom(seed: seed)
            let keys = try (0..<6).map { try Sample.key($0) }
            var envelopes: [[UInt8]] = []
            for key in keys {
                for sequence in 1...6 as ClosedRange<UInt64> {
                    let addresses = try (0..<Int.random(in: 1...3, using: &random)).map { _ in
                        try Sample.address(Int.random(in: 0..<5, using: &random))
                    }
                    envelopes.append(try Sample.envelope(key, sequence, addresses))
                }
            }
            (self.random, self.keys, self.envelopes) = (random, keys, envelopes)
        }

        mutating func news() throws -> PeerNews {
            let peer = try #require(self.keys.randomElement(using: &self.random)).peerID
            let address = try Sample.address(Int.random(in: 0..<5, using: &self.random))
            let lifetime = Duration.seconds(3_600 * Int.random(in: 1...300, using: &self.random))
            switch Int.random(in: 0..<13, using: &self.random) {
            case 0...3:
                let about = Bool.random(using: &self.random) ? nil : peer
                return .record(
                    envelope: try #require(self.envelopes.randomElement(using: &self.random)), source: .dht,
                    about: about)
            case 4...6:
                let sources: [AddressSources] = [.dht, .identify, .addrv2, .bolt7, .link]
                let source = try #require(sources.randomElement(using: &self.random))
                if Int.random(in: 0..<3, using: &self.random) == 0 {
                    return .addresses(
                        peer, [try Sample.address("/ip4/10.0.0.1/tcp/1"), address], source: source, lifetime: lifetime,
                        learnedOn: Bool.random(using: &self.random) ? Sample.home : Sample.work)
                }
                return .addresses(peer, [address], source: source, lifetime: lifetime)
            case 7:
                return .connected(peer, address, latency: .milliseconds(Int.random(in: 1...500, using: &self.random)))
            case 8: return .failed(peer, address)
            // Nobody else knows that address: until when others say one is kept together for all of them.
            case 10...11: return .addresses(peer, [try Sample.address(77)], source: .altAddr, lifetime: lifetime)
            case 12: return .withdrawn(peer, source: .altAddr)
            default:
                return Int.random(in: 0..<8, using: &self.random) == 0
                    ? .addresses(peer, [address], source: .user, lifetime: .zero) : .failed(peer, address)
            }
        }
    }

    @Test(
        "knows what the model knows, at any time",
        arguments: StoreKind.allCases, [11, 12, 13, 14, 15, 16] as [UInt64])
    func model(kind: StoreKind, seed: UInt64) async throws {
        try await onThread { try Self.model(kind, seed) }
    }

    private static func model(_ kind: StoreKind, _ seed: UInt64) throws {
        var world = try World(seed: seed)
        let directory = TemporaryDirectory.make()
        var store = try kind.make(in: directory)
        var model = NaiveStore()
        let peers = world.keys.map(\.peerID)
        for step in 0..<600 {
            // Each at a time of its own: what is said twice within some minutes is not written twice.
            let steps = Int.random(in: 0..<20, using: &world.random) == 0 ? 400 : 3
            world.now = world.now + .seconds(3_600 * Int.random(in: 1...steps, using: &world.random))
            switch Int.random(in: 0..<30, using: &world.random) {
            case 0:
                let peer = try #require(peers.randomElement(using: &world.random))
                model.forgetPeer(peer)
                _ = try store.forget(peer)
            case 1: _ = try store.sweep(limit: 4, now: world.now)
            case 2 where kind == .sqlite:
                // Closed and opened again.
                store = MemoryPeerStore()
                store = try kind.make(in: directory)
            default:
                let news = try world.news()
                let outcome = try store.learn(news, world.now)
                #expect(outcome.code == (try model.learn(news, world.now)), "seed \(seed), step \(step): \(news)")
            }
            for peer in peers {
                let (known, expected) = (try store.known(peer, world.now), model.known(peer, world.now))
                #expect(known?.record == expected?.record, "seed \(seed), step \(step)")
                #expect(
                    Set(known?.addresses ?? []) == Set(expected?.addresses ?? []), "seed \(seed), step \(step)")
            }
        }
    }

    @Test("memory and disk decide alike when there is no room", arguments: [21, 22, 23, 24] as [UInt64])
    func twins(seed: UInt64) async throws {
        try await onThread { try Self.twins(seed) }
    }

    private static func twins(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let stores = try StoreKind.allCases.map { try $0.make(capacity: 40, salt: seed) }
        var now = Sample.start
        let keys = try (0..<60).map { try Sample.key($0) }
        let nodes = try (0..<30).map { try Sample.nodeKey($0) }
        for step in 0..<60 {
            now = now + .seconds(Int.random(in: 0...40_000, using: &random))
            let news = try (0..<Int.random(in: 1...30, using: &random)).map { _ -> PeerNews in
                let key = keys[Int.random(in: 0..<keys.count, using: &random)]
                let address = try Sample.address(Int.random(in: 0..<2_000, using: &random))
                switch Int.random(in: 0..<16, using: &random) {
                case 12...13:
                    let node = nodes[Int.random(in: 0..<nodes.count, using: &random)]
                    let sequence = UInt64.random(in: 0...50, using: &random)
                    return try Sample.nodeRecord(
                        node, sequence, lightning: ["198.51.100.\(sequence):9735"], bitcoin: ["198.51.100.9:8333"],
                        toldBy: "\(Int.random(in: 0..<6, using: &random))")
                case 14:
                    return .addresses(
                        key.peerID, [address], source: .bolt7, lifetime: Sample.day,
                        use: Bool.random(using: &random) ? .lightning : .bitcoin)
                case 15:
                    return Bool.random(using: &random)
                        ? .connected(key.peerID, address, latency: .seconds(1), use: .lightning)
                        : .failed(key.peerID, address, use: .lightning)
                case 0...5:
                    return Sample.told(
                        key.peerID, [address], for: .seconds(Int.random(in: 600...900_000, using: &random)),
                        by: "\(Int.random(in: 0..<6, using: &random))")
                case 6...8:
                    let count = Int.random(in: 0..<8, using: &random) == 0 ? 90 : 2
                    let sequence = UInt64.random(in: 0...50, using: &random)
                    let record = PeerRecord(
                        peer: key.peerID, sequence: sequence,
                        addresses: try (0..<count).map { try Sample.address($0 + Int(sequence)) })
                    return .record(envelope: try record.sealed(by: key).envelope, source: .dht)
                case 9: return .connected(key.peerID, address, latency: .seconds(1))
                case 10: return .failed(key.peerID, address)
                default: return Sample.told(key.peerID, [address], .user)
                }
            }
            let outcomes = try stores.map { try $0.learn(news, now: now) }
            #expect(outcomes[0] == outcomes[1], "seed \(seed), step \(step)")
            if step % 5 == 0 {
                #expect(try stores[0].sweep(limit: 7, now: now) == stores[1].sweep(limit: 7, now: now))
                let gone = keys[Int.random(in: 0..<keys.count, using: &random)].peerID
                #expect(try stores[0].forget(gone) == stores[1].forget(gone))
            }
            let counts = try stores.map { try $0.counts() }
            #expect(counts[0] == counts[1] && counts[0].used <= 40, "seed \(seed), step \(step)")
            let lists = try stores.map { try $0.list(after: nil, limit: 100, now: now) }
            #expect(lists[0] == lists[1], "seed \(seed), step \(step)")
        }
        #expect(try stores[0].counts().used == 40)
    }
}
