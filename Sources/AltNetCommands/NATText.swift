// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
internal import AltNetHolePunch
internal import AltNetPunchReports

/// A NAT check as people read it: what it is, what that means, what to do, and why it is believed.
enum NATText {
    static func of(_ report: NATReport) -> String {
        var lines = [Self.line("mapping", Self.title(report))]
        lines.append(Self.line("", UntrustedText(report.reason).description))
        if !report.external.isEmpty {
            lines.append(
                Self.line("seen as", report.external.map { UntrustedText($0).description }.joined(separator: ", ")))
        }
        if let filtering = report.filtering { lines.append(Self.line("filtering", "\(UntrustedText(filtering))")) }
        if let ipv6 = report.ipv6 { lines.append(Self.line("IPv6", "\(UntrustedText(ipv6))")) }
        if let network = report.network, !network.isEmpty {
            lines.append(Self.line("network", "\(UntrustedText(network))"))
        }
        if let checkedAt = report.checkedAt { lines.append(Self.line("checked at", "\(UntrustedText(checkedAt))")) }
        lines.append(Self.line("punching", Self.meaning(report)))
        let advice = Self.advice(report)
        for (index, text) in advice.enumerated() { lines.append(Self.line(index == 0 ? "what to do" : "", text)) }
        if !report.evidence.isEmpty { lines += ["", Self.evidence(report)] }
        if let silent = report.silent, !silent.isEmpty {
            lines += ["", "not counted:"]
            lines += silent.map { "  \(UntrustedText($0.witness)): \(UntrustedText($0.reason))" }
        }
        return lines.joined(separator: "\n")
    }

    private static func line(_ name: String, _ text: String) -> String {
        name + String(repeating: " ", count: max(1, 12 - name.count)) + text
    }

    private static func title(_ report: NATReport) -> String {
        let ports = report.preservesPort.map { $0 ? ", keeps port numbers" : ", changes port numbers" } ?? ""
        let title = UntrustedText(report.mapping).description + ports
        guard report.confidence > 0 else { return title }
        let liars = report.toleratedLiars.map {
            $0 == 1 ? "; one witness may lie" : $0 > 1 ? "; \($0) witnesses may lie" : "; no witness may lie"
        }
        return "\(title) (\(Self.percent(report.confidence)) sure\(liars ?? ""))"
    }

    private static func percent(_ share: Double) -> String {
        share.isFinite ? "\(Int((min(max(share, 0), 1) * 100).rounded())) %" : "? %"
    }

    /// What the kind of NAT means for hole punching.
    private static func meaning(_ report: NATReport) -> String {
        switch report.mapping {
        case "open": "not needed: others can connect to you"
        case "endpoint-independent":
            report.filtering == nil
                ? "works, with everybody whose NAT is endpoint-independent, too, and with open nodes"
                : "works, with nearly everybody: your NAT lets in whom you have called, from any port"
        case "endpoint-dependent":
            "mostly does not work: nobody can tell which port the next connection gets. You can connect to open nodes, "
                + "to NATs that let in whom they have called, to ports that a router has mapped, and over IPv6"
        default: "not known"
        }
    }

    private static func advice(_ report: NATReport) -> [String] {
        var advice: [String] = []
        switch report.mapping {
        case "open": break
        case "endpoint-independent":
            if report.preservesPort == true {
                advice.append("predict_port = true in [drivers.punch] saves one connection for each attempt")
            }
        case "endpoint-dependent":
            advice.append("let the router map ports (UPnP, NAT-PMP or PCP in its settings), or forward one by hand")
            advice.append(
                "use IPv6 if your provider has it; on some routers, \"full cone\" or \"NAT type: open\" helps")
        default:
            if report.evidence.isEmpty || report.reason.contains("witnesses") {
                advice.append("name more nodes in different networks: altnet nat check --witness HOST:PORT …")
            }
            if report.reason.contains("contradict") { advice.append("ask others: some of these witnesses lie") }
        }
        if report.isBehindCarrierNAT == true {
            advice.append("your provider has a NAT of its own: what your router maps is not reached from outside")
        }
        if let dissenters = report.dissenters, !dissenters.isEmpty {
            let names = dissenters.sorted().map { UntrustedText($0).description }.joined(separator: ", ")
            advice.append("do not ask \(names) again: what they say contradicts the others")
        }
        return advice
    }

    /// A row for each answer, in the order of local ports, so that one sees at once whether a column is one value.
    private static func evidence(_ report: NATReport) -> String {
        let dissenters = Set(report.dissenters ?? [])
        let ports = report.evidence.map(\.localPort).reduce(into: [UInt16]()) { ports, port in
            if !ports.contains(port) { ports.append(port) }
        }
        // Without contradictions there is no column for them.
        let columns = ["LOCAL PORT", "SEEN AS", "BY", "NETWORK", "AFTER", "BUT"].prefix(dissenters.isEmpty ? 5 : 6)
        return TextTable.of(
            Array(columns),
            ports.flatMap { port in
                report.evidence.filter { $0.localPort == port }.map { observation in
                    let cells = [
                        "\(port)", UntrustedText(observation.address).description,
                        UntrustedText(observation.witness).description, UntrustedText(observation.group).description,
                        Milliseconds.text(observation.latencyMilliseconds),
                        dissenters.contains(observation.witness) ? "contradicts the others" : "-",
                    ]
                    return Array(cells.prefix(columns.count))
                }
            }, empty: "")
    }
}
