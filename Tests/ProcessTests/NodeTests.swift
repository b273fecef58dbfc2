// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetControl
import AltNetTestKit
import Foundation
import Testing

/// A Bitcoin Core that says what a test wants: `Tests/Tools/rpc_server.py`.
final class ScriptedNode: Sendable {
    /// It needs the standard library only.
    static let python = "/usr/bin/python3"
    static let hasPython = FileManager.default.isExecutableFile(atPath: ScriptedNode.python)

    let port: Int
    private let directory: String
    private let process: BackgroundProcess

    init(_ scenario: [String: Any]) async throws {
        self.directory = TemporaryDirectory.make()
        try Self.write(scenario, to: self.directory)
        self.process = try BackgroundProcess(
            Self.python, [PythonTools.tool("rpc_server.py"), self.directory])
        let path = "\(self.directory)/port"
        let text = try await Condition.value("the scripted node listens") {
            try? String(contentsOfFile: path, encoding: .utf8)
        }
        self.port = try #require(Int(text))
    }

    /// From now on it says something else.
    func become(_ scenario: [String: Any]) throws { try Self.write(scenario, to: self.directory) }

    func stop() { self.process.kill() }

    /// The calls of a method so far, as lines of JSON.
    func calls(of method: String) -> [String] {
        ((try? String(contentsOfFile: "\(self.directory)/calls", encoding: .utf8)) ?? "")
            .split(separator: "\n").map(String.init).filter { $0.contains("\"\(method)\"") }
    }

    private static func write(_ scenario: [String: Any], to directory: String) throws {
        try JSONSerialization.data(withJSONObject: scenario)
            .write(to: URL(fileURLWithPath: "\(directory)/scenario.json"), options: .atomic)
    }
}

/// The daemon beside a node that misses blocks, misbehaves or is not there.
@Suite(
    "Beside a scripted node", .serialized,
    .enabled(if: ScriptedNode.hasPython, "needs /usr/bin/python3; run: scripts/setup --tests"))
struct NodeTests {
    /// Header by header as hexadecimal, genesis included, as a daemon exports them.
    private static func headers(of daemon: DaemonProcess) async throws -> [String] {
        let bytes = try await daemon.control.headers(from: 0, count: 2000)
        return stride(from: 0, to: bytes.count, by: 80).map { Hex.encode(bytes[$0..<$0 + 80]) }
    }

    private static func mine(_ count: Int, _ daemon: DaemonProcess) async throws {
        let mined = try await Programs.run(
            "altnet",
            [
                "regtest", "mine", "--count", "\(count)", "--network", "regtest", "--data-directory",
                daemon.dataDirectory,
            ])
        #expect(mined.status == 0, "\(mined.errors)")
    }

    /// Somebody with headers who serves them.
    private static func honest(_ count: Int) async throws -> DaemonProcess {
        let bob = try await DaemonProcess.start(
            settings: ["drivers.bitcoin.connect": "", "drivers.bitcoin.listen": "127.0.0.1:0"])
        try await Self.mine(count, bob)
        return bob
    }

    private static func watch(
        _ node: ScriptedNode, beside bob: DaemonProcess, _ settings: [String: String] = [:]
    ) async throws -> DaemonProcess {
        let all = [
            "drivers.bitcoin.connect": try await bob.listening("bitcoin"), "node.kind": "bitcoin-core",
            "node.url": "http://127.0.0.1:\(node.port)", "node.user": "u", "node.password": "p",
            "watchdog.grace_seconds": "0.2", "sync.behind_probe_seconds": "0.2", "node.poll_seconds": "0.1",
        ]
        return try await DaemonProcess.start(settings: all.merging(settings) { _, given in given })
    }

