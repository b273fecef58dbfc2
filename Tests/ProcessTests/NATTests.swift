// SPDX-License-Identifier: MIT

import AltNetPunchReports
import AltNetTestKit
import Foundation
import Testing

@Suite("altnet nat check, with real processes", .timeLimit(.minutes(5)))
struct NATTests {
    /// Witnesses, and their addresses.
    private static func witnesses(honest: Int, lying: Int = 0) async throws -> (BackgroundProcess, [String]) {
        let tool = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../Tools/lying_witnesses.py").standardizedFileURL.path
        let process = try BackgroundProcess("/usr/bin/env", ["python3", tool, "\(honest)", "\(lying)"])
        let addresses = try await Condition.value("the witnesses listen") {
            try? JSONDecoder().decode([String].self, from: Data(process.output.utf8))
        }
        return (process, addresses)
    }

    private static func check(_ witnesses: [String], _ more: [String] = []) async throws -> Programs.Result {
        try await Programs.run(
            "altnet",
            ["nat", "check", "--network", "regtest", "--allow-private"] + witnesses.flatMap { ["--witness", $0] } + more
        )
    }

    @Test("two liars of five witnesses change nothing, and are named")
    func liars() async throws {
        let (process, witnesses) = try await Self.witnesses(honest: 3, lying: 2)
        let result = try await Self.check(witnesses, ["--json"])
        #expect(result.status == 0, "\(result.errors)")
        let report = try JSONDecoder().decode(NATReport.self, from: Data(result.output.utf8))
        // Without a NAT, and without anybody who came in.
        #expect(report.mapping == "endpoint-independent")
        #expect(report.preservesPort == true)
        #expect(report.reason.contains("firewall"))
        #expect(report.external == ["127.0.0.1"])
        #expect(report.evidence.count == 10)
        #expect(Set(report.dissenters ?? []) == Set(witnesses.suffix(2)))
        #expect(report.toleratedLiars == 2)
        #expect(try await process.finish() == 0)
    }

    @Test("people get a table, programs a status, and both a reason")
    func text() async throws {
        let (process, witnesses) = try await Self.witnesses(honest: 3)
        let known = try await Self.check(witnesses)
        #expect(known.status == 0, "\(known.errors)")
        #expect(known.output.contains("mapping     endpoint-independent, keeps port numbers"))
        #expect(known.output.contains("LOCAL PORT"))
        let unknown = try await Self.check(Array(witnesses.prefix(2)))
        #expect(unknown.status == 1)
        #expect(unknown.output.contains("only 2 of 3 witnesses"))
        let wrong = try await Self.check(["no port"])
        #expect(wrong.status != 0)
        #expect(wrong.errors.contains("host:port"))
        #expect(try await process.finish() == 0)
    }
}
