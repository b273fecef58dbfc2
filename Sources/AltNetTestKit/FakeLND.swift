// SPDX-License-Identifier: MIT

public import Foundation
internal import Synchronization

/// Nodes of `Tests/Tools/fake_lnd.py` in a process of their own; its commands stand there.
public final class FakeLND: Sendable {
    /// Why tests are skipped without it.
    public static let missing =
        "needs the Python packages of Tests/Tools, grpcio among them; run: scripts/setup --tests"
    private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path
    public static let isInstalled = FileManager.default.fileExists(atPath: "\(repository)/.build/venv/.installed")

    /// How to reach a node, and its identity in hexadecimal digits.
    public struct Node: Decodable, Sendable {
        public let id: String
        public let address: String
        public let certificate: String
        public let macaroon: String
    }

    /// A message that a client had a node send.
    public struct Sent: Decodable, Equatable, Sendable {
        public let to: String
        public let type: UInt16
        public let data: String
        public let pathKey: String?

        public init(to: String, type: UInt16, data: String, pathKey: String?) {
            self.to = to
            self.type = type
            self.data = data
            self.pathKey = pathKey
        }
    }

    /// What a command is answered with: only what it asks for is there.
    public struct Answer: Decodable, Sendable {
        public let nodes: [String: Node]?
        public let error: String?
        public let id: String?
        public let sent: [Sent]?
        public let calls: [String: Int]?
        public let stand: [String: Int]?
        public let begun: [String: Int]?
    }

    private let process: BackgroundProcess
    private let answers = Mutex(0)
    private let nodes = Mutex<[String: Node]>([:])

    /// Starts the nodes and waits until they listen.
    public static func start(_ names: [String], network: String = "regtest") async throws -> FakeLND {
        let fake = try FakeLND(names, network: network)
        let nodes = try await fake.answer().nodes ?? [:]
        fake.nodes.withLock { $0 = nodes }
        return fake
    }

    private init(_ names: [String], network: String) throws {
        self.process = try BackgroundProcess(
            "\(Self.repository)/.build/venv/bin/python3",
            [
                "\(Self.repository)/Tests/Tools/fake_lnd.py", "--directory", TemporaryDirectory.make(), "--network",
                network,
            ] + names.flatMap { ["--node", $0] })
    }

    public func node(_ name: String) throws -> Node {
        guard let node = self.nodes.withLock({ $0[name] }) else { throw Condition.Failure("there is no node \(name)") }
        return node
    }

    /// Carries out one command, JSON without the outer braces.
    @discardableResult
    public func tell(_ command: String) async throws -> Answer {
        try self.process.write("{\(command)}\n")
        let answer = try await self.answer()
        if let error = answer.error { throw Condition.Failure("\(command): \(error)") }
        return answer
    }

    private func answer() async throws -> Answer {
        let number = self.answers.withLock { answers in
            defer { answers += 1 }
            return answers
        }
        let line = try await Condition.value("the fake LND answers") {
            guard self.process.isRunning else { throw Condition.Failure("fake_lnd.py ended: \(self.process.errors)") }
            let lines = self.process.output.split(separator: "\n", omittingEmptySubsequences: false)
            // What follows the last line end is not whole yet.
            return lines.count > number + 1 ? String(lines[number]) : nil
        }
        return try JSONDecoder().decode(Answer.self, from: Data(line.utf8))
    }

    /// Waits until somebody has subscribed to messages and to the news of peers, and that so many times in all.
    public func isSubscribed(
        to name: String, times: Int = 1, kinds: [String] = ["messages", "events"]
    ) async throws {
        try await Condition.wait("the subscriptions stand") {
            let begun = try await self.tell(#""do":"subscribers","node":"\#(name)""#).begun
            return kinds.allSatisfy { (begun?[$0] ?? 0) >= times }
        }
    }
}
