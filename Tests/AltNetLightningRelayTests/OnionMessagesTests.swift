// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetLightning
import AltNetLightningRelay
import AltNetOnion
import Testing

/// Nodes in a row that speak onion messages; messages arrive at once.
struct OnionWorld {
    var nodes: [OnionMessages]
    var random: SeededRandom
    var now = MonotonicInstant.zero
    var said: [(node: Int, directive: RelayDirective)] = []
    /// The sizes of the onions that were sent.
    var sizes: [Int] = []
    /// What was sent to nodes that are not in the row's neighbourhood of the sender.
    var strays = 0

    init(nodes count: Int, seed: UInt64, limits: RelayLimits = .standard) {
        self.nodes = (0..<count).map { OnionMessages(.key(RelayWorld.keys[$0]), limits: limits) }
        self.random = SeededRandom(seed: seed)
    }

    static func id(_ node: Int) -> NodeID { RelayWorld.keys[node].publicKey }

    static func state(of node: Int) -> (NodeID) -> NeighbourState {
        { $0 == self.id(node + 1) || (node > 0 && $0 == self.id(node - 1)) ? .ready : .absent }
    }

    mutating func originate(_ node: Int, id: UInt64, path: [Int], payload: [UInt8]) throws {
        let directives = try self.nodes[node].originate(
            id: id, path: path.map(Self.id), payload: payload, now: self.now, canSend: Self.state(of: node),
            using: &self.random)
        try self.carryOut(directives, of: node)
    }

    mutating func answer(_ node: Int, _ handle: UInt64, _ payload: [UInt8]) throws {
        let directives = self.nodes[node].answer(
            handle, payload, now: self.now, canSend: Self.state(of: node), using: &self.random)
        try self.carryOut(directives, of: node)
    }

    mutating func carryOut(_ directives: [RelayDirective], of node: Int) throws {
        for directive in directives {
            guard case .send(let bytes, let neighbour) = directive else {
                self.said.append((node, directive))
                continue
            }
            guard let to = self.nodes.indices.first(where: { Self.id($0) == neighbour }), abs(to - node) == 1 else {
                self.strays += 1
                continue
            }
            let message = try OnionMessage(body: bytes.dropFirst(2))
            #expect(bytes == message.encoded)
            self.sizes.append(message.onion.count)
            try self.receive(message, from: node, to: to)
        }
    }

    mutating func receive(_ message: OnionMessage, from: Int, to: Int) throws {
        let directives = self.nodes[to].onMessage(
            message, from: Self.id(from), now: self.now, canSend: Self.state(of: to), using: &self.random)
        try self.carryOut(directives, of: to)
    }
}

