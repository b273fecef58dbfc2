// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

@Suite("Drivers that altnetd does not start", .serialized, .enabled(if: PythonTools.isInstalled, PythonTools.missing))
struct ExternalDriverTests {
    /// Starts the driver as somebody else would: what it reads stands in the start file.
    private static func start(_ startFile: String) throws -> BackgroundProcess {
        // Its standard input stays open as long as ours. It does not outlive the test by much, whatever it ignores.
        try BackgroundProcess(
            "/bin/sh",
            ["-c", "(cat \"$1\"; cat) | timeout -s KILL 60 \"$2\"", "sh", startFile, PythonTools.tool("bad-driver")])
    }

    private static func report(_ daemon: DaemonProcess, state: String) async throws -> DriverReport {
        try await Condition.value("the plugin is \(state)") {
            try await daemon.control.drivers().first { $0.name == "plugin" && $0.state == state }
        }
    }

    @Test("a driver attaches, goes and comes back, also after the daemon was killed")
    func comesBack() async throws {
        let settings = ["drivers.plugin.start": "external", "drivers.plugin.settings.behaviour": "good"]
        let daemon = try await DaemonProcess.start(settings: settings)
        let waiting = try await Self.report(daemon, state: "waiting")
        let file = try #require(waiting.startFile)
        #expect(waiting.program == nil)
        let text = try await Programs.run(
            "altnet", ["drivers", "--network", "regtest", "--data-directory", daemon.dataDirectory])
        #expect(text.output.contains("plugin  waiting"))
        #expect(text.output.contains(file))
        for _ in 0..<2 {
            let driver = try Self.start(file)
            _ = try await Self.report(daemon, state: "attached")
            try await Condition.wait("its link is there") { try await daemon.control.links().count == 1 }
            _ = try await driver.finish()
            let again = try await Self.report(daemon, state: "waiting")
            #expect(again.reason != nil)
            #expect(again.restarts == 0)
            #expect(try await daemon.control.links().isEmpty)
        }
        let secret = try String(contentsOfFile: file, encoding: .utf8)
        try await daemon.kill()
        let second = try await DaemonProcess.start(settings: settings, dataDirectory: daemon.dataDirectory)
        _ = try await Self.report(second, state: "waiting")
        #expect(try String(contentsOfFile: file, encoding: .utf8) != secret)
        let driver = try Self.start(file)
        _ = try await Self.report(second, state: "attached")
        #expect(try await second.stop() == 0)
        #expect(!FileManager.default.fileExists(atPath: file))
        _ = try await driver.finish()
    }

    @Test("one that does not stop is cut off, and the daemon stops", arguments: ["ignores-stop", "hang"])
    func cutOff(behaviour: String) async throws {
        let daemon = try await DaemonProcess.start(
            settings: ["drivers.plugin.start": "external", "drivers.plugin.settings.behaviour": behaviour])
        let file = try #require(try await Self.report(daemon, state: "waiting").startFile)
        let driver = try Self.start(file)
        _ = try await Self.report(daemon, state: "attached")
        let began = ContinuousClock.now
        try await daemon.control.detach("plugin")
        #expect(ContinuousClock.now - began > .seconds(4))
        #expect(try await daemon.control.drivers().isEmpty)
        #expect(try await daemon.stop() == 0)
        withExtendedLifetime(driver) {}
    }

    @Test("one that breaks the protocol is ended with the rule, and may come back")
    func breaksRules() async throws {
        let daemon = try await DaemonProcess.start(
            settings: ["drivers.plugin.start": "external", "drivers.plugin.settings.behaviour": "link-zero"])
        let file = try #require(try await Self.report(daemon, state: "waiting").startFile)
        let driver = try Self.start(file)
        try await Condition.wait("the rule is said") {
            try await daemon.control.drivers().first?.reason?.contains("link number 0") == true
        }
        _ = try await driver.finish()
        _ = try await Self.report(daemon, state: "waiting")
    }
}
