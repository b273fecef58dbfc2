// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDialing
import AltNetKademlia
import AltNetLibp2p
import AltNetPeerRecords
import AltNetPeerStore
import Libp2pTestSupport
import Logging
import Synchronization
import Testing

@testable import AltNetLibp2pHost

/// Nodes of a DHT in one process, connected by method calls instead of sockets; their messages are bytes all the same.
@Suite("KademliaService", .timeLimit(.minutes(5))) struct KademliaServiceTests {
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

    @Test("a node joins through its bootstrap nodes as soon as they are there, without being told again")
    func joinsLater() async throws {
        let exchange = Exchange()
        let first = try await exchange.node(0)
        let other = try await exchange.node(1)
        let late = try await exchange.node(2)
        for node in [other, late] { await node.book.tell(of: first) }
        #expect(await other.service.bootstrap([first.peer]) == 1)
        exchange.kill([first.peer])
        #expect(await late.service.bootstrap([first.peer]) == 0)
        #expect(await !late.service.refresh())
        #expect(await late.service.members.isEmpty)
        exchange.revive(first)
        #expect(await late.service.refresh())
        #expect(await Set(late.service.members) == [first.peer, other.peer])
    }

    @Test("a node that loses all others finds them again through its bootstrap nodes")
    func joinsAgain() async throws {
        let exchange = Exchange()
        let first = try await exchange.node(0)
        let node = try await exchange.node(1)
        await node.book.tell(of: first)
        #expect(await node.service.bootstrap([first.peer]) == 1)
        await node.service.left(first.peer)
        #expect(await node.service.members.isEmpty)
        #expect(await node.service.refresh())
        #expect(await node.service.members == [first.peer])
    }

    @Test("nodes to join through are remembered up to a bound, and joining is retried after growing pauses")
    func retries() async throws {
        let exchange = Exchange()
        let node = try await exchange.node(0)
        let peers = try (1...100).map { try TestHost.key(UInt8($0)).peerID }
        for peer in peers { await node.service.bootstrap([peer]) }
        #expect(await node.service.entrances == peers.suffix(KademliaService.maximumEntrances))
        let pauses = [1, 2, 3, 6, 1_000].map { KademliaService.retryPause(after: $0) }
        #expect(pauses == [.seconds(10), .seconds(20), .seconds(40), .seconds(300), .seconds(300)])
    }

    @Test("failures that are our own, and an outage in which nobody answers, empty no table", arguments: 0..<11)
    func ourOwnFailures(number: Int) async throws {
        let exchange = Exchange()
        let node = try await exchange.node(0)
        var others: [PeerID] = []
        for number in 1..<8 {
            let other = try await exchange.node(number)
            await node.book.tell(of: other)
            others.append(other.peer)
        }
        #expect(await node.service.bootstrap(others) == 7)
        func unreachable(_ failure: DialFailure, isOfPeer: Bool = false) -> PeerUnreachable {
            var error = PeerUnreachable(peer: others[0], failure: failure, reasons: [])
            error.wasTriedInEarnest = isOfPeer
            return error
        }
        let theirs = unreachable(.unreachable(tried: 1, inBackOff: 0), isOfPeer: true)
        let errors: [any Error] = [
            LinkFailure.limit("too many"), LinkFailure.undialable("no proxy"), StreamRefusal.tooManyStreams,
            StreamReset.tooMuchUnread, unreachable(.tooManyRequests), unreachable(.unreachable(tried: 1, inBackOff: 0)),
            unreachable(.inBackOff(addresses: 1, wait: .seconds(5))), BookFailure(),
            LinkFailure.network("unreachable"), KademliaError.noAnswer, theirs,
        ]
        let error = errors[number]
        // Of all: also what looks like the fault of others.
        exchange.fail(others, with: error)
        for _ in 0..<3 { #expect(await !node.service.refresh()) }
        #expect(await Set(node.service.members) == Set(others), "\(error)")
        // Of one, while the others answer.
        exchange.fail(others, with: nil)
        exchange.fail([others[0]], with: error)
        for _ in 0..<3 { #expect(await node.service.refresh()) }
        let isCounted = number >= 8
        #expect(await Set(node.service.members) == Set(isCounted ? others.dropFirst() : others[...]), "\(error)")
    }

    @Test("who calls us and claims to serve the DHT is a member only when it answers, and few are asked at once")
    func claims() async throws {
        let exchange = Exchange()
        let node = try await exchange.node(0)
        let honest = try await exchange.node(1)
        await node.service.claimed(by: exchange.contact(honest.peer))
        while await !node.service.members.contains(honest.peer) { await Task.yield() }
        // A hundred that say so and never answer.
        let liars = try (0..<100).map { try TestHost.key(UInt8($0 + 100)).peerID }
        for liar in liars { exchange.silence(liar) }
        for liar in liars { await node.service.claimed(by: exchange.contact(liar)) }
        while exchange.waiting < MembershipClaims.maximumChecks + 1 { await Task.yield() }
        #expect(await node.service.members == [honest.peer])
        #expect(exchange.waiting == MembershipClaims.maximumChecks + 1)

        var claims = MembershipClaims()
        #expect(liars.filter { claims.add($0) }.count == MembershipClaims.maximumWaiting)
        var asked: [PeerID] = []
        while let peer = claims.next() { asked.append(peer) }
        #expect(asked == Array(liars.prefix(MembershipClaims.maximumChecks)))
        claims.done(asked[0])
        let next = claims.next()
        #expect(next == liars[MembershipClaims.maximumChecks])
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

/// What a peer store that does not answer throws.
private struct BookFailure: Error {}

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

    func signedPeerRecords(of peers: [PeerID], to network: LocalNetwork?) async throws -> [PeerHandout] {
        self.count.withLock { $0 += 1 }
        return try await self.book.signedPeerRecords(of: peers, to: network)
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
        var failures: [PeerID: any Error] = [:]
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

    func revive(_ node: Node) {
        self.state.withLock { $0.services[node.peer] = node.service }
    }

    /// Lets requests to these peers fail so; not at all with `nil`.
    func fail(_ peers: [PeerID], with error: (any Error)?) {
        self.state.withLock { state in
            for peer in peers { state.failures[peer] = error }
        }
    }

    func silence(_ peer: PeerID) {
        self.state.withLock { _ = $0.silent.insert(peer) }
    }

    func deliver(_ message: KademliaMessage, to peer: PeerID, from sender: PeerID) async throws -> KademliaMessage? {
        let (service, isSilent, isServer, failure) = self.state.withLock { state in
            state.waiting += 1
            return (
                state.services[peer], state.silent.contains(peer), state.services[sender] != nil, state.failures[peer]
            )
        }
        if let failure { throw failure }
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

    func learned(_ news: [PeerNews]) async {}
}
