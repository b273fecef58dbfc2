// SPDX-License-Identifier: MIT

import AltNetPunchReports
import Testing

@testable import AltNetCommands

@Suite("altnet nat: what people read")
struct NATTextTests {
    static func report(_ mapping: String, confidence: Double = 0.97) -> NATReport {
        var report = NATReport(mapping: mapping, confidence: confidence, reason: "a reason")
        report.toleratedLiars = 2
        for (index, port) in [41000, 41000, 42000].enumerated() {
            report.evidence.append(
                NATReport.Observation(
                    witness: "w\(index).example:8333", group: "20.\(index)", address: "5.9.9.9:\(port)",
                    localPort: UInt16(port), latencyMilliseconds: 12.34, at: "2026-11-21T20:00:00Z"))
        }
        return report
    }

    @Test("a port-preserving NAT: what it is, what it means, what can be gained, and the evidence as a table")
    func preserving() {
        var report = Self.report("endpoint-independent")
        report.preservesPort = true
        report.external = ["5.9.9.9"]
        report.dissenters = ["w1.example:8333"]
        report.silent = [.init(witness: "dead.example:8333", reason: "no answer in time (2 SYNs)")]
        #expect(
            NATText.of(report) == """
                mapping     endpoint-independent, keeps port numbers (97 % sure; 2 witnesses may lie)
                            a reason
                seen as     5.9.9.9
                punching    works, with everybody whose NAT is endpoint-independent, too, and with open nodes
                what to do  predict_port = true in [drivers.punch] saves one connection for each attempt
                            do not ask w1.example:8333 again: what they say contradicts the others

                LOCAL PORT  SEEN AS        BY               NETWORK  AFTER    BUT
                41000       5.9.9.9:41000  w0.example:8333  20.0     12.3 ms  -
                41000       5.9.9.9:41000  w1.example:8333  20.1     12.3 ms  contradicts the others
                42000       5.9.9.9:42000  w2.example:8333  20.2     12.3 ms  -

                not counted:
                  dead.example:8333: no answer in time (2 SYNs)
                """)
    }

    @Test("each kind says what it means for hole punching, and the bad ones what to do")
    func kinds() {
        #expect(NATText.of(Self.report("open")).contains("not needed: others can connect to you"))
        let dependent = NATText.of(Self.report("endpoint-dependent"))
        #expect(dependent.contains("does not work"))
        #expect(dependent.contains("UPnP"))
        var loose = Self.report("endpoint-independent")
        loose.filtering = "endpoint-independent or address-dependent"
        #expect(NATText.of(loose).contains("works, with nearly everybody: your NAT lets in whom you have called"))
        #expect(dependent.contains("NETWORK  AFTER\n41000"))
        var carrier = Self.report("endpoint-independent")
        carrier.isBehindCarrierNAT = true
        #expect(NATText.of(carrier).contains("your provider has a NAT of its own"))
        let unknown = NATText.of(
            NATReport(mapping: "unknown", confidence: 0, reason: "only 1 of 3 witnesses answered"))
        #expect(unknown.contains("--witness"))
        #expect(!unknown.contains("sure"))
    }

    @Test("what a driver says is shown as untrusted text, and odd numbers do no harm")
    func untrusted() {
        var report = Self.report("open\u{1b}[31m", confidence: .infinity)
        report.external = ["\u{202e}evil"]
        let text = NATText.of(report)
        #expect(!text.contains("\u{1b}"))
        #expect(!text.contains("\u{202e}"))
        #expect(text.contains("? %"))
    }
}
