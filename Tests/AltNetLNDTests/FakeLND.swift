// SPDX-License-Identifier: MIT

import AltNetKeys
import AltNetLightningAttachment
import AltNetTestKit
import Foundation
import Synchronization
import Testing

@testable import AltNetLND

/// Nodes of `Tests/Tools/fake_lnd.py` in a process of their own; its commands stand there.
final class FakeLND: Sendable {
    static let missing: Comment = "needs grpcio, grpcio-tools, coincurve and cryptography; run: scripts/setup --tests"
    private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().path
    static let isInstalled = FileManager.default.fileExists(atPath: "\(repository)/.build/venv/.installed")

    struct Node: Decodable, Sendable {
        let id: String
        let address: String
        let certificate: String
        let macaroon: String

        func settings(address: String? = nil) throws -> LNDSettings {
            try LNDSettings(
                address: address ?? self.address, certificate: self.certificate, macaroon: self.macaroon)
        }

        var port: String { String(self.address.split(separator: ":").last ?? "") }
        var nodeID: NodeID? { NodeID(hex: self.id) }
    }

    struct Sent: Decodable, Equatable, Sendable {
        let to: String
        let type: UInt16
        let data: String
        let pathKey: String?
    }

    struct Answer: Decodable, Sendable {
        let nodes: [String: Node]?
        let error: String?
        let id: String?
        let sent: [Sent]?
        let calls: [String: Int]?
        let stand: [String: Int]?
        let begun: [String: Int]?
    }

    private let process = Mutex(Process())
    private let input: Mutex<FileHandle>
    private let outputPath: String
    private let errorPath: String
    private let answers = Mutex(0)
    private let nodes = Mutex<[String: Node]>([:])

    /// Starts the nodes and waits until they listen.
    static func start(_ names: [String], network: String = "regtest") async throws -> FakeLND {
        let fake = try FakeLND(names, network: network)
        let nodes = try #require(try await fake.answer().nodes)
        fake.nodes.withLock { $0 = nodes }
        return fake
    }

    private init(_ names: [String], network: String) throws {
        let directory = TemporaryDirectory.make()
        self.outputPath = "\(directory)/out"
        self.errorPath = "\(directory)/err"
        for path in [self.outputPath, self.errorPath] {
            _ = FileManager.default.createFile(atPath: path, contents: nil)
        }
        let pipe = Pipe()
        // Programs that are started later must not hold our end open.
        _ = fcntl(pipe.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
        self.input = Mutex(pipe.fileHandleForWriting)
        try self.process.withLock { process in
            process.executableURL = URL(fileURLWithPath: "\(Self.repository)/.build/venv/bin/python3")
            process.arguments =
                [
                    "\(Self.repository)/Tests/Tools/fake_lnd.py", "--directory", directory, "--network", network,
                ] + names.flatMap { ["--node", $0] }
            process.standardInput = pipe
            process.standardOutput = FileHandle(forWritingAtPath: self.outputPath)
            process.standardError = FileHandle(forWritingAtPath: self.errorPath)
            try process.run()
        }
    }

    deinit {
        self.process.withLock { if $0.isRunning { kill($0.processIdentifier, SIGKILL) } }
    }

    func node(_ name: String) throws -> Node { try #require(self.nodes.withLock { $0[name] }) }

    /// Carries out one command, JSON without the outer braces.
    @discardableResult
    func tell(_ command: String) async throws -> Answer {
        try self.input.withLock { try $0.write(contentsOf: Data("{\(command)}\n".utf8)) }
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
            guard self.process.withLock({ $0.isRunning }) else {
                throw Condition.Failure(
                    "fake_lnd.py ended: \((try? String(contentsOfFile: self.errorPath, encoding: .utf8)) ?? "")")
            }
            let lines = try String(contentsOfFile: self.outputPath, encoding: .utf8)
                .split(separator: "\n", omittingEmptySubsequences: false)
            // What follows the last line end is not whole yet.
            return lines.count > number + 1 ? String(lines[number]) : nil
        }
        return try JSONDecoder().decode(Answer.self, from: Data(line.utf8))
    }

    /// Waits until somebody has subscribed to messages and to the news of peers, and that so many times in all.
    func isSubscribed(to name: String, times: Int = 1, kinds: [String] = ["messages", "events"]) async throws {
        try await Condition.wait("the subscriptions stand") {
            let begun = try await self.tell(#""do":"subscribers","node":"\#(name)""#).begun
            return kinds.allSatisfy { (begun?[$0] ?? 0) >= times }
        }
    }
}

/// Runs an attachment and remembers what it tells.
final class Attached: Sendable {
    static let timing = LNDTiming(
        call: .seconds(10), listing: .seconds(120), shortestListing: .milliseconds(20),
        firstPause: .milliseconds(50), longestPause: .milliseconds(200))

    let node: LNDNode
    /// Holds the handling of events back.
    let gate = Gate()
    private let log: Log
    private let task = Mutex<Task<Void, Never>?>(nil)

    private final class Log: Sendable {
        let events = Mutex<[AttachmentEvent]>([])
        let sentences = Mutex<[String]>([])
        let ended = Mutex<Result<Void, any Error>?>(nil)
    }

    /// Holds events back while it is closed.
    final class Gate: Sendable {
        private let isClosed = Mutex(false)
        func set(closed: Bool) { self.isClosed.withLock { $0 = closed } }
        func pass() async {
            while self.isClosed.withLock({ $0 }), !Task.isCancelled { try? await Task.sleep(for: .milliseconds(5)) }
        }
    }

    init(_ settings: LNDSettings, timing: LNDTiming = Attached.timing) async throws {
        let log = Log()
        self.log = log
        self.node = try await LNDNode.attach(settings, timing: timing) { sentence in
            log.sentences.withLock { $0.append(sentence) }
        }
    }

    deinit { self.stop() }

    func run() {
        let task = Task { [node, gate, log] in
            do {
                try await node.run { event in
                    await gate.pass()
                    log.events.withLock { $0.append(event) }
                }
                log.ended.withLock { $0 = .success(()) }
            } catch {
                log.ended.withLock { $0 = .failure(error) }
            }
        }
        self.task.withLock { $0 = task }
    }

    func stop() { self.task.withLock { $0?.cancel() } }

    var events: [AttachmentEvent] { self.log.events.withLock { $0 } }
    var sentences: [String] { self.log.sentences.withLock { $0 } }
    /// How the run ended.
    var ended: Result<Void, any Error>? { self.log.ended.withLock { $0 } }

    /// The messages in the order in which they came.
    var messages: [[UInt8]] {
        self.events.compactMap { if case .message(_, let bytes) = $0 { bytes } else { nil } }
    }

    /// Waits for an event.
    func tells(_ what: String, count: Int = 1, _ matches: @Sendable (AttachmentEvent) -> Bool) async throws {
        do {
            try await Condition.wait(what) { self.events.count(where: matches) >= count }
        } catch {
            throw Condition.Failure("\(error); told: \(self.events.suffix(20)); \(self.sentences)")
        }
    }

    func tells(_ event: AttachmentEvent, count: Int = 1) async throws {
        try await self.tells("\(event)", count: count) { $0 == event }
    }
}
