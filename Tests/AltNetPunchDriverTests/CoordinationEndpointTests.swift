// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDriverProtocol
import AltNetHolePunch
import AltNetTestKit
import AltNetTransport
import Foundation
import Synchronization
import Testing

@testable import AltNetPunchDriver

@Suite("Coordination endpoints")
struct CoordinationEndpointTests {
    private static func settings(_ values: [String: SettingValue]) throws -> PunchSettings {
        var settings = DriverSettings(values)
        let punch = try PunchSettings(&settings)
        try settings.finish()
        return punch
    }

    /// The first endpoint that is up and is not `other`.
    private static func endpoint(
        of endpoints: CoordinationEndpoints, otherThan other: CoordinationEndpoint? = nil
    ) async throws -> CoordinationEndpoint {
        try await Condition.value("an endpoint is up") {
            await endpoints.current.first { $0 != other }
        }
    }

    @Test("who connects to an endpoint is handed over with what it says")
    func direct() async throws {
        let settings = try Self.settings(["coordination": .texts(["direct:127.0.0.1:0"])])
        let (accepted, continuation) = AsyncStream<(HeldConnection, CoordinationEndpoint)>.makeStream()
        let endpoints = CoordinationEndpoints(settings, directory: TemporaryDirectory.make(), port: 8333) {
            continuation.yield(($0, $1))
        }
        let task = Task { await endpoints.run() }
        defer { task.cancel() }
        let endpoint = try await Self.endpoint(of: endpoints)
        #expect(!endpoint.isAnnounced)
        let client = try await CoordinationClient(settings).connect(to: endpoint)
        try await client.connection.write([1, 2, 3])
        var iterator = accepted.makeAsyncIterator()
        let (held, at) = try #require(await iterator.next())
        #expect(at == endpoint)
        let (events, bytes) = AsyncStream<StreamConnection.Event>.makeStream()
        held.attach { bytes.yield($0) }
        held.connection.readMore()
        guard case .bytes([1, 2, 3]) = await events.first(where: { _ in true }) else {
            Issue.record("other bytes came")
            return
        }
        held.connection.close()
        client.connection.close()
    }

    @Test(
        "an endpoint in Tor comes back under its name, and gets a new one when the operator wants it",
        .enabled(if: TorProcess.program != nil, "\(TorProcess.missing)"))
    func tor() async throws {
        let directory = TemporaryDirectory.make()
        let socket = "\(directory)/control"
        let tor = try TorProcess.start(
            in: directory, ["--ControlPort", "unix:\(socket)", "--CookieAuthentication", "1"])
        defer { tor.kill() }
        let settings = try Self.settings([
            "coordination": .texts(["tor"]), "tor_control": .text("unix:\(socket)"),
        ])
        let file = EndpointKeyFile(path: "\(directory)/tor.key")

        let before = CoordinationEndpoints(settings, directory: directory, port: 8333) { _, _ in }
        let earlier = Task { await before.run() }
        let first = try await Self.endpoint(of: before)
        #expect(first.isAnnounced && first.description.hasSuffix(".onion:8333"))
        let key = try #require(try file.load())
        earlier.cancel()
        await earlier.value

        let endpoints = CoordinationEndpoints(settings, directory: directory, port: 8333) { _, _ in }
        let task = Task { await endpoints.run() }
        #expect(try await Self.endpoint(of: endpoints) == first)
        #expect(try file.load() == key)
        await endpoints.rotate()
        let second = try await Self.endpoint(of: endpoints, otherThan: first)
        #expect(try file.load() != key)
        #expect(await endpoints.current == [second])
        task.cancel()
        await task.value
    }

    /// A tool of Tests/Tools that prints its port first.
    private static func tool(_ name: String, _ arguments: [String]) async throws -> (BackgroundProcess, port: UInt16) {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Tools/\(name)").path
        let process = try BackgroundProcess("/usr/bin/python3", [path] + arguments)
        let port = try await Condition.value("the tool's port") {
            process.output.split(separator: "\n").first.flatMap { UInt16($0) }
        }
        return (process, port)
    }

