// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

/// The dashboard in a real browser: `Tests/Tools/dashboard_check.py`.
@Suite(
    "The dashboard in Chromium",
    .enabled(
        if: FileManager.default.isExecutableFile(atPath: "/usr/bin/chromium"),
        "needs /usr/bin/chromium; run: scripts/setup --tests"))
struct DashboardTests {
    @Test(
        "is readable in both themes and on a phone, live, safe from others' text, usable by keyboard, and never stale")
    func checks() async throws {
        let daemon = try await DaemonProcess.start()
        let mined = try await Programs.run(
            "altnet",
            ["regtest", "mine", "--count", "7", "--network", "regtest", "--data-directory", daemon.dataDirectory])
        #expect(mined.status == 0, "\(mined.errors)")
        let url = try await daemon.control.login(.readOnly).url
        let result = try await Programs.run(
            "/usr/bin/python3",
            [PythonTools.tool("dashboard_check.py"), "--login", url, "--pid", "\(daemon.processID)"])
        #expect(result.status == 0, "\(result.output)\(result.errors)")
    }
}
