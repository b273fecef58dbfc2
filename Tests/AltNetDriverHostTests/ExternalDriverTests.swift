// SPDX-License-Identifier: MIT

import AltNetDriverKit
import AltNetDriverProtocol
import AltNetObjects
import AltNetTestKit
import Foundation
import Logging
import Synchronization
import Testing

@testable import AltNetDriverHost

/// Remembers what the host tells, and asks nothing.
final class Delegate: DriverHostDelegate {
    let heard = Mutex<[String]>([])

    func driverAttached(_ driver: String, capabilities: DriverCapabilities, identity: String) async {
        self.heard.withLock { $0.append("attached \(driver)") }
    }

    func driver(_ driver: String, said event: DriverEvent) async {
        self.heard.withLock { $0.append("\(event)") }
    }

    func driverDetached(_ driver: String, reason: String) async {
        self.heard.withLock { $0.append("detached \(driver)") }
    }
}

/// A driver that answers operations: `echo` with what it was asked, `fail` with a sentence, `silent` never.
struct EchoDriver: Driver {
    let capabilities = DriverCapabilities(
        requests: [], serves: [], announces: [], direction: .both, latency: .seconds, bandwidth: .bytes, cost: .free,
        exposure: .none, operations: ["echo", "fail", "silent", "leave"])
    let identity = ""

    func run(_ orchestrator: OrchestratorConnection) async throws {
        for await command in orchestrator.commands {
            guard case .operation(let id, let name, let body) = command else { continue }
            switch name {
            case "echo": await orchestrator.send(.operationResult(id: id, .success(body)))
            case "fail": await orchestrator.send(.operationResult(id: id, .failure("it is raining")))
            case "leave": return
            default: break
            }
        }
    }
}

/// A host that waits for one driver, which somebody else starts.
struct ExternalHost: Sendable {
    let host: DriverHost
    let delegate = Delegate()
    let specification: DriverSpecification

    var startFile: String { self.specification.startFile }

    static func with(
        operationDeadline: Duration = OperationRules.deadline,
        _ body: @Sendable @escaping (ExternalHost) async throws -> Void
    ) async throws {
        let external = ExternalHost(operationDeadline: operationDeadline)
        try await withThrowingTaskGroup(of: Void.self) { group in
            let (ready, isReady) = AsyncStream.makeStream(of: Void.self)
            group.addTask { try await external.host.run { isReady.yield() } }
            _ = await ready.first { _ in true }
            try await external.host.attach(external.specification)
            try await body(external)
            await external.host.detachAll()
            group.cancelAll()
        }
    }

    private init(operationDeadline: Duration) {
        let directory = TemporaryDirectory.make()
        self.host = DriverHost(
            socketPath: directory + "/drivers.sock", network: "regtest", software: "test", delegate: self.delegate,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
            operationDeadline: operationDeadline)
        self.specification = DriverSpecification(
            name: "plugin", program: nil, settings: ["colour": .text("red")], traffic: nil, messagesPerSecond: 1000,
            bytesPerSecond: 1_000_000, dataDirectory: directory)
    }

    var status: DriverStatus? { get async { await self.host.statuses.first?.status } }

    func isAttached() async throws {
        try await Condition.wait("the driver is attached") {
            if case .attached = await self.status { true } else { false }
        }
    }

    func isWaiting(_ reason: String) async throws {
        try await Condition.wait("the host waits again: \(reason)") {
            if case .waiting(let given?) = await self.status { given.contains(reason) } else { false }
        }
    }
}

extension DriverEnding {
    /// Why the connection is gone; `nil` when it was stopped in order.
    fileprivate var reason: String? {
        switch self {
        case .stopped: nil
        case .lost(let reason): reason
        }
    }
}

