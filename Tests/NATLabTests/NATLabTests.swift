// SPDX-License-Identifier: MIT

import AltNetTestKit
import Testing

@Suite(
    "A lab of NATs", .serialized, .timeLimit(.minutes(10)),
    .enabled(if: NATLab.missing == nil, "\(NATLab.missing ?? "")"))
struct NATLabTests {
    @Test("each kind of NAT does what its name says, and pairs connect as theory has it")
    func selfCheck() async throws {
        let checks = try await NATLab.run(["self-check"], within: .seconds(240))
        for check in checks { #expect(check.ok, "\(check.line)") }
        // Kinds, strangers, pairs of ten kinds, and some more.
        #expect(checks.count > 70)
    }
}
