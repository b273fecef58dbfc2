// SPDX-License-Identifier: MIT

import Foundation
import Testing

@Suite("The systemd unit")
struct ServiceUnitTests {
    private static let hasSystemd = FileManager.default.isExecutableFile(atPath: "/usr/bin/systemd-analyze")

    private func run(_ program: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    /// A copy whose program exists: systemd-analyze looks for it.
    private func unit() throws -> String {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "altnet-unit-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let text = try String(contentsOfFile: "packaging/systemd/altnetd.service", encoding: .utf8)
        let path = directory.appendingPathComponent("altnetd.service").path
        try text.replacingOccurrences(of: "/usr/local/bin/altnetd", with: "/bin/true")
            .write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    @Test("systemd finds nothing wrong with it", .enabled(if: Self.hasSystemd))
    func verify() throws {
        let path = try self.unit()
        let result = try self.run("/usr/bin/systemd-analyze", ["verify", "--man=no", path])
        // Other units of the machine may have faults of their own.
        let ours = result.output.split(separator: "\n").filter { $0.contains("altnetd.service") }
        #expect(ours.isEmpty, "\(result.output)")
    }

    @Test("systemd calls its exposure low", .enabled(if: Self.hasSystemd))
    func security() throws {
        let path = try self.unit()
        // 2.0 of 10: what is left is that it speaks to the network, as one user, without a root of its own.
        let result = try self.run("/usr/bin/systemd-analyze", ["security", "--offline=true", "--threshold=20", path])
        #expect(result.status == 0, "\(result.output)")
    }

    @Test("the installer puts everything where systemd looks")
    func staging() throws {
        // Only the part for systemd: building a release takes minutes.
        let script = try String(contentsOfFile: "scripts/install", encoding: .utf8)
        let function = try #require(
            script.range(of: "install_systemd() {").flatMap { start in
                script[start.lowerBound...].range(of: "\n}\n").map { String(script[start.lowerBound..<$0.upperBound]) }
            })
        let root = FileManager.default.temporaryDirectory.appendingPathComponent("altnet-root-\(UUID().uuidString)")
            .path
        let result = try self.run(
            "/bin/bash",
            ["-euc", "DESTDIR=\(root); target=/opt/altnet; fail() { exit 1; }\n\(function)install_systemd"])
        #expect(result.status == 0, "\(result.output)")
        let unit = try String(contentsOfFile: root + "/etc/systemd/system/altnetd.service", encoding: .utf8)
        #expect(unit.contains("\nExecStart=/opt/altnet/bin/altnetd\n"))
        let mode = try FileManager.default.attributesOfItem(atPath: root + "/etc/altnet/altnet.toml")[.posixPermissions]
        #expect(mode as? Int == 0o640)
        #expect(FileManager.default.fileExists(atPath: root + "/usr/lib/sysusers.d/altnet.conf"))
    }
}
