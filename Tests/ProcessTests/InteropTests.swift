// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

/// An implementation of Lightning's transport that others wrote.
struct OtherLightning: Sendable, CustomTestStringConvertible {
    let name: String
    let python: String

    static let pyln = OtherLightning(name: "pyln", python: PythonTools.python)
    static let electrum = OtherLightning(name: "electrum", python: "/usr/bin/python3")

    var testDescription: String { self.name }

    static let areInstalled =
        PythonTools.isInstalled
        && FileManager.default.fileExists(atPath: "/usr/lib/python3/dist-packages/electrum/lntransport.py")
}

@Suite(
    "Lightning software of others", .serialized,
    .enabled(if: OtherLightning.areInstalled, "needs pyln-proto and python3-electrum; run: scripts/setup --tests"))
struct LightningInteropTests {
    private static let tool = PythonTools.tool("interop_lightning.py")

    @Test(
        "connects to our driver, gets a pong and all headers, over changes of the keys",
        arguments: [
            OtherLightning.pyln, .electrum,
        ])
    func client(_ other: OtherLightning) async throws {
        let file = TemporaryDirectory.make() + "/chain"
        _ = try await Programs.run("altnet", ["regtest", "mine", "--count", "3000", "--output", file])
        let daemon = try await DaemonProcess.start(settings: ["drivers.lightning.listen": "127.0.0.1:0"])
        _ = try await Programs.run(
            "altnet", ["headers", "import", file, "--network", "regtest", "--data-directory", daemon.dataDirectory])
        let result = try await Programs.run(
            other.python, [Self.tool, "\(other.name)-client", try await daemon.listening("lightning")])
        #expect(result.status == 0, "\(result.errors)")
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
        #expect(report["count"] as? Int == 3000)
        #expect(report["features"] as? [Int] == [39, 385, 445])
        #expect((report["keyChangesSent"] as? Int ?? 0) >= 1)
        #expect((report["keyChangesReceived"] as? Int ?? 0) >= 1)
    }

    @Test("is connected to by our driver, and serves it headers", arguments: [OtherLightning.pyln, .electrum])
    func server(_ other: OtherLightning) async throws {
        let directory = TemporaryDirectory.make()
        let file = directory + "/chain"
        _ = try await Programs.run("altnet", ["regtest", "mine", "--count", "3000", "--output", file])
        let server = try BackgroundProcess(
            other.python,
            [
                Self.tool, "--deadline", "60", "\(other.name)-server", "--headers", file, "--port-file",
                directory + "/port", "--part-size", "100",
            ])
        let target = try await Condition.value("the server listens") {
            try? String(contentsOfFile: directory + "/port", encoding: .utf8)
                .trimmingCharacters(in: .whitespacesAndNewlines)
        }
        let daemon = try await DaemonProcess.start(settings: ["drivers.lightning.connect": target])
        do {
            try await daemon.reaches(3000)
        } catch {
            Issue.record("\(error): \(server.errors)\(daemon.log)")
        }
        let link = try #require(try await daemon.control.links().first { $0.state == "open" })
        #expect(link.identity == String(target.prefix(66)))
        try await daemon.stop()
        #expect(try await server.finish() == 0, "\(server.errors)")
        #expect(server.output.contains("\"init\""), "\(server.output)")
    }
}

@Suite(
    "Bitcoin Core",
    .enabled(
        if: ProcessInfo.processInfo.environment["ALTNET_BITCOIND"] != nil,
        "needs a real node; say where with ALTNET_BITCOIND=/path/to/bitcoind"))
struct BitcoinCoreTests {
    @Test(
        "exchanges headers with us, syncs with another one over a Lightning link, and is watched and healed",
        arguments: ["bitcoind_sync.py", "bitcoind_splice.py", "bitcoind_watchdog.py"])
    func checks(tool: String) async throws {
        let bitcoind = try #require(ProcessInfo.processInfo.environment["ALTNET_BITCOIND"])
        let result = try await Programs.run(
            "/usr/bin/env",
            [
                "ALTNET_BITCOIND=\(bitcoind)", "/usr/bin/python3", PythonTools.tool(tool), "--binaries",
                Programs.directory,
            ])
        #expect(result.status == 0, "\(result.output)\(result.errors)")
    }
}
