// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

@Suite("What the programs say", .serialized)
struct CommandTests {
    private func mined(_ count: Int) async throws -> String {
        let file = TemporaryDirectory.make() + "/chain"
        let result = try await Programs.run("altnet", ["regtest", "mine", "--count", "\(count)", "--output", file])
        #expect(result.status == 0, "\(result.errors)")
        return file
    }

    @Test("a good file of headers is verified with count, tip and work")
    func verify() async throws {
        let file = try await self.mined(2500)
        let result = try await Programs.run("altnet", ["headers", "verify", file, "--network", "regtest", "--json"])
        #expect(result.status == 0)
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
        #expect(report["headers"] as? Int == 2500)
        #expect(report["height"] as? Int == 2500)
        #expect(report["valid"] as? Bool == true)
        // Genesis and 2,500 headers of two expected attempts each.
        #expect((report["work"] as? String)?.hasSuffix(String(2501 * 2, radix: 16)) == true)
        #expect((report["tip"] as? String)?.count == 64)
    }

    @Test("a spoiled header is named with its height and its rule", arguments: [1, 777, 2500])
    func spoiled(height: Int) async throws {
        let file = try await self.mined(2500)
        var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
        // The bits: one more in the exponent is easier than the network allows.
        bytes[(height - 1) * 80 + 75] = 0x21
        try bytes.write(to: URL(fileURLWithPath: file))
        let result = try await Programs.run("altnet", ["headers", "verify", file, "--network", "regtest"])
        #expect(result.status == 1)
        #expect(result.output.contains("INVALID  header at height \(height): high-hash"))
        #expect(result.output.contains("headers  \(height - 1) valid before that"))
    }

