// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKademlia
import AltNetPeerRecords
import Testing

/// Some hundred nodes with routing tables and servers, in one process and in virtual time.
struct SimulatedNetwork {
    /// What a node does when it is asked.
    enum Behaviour {
        case honest
        /// It is gone; requests to it are never answered.
        case dead
        /// It names the other liars, and peers that do not exist, as close to the key as it could find any; values it
        /// forges, and records too.
        case liar
        /// It answers with something else than what it was asked for.
        case confused
    }

    struct Node {
        let key: PeerPrivateKey
        let envelope: [UInt8]
        var table: RoutingTable
        var server: KademliaServer
        var behaviour = Behaviour.honest
    }

    private(set) var nodes: [PeerID: Node] = [:]
    private(set) var ids: [PeerID] = []
    /// Peers that do not exist, for liars to name.
    private var inventions: [PeerID] = []
    var random: SeededRandom
    /// Of a hundred messages, how many are lost.
    var loss = 0

    init(of count: Int, seed: UInt64) throws {
        self.random = SeededRandom(seed: seed)
        for number in 0..<count {
            let key = try #require(PeerPrivateKey.ed25519(seed: self.random.bytes(32)))
            let address = try Multiaddress(text: "/ip4/10.\(number / 250).\(number % 250).1/tcp/4001")
            let record = PeerRecord(peer: key.peerID, sequence: 7, addresses: [address])
            self.nodes[key.peerID] = Node(
                key: key, envelope: try record.sealed(by: key).envelope, table: RoutingTable(of: key.peerID),
                server: KademliaServer(ourselves: key.peerID, now: .zero))
            self.ids.append(key.peerID)
        }
        for id in self.ids {
            for other in self.ids.shuffled(using: &self.random) {
                _ = self.nodes[id]?.table.heard(other, group: nil, now: .zero)
            }
        }
        self.inventions = (0..<4_000).map { _ in randomPeer(&self.random) }
    }

    mutating func set(_ behaviour: Behaviour, for peers: some Sequence<PeerID>) {
        for peer in peers { self.nodes[peer]?.behaviour = behaviour }
    }

    /// The nodes that behave so.
    func all(_ behaviour: Behaviour) -> [PeerID] {
        self.ids.filter { self.nodes[$0]?.behaviour == behaviour }
    }

    static func closest(_ peers: [PeerID], to key: [UInt8], count: Int) -> [PeerID] {
        let place = KademliaKey(hashing: key)
        let sorted = peers.map { (peer: $0, distance: KademliaKey($0).distance(to: place)) }
            .sorted { $0.distance < $1.distance }
        return sorted.prefix(count).map(\.peer)
    }

    /// Gives a node something directly, as if it had been asked before.
    mutating func tell(_ peer: PeerID, _ request: KademliaMessage, from sender: PeerID) {
        _ = self.nodes[peer]?.server.onRequest(
            request, from: sender, group: nil, table: RoutingTable(of: peer), now: .zero)
    }

    /// What a node answers; `nil` when nothing comes.
    private mutating func answer(
        of peer: PeerID, to request: KademliaMessage, from asker: PeerID, now: MonotonicInstant
    ) throws -> KademliaMessage? {
        guard let node = self.nodes[peer] else { return nil }
        switch node.behaviour {
        case .dead: return nil
        case .confused: return KademliaMessage(kind: .ping)
        case .liar:
            let fellows = Self.closest(self.all(.liar), to: request.key, count: 6)
            let invented = Self.closest(self.inventions, to: request.key, count: 14)
            let named = (fellows + invented).map { KademliaMessage.Peer(id: $0, signedRecord: [1, 2, 3]) }
            let wanted = (try? PeerID(bytes: request.key)).map {
                [KademliaMessage.Peer(id: $0, signedRecord: node.envelope)]
            }
            let forged = KademliaMessage.Record(key: request.key, value: node.envelope)
            return KademliaMessage(
                kind: request.kind, key: request.key, record: forged, closerPeers: (wanted ?? []) + named)
        case .honest:
            let step = self.nodes[peer]?.server
                .onRequest(request, from: asker, group: nil, table: node.table, now: now).step
            guard case .ask(let draft) = step else { return nil }
            let told = draft.wanted.compactMap { id in
                self.nodes[id].map { KademliaMessage.Peer(id: id, signedRecord: $0.envelope) }
            }
            let answer = node.server.answer(
                draft, peers: told, own: .init(id: peer, signedRecord: node.envelope))
            // As it would arrive.
            return try KademliaMessage(decoding: answer.encoded)
        }
    }

    private enum Event {
        case answer(PeerID, KademliaMessage?)
        case timer
    }

    /// Runs a search to its end, and checks on the way what holds for every search.
    mutating func run(_ key: [UInt8], _ goal: Lookup.Goal, by asker: PeerID, seeds: [PeerID]? = nil) throws
        -> (findings: Lookup.Findings, duration: Duration)
    {
        let table = try #require(self.nodes[asker]).table
        let known = seeds ?? table.closest(to: KademliaKey(hashing: key))
        var now = MonotonicInstant.zero
        var lookup = Lookup(key: key, goal: goal, ourselves: asker, seeds: known, now: now)
        var events: [(time: MonotonicInstant, event: Event)] = []
        var open: Set<PeerID> = []
        var asked: Set<PeerID> = []
        var findings: Lookup.Findings?
        var directives = lookup.start(now: now)
        while true {
            for directive in directives {
                #expect(findings == nil, "nothing comes after the end")
                switch directive {
                case .learn(let peers, let source):
                    #expect(peers.count <= 2 * RoutingTable.bucketSize + 128)
                    #expect(asked.contains(source))
                case .query(let peer, let request):
                    #expect(asked.insert(peer).inserted, "a peer is asked twice")
                    #expect(peer != asker)
                    open.insert(peer)
                    #expect(open.count <= Lookup.parallelism)
                    let isLost = Int.random(in: 0..<100, using: &self.random) < self.loss
                    let answer = try self.answer(of: peer, to: request, from: asker, now: now)
                    guard !isLost, let answer else { continue }
                    let delay = Duration.milliseconds(Int.random(in: 10...800, using: &self.random))
                    events.append((now + delay, .answer(peer, answer)))
                case .abandon(let peer): #expect(open.remove(peer) != nil)
                case .setTimer(let time): events.append((time, .timer))
                case .finished(let result): findings = result
                }
            }
            if let findings {
                #expect(open.isEmpty)
                #expect(findings.asked == asked.count)
                #expect(findings.asked <= Lookup.maximumQueries)
                #expect(now - .zero <= Lookup.timeout)
                return (findings, now - .zero)
            }
            events.sort { $0.time > $1.time }
            let first = events.popLast()
            let next = try #require(first, "the search stands still")
            now = max(now, next.time)
            switch next.event {
            case .timer: directives = lookup.onTimer(now: now)
            case .answer(let peer, let message):
                open.remove(peer)
                directives =
                    message.map { lookup.onAnswer($0, from: peer, now: now).directives }
                    ?? lookup.onFailure(of: peer, now: now)
            }
        }
    }
}