@Suite("OnionMessages")
struct OnionMessagesTests {
    @Test("the longest message and the longest answer of every path arrive, and no longer ones", arguments: 1...20)
    func everyLength(_ length: Int) throws {
        let path = Array(1...length)
        for longest in [OnionMessages.ordinaryPayload(hops: length), OnionMessages.maximumPayload(hops: length)] {
            guard longest > 0 else { continue }
            var world = OnionWorld(nodes: length + 1, seed: UInt64(length))
            let payload = world.random.bytes(longest)
            try world.originate(0, id: 5, path: path, payload: payload)
            let isOrdinary = longest == OnionMessages.ordinaryPayload(hops: length)
            #expect(Set(world.sizes) == [isOrdinary ? 1366 : 32834])
            guard case .deliver(let handle, payload, OnionWorld.id(length - 1))? = world.said.last?.directive else {
                Issue.record("not delivered over \(length) hops")
                return
            }
            let answer = world.random.bytes(OnionMessages.maximumReply(hops: length))
            try world.answer(length, handle, answer)
            #expect(world.said.count == 2 && world.said[1].node == 0)
            #expect(world.said[1].directive == .replied(id: 5, answer))
            #expect(world.nodes.allSatisfy { $0.held.originated == 0 && $0.held.deliveries == 0 })
        }
        var world = OnionWorld(nodes: length + 1, seed: 1)
        let tooLong = OnionMessages.maximumPayload(hops: length) + 1
        #expect(throws: RelayError.payloadTooLong(bytes: tooLong, limit: tooLong - 1)) {
            try world.originate(0, id: 1, path: path, payload: Array(repeating: 0, count: tooLong))
        }
        let ordinary = OnionMessages.ordinaryPayload(hops: length)
        if ordinary > 0 {
            try world.originate(0, id: 1, path: path, payload: Array(repeating: 0, count: ordinary + 1))
            #expect(Set(world.sizes) == [32834])
            guard case .deliver(let handle, _, _)? = world.said.last?.directive else {
                Issue.record("not delivered")
                return
            }
            let answer = [UInt8](repeating: 0, count: OnionMessages.maximumReply(hops: length) + 1)
            try world.answer(length, handle, answer)
            #expect(world.nodes[length].counters[.answersDropped] == 1)
        }
    }

    @Test("the sizes are those of the document")
    func sizes() {
        #expect([1, 5, 6, 20].map(OnionMessages.ordinaryPayload) == [384, 384, 0, 0])
        #expect([1, 5, 6, 10, 11, 20].map(OnionMessages.maximumPayload) == [31852, 31852, 30982, 30982, 29242, 29242])
        #expect([1, 5, 6, 10, 11, 20].map(OnionMessages.maximumReply) == [32318, 32318, 31878, 31878, 30998, 30998])
        #expect([0, 21].map(OnionMessages.maximumPayload) == [0, 0])
    }

    @Test("each of many messages gets its own answer, in whatever order they come")
    func ownAnswers() throws {
        var world = OnionWorld(nodes: 4, seed: 3)
        for id in 0..<30 { try world.originate(0, id: UInt64(id), path: [1, 2, 3], payload: [UInt8(id), 1]) }
        var handles: [(UInt64, [UInt8])] = []
        for case .deliver(let handle, let payload, _) in world.said.map(\.directive) {
            handles.append((handle, payload))
        }
        handles.shuffle(using: &world.random)
        for (handle, payload) in handles { try world.answer(3, handle, payload + [9]) }
        var replies: [UInt64: [UInt8]] = [:]
        for case .replied(let id, let payload) in world.said.map(\.directive) { replies[id] = payload }
        #expect(replies.count == 30)
        for (id, payload) in replies { #expect(payload == [UInt8(id), 1, 9]) }
    }

    @Test("without an answer a message of ours times out, and a delivery is forgotten")
    func timeouts() throws {
        var world = OnionWorld(nodes: 3, seed: 3)
        try world.originate(0, id: 1, path: [1, 2], payload: [1, 2])
        #expect(world.nodes[0].deadline == world.now + .seconds(30))
        #expect(world.nodes[0].onTimer(now: world.now + .seconds(30)) == [.failed(id: 1, .timedOut)])
        #expect(world.nodes[0].deadline == nil)
        guard case .deliver(let handle, _, _)? = world.said.last?.directive else {
            Issue.record("not delivered")
            return
        }
        try world.answer(2, handle, [1])
        #expect(world.nodes[0].counters[.unknownReplies] == 1)
        try world.originate(0, id: 2, path: [1, 2], payload: [1, 2])
        #expect(world.nodes[2].onTimer(now: world.now + .seconds(60)).isEmpty)
        #expect(world.nodes[2].counters[.deliveriesExpired] == 1)
    }

    /// A message made by hand, over nodes 1 and 2.
    private func message(
        _ data: [EncryptedRecipientData], _ fields: [UInt64: [UInt8]], seed: UInt8 = 7, first: [UInt64: [UInt8]] = [:]
    ) throws -> OnionMessage {
        let keys = try [seed, seed + 1].map { try #require(NodePrivateKey(bytes: Array(repeating: $0, count: 32))) }
        let path = try BlindedPath(
            zip([1, 2], data).map { (node: OnionWorld.id($0), data: $1.encoded) }, sessionKey: keys[0])
        let hops = path.hops.enumerated().map { index, hop in
            let payload = OnionMessagePayload(
                encryptedRecipientData: hop.encryptedRecipientData,
                fields: index == path.hops.count - 1 ? fields : first)
            return OnionHop(hop.blindedNode, payload.encoded)
        }
        let packet = try OnionPacket.build(hops, sessionKey: keys[1]).packet
        return try #require(OnionMessage(pathKey: path.firstPathKey.bytes, onion: packet.bytes))
    }

    @Test("what BOLT 4 says to ignore is ignored, and counted")
    func ignored() throws {
        let next = EncryptedRecipientData(nextNode: OnionWorld.id(2))
        let last = EncryptedRecipientData()
        let frame = [OnionMessages.fieldType: [UInt8]([1, 2])]
        var withFeature = next
        withFeature.allowedFeatures = [1]
        let cases: [([EncryptedRecipientData], [UInt64: [UInt8]], [UInt64: [UInt8]], Int, RelayCounters.Event)] = [
            ([EncryptedRecipientData(shortChannelID: 5), last], frame, [:], 1, .unknownNextNodes),
            ([EncryptedRecipientData(nextNode: OnionWorld.id(9)), last], frame, [:], 1, .unknownNextNodes),
            ([EncryptedRecipientData(nextNode: OnionWorld.id(2), pathID: [1]), last], frame, [:], 1, .invalidPayloads),
            ([withFeature, last], frame, [:], 1, .invalidPayloads),
            ([next, last], frame, [65: [1]], 1, .invalidPayloads),
            ([next, last], frame, [70: [1]], 1, .invalidPayloads),
            ([next, last], [64: [1]], [:], 2, .foreignMessages),
            ([next, last], [OnionMessages.fieldType: [1], 77: [1]], [:], 2, .foreignMessages),
            ([next, last], [70: [1]], [:], 2, .invalidPayloads),
            ([next, EncryptedRecipientData(pathID: Array(repeating: 1, count: 32))], frame, [:], 2, .unknownReplies),
        ]
        for (index, (data, fields, first, node, event)) in cases.enumerated() {
            var world = OnionWorld(nodes: 4, seed: 1)
            try world.receive(try self.message(data, fields, first: first), from: 0, to: 1)
            #expect(world.said.isEmpty, "case \(index)")
            #expect(world.nodes[node].counters[event] == 1, "case \(index)")
        }
        // The same without a fault arrives, without a way to answer; a second copy does not.
        var world = OnionWorld(nodes: 4, seed: 1)
        let message = try self.message([next, last], frame)
        for _ in 0..<2 { try world.receive(message, from: 0, to: 1) }
        #expect(world.said.count == 1 && world.nodes[1].counters[.replays] == 1)
        try world.answer(2, 1 << 63, [1])
        #expect(world.nodes[2].counters[.answersDropped] == 1)
    }

    @Test("bad keys, bad codes and neighbours over their rate are dropped")
    func damage() throws {
        var limits = RelayLimits()
        (limits.burst, limits.perSecond) = (4, 1)
        var world = OnionWorld(nodes: 4, seed: 1, limits: limits)
        let good = try self.message(
            [EncryptedRecipientData(nextNode: OnionWorld.id(2)), EncryptedRecipientData()], [:])
        var onion = good.onion
        onion[700] ^= 1
        for message in [
            OnionMessage(pathKey: Array(repeating: 5, count: 33), onion: good.onion),
            OnionMessage(pathKey: good.pathKey, onion: onion), OnionMessage(pathKey: good.pathKey, onion: [0]),
            OnionMessage(pathKey: OnionWorld.id(3).bytes, onion: good.onion), good,
        ] {
            try world.receive(try #require(message), from: 0, to: 1)
        }
        #expect(world.nodes[1].counters[.malformedOnions] == 4)
        #expect(world.nodes[1].counters[.rateLimited] == 1)
        #expect(world.nodes[1].counters[.forwarded] == 0)
    }

    @Test("an attached node that peels for us serves both ends", arguments: [true, false])
    func attached(_ throughItself: Bool) throws {
        // Node 0 is the attached one, whose peeling is done here by another state machine with its key.
        var world = OnionWorld(nodes: 3, seed: 4)
        var ours = OnionMessages(.attached(OnionWorld.id(0), throughItself: throughItself))
        let sent = try ours.originate(
            id: 1, path: [OnionWorld.id(1), OnionWorld.id(2)], payload: [1, 2], now: .zero,
            canSend: { _ in .ready }, using: &world.random)
        guard case .send(let bytes, let first)? = sent.first else {
            Issue.record("not sent")
            return
        }
        #expect(first == OnionWorld.id(throughItself ? 0 : 1))
        let message = try OnionMessage(body: bytes.dropFirst(2))
        try world.receive(message, from: throughItself ? 1 : 0, to: throughItself ? 0 : 1)
        guard case .deliver(let handle, [1, 2], _)? = world.said.last?.directive else {
            Issue.record("not delivered")
            return
        }
        // The answer ends at the attached node, which does not know the secret and hands it to us.
        let answer = world.nodes[2].answer(
            handle, [3], now: .zero, canSend: OnionWorld.state(of: 2), using: &world.random)
        guard case .send(let bytes, OnionWorld.id(1))? = answer.first else {
            Issue.record("not answered")
            return
        }
        let forwarded = world.nodes[1].onMessage(
            try OnionMessage(body: bytes.dropFirst(2)), from: OnionWorld.id(2), now: .zero,
            canSend: OnionWorld.state(of: 1), using: &world.random)
        guard case .send(let last, OnionWorld.id(0))? = forwarded.first else {
            Issue.record("not forwarded")
            return
        }
        let (fields, replyPath, pathID) = try self.peel(try OnionMessage(body: last.dropFirst(2)), node: 0)
        let read = ours.onDelivered(
            fields: fields, replyPath: replyPath, pathID: pathID, now: .zero, using: &world.random)
        #expect(read == [.replied(id: 1, [3])])

        // And the other way round: a question ends at the attached node.
        let question = try world.nodes[2].originate(
            id: 8, path: [OnionWorld.id(1), OnionWorld.id(0)], payload: [5, 6], now: .zero,
            canSend: OnionWorld.state(of: 2), using: &world.random)
        guard case .send(let asked, _)? = question.first else {
            Issue.record("not sent")
            return
        }
        let passed = world.nodes[1].onMessage(
            try OnionMessage(body: asked.dropFirst(2)), from: OnionWorld.id(2), now: .zero,
            canSend: OnionWorld.state(of: 1), using: &world.random)
        guard case .send(let arrived, _)? = passed.first else {
            Issue.record("not passed on")
            return
        }
        let peeled = try self.peel(try OnionMessage(body: arrived.dropFirst(2)), node: 0)
        let delivered = ours.onDelivered(
            fields: peeled.fields, replyPath: peeled.replyPath, pathID: peeled.pathID, now: .zero,
            using: &world.random)
        #expect(delivered == [.deliver(handle: 1 << 63, payload: [5, 6], neighbour: OnionWorld.id(0))])
        let back = ours.answer(1 << 63, [7], now: .zero, canSend: { _ in .ready }, using: &world.random)
        guard case .send(let reply, let to)? = back.first else {
            Issue.record("no answer")
            return
        }
        #expect(to == OnionWorld.id(throughItself ? 0 : 1))
        try world.receive(
            try OnionMessage(body: reply.dropFirst(2)), from: throughItself ? 1 : 0, to: throughItself ? 0 : 1)
        #expect(world.said.last?.node == 2 && world.said.last?.directive == .replied(id: 8, [7]))
    }

    /// What a Lightning node tells a program beside it of a message that ends at the node.
    private func peel(
        _ message: OnionMessage, node: Int
    ) throws -> (fields: [UInt64: [UInt8]], replyPath: [UInt8]?, pathID: [UInt8]?) {
        let pathKey = try #require(NodeID(bytes: message.pathKey))
        let key = RelayWorld.keys[node]
        let peeled = try OnionPacket(bytes: message.onion).peel(key: key, pathKey: pathKey)
        let payload = try OnionMessagePayload(decoding: peeled.payload)
        let data = try RouteBlinding.unblind(
            try #require(payload.encryptedRecipientData), key: key, pathKey: pathKey)
        return (payload.fields, payload.replyPath?.bytes, try EncryptedRecipientData(decoding: data.data).pathID)
    }
}
