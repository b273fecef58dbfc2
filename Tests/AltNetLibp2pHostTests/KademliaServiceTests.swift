// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKademlia
import AltNetLibp2pHost
import AltNetPeerRecords
import AltNetPeerStore
import Libp2pTestSupport
import Logging
import Synchronization
import Testing

/// Nodes of a DHT in one process, connected by method calls instead of sockets; their messages are bytes all the same.
@Suite("KademliaService", .timeLimit(.minutes(2))) struct KademliaServiceTests {
    @Test("thirty nodes that know one another through the first find each other's records, values and providers")
    func thirty() async throws {
        let exchange = Exchange()
        var nodes: [Node] = []
        for number in 0..<30 {
            let node = try await exchange.node(number)
            if let first = nodes.first {
                await node.book.tell(of: first)
                #expect(await node.service.bootstrap([first.peer]) == 1)
                await node.service.refresh()
            }
            nodes.append(node)
        }
        // One that only asks, and that nobody takes into a table.
        let client = try await exchange.node(200, mode: .client)
        await client.book.tell(of: nodes[0])
        #expect(await client.service.bootstrap([nodes[0].peer]) == 1)
        for node in nodes[1...] {
            let found = try #require(try await client.service.find(node.peer))
            #expect(found.record?.envelope == node.record.envelope)
            #expect(found.hearsay.isEmpty)
            #expect(try await client.book.known([node.peer]).first?.record == node.record)
        }
        for node in nodes { #expect(await !node.service.members.contains(client.peer)) }
        // Who serves no DHT is found all the same: its record came with what it asked, and is put there besides.
        #expect(try await nodes[7].service.find(client.peer)?.record == client.record)
        #expect(try await client.service.publishRecord() >= 20)
        let key = KademliaValueKey.peerRecord(client.peer).bytes
        #expect(try await nodes[9].service.value(of: key) == client.record.envelope)

        let content: [UInt8] = [0x12, 0x20] + Array(repeating: 7, count: 32)
        let told = try await nodes[10].service.provide(content)
        #expect(told >= 20)
        #expect(try await client.service.providers(of: content) == [nodes[10].peer])
        #expect(try await client.service.providers(of: [1, 2, 3]).isEmpty)
    }

    @Test("an answer asks the peer store once, and tells private addresses on their own network only")
    func oneQuery() async throws {
        let exchange = Exchange()
        let node = try await exchange.node(0)
        var others: [Node] = []
        for number in 1..<25 {
            let other = try await exchange.node(number)
            await node.book.tell(of: other)
            await node.service.met(exchange.contact(other.peer))
            others.append(other)
        }
        let asker = others[0]
        for kind in [KademliaMessage.Kind.findNode, .getProviders, .getValue] {
            let key =
                kind == .getValue ? KademliaValueKey.peerRecord(others[5].peer).bytes : others[5].peer.bytes
            let request = KademliaMessage(kind: kind, key: key)
            let before = node.book.handouts
            let reaction = await node.service.answer(request, from: exchange.contact(asker.peer))
            #expect(node.book.handouts == before + 1)
            guard case .answer(let answer) = reaction else {
                Issue.record("\(reaction)")
                continue
            }
            #expect(answer.closerPeers.count >= 20)
            for peer in answer.closerPeers {
                let record = try CertifiedPeerRecord(verifying: try #require(peer.signedRecord))
                #expect(record.record.peer == peer.id)
                #expect(peer.addresses == record.record.addresses)
            }
            if kind == .getValue { #expect(answer.record?.value == others[5].record.envelope) }
            // All of their addresses are on loopback, so that nobody elsewhere is told any.
            let stranger = KademliaContact(peer: asker.peer, group: "203.0", network: nil)
            guard case .answer(let abroad) = await node.service.answer(request, from: stranger) else {
                Issue.record("no answer")
                continue
            }
            #expect(abroad.closerPeers.isEmpty)
            #expect(abroad.record == nil)
            #expect(abroad.senderRecord == nil)
        }
    }

    @Test("forged and outdated records that are put are refused, and the peer store keeps what it has")
    func refusedRecords() async throws {
        let exchange = Exchange()
        let node = try await exchange.node(0)
        let other = try await exchange.node(1, sequence: 10)
        let contact = exchange.contact(other.peer)
        let key = KademliaValueKey.peerRecord(other.peer).bytes
        func put(_ value: [UInt8]) async -> KademliaService.Reaction {
            await node.service.answer(
                KademliaMessage(kind: .putValue, key: key, record: .init(key: key, value: value)), from: contact)
        }
        var forged = other.record.envelope
        forged[forged.count - 1] ^= 1
        guard case .reset = await put(forged) else {
            Issue.record("a forged record was taken")
            return
        }
        #expect(try await node.book.known([other.peer]).isEmpty)
        guard case .answer(let echo) = await put(other.record.envelope) else {
            Issue.record("a right record was refused")
            return
        }
        #expect(echo.key == key)
        let older = try await exchange.node(1, sequence: 9)
        guard case .reset = await put(older.record.envelope) else {
            Issue.record("an older record was taken")
            return
        }
        // Of somebody else, under this key.
        let third = try await exchange.node(2)
        guard case .reset = await put(third.record.envelope) else {
            Issue.record("a record of another peer was taken")
            return
        }
        #expect(try await node.book.known([other.peer]).first?.record == other.record)
        #expect(try await node.book.known([third.peer]).isEmpty)
    }

    @Test("nodes that are gone leave the table, and searches go on without them")
    func gone() async throws {
        let exchange = Exchange()
        var nodes: [Node] = []
        for number in 0..<12 {
            let node = try await exchange.node(number)
            if let first = nodes.first {
                await node.book.tell(of: first)
                #expect(await node.service.bootstrap([first.peer]) == 1)
            }
            nodes.append(node)
        }
        for node in nodes { await node.service.refresh() }
        exchange.kill(nodes[1...4].map(\.peer))
        for _ in 0..<2 { for node in nodes[5...] { await node.service.refresh() } }
        for node in nodes[5...] {
            let members = await node.service.members
            #expect(Set(members).isDisjoint(with: nodes[1...4].map(\.peer)))
            #expect(try await node.service.find(nodes[0].peer)?.record == nodes[0].record)
        }
    }

    @Test("a search that is cancelled ends at once, although nobody answers")
    func cancelled() async throws {
        let exchange = Exchange()
        let node = try await exchange.node(0)
        let silent = try await exchange.node(1)
        await node.service.met(exchange.contact(silent.peer))
        exchange.silence(silent.peer)
        let search = Task { try await node.service.find(silent.peer) }
        while exchange.waiting == 0 { await Task.yield() }
        let clock = ContinuousClock()
        let duration = try await clock.measure {
            search.cancel()
            _ = try await search.value
        }
        #expect(duration < .seconds(5))
    }

    @Test("what cannot be published or provided is refused by name")
    func refusals() async throws {
        let exchange = Exchange()
        let node = try await exchange.node(0)
        await #expect(throws: KademliaError.nobodyTook(0)) { try await node.service.publishRecord() }
        await #expect(throws: KademliaError.providerKey(81)) {
            try await node.service.provide(Array(repeating: 1, count: 81))
        }
        await #expect(throws: KademliaError.value(.unknownNamespace)) {
            try await node.service.put([1], under: Array("/free/key".utf8))
        }
        await #expect(throws: KademliaError.value(.unknownNamespace)) {
            try await node.service.value(of: Array("/free/key".utf8))
        }
    }
}

