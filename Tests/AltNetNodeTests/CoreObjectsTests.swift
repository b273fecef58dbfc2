// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetObjects
internal import AltNetTestKit
internal import HeaderTestSupport
internal import Testing

@testable internal import AltNetNode

@Suite("Objects from Bitcoin Core")
struct CoreObjectsTests {
    private static func ask(
        _ locator: [BlockHash], stop: BlockHash = .zero, limit: UInt32 = 8192
    ) -> ObjectRequest {
        .headers(locator: locator, stop: stop, heightHint: 0, limit: limit)
    }

    @Test("are the headers after the first hash of the locator that lies in the active chain")
    func headers() async throws {
        var scenario = Scenario()
        let genesis = Network.regtest.genesis
        scenario.headers = [genesis] + HeaderMiner.chain(450)
        scenario.stale = HeaderMiner.chain(1, salt: 7)
        let chain = scenario.headers
        let fake = try await FakeNode(scenario)
        let node = try fake.node()
        #expect(await node.answer(Self.ask([chain[440].hash])) == .headers(chain[441...].map { $0 }.bytes))
        #expect(await node.answer(Self.ask([chain[450].hash])) == .headers([]))
        // More than one batch.
        #expect(await node.answer(Self.ask([genesis.hash])) == .headers(chain[1...].map { $0 }.bytes))
        // A stale block is known to the node, but not where its chain goes on.
        let unknown = BlockHash(number: UInt256(1, 2, 3, 4))
        let locator = [unknown, scenario.stale[0].hash, chain[448].hash, chain[3].hash]
        #expect(await node.answer(Self.ask(locator)) == .headers(chain[449...].map { $0 }.bytes))
        #expect(await node.answer(Self.ask([unknown], limit: 3)) == .headers(chain[1...3].map { $0 }.bytes))
        #expect(await node.answer(Self.ask([], limit: 3)) == .headers(chain[1...3].map { $0 }.bytes))
        let stop = Self.ask([chain[2].hash], stop: chain[5].hash)
        #expect(await node.answer(stop) == .headers(chain[3...5].map { $0 }.bytes))
        // An empty locator asks for the header of the stop hash alone.
        #expect(await node.answer(Self.ask([], stop: chain[5].hash)) == .headers(chain[5].bytes))
        #expect(await node.answer(Self.ask([], stop: unknown)) == .headers([]))
        #expect(await node.answer(Self.ask([genesis.hash], limit: 0)) == .refused(.invalid))
    }

    @Test("are at most 2,000 headers in one answer")
    func manyHeaders() async throws {
        var scenario = Scenario()
        scenario.headers = [Network.regtest.genesis] + HeaderMiner.chain(2_005)
        // The scripted node reads its scenario for every request, so this is the slow test.
        let fake = try await FakeNode(scenario)
        let answer = await (try fake.node()).answer(Self.ask([Network.regtest.chainHash]))
        #expect(answer == .headers(scenario.headers[1...2_000].map { $0 }.bytes))
    }

    @Test(
        "are a batch in any order, and no batch with missing or repeated answers",
        arguments: [
            (#"{"reverse": true}"#, true), (#"{"drop": 1}"#, false), (#"{"duplicate": true}"#, false),
            (#"{"error": {"code": -32600, "message": "Batch too large"}}"#, false), (#"{"body": "[7]"}"#, false),
            (#"{"result": "00"}"#, false), (#"{"body": "{}"}"#, false),
        ])
    func batches(behaviour: String, isFine: Bool) async throws {
        var scenario = Scenario()
        scenario.answers["getblockhash"] = behaviour
        let fake = try await FakeNode(scenario)
        let answer = await (try fake.node()).answer(Self.ask([Network.regtest.chainHash]))
        if isFine {
            #expect(answer == .headers(scenario.headers[1...].map { $0 }.bytes))
        } else {
            guard case .refused = answer else {
                Issue.record("\(answer)")
                return
            }
        }
    }

    @Test("are refused when the header is another one than was asked for")
    func wrongHeader() async throws {
        var scenario = Scenario()
        let hash = scenario.headers[4].hash
        scenario.answers["getblockhash"] = #"{"result": "\#(hash)"}"#
        let fake = try await FakeNode(scenario)
        let answer = await (try fake.node()).answer(Self.ask([Network.regtest.chainHash]))
        #expect(answer == .refused(.unavailable))
    }

    @Test("are blocks whose header has the hash that was asked for")
    func blocks() async throws {
        var scenario = Scenario()
        let header = scenario.headers[3]
        let block = header.bytes + [0, 1, 2]
        scenario.answers["getblock"] = #"{"result": "\#(Hex.encode(block))"}"#
        let fake = try await FakeNode(scenario)
        let node = try fake.node()
        #expect(await node.answer(.block(header.hash)) == .objects(.blocks, [block]))
        #expect(await node.answer(.block(scenario.headers[4].hash)) == .refused(.unavailable))
        for (behaviour, refusal) in [
            (#"{"error": {"code": -5, "message": "Block not found"}}"#, ObjectRefusal.notFound),
            (#"{"error": {"code": -1, "message": "Block not available (pruned data)"}}"#, .notFound),
            (#"{"error": {"code": -28, "message": "Verifying blocks…"}}"#, .unavailable),
            (#"{"result": "0"}"#, .unavailable), (#"{"result": "zz"}"#, .unavailable),
            (#"{"flood": 100000000}"#, .unavailable), (#"{"flood": 100000000, "declared": true}"#, .unavailable),
        ] {
            scenario.answers["getblock"] = behaviour
            try fake.become(scenario)
            #expect(await node.answer(.block(header.hash)) == .refused(refusal), "\(behaviour)")
        }
    }

    @Test("are transactions; other kinds are not served")
    func transactions() async throws {
        var scenario = Scenario()
        scenario.answers["getrawtransaction"] = #"{"result": "0200"}"#
        let fake = try await FakeNode(scenario)
        let node = try fake.node()
        #expect(await node.answer(.transaction(.zero)) == .objects(.transactions, [[2, 0]]))
        #expect(await node.answer(.addresses(limit: 3)) == .refused(.unsupported))
        #expect(await node.answer(.filters(type: 0, start: 0, stop: .zero)) == .refused(.unsupported))
        #expect(fake.calls.allSatisfy { $0.contains(#""path": "/""#) }, "never the path of a wallet")
    }

    @Test("are refused when too many wait, and the others are answered")
    func busy() async throws {
        var scenario = Scenario()
        let header = scenario.headers[3]
        scenario.answers["getblock"] = #"{"hang": true}"#
        let fake = try await FakeNode(scenario)
        let node = try fake.node()
        let answers = await withTaskGroup(of: ObjectAnswer.self) { group in
            for _ in 0..<80 { group.addTask { await node.answer(.block(header.hash)) } }
            var refused: [ObjectAnswer] = []
            // 2 are in flight and 64 wait; the rest is refused at once.
            for _ in 0..<14 { if let answer = await group.next() { refused.append(answer) } }
            scenario.answers["getblock"] = #"{"result": "\#(Hex.encode(header.bytes + [0]))"}"#
            try? fake.become(scenario)
            var answered: [ObjectAnswer] = []
            for await answer in group { answered.append(answer) }
            return (refused, answered)
        }
        #expect(answers.0.allSatisfy { $0 == .refused(.unavailable) })
        #expect(answers.1.count == 66 && answers.1.allSatisfy { $0 == .objects(.blocks, [header.bytes + [0]]) })
        #expect(fake.calls.count == 66)
    }
}
