// SPDX-License-Identifier: MIT

import AltNetBitcoin
import AltNetDriverProtocol
import AltNetObjects
import AltNetTestKit
import Foundation
import Testing

@Suite("Messages over five real drivers in a row", .serialized)
struct MessageChainTests {
    @Test("headers travel over three, four and five nodes, and nobody on the way asks its orchestrator")
    func headers() async throws {
        let chain = try await DriverChain.start()
        for (route, last) in [
            (chain.route("b"), "b"), (chain.route("b", "c"), "c"), (chain.route("b", "c", "d"), "d"),
            (chain.route("b", "c", "d", "e"), "e"),
        ] {
            let link = try await chain.reach(route, from: "a")
            #expect(link.description.exposure == DriverCapabilities.Exposure.none)
            let answer = await chain.ask(chain.headerRequest(after: 0, limit: 300), over: link, of: "a")
            #expect(answer == chain.expected(after: 0, limit: 300))
            #expect(chain.requests(to: last) == 1)
        }
        #expect(["b", "c", "d", "e"].map(chain.requests) == [1, 1, 1, 1])
        await chain.stop()
    }

    @Test("a ping tells the round trip to each node, and where the way ends")
    func ping() async throws {
        let chain = try await DriverChain.start()
        let stranger = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        let path = ["b", "c", "d"].map(chain.identity) + [stranger]
        let report = try await chain.perform("message.ping", ["path": path], by: "a")
        let hops = try #require(report["hops"] as? [[String: Any]])
        #expect(hops.map { $0["node"] as? String } == path)
        #expect(hops.map { $0["milliseconds"] is Double } == [true, true, true, false])
        #expect(hops.last?["failure"] as? String == "Node 3 of the path reports unknown_next_peer.")
        await chain.stop()
    }
}

@Suite("Messages over five real drivers, when things go wrong", .serialized)
struct MessageChainFailureTests {
    @Test("a reply that is lost because the middle one is killed is asked for again, and comes")
    func middleKilled() async throws {
        let chain = try await DriverChain.start()
        let link = try await chain.reach(chain.route("b", "c", "d", "e"), from: "a")
        chain.interceptNextRequest {
            // The reply of `e` finds the way back broken.
            try? await chain.kill("c")
        }
        let started = ContinuousClock.now
        let answer = await chain.ask(chain.headerRequest(after: 10, limit: 100), over: link, of: "a")
        #expect(answer == chain.expected(after: 10, limit: 100))
        // `e` keeps an answer for a minute, and need not ask its orchestrator again for who asks it again.
        #expect((1...2).contains(chain.requests(to: "e")))
        #expect(ContinuousClock.now - started > .seconds(1), "the first reply cannot have come through")
        let again = await chain.ask(chain.headerRequest(after: 0, limit: 5), over: link, of: "a")
        #expect(again == chain.expected(after: 0, limit: 5))
        await chain.stop()
    }

    @Test("100 requests at the same time, in all directions, each get the answer to what they asked")
    func concurrent() async throws {
        let chain = try await DriverChain.start(headers: 400, settings: ["message_rate": .number(200)])
        var links: [(String, DriverChain.Link)] = []
        for (from, path) in [
            ("a", ["b", "c"]), ("a", ["b", "c", "d"]), ("a", ["b", "c", "d", "e"]), ("b", ["c", "d"]),
            ("b", ["c", "d", "e"]), ("c", ["b", "a"]), ("d", ["c", "b"]), ("d", ["c", "b", "a"]),
            ("e", ["d", "c", "b"]), ("e", ["d", "c", "b", "a"]),
        ] {
            let target = "directed:" + path.map(chain.identity).joined(separator: "/")
            links.append((from, try await chain.reach(target, from: from)))
        }
        let wrong = await withTaskGroup(of: String?.self) { group in
            for request in 0..<100 {
                let (from, link) = links[request % links.count]
                group.addTask {
                    // A node serves eight of those whom it does not know at a time: the others are told to come again.
                    for _ in 0..<100 {
                        let answer = await chain.ask(
                            chain.headerRequest(after: request * 3, limit: UInt32(20 + request)), over: link, of: from)
                        if answer == chain.expected(after: request * 3, limit: 20 + request) { return nil }
                        guard answer == .refused(.busy) else { return "\(request): \(answer)" }
                    }
                    return "\(request): always busy"
                }
            }
            return await group.reduce(into: [String]()) { if let wrong = $1 { $0.append(wrong) } }
        }
        #expect(wrong == [])
        await chain.stop()
    }

