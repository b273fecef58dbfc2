// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetObjects
internal import AltNetTestKit
internal import Foundation
internal import HeaderTestSupport
internal import Logging
internal import Synchronization

@testable internal import AltNetNode

/// `Tests/Tools/rpc_server.py`, and what it is to say.
final class FakeNode: Sendable {
    static let tools = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Tools")

    let directory: String
    let port: UInt16
    private let process: BackgroundProcess

    /// Starts a node that is well and has these headers, genesis included.
    init(_ scenario: Scenario = Scenario()) async throws {
        let directory = TemporaryDirectory.make()
        self.directory = directory
        try scenario.write(to: directory)
        // A cookie as Core writes it.
        try "__cookie__:first".write(toFile: "\(directory)/.cookie", atomically: true, encoding: .utf8)
        self.process = try BackgroundProcess(
            "/usr/bin/python3", ["\(Self.tools.path)/rpc_server.py", directory])
        let port = try await Condition.value("the scripted node listens") {
            try? String(contentsOfFile: "\(directory)/port", encoding: .utf8)
        }
        guard let number = UInt16(port) else { throw Condition.Failure("the scripted node's port is \(port)") }
        self.port = number
    }

    /// From now on the node says something else.
    func become(_ scenario: Scenario) throws {
        try scenario.write(to: self.directory)
    }

    func stop() {
        self.process.kill()
    }

    /// What was called so far, as lines of JSON.
    var calls: [String] {
        ((try? String(contentsOfFile: "\(self.directory)/calls", encoding: .utf8)) ?? "")
            .split(separator: "\n").map(String.init)
    }

    /// How many bytes of the last flood could be sent, once the sending has ended.
    var sentOfFlood: Int? {
        (try? String(contentsOfFile: "\(self.directory)/sent", encoding: .utf8)).flatMap { Int($0) }
    }

    var cookieFile: CoreCredentials { .cookieFile("\(self.directory)/.cookie") }

    /// One that looks often, so that tests are quick.
    static var quick: BitcoinCoreNode.Pace {
        var pace = BitcoinCoreNode.Pace()
        pace.poll = .milliseconds(50)
        pace.wait = .seconds(2)
        pace.peers = .milliseconds(50)
        pace.branches = .milliseconds(50)
        pace.shortest = .milliseconds(10)
        pace.firstPause = .milliseconds(50)
        pace.longestPause = .milliseconds(200)
        return pace
    }

    func node(
        allow: Set<NodePermission> = [], follow: BitcoinCoreNode.Follow = .poll, zmqEndpoint: String? = nil,
        port: UInt16? = nil, credentials: CoreCredentials? = nil, pace: BitcoinCoreNode.Pace = FakeNode.quick
    ) throws -> BitcoinCoreNode {
        let url = "http://127.0.0.1:\(port ?? self.port)"
        return BitcoinCoreNode(
            configuration: .init(
                network: .regtest,
                endpoint: try CoreEndpoint(url: url, network: .regtest, allowRemote: false),
                credentials: credentials ?? self.cookieFile, follow: follow, zmqEndpoint: zmqEndpoint, allow: allow,
                pace: pace),
            auditLog: try NodeAuditLog(path: "\(self.directory)/audit.jsonl"),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    }
}

/// What the scripted node says; see the head of `rpc_server.py`.
struct Scenario {
    var credentials: String?
    var headers: [BlockHeader] = [Network.regtest.genesis] + HeaderMiner.chain(10)
    var stale: [BlockHeader] = []
    var chain = "regtest"
    var isSyncing = false
    /// Behaviours as JSON, by method.
    var answers: [String: String] = [:]

    func write(to directory: String) throws {
        var parts = [
            "\"headers\": [\(Self.list(self.headers))]", "\"stale\": [\(Self.list(self.stale))]",
            "\"chain\": \"\(self.chain)\"", "\"syncing\": \(self.isSyncing)",
        ]
        if let credentials { parts.append("\"credentials\": \"\(credentials)\"") }
        parts.append("\"answers\": {\(self.answers.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ","))}")
        try "{\(parts.joined(separator: ","))}".write(
            toFile: "\(directory)/scenario.json", atomically: true, encoding: .utf8)
    }

    private static func list(_ headers: [BlockHeader]) -> String {
        headers.map { "\"\(Hex.encode($0.bytes))\"" }.joined(separator: ",")
    }
}

/// Follows a node, and remembers what it told.
final class Following: Sendable {
    private let seen = Mutex<[NodeState]>([])
    private let task = Mutex<Task<Void, Never>?>(nil)

    init(_ node: some NodeInterface) {
        let task = Task {
            await node.run { event in
                switch event {
                case .state(let state): self.seen.withLock { $0.append(state) }
                }
            }
        }
        self.task.withLock { $0 = task }
    }

    var states: [NodeState] { self.seen.withLock { $0 } }

    /// The latest state, once it is as wanted.
    func state(
        _ what: String, within limit: Duration = Condition.patience, _ holds: (NodeState) -> Bool
    ) async throws -> NodeState {
        do {
            return try await Condition.value(what, within: limit) { self.states.last.flatMap { holds($0) ? $0 : nil } }
        } catch {
            throw Condition.Failure("\(error); the last state was \(String(describing: self.states.last))")
        }
    }

    /// Ends following, and waits until it has ended.
    func stop() async {
        let task = self.task.withLock { $0 }
        task?.cancel()
        await task?.value
    }
}

extension NodeState.Reach {
    /// The sentence for the operator; empty when all is well.
    var sentence: String {
        switch self {
        case .reachable: ""
        case .unreachable(let text), .refused(let text), .wrongNetwork(let text): text
        }
    }
}
