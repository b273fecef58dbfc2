// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetLightningAttachment
import AltNetLightningRelay
import AltNetObjects
import AltNetOnion
import AltNetTestKit
import AltNetTransport
import Synchronization
import Testing

/// The nodes behind an attached one that unwraps onions itself, as Core Lightning does: it peels what it is to send, and
/// tells what comes back to it. Behind it stands one far node, which answers pings.
private final class Beyond: Sendable {
    let far: NodePrivateKey
    private let node: FakeAttachment
    private let messages: Mutex<OnionMessages>
    /// Whether the node tells over which path of ours a message came.
    let tellsPaths: Bool

    init(_ node: FakeAttachment, tellsPaths: Bool) {
        let far = Keys.random()
        (self.far, self.node, self.tellsPaths) = (far, node, tellsPaths)
        self.messages = Mutex(OnionMessages(.key(far)))
        node.onOnion { [self] in
            do {
                #expect($0.firstNode == node.nodeID)
                try self.unwrap($0.onion, pathKey: $0.pathKey)
            } catch {
                Issue.record("\(error)")
            }
        }
    }

    /// What the attached node does with an onion, as if a peer had sent it.
    private func unwrap(_ onion: [UInt8], pathKey: NodeID) throws {
        let peeled = try OnionPacket(bytes: onion).peel(key: self.node.key, pathKey: pathKey)
        let payload = try OnionMessagePayload(decoding: peeled.payload)
        let (bytes, nextPathKey) = try RouteBlinding.unblind(
            try #require(payload.encryptedRecipientData), key: self.node.key, pathKey: pathKey)
        let data = try EncryptedRecipientData(decoding: bytes)
        guard let packet = peeled.next else {
            self.node.tell(
                .onionMessage(
                    OnionDelivery(
                        fields: payload.fields, replyPath: payload.replyPath?.bytes,
                        pathSecret: self.tellsPaths ? data.pathID : nil)))
            return
        }
        #expect(data.nextNode == self.far.publicKey)
        try self.arrive(try #require(OnionMessage(pathKey: nextPathKey.bytes, onion: packet.bytes)))
    }

    /// The far node answers a ping.
    private func arrive(_ message: OnionMessage) throws {
        var random = SystemRandomNumberGenerator()
        let ready: (NodeID) -> NeighbourState = { $0 == self.node.nodeID ? .ready : .absent }
        let answers = try self.messages.withLock { messages -> [RelayDirective] in
            let directives = messages.onMessage(
                message, from: self.node.nodeID, now: .now, canSend: ready, using: &random)
            guard case .deliver(let handle, let payload, _)? = directives.first else { return [] }
            let frame = try RelayFrame(decoding: payload)
            #expect(frame.content == .ping)
            let pong = RelayFrame(
                frame.requestID, .pong(chain: Network.regtest.genesis.hash, serves: [.headers]))
            return messages.answer(handle, pong.encoded, now: .now, canSend: ready, using: &random)
        }
        #expect(answers.count == 1)
        for case .send(let bytes, self.node.nodeID) in answers {
            let message = try OnionMessage(body: bytes.dropFirst(2))
            try self.unwrap(message.onion, pathKey: try #require(NodeID(bytes: message.pathKey)))
        }
    }
}

@Suite("Onion messages over an attached node", .timeLimit(.minutes(5)))
struct AttachedOnionTests {
    @Test("a request begins at a node that unwraps it itself, and the answer is known by the secret of its path")
    func throughItself() async throws {
        let node = FakeAttachment([.onionMessages, .onionsThroughItself, .connecting])
        let beyond = Beyond(node, tellsPaths: true)
        let driver = try AttachedDriver(node)
        node.connected(beyond.far.publicKey, features: [39])
        try await self.reaches(beyond.far.publicKey, driver)
        #expect(!node.onions.isEmpty)
    }

    @Test("an answer without the secret of its path is no answer")
    func noSecret() async throws {
        let node = FakeAttachment([.onionMessages, .onionsThroughItself])
        let beyond = Beyond(node, tellsPaths: false)
        let driver = try AttachedDriver(node)
        node.connected(beyond.far.publicKey, features: [39])
        try await Condition.wait("the ping goes out") {
            let report = try await driver.ping([beyond.far.publicKey], timeout: 0.2)
            #expect(!report.contains("milliseconds"))
            return !node.onions.isEmpty
        }
        let report = try await driver.ping([beyond.far.publicKey], timeout: 0.2)
        #expect(report.contains("No answer came in time"))
    }

    @Test("onion messages need a node that sends them and opens what comes back, and a peer that takes them")
    func offered() async throws {
        let peers = [Keys.random().publicKey, Keys.random().publicKey]
        let sets: [(Set<AttachmentAbility>, Bool)] = [
            ([.onionMessages], false), ([.sharedSecret, .connecting], false), ([.onionsThroughItself], false),
            ([.onionMessages, .sharedSecret], true), ([.onionMessages, .onionsThroughItself], true),
        ]
        for (abilities, isOffered) in sets {
            let node = FakeAttachment(abilities)
            let driver = try AttachedDriver(node)
            node.connected(peers[0], features: [39, 445])
            node.connected(peers[1], features: [445])
            _ = try await driver.link(peers[1])
            var reports: [String] = []
            for peer in peers { reports.append(try await driver.ping([peer], timeout: 0.1)) }
            #expect(reports[0].contains("does not take such messages") == !isOffered, "\(abilities): \(reports[0])")
            #expect(reports[1].contains("does not take such messages"))
            let first = abilities.contains(.onionsThroughItself) ? node.nodeID : peers[0]
            #expect(node.onions.map(\.firstNode) == (isOffered ? [first] : []))
        }
    }

    /// Pings until the peer is a neighbour, and then once.
    private func reaches(_ peer: NodeID, _ driver: AttachedDriver) async throws {
        try await Condition.wait("an answer to the ping") {
            let report = try await driver.ping([peer])
            guard report.contains("not connected") else {
                #expect(report.contains("milliseconds") && !report.contains("failure"), "\(report)")
                return true
            }
            return false
        }
    }
}
