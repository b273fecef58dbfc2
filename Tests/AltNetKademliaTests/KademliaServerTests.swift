// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Testing

@testable import AltNetKademlia

@Suite struct KademliaServerTests {
    private static let start = MonotonicInstant.zero
    private let ourKey: PeerPrivateKey
    private let ourselves: PeerID
    private let askerKey: PeerPrivateKey
    private let asker: PeerID

    init() throws {
        self.ourKey = try #require(PeerPrivateKey.ed25519(seed: Array(repeating: 1, count: 32)))
        self.askerKey = try #require(PeerPrivateKey.ed25519(seed: Array(repeating: 2, count: 32)))
        self.ourselves = self.ourKey.peerID
        self.asker = self.askerKey.peerID
    }

    private func record(of key: PeerPrivateKey, sequence: UInt64 = 1) throws -> [UInt8] {
        let address = try Multiaddress(text: "/ip4/192.0.2.1/tcp/4001")
        return try PeerRecord(peer: key.peerID, sequence: sequence, addresses: [address]).sealed(by: key).envelope
    }

    private func own() throws -> KademliaMessage.Peer {
        .init(
            id: self.ourselves, addresses: [try Multiaddress(text: "/ip4/192.0.2.1/tcp/4001")],
            signedRecord: try self.record(of: self.ourKey))
    }

    private func table(of count: Int, seed: UInt64) -> RoutingTable {
        var random = SeededRandom(seed: seed)
        var table = RoutingTable(of: self.ourselves)
        for _ in 0..<count { _ = table.heard(randomPeer(&random), group: nil, now: Self.start) }
        return table
    }

    private func draft(_ step: KademliaServer.Step) throws -> KademliaServer.Draft {
        guard case .ask(let draft) = step else {
            Issue.record("\(step)")
            throw KademliaMessageError.unknownKind(0)
        }
        return draft
    }

    @Test func findNodeAsksThePeerStoreOnceForTheClosestAndTheTarget() throws {
        var server = KademliaServer(ourselves: self.ourselves, now: Self.start)
        let table = self.table(of: 60, seed: 1)
        var random = SeededRandom(seed: 2)
        let target = randomPeer(&random)
        let request = KademliaMessage(kind: .findNode, key: target.bytes, senderRecord: [1, 2, 3])
        let (news, step) = server.onRequest(request, from: self.asker, group: nil, table: table, now: Self.start)
        #expect(news == [.record([1, 2, 3], about: self.asker)])
        let draft = try self.draft(step)
        let closest = table.closest(to: KademliaKey(target))
        #expect(draft.wanted == [target] + closest)

        let address = try Multiaddress(text: "/ip4/192.0.2.9/tcp/1")
        let told: [KademliaMessage.Peer] = [
            .init(id: target, signedRecord: [9]), .init(id: closest[3], addresses: [address]), .init(id: closest[1]),
        ]
        let answer = server.answer(draft, peers: told, own: try self.own())
        #expect(answer.kind == .findNode)
        #expect(answer.closerPeers.map(\.id) == [target, closest[3]])
        #expect(answer.closerPeers[0].signedRecord == [9])
        #expect(answer.senderRecord == (try self.own().signedRecord))
    }

