// SPDX-License-Identifier: MIT

import AltNetTestKit
import Foundation
import Testing

@Suite("The plugin for Core Lightning", .serialized)
struct LightningPluginTests {
    private static let recording =
        "\(PythonTools.repository)/Tests/AltNetCoreLightningTests/Recordings/lightningd-26.06.jsonl"

    @Test(
        "does with a fake lightningd what it should",
        arguments: [
            "replay", "replay-byte-by-byte", "replay-without-line-feeds", "silent-socket", "error-answers",
            "socket-dies", "huge-answer", "late-and-foreign-answers", "huge-message", "no-json", "bad-hooks",
            "slow-driver", "early-message", "lost-lookup", "long-path", "disabled", "stops",
        ])
    func fake(check: String) async throws {
        let result = try await Programs.run(
            "/usr/bin/python3",
            [
                PythonTools.tool("fake_lightningd.py"), "\(Programs.directory)/echo-plugin", check, "--recording",
                Self.recording,
            ])
        #expect(result.status == 0, "\(result.output)\(result.errors)")
    }
}

/// An unmodified lightningd with its bitcoind.
enum RealLightningd {
    static let programs = ["ALTNET_LIGHTNINGD", "ALTNET_BITCOIND"].map {
        ProcessInfo.processInfo.environment[$0] ?? ""
    }
    static let areNamed = Self.programs.allSatisfy { FileManager.default.isExecutableFile(atPath: $0) }
}

@Suite(
    "The plugin in an unmodified lightningd", .serialized,
    .enabled(
        if: RealLightningd.areNamed && PythonTools.isInstalled,
        """
        needs ALTNET_LIGHTNINGD, a lightningd of Core Lightning (https://github.com/ElementsProject/lightning/releases), \
        ALTNET_BITCOIND, a bitcoind of Bitcoin Core, and the Python packages of scripts/setup --tests
        """))
struct RealLightningdTests {
    @Test("passes custom messages, onion messages, channels and headers between nodes, and leaves lightningd in peace")
    func nodes() async throws {
        let environment = zip(["ALTNET_LIGHTNINGD", "ALTNET_BITCOIND"], RealLightningd.programs).map { "\($0)=\($1)" }
        let result = try await Programs.run(
            "/usr/bin/env",
            environment + [
                PythonTools.python, PythonTools.tool("lightningd_plugin.py"), "--binaries", Programs.directory,
            ])
        #expect(result.status == 0, "\(result.output)\(result.errors)")
    }
}