    @Test("100 texts at the same time all arrive, each once")
    func texts() async throws {
        let chain = try await DriverChain.start(settings: ["message_rate": .number(200)])
        let path = ["b", "c", "d", "e"].map(chain.identity)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<100 {
                group.addTask {
                    let report = try await chain.perform(
                        "message.send", ["path": path, "text": "number \(number)"], by: "a")
                    #expect(report["milliseconds"] is Double)
                }
            }
            try await group.waitForAll()
        }
        let received = try await chain.perform("message.received", [:], by: "e")
        let messages = try #require(received["messages"] as? [[String: Any]])
        #expect(Set(messages.compactMap { $0["text"] as? String }) == Set((0..<100).map { "number \($0)" }))
        #expect(messages.count == 100)
        #expect(Set(messages.compactMap { $0["neighbour"] as? String }) == [chain.identity("d")])
        await chain.stop()
    }

    @Test("a neighbour that floods loses its own messages, and nobody else's")
    func flood() async throws {
        let chain = try await DriverChain.start()
        let memory = chain.residentBytes("b")
        let flood = ["b", "c", "d"].map(chain.identity)
        let honest = ["b", "a"].map(chain.identity)
        let (lost, failed) = try await withThrowingTaskGroup(of: (lost: Int, failed: Int).self) { group in
            for _ in 0..<120 {
                group.addTask {
                    let report = try? await chain.perform(
                        "message.send", ["path": flood, "text": "flood", "timeoutSeconds": 3], by: "a")
                    return (report == nil ? 1 : 0, 0)
                }
            }
            group.addTask {
                var failed = 0
                for _ in 0..<12 {
                    let report = try? await chain.perform(
                        "message.send", ["path": honest, "text": "honest", "timeoutSeconds": 20], by: "c")
                    failed += report == nil ? 1 : 0
                }
                return (0, failed)
            }
            return try await group.reduce((0, 0)) { ($0.0 + $1.lost, $0.1 + $1.failed) }
        }
        // 32 at once, and 8 a second for the three seconds that the others wait.
        #expect(lost >= 120 - 32 - 8 * 4)
        #expect(lost < 120)
        #expect(failed == 0)
        #expect(chain.residentBytes("b") < memory + 30_000_000)
        await chain.stop()
    }

    @Test("a transaction in several parts reaches the far orchestrator, which learns of no peer behind it")
    func transaction() async throws {
        let chain = try await DriverChain.start()
        let transaction = (0..<3_000).map { UInt8(truncatingIfNeeded: $0) }
        let path = ["b", "c", "d"].map(chain.identity)
        let report = try await chain.perform(
            "message.send",
            ["path": path, "transaction": transaction.map { String(format: "%02x", $0) }.joined()], by: "a")
        #expect(report["milliseconds"] is Double)
        // The answer to the sender and the news for the orchestrator leave the driver on different ways.
        try await Condition.wait("the transaction is there") { !chain.transactions(of: "d").isEmpty }
        #expect(chain.transactions(of: "d") == [transaction])
        #expect(chain.transactions(of: "b").isEmpty)
        #expect(chain.transactions(of: "c").isEmpty)
        let anonymous = chain.links(of: "d").filter { $0.description.peer.identity.isEmpty }
        #expect(anonymous.map(\.description.remote) == ["directed and onion messages"])
        await chain.stop()
    }

    @Test("the same over onion messages")
    func onion() async throws {
        let chain = try await DriverChain.start()
        let link = try await chain.reach(chain.route("b", "c", "d", over: "onion"), from: "a")
        let answer = await chain.ask(chain.headerRequest(after: 0, limit: 300), over: link, of: "a")
        #expect(answer == chain.expected(after: 0, limit: 300))
        let path = ["b", "c", "d"].map(chain.identity)
        let report = try await chain.perform("message.ping", ["path": path, "over": "onion"], by: "a")
        let hops = try #require(report["hops"] as? [[String: Any]])
        #expect(hops.map { $0["milliseconds"] is Double } == [true, true, true])
        await chain.stop()
    }
}
