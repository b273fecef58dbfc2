// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetLightning
import AltNetLightningRelay
import AltNetOnion
import Testing

@Suite("DirectedMessages")
struct DirectedMessagesTests {
    @Test("a message reaches the last node of a path of any length, and its answer comes back", arguments: 1...20)
    func everyLength(_ length: Int) throws {
        var world = RelayWorld(nodes: length + 1, seed: UInt64(length))
        let longest = (0..<DirectedMessages.maximumPayload(hops: length)).map { UInt8(truncatingIfNeeded: $0) }
        try world.originate(0, id: 1, path: Array(1...length), payload: longest)
        world.run(for: .seconds(20))
        #expect(world.outcomes[0]?[1] == .replied(RelayWorld.answer(of: length, to: longest)))
        #expect(world.delivered.count == 1)
        for node in 1..<length { #expect(world.nodes[node].counters[.forwarded] == 1) }
        #expect(world.nodes.allSatisfy { $0.held.forwards == 0 && $0.held.deliveries == 0 })
    }

    @Test("what does not fit is refused by name")
    func refusals() throws {
        var world = RelayWorld(nodes: 3, seed: 1)
        #expect(throws: RelayError.noPath) { try world.originate(0, id: 1, path: [], payload: [1, 2]) }
        let long = Array(repeating: 1, count: 21)
        #expect(throws: RelayError.pathTooLong(nodes: 21, limit: 20)) {
            try world.originate(0, id: 1, path: long, payload: [1, 2])
        }
        let payload = [UInt8](repeating: 0, count: 1200)
        #expect(throws: RelayError.payloadTooLong(bytes: 1200, limit: 1199)) {
            try world.originate(0, id: 1, path: [1, 2], payload: payload)
        }
        #expect(throws: RelayError.neighbourAbsent(world.id(2))) {
            try world.originate(0, id: 1, path: [2], payload: [1, 2])
        }
        try world.originate(0, id: 1, path: [1], payload: [1, 2])
        #expect(throws: RelayError.numberInUse(1)) { try world.originate(0, id: 1, path: [1], payload: [1, 2]) }
        #expect(DirectedMessages.maximumPayload(hops: 0) == 0)
        #expect(DirectedMessages.maximumPayload(hops: 21) == 0)
        #expect([0, 21, -1].map(DirectedMessages.roundedPayload) == [0, 0, 0])
        let rounded = (1...20).map(DirectedMessages.roundedPayload)
        #expect(rounded[..<5].allSatisfy { $0 == 1001 } && rounded[5..<10].allSatisfy { $0 == 671 })
        #expect(rounded[10..<18].allSatisfy { $0 == 145 } && rounded[18...].allSatisfy { $0 == 13 })
        #expect((1...20).allSatisfy { rounded[$0 - 1] <= DirectedMessages.maximumPayload(hops: $0) })
        #expect(rounded[17] >= FarLinkSession.minimumFrame)
    }

    @Test("answers of any length come back padded to one of five lengths")
    func padding() throws {
        for length in [0, 256, 257, 1024, 5000, 16384, 16385, DirectedMessages.maximumReply] {
            var world = RelayWorld(nodes: 3, seed: UInt64(length))
            world.silent = [2]
            world.record = []
            try world.originate(0, id: 1, path: [1, 2], payload: [1, 2])
            world.run(for: .seconds(1))
            let answer = [UInt8](repeating: 9, count: length)
            world.answer(2, handle: 0, answer)
            world.run(for: .seconds(1))
            #expect(world.outcomes[0]?[1] == .replied(answer))
            let sizes = Set(world.record?.map(\.bytes.count) ?? []).subtracting([1368])
            let expected = [256, 1024, 4096, 16384].first { length <= $0 } ?? DirectedMessages.maximumReply
            #expect(sizes == [2 + 32 + 2 + 32 + 2 + 2 + expected])
        }
    }

    @Test("an answer that is too long, or for nothing, is dropped and counted")
    func badAnswers() throws {
        var world = RelayWorld(nodes: 2, seed: 1)
        world.silent = [1]
        try world.originate(0, id: 1, path: [1], payload: [1, 2])
        world.run(for: .seconds(1))
        world.answer(1, handle: 7, [1])
        world.answer(1, handle: 0, Array(repeating: 1, count: DirectedMessages.maximumReply + 1))
        world.run(for: .seconds(60))
        #expect(world.nodes[1].counters[.answersDropped] == 2)
        #expect(world.outcomes[0]?[1] == .failed(.timedOut))
    }

    @Test("the origin learns which node could not pass its message on, and why")
    func failures() throws {
        var world = RelayWorld(nodes: 4, seed: 1)
        world.disconnect(2, 3)
        try world.originate(0, id: 1, path: [1, 2, 3], payload: [1, 2])
        world.run(for: .seconds(2))
        #expect(world.outcomes[0]?[1] == .failed(.reported(node: 1, .unknownNextPeer)))
        #expect(world.nodes[2].counters[.unknownNextNodes] == 1)
    }

    @Test("a payload that is no node is refused with the reason")
    func noNode() throws {
        var world = RelayWorld(nodes: 3, seed: 1)
        world.record = []
        // Built by hand: the first node's payload has 33 bytes that are no point.
        let hops = [
            OnionHop(world.id(1), Array(repeating: 5, count: 33)), OnionHop(world.id(2), [1, 2]),
        ]
        let key = try #require(NodePrivateKey(bytes: Array(repeating: 9, count: 32)))
        let (packet, secrets) = try OnionPacket.build(hops, sessionKey: key)
        let message = try #require(DirectedMessage(onion: packet.bytes))
        world.inject(message.encoded, from: 0, to: 1)
        world.run(for: .seconds(1))
        let reply = try #require(world.record?.last)
        let body = try DirectedReply(body: reply.bytes.dropFirst(2))
        #expect(body.onionHash == packet.sha256)
        let (hop, contents) = try OnionReply.open(body.reply, secrets: secrets)
        #expect(hop == 0 && contents == [0x40, 0x16, 0, 0, 0])
        #expect(world.nodes[1].counters[.invalidPayloads] == 1)
    }

    @Test(
        "an onion that a node damages is reported by that node, as the next one could not read it",
        arguments: [
            (0, FailureCode.invalidOnionVersion), (1, .invalidOnionKey), (40, .invalidOnionHMAC),
            (1365, .invalidOnionHMAC),
        ])
    func damage(_ position: Int, _ code: FailureCode) throws {
        for (damaged, node) in [(1, 0), (2, 1), (3, 2)] {
            var world = RelayWorld(nodes: 4, seed: UInt64(position))
            var sent: [UInt8] = []
            world.tamper = { bytes, from, to in
                if from == damaged - 1, to == damaged {
                    // The type comes before the onion.
                    sent = (try? OnionPacket(bytes: bytes.dropFirst(2)).sha256) ?? []
                    bytes[2 + position] = 9
                } else if from == damaged, to == damaged - 1 {
                    // Connections change nothing: whoever damages an onion knows what it sent.
                    bytes.replaceSubrange(2..<34, with: sent)
                }
            }
            try world.originate(0, id: 1, path: [1, 2, 3], payload: [1, 2])
            world.run(for: .seconds(5))
            #expect(world.outcomes[0]?[1] == .failed(.unreadableOnion(node: node, code)))
            #expect(world.nodes[damaged].counters[.malformedOnions] == 1)
            #expect(world.delivered.isEmpty)
        }
    }

    @Test("a reply that was altered is recognised, and one of two bytes that says nothing is ignored")
    func alteredReplies() throws {
        var world = RelayWorld(nodes: 4, seed: 3)
        world.tamper = { bytes, from, to in if from == 2, to == 1 { bytes[100] ^= 1 } }
        try world.originate(0, id: 1, path: [1, 2, 3], payload: [1, 2])
        world.run(for: .seconds(5))
        #expect(world.outcomes[0]?[1] == .failed(.unreadableReply))

        world.tamper = { bytes, from, to in
            if from == 2, to == 1, bytes[1] == 0x82 { bytes = Array(bytes[..<34]) + [0, 2, 0x40, 0x0a] }
        }
        try world.originate(0, id: 2, path: [1, 2, 3], payload: [1, 2])
        world.run(for: .seconds(5))
        #expect(world.nodes[1].counters[.malformedReplies] == 1)
        #expect(world.nodes[1].held.forwards == 1)
        world.run(for: .seconds(60))
        #expect(world.outcomes[0]?[2] == .failed(.timedOut))
        #expect(world.nodes[1].held.forwards == 0)
        #expect(world.nodes[1].counters[.forwardsExpired] == 1)
    }

    @Test("a reply counts only when it comes from the node that was sent the onion")
    func wrongNeighbour() throws {
        var world = RelayWorld(nodes: 4, seed: 1)
        world.connect(1, 3)
        world.silent = [2]
        world.record = []
        try world.originate(0, id: 1, path: [1, 2], payload: [1, 2])
        world.run(for: .seconds(1))
        let sent = try #require(world.record?.last { $0.to == 2 })
        let hash = try OnionPacket(bytes: sent.bytes.dropFirst(2)).sha256
        let reply = try #require(DirectedReply(onionHash: hash, reply: Array(repeating: 1, count: 292)))
        world.inject(reply.encoded, from: 3, to: 1)
        world.run(for: .seconds(1))
        #expect(world.nodes[1].counters[.unknownReplies] == 1)
        #expect(world.nodes[1].counters[.repliesForwarded] == 0)
        #expect(world.nodes[1].held.forwards == 1)
        let unknown = try #require(DirectedReply(onionHash: Array(repeating: 1, count: 32), reply: [0xc0, 5]))
        world.inject(unknown.encoded, from: 2, to: 1)
        world.run(for: .seconds(1))
        #expect(world.nodes[1].counters[.unknownReplies] == 2)
    }

    @Test("a second copy of an onion is dropped, before and after the reply to the first")
    func replays() throws {
        var world = RelayWorld(nodes: 4, seed: 1)
        world.connect(1, 3)
        world.record = []
        try world.originate(0, id: 1, path: [1, 2], payload: [1, 2])
        let first = try #require(world.record?.first)
        world.inject(first.bytes, from: 0, to: 1)
        world.run(for: .seconds(5))
        #expect(world.nodes[1].counters[.replays] == 1)
        // Nor does it help to come from elsewhere, or later.
        world.inject(first.bytes, from: 3, to: 1)
        world.run(for: .seconds(100))
        world.inject(first.bytes, from: 0, to: 1)
        world.run(for: .seconds(5))
        #expect(world.nodes[1].counters[.replays] == 3)
        #expect(world.nodes[1].counters[.forwarded] == 1)
        #expect(world.delivered.count == 1)
        #expect(world.outcomes[0]?[1] == .replied(RelayWorld.answer(of: 2, to: [1, 2])))
    }

    @Test("when a neighbour closes, what was sent to it fails at once and what came from it is forgotten")
    func closing() throws {
        var world = RelayWorld(nodes: 4, seed: 1)
        world.silent = [3]
        try world.originate(0, id: 1, path: [1, 2, 3], payload: [1, 2])
        try world.originate(1, id: 1, path: [2, 3], payload: [1, 2])
        world.run(for: .seconds(2))
        #expect(world.nodes[2].held.forwards == 2 && world.nodes[3].held.deliveries == 2)
        world.disconnect(2, 3)
        world.run(for: .seconds(2))
        #expect(world.outcomes[0]?[1] == .failed(.reported(node: 1, .temporaryNodeFailure)))
        #expect(world.outcomes[1]?[1] == .failed(.reported(node: 0, .temporaryNodeFailure)))
        #expect(world.nodes.allSatisfy { $0.held.forwards == 0 && $0.held.deliveries == 0 })
        try world.originate(0, id: 2, path: [1, 2], payload: [1, 2])
        world.disconnect(0, 1)
        #expect(world.outcomes[0]?[2] == .failed(.neighbourClosed))
    }

    @Test("a neighbour over its rate is dropped before anything is computed, and nobody else is")
    func rates() throws {
        var world = RelayWorld(nodes: 4, seed: 1)
        world.connect(1, 3)
        for id in 0..<100 { try world.originate(0, id: UInt64(id), path: [1, 2], payload: [1, 2]) }
        try world.originate(3, id: 1, path: [1, 2], payload: [3, 4])
        world.run(for: .seconds(40))
        let passed = world.outcomes[0]?.values.count { if case .replied = $0 { true } else { false } }
        #expect(world.nodes[1].counters[.rateLimited] == 67 || world.nodes[1].counters[.rateLimited] == 68)
        #expect(passed == Int(100 - world.nodes[1].counters[.rateLimited]))
        #expect(world.outcomes[3]?[1] == .replied(RelayWorld.answer(of: 2, to: [3, 4])))
    }

    @Test("as many messages of ours and deliveries as the limits allow, and no more, of which the latest stays")
    func openLimits() throws {
        var limits = RelayLimits()
        (limits.originated, limits.deliveries) = (5, 3)
        var world = RelayWorld(nodes: 2, seed: 1, limits: limits)
        world.silent = [1]
        for id in 0..<5 { try world.originate(0, id: UInt64(id), path: [1], payload: [1, 2]) }
        #expect(throws: RelayError.tooManyOpen(limit: 5)) {
            try world.originate(0, id: 9, path: [1], payload: [1, 2])
        }
        world.run(for: .seconds(1))
        #expect(world.nodes[1].counters[.deliveriesReplaced] == 2 && world.delivered.count == 5)
        world.run(for: .seconds(60))
        #expect(world.nodes[1].counters[.deliveriesExpired] == 3)
        #expect(world.outcomes[0]?.count == 5)
    }

    @Test("without a key messages can be sent and their answers read, but none is peeled")
    func noKey() throws {
        var random = SeededRandom(seed: 1)
        var ours = DirectedMessages(key: nil)
        var theirs = DirectedMessages(key: RelayWorld.keys[1])
        let (me, peer) = (RelayWorld.keys[0].publicKey, RelayWorld.keys[1].publicKey)
        let sent = try ours.originate(
            id: 1, path: [peer], payload: [1, 2], now: .zero, canSend: { _ in .ready }, using: &random)
        guard case .send(let bytes, peer)? = sent.first else { throw Missing() }
        let message = try DirectedMessage(body: bytes.dropFirst(2))
        #expect(ours.onMessage(message, from: peer, now: .zero, canSend: { _ in .ready }, using: &random).isEmpty)
        #expect(ours.counters[.noKey] == 1)
        let delivered = theirs.onMessage(message, from: me, now: .zero, canSend: { _ in .ready }, using: &random)
        #expect(delivered == [.deliver(handle: 0, payload: [1, 2], neighbour: me)])
        guard case .send(let reply, me)? = theirs.answer(0, [3], now: .zero).first else { throw Missing() }
        let read = ours.onReply(try DirectedReply(body: reply.dropFirst(2)), from: peer, now: .zero)
        #expect(read == [.replied(id: 1, [3])])
    }

    @Test("a next node that takes nothing more is a temporary failure")
    func busy() throws {
        var random = SeededRandom(seed: 1)
        var origin = DirectedMessages(key: RelayWorld.keys[0])
        var middle = DirectedMessages(key: RelayWorld.keys[1])
        let path = [RelayWorld.keys[1].publicKey, RelayWorld.keys[2].publicKey]
        #expect(throws: RelayError.neighbourBusy(path[0])) {
            try origin.originate(
                id: 1, path: path, payload: [1, 2], now: .zero, canSend: { _ in .busy }, using: &random)
        }
        let sent = try origin.originate(
            id: 1, path: path, payload: [1, 2], now: .zero, canSend: { _ in .ready }, using: &random)
        guard case .send(let bytes, _)? = sent.first else { throw Missing() }
        let replies = middle.onMessage(
            try DirectedMessage(body: bytes.dropFirst(2)), from: RelayWorld.keys[0].publicKey, now: .zero,
            canSend: { _ in .busy }, using: &random)
        guard case .send(let reply, _)? = replies.first else { throw Missing() }
        let read = origin.onReply(try DirectedReply(body: reply.dropFirst(2)), from: path[0], now: .zero)
        #expect(read == [.failed(id: 1, .reported(node: 0, .temporaryNodeFailure))])
        #expect(middle.counters[.busyNextNodes] == 1)
    }

    struct Missing: Error {}
}
