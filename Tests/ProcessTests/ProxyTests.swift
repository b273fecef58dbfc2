// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

@Suite(
    "Through a SOCKS5 proxy", .serialized,
    .enabled(
        if: FileManager.default.isExecutableFile(atPath: "/usr/bin/microsocks"),
        "needs microsocks; run: scripts/setup --tests"))
struct ProxyTests {
    @Test("both drivers reach their remotes, and never without the proxy", arguments: ["bitcoin", "lightning"])
    func proxied(driver: String) async throws {
        let chain = TemporaryDirectory.make() + "/chain"
        _ = try await Programs.run("altnet", ["regtest", "mine", "--count", "2500", "--output", chain])
        let remote = try await DaemonProcess.start(
            settings: ["drivers.\(driver).listen": "127.0.0.1:0", "drivers.\(driver).connect": ""])
        _ = try await Programs.run(
            "altnet", ["headers", "import", chain, "--network", "regtest", "--data-directory", remote.dataDirectory])
        let port = try FreePort.find()
        let proxy = try BackgroundProcess("/usr/bin/microsocks", ["-i", "127.0.0.1", "-p", "\(port)"])
        let daemon = try await DaemonProcess.start(
            settings: [
                "drivers.\(driver).connect": try await remote.listening(driver),
                "drivers.\(driver).proxy": "127.0.0.1:\(port)",
            ])
        try await daemon.reaches(2500)
        let link = try #require(try await daemon.control.links().first { $0.state == "open" })
        #expect(link.exposure == (driver == "bitcoin" ? "none" : "pseudonym"))
        #expect(proxy.errors.contains("connected to 127.0.0.1"), "the connection did not come through the proxy")

        // Without its proxy the driver is cut off: there is no way around it.
        proxy.kill()
        let cutOff = try await Condition.value("the link is gone, and said to be") {
            try await daemon.control.links().first { $0.state == "unreachable" }
        }
        let reason = try await Condition.value("the proxy is named") {
            try await daemon.control.links().first { $0.reason?.contains("proxy 127.0.0.1:\(port)") == true }?.reason
        }
        #expect(reason.contains("Connection refused"), "\(reason)")
        #expect(cutOff.id == nil)
        #expect(try await remote.control.links().isEmpty)
    }
}
