// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetLightningRelay
import AltNetObjects
import Testing

/// Nodes that speak directed messages, and the connections between them: messages take a while, keep their order, and
/// get lost when the world says so; time is invented, and everything follows from the seed.
struct RelayWorld {
    /// The keys of the world's nodes, made once.
    static let keys: [NodePrivateKey] = (1...24).compactMap {
        NodePrivateKey(bytes: Array(repeating: UInt8($0), count: 32))
    }

    enum Outcome: Hashable {
        case replied([UInt8])
        case failed(RelayFailure)
    }

    fileprivate enum Event {
        case message([UInt8], from: Int, to: Int, epochs: [Int])
        case answer(Int, handle: UInt64, [UInt8], epoch: Int)
        case timer(Int)
        case farTimer
        case serverTimer
        case object(id: UInt64, ObjectAnswer)
    }

    /// A far link that begins at node 0, and its path.
    fileprivate var far: (path: [Int], session: FarLinkSession)?
    /// What the far link said to its caller.
    fileprivate(set) var farSaid: [LinkDirective] = []
    /// The far node's serving side, at the end of that path.
    fileprivate var server: FarServerSession?
    /// What the node behind the serving side has.
    var objects: (ObjectRequest) -> ObjectAnswer = { _ in .refused(.notFound) }
    /// What was handed to the node behind the serving side.
    fileprivate(set) var announced: [ObjectAnnouncement] = []
    fileprivate var nextFrame: UInt64 = 1 << 32
    /// The far link's frames that are on their way.
    fileprivate var farFrames: [UInt64: [UInt8]] = [:]

    var random: SeededRandom
    var now = MonotonicInstant.zero
    fileprivate(set) var nodes: [DirectedMessages]
    /// How often each node was started.
    private var epochs: [Int]
    /// Who is connected with whom.
    private var connections: Set<[Int]> = []
    private var queue: [(at: MonotonicInstant, order: Int, event: Event)] = []
    private var order = 0
    /// When the last message of each direction arrives, as a connection keeps the order.
    private var arrivals: [[Int]: MonotonicInstant] = [:]
    /// The share of messages that get lost, in percent.
    var loss = 0
    /// Nodes that take messages but answer nothing.
    var silent: Set<Int> = []
    /// How each message of ours ended: node and number.
    private(set) var outcomes: [Int: [UInt64: Outcome]] = [:]
    /// What was delivered: node and payload.
    private(set) var delivered: [(node: Int, payload: [UInt8])] = []
    /// Changes each message on its way; for tests of what damage does.
    var tamper: ((_ bytes: inout [UInt8], _ from: Int, _ to: Int) -> Void)?
    /// Every message that was sent, while it is kept.
    var record: [(bytes: [UInt8], from: Int, to: Int)]?
    let limits: RelayLimits

    /// So many nodes; each is connected with the next.
    init(nodes count: Int, seed: UInt64, limits: RelayLimits = .standard) {
        self.random = SeededRandom(seed: seed)
        self.limits = limits
        self.nodes = (0..<count).map { DirectedMessages(key: Self.keys[$0], limits: limits) }
        self.epochs = Array(repeating: 0, count: count)
        for node in 1..<count { self.connect(node - 1, node) }
    }

    func id(_ node: Int) -> NodeID { Self.keys[node].publicKey }

    func path(_ nodes: [Int]) -> [NodeID] { nodes.map(self.id) }

    mutating func connect(_ one: Int, _ other: Int) {
        self.connections.insert([min(one, other), max(one, other)])
    }

    /// What every node answers: nobody else answers the same to anything.
    static func answer(of node: Int, to payload: [UInt8]) -> [UInt8] { payload + [UInt8(node)] + payload.reversed() }

    mutating func originate(
        _ node: Int, id: UInt64, path: [Int], payload: [UInt8], timeout: Duration = .seconds(30)
    ) throws {
        let path = self.path(path)
        let state = self.neighbours(of: node)
        let directives = try self.nodes[node].originate(
            id: id, path: path, payload: payload, timeout: timeout, now: self.now, canSend: state, using: &self.random)
        self.carryOut(directives, of: node)
    }

    /// Puts a message on the wire that no state machine made.
    mutating func inject(_ bytes: [UInt8], from: Int, to: Int) { self.send(bytes, from: from, to: to) }

    /// The process of a node dies and comes back: its connections close and open again.
    mutating func restart(_ node: Int) {
        self.epochs[node] += 1
        self.nodes[node] = DirectedMessages(key: Self.keys[node], limits: self.limits)
        for other in self.nodes.indices where self.isConnected(node, other) {
            let directives = self.nodes[other].onPeerClosed(self.id(node), now: self.now)
            self.carryOut(directives, of: other)
        }
    }

