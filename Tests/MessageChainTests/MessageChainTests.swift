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
