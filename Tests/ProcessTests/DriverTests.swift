// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

/// The Python that `scripts/setup --tests` prepares.
enum PythonTools {
    static let missing: Comment = "needs the Python packages of Tests/Tools; run: scripts/setup --tests"
    static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    static let python = "\(repository)/.build/venv/bin/python3"
    static let isInstalled = FileManager.default.fileExists(atPath: "\(repository)/.build/venv/.installed")

    static func tool(_ name: String) -> String { "\(self.repository)/Tests/Tools/\(name)" }
}

@Suite("Drivers in another language", .serialized, .enabled(if: PythonTools.isInstalled, PythonTools.missing))
struct DriverTests {
    @Test("the example driver brings headers from a file, and more when the file grows")
    func example() async throws {
        let file = TemporaryDirectory.make() + "/dump"
        _ = try await Programs.run("altnet", ["regtest", "mine", "--count", "3000", "--seed", "1", "--output", file])
        let all = try Data(contentsOf: URL(fileURLWithPath: file))
        try all.prefix(2000 * 80).write(to: URL(fileURLWithPath: file))
        let daemon = try await DaemonProcess.start(settings: ["drivers.lightning.enabled": "true"])
        _ = try await daemon.control.attach(
            AttachRequest(
                name: "usb", program: "\(PythonTools.repository)/Examples/python-driver/run",
                settings: ["settings.file": file]))
        try await daemon.reaches(2000)
        let link = try #require(try await daemon.control.links().first { $0.driver == "usb" })
        #expect(link.tipHeight == 2000)
        #expect(link.exposure == "none")
        try all.write(to: URL(fileURLWithPath: file))
        try await daemon.reaches(3000)
        try await daemon.control.detach("usb")
        #expect(try await daemon.control.links().isEmpty)
    }

    /// What a driver does, and what the operator then reads of it.
    struct Misbehaviour: Sendable, CustomTestStringConvertible {
        let name: String
        let state: String
        let reason: String

        init(_ name: String, _ state: String, _ reason: String) {
            self.name = name
            self.state = state
            self.reason = reason
        }

        var testDescription: String { self.name }
    }

    @Test(
        "a driver that misbehaves is ended with a named reason, and nothing else is hurt",
        arguments: [
            Misbehaviour("crash", "restarting", "status 3"), Misbehaviour("crash-loop", "restarting", "status 3"),
            Misbehaviour("never-hello", "restarting", "no Hello"), Misbehaviour("late-hello", "restarting", "status 1"),
            Misbehaviour("second-hello", "restarting", "a second Hello"),
            Misbehaviour("wrong-secret", "restarting", "name or secret is wrong"),
            Misbehaviour("wrong-version", "restarting", "protocol version 2"),
            Misbehaviour("big", "restarting", "status 1"), Misbehaviour("garbage-length", "restarting", "100 bytes"),
            Misbehaviour("garbage-kind", "restarting", "unknown kind of object"),
            Misbehaviour("garbage-reason", "restarting", "unknown reason"),
            Misbehaviour("garbage-empty", "restarting", "without content"),
            Misbehaviour("garbage-answer", "restarting", "without content"),
            Misbehaviour("garbage-text", "restarting", "not printable"),
            Misbehaviour("link-zero", "restarting", "link number 0"),
            Misbehaviour("link-twice", "restarting", "is open already"),
            Misbehaviour("too-many-links", "restarting", "more than 125 links"),
            Misbehaviour("stream-unasked", "restarting", "capabilities do not name"),
            Misbehaviour("stream-unknown", "restarting", "never opened"),
            Misbehaviour("operation-name", "restarting", "an operation whose name"),
            Misbehaviour("hang", "restarting", "no ping"),
            Misbehaviour("setup-error", "failed", "wrong satellite"),
        ])
    func misbehaviour(_ expected: Misbehaviour) async throws {
        let daemon = try await Self.daemonWithBadDriver(expected.name)
        let report = try await Condition.value("the driver is \(expected.state)", within: .seconds(60)) {
            try await daemon.control.drivers().first { $0.name == "bad" && $0.state == expected.state }
        }
        #expect(report.reason?.contains(expected.reason) == true, "\(report.reason ?? "no reason")\n\(daemon.log)")
        try await Self.expectUnhurt(daemon)
    }

    @Test(
        "a driver that lies about headers loses its link, with the rule that they break",
        arguments: [
            ("lie-work", "high-hash"), ("lie-linkage", "prev-blk-not-found"), ("lie-unconnected", "build on nothing"),
        ])
    func lies(behaviour: String, rule: String) async throws {
        let daemon = try await Self.daemonWithBadDriver(behaviour)
        try await Condition.wait("the lie is logged with \(rule)") { daemon.log.contains(rule) }
        // Valid headers that came before the lie are kept: they cost their work.
        #expect(try await daemon.control.status().chain.height <= 3)
        try await Self.expectUnhurt(daemon)
    }

    @Test(
        "a driver that floods is held back, and memory does not grow",
        arguments: ["flood", "flood-links", "flood-failures", "flood-requests", "flood-streams", "flood-stderr"])
    func floods(behaviour: String) async throws {
        let daemon = try await Self.daemonWithBadDriver(behaviour)
        try await Condition.wait("the flood begins") {
            try await daemon.control.drivers().contains { $0.name == "bad" && $0.state != "starting" }
        }
        let before = daemon.residentBytes
        // Each question is answered while the flood goes on.
        for _ in 0..<200 { _ = try await daemon.control.status() }
        #expect(daemon.residentBytes < before + 60_000_000)
        try await Self.expectUnhurt(daemon)
    }

    private static func daemonWithBadDriver(_ behaviour: String) async throws -> DaemonProcess {
        let daemon = try await DaemonProcess.start(settings: ["drivers.lightning.listen": "127.0.0.1:0"])
        _ = try await daemon.listening("lightning")
        _ = try await daemon.control.attach(
            AttachRequest(
                name: "bad", program: PythonTools.tool("bad-driver"), settings: ["settings.behaviour": behaviour]))
        return daemon
    }

    private static func expectUnhurt(_ daemon: DaemonProcess) async throws {
        let lightning = try #require(try await daemon.control.drivers().first { $0.name == "lightning" })
        #expect(lightning.state == "attached")
        #expect(lightning.restarts == 0)
        try await daemon.control.detach("bad")
        #expect(try await daemon.control.drivers().map(\.name) == ["lightning"])
        #expect(try await daemon.stop() == 0)
    }
}
