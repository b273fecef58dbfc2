// SPDX-License-Identifier: MIT

import AltNetBitcoin
import AltNetDriverProtocol
import AltNetKeys
import AltNetLightning
import AltNetLightningAttachment
import AltNetLightningRelay
import AltNetObjects
import AltNetTestKit
import Testing

@testable import AltNetLightningDriver
@testable import AltNetStreamDriver

@Suite("AttachedNode", .timeLimit(.minutes(5)))
struct AttachedNodeTests {
    private let alice = Keys.random().publicKey
    private let bob = Keys.random().publicKey
    private let carol = Keys.random().publicKey
    private let asked = DisconnectReason(.requested, "the test wants it")

    @Test("a peer that carries objects gets a link, and one that does not gets none")
    func links() async throws {
        let node = FakeAttachment()
        let driver = try AttachedDriver(node)
        node.connected(self.bob, features: [39, 441])
        node.connected(self.alice)
        // The required bit offers as much.
        node.connected(self.carol, features: [444])
        // Each opens in its own time.
        for peer in [self.carol, self.alice] { _ = try await driver.link(peer) }
        #expect(driver.opened(self.alice).count == 1 && driver.opened(self.bob).isEmpty)
        let link = driver.events.lazy.compactMap { event -> DriverLinkDescription? in
            if case .linkOpened(_, let description) = event { description } else { nil }
        }.first { $0.peer.identity == self.alice.description }
        #expect(link?.exposure == .pseudonym && link?.target == "")
        #expect(link?.remote == self.alice.description)
    }

    @Test("requests and answers of many parts go through whole, and each peer's go to its own link")
    func messages() async throws {
        let node = FakeAttachment()
        let driver = try AttachedDriver(node)
        let request = ObjectRequest.block(BlockHash.zero)
        let bodies = [self.alice: UInt8(1), self.bob: UInt8(2)].mapValues {
            ObjectAnswer.objects(.blocks, [[UInt8](repeating: $0, count: 200_000)])
        }
        var parts: [[AttachmentEvent]] = []
        for (peer, answer) in bodies {
            node.connected(peer)
            driver.say(.request(try await driver.link(peer), id: 7, request))
            let message = try await Condition.value("the request goes out") { node.sent(to: peer).first }
            guard case .bitcoin(.request(let id, _, let body)) = try LightningMessage(decoding: message) else {
                Issue.record("another message: \(message)")
                return
            }
            #expect(Array(body) == request.lightningBody)
            parts.append(
                BitcoinMessage.answer(id: id, body: answer.lightningBody(answering: request)).map {
                    .message(from: peer, LightningMessage.bitcoin($0).encoded)
                })
        }
        #expect(parts.map(\.count) == [4, 4])
        // One part of each in turn.
        for (first, second) in zip(parts[0], parts[1]) {
            node.tell(first)
            node.tell(second)
        }
        for (peer, answer) in bodies {
            let link = try await driver.link(peer)
            try await Condition.wait("the answer comes in") { driver.events.contains(.answer(link, id: 7, answer)) }
        }
        // And what is said to all goes to all.
        let tip = ObjectAnnouncement.tip(header: Network.regtest.genesis, height: 0)
        driver.say(.announcement(.all, tip))
        let body = try #require(tip.lightningBody)
        let announced = BitcoinMessage.announcement(body: body).map { LightningMessage.bitcoin($0).encoded }
        for peer in bodies.keys {
            try await Condition.wait("the tip goes out") { node.sent(to: peer).dropFirst() == announced[...] }
        }
    }

    @Test("a link that ends comes back while its peer stands, and not after the peer has left")
    func again() async throws {
        let node = FakeAttachment()
        let driver = try AttachedDriver(node)
        node.connected(self.alice)
        for number in 1...3 {
            driver.say(.closeLink(try await driver.link(self.alice, number: number), self.asked))
        }
        let last = try await driver.link(self.alice, number: 4)
        node.tell(.peerDisconnected(self.alice))
        try await Condition.wait("the link is closed") { driver.isClosed(last) }
        // As many pauses of another peer as Alice had.
        node.connected(self.bob)
        for number in 1...4 {
            driver.say(.closeLink(try await driver.link(self.bob, number: number), self.asked))
        }
        _ = try await driver.link(self.bob, number: 5)
        #expect(driver.opened(self.alice).count == 4)
        // A peer that is told as connected anew has a new connection: the link before ends.
        node.connected(self.bob)
        _ = try await driver.link(self.bob, number: 6)
        let before = try await driver.link(self.bob, number: 5)
        try await Condition.wait("the old link is closed") { driver.isClosed(before) }
        node.connected(self.alice)
        _ = try await driver.link(self.alice, number: 5)
    }

