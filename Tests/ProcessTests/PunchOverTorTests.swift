// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetPunchReports
import AltNetTestKit
import Foundation
import Testing

/// Two daemons on one machine that know of each other only what an onion service tells. The lab of NATs does the same
/// behind two routers (`NATLabTests`), but needs root.
@Suite(
    "Hole punching over a private Tor network", .serialized, .timeLimit(.minutes(6)),
    .enabled(if: TorNetwork.isPossible, "\(TorNetwork.missing)"))
struct PunchOverTorTests {
    private static func daemon(
        _ tor: TorNetwork.Client, _ settings: [String: String], headers: Int = 0
    ) async throws -> DaemonProcess {
        let directory = TemporaryDirectory.make()
        if headers > 0 {
            let chain = TemporaryDirectory.make() + "/chain"
            _ = try await Programs.run("altnet", ["regtest", "mine", "--count", "\(headers)", "--output", chain])
            _ = try await Programs.run(
                "altnet", ["headers", "import", chain, "--network", "regtest", "--data-directory", directory])
        }
        let own = [
            "drivers.punch.allow_private_addresses": "true", "drivers.punch.map_ports": "false",
            "drivers.punch.ipv6": "false", "drivers.punch.coordination": "tor",
            "drivers.punch.tor_control": tor.control, "drivers.punch.socks": tor.socks,
        ]
        return try await DaemonProcess.start(settings: own.merging(settings) { $1 }, dataDirectory: directory)
    }

    private static func witnesses() async throws -> (process: BackgroundProcess, addresses: String) {
        let hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
        let tool = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Tools/nat_witness.py").path
        let process = try BackgroundProcess("/usr/bin/python3", [tool] + hosts)
        let addresses = try await Condition.value("the witnesses listen") {
            let lines = process.output.split(separator: "\n")
            return lines.count == hosts.count ? lines : nil
        }
        return (process, addresses.joined(separator: ","))
    }

    @Test("an onion service arranges the connection, and another one takes its place when the keys change")
    func punched() async throws {
        let tor = try await TorNetwork.start(clients: 2)
        let (process, witnesses) = try await Self.witnesses()
        defer { process.kill() }
        let alice = try await Self.daemon(
            tor.clients[0], ["drivers.punch.offer": "4", "drivers.punch.witnesses": witnesses], headers: 2500)
        let bob = try await Self.daemon(tor.clients[1], ["drivers.punch.witnesses": witnesses])
        for daemon in [alice, bob] {
            try await Condition.wait("the NAT is checked") {
                try await daemon.control.punchOverview().nat?.mapping == "endpoint-independent"
            }
        }
        let endpoint = try await Self.endpoint(alice, other: nil)
        #expect(endpoint.contains(".onion:"))
        let report = try await Self.punch(bob, endpoint)
        #expect(report.isConnected && report.path == "punch", "\(report)")
        try await bob.reaches(2500)
        // New keys: the old service is gone, the new one leads here.
        _ = try await alice.control.rotatePunchKeys()
        let next = try await Self.endpoint(alice, other: endpoint)
        let again = try await Self.punch(bob, next)
        #expect(again.isConnected, "\(again)")
    }

    private static func endpoint(_ daemon: DaemonProcess, other: String?) async throws -> String {
        try await Condition.value("the endpoint is up", within: .seconds(60)) {
            try await daemon.control.punchStats().endpoints.first { $0 != other }
        }
    }

    /// Calls until the service's descriptor has reached its directories.
    private static func punch(_ daemon: DaemonProcess, _ endpoint: String) async throws -> PunchReport {
        try await Condition.value("the endpoint is reached", within: .seconds(90)) {
            let report = try await daemon.control.punch(PunchRequest(endpoint: endpoint))
            return report.outcome == "unreachable" ? nil : report
        }
    }
}
