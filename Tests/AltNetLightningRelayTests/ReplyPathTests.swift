// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetLightning
import AltNetOnion
import Testing

@testable import AltNetLightningRelay

@Suite("What the end of a route sees of its length")
struct ReplyPathTests {
    /// What the last node of a route finds in a message.
    private struct Sight: Hashable {
        let onion: Int
        let payload: Int
        let hops: Int
        let data: Set<Int>
        let replyPath: Int
    }

    /// Carries a message to the last node of a route by hand, and opens it there.
    private func sight(hops: Int, payload: Int, attached: Bool = false) throws -> Sight {
        var random = SeededRandom(seed: UInt64(hops))
        let key = RelayWorld.keys[0]
        var origin = OnionMessages(attached ? .attached(key.publicKey, throughItself: false) : .key(key))
        let route = (1...hops).map { RelayWorld.keys[$0] }
        var directives = try origin.originate(
            id: 1, path: route.map(\.publicKey), payload: Array(repeating: 1, count: payload), now: .zero,
            canSend: { _ in .ready }, using: &random)
        for node in route.dropLast() {
            var between = OnionMessages(.key(node))
            guard case .send(let bytes, node.publicKey)? = directives.first else { throw Lost() }
            directives = between.onMessage(
                try OnionMessage(body: bytes.dropFirst(2)), from: key.publicKey, now: .zero,
                canSend: { _ in .ready }, using: &random)
        }
        guard let last = route.last, case .send(let bytes, last.publicKey)? = directives.first else { throw Lost() }
        let message = try OnionMessage(body: bytes.dropFirst(2))
        let peeled = try OnionPacket(bytes: message.onion).peel(
            key: last, pathKey: try #require(NodeID(bytes: message.pathKey)))
        let path = try #require(try OnionMessagePayload(decoding: peeled.payload).replyPath)
        // It begins at the node that the message came from, whoever that is.
        #expect(path.firstNode == (hops == 1 ? key : route[hops - 2]).publicKey)
        return Sight(
            onion: message.onion.count, payload: peeled.payload.count, hops: path.hops.count,
            data: Set(path.hops.map(\.encryptedRecipientData.count)), replyPath: path.bytes.count)
    }

    private struct Lost: Error {}

    @Test(
        "routes of all lengths up to the next of 5, 10 and 20 look alike, whatever is sent",
        arguments: [10, 384, 385, 1000, 29_242])
    func rounded(_ payload: Int) throws {
        for (lengths, hops) in [(1...5, 5), (6...10, 10), (11...20, 20)] {
            let sights = Set(try lengths.map { try self.sight(hops: $0, payload: payload) })
            #expect(sights.count == 1)
            #expect(sights.first?.hops == hops && sights.first?.data.count == 1)
            #expect(sights.first?.onion == (payload <= 384 && hops == 5 ? 1366 : 32834))
        }
        for hops in 1...20 {
            let rounded = self.rounded(hops: hops)
            #expect(OnionMessages.maximumPayload(hops: hops) == OnionMessages.maximumPayload(hops: rounded))
            #expect(OnionMessages.ordinaryPayload(hops: hops) == OnionMessages.ordinaryPayload(hops: rounded))
            #expect(OnionMessages.maximumReply(hops: hops) == OnionMessages.maximumReply(hops: rounded))
        }
    }

    private func rounded(hops: Int) -> Int { hops <= 5 ? 5 : hops <= 10 ? 10 : 20 }

    @Test("the way back to an attached node has the length of the route: the node need not know of more")
    func attached() throws {
        #expect(try [1, 3, 7].map { try self.sight(hops: $0, payload: 10, attached: true).hops } == [1, 3, 7])
    }

    /// A message to node 1 with so many layers for it, one after the other.
    private func layers(_ count: Int, seed: UInt64) throws -> OnionMessage {
        var random = SeededRandom(seed: seed)
        let node = RelayWorld.keys[1].publicKey
        let message = try OutgoingOnionMessage(
            path: Array(repeating: node, count: count),
            payload: OnionMessagePayload(fields: [OnionMessages.fieldType: [1, 2]]),
            pathSecret: NodePrivateKey(using: &random))
        let packet = try message.packet(sessionKey: NodePrivateKey(using: &random))
        return try #require(OnionMessage(pathKey: message.pathKey.bytes, onion: packet.bytes))
    }

    @Test("layers of our own are taken off up to ten at a time, for one message's rate, and more are dropped")
    func ownLayers() throws {
        var limits = RelayLimits()
        (limits.burst, limits.perSecond) = (4, 1)
        var random = SeededRandom(seed: 1)
        var node = OnionMessages(.key(RelayWorld.keys[1]), limits: limits)
        let neighbour = RelayWorld.keys[2].publicKey
        for (index, count) in [1, 10, 11, 2].enumerated() {
            let message = try self.layers(count, seed: UInt64(index))
            let said = node.onMessage(
                message, from: neighbour, now: .zero, canSend: { _ in .absent }, using: &random)
            #expect(said.isEmpty == (count == 11))
        }
        #expect(node.counters[.delivered] == 3 && node.counters[.invalidPayloads] == 1)
        #expect(node.held.onions == 4 && node.counters[.rateLimited] == 0)
        let copy = try self.layers(10, seed: 1)
        let later = MonotonicInstant.zero + .seconds(5)
        #expect(node.onMessage(copy, from: neighbour, now: later, canSend: { _ in .absent }, using: &random).isEmpty)
        #expect(node.counters[.replays] == 1)
    }

    @Test("an attached node delivers at eight times one neighbour's rate, and answers to our messages always")
    func attachedRate() throws {
        var limits = RelayLimits()
        (limits.burst, limits.perSecond) = (4, 1)
        var random = SeededRandom(seed: 1)
        let attached = RelayWorld.keys[0].publicKey
        var node = OnionMessages(.attached(attached, throughItself: false), limits: limits)
        _ = try node.originate(
            id: 5, path: [RelayWorld.keys[1].publicKey], payload: [1, 2], now: .zero, canSend: { _ in .ready },
            using: &random)
        let fields = [OnionMessages.fieldType: [UInt8]([3, 4])]
        var delivered = 0
        for _ in 0..<40 {
            let said = node.onDelivered(fields: fields, replyPath: nil, pathID: nil, now: .zero, using: &random)
            if !said.isEmpty { delivered += 1 }
        }
        #expect(delivered == 32 && node.counters[.rateLimited] == 8)
        // A guessed secret is no answer; the right one is.
        let guess = [UInt8](repeating: 1, count: 32)
        #expect(node.onDelivered(fields: fields, replyPath: nil, pathID: guess, now: .zero, using: &random).isEmpty)
        #expect(node.counters[.rateLimited] == 9)
        let secret = try #require(node.pathIDs.keys.first)
        let said = node.onDelivered(fields: fields, replyPath: nil, pathID: secret, now: .zero, using: &random)
        #expect(said == [.replied(id: 5, [3, 4])])
        let later = MonotonicInstant.zero + .seconds(1)
        delivered = 0
        for _ in 0..<10 {
            let said = node.onDelivered(fields: fields, replyPath: nil, pathID: nil, now: later, using: &random)
            if !said.isEmpty { delivered += 1 }
        }
        #expect(delivered == 8)
    }
}
