// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
import AltNetObjects
internal import AltNetTestKit
internal import Foundation
internal import Testing

@testable internal import AltNetNode

@Suite("Changes of Bitcoin Core")
struct CoreChangesTests {
    static let header = Network.regtest.genesis

    /// The audit log as objects.
    private static func log(_ fake: FakeNode, _ name: String = "audit.jsonl") throws -> [[String: String]] {
        struct Line: Decodable {
            let id: UInt64
            let phase: String
            let call: String
            let argument: String
            let reason: String
            let outcome: String?
        }
        return try String(contentsOfFile: "\(fake.directory)/\(name)", encoding: .utf8).split(separator: "\n").map {
            let line = try JSONDecoder().decode(Line.self, from: Data($0.utf8))
            return [
                "phase": line.phase, "call": line.call, "argument": line.argument, "reason": line.reason,
                "outcome": line.outcome ?? "",
            ]
        }
    }

    private static func failure(_ node: BitcoinCoreNode, _ change: NodeChange) async -> NodeError? {
        do throws(NodeError) {
            try await node.perform(change, because: "a test")
            return nil
        } catch {
            return error
        }
    }

    @Test(
        "are not made unless the operator allows them",
        arguments: [
            NodeChange.submitHeader([]), .submitBlock([]), .addPeer("a:1"), .disconnectPeer("a:1"),
            .sendTransaction([]),
        ])
    func notAllowed(change: NodeChange) async throws {
        let fake = try await FakeNode()
        let others = Set(NodePermission.allCases).subtracting([change.permission])
        let error = await Self.failure(try fake.node(allow: others), change)
        #expect(error == .notAllowed(change.permission))
        #expect(error?.description.contains("add \"\(change.permission.rawValue)\" to node.allow") == true)
        #expect(fake.calls.isEmpty)
        #expect(try Self.log(fake).isEmpty)
    }

    @Test("become one call each, with two lines in the audit log")
    func calls() async throws {
        var scenario = Scenario()
        for method in ["submitheader", "submitblock", "addnode", "disconnectnode"] {
            scenario.answers[method] = #"{"result": null}"#
        }
        let txid = String(repeating: "12", count: 32)
        scenario.answers["sendrawtransaction"] = #"{"result": "\#(txid)"}"#
        let fake = try await FakeNode(scenario)
        let node = try fake.node(allow: Set(NodePermission.allCases))
        let block = Self.header.bytes + [1]
        for change: NodeChange in [
            .submitHeader(Self.header.bytes), .submitBlock(block), .addPeer("127.0.0.1:7"),
            .disconnectPeer("[2001:db8::1]:8333"), .sendTransaction([1, 2]),
        ] { #expect(await Self.failure(node, change) == nil) }
        let hex = Hex.encode(Self.header.bytes)
        #expect(
            fake.calls == [
                #"{"method": "submitheader", "params": ["\#(hex)"], "path": "/"}"#,
                #"{"method": "submitblock", "params": ["\#(hex)01"], "path": "/"}"#,
                #"{"method": "addnode", "params": ["127.0.0.1:7", "onetry"], "path": "/"}"#,
                #"{"method": "disconnectnode", "params": ["[2001:db8::1]:8333"], "path": "/"}"#,
                #"{"method": "sendrawtransaction", "params": ["0102"], "path": "/"}"#,
            ])
        let log = try Self.log(fake)
        #expect(log.map { $0["phase"] } == (0..<5).flatMap { _ in ["asked", "done"] })
        #expect(log[3]["argument"] == "block \(Self.header.hash), 81 bytes")
        #expect(log[3]["outcome"] == "accepted" && log[9]["outcome"] == "accepted as \(txid)")
        #expect(log.allSatisfy { $0["reason"] == "a test" })
        let mode = try FileManager.default.attributesOfItem(atPath: "\(fake.directory)/audit.jsonl")
        #expect(mode[.posixPermissions] as? Int == 0o600)
    }

