// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetObjects
internal import AltNetTestKit
internal import Foundation
internal import HeaderTestSupport
internal import Testing

@testable internal import AltNetNode

@Suite("The state of Bitcoin Core")
struct CoreStateTests {
    @Test("is what the node says about itself")
    func healthy() async throws {
        var scenario = Scenario()
        scenario.answers["getpeerinfo"] = """
            {"result": [{"id": 3, "addr": "192.0.2.1:8333", "inbound": false, "connection_type": "manual",
              "network": "ipv4", "timeoffset": -70, "last_block": 1700000000, "synced_headers": -1, "new": {"a": []}}]}
            """
        let hash = String(repeating: "ab", count: 32)
        scenario.answers["getchaintips"] = """
            {"result": [{"height": 10, "hash": "\(hash)", "branchlen": 0, "status": "active"},
              {"height": 12, "hash": "\(hash)", "branchlen": 4, "status": "invalid"}]}
            """
        // As Core writes it with proxy= and without onlynet.
        scenario.answers["getnetworkinfo"] = """
            {"result": {"subversion": "/Satoshi:31.0.0/", "networks": [
              {"name": "ipv4", "limited": false, "reachable": true, "proxy": "127.0.0.1:9050"},
              {"name": "ipv6", "limited": false, "reachable": true, "proxy": ""},
              {"name": "i2p", "limited": true, "reachable": false, "proxy": ""}]}}
            """
        let fake = try await FakeNode(scenario)
        let following = Following(try fake.node())
        let state = try await following.state("the node is reachable") { $0.reach == .reachable }
        #expect(state.directNetworks == ["ipv6"])
        #expect(state.blocks == 10 && state.headers == 10 && !state.isSyncing)
        #expect(state.bestBlock == scenario.headers.last?.hash)
        #expect(state.version == "/Satoshi:31.0.0/")
        #expect(state.followedBy == "polling every 0 s")
        #expect(
            state.peers == [
                NodePeer(
                    id: 3, address: "192.0.2.1:8333", isInbound: false, connectionType: "manual", network: "ipv4",
                    clockOffset: -70, lastBlock: 1_700_000_000)
            ])
        #expect(
            state.invalidBranches == [
                NodeBranch(hash: try #require(BlockHash(hex: hash)), height: 12, branchLength: 4)
            ])
        scenario.headers += HeaderMiner.chain(2, on: scenario.headers[10])
        scenario.isSyncing = true
        try fake.become(scenario)
        let later = try await following.state("it grows") { $0.blocks == 12 && $0.isSyncing }
        #expect(later.reach == .reachable)
        await following.stop()
    }

    @Test(
        "says how to mend what keeps us out",
        arguments: [
            (#"{"status": 403, "body": ""}"#, "rpcallowip", "refused"),
            (
                #"{"error": {"code": -28, "message": "Loading block index…"}}"#, "is starting: Loading block index",
                "unreachable"
            ),
            (#"{"status": 503, "body": "Work queue depth exceeded"}"#, "work queue is full", "unreachable"),
            (#"{"status": 500, "body": "<html>"}"#, "no JSON", "refused"),
            (
                #"{"error": {"code": -32601, "message": "Method not found"}, "status": 404}"#, "Method not found",
                "refused"
            ),
            (#"{"hex": "fffe00"}"#, "no JSON", "refused"),
            (#"{"body": ""}"#, "no JSON", "refused"),
            (#"{"body": "[]"}"#, "another type", "refused"),
            (#"{"body": "null"}"#, "is not what Bitcoin Core says", "refused"),
            (#"{"body": "{\"id\": 0}"}"#, "lacks result", "refused"),
            (#"{"result": {"chain": 7}}"#, "chain has another type", "refused"),
            (#"{"result": {"chain": "regtest", "blocks": 1e400}}"#, "is not what Bitcoin Core says", "refused"),
            (#"{"result": {"chain": "regtest", "blocks": -1, "headers": 0}}"#, "a number too large", "refused"),
            (
                #"{"result": {"chain": "regtest", "blocks": 99999999999, "headers": 0}}"#, "a number too large",
                "refused"
            ),
            (#"{"result": "\ud800"}"#, "is not what Bitcoin Core says", "refused"),
            (#"{"error": {"code": 1, "message": ""}, "id": 7}"#, "answered to call 7", "refused"),
            (#"{"result": {}, "id": "0"}"#, "id has another type", "refused"),
            (#"{"half": true, "result": {"chain": "regtest"}}"#, "closed the connection", "unreachable"),
            (#"{"status": 302, "body": ""}"#, "HTTP status 302", "refused"),
            (#"{"header_flood": 20000000}"#, "does not speak HTTP as it should", "refused"),
        ])
    func badAnswers(behaviour: String, sentence: String, kind: String) async throws {
        var scenario = Scenario()
        scenario.answers["getblockchaininfo"] = behaviour
        let fake = try await FakeNode(scenario)
        let following = Following(try fake.node())
        let state = try await following.state("a state") { _ in true }
        #expect(state.reach.sentence.contains(sentence), "\(state.reach)")
        #expect("\(state.reach)".hasPrefix(kind), "\(state.reach)")
        // And it goes on as soon as the node is itself again.
        try fake.become(Scenario())
        _ = try await following.state("the node recovers") { $0.reach == .reachable }
        await following.stop()
    }

    @Test("tells deep JSON from an answer")
    func deep() async throws {
        var scenario = Scenario()
        let deep = String(repeating: "[", count: 20_000)
        scenario.answers["getblockchaininfo"] = #"{"body": "{\"id\":0,\"result\":\#(deep)"}"#
        let fake = try await FakeNode(scenario)
        let following = Following(try fake.node())
        let state = try await following.state("a state") { _ in true }
        #expect(state.reach.sentence.contains("no JSON"), "\(state.reach)")
        await following.stop()
    }

    @Test("is no alarm when the node is down, and comes back with the node")
    func down() async throws {
        let fake = try await FakeNode()
        let node = try fake.node()
        fake.stop()
        let following = Following(node)
        // Whom its end meets half-way hears something else at first.
        _ = try await following.state("nobody is there") {
            $0.reach.sentence.contains("nobody answers at http://127.0.0.1:\(fake.port): start Bitcoin Core")
        }
        await following.stop()
    }

    @Test("names the network that the node is on")
    func wrongNetwork() async throws {
        var scenario = Scenario()
        scenario.chain = "main"
        let fake = try await FakeNode(scenario)
        let following = Following(try fake.node())
        let state = try await following.state("a state") { _ in true }
        guard case .wrongNetwork(let sentence) = state.reach else {
            Issue.record("\(state.reach)")
            return
        }
        #expect(sentence.contains("follows the network main and AltNet regtest"))
        await following.stop()
    }

    @Test("survives a new cookie, and says when no cookie helps")
    func cookie() async throws {
        var scenario = Scenario()
        scenario.credentials = "__cookie__:first"
        let fake = try await FakeNode(scenario)
        let following = Following(try fake.node())
        _ = try await following.state("the first cookie works") { $0.reach == .reachable }
        scenario.credentials = "__cookie__:second"
        try fake.become(scenario)
        let refused = try await following.state("the cookie is refused") { $0.reach != .reachable }
        #expect(refused.reach.sentence.contains("does not accept the cookie in \(fake.directory)/.cookie"))
        #expect(refused.blocks == 10, "what the node said last is kept")
        try "__cookie__:second".write(toFile: "\(fake.directory)/.cookie", atomically: true, encoding: .utf8)
        _ = try await following.state("the second cookie works") { $0.reach == .reachable }
        await following.stop()
        let other = Following(
            try fake.node(credentials: .password(user: "alice", password: "wrong"), pace: FakeNode.quick))
        let wrong = try await other.state("a state") { _ in true }
        #expect(wrong.reach.sentence.contains("does not accept the password of user alice"))
        await other.stop()
    }

    @Test("changes the cookie without a state in between when the file is newer than ours")
    func rereadOn401() async throws {
        var scenario = Scenario()
        scenario.credentials = "__cookie__:first"
        let fake = try await FakeNode(scenario)
        let node = try fake.node()
        #expect(await node.answer(.block(.zero)) == .refused(.notFound))
        scenario.credentials = "__cookie__:second"
        try "__cookie__:second".write(toFile: "\(fake.directory)/.cookie", atomically: true, encoding: .utf8)
        try fake.become(scenario)
        #expect(await node.answer(.block(.zero)) == .refused(.notFound))
    }

    @Test("goes on without peers and branches when the node does not tell them")
    func partial() async throws {
        var scenario = Scenario()
        scenario.answers["getpeerinfo"] = #"{"status": 403, "body": ""}"#
        scenario.answers["getchaintips"] = #"{"flood": 5000000}"#
        scenario.answers["getnetworkinfo"] = #"{"body": "oh"}"#
        let fake = try await FakeNode(scenario)
        let following = Following(try fake.node())
        let state = try await following.state("the node is reachable") { $0.reach == .reachable }
        #expect(state.peers.isEmpty && state.invalidBranches.isEmpty && state.version.isEmpty)
        await following.stop()
    }

    @Test("keeps a thousand of a thousand thousand peers, or none")
    func manyPeers() async throws {
        var scenario = Scenario()
        let peer = #"{"id":1,"addr":"a","inbound":true}"#
        scenario.answers["getpeerinfo"] = #"{"repeat": {"item": \#(peer), "count": 50000}}"#
        let fake = try await FakeNode(scenario)
        let following = Following(try fake.node())
        let state = try await following.state("some peers") { !$0.peers.isEmpty }
        #expect(state.peers.count == NodeState.maximumPeers)
        // 39 MB: beyond the bound in bytes, so what is known stays.
        scenario.answers["getpeerinfo"] = #"{"repeat": {"item": \#(peer), "count": 1000000}}"#
        scenario.headers += HeaderMiner.chain(1, on: scenario.headers[10])
        try fake.become(scenario)
        let later = try await following.state("the next block") { $0.blocks == 11 }
        #expect(later.reach == .reachable && later.peers.count == NodeState.maximumPeers)
        await following.stop()
    }

    @Test("is not read to the end when it has 100 MB", arguments: [true, false])
    func flood(declared: Bool) async throws {
        var scenario = Scenario()
        scenario.answers["getblockchaininfo"] = #"{"flood": 100000000, "declared": \#(declared)}"#
        let fake = try await FakeNode(scenario)
        let following = Following(try fake.node())
        let state = try await following.state("a state") { _ in true }
        #expect(state.reach.sentence.contains("longer than 65536 bytes"), "\(state.reach)")
        // What the system's buffers took, and no more: we hung up.
        let sent = try await Condition.value("the node notices") { fake.sentOfFlood }
        #expect(sent < 20_000_000)
        await following.stop()
    }

    @Test("notices a block at once where the node can wait for it")
    func waiting() async throws {
        var scenario = Scenario()
        let fake = try await FakeNode(scenario)
        var pace = FakeNode.quick
        pace.wait = .seconds(20)
        let following = Following(try fake.node(follow: .wait, pace: pace))
        let state = try await following.state("the node is reachable") { $0.reach == .reachable }
        #expect(state.followedBy == "waitfornewblock")
        try await Condition.wait("it waits") { fake.calls.contains { $0.contains("waitfornewblock") } }
        let start = ContinuousClock.now
        scenario.headers += HeaderMiner.chain(1, on: scenario.headers[10])
        try fake.become(scenario)
        _ = try await following.state("the next block") { $0.blocks == 11 }
        #expect(ContinuousClock.now - start < .seconds(15), "not when the wait is over")
        await following.stop()
    }

    @Test(
        "is asked for where the node does not let us wait",
        arguments: [
            #"{"status": 403, "body": ""}"#,
            #"{"error": {"code": -32601, "message": "Method not found"}, "status": 404}"#,
            #"{"result": 5}"#,
        ])
    func waitingRefused(behaviour: String) async throws {
        var scenario = Scenario()
        scenario.answers["waitfornewblock"] = behaviour
        let fake = try await FakeNode(scenario)
        let following = Following(try fake.node(follow: .auto))
        _ = try await following.state("polling") { $0.followedBy.hasPrefix("polling") }
        scenario.headers += HeaderMiner.chain(1, on: scenario.headers[10])
        try fake.become(scenario)
        _ = try await following.state("the next block") { $0.blocks == 11 }
        await following.stop()
    }

    @Test("ends in time when the task that follows is cancelled", arguments: ["hang", "drip"])
    func cancelled(behaviour: String) async throws {
        var scenario = Scenario()
        scenario.answers["getblockchaininfo"] = #"{"\#(behaviour)": true}"#
        let fake = try await FakeNode(scenario)
        let following = Following(try fake.node())
        try await Condition.wait("it was asked") { !fake.calls.isEmpty }
        let start = ContinuousClock.now
        await following.stop()
        #expect(ContinuousClock.now - start < .seconds(14), "not at the deadline")
        #expect(following.states.isEmpty)
    }
}
