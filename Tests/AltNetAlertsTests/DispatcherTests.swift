// SPDX-License-Identifier: MIT

import AltNetBase
import Foundation
import Logging
import Synchronization
import Testing

@testable import AltNetAlerts

/// A log that a test can read.
struct LogLines: LogHandler {
    private final class Lines: Sendable {
        let all = Mutex<[String]>([])
    }

    private let lines = Lines()
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .trace

    var all: [String] { self.lines.all.withLock(\.self) }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        self.lines.all.withLock { $0.append("\(event.level) \(event.message)") }
    }
}

@Suite("The dispatcher")
struct DispatcherTests {
    private let directory = TemporaryDirectory()
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func dispatcher(
        _ receivers: [Receiver], path: String? = nil, timeout: Duration = .seconds(30)
    ) throws -> AlertDispatcher {
        try AlertDispatcher(
            sinks: receivers.enumerated().map { index, receiver in
                try AlertSink(
                    name: "hook\(index)",
                    kind: .webhook(
                        AlertSink.Webhook(url: receiver.url, secretFile: self.directory.secret(), timeout: timeout)))
            }, node: "alice", network: "main", path: path ?? self.directory.path + "/alerts.sqlite",
            logger: self.logger)
    }

    /// Runs it while the body runs.
    private func running(_ dispatcher: AlertDispatcher, _ body: () async throws -> Void) async throws {
        let task = Task { await dispatcher.run() }
        do {
            try await body()
        } catch {
            task.cancel()
            throw error
        }
        task.cancel()
        await task.value
    }

    @Test("a message reaches every sink, and is noted")
    func delivers() async throws {
        let receivers = [try Receiver(Receiver.status(200)), try Receiver(Receiver.status(200))]
        let dispatcher = try self.dispatcher(receivers)
        try await self.running(dispatcher) {
            dispatcher.send(Sample.message())
            try await Wait.until("both have it") { await dispatcher.recent.count == 2 }
            #expect(receivers.allSatisfy { $0.received.count == 1 })
            #expect(await dispatcher.counters.map(\.delivered) == [1, 1])
        }
    }

    @Test("a receiver that hangs holds up neither the caller nor the others")
    func hanging() async throws {
        let hanging = try Receiver(Receiver.hang)
        let good = try Receiver(Receiver.status(200))
        let dispatcher = try self.dispatcher([hanging, good])
        try await self.running(dispatcher) {
            let began = ContinuousClock.now
            for incident in 1...100 { dispatcher.send(Sample.message(incident: Int64(incident))) }
            #expect(ContinuousClock.now - began < .seconds(15))
            // Nine alone, the rest in digests.
            try await Wait.until("the good one has its share") { good.received.count >= 10 }
            #expect(hanging.received.count == 1)
        }
    }

    @Test("what was on its way when the daemon was killed is sent after the next start, with the same name")
    func killed() async throws {
        let receiver = try Receiver(Receiver.hang)
        let first = try self.dispatcher([receiver])
        let copy = self.directory.path + "/copy.sqlite"
        try await self.running(first) {
            first.send(Sample.message())
            try await Wait.until("the attempt runs") { receiver.received.count == 1 }
            // The files as they are at this moment are what SIGKILL would leave.
            for ending in ["", "-wal"] {
                try FileManager.default.copyItem(
                    atPath: self.directory.path + "/alerts.sqlite" + ending, toPath: copy + ending)
            }
        }
        receiver.change(Receiver.status(200))
        let second = try self.dispatcher([receiver], path: copy)
        try await self.running(second) {
            try await Wait.until("it is delivered") { await second.recent.first?.outcome == .delivered }
        }
        #expect(receiver.received.count == 2)
        #expect(Set(receiver.received.map { $0.header("webhook-id") }) == [Sample.message().id])
        let third = try self.dispatcher([receiver], path: copy)
        try await self.running(third) {
            third.send(Sample.message(incident: 18))
            try await Wait.until("the next is delivered") { await third.recent.count == 1 }
        }
        #expect(receiver.received.count == 3, "what was delivered is not sent again")
    }

    @Test("the last words before the end are stored, and sent after the next start")
    func lastWords() async throws {
        let receiver = try Receiver(Receiver.status(200))
        let first = try self.dispatcher([receiver])
        let task = Task { await first.run() }
        task.cancel()
        first.send(Sample.message(.closed, number: 9))
        await task.value
        let second = try self.dispatcher([receiver])
        try await self.running(second) {
            try await Wait.until("it is delivered") { receiver.received.count == 1 }
        }
        #expect(AlertBody.decode(receiver.received[0].body)?.event == .closed)
    }

    @Test("draining waits for what can be delivered, and not for what cannot")
    func draining() async throws {
        let good = try Receiver(Receiver.status(200))
        let bad = try Receiver(Receiver.status(503))
        let dispatcher = try self.dispatcher([good, bad])
        try await self.running(dispatcher) {
            dispatcher.send(Sample.message())
            let began = ContinuousClock.now
            await dispatcher.drain(within: .seconds(90))
            #expect(ContinuousClock.now - began < .seconds(60))
            #expect(await dispatcher.counters.map(\.delivered) == [1, 0])
            #expect(bad.received.count == 1)
        }
    }

    @Test("a test goes to one sink and tells what became of it")
    func tests() async throws {
        let good = try Receiver(Receiver.status(200))
        let bad = try Receiver(Receiver.status(401))
        let dispatcher = try self.dispatcher([good, bad])
        #expect(try await dispatcher.sendTest(to: "hook0").outcome == .delivered)
        #expect(AlertBody.decode(good.received[0].body)?.event == .test)
        let refused = try await dispatcher.sendTest(to: "hook1")
        #expect(refused.outcome == .refused)
        #expect(refused.detail == "status 401")
        await #expect(throws: AlertError("there is no sink for alerts named hook7")) {
            try await dispatcher.sendTest(to: "hook7")
        }
        #expect(await dispatcher.recent.count == 2)
    }

    @Test("only the latest deliveries are remembered")
    func bounded() async throws {
        let sink = try AlertSink(
            name: "journal", kind: .journal(AlertSink.Journal(socketPath: "/nonexistent")), burst: 1000, perHour: 36_000
        )
        let dispatcher = try AlertDispatcher(
            sinks: [sink], node: "alice", network: "main", path: self.directory.path + "/alerts.sqlite",
            logger: self.logger)
        try await self.running(dispatcher) {
            for incident in 1...250 {
                dispatcher.send(Sample.message(incident: Int64(incident)))
            }
            try await Wait.until("all are written") { await dispatcher.recent.first?.incident == 250 }
            #expect(await dispatcher.recent.count == AlertDispatcher.maximumRecent)
            #expect(await dispatcher.counters[0].delivered == 250)
        }
    }

    @Test("a store that cannot be opened is named, and so are sinks that share a name")
    func refusals() throws {
        let path = try self.directory.file("broken.sqlite", String(repeating: "no database ", count: 100))
        let error = #expect(throws: AlertError.self) { try self.dispatcher([], path: path) }
        #expect(error?.description.contains(path) == true)
        let sink = try AlertSink(name: "a", kind: .journal(AlertSink.Journal()))
        #expect(throws: AlertError("two sinks for alerts have the same name")) {
            try AlertDispatcher(
                sinks: [sink, sink], node: "", network: "", path: self.directory.path + "/x.sqlite", logger: self.logger
            )
        }
    }
}