/// A node, its record and its peer store.
private struct Node {
    let peer: PeerID
    let record: CertifiedPeerRecord
    let book: CountingBook
    let service: KademliaService
}

/// A peer store in memory that counts questions.
private final class CountingBook: PeerBook {
    private let book = StoredPeerBook(store: MemoryPeerStore(), now: { WallClockTime(seconds: 1_800_000_000) })
    private let count = Mutex(0)

    var handouts: Int { self.count.withLock { $0 } }

    func known(_ peers: [PeerID]) async throws -> [KnownPeer] { try await self.book.known(peers) }

    func handout(_ peers: [PeerID], to network: LocalNetwork?) async throws -> [PeerHandout] {
        self.count.withLock { $0 += 1 }
        return try await self.book.handout(peers, to: network)
    }

    func learn(_ news: [PeerNews]) async throws -> [NewsOutcome] { try await self.book.learn(news) }

    func tell(of node: Node) async {
        _ = try? await self.learn([
            .record(envelope: node.record.envelope, source: .user, about: node.peer, learnedOn: .loopback)
        ])
    }
}

/// All nodes by their ids: what sockets are otherwise.
private final class Exchange: Sendable {
    private struct State {
        var services: [PeerID: KademliaService] = [:]
        var silent: Set<PeerID> = []
        var waiting = 0
    }

