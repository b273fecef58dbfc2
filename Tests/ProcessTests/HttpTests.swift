// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

/// What a browser, Prometheus or a payment system sees of a real daemon.
@Suite("HTTP on loopback", .serialized)
struct HttpTests {
    /// `Tests/Tools/http_load.py` needs the standard library only.
    private static let python = "/usr/bin/python3"
    private static let hasPython = FileManager.default.isExecutableFile(atPath: Self.python)

    /// A daemon, its address and its token.
    private func start() async throws -> (daemon: DaemonProcess, url: String, token: String) {
        let daemon = try await DaemonProcess.start()
        let url = try #require(try await daemon.control.status().http)
        let token = try String(contentsOfFile: "\(daemon.dataDirectory)/regtest/run/http.cookie", encoding: .utf8)
        return (daemon, url, token.trimmingCharacters(in: .newlines))
    }

    private func curl(_ arguments: [String]) async throws -> (status: Int, body: String) {
        let result = try await Programs.run(
            "/usr/bin/curl",
            ["--silent", "--show-error", "--noproxy", "*", "--write-out", "\n%{http_code}"] + arguments)
        #expect(result.status == 0, "\(result.errors)")
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        return (Int(lines.last ?? "") ?? 0, lines.dropLast().joined(separator: "\n"))
    }

    private func mine(_ count: Int, _ daemon: DaemonProcess) async throws {
        let mined = try await Programs.run(
            "altnet",
            [
                "regtest", "mine", "--count", "\(count)", "--network", "regtest", "--data-directory",
                daemon.dataDirectory,
            ])
        #expect(mined.status == 0, "\(mined.errors)")
    }

    @Test("status, metrics and the page, with a token and without")
    func answers() async throws {
        let (daemon, url, token) = try await self.start()
        try await self.mine(3, daemon)
        #expect(try await self.curl(["\(url)/v1/status"]).status == 401)
        let status = try await self.curl(["-H", "Authorization: Bearer \(token)", "\(url)/v1/status"])
        #expect(status.status == 200)
        let report = try JSONDecoder().decode(StatusReport.self, from: Data(status.body.utf8))
        #expect(report.chain.height == 3)
        let readOnly = try String(
            contentsOfFile: "\(daemon.dataDirectory)/regtest/run/http.read-only-token", encoding: .utf8)
        let metrics = try await self.curl([
            "-H", "Authorization: Bearer \(readOnly.trimmingCharacters(in: .newlines))", "\(url)/metrics",
        ])
        #expect(metrics.status == 200)
        #expect(metrics.body.contains("\naltnet_chain_height 3\n"))
        #expect(metrics.body.contains(#"altnet_http_requests_total{listener="tcp",class="4xx"} 1"#))
        let page = try await self.curl(["\(url)/"])
        #expect(page.status == 200 && page.body.hasPrefix("<!doctype html>"))
        let rebound = try await self.curl(["-H", "Host: evil.example", "\(url)/"])
        #expect(rebound.status == 421)
        #expect(try await daemon.stop() == 0)
        #expect(!FileManager.default.fileExists(atPath: "\(daemon.dataDirectory)/regtest/run/http.cookie"))
    }

    @Test("altnet dashboard prints an address that logs a browser in once, for reading")
    func dashboard() async throws {
        let (daemon, url, _) = try await self.start()
        let command = try await Programs.run(
            "altnet", ["dashboard", "--network", "regtest", "--data-directory", daemon.dataDirectory])
        #expect(command.status == 0, "\(command.errors)")
        let address = try #require(command.output.split(separator: "\n").first { $0.contains("/login?code=") })
        let jar = TemporaryDirectory.make() + "/cookies"
        let page = try await self.curl(["--cookie-jar", jar, "--location", String(address)])
        #expect(page.status == 200 && page.body.hasPrefix("<!doctype html>"))
        #expect(try await self.curl(["--cookie", jar, "\(url)/v1/status"]).status == 200)
        #expect(
            try await self.curl(["--cookie", jar, "--request", "DELETE", "\(url)/v1/drivers/bitcoin"]).status == 403)
        #expect(try await self.curl([String(address)]).status == 401)
    }

    @Test("new tips are told as they come")
    func events() async throws {
        let (daemon, _, _) = try await self.start()
        let control = daemon.control
        struct Found: Error {}
        await #expect(throws: Found.self) {
            try await control.events { event in
                switch event {
                case .connected: try await self.mine(2, daemon)
                case .event(_, .tip(let chain)) where chain.height == 2: throw Found()
                default: break
                }
            }
        }
    }

    @Test("a taken port is named, and the daemon does not start without it")
    func taken() async throws {
        let (daemon, url, _) = try await self.start()
        // The daemon ends with its last mention.
        defer { withExtendedLifetime(daemon) {} }
        let address = url.replacing("http://", with: "")
        let result = try await Programs.run(
            "altnetd",
            ["--network", "regtest", "--data-directory", TemporaryDirectory.make(), "--set", "http.listen=\(address)"])
        #expect(result.status != 0)
        #expect(result.errors.contains("cannot serve HTTP at \(address): another program"), "\(result.errors)")
    }

    @Test(
        "a thousand silent event streams and a flood of requests: bounded, and the daemon works on",
        .enabled(if: hasPython, "needs /usr/bin/python3"))
    func load() async throws {
        let (daemon, url, token) = try await self.start()
        let address = url.replacing("http://", with: "")
        try await self.mine(100, daemon)
        let before = daemon.residentBytes
        let tool = PythonTools.tool("http_load.py")

        let silent = try BackgroundProcess(Self.python, [tool, "silent", address, token, "1000"])
        let counts = try await Condition.value("all streams are answered", within: .seconds(60)) {
            try? JSONDecoder().decode([String: Int].self, from: Data(silent.output.utf8))
        }
        #expect(counts == ["200": 64, "503": 936], "\(counts) \(silent.errors)")

        let dripping = try BackgroundProcess(Self.python, [tool, "drip", address, "50"])
        try await Condition.wait("half requests are connected") { !dripping.output.isEmpty }

        let flood = try BackgroundProcess(Self.python, [tool, "flood", address, token, "5", "100", "/v1/status"])
        var slowest = Duration.zero
        var asked = 0
        while flood.output.isEmpty {
            let begun = ContinuousClock.now
            _ = try await daemon.control.status()
            slowest = max(slowest, ContinuousClock.now - begun)
            asked += 1
            if asked == 5 { try await self.mine(50, daemon) }
        }
        struct Result: Decodable {
            let answers: [String: Int]
            let rate: Double
        }
        let result = try JSONDecoder().decode(Result.self, from: Data(flood.output.utf8))
        print("flood: \(Int(result.rate)) answers a second, \(result.answers); slowest status beside it: \(slowest)")
        #expect(Set(result.answers.keys) == ["200"], "\(result.answers) \(flood.errors)")
        // Each of the hundred was answered; how fast is the machine's affair, which other tests use, too.
        #expect((result.answers["200"] ?? 0) >= 100)
        #expect(try await daemon.control.status().chain.height == 150)
        #expect(slowest < .seconds(5))
        #expect(daemon.residentBytes - before < 150_000_000, "\(daemon.residentBytes - before) bytes")
        _ = try await silent.finish()
        _ = try await dripping.finish()
        let metrics = try await self.curl(["-H", "Authorization: Bearer \(token)", "\(url)/metrics"])
        #expect(metrics.body.contains(#"altnet_http_requests_total{listener="tcp",class="5xx"} 936"#))
        #expect(try await daemon.stop() == 0)
    }
}