    @Test("a file that ends in the middle of a header is not valid")
    func torn() async throws {
        let file = try await self.mined(10)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: file))
        try bytes.dropLast(7).write(to: URL(fileURLWithPath: file))
        let result = try await Programs.run("altnet", ["headers", "verify", file, "--network", "regtest"])
        #expect(result.status != 0)
        #expect((result.output + result.errors).contains("ends with 73 bytes that are no whole header of 80"))
    }

    @Test(
        "mistyped options get a sentence that helps",
        arguments: [
            (["headers", "verify", "/tmp/x", "--network", "mian"], "did you mean main?"),
            (["headers", "verify", "/does/not/exist"], "cannot open /does/not/exist: No such file or directory"),
            (["headers", "verify", "/tmp", "--from", "12"], "--from: expected a height, a colon and a header"),
            (["status", "--data-directory", "/nowhere/at/all"], "no altnetd answers at"),
            (["regtest", "mine", "--count", "0"], "--count must be from 1 to"),
            (["status", "--set", "watchdog.grace_secnods=1"], "did you mean `grace_seconds`?"),
            (["statsu"], "statsu"),
        ])
    func mistakes(arguments: [String], sentence: String) async throws {
        let result = try await Programs.run("altnet", arguments)
        #expect(result.status != 0)
        #expect(result.errors.contains(sentence), "\(result.errors)")
    }

    @Test("a configuration file with an unknown key is refused with its line and the nearest key")
    func unknownKey() async throws {
        let file = TemporaryDirectory.make() + "/altnet.toml"
        try "network = 'regtest'\n\n[drivers.bitcoin]\nlisen = ['127.0.0.1:0']\n".write(
            toFile: file, atomically: true, encoding: .utf8)
        let result = try await Programs.run("altnetd", ["--config", file])
        #expect(result.status == 78)
        #expect(result.errors.contains(":4: there is no key `lisen` in [drivers.bitcoin]; did you mean `listen`?"))
    }

    @Test("a second daemon on the same data directory is refused")
    func locked() async throws {
        let first = try await DaemonProcess.start(settings: ["drivers.lightning.enabled": "true"])
        let result = try await Programs.run(
            "altnetd", ["--network", "regtest", "--data-directory", first.dataDirectory])
        #expect(result.status == 1)
        #expect(result.errors.contains("another altnet process works in \(first.dataDirectory)/regtest"))
        #expect(first.isRunning)
    }

    @Test("a data directory of another network's or another start's headers is refused")
    func otherStart() async throws {
        let daemon = try await DaemonProcess.start(settings: ["drivers.lightning.enabled": "true"])
        try await daemon.stop()
        let header = try Data(contentsOf: URL(fileURLWithPath: try await self.mined(1)))
            .map { String(format: "%02x", $0) }.joined()
        let result = try await Programs.run(
            "altnetd",
            ["--network", "regtest", "--data-directory", daemon.dataDirectory, "--set", "chain.start=1:\(header)"])
        #expect(result.status == 1)
        #expect(result.errors.contains("starts at another header"), "\(result.errors)")
    }

    @Test("a port in use is reported with the driver, and the daemon goes on")
    func portInUse() async throws {
        let first = try await DaemonProcess.start(settings: ["drivers.lightning.listen": "127.0.0.1:0"])
        let address = try await first.listening("lightning").split(separator: "@")[1]
        let second = try await DaemonProcess.start(settings: ["drivers.lightning.listen": String(address)])
        let reason = try await Condition.value("the driver says why") {
            try await second.control.drivers().first?.reason
        }
        #expect(reason.contains("cannot listen on \(address)"), "\(reason)")
        #expect(reason.contains("Address already in use"), "\(reason)")
    }

    @Test("drivers are attached and detached while the daemon runs")
    func attachDetach() async throws {
        let daemon = try await DaemonProcess.start(settings: ["drivers.lightning.enabled": "true"])
        let options = ["--network", "regtest", "--data-directory", daemon.dataDirectory]
        let attached = try await Programs.run(
            "altnet",
            ["driver", "attach", "second", "--program", "altnet-bitcoin", "--setting", "listen=127.0.0.1:0"] + options)
        #expect(attached.status == 0, "\(attached.errors)")
        #expect(try await daemon.listening("second").hasPrefix("127.0.0.1:"))
        let twice = try await Programs.run(
            "altnet", ["driver", "attach", "second", "--program", "altnet-bitcoin"] + options)
        #expect(twice.status == 1)
        #expect(twice.errors.contains("a driver named second is attached already"))
        let detached = try await Programs.run("altnet", ["driver", "detach", "second"] + options)
        #expect(detached.status == 0, "\(detached.errors)")
        #expect(try await daemon.control.drivers().map(\.name) == ["lightning"])
        let unknown = try await Programs.run("altnet", ["driver", "detach", "third"] + options)
        #expect(unknown.status == 1)
        #expect(unknown.errors.contains("there is no driver named third"))
    }

    @Test("headers move in and out of a running and of a stopped daemon")
    func transfer() async throws {
        let file = try await self.mined(1200)
        let daemon = try await DaemonProcess.start(settings: ["drivers.lightning.enabled": "true"])
        let options = ["--network", "regtest", "--data-directory", daemon.dataDirectory]
        let running = try await Programs.run("altnet", ["headers", "import", file] + options)
        #expect(running.output.hasPrefix("1200 of 1200 headers were new"), "\(running.output)\(running.errors)")
        let part = file + "-part"
        let exported = try await Programs.run(
            "altnet", ["headers", "export", part, "--from", "1001", "--count", "100"] + options)
        #expect(exported.status == 0, "\(exported.errors)")
        let whole = try Data(contentsOf: URL(fileURLWithPath: file))
        #expect(try Data(contentsOf: URL(fileURLWithPath: part)) == whole[80_000..<88_000])
        try await daemon.stop()
        let all = file + "-all"
        let stopped = try await Programs.run("altnet", ["headers", "export", all] + options)
        #expect(stopped.status == 0, "\(stopped.errors)")
        #expect(try Data(contentsOf: URL(fileURLWithPath: all)) == whole)
        let again = try await Programs.run("altnet", ["headers", "import", file] + options)
        #expect(again.output.hasPrefix("0 of 1200 headers were new"), "\(again.output)\(again.errors)")
    }

    @Test("help and version of every program", arguments: ["altnet", "altnetd", "altnet-bitcoin", "altnet-lightning"])
    func help(program: String) async throws {
        let help = try await Programs.run(program, ["--help"])
        #expect(help.status == 0)
        #expect(help.output.contains(program))
        let version = try await Programs.run(program, ["--version"])
        #expect(version.output == "\(program) 0.1.0\n")
    }
}