    @Test("a withheld block is reported within two seconds, headers are given to the node, and the incident ends")
    func behind() async throws {
        let bob = try await Self.honest(10)
        let ten = try await Self.headers(of: bob)
        let answers = ["submitheader": ["result": NSNull()]]
        let node = try await ScriptedNode(["credentials": "u:p", "headers": ten, "answers": answers])
        let alice = try await Self.watch(
            node, beside: bob,
            ["policy.dry_run": "false", "policy.node-behind": "feed-headers,alert", "node.allow": "headers"])
        try await Condition.wait("the node is seen at the tip") {
            let report = try await alice.control.node()
            return report.missingBlocks == 0 && report.blocks == 10
        }
        try await Condition.wait("all is safe") { try await alice.control.safe().safe }
        #expect(try await alice.control.incidents(limit: 10).isEmpty)

        try await Self.mine(3, bob)
        let incident = try await Condition.value("an incident about three blocks") {
            try await alice.control.incidents(limit: 10).first { $0.kind == "node-behind" && $0.missingBlocks == 3 }
        }
        #expect(incident.subject == "node")
        #expect(incident.opened.time.milliseconds - incident.since.time.milliseconds <= 2_000 + 200)
        let safe = try await alice.control.safe()
        #expect(!safe.safe && !safe.reasons.isEmpty)
        // What the node is given is what it misses, in order.
        let all = try await Self.headers(of: bob)
        try await Condition.wait("the node is given three headers") { node.calls(of: "submitheader").count >= 3 }
        for (call, header) in zip(node.calls(of: "submitheader"), all[11...]) {
            #expect(call.lowercased().contains(header))
        }
        let audit = try String(contentsOfFile: "\(alice.dataDirectory)/regtest/audit.jsonl", encoding: .utf8)
        #expect(audit.contains("submitheader") && audit.contains("incident \(incident.id)"))

        try node.become(["credentials": "u:p", "headers": all, "answers": answers])
        let closed = try await Condition.value("the incident is over") {
            try await alice.control.incidents(limit: 10).first { $0.id == incident.id && $0.closed != nil }
        }
        #expect(closed.ending == "caught-up")
        #expect(closed.actions.contains { $0.action == "feed-headers" && $0.outcome == "done" })
        try await Condition.wait("all is safe again") { try await alice.control.safe().safe }
        // Its proof holds on another machine, which has nothing but the file.
        let file = TemporaryDirectory.make() + "/proof.json"
        try Data(try await alice.control.evidence(of: incident.id)).write(to: URL(fileURLWithPath: file))
        let verified = try await Programs.run("altnet", ["incidents", "verify", file])
        #expect(verified.status == 0, "\(verified.output)\(verified.errors)")
    }

    @Test(
        "a remote gets recent blocks of the best chain, also those that the node is about to have, and no deeper ones")
    func servedBlocks() async throws {
        let bob = try await Self.honest(300)
        let all = try await Self.headers(of: bob)
        let scenario: [String: Any] = ["credentials": "u:p", "blocks": true]
        // The node misses the last two.
        let node = try await ScriptedNode(scenario.merging(["headers": Array(all.dropLast(2))]) { $1 })
        let alice = try await Self.watch(
            node, beside: bob, ["drivers.bitcoin.listen": "127.0.0.1:0", "drivers.bitcoin.serve_blocks": "true"])
        try await Condition.wait("Alice has the headers, and sees that the node misses two blocks") {
            let report = try await alice.control.node()
            return report.blocks == 298 && report.missingBlocks == 2
        }
        let place = try await alice.listening("bitcoin")
        let asker = PythonTools.tool("block_asker.py")
        // The next header has the hash of the one before.
        func name(_ height: Int) -> String { Hex.encode((Hex.decode(all[height + 1]) ?? [])[4..<36].reversed()) }
        // More at once than are read at once; too deep; known to nobody.
        let (deep, unknown) = (name(9), String(repeating: "ab", count: 32))
        let recent = (288...298).map(name)
        let process = try BackgroundProcess(
            ScriptedNode.python, [asker, place] + recent + [name(299), deep, name(10), unknown])
        try await Condition.wait("all are answered but the one that the node is about to have") {
            process.output.split(separator: "\n").count == 14
        }
        try node.become(scenario.merging(["headers": all]) { $1 })
        #expect(try await process.finish() == 0, "\(process.errors)")
        let lines = Set(process.output.split(separator: "\n").map(String.init))
        let expected =
            (recent + [name(299), name(10)]).map { "block \($0)" } + [deep, unknown].map { "notfound \($0)" }
        #expect(lines == Set(expected))
        #expect(!node.calls(of: "getblock").contains { $0.contains(deep) || $0.contains(unknown) })
    }