    mutating func disconnect(_ one: Int, _ other: Int) {
        self.connections.remove([min(one, other), max(one, other)])
        for (node, peer) in [(one, other), (other, one)] {
            let directives = self.nodes[node].onPeerClosed(self.id(peer), now: self.now)
            self.carryOut(directives, of: node)
        }
    }

    /// Lets time pass until nothing is left to happen before `end`; checks all bounds after each step.
    mutating func run(until end: MonotonicInstant) {
        while let index = self.queue.indices.min(by: { self.isEarlier($0, $1) }), self.queue[index].at <= end {
            let (at, _, event) = self.queue.remove(at: index)
            self.now = max(self.now, at)
            self.handle(event)
        }
        self.now = max(self.now, end)
    }

    mutating func run(for duration: Duration) { self.run(until: self.now + duration) }

    private func isEarlier(_ one: Int, _ other: Int) -> Bool {
        let (one, other) = (self.queue[one], self.queue[other])
        return one.at == other.at ? one.order < other.order : one.at < other.at
    }

    private mutating func handle(_ event: Event) {
        switch event {
        case .message(let bytes, let from, let to, let epochs):
            // What was on its way when either process died is gone.
            guard epochs == [self.epochs[from], self.epochs[to]], self.isConnected(from, to) else { return }
            self.receive(bytes, from: from, to: to)
        case .answer(let node, let handle, let payload, let epoch):
            guard epoch == self.epochs[node] else { return }
            let directives = self.nodes[node].answer(
                handle, Self.answer(of: node, to: payload), now: self.now)
            self.carryOut(directives, of: node)
        case .timer(let node):
            let directives = self.nodes[node].onTimer(now: self.now)
            self.carryOut(directives, of: node)
        case .farTimer: if let directives = self.far?.session.onTimer(now: self.now) { self.absorbFar(directives) }
        case .serverTimer: if let directives = self.server?.onTimer(now: self.now) { self.absorbServer(directives) }
        case .object(let id, let answer):
            if let directives = self.server?.onAnswer(id: id, answer, now: self.now) { self.absorbServer(directives) }
        }
    }

    private mutating func receive(_ bytes: [UInt8], from: Int, to: Int) {
        var bytes = bytes
        self.tamper?(&bytes, from, to)
        let (body, sender) = (bytes.dropFirst(2), self.id(from))
        let state = self.neighbours(of: to)
        if bytes[1] == UInt8(DirectedMessage.type & 0xff), let message = try? DirectedMessage(body: body) {
            let directives = self.nodes[to].onMessage(
                message, from: sender, now: self.now, canSend: state, using: &self.random)
            self.carryOut(directives, of: to)
        } else if bytes[1] == UInt8(DirectedReply.type & 0xff), let reply = try? DirectedReply(body: body) {
            let directives = self.nodes[to].onReply(reply, from: sender, now: self.now)
            self.carryOut(directives, of: to)
        } else {
            Issue.record("a message that nobody can read")
        }
    }

    fileprivate mutating func carryOut(_ directives: [RelayDirective], of node: Int) {
        for directive in directives {
            switch directive {
            case .send(let bytes, let neighbour):
                guard let to = Self.keys.firstIndex(where: { $0.publicKey == neighbour }) else { continue }
                self.send(bytes, from: node, to: to)
            case .deliver(let handle, let payload, _):
                self.delivered.append((node, payload))
                if let far = self.far, far.path.last == node {
                    var bytes: [UInt8] = []
                    bytes.appendBigEndian(handle)
                    let answered = self.server?.onBytes(bytes + payload, now: self.now) ?? []
                    self.absorbServer(answered)
                    continue
                }
                guard !self.silent.contains(node) else { continue }
                let after = Duration.milliseconds(Int64.random(in: 1...500, using: &self.random))
                self.schedule(.answer(node, handle: handle, payload, epoch: self.epochs[node]), at: self.now + after)
            case .replied(let id, let contents) where node == 0 && id >= 1 << 32:
                let directives = self.far?.session.onBytes(contents, now: self.now) ?? []
                self.absorbFar(directives)
            case .failed(let id, let failure) where node == 0 && id >= 1 << 32:
                guard let frame = self.farFrames.removeValue(forKey: id), failure != .timedOut else { continue }
                let directives = self.far?.session.onBytes(RelayFrame.lost(frame), now: self.now) ?? []
                self.absorbFar(directives)
            case .replied(let id, let contents):
                #expect(self.outcomes[node]?[id] == nil)
                self.outcomes[node, default: [:]][id] = .replied(contents)
            case .failed(let id, let failure):
                #expect(self.outcomes[node]?[id] == nil)
                self.outcomes[node, default: [:]][id] = .failed(failure)
            }
        }
        if let deadline = self.nodes[node].deadline { self.schedule(.timer(node), at: max(deadline, self.now)) }
        let held = self.nodes[node].held
        #expect(held.forwards <= self.limits.forwards && held.originated <= self.limits.originated)
        #expect(held.deliveries <= self.limits.deliveries && held.neighbours <= self.limits.neighbours)
        #expect(held.onions <= self.limits.rememberedOnions)
    }