@Suite("Drivers that somebody else starts", .timeLimit(.minutes(5)))
struct ExternalDriverTests {
    @Test("the start file is there from attaching to detaching, for the owner only, with a new secret each time")
    func startFile() async throws {
        try await ExternalHost.with { external in
            #expect(await external.status == .waiting(reason: nil))
            let text = try String(contentsOfFile: external.startFile, encoding: .utf8)
            let start = try #require(DriverStart(line: text))
            #expect(start.name == "plugin")
            #expect(start.settings == ["colour": .text("red")])
            #expect(start.secret.count == 64)
            let mode = try FileManager.default.attributesOfItem(atPath: external.startFile)[.posixPermissions]
            #expect(mode as? Int == 0o600)
            try await external.host.detach("plugin")
            #expect(!FileManager.default.fileExists(atPath: external.startFile))
            try await external.host.attach(external.specification)
            let second = try #require(
                DriverStart(line: try String(contentsOfFile: external.startFile, encoding: .utf8)))
            #expect(second.secret != start.secret)
        }
    }

    @Test("a driver attaches by the file, ends at Stop, and says so")
    func stop() async throws {
        try await ExternalHost.with { external in
            async let ending = DriverMain.attach(startFile: external.startFile, software: "echo 1") { start in
                #expect(start.settings == ["colour": .text("red")])
                return EchoDriver()
            }
            try await external.isAttached()
            try await external.host.detach("plugin")
            #expect(try await ending == .stopped)
            #expect(external.delegate.heard.withLock { $0 } == ["attached plugin", "detached plugin"])
            #expect(await external.host.statuses.isEmpty)
        }
    }

    @Test("when it goes the host waits again, and it may come back with the same file")
    func again() async throws {
        try await ExternalHost.with { external in
            for _ in 0..<3 {
                async let ending = DriverMain.attach(startFile: external.startFile, software: "echo 1") { _ in
                    EchoDriver()
                }
                try await external.isAttached()
                await #expect(throws: OperationError.lost(driver: "plugin")) {
                    try await external.host.perform("leave", Array("{}".utf8), by: "plugin")
                }
                #expect(try await ending == .lost("the driver ended by itself"))
                try await external.isWaiting("ended its call")
            }
            #expect(external.delegate.heard.withLock { $0.count } == 6)
        }
    }

    @Test("a cancelled driver leaves, and the host waits")
    func cancelled() async throws {
        try await ExternalHost.with { external in
            let attached = Task {
                try await DriverMain.attach(startFile: external.startFile, software: "echo 1") { _ in EchoDriver() }
            }
            try await external.isAttached()
            attached.cancel()
            await #expect(throws: CancellationError.self) { try await attached.value }
            try await Condition.wait("the host waits") {
                if case .waiting = await external.status { true } else { false }
            }
        }
    }

    @Test("a wrong secret is turned away, said to the operator, and hurts nobody who is attached")
    func wrongSecret() async throws {
        try await ExternalHost.with { external in
            let text = try String(contentsOfFile: external.startFile, encoding: .utf8)
            var start = try #require(DriverStart(line: text))
            start.secret = String(repeating: "0", count: 64)
            let forged = TemporaryDirectory.make() + "/start.json"
            try start.line.write(toFile: forged, atomically: false, encoding: .utf8)
            func intrude() async throws {
                let ending = try await DriverMain.attach(startFile: forged, software: "thief 1") { _ in EchoDriver() }
                let reason = try #require(ending.reason)
                #expect(reason.contains("name or secret is wrong"))
            }
            try await intrude()
            try await external.isWaiting("name or secret is wrong")
            async let good = DriverMain.attach(startFile: external.startFile, software: "echo 1") { _ in EchoDriver() }
            try await external.isAttached()
            try await intrude()
            let second = try await DriverMain.attach(startFile: external.startFile, software: "echo 1") { _ in
                EchoDriver()
            }
            let reason = try #require(second.reason)
            #expect(reason.contains("is attached"))
            let echoed = try await external.host.perform("echo", Array("{}".utf8), by: "plugin")
            #expect(echoed == Array("{}".utf8))
            try await external.host.detach("plugin")
            #expect(try await good == .stopped)
        }
    }

    @Test("a start file that is missing or is none is said, and a wrong version is for good")
    func badFiles() async throws {
        let directory = TemporaryDirectory.make()
        func attach(_ text: String?) async throws {
            let path = directory + "/start.json"
            try? FileManager.default.removeItem(atPath: path)
            try text?.write(toFile: path, atomically: false, encoding: .utf8)
            _ = try await DriverMain.attach(startFile: path, software: "echo 1") { _ in EchoDriver() }
        }
        await #expect(throws: StartFileError.self) { try await attach(nil) }
        await #expect(throws: StartFileError.self) { try await attach("{") }
        await #expect(throws: StartFileError.self) {
            try await attach(String(repeating: " ", count: DriverStart.maximumFileSize + 1))
        }
        var start = DriverStart(
            name: "a", socket: directory + "/none.sock", secret: "", network: "regtest", dataDirectory: directory,
            settings: [:])
        start.version = 2
        let newer = start.line
        await #expect(throws: DriverSetupError.self) { try await attach(newer) }
    }

    @Test("a socket that nobody serves any more is not waited for")
    func deadSocket() async throws {
        let directory = TemporaryDirectory.make()
        let start = DriverStart(
            name: "a", socket: directory + "/none.sock", secret: "", network: "regtest", dataDirectory: directory,
            settings: [:])
        try start.line.write(toFile: directory + "/start.json", atomically: false, encoding: .utf8)
        let ending = try await DriverMain.attach(startFile: directory + "/start.json", software: "echo 1") { _ in
            EchoDriver()
        }
        #expect(ending.reason != nil)
    }

    @Test("kept attached, it comes back when the file is there")
    func keepAttached() async throws {
        try await ExternalHost.with { external in
            let text = try String(contentsOfFile: external.startFile, encoding: .utf8)
            try FileManager.default.removeItem(atPath: external.startFile)
            let endings = Delegate()
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    await DriverMain.keepAttached(startFile: external.startFile, software: "echo 1") { reason, _ in
                        endings.heard.withLock { $0.append(reason) }
                        try? text.write(toFile: external.startFile, atomically: true, encoding: .utf8)
                    } _: { _ in
                        EchoDriver()
                    }
                }
                do { try await external.isAttached() } catch { Issue.record("\(error)") }
                group.cancelAll()
            }
            #expect(endings.heard.withLock { $0.count } == 1)
            #expect(endings.heard.withLock { $0.first?.contains("is altnetd running?") } == true)
        }
    }
}

