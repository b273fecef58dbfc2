// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetControl
import AltNetTestKit
import Foundation
import Testing

@Suite("The main job, with real processes", .serialized)
struct MainJobTests {
    @Test("headers reach Alice over Lightning, and she reports the Bitcoin link that withholds blocks")
    func withheldBlocks() async throws {
        let chain = TemporaryDirectory.make() + "/chain"
        _ = try await Programs.run("altnet", ["regtest", "mine", "--count", "300", "--output", chain])
        let bob = try await DaemonProcess.start(settings: ["drivers.lightning.listen": "127.0.0.1:0"])
        // Mallory serves what she has, and takes nothing from anybody: her chain stands still.
        let mallory = try await DaemonProcess.start(
            settings: [
                "drivers.bitcoin.connect": "", "drivers.bitcoin.listen": "127.0.0.1:0",
                "drivers.bitcoin.serve_only": "true",
            ])
        for daemon in [bob, mallory] {
            let result = try await Programs.run(
                "altnet",
                ["headers", "import", chain, "--network", "regtest", "--data-directory", daemon.dataDirectory])
            #expect(result.status == 0, "\(result.errors)")
        }
        let alice = try await DaemonProcess.start(
            settings: [
                "drivers.lightning.connect": try await bob.listening("lightning"),
                "drivers.bitcoin.connect": try await mallory.listening("bitcoin"), "watchdog.grace_seconds": "0.2",
                "sync.behind_probe_seconds": "0.2",
            ])
        try await alice.reaches(300)
        try await Condition.wait("both links are seen at the tip") {
            try await alice.control.links().count { $0.tipHeight == 300 && $0.missingBlocks == 0 } == 2
        }
        #expect(try await alice.control.incidents(limit: 10).isEmpty)

        let mined = try await Programs.run(
            "altnet",
            ["regtest", "mine", "--count", "3", "--network", "regtest", "--data-directory", bob.dataDirectory])
        #expect(mined.status == 0, "\(mined.errors)")
        try await alice.reaches(303)
        let incident = try await Condition.value("an incident about all three blocks") {
            try await alice.control.incidents(limit: 10).first { $0.missingBlocks == 3 }
        }
        #expect(incident.kind == "link-behind")
        #expect(incident.subject.hasPrefix("bitcoin 127.0.0.1:"))
        #expect(incident.provenBy?.hasPrefix("lightning ") == true)
        #expect(incident.firstMissingHeight == 301)
        #expect(incident.closed == nil)
        #expect(incident.since.time <= incident.opened.time)
        // A withheld block is reported within two seconds of its header's arrival on the other link, the grace apart.
        #expect(incident.opened.time.milliseconds - incident.since.time.milliseconds <= 2_000 + 200)
        let link = try #require(try await alice.control.links().first { $0.driver == "bitcoin" })
        #expect(link.missingBlocks == 3)
        #expect(link.tipHeight == 300)

        // Mallory is given the blocks: the incident ends.
        let fresh = chain + "-303"
        _ = try await Programs.run(
            "altnet", ["headers", "export", fresh, "--network", "regtest", "--data-directory", bob.dataDirectory])
        _ = try await Programs.run(
            "altnet",
            ["headers", "import", fresh, "--network", "regtest", "--data-directory", mallory.dataDirectory])
        let ended = try await Condition.value("the incident is closed") {
            try await alice.control.incidents(limit: 10).first { $0.ending != nil }
        }
        #expect(ended.id == incident.id)
        #expect(ended.ending == "caught-up")
        for daemon in [alice, bob, mallory] { #expect(try await daemon.stop() == 0) }
    }

    @Test("a link to a remote that was away comes back by itself", arguments: ["bitcoin", "lightning"])
    func reconnect(driver: String) async throws {
        let address = "127.0.0.1:\(try FreePort.find())"
        let settings = ["drivers.\(driver).listen": address, "drivers.\(driver).connect": ""]
        let bob = try await DaemonProcess.start(settings: settings)
        let alice = try await DaemonProcess.start(
            settings: ["drivers.\(driver).connect": try await bob.listening(driver)])
        try await Condition.wait("the link stands") { try await alice.control.links().contains { $0.state == "open" } }
        try await bob.kill()
        try await Condition.wait("the link is gone") {
            try await alice.control.links().contains { $0.state == "unreachable" }
        }
        let again = try await DaemonProcess.start(settings: settings, dataDirectory: bob.dataDirectory)
        try await Condition.wait("the link is back") { try await alice.control.links().contains { $0.state == "open" } }
        try await Condition.wait("both ends have it") { try await again.control.links().count == 1 }
    }

    @Test("a node key that others can read is refused, with what to do")
    func openKey() async throws {
        let daemon = try await DaemonProcess.start(settings: ["drivers.lightning.listen": "127.0.0.1:0"])
        let identity = try await daemon.listening("lightning").prefix(66)
        try await daemon.stop()
        let key = "\(daemon.dataDirectory)/regtest/drivers/lightning/node.key"
        #expect(try FileManager.default.attributesOfItem(atPath: key)[.posixPermissions] as? Int == 0o600)
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: key)
        let refused = try await DaemonProcess.start(
            settings: ["drivers.lightning.enabled": "true"], dataDirectory: daemon.dataDirectory)
        let reason = try await Condition.value("the driver says why") {
            try await refused.control.drivers().first { $0.state == "failed" }?.reason
        }
        #expect(reason == "\(key) can be read by others; run: chmod 600 \(key)")
        try await refused.stop()
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: key)
        let mended = try await DaemonProcess.start(
            settings: ["drivers.lightning.listen": "127.0.0.1:0"], dataDirectory: daemon.dataDirectory)
        #expect(try await mended.listening("lightning").hasPrefix(identity))
    }

    @Test(
        "2,633 real mainnet headers travel from Bob to Alice over the Lightning link",
        .enabled(if: SharedData.mainnetHeaders != nil, SharedData.missing))
    func mainnetHeaders() async throws {
        let file = try #require(SharedData.mainnetHeaders)
        let headers = try Data(contentsOf: URL(fileURLWithPath: file))
        let start = "586656:" + headers.prefix(80).map { String(format: "%02x", $0) }.joined()
        let rest = TemporaryDirectory.make() + "/headers"
        try headers.dropFirst(80).write(to: URL(fileURLWithPath: rest))
        let settings = ["chain.start": start]
        let bob = try await DaemonProcess.start(
            network: "main", settings: settings.merging(["drivers.lightning.listen": "127.0.0.1:0"]) { $1 })
        let imported = try await Programs.run(
            "altnet",
            [
                "headers", "import", rest, "--network", "main", "--data-directory", bob.dataDirectory, "--set",
                "chain.start=\(start)",
            ])
        #expect(imported.status == 0, "\(imported.errors)")
        let alice = try await DaemonProcess.start(
            network: "main",
            settings: settings.merging(["drivers.lightning.connect": try await bob.listening("lightning")]) { $1 })
        try await alice.reaches(589_289)
        let chain = try await alice.control.status().chain
        #expect(chain.tip == "000000000000000000005d40cf4f919d7d113a563e9f1d735c0508b02baa6c5d")
        #expect(chain.work == "0000000000000000000000000000000000000000005673bb7c039de1da1ffeae")
        // What Alice stored is, byte for byte, what Bob was given.
        let exported = TemporaryDirectory.make() + "/exported"
        let result = try await Programs.run(
            "altnet",
            [
                "headers", "export", exported, "--network", "main", "--data-directory", alice.dataDirectory, "--set",
                "chain.start=\(start)",
            ])
        #expect(result.status == 0, "\(result.errors)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: exported)) == headers.dropFirst(80))
    }
}

/// The data that lies beside the repository where it was checked out with it.
enum SharedData {
    static let missing: Comment =
        "needs mainnet-headers-586656.bin; say where with ALTNET_SHARED, or put it into ../shared/data"

    static let mainnetHeaders: String? = {
        let beside = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("shared").path
        let directory = ProcessInfo.processInfo.environment["ALTNET_SHARED"] ?? beside
        let path = "\(directory)/data/mainnet-headers-586656.bin"
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }()
}