    @Test("an endpoint that Tor refuses, or whose key cannot be written down, is tried again")
    func triedAgain() async throws {
        let (tor, port) = try await Self.tool("fake_tor.py", ["/nonexistent", "NULL", "refuse-first-onion"])
        defer { tor.kill() }
        let settings = try Self.settings([
            "coordination": .texts(["tor"]), "tor_control": .text("127.0.0.1:\(port)"),
        ])
        let directory = TemporaryDirectory.make() + "/later"
        let endpoints = CoordinationEndpoints(settings, directory: directory, port: 8333) { _, _ in }
        let task = Task { await endpoints.run() }
        func made() -> Int { tor.output.split(separator: "\n").count { $0.hasPrefix("ADD_ONION") } }
        // The first is refused, the second has nowhere to write its key: else there would be no third.
        try await Condition.wait("a third service is made") { made() >= 3 }
        #expect(await endpoints.current.isEmpty)
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let endpoint = try await Self.endpoint(of: endpoints)
        #expect(endpoint.isAnnounced)
        let protection = "Flags=MaxStreamsCloseCircuit MaxStreams=2 PoWDefensesEnabled=1"
        #expect(tor.output.contains(protection), "\(tor.output)")
        task.cancel()
        await task.value
    }

    @Test("new keys in I2P leave the streams of the old ones alone, which end their session when they are over")
    func arranged() async throws {
        let (sam, port) = try await Self.tool("fake_sam.py", [])
        defer { sam.kill() }
        let settings = try Self.settings(["coordination": .texts(["i2p"]), "sam": .text("127.0.0.1:\(port)")])
        let (accepted, continuation) = AsyncStream<(HeldConnection, CoordinationEndpoint)>.makeStream()
        let endpoints = CoordinationEndpoints(settings, directory: TemporaryDirectory.make(), port: 0) {
            continuation.yield(($0, $1))
        }
        let task = Task { await endpoints.run() }
        let first = try await Self.endpoint(of: endpoints)
        let name = first.description.split(separator: ":").first ?? ""
        let session = try #require(
            sam.output.split(separator: "\n").first { $0.hasPrefix("SESSION ") && $0.hasSuffix(name) }?
                .split(separator: " ")[1])
        let client = try await CoordinationClient(settings).connect(to: first)
        var iterator = accepted.makeAsyncIterator()
        var held = try #require(await iterator.next()).0 as HeldConnection?

        await endpoints.rotate()
        let second = try await Self.endpoint(of: endpoints, otherThan: first)
        #expect(second != first)
        let (events, received) = AsyncStream<StreamConnection.Event>.makeStream()
        held?.attach { received.yield($0) }
        held?.connection.readMore()
        try await client.connection.write([4, 5, 6])
        guard case .bytes([4, 5, 6]) = await events.first(where: { _ in true }) else {
            Issue.record("other bytes came")
            return
        }
        #expect(!sam.output.contains("CLOSED \(session)"))
        held?.connection.close()
        held = nil
        try await Condition.wait("the old session is over") { sam.output.contains("CLOSED \(session)") }
        client.connection.close()
        task.cancel()
        await task.value
    }

    @Test("calling takes less than whoever waits for the connection")
    func deadlines() {
        #expect(CoordinationClient.deadline + Coordination.wholeTimeout < OperationRules.deadline)
    }

    @Test("nothing is relayed unless the operator wants it")
    func relay() throws {
        #expect(try !Self.settings([:]).relays)
        #expect(try Self.settings(["relay": .flag(true)]).relays)
    }

    @Test("a key that is too old is replaced on schedule")
    func schedule() async throws {
        let directory = TemporaryDirectory.make()
        let socket = "\(directory)/control"
        let settings = try Self.settings([
            "coordination": .texts(["tor"]), "tor_control": .text("unix:\(socket)"), "rotate_hours": .number(1),
        ])
        let file = EndpointKeyFile(path: "\(directory)/tor.key")
        try file.save(EndpointKeyFile.Key(text: "ED25519-V3:old", since: .init(seconds: 1_700_000_000)))
        let endpoints = CoordinationEndpoints(settings, directory: directory, port: 8333) { _, _ in }
        let task = Task { await endpoints.run() }
        // Nobody answers at the control port, so that no new one is made.
        try await Condition.wait("the old key is gone") { try file.load() == nil }
        task.cancel()
        await task.value
    }

    @Test("settings that cannot work are refused in a sentence")
    func refused() {
        let wrong: [[String: SettingValue]] = [
            ["coordination": .texts(["tor"])], ["coordination": .texts(["i2p"])],
            ["coordination": .texts(["direct:nowhere"])], ["coordination": .texts(["mail"])],
            ["coordination": .texts(["direct:a:1", "direct:a:1"])], ["offer": .number(3)],
            ["use": .text("both")], ["witnesses": .texts(["a"])], ["minimum_witnesses": .number(1)],
            ["rotate_hours": .number(0)], ["tor_control": .text("9051")], ["unknown": .flag(true)],
        ]
        for values in wrong {
            #expect(throws: DriverSetupError.self, "\(values)") { try Self.settings(values) }
        }
    }
}