@Suite("Operations, from the host to a driver and back", .timeLimit(.minutes(5)))
struct OperationHostTests {
    private static func attached(
        operationDeadline: Duration = OperationRules.deadline,
        _ body: @Sendable @escaping (DriverHost) async throws -> Void
    ) async throws {
        try await ExternalHost.with(operationDeadline: operationDeadline) { external in
            async let ending = DriverMain.attach(startFile: external.startFile, software: "echo 1") { _ in
                EchoDriver()
            }
            try await external.isAttached()
            try await body(external.host)
            try await external.host.detach("plugin")
            _ = try await ending
        }
    }

    @Test("results reach those who asked, many at once")
    func echo() async throws {
        try await Self.attached { host in
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<100 {
                    let body = Array(#"{"number":\#(number)}"#.utf8)
                    group.addTask { try await host.perform("echo", body, by: "plugin") == body }
                }
                for try await isSame in group { #expect(isSame) }
            }
        }
    }

    @Test("what cannot be asked is refused by name, and a failure is the driver's sentence")
    func refusals() async throws {
        try await Self.attached { host in
            func ask(_ name: String, _ body: String = "{}", of driver: String = "plugin") async throws {
                _ = try await host.perform(name, Array(body.utf8), by: driver)
            }
            await #expect(throws: OperationError.failed("it is raining")) { try await ask("fail") }
            await #expect(throws: OperationError.notOffered("fly", driver: "plugin")) { try await ask("fly") }
            await #expect(throws: OperationError.notAttached(driver: "other")) { try await ask("echo", of: "other") }
            await #expect(throws: OperationError.notAnObject) { try await ask("echo", "[]") }
            let large = #"{"a":""# + String(repeating: "a", count: OperationRules.maximumBody) + "\"}"
            await #expect(throws: OperationError.tooLarge) { try await ask("echo", large) }
        }
    }

    @Test("no result in time is said, and frees its place")
    func deadline() async throws {
        try await Self.attached(operationDeadline: .milliseconds(200)) { host in
            for _ in 0..<3 {
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<OperationRules.maximumOpen {
                        group.addTask {
                            await #expect(throws: OperationError.timedOut(driver: "plugin")) {
                                try await host.perform("silent", Array("{}".utf8), by: "plugin")
                            }
                        }
                    }
                }
            }
            // On a busy machine an answer may take longer than the short deadline of this test.
            let echoed = try await Condition.value("a place and an answer") {
                try? await host.perform("echo", Array("{}".utf8), by: "plugin")
            }
            #expect(echoed == Array("{}".utf8))
        }
    }

    @Test("more than may be open are refused at once")
    func tooMany() async throws {
        try await Self.attached { host in
            await withTaskGroup(of: OperationError?.self) { group in
                for _ in 0...OperationRules.maximumOpen {
                    group.addTask {
                        do throws(OperationError) {
                            _ = try await host.perform("silent", Array("{}".utf8), by: "plugin")
                            return nil
                        } catch {
                            return error
                        }
                    }
                }
                #expect(await group.next() == .tooMany(driver: "plugin"))
                try? await host.detach("plugin")
                while let error = await group.next() { #expect(error == .lost(driver: "plugin")) }
            }
            try await host.attach(
                DriverSpecification(
                    name: "plugin", program: nil, settings: [:], traffic: nil, messagesPerSecond: 1, bytesPerSecond: 1,
                    dataDirectory: TemporaryDirectory.make()))
        }
    }
}
