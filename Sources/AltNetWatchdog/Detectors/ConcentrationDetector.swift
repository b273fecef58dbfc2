// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Finds that whoever informs us could be one and the same.
///
/// - Sees: the node's outbound peers sharing a network group (an eclipse by one hosting company, or by an attacker who
///   controls routes), and all watched links resting on one operator or one network group.
/// - Cannot see: one operator in many networks, and who runs what is behind Tor and I2P: those addresses say nothing
///   about the network, so they are left out.
/// - Parameters: ``peers`` of the node in one group and at least ``share`` of the outbound ones. Bitcoin Core itself
///   takes no two automatic outbound peers from one group, so three are never chance; they are manual (`addnode`) or
///   the groups are others than Core's. Of the links there must be two at least, and for ``settling``, because links
///   open one after another. It is never critical: it is an opportunity, not an attack.
struct ConcentrationDetector: Detector {
    var peers = 3
    var share = 0.5
    var settling = Duration.seconds(600)

    /// Groups that say nothing about who runs the other end.
    static let anonymous: Set<String> = ["onion", "i2p", "cjdns", "local", ""]

    var reads: Picture.Aspects { [.peers, .subjects, .node] }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings {
        var findings = Findings()
        if picture.isNodeWatched, let finding = self.ofPeers(picture) { findings.list.append(finding) }
        let targets = picture.targets
        guard targets.count >= 2, let finding = self.ofLinks(targets.map(\.facts), picture) else { return findings }
        let due = picture.targetsSince + self.settling
        if due <= now { findings.list.append(finding) } else { findings.lookAgain(at: due) }
        return findings
    }

    private func ofPeers(_ picture: Picture) -> Finding? {
        let outbound = picture.peers.filter { !$0.isInbound && !Self.anonymous.contains($0.networkGroup) }
        let groups = Dictionary(grouping: outbound, by: \.networkGroup)
        guard
            let (group, members) = groups.max(by: { ($0.value.count, $1.key) < ($1.value.count, $0.key) }),
            members.count >= self.peers, Double(members.count) >= self.share * Double(outbound.count)
        else { return nil }
        let count = picture.peers.count { !$0.isInbound }
        return Finding(
            kind: .concentration, subject: .node, severity: .warning,
            explanation: "\(members.count) of the node's \(count.counted("outbound peer")) are in one network group, "
                + "\(UntrustedText(group)): whoever controls it can keep blocks from the node. Add peers elsewhere",
            was: "had \(members.count) of \(count.counted("outbound peer")) in one network group",
            magnitude: Double(members.count),
            measures: [
                Measure("peers-in-group", Double(members.count), "peers"),
                Measure("outbound-peers", Double(count), "peers"),
            ])
    }

    private func ofLinks(_ links: [LinkFacts], _ picture: Picture) -> Finding? {
        let operators = Set(links.map(\.operatorKey))
        let groups = Set(links.map(\.networkGroup))
        let what: String
        if let only = operators.first, operators.count == 1 {
            what = "one operator, \(UntrustedText(only))"
        } else if let only = groups.first, groups.count == 1, !Self.anonymous.contains(only) {
            what = "one network group, \(UntrustedText(only))"
        } else {
            return nil
        }
        return Finding(
            kind: .concentration, subject: .chain, severity: .warning,
            explanation:
                "all \(links.count.counted("watched link")) rest on \(what): together they are worth one. Add a "
                + "link to somebody else",
            was: "had all links on \(what)", since: picture.targetsSince, magnitude: Double(links.count),
            measures: [Measure("links", Double(links.count), "links")])
    }
}