    private mutating func send(_ bytes: [UInt8], from: Int, to: Int) {
        #expect(bytes.count <= 65535)
        self.record?.append((bytes, from, to))
        guard self.isConnected(from, to), Int.random(in: 0..<100, using: &self.random) >= self.loss else { return }
        let delay = Duration.milliseconds(Int64.random(in: 1...200, using: &self.random))
        let arrival = max(self.now + delay, self.arrivals[[from, to]] ?? .zero)
        self.arrivals[[from, to]] = arrival
        self.schedule(
            .message(bytes, from: from, to: to, epochs: [self.epochs[from], self.epochs[to]]), at: arrival)
    }

    fileprivate mutating func schedule(_ event: Event, at moment: MonotonicInstant) {
        // One timer for each node and moment is enough.
        if case .timer(let node) = event {
            let isThere = self.queue.contains {
                if case .timer(node) = $0.event { $0.at == moment } else { false }
            }
            if isThere { return }
        }
        self.queue.append((moment, self.order, event))
        self.order += 1
    }

    private func isConnected(_ one: Int, _ other: Int) -> Bool {
        self.connections.contains([min(one, other), max(one, other)])
    }

    private func neighbours(of node: Int) -> (NodeID) -> NeighbourState {
        let neighbours = Set(self.nodes.indices.filter { self.isConnected(node, $0) }.map(self.id))
        return { neighbours.contains($0) ? .ready : .absent }
    }
}

extension RelayWorld {
    /// Answers a delivery with anything.
    mutating func answer(_ node: Int, handle: UInt64, _ payload: [UInt8]) {
        let directives = self.nodes[node].answer(handle, payload, now: self.now)
        self.carryOut(directives, of: node)
    }
}

// A far link through the world.
extension RelayWorld {
    /// Opens a far link from node 0 along a path, to a serving side at its end.
    mutating func openFarLink(_ path: [Int]) {
        let configuration = FarLinkSession.Configuration(
            network: .regtest, identity: self.id(path[path.count - 1]).description,
            longestFrame: DirectedMessages.roundedPayload(hops: path.count),
            longestAnswer: DirectedMessages.maximumReply)
        var server = FarServerSession(
            FarServerSession.Configuration(network: .regtest, serves: [.headers, .blocks]))
        _ = server.onConnected(now: self.now)
        self.server = server
        var session = FarLinkSession(configuration, seed: self.random.next())
        let directives = session.onConnected(now: self.now)
        self.far = (path, session)
        self.absorbFar(directives)
    }

    mutating func requestFar(id: UInt64, _ request: ObjectRequest) {
        self.absorbFar(self.far?.session.onRequest(id: id, request, now: self.now) ?? [])
    }

    mutating func announceFar(_ announcement: ObjectAnnouncement) {
        self.absorbFar(self.far?.session.onAnnouncement(announcement, now: self.now) ?? [])
    }

    fileprivate mutating func absorbFar(_ directives: [LinkDirective]) {
        for directive in directives {
            switch directive {
            case .write(let frame):
                self.nextFrame += 1
                self.farFrames[self.nextFrame] = frame
                do {
                    try self.originate(0, id: self.nextFrame, path: self.far?.path ?? [], payload: frame)
                } catch {
                    let directives = self.far?.session.onBytes(RelayFrame.lost(frame), now: self.now) ?? []
                    self.absorbFar(directives)
                }
            case .setTimer(let moment): self.schedule(.farTimer, at: moment)
            default: self.farSaid.append(directive)
            }
        }
    }

    fileprivate mutating func absorbServer(_ directives: [LinkDirective]) {
        for directive in directives {
            switch directive {
            case .write(let bytes):
                var reader = ByteReader(bytes)
                guard let handle = try? reader.bigEndian(UInt64.self), let node = self.far?.path.last else { continue }
                let answer = Array(reader.rest())
                if answer.isEmpty {
                    self.nodes[node].forget(handle)
                } else {
                    self.answer(node, handle: handle, answer)
                }
            case .setTimer(let moment): self.schedule(.serverTimer, at: moment)
            case .request(let id, let request):
                self.schedule(.object(id: id, self.objects(request)), at: self.now + .milliseconds(100))
            case .announcement(let announcement): self.announced.append(announcement)
            default: break
            }
        }
    }
}