    /// A transaction in hexadecimal, with this as the output that it spends.
    private static func transaction(_ output: UInt8) -> String {
        let input: [UInt8] = [UInt8](repeating: 7, count: 32) + [output, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]
        return Hex.encode([2, 0, 0, 0, 1] + input + [1, 1, 0, 0, 0, 0, 0, 0, 0, 0] + [0, 0, 0, 0])
    }

    @Test(
        "a transaction that a remote hands over reaches the node where that is allowed, and nothing says whose it was",
        .enabled(if: PythonTools.isInstalled, PythonTools.missing), arguments: [true, false])
    func transactions(isAllowed: Bool) async throws {
        let bob = try await Self.honest(3)
        let node = try await ScriptedNode([
            "credentials": "u:p", "headers": try await Self.headers(of: bob),
            "answers": [
                "testmempoolaccept": ["result": [["allowed": true]]],
                "sendrawtransaction": ["result": String(repeating: "12", count: 32)],
            ],
        ])
        let alice = try await Self.watch(
            node, beside: bob, isAllowed ? ["node.allow": "transactions"] : ["node.allow": "headers"])
        try await Condition.wait("the node is reachable") {
            let report = try await alice.control.node()
            return report.reach == "reachable" && report.blocks == 3
        }
        _ = try await alice.control.attach(
            AttachRequest(
                name: "far", program: PythonTools.tool("bad-driver"),
                settings: [
                    "settings.behaviour": "transactions",
                    // The same twice, and what is none.
                    "settings.transactions": [
                        Self.transaction(1), Self.transaction(1), "00", Self.transaction(2),
                    ].joined(separator: " "),
                ]))
        if isAllowed {
            try await Condition.wait("both are with the node") { node.calls(of: "sendrawtransaction").count == 2 }
            #expect(node.calls(of: "sendrawtransaction")[0].contains(Self.transaction(1)))
            #expect(node.calls(of: "sendrawtransaction")[1].contains(Self.transaction(2)))
            #expect(node.calls(of: "testmempoolaccept").count == 2)
            try await Condition.wait("the log says so") {
                alice.log.components(separatedBy: "relays a transaction").count == 3
            }
            let audit = try String(contentsOfFile: "\(alice.dataDirectory)/regtest/audit.jsonl", encoding: .utf8)
            #expect(audit.components(separatedBy: "sendrawtransaction").count == 5)
            #expect(!audit.contains("far") && !audit.contains("nowhere"))
        }
        let outcomes =
            isAllowed ? [("accepted", 2), ("duplicate", 1), ("malformed", 1)] : [("not-allowed", 4), ("accepted", 0)]
        let url = "\(alice.dataDirectory)/regtest/run/control.sock"
        for (outcome, count) in outcomes {
            try await Condition.wait("\(count) are \(outcome)") {
                try await Programs.run("/usr/bin/curl", ["--silent", "--unix-socket", url, "http://altnetd/metrics"])
                    .output.contains("altnet_transactions_total{outcome=\"\(outcome)\"} \(count)\n")
            }
        }
        for line in alice.log.split(separator: "\n") where line.contains("transaction") {
            #expect(!line.contains("far") && !line.contains("nowhere"), "\(line)")
        }
        if !isAllowed { #expect(node.calls(of: "testmempoolaccept").isEmpty) }
    }

    @Test("nothing is changed at a node without permission, whatever the policy says")
    func permissions() async throws {
        let bob = try await Self.honest(5)
        let five = try await Self.headers(of: bob)
        let node = try await ScriptedNode(["credentials": "u:p", "headers": five])
        let alice = try await Self.watch(node, beside: bob, ["policy.dry_run": "false"])
        try await Condition.wait("the node is seen") { try await alice.control.node().missingBlocks == 0 }
        try await Self.mine(1, bob)
        let incident = try await Condition.value("an incident with what failed") {
            try await alice.control.incidents(limit: 10).first {
                $0.kind == "node-behind" && $0.actions.contains { $0.action == "feed-headers" }
            }
        }
        let action = try #require(incident.actions.first { $0.action == "feed-headers" })
        #expect(action.outcome == "failed" && action.detail.contains("node.allow"), "\(action)")
        for method in ["submitheader", "submitblock", "addnode", "disconnectnode", "sendrawtransaction"] {
            #expect(node.calls(of: method).isEmpty, "\(method)")
        }
    }

    @Test("a node that is still downloading is behind, and no alarm is raised")
    func syncing() async throws {
        let bob = try await Self.honest(30)
        let few = Array(try await Self.headers(of: bob).prefix(5))
        let node = try await ScriptedNode(["credentials": "u:p", "headers": few, "syncing": true])
        let alice = try await Self.watch(node, beside: bob)
        try await alice.reaches(30)
        try await Condition.wait("the node is seen as behind") { try await alice.control.node().missingBlocks == 26 }
        #expect(try await alice.control.node().isSyncing)
        // The moment it says that it is done, it counts: so the grace had passed before without an alarm.
        try node.become(["credentials": "u:p", "headers": few])
        let incident = try await Condition.value("an incident once it is done") {
            try await alice.control.incidents(limit: 10).first { $0.kind == "node-behind" }
        }
        #expect(try await alice.control.incidents(limit: 10).count { $0.kind == "node-behind" } == 1)
        #expect(incident.missingBlocks == 26)
    }

    @Test(
        "a node that cannot be watched is explained with what to do",
        arguments: [
            ("credentials", "refused", "password"), ("network", "wrong-network", "main"),
            ("flood", "refused", "longer"), ("gone", "unreachable", "127.0.0.1"),
        ])
    func unavailable(problem: String, reach: String, word: String) async throws {
        let bob = try await Self.honest(5)
        var scenario: [String: Any] = ["credentials": "u:p", "headers": try await Self.headers(of: bob)]
        let node = try await ScriptedNode(scenario)
        let alice = try await Self.watch(node, beside: bob)
        try await Condition.wait("the node is seen") { try await alice.control.node().missingBlocks == 0 }
        let before = try Self.residentKilobytes(alice)
        switch problem {
        case "credentials": scenario["credentials"] = "u:another"
        case "network": scenario["chain"] = "main"
        case "flood": scenario["answers"] = ["getblockchaininfo": ["result": [String: Any](), "flood": 100_000_000]]
        default: node.stop()
        }
        if problem != "gone" { try node.become(scenario) }
        let report = try await Condition.value("the node counts as \(reach)") {
            let report = try await alice.control.node()
            return report.reach == reach ? report : nil
        }
        #expect(report.reason?.contains(word) == true, "\(String(describing: report.reason))")
        let safe = try await alice.control.safe()
        #expect(!safe.safe)
        // The header chain goes on without the node.
        try await Self.mine(1, bob)
        try await alice.reaches(6)
        #expect(try Self.residentKilobytes(alice) - before < 60_000)
        guard problem != "gone" else { return }
        scenario = ["credentials": "u:p", "headers": try await Self.headers(of: bob)]
        try node.become(scenario)
        try await Condition.wait("the node is back") {
            let report = try await alice.control.node()
            return report.reach == "reachable" && report.missingBlocks == 0
        }
    }

    private static func residentKilobytes(_ daemon: DaemonProcess) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(daemon.processID)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return try #require(Int(line.split(separator: " ", omittingEmptySubsequences: true)[1]))
    }
}
