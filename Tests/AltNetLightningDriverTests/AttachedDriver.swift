// SPDX-License-Identifier: MIT

import AltNetBitcoin
import AltNetDriverProtocol
import AltNetKeys
import AltNetLightningStore
import AltNetObjects
import AltNetTestKit
import Foundation
import Logging
import Synchronization
import Testing

@testable import AltNetDriverKit
@testable import AltNetLightningDriver
@testable import AltNetStreamDriver

/// The driver on a fake attachment, and what it tells the orchestrator.
final class AttachedDriver: Sendable {
    private struct State {
        var events: [DriverEvent] = []
        var ended: Result<Void, any Error>?
        var operations: UInt64 = 0
    }

    /// Short, so that tests do not wait.
    static let pauses = AttachedPauses(link: .milliseconds(10), call: .milliseconds(10))

    private let commands: AsyncStream<DriverCommand>.Continuation
    private let task = Mutex<Task<Void, Never>?>(nil)
    private let state: SharedState

    private final class SharedState: Sendable {
        let held = Mutex(State())
    }

    init(_ attachment: FakeAttachment, directory: String = TemporaryDirectory.make()) throws {
        LogCapture.begin()
        let state = SharedState()
        self.state = state
        var settings = DriverSettings([:])
        var options = LightningMedium.Options(
            network: .regtest, serves: [.headers], alternatives: try AlternativeSettings(&settings),
            addressStore: try AlternativeAddressStore(directory: directory))
        options.attachedPauses = Self.pauses
        let driver = try StreamDriver(
            try LightningMedium(attachment, options: options), settings: try StreamSettings(&settings))
        let (commands, continuation) = AsyncStream.makeStream(of: DriverCommand.self)
        self.commands = continuation
        let connection = OrchestratorConnection(commands: commands) { event in
            state.held.withLock { $0.events.append(event) }
        }
        let task = Task {
            let outcome: Result<Void, any Error>
            do {
                outcome = .success(try await driver.run(connection))
            } catch {
                outcome = .failure(error)
            }
            state.held.withLock { $0.ended = outcome }
        }
        self.task.withLock { $0 = task }
    }

    deinit { self.task.withLock { $0?.cancel() } }

    func say(_ command: DriverCommand) { self.commands.yield(command) }
    func stop() { self.commands.finish() }

    var events: [DriverEvent] { self.state.held.withLock { $0.events } }

    /// How the driver ended, once it has.
    func ended() async throws -> Result<Void, any Error> {
        try await Condition.value("the driver ends") { self.state.held.withLock { $0.ended } }
    }

    /// The links with a peer that were opened, in order.
    func opened(_ peer: NodeID) -> [DriverLink] {
        self.events.compactMap {
            guard case .linkOpened(let link, let description) = $0, description.peer.identity == peer.description
            else { return nil }
            return link
        }
    }

    /// Waits for the link with a peer that was opened as the first, the second and so on.
    func link(_ peer: NodeID, number: Int = 1) async throws -> DriverLink {
        try await Condition.value("link \(number) with \(peer)") {
            let links = self.opened(peer)
            return links.count >= number ? links[number - 1] : nil
        }
    }

    func isClosed(_ link: DriverLink) -> Bool {
        self.events.contains { if case .linkClosed(link, _) = $0 { true } else { false } }
    }

    /// Carries out an operation; JSON in, JSON out.
    func perform(_ name: String, _ body: String = "{}") async throws -> String {
        let id = self.state.held.withLock { state in
            state.operations += 1
            return state.operations
        }
        self.say(.operation(id: id, name: name, body: Array(body.utf8)))
        let outcome = try await Condition.value("an answer to \(name)") {
            self.events.lazy.compactMap { event -> OperationOutcome? in
                if case .operationResult(id, let outcome) = event { outcome } else { nil }
            }.first
        }
        switch outcome {
        case .success(let body): return String(decoding: body, as: UTF8.self)
        case .failure(let reason): throw Condition.Failure(reason)
        }
    }

    /// Pings a path over onion messages; what became of the last node.
    func ping(_ path: [NodeID], timeout: Double = 10) async throws -> String {
        let nodes = path.map { "\"\($0)\"" }.joined(separator: ",")
        return try await self.perform(
            "message.ping", #"{"path":[\#(nodes)],"over":"onion","timeoutSeconds":\#(timeout)}"#)
    }
}

/// Everything that is logged in this process, beside where it went anyway.
struct LogCapture: LogHandler {
    private static let lines = Mutex<[String]>([])
    private static let bootstrapped: Void = LoggingSystem.bootstrap { label in
        MultiplexLogHandler([LogCapture(), StreamLogHandler.standardError(label: label)])
    }

    static func begin() { _ = Self.bootstrapped }

    static func lines(with text: String) -> [String] { Self.lines.withLock { $0.filter { $0.contains(text) } } }

    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        Self.lines.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
    }
}