    @Test("a peer that breaks the rules loses its link for a while, and nothing else happens")
    func nonsense() async throws {
        let node = FakeAttachment()
        let driver = try AttachedDriver(node)
        node.connected(self.alice)
        let (link, _) = (try await driver.link(self.alice), node.connected(self.bob))
        // Messages that are none, a request that cannot be read, and the same of a stranger.
        for message in [[], [0xad], LightningMessage.bitcoin(.request(id: 1, kind: 1, body: [1])).encoded] {
            node.tell(.message(from: self.alice, message))
            node.tell(.message(from: self.carol, message))
        }
        try await Condition.wait("the link is closed") { driver.isClosed(link) }
        _ = try await driver.link(self.alice, number: 2)
        #expect(driver.opened(self.bob).count == 1 && driver.opened(self.carol).isEmpty)
    }

    @Test("the end of a link of ours makes no peer unreachable")
    func reachable() async throws {
        let node = FakeAttachment([.onionMessages, .sharedSecret])
        let driver = try AttachedDriver(node)
        let peers = [self.alice, self.bob, self.carol]
        for peer in peers { node.connected(peer, features: [39, 445]) }
        // The numbers of links and of neighbours are not the same, and overlap.
        for peer in peers { driver.say(.closeLink(try await driver.link(peer), self.asked)) }
        for peer in peers {
            _ = try await driver.link(peer, number: 2)
            _ = try await driver.ping([peer], timeout: 0.1)
        }
        #expect(node.onions.map(\.firstNode) == peers)
    }

    @Test("messages for one peer reach the node in order, and no more than may wait")
    func outbox() async throws {
        let node = FakeAttachment()
        let hub = MessageHub(key: node.key, attachment: node, limits: .standard)
        let neighbours = await hub.neighbours
        let attached = AttachedNode(
            node, hub: hub, takesMessages: true, firstPause: .seconds(1),
            makeSession: { _, _ in LightningLink(FarServerSession(.init(network: .regtest, serves: []))) },
            onPeer: { _, _ in })
        let run = Task {
            try await attached.run(
                LinkAcceptor(
                    run: { _ in DisconnectReason(.closed, "no links here") },
                    listen: { _, _, _ in throw Condition.Failure("no listeners here") }))
        }
        node.connected(self.alice, features: [])
        try await Condition.wait("the peer is a neighbour") {
            neighbours.state(of: self.alice, taking: .alternativeAddress) == .ready
        }
        let messages = try (1...65).map {
            try PeerAltAddr(
                channelID: [UInt8](repeating: 1, count: 32), address: LightningAddress(text: "8.8.8.8:\($0)")
            ).encoded
        }
        node.block(true)
        for (index, message) in messages.enumerated() {
            #expect(neighbours.send(message, to: self.alice) == (index < 64))
        }
        #expect(neighbours.state(of: self.alice, taking: .alternativeAddress) == .busy)
        node.block(false)
        try await Condition.wait("all went out") {
            neighbours.state(of: self.alice, taking: .alternativeAddress) == .ready
                && node.sent(to: self.alice).count == 64
        }
        #expect(node.sent(to: self.alice) == Array(messages.prefix(64)))
        #expect(neighbours.send(messages[64], to: self.alice))
        node.end()
        try await run.value
        #expect(neighbours.state(of: self.alice, taking: .alternativeAddress) == .absent)
    }

    @Test("the driver ends when its node has gone away, and says why")
    func failure() async throws {
        let node = FakeAttachment()
        let driver = try AttachedDriver(node)
        node.connected(self.alice)
        let link = try await driver.link(self.alice)
        let reason = AttachmentError.nonsense("another node answers")
        node.end(reason)
        let ended = try await driver.ended()
        #expect(throws: reason) { try ended.get() }
        #expect(driver.isClosed(link))
    }

    @Test("one attachment after the other works with the same data directory, whatever still hangs")
    func twice() async throws {
        let directory = TemporaryDirectory.make()
        for round in 1...3 {
            let node = FakeAttachment()
            let driver = try AttachedDriver(node, directory: directory)
            let channel = [UInt8](repeating: 1, count: 32)
            node.connected(self.alice, channels: [channel])
            node.connected(self.bob)
            _ = try await driver.link(self.bob)
            // From the second round on, Alice's address is known, and an attempt to reach her hangs for ever.
            let address = try LightningAddress(text: "8.8.4.4:17177")
            let message = try PeerAltAddr(channelID: channel, address: address).encoded
            node.tell(.message(from: self.alice, message))
            node.hang()
            node.tell(.peerDisconnected(self.alice))
            try await Condition.wait("the attempt") { node.calls(self.alice).count == 1 }
            // The node goes, or the operator stops the driver.
            if round.isMultiple(of: 2) { node.end() } else { driver.stop() }
            _ = try await driver.ended()
        }
    }
}