    @Test(
        "a transaction is shown to the node before, without a trace in the audit log",
        arguments: [
            (#"{"result": [{"allowed": true}]}"#, TransactionVerdict.acceptable),
            (#"{"result": [{"allowed": false, "reject-reason": "txn-already-in-mempool"}]}"#, .known),
            (#"{"result": [{"allowed": false, "reject-reason": "txn-already-known"}]}"#, .known),
            (#"{"result": [{"allowed": false, "reject-reason": "missing-inputs"}]}"#, .missingInputs),
            (#"{"result": [{"allowed": false, "reject-reason": "dust\u0007"}]}"#, .rejected("dust?")),
            (#"{"result": [{"allowed": false}]}"#, .rejected("no reason given")),
        ])
    func judge(answer: String, expected: TransactionVerdict) async throws {
        var scenario = Scenario()
        scenario.answers["testmempoolaccept"] = answer
        let fake = try await FakeNode(scenario)
        let verdict = try await fake.node().judge(transaction: [1, 2])
        #expect(verdict == expected)
        #expect(fake.calls == [#"{"method": "testmempoolaccept", "params": [["0102"]], "path": "/"}"#])
        #expect(try Self.log(fake).isEmpty)
    }

    @Test(
        "a verdict that is none is said",
        arguments: [#"{"result": []}"#, #"{"result": [{"allowed": true}, {"allowed": true}]}"#, #"{"result": [{}]}"#])
    func noVerdict(answer: String) async throws {
        var scenario = Scenario()
        scenario.answers["testmempoolaccept"] = answer
        let fake = try await FakeNode(scenario)
        await #expect(throws: NodeError.self) { try await fake.node().judge(transaction: [1, 2]) }
    }

    @Test(
        "with nonsense are refused before anything happens",
        arguments: [
            (NodeChange.submitHeader([1, 2]), NodeError.malformed("a header has 80 bytes")),
            (.submitBlock([1, 2]), .malformed("a block has more than 80 bytes")),
            (.submitBlock([UInt8](repeating: 0, count: 4_000_001)), .tooLarge(limit: 4_000_000)),
            (.addPeer("a b"), .malformed("a b is no address of a peer")),
            (.disconnectPeer(""), .malformed(" is no address of a peer")),
            (.sendTransaction([]), .malformed("a transaction has bytes")),
        ])
    func nonsense(change: NodeChange, expected: NodeError) async throws {
        let fake = try await FakeNode()
        let node = try fake.node(allow: Set(NodePermission.allCases))
        #expect(await Self.failure(node, change) == expected)
        #expect(fake.calls.isEmpty)
    }

    @Test(
        "of a block end well when the node has it or keeps it aside",
        arguments: [
            ("null", true), (#""duplicate""#, true), (#""inconclusive""#, true), (#""duplicate-inconclusive""#, true),
            (#""duplicate-invalid""#, false), (#""high-hash""#, false),
        ])
    func submitBlock(verdict: String, isFine: Bool) async throws {
        var scenario = Scenario()
        scenario.answers["submitblock"] = #"{"result": \#(verdict)}"#
        let fake = try await FakeNode(scenario)
        let node = try fake.node(allow: [.blocks])
        let error = await Self.failure(node, .submitBlock(Self.header.bytes + [1]))
        if isFine {
            #expect(error == nil)
        } else {
            #expect(error == .rejected(code: 0, message: verdict.filter { $0 != "\"" }))
        }
    }

    @Test(
        "that fail say why, and the audit log says it too",
        arguments: [
            (
                #"{"error": {"code": -25, "message": "Must submit previous header first"}}"#,
                "the node refused it: Must submit previous header first (code -25)"
            ),
            (#"{"status": 403, "body": ""}"#, "rpcwhitelist"),
            (#"{"half": true, "result": null}"#, "closed the connection"),
            (#"{"body": "?"}"#, "is not what Bitcoin Core says"),
        ])
    func failures(behaviour: String, sentence: String) async throws {
        var scenario = Scenario()
        scenario.answers["submitheader"] = behaviour
        let fake = try await FakeNode(scenario)
        let error = await Self.failure(try fake.node(allow: [.headers]), .submitHeader(Self.header.bytes))
        #expect(error?.description.contains(sentence) == true, "\(String(describing: error))")
        #expect(try Self.log(fake).last?["outcome"]?.contains(sentence) == true)
    }

    @Test("that are called again after the deadline do not wait for ever")
    func hanging() async throws {
        // The deadline of a change is minutes; that of the whole call can be cancelled.
        var scenario = Scenario()
        scenario.answers["submitheader"] = #"{"hang": true}"#
        let fake = try await FakeNode(scenario)
        let node = try fake.node(allow: [.headers])
        let task = Task { await Self.failure(node, .submitHeader(Self.header.bytes)) }
        try await Condition.wait("it was called") { !fake.calls.isEmpty }
        task.cancel()
        #expect(await task.value?.description.contains("given up") == true)
        #expect(try Self.log(fake).last?["outcome"]?.contains("given up") == true)
    }
}
