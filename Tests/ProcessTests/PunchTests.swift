// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetPunchReports
import AltNetTestKit
import Foundation
import Testing

/// Two daemons on one machine, which arrange connections over coordination endpoints with ordinary addresses.
@Suite("Hole punching, with real processes", .serialized)
struct PunchTests {
    private static func daemon(_ settings: [String: String], dataDirectory: String? = nil) async throws -> DaemonProcess
    {
        let own = ["drivers.punch.allow_private_addresses": "true", "drivers.punch.map_ports": "false"]
        let daemon = try await DaemonProcess.start(
            settings: own.merging(settings) { $1 }, dataDirectory: dataDirectory)
        try await Condition.wait("the driver is attached") {
            try await daemon.control.drivers().contains { $0.name == "punch" && $0.state == "attached" }
        }
        return daemon
    }

    /// One that has blocks and lets others connect.
    private static func responder(_ settings: [String: String] = [:], headers: Int = 0) async throws -> DaemonProcess {
        let directory = TemporaryDirectory.make()
        if headers > 0 {
            let chain = TemporaryDirectory.make() + "/chain"
            _ = try await Programs.run("altnet", ["regtest", "mine", "--count", "\(headers)", "--output", chain])
            _ = try await Programs.run(
                "altnet", ["headers", "import", chain, "--network", "regtest", "--data-directory", directory])
        }
        let own = ["drivers.punch.coordination": "direct:127.0.0.1:0", "drivers.punch.offer": "4"]
        return try await Self.daemon(own.merging(settings) { $1 }, dataDirectory: directory)
    }

    private static func endpoint(_ daemon: DaemonProcess) async throws -> String {
        try await Condition.value("the coordination endpoint is up") {
            try await daemon.control.punchStats().endpoints.first
        }
    }

    @Test("where nothing else works, headers travel over the coordination endpoint itself")
    func relayed() async throws {
        let alice = try await Self.responder(headers: 2500)
        let bob = try await Self.daemon([:])
        let report = try await bob.control.punch(PunchRequest(endpoint: try await Self.endpoint(alice)))
        #expect(report.outcome == PunchReport.connected, "\(report)")
        #expect(report.path == "relayed", "\(report)")
        #expect(report.role == "initiator" && report.peer == nil)
        try await bob.reaches(2500)
        #expect(try await alice.control.punchStats().slotsTaken == 1)
        let theirs = try #require(try await alice.control.punches().punches.first)
        #expect(theirs.role == "responder" && theirs.path == "relayed")
    }
}