    @Test func whoAsksForUsGetsOurOwnRecordWithoutTheStore() throws {
        var server = KademliaServer(ourselves: self.ourselves, now: Self.start)
        let table = RoutingTable(of: self.ourselves)
        let find = KademliaMessage(kind: .findNode, key: self.ourselves.bytes)
        let step = server.onRequest(find, from: self.asker, group: nil, table: table, now: Self.start).step
        let draft = try self.draft(step)
        #expect(draft.wanted.isEmpty)
        #expect(server.answer(draft, peers: [], own: try self.own()).closerPeers == [try self.own()])

        let key = KademliaValueKey.peerRecord(self.ourselves).bytes
        let get = KademliaMessage(kind: .getValue, key: key)
        let value = server.onRequest(get, from: self.asker, group: nil, table: table, now: Self.start).step
        let answer = server.answer(try self.draft(value), peers: [], own: try self.own())
        try KademliaValue.check(try #require(answer.record).value, for: key)
    }

    @Test func aRecordThatIsPutGoesToThePeerStoreAndIsEchoedOnlyIfTaken() throws {
        var server = KademliaServer(ourselves: self.ourselves, now: Self.start)
        let table = RoutingTable(of: self.ourselves)
        let key = KademliaValueKey.peerRecord(self.asker).bytes
        let value = try self.record(of: self.askerKey)
        var put = KademliaMessage(kind: .putValue, key: key, record: .init(key: key, value: value))
        let (news, step) = server.onRequest(put, from: self.asker, group: nil, table: table, now: Self.start)
        #expect(news == [.record(value, about: self.asker)])
        #expect(step == .answerIfTaken(put))

        let get = KademliaMessage(kind: .getValue, key: key)
        let draft = try self.draft(
            server.onRequest(get, from: self.asker, group: nil, table: table, now: Self.start).step)
        #expect(draft.wanted == [self.asker])
        let told = KademliaMessage.Peer(id: self.asker, signedRecord: value)
        #expect(server.answer(draft, peers: [told], own: try self.own()).record?.value == value)
        #expect(server.answer(draft, peers: [], own: try self.own()).record == nil)

        put.record?.key = [1]
        #expect(
            server.onRequest(put, from: self.asker, group: nil, table: table, now: Self.start).step
                == .refuse(.otherKey))
        put.record = nil
        #expect(
            server.onRequest(put, from: self.asker, group: nil, table: table, now: Self.start).step
                == .refuse(.noRecord))
        let large = KademliaMessage(
            kind: .putValue, key: key, record: .init(key: key, value: Array(repeating: 0, count: 8_193)))
        #expect(
            server.onRequest(large, from: self.asker, group: nil, table: table, now: Self.start).step
                == .refuse(.badValue(.tooLarge(8_193))))
    }

    @Test func valuesWithoutARuleAreRefusedAndPublicKeysKeptUntilTheyExpire() throws {
        var server = KademliaServer(ourselves: self.ourselves, now: Self.start)
        let table = RoutingTable(of: self.ourselves)
        let free = KademliaMessage(kind: .putValue, key: [1, 2], record: .init(key: [1, 2], value: [3]))
        #expect(
            server.onRequest(free, from: self.asker, group: nil, table: table, now: Self.start).step
                == .refuse(.badValue(.unknownNamespace)))
        let key = KademliaValueKey.publicKey(self.asker).bytes
        let value = self.askerKey.publicKey.protobuf
        let put = KademliaMessage(kind: .putValue, key: key, record: .init(key: key, value: value))
        #expect(
            server.onRequest(put, from: self.asker, group: nil, table: table, now: Self.start).step == .answer(put))
        let get = KademliaMessage(kind: .getValue, key: key)
        let late = Self.start + KademliaServer.valueLifetime
        for (now, expected) in [(late + .seconds(-1), value), (late, nil)] {
            let step = server.onRequest(get, from: self.asker, group: nil, table: table, now: now).step
            #expect(server.answer(try self.draft(step), peers: [], own: try self.own()).record?.value == expected)
        }
        server.expire(now: late)
        #expect(server.counts.values == 0)
    }

    @Test func nobodyAnnouncesOthersAsProviders() throws {
        var server = KademliaServer(ourselves: self.ourselves, now: Self.start)
        let table = RoutingTable(of: self.ourselves)
        var random = SeededRandom(seed: 3)
        let other = randomPeer(&random)
        var add = KademliaMessage(kind: .addProvider, key: [7], providers: [.init(id: other, signedRecord: [1])])
        #expect(
            server.onRequest(add, from: self.asker, group: nil, table: table, now: Self.start).step
                == .refuse(.notTheSender))
        add.providers.append(.init(id: self.asker, signedRecord: [2]))
        let (news, step) = server.onRequest(add, from: self.asker, group: nil, table: table, now: Self.start)
        #expect(step == .nothing)
        #expect(news == [.record([2], about: self.asker)])
        add.key = Array(repeating: 1, count: 81)
        #expect(
            server.onRequest(add, from: self.asker, group: nil, table: table, now: Self.start).step
                == .refuse(.providerKeyTooLong(81)))

        let get = KademliaMessage(kind: .getProviders, key: [7])
        for (now, expected) in [(Self.start, [self.asker]), (Self.start + ProviderStore.lifetime, [])] {
            let draft = try self.draft(server.onRequest(get, from: other, group: nil, table: table, now: now).step)
            let told = draft.wanted.map { KademliaMessage.Peer(id: $0, signedRecord: [2]) }
            #expect(server.answer(draft, peers: told, own: try self.own()).providers.map(\.id) == expected)
        }
    }

    @Test func aFloodOfRequestsIsRefusedByNameAndOthersAreStillAnswered() throws {
        var server = KademliaServer(ourselves: self.ourselves, now: Self.start)
        let table = self.table(of: 40, seed: 4)
        var random = SeededRandom(seed: 5)
        let find = KademliaMessage(kind: .findNode, key: self.asker.bytes)
        var refused = 0
        for _ in 0..<10_000 {
            let step = server.onRequest(find, from: self.asker, group: nil, table: table, now: Self.start).step
            if step == .refuse(.tooOften) { refused += 1 }
        }
        #expect(refused == 10_000 - KademliaServer.burstPerPeer)
        let other = randomPeer(&random)
        _ = try self.draft(server.onRequest(find, from: other, group: nil, table: table, now: Self.start).step)
        // Many ids: the limit for all holds, and what is remembered stays bounded.
        var overloaded = 0
        for _ in 0..<5_000 {
            let step = server.onRequest(find, from: randomPeer(&random), group: nil, table: table, now: Self.start).step
            if step == .refuse(.overloaded) { overloaded += 1 }
        }
        #expect(overloaded >= 5_000 - KademliaServer.burst)
        let later = Self.start + .seconds(60)
        _ = try self.draft(server.onRequest(find, from: self.asker, group: nil, table: table, now: later).step)
    }

    @Test func aFloodOfProvidersFromOneNetworkPushesOutItsOwnOnly() {
        var store = ProviderStore()
        var random = SeededRandom(seed: 6)
        let honest = (0..<100).map { number in (key: [1, UInt8(number)] as [UInt8], peer: randomPeer(&random)) }
        for (number, entry) in honest.enumerated() {
            store.add(entry.peer, for: entry.key, source: "\(number).1", now: Self.start)
        }
        // Ten networks, each beyond its own limit, and together beyond the limit of all.
        for number in 0..<30_000 {
            store.add(
                randomPeer(&random), for: random.bytes(8), source: "attacker \(number % 12)", now: Self.start)
        }
        #expect(store.count <= ProviderStore.capacity)
        for entry in honest { #expect(store.providers(of: entry.key, now: Self.start) == [entry.peer]) }
    }

    @Test func aKeyHasABoundedNumberOfProvidersAndTheNewestStay() {
        var store = ProviderStore()
        var random = SeededRandom(seed: 7)
        let peers = (0..<50).map { _ in randomPeer(&random) }
        for peer in peers { store.add(peer, for: [1], source: peer.description, now: Self.start) }
        #expect(store.providers(of: [1], now: Self.start) == peers.suffix(20).reversed())
        #expect(store.count == 20)
        store.expire(now: Self.start + ProviderStore.lifetime)
        #expect(store.count == 0)
    }

    @Test func anAnswerNeverGrowsBeyondAMessage() throws {
        var server = KademliaServer(ourselves: self.ourselves, now: Self.start)
        let table = self.table(of: 60, seed: 8)
        var random = SeededRandom(seed: 9)
        for _ in 0..<20 {
            let peer = randomPeer(&random)
            let add = KademliaMessage(kind: .addProvider, key: [7], providers: [.init(id: peer)])
            _ = server.onRequest(add, from: peer, group: nil, table: table, now: Self.start)
        }
        let get = KademliaMessage(kind: .getProviders, key: [7])
        let draft = try self.draft(
            server.onRequest(get, from: self.asker, group: nil, table: table, now: Self.start).step)
        #expect(draft.wanted.count == 40)
        let told = draft.wanted.map {
            KademliaMessage.Peer(id: $0, signedRecord: Array(repeating: 1, count: SignedEnvelope.maximumSize))
        }
        let answer = server.answer(draft, peers: told, own: try self.own())
        #expect(answer.encoded.count <= KademliaMessage.maximumSize)
        #expect(answer.providers.count == 20)
        #expect(answer.closerPeers.count >= 5)
        #expect(
            answer.closerPeers.map(\.id)
                == Array(table.closest(to: KademliaKey(hashing: [7])).prefix(answer.closerPeers.count)))
    }

    @Test func theFairStoreEvictsTheOldestOfWhoHasMost() {
        var store = FairStore<Int, Int>(capacity: 5, capacityPerSource: 3)
        let expiry = Self.start + .seconds(10)
        for number in 0..<3 { store.insert(number, for: number, source: "a", expiry: expiry) }
        #expect(store.insert(3, for: 3, source: "a", expiry: expiry) == 0)
        store.insert(10, for: 10, source: "b", expiry: expiry)
        store.insert(20, for: 20, source: "c", expiry: expiry)
        #expect(store.insert(21, for: 21, source: "c", expiry: expiry) == 1)
        #expect(store.insert(11, for: 10, source: "c", expiry: expiry) == nil)
        #expect(store.count(of: "b") == 0)
        #expect(store.count(of: "c") == 3)
        #expect(store.value(of: 10, now: expiry) == nil)
        #expect(Set(store.expire(now: expiry)) == [2, 3, 10, 20, 21])
        #expect(store.count == 0)
    }

    @Test func whatIsSaidAgainStaysWithTheSourceThatSaidItFirst() {
        var store = FairStore<Int, Int>(capacity: 100, capacityPerSource: 3)
        let expiry = Self.start + .seconds(10)
        store.insert(1, for: 1, source: "honest", expiry: expiry)
        store.insert(1, for: 1, source: "attacker", expiry: expiry + .seconds(10))
        #expect(store.source(of: 1) == "honest")
        for number in 2..<20 { store.insert(number, for: number, source: "attacker", expiry: expiry) }
        #expect(store.value(of: 1, now: expiry) == 1)
        #expect(store.count(of: "attacker") == 3)
    }

    @Test func oneNetworkCannotTakeAllProvidersOfAKey() {
        var store = ProviderStore()
        var random = SeededRandom(seed: 16)
        let honest = (0..<5).map { _ in randomPeer(&random) }
        for (number, peer) in honest.enumerated() { store.add(peer, for: [1], source: "\(number).1", now: Self.start) }
        // Fresh ids of one network, again and again.
        for _ in 0..<40 { store.add(randomPeer(&random), for: [1], source: "attacker", now: Self.start) }
        #expect(Set(store.providers(of: [1], now: Self.start)).isSuperset(of: honest))
        #expect(store.providers(of: [1], now: Self.start).count == honest.count + ProviderStore.maximumPerKeyAndSource)
        // Of six networks, so that the key has all that it may have: they push out one another.
        for number in 0..<120 {
            store.add(randomPeer(&random), for: [1], source: "attacker \(number % 6)", now: Self.start)
        }
        #expect(Set(store.providers(of: [1], now: Self.start)).isSuperset(of: honest))
        #expect(store.providers(of: [1], now: Self.start).count == ProviderStore.maximumPerKey)
        #expect(store.count == ProviderStore.maximumPerKey)
    }

    @Test func aClientWithManyIDsUsesUpTheShareOfItsNetworkOnly() throws {
        var server = KademliaServer(ourselves: self.ourselves, now: Self.start)
        let table = self.table(of: 40, seed: 14)
        var random = SeededRandom(seed: 15)
        let find = KademliaMessage(kind: .findNode, key: self.asker.bytes)
        var admitted = 0
        for _ in 0..<5_000 {
            let step = server.onRequest(
                find, from: randomPeer(&random), group: "203.0", table: table, now: Self.start
            ).step
            if case .ask = step { admitted += 1 } else { #expect(step == .refuse(.groupTooOften("203.0"))) }
        }
        #expect(admitted == KademliaServer.burstPerGroup)
        for group in ["198.51", nil] {
            let step = server.onRequest(
                find, from: randomPeer(&random), group: group, table: table, now: Self.start
            ).step
            _ = try self.draft(step)
        }
    }

    @Test func ofAValueOnlyTheKeyAndTheValueAreKept() throws {
        var server = KademliaServer(ourselves: self.ourselves, now: Self.start)
        let table = RoutingTable(of: self.ourselves)
        let key = KademliaValueKey.publicKey(self.asker).bytes
        let value = self.askerKey.publicKey.protobuf
        let record = KademliaMessage.Record(key: key, value: value, timeReceived: [1], author: [2], signature: [3])
        let put = KademliaMessage(kind: .putValue, key: key, record: record)
        let bare = KademliaMessage.Record(key: key, value: value)
        #expect(
            server.onRequest(put, from: self.asker, group: nil, table: table, now: Self.start).step
                == .answer(KademliaMessage(kind: .putValue, key: key, record: bare)))
        let get = KademliaMessage(kind: .getValue, key: key)
        let draft = try self.draft(
            server.onRequest(get, from: self.asker, group: nil, table: table, now: Self.start).step)
        #expect(server.answer(draft, peers: [], own: try self.own()).record == bare)
    }
}
