// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
internal import AltNetHolePunch
internal import AltNetPunchReports
internal import ArgumentParser

/// Hole punching as people type and read it.
enum PunchText {
    static func check(endpoint: String) throws(ValidationError) {
        do throws(CoordinationEndpointError) {
            _ = try CoordinationEndpoint(endpoint)
        } catch {
            // A slip of the finger in a subcommand's name ends up here, too.
            let isWord = endpoint.utf8.allSatisfy { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || $0 == 0x2d }
            guard isWord else { throw ValidationError("\(UntrustedText(endpoint)): \(error)") }
            throw ValidationError(
                "\(UntrustedText(endpoint)) is neither a command (connect, list, offers, rotate-keys, stats, status)"
                    + " nor an endpoint. \(error)")
        }
    }

    // MARK: - One attempt

    static func outcome(_ report: PunchReport) -> String {
        let time = Milliseconds.text(report.milliseconds)
        let attempts = report.attempts == 1 ? "1 attempt" : "\(report.attempts) attempts"
        guard report.isConnected else {
            let reason = report.reason.map { ": \(UntrustedText($0))" } ?? ""
            return "no connection (\(UntrustedText(report.outcome))) after \(time), \(attempts)\(reason)"
                + (Self.advice(report).map { "\n\($0)" } ?? "")
        }
        let way = report.path.flatMap { Self.ways[$0] } ?? report.path.map { UntrustedText($0).description } ?? "?"
        let peer = report.peer.map { " to \(UntrustedText($0))" } ?? ""
        return "connected\(peer), \(way), after \(time), \(attempts)"
    }

    private static let ways = [
        "direct": "directly", "ipv6": "over IPv6", "mapped": "at a port that a router gave",
        "punch": "through both NATs", "relayed": "over the coordination endpoint",
    ]

    /// What the operator can do about it.
    private static func advice(_ report: PunchReport) -> String? {
        switch report.outcome {
        case "impossible":
            return """
                Your NAT is \(UntrustedText(report.ownNAT)), theirs is \(UntrustedText(report.peerNAT)): no connection can \
                be opened between the two. A NAT that is endpoint-dependent gives each connection a port that nobody \
                knows in advance, and the other one lets in answers only. A router that maps ports (PCP, NAT-PMP or UPnP), or IPv6 on both sides, helps.
                """
        case "no-common-path":
            return "Neither side has a way that the other one can take, such as an address of the same family."
        case "refused", "refused-by-peer":
            return "They take no connections at the moment. Another offer may be better: altnet punch offers"
        case "not-the-offered":
            return "It has another address than its offers, or --clearnet, said. Whoever told them may have lied."
        case "timed-out", "attempts-failed":
            return "`altnet nat check` tells whether your own NAT is one that lets connections through."
        default: return nil
        }
    }

    static func list(_ report: PunchReports) -> String {
        TextTable.of(
            ["AT", "WHO CALLED", "PEER", "OUTCOME", "WAY", "ATTEMPTS", "TIME", "NATS"],
            report.punches.map { punch in
                [
                    UntrustedText(punch.at).description, punch.role == "initiator" ? "we" : "they",
                    Self.short(punch.peer ?? punch.endpoint), UntrustedText(punch.outcome).description,
                    UntrustedText(punch.path ?? "-").description, "\(punch.attempts)",
                    Milliseconds.text(punch.milliseconds),
                    "\(UntrustedText(punch.ownNAT)) / \(UntrustedText(punch.peerNAT))",
                ]
            }, empty: "nobody has tried to connect since the driver started")
    }

    /// Names of overlays are long, and their first characters tell them apart.
    private static func short(_ text: String) -> String {
        let text = UntrustedText(text).description
        return text.count > 32 ? text.prefix(20) + "…" + text.suffix(11) : text
    }

    // MARK: - Offers

