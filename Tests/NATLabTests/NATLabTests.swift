// SPDX-License-Identifier: MIT

import AltNetTestKit
import Testing

@Suite(
    "A lab of NATs", .serialized, .timeLimit(.minutes(12)),
    .enabled(if: NATLab.missing == nil, "\(NATLab.missing ?? "")"))
struct NATLabTests {
    /// Pairs that have to connect, and two that cannot; `scripts/nat-matrix` measures all of them.
    private static let pairs = [
        "preserving:preserving", "preserving-rst:mapped-rst", "mapped:double", "firewall:preserving-rst",
        "dependent:open",
        "open:dependent-rst", "dependent:preserving", "mapped-rst:dependent-rst", "dependent-rst:loose",
        "restricted:dependent",
    ]

    @Test("each kind of NAT does what its name says, and pairs connect as theory has it")
    func selfCheck() async throws {
        let checks = try await NATLab.run(["self-check"], within: .seconds(240))
        for check in checks { #expect(check.ok, "\(check.line)") }
        // Kinds, strangers, pairs of twelve kinds, and some more.
        #expect(checks.count > 110)
    }

    @Test("nodes connect behind every pair of NATs that lets them, and try nothing behind the others")
    func matrix() async throws {
        let checks = try await NATLab.run(
            [
                "matrix", "--binaries", Programs.directory, "--runs", "2", "--delay", "50", "--jitter", "5",
                "--pairs", Self.pairs.joined(separator: ","),
            ], within: .seconds(300))
        for check in checks { #expect(check.ok, "\(check.line)") }
        #expect(checks.count == Self.pairs.count)
    }

    @Test(
        "an offer, a Tor network and two NATs make a link, and the wire ties the endpoint to nobody",
        .enabled(if: TorProcess.program != nil, "\(TorProcess.missing)"))
    func endToEnd() async throws {
        // Two labs at once: most of what they do is to wait for offers.
        let checks = try await withThrowingTaskGroup { group in
            for names in [["over tor", "node to node", "blocks over links"], ["unasked", "over i2p"]] {
                group.addTask {
                    var checks: [NATLab.Check] = []
                    for name in names {
                        checks += try await NATLab.run(
                            ["end-to-end", "--binaries", Programs.directory, "--only", name], within: .seconds(600))
                    }
                    return checks
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        for check in checks { #expect(check.ok, "\(check.line)") }
        #expect(checks.contains { $0.check == "unlinkable" })
        #expect(checks.contains { $0.check == "unasked at either family" })
        #expect(checks.contains { $0.check == "blocks between two nodes" })
        #expect(checks.contains { $0.check == "blocks over links" })
    }

    @Test(
        "each way to a connection is taken where those before it lead nowhere, and what an offer says is held to")
    func fallbacks() async throws {
        let checks = try await NATLab.run(["fallbacks", "--binaries", Programs.directory], within: .seconds(400))
        for check in checks { #expect(check.ok, "\(check.line)") }
        #expect(checks.count == 10)
    }

    @Test("strangers cannot make a node send much to others, wait, or serve nobody else")
    func attacks() async throws {
        let checks = try await NATLab.run(
            ["attacks", "--binaries", Programs.directory, "--flood-seconds", "6"], within: .seconds(600))
        for check in checks { #expect(check.ok, "\(check.line)") }
        #expect(checks.count == 10)
    }
}
