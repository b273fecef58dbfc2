// SPDX-License-Identifier: MIT

import AltNetDriverProtocol
import AltNetKeys
import AltNetLightning
import AltNetLightningAttachment
import AltNetObjects
import AltNetTestKit
import Testing

@testable import AltNetLightningDriver

@Suite("AttachedCaller", .timeLimit(.minutes(5)))
struct AttachedCallerTests {
    private let alice = Keys.random().publicKey
    private let bob = Keys.random().publicKey
    private let channel = [UInt8](repeating: 1, count: 32)

    /// A peer with a channel gives an address, and leaves.
    private func leave(_ peer: NodeID, _ place: String, _ node: FakeAttachment, _ driver: AttachedDriver) async throws {
        node.connected(peer, channels: [self.channel])
        try await self.give(place, by: peer, node)
        try await Condition.wait("the address is stored") {
            try await driver.perform("alt-addr.received").contains(place)
        }
        node.tell(.peerDisconnected(peer))
    }

    private func give(_ place: String, by peer: NodeID, _ node: FakeAttachment) async throws {
        let message = try PeerAltAddr(channelID: self.channel, address: LightningAddress(text: place))
        node.tell(.message(from: peer, message.encoded))
    }

    @Test("a peer that left is called at its alternative address, with pauses that double, until it is reached")
    func calls() async throws {
        let node = FakeAttachment()
        let driver = try AttachedDriver(node)
        node.callsEnd([.peerUnreachable(self.alice), .timedOut(.seconds(1)), nil])
        try await self.leave(self.alice, "8.8.4.4:17171", node, driver)
        try await Condition.wait("three attempts") { node.calls(self.alice).count == 3 }
        let calls = node.calls(self.alice)
        #expect(calls.allSatisfy { $0.place == "8.8.4.4:17171" })
        let pause = AttachedDriver.pauses.call
        #expect(calls[1].at - calls[0].at >= pause * 2 && calls[2].at - calls[1].at >= pause * 4)
        try await Condition.wait("it counts as validated") {
            let received = try await driver.perform("alt-addr.received")
            return received.contains("validatedAt") && !received.contains("lastFailureAt")
        }
        // Bob is in vain called more often than Alice would be by now.
        node.callsEnd([AttachmentError?](repeating: .peerUnreachable(self.bob), count: 100))
        try await self.leave(self.bob, "8.8.4.4:17172", node, driver)
        try await Condition.wait("Bob is called") { node.calls(self.bob).count == 5 }
        #expect(node.calls(self.alice).count == 3)
        #expect(try await driver.perform("alt-addr.received").contains("lastFailureAt"))
    }

    @Test("nobody is called who is back, or who took the address back")
    func back() async throws {
        let node = FakeAttachment()
        let driver = try AttachedDriver(node)
        node.callsEnd([AttachmentError?](repeating: .peerUnreachable(self.alice), count: 100))
        try await self.leave(self.alice, "8.8.4.4:17173", node, driver)
        try await Condition.wait("two attempts") { node.calls(self.alice).count >= 2 }
        node.connected(self.alice, channels: [self.channel])
        _ = try await driver.link(self.alice, number: 2)
        let calls = node.calls(self.alice).count
        try await self.leave(self.bob, "8.8.4.4:17174", node, driver)
        try await Condition.wait("Bob is called") { node.calls(self.bob).count >= calls + 3 }
        #expect(node.calls(self.alice).count <= calls + 1)
        node.tell(.message(from: self.alice, try PeerAltAddr(channelID: self.channel, address: nil).encoded))
        try await Condition.wait("the address is forgotten") {
            try await !driver.perform("alt-addr.received").contains("17173")
        }
        let before = node.calls(self.alice).count
        node.tell(.peerDisconnected(self.alice))
        let others = node.calls(self.bob).count
        try await Condition.wait("Bob is called") { node.calls(self.bob).count >= others + 1 }
        #expect(node.calls(self.alice).count == before)
    }

    @Test("a failure of the node itself says nothing about the address")
    func nodeFails() async throws {
        let node = FakeAttachment()
        let driver = try AttachedDriver(node)
        node.callsEnd([.unreachable("it is away"), .busy(limit: 1), .unreachable("it is away")])
        try await self.leave(self.alice, "8.8.4.4:17175", node, driver)
        try await Condition.wait("three attempts") { node.calls(self.alice).count == 3 }
        #expect(try await !driver.perform("alt-addr.received").contains("lastFailureAt"))
    }

    @Test("to have been connected is no relationship: a stranger's address is not taken when it comes again")
    func strangers() async throws {
        let node = FakeAttachment()
        let driver = try AttachedDriver(node)
        let stranger = Keys.random().publicKey
        node.connected(stranger)
        node.tell(.peerDisconnected(stranger))
        node.callsEnd([.peerUnreachable(self.bob)])
        try await self.leave(self.bob, "8.8.4.4:17176", node, driver)
        try await Condition.wait("Bob is called twice") { node.calls(self.bob).count == 2 }
        node.connected(stranger)
        try await self.give("8.8.4.4:17178", by: stranger, node)
        try await Condition.wait("the address is refused") {
            try await driver.perform("alt-addr.list").contains(#""refused":1"#)
        }
        #expect(try await !driver.perform("alt-addr.received").contains("17178"))
    }

    @Test("a node that does not connect when asked is not asked")
    func unable() async throws {
        let node = FakeAttachment([.evenTypes])
        let driver = try AttachedDriver(node)
        try await self.leave(self.alice, "8.8.4.4:17179", node, driver)
        node.connected(self.bob)
        // Longer than the pause before the first call.
        for number in 1...2 {
            let link = try await driver.link(self.bob, number: number)
            driver.say(.closeLink(link, DisconnectReason(.requested, "the test wants it")))
        }
        _ = try await driver.link(self.bob, number: 3)
        #expect(node.calls(self.alice).isEmpty)
    }

    @Test("no address is logged: neither taken, nor dialled in vain, nor reached, nor refused")
    func logs() async throws {
        let node = FakeAttachment()
        let driver = try AttachedDriver(node)
        node.callsEnd([.peerUnreachable(self.alice), .unreachable("it is away"), nil])
        try await self.leave(self.alice, "198.18.44.55:17180", node, driver, isRefused: true)
        try await self.leave(self.alice, "9.9.44.55:17181", node, driver)
        try await Condition.wait("three attempts") { node.calls(self.alice).count == 3 }
        driver.stop()
        _ = try await driver.ended()
        #expect(!LogCapture.lines(with: "an alternative address is not stored").isEmpty)
        #expect(!LogCapture.lines(with: "a peer gave us an alternative address").isEmpty)
        for text in ["44.55", "17180", "17181"] { #expect(LogCapture.lines(with: text) == []) }
    }

    /// The same with an address that is not taken: of a range that is for tests of networks.
    private func leave(
        _ peer: NodeID, _ place: String, _ node: FakeAttachment, _ driver: AttachedDriver, isRefused: Bool
    ) async throws {
        node.connected(peer, channels: [self.channel])
        try await self.give(place, by: peer, node)
        try await Condition.wait("the address is refused") {
            try await driver.perform("alt-addr.list").contains(#""refused":1"#)
        }
        node.tell(.peerDisconnected(peer))
    }
}
