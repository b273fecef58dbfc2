// SPDX-License-Identifier: MIT

internal import AltNetTestKit
internal import CZeroMQ
internal import HeaderTestSupport
internal import Testing

@testable internal import AltNetNode

/// What Bitcoin Core publishes, or somebody else.
private final class Publisher {
    private let context: UnsafeMutableRawPointer
    private let socket: UnsafeMutableRawPointer
    let endpoint: String

    init(_ endpoint: String = "tcp://127.0.0.1:*") throws {
        let context = try #require(zmq_ctx_new())
        let socket = try #require(zmq_socket(context, ZMQ_XPUB))
        try #require(zmq_bind(socket, endpoint) == 0)
        var name = [CChar](repeating: 0, count: 256)
        var length = name.count
        try #require(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, &name, &length) == 0)
        self.endpoint = String(decoding: name.prefix(length - 1).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        (self.context, self.socket) = (context, socket)
    }

    deinit {
        var none: Int32 = 0
        zmq_setsockopt(self.socket, ZMQ_LINGER, &none, MemoryLayout<Int32>.size)
        zmq_close(self.socket)
        zmq_ctx_term(self.context)
    }

    /// Waits for a subscriber; what it subscribed to.
    func subscription() async throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 64)
        return try await Condition.value("somebody subscribes") {
            let count = zmq_recv(self.socket, &bytes, bytes.count, ZMQ_DONTWAIT)
            return count < 0 ? nil : Array(bytes.prefix(Int(count)))
        }
    }

    func send(_ parts: [[UInt8]]) {
        for (index, part) in parts.enumerated() {
            zmq_send(self.socket, part, part.count, index + 1 < parts.count ? ZMQ_SNDMORE : 0)
        }
    }
}

@Suite("Blocks over ZMQ")
struct ZMQTests {
    private static let hashblock = Array("hashblock".utf8)
    private static let good = [hashblock, [UInt8](repeating: 7, count: 32), [0, 0, 0, 0]]

    /// Whether a wake-up comes soon.
    private static func wakes(_ subscriber: ZMQSubscriber, within limit: Duration) async -> Bool {
        let woke = try? await withDeadline(limit) {
            await subscriber.wakeup.wait()
            try Task.checkCancellation()
            return true
        }
        return woke == true
    }

    @Test("wake us, whatever else is published, and again after the publisher was away")
    func wakeups() async throws {
        var publisher: Publisher? = try Publisher()
        let endpoint = try #require(publisher?.endpoint)
        let subscriber = try ZMQSubscriber(endpoint: endpoint)
        defer { subscriber.close() }
        #expect(try await publisher?.subscription() == [1] + Self.hashblock)
        try await Condition.wait("it is connected") { subscriber.isConnected }
        #expect(await Self.wakes(subscriber, within: .seconds(10)), "the connection itself is news")
        publisher?.send(Self.good)
        #expect(await Self.wakes(subscriber, within: .seconds(10)))
        // Nonsense wakes nobody, and does not stop what follows.
        for nonsense: [[UInt8]] in [
            [Self.hashblock], [Self.hashblock, [1]], [Self.hashblock + [0], [UInt8](repeating: 7, count: 32), [0]],
            Self.good + [[1]] + Self.good, [[]], [[UInt8](repeating: 1, count: 100)],
        ] { publisher?.send(nonsense) }
        publisher?.send(Self.good)
        #expect(await Self.wakes(subscriber, within: .seconds(10)))
        #expect(subscriber.isConnected)
        publisher = nil
        try await Condition.wait("it is disconnected") { !subscriber.isConnected }
        publisher = try Publisher(endpoint)
        try await Condition.wait("it is connected again") { subscriber.isConnected }
    }

    @Test("with huge parts end the connection instead of filling memory")
    func huge() async throws {
        let publisher = try Publisher()
        let subscriber = try ZMQSubscriber(endpoint: publisher.endpoint)
        defer { subscriber.close() }
        _ = try await publisher.subscription()
        try await Condition.wait("it is connected") { subscriber.isConnected }
        publisher.send([Self.hashblock, [UInt8](repeating: 0, count: 50_000_000), [0, 0, 0, 0]])
        try await Condition.wait("it is disconnected") { !subscriber.isConnected }
    }

    @Test(
        "come from an endpoint, or are refused",
        arguments: [
            "", "127.0.0.1:28332", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:x", "inproc://x", "udp://127.0.0.1:5",
            "tcp://127.0.0.1:5\n", "tcp://" + String(repeating: "a", count: 300) + ":5",
        ])
    func endpoints(endpoint: String) {
        #expect(throws: NodeError.self) { try ZMQSubscriber(endpoint: endpoint) }
    }

    @Test("are found by asking the node, and the node is then looked at when they come")
    func followed() async throws {
        let publisher = try Publisher()
        var scenario = Scenario()
        scenario.answers["getzmqnotifications"] = """
            {"result": [{"type": "pubhashtx", "address": "tcp://127.0.0.1:1", "hwm": 1000},
              {"type": "pubhashblock", "address": "\(publisher.endpoint)", "hwm": 1000}]}
            """
        let fake = try await FakeNode(scenario)
        var pace = FakeNode.quick
        pace.poll = .seconds(300)
        pace.pollBesideZMQ = .seconds(300)
        let following = Following(try fake.node(follow: .zmq, pace: pace))
        _ = try await publisher.subscription()
        let state = try await following.state("ZMQ is connected") { $0.followedBy == "zmq hashblock" }
        #expect(state.blocks == 10)
        scenario.headers += HeaderMiner.chain(1, on: scenario.headers[10])
        try fake.become(scenario)
        publisher.send(Self.good)
        _ = try await following.state("the next block") { $0.blocks == 11 }
        await following.stop()
    }

    @Test("may be lost: the node is looked at now and then all the same")
    func lost() async throws {
        let publisher = try Publisher()
        var scenario = Scenario()
        let fake = try await FakeNode(scenario)
        var pace = FakeNode.quick
        pace.pollBesideZMQ = .milliseconds(100)
        let node = try fake.node(follow: .auto, zmqEndpoint: publisher.endpoint, pace: pace)
        let following = Following(node)
        _ = try await following.state("ZMQ is connected") { $0.followedBy == "zmq hashblock" }
        scenario.headers += HeaderMiner.chain(1, on: scenario.headers[10])
        try fake.become(scenario)
        _ = try await following.state("the next block") { $0.blocks == 11 }
        await following.stop()
    }

    @Test("do not make us ask without a pause, however many come")
    func flood() async throws {
        let publisher = try Publisher()
        let fake = try await FakeNode()
        var pace = FakeNode.quick
        pace.shortest = .milliseconds(100)
        pace.peers = .seconds(300)
        pace.branches = .seconds(300)
        let following = Following(try fake.node(follow: .zmq, zmqEndpoint: publisher.endpoint, pace: pace))
        _ = try await following.state("ZMQ is connected") { $0.followedBy == "zmq hashblock" }
        let before = fake.calls.count
        let start = ContinuousClock.now
        while ContinuousClock.now - start < .seconds(1) {
            publisher.send(Self.good)
            await Task.yield()
        }
        // One look in a tenth of a second, the one that was under way, and the one that is.
        let calls = fake.calls.count - before
        #expect(calls <= Int((ContinuousClock.now - start) / .milliseconds(100)) + 2)
        await following.stop()
    }
}