    static func offers(_ report: PunchOfferListReport, _ overview: PunchOverviewReport?) -> String {
        TextTable.of(
            ["ENDPOINT", "ADDRESS", "AGE", "STATE"],
            report.offers.map { offer in
                let state =
                    offer.isConnected
                    ? "connected" : offer.waitSeconds.map { "failed, again in \($0) s" } ?? "can be called"
                return [
                    UntrustedText(offer.endpoint).description,
                    offer.clearnet.map { UntrustedText($0).description } ?? "not told", "\(offer.ageSeconds) s", state,
                ]
            }, empty: "no offers" + (overview.map { ": \(Self.whyNone($0))" } ?? ""))
    }

    private static func whyNone(_ overview: PunchOverviewReport) -> String {
        guard overview.offerLinks > 0 else {
            return "they come over links of altnet-bitcoin that show our address, and there are none of these."
                + " Connect to other AltNet nodes with `connect` in [drivers.bitcoin]"
        }
        return "none was heard over \(Self.links(overview)) in the last ten minutes."
            + " Only AltNet nodes pass them on, and only some nodes make any"
    }

    private static func links(_ overview: PunchOverviewReport) -> String {
        overview.offerLinks == 1 ? "1 link" : "\(overview.offerLinks) links"
    }

    // MARK: - How it stands

    static func overview(_ report: PunchOverviewReport) -> String {
        var lines: [String] = []
        if let problem = report.problem { lines.append("problem    \(UntrustedText(problem))") }
        lines.append("driver     \(report.driver.map { UntrustedText($0).description } ?? "none attached")")
        if let nat = report.nat { lines += Self.nat(nat) }
        if let stats = report.stats {
            let endpoints = stats.endpoints.map { UntrustedText($0).description }
            lines.append("endpoints  \(endpoints.isEmpty ? "none" : endpoints.joined(separator: "\n           "))")
            lines.append("inbound    \(stats.slotsTaken) of \(stats.slots) wanted")
        }
        lines.append("outbound   \(report.outbound) of \(report.outboundWanted) wanted")
        lines.append(
            "offers     \(report.offersKnown) of others, \(report.offersOwn) of ours, over \(Self.links(report))")
        return lines.joined(separator: "\n")
    }

    private static func nat(_ nat: NATReport) -> [String] {
        let ports = nat.preservesPort.map { $0 ? ", keeps port numbers" : ", changes port numbers" } ?? ""
        let sure = "\(Int((min(max(nat.confidence, 0), 1) * 100).rounded())) % sure"
        return [
            "NAT        \(UntrustedText(nat.mapping))\(ports), \(sure): \(UntrustedText(nat.reason))",
            "seen as    "
                + (nat.external.isEmpty
                    ? "not known" : nat.external.map { UntrustedText($0).description }.joined(separator: ", ")),
        ]
    }

    static func stats(_ report: PunchStatsReport) -> String {
        let table = TextTable.of(
            ["WHO CALLED", "OUTCOME", "WAY", "OUR NAT", "THEIR NAT", "COUNT"],
            report.counts.sorted { ($1.count, $0.outcome) < ($0.count, $1.outcome) }.map { count in
                [
                    count.role == "initiator" ? "we" : "they", UntrustedText(count.outcome).description,
                    UntrustedText(count.path ?? "-").description, UntrustedText(count.ownNAT).description,
                    UntrustedText(count.peerNAT).description, "\(count.count)",
                ]
            }, empty: "no attempts since the driver started")
        let counters = report.counters.filter { $0.value > 0 }.sorted { $0.key < $1.key }
            .map { "\(UntrustedText($0.key)) \($0.value)" }
        let slots = "slots: \(report.slotsTaken) of \(report.slots) taken, \(report.coordinating) being arranged"
        return ([table, slots] + (counters.isEmpty ? [] : ["also: \(counters.joined(separator: ", "))"]))
            .joined(separator: "\n")
    }
}