    private let state = Mutex(State())

    var waiting: Int { self.state.withLock { $0.waiting } }

    func contact(_ peer: PeerID) -> KademliaContact {
        KademliaContact(peer: peer, group: nil, network: .loopback)
    }

    func node(_ number: Int, mode: KademliaService.Mode = .server, sequence: UInt64 = 1) async throws -> Node {
        let key = try TestHost.key(UInt8(number + 1))
        let address = try Multiaddress(text: "/ip4/127.0.0.1/tcp/\(number + 1_000)")
        let record = try PeerRecord(peer: key.peerID, sequence: sequence, addresses: [address]).sealed(by: key)
        let book = CountingBook()
        var logger = Logger(label: "node")
        logger.logLevel = .critical
        let service = KademliaService(
            ourselves: key.peerID, book: book, carrier: Carrier(exchange: self, peer: key.peerID, record: record),
            configuration: .init(mode: mode), logger: logger)
        if mode == .server { self.state.withLock { $0.services[key.peerID] = service } }
        return Node(peer: key.peerID, record: record, book: book, service: service)
    }

    func kill(_ peers: [PeerID]) {
        self.state.withLock { state in
            for peer in peers { state.services[peer] = nil }
        }
    }

    func silence(_ peer: PeerID) {
        self.state.withLock { _ = $0.silent.insert(peer) }
    }

    func deliver(_ message: KademliaMessage, to peer: PeerID, from sender: PeerID) async throws -> KademliaMessage? {
        let (service, isSilent, isServer) = self.state.withLock { state in
            state.waiting += 1
            return (state.services[peer], state.silent.contains(peer), state.services[sender] != nil)
        }
        if isSilent { try await Task.sleep(for: .seconds(3_600)) }
        guard let service else { throw KademliaError.noAnswer }
        // What identify does on a new connection.
        if isServer { await service.met(self.contact(sender)) }
        let request = try KademliaMessage(decoding: message.encoded)
        switch await service.answer(request, from: self.contact(sender)) {
        case .answer(let answer): return try KademliaMessage(decoding: answer.encoded)
        case .nothing: return nil
        case .reset: throw KademliaError.noAnswer
        }
    }
}

private struct Carrier: KademliaCarrier {
    let exchange: Exchange
    let peer: PeerID
    let record: CertifiedPeerRecord

    func own(to network: LocalNetwork?) -> KademliaMessage.Peer {
        guard network == .loopback else { return KademliaMessage.Peer(id: self.peer) }
        return KademliaMessage.Peer(
            id: self.peer, addresses: self.record.record.addresses, signedRecord: self.record.envelope)
    }

    func ask(_ peer: PeerID, _ compose: @escaping Composer) async throws -> (KademliaMessage, KademliaContact) {
        let answer = try await self.exchange.deliver(
            try compose(self.own(to: .loopback)), to: peer, from: self.peer)
        guard let answer else { throw KademliaError.noAnswer }
        return (answer, self.exchange.contact(peer))
    }

    func tell(_ peer: PeerID, _ compose: @escaping Composer) async throws {
        _ = try await self.exchange.deliver(try compose(self.own(to: .loopback)), to: peer, from: self.peer)
    }
}
