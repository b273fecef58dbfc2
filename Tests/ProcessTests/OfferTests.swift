// SPDX-License-Identifier: MIT

import AltNetTestKit
import Foundation
import Testing

@Suite("Offers of hole punching, with real daemons")
struct OfferTests {
    @Test(
        """
        travel unchanged over links that show our address and no others, are never kept, and leave Bitcoin Core \
        untroubled
        """)
    func relay() async throws {
        // With ALTNET_BITCOIND also past an unmodified node; other variables of ours are not handed on.
        let bitcoind = ProcessInfo.processInfo.environment["ALTNET_BITCOIND"].map { ["ALTNET_BITCOIND=\($0)"] } ?? []
        let tool = ["/usr/bin/python3", PythonTools.tool("offers_relay.py"), "--binaries", Programs.directory]
        let result = try await Programs.run("/usr/bin/env", bitcoind + tool)
        #expect(result.status == 0, "\(result.output)\(result.errors)")
    }

    @Test("without a driver, altnet punch says what is missing; with a mistyped endpoint, what one looks like")
    func messages() async throws {
        let daemon = try await DaemonProcess.start(settings: ["drivers.bitcoin.connect": ""])
        func altnet(_ words: String...) async throws -> Programs.Result {
            try await Programs.run(
                "altnet", ["punch"] + words + ["--network", "regtest", "--data-directory", daemon.dataDirectory])
        }
        let endpoint = "direct:127.0.0.1:9735"
        let missing = try await altnet(endpoint)
        #expect(missing.status == 1)
        #expect(
            missing.errors
                == "error: no driver for hole punching is attached; docs/hole-punching.md says how to switch it on\n")
        let mistyped = try await altnet("2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wix.onion:8333")
        #expect(mistyped.status == 64)
        #expect(mistyped.errors.contains("The name before .onion is not that of an onion service of version 3."))
        let word = try await altnet("offer")
        #expect(word.status == 64)
        #expect(word.errors.contains("offer is neither a command (connect, list, offers,"))
        let none = try await altnet("offers")
        #expect(none.status == 0)
        #expect(none.output.contains("no offers: they come over links of altnet-bitcoin that show our address"))
        let status = try await altnet("status")
        #expect(status.output.hasPrefix("problem    no driver for hole punching is attached"))
        #expect(status.output.contains("outbound   0 of 0 wanted"))
    }
}
