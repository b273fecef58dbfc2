// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

/// Finds blocks of which the header is proven, and which do not come.
///
/// - Sees: a link that was asked for a whole block and did not bring it, a block that nobody brings, and a node that
///   knows headers beyond its validated tip and gets no further: what an attacker achieves who passes on headers and
///   keeps the blocks back.
/// - Cannot see: whether a block that was brought is valid, and blocks for which nobody was asked.
/// - Ends as soon as anybody brings the block, or the node has validated it: then nothing is hidden any more.
/// - Parameters: a link is reported at once when its request has failed: the request's own time-out was the grace. For
///   the node ``grace`` counts since it last validated a block: two minutes are ten times what a slow machine needs for
///   one, and with the next peer asked after ten it stays a warning until ``criticalAge``, twenty minutes. A request
///   that failed longer ago than ``memory`` is forgotten. Critical too: a block that at least two were asked for and
///   nobody has brought.
struct WithheldBlockDetector: Detector {
    var grace = Duration.seconds(120)
    var criticalAge = Duration.seconds(1200)
    var memory = Duration.seconds(86_400)

    var reads: Picture.Aspects { [.blocks, .chain, .subjects, .node] }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings {
        var findings = Findings()
        let current = picture.withheld.filter { entry in
            // What is no longer part of the best chain may be forgotten by anybody.
            let isWanted = picture.tree[entry.hash] == nil || picture.tree.isOnBest(entry.hash)
            return isWanted && picture.isWatched(entry.by) && now - entry.at < self.memory
        }
        for entry in current { findings.lookAgain(at: entry.at + self.memory) }
        let bySubject = Dictionary(grouping: current, by: \.by)
        for (subject, entries) in bySubject.sorted(by: { $0.key < $1.key }) {
            findings.list.append(self.finding(subject, entries, in: picture))
        }
        for entries in Dictionary(grouping: current, by: \.hash).values where entries.count >= 2 {
            // Of several such blocks the first is told; the next follows when it has come.
            guard !findings.list.contains(where: { $0.subject == .chain }) else { continue }
            findings.list.append(self.nobody(entries.sorted { $0.by < $1.by }, in: picture))
        }
        self.node(in: picture, at: now, &findings)
        return findings
    }

    private func finding(_ subject: Subject, _ entries: [Picture.Withheld], in picture: Picture) -> Finding {
        let ordered = entries.sorted { $0.at < $1.at }
        let first = ordered.first
        let why = ordered.last.map { " (\($0.why))" } ?? ""
        let explanation =
            "\(subject) has shown the header of \(self.name(first?.hash, in: picture)) and does not bring the block"
            + "\(why)\(ordered.count > 1 ? ", and so with \((ordered.count - 1).counted("more block"))" : "")"
        return Finding(
            kind: .withheldBlock, subject: subject, severity: .warning, explanation: explanation,
            was: "withheld \(ordered.count.counted("block"))", since: first?.at ?? WallClockTime(milliseconds: 0),
            magnitude: Double(ordered.count), behind: self.behind(first?.hash, ordered.count, in: picture),
            measures: [Measure("withheld-blocks", Double(ordered.count), "blocks")],
            evidence: self.evidence(ordered, in: picture))
    }

    private func nobody(_ entries: [Picture.Withheld], in picture: Picture) -> Finding {
        let hash = entries.first?.hash
        return Finding(
            kind: .withheldBlock, subject: .chain, severity: .critical,
            explanation: "nobody brings \(self.name(hash, in: picture)), though its header is proven: "
                + "\(entries.map(\.by.description).listed) were asked. Its transactions are hidden from us",
            was: "had a block that nobody brought",
            since: entries.map(\.at).min() ?? WallClockTime(milliseconds: 0), magnitude: Double(entries.count),
            behind: self.behind(hash, 1, in: picture),
            measures: [Measure("asked", Double(entries.count), "links")],
            evidence: self.evidence(entries, in: picture))
    }

    private func node(in picture: Picture, at now: WallClockTime, _ findings: inout Findings) {
        guard picture.isNodeWatched, let node = picture.node, let stuck = picture.nodeHeadersAheadSince,
            let state = picture.states[.node]
        else { return }
        let since = max(stuck, state.watchedSince)
        guard since + self.grace <= now else { return findings.lookAgain(at: since + self.grace) }
        let isCritical = since + self.criticalAge <= now
        if !isCritical { findings.lookAgain(at: since + self.criticalAge) }
        let missing = node.headers - node.blocks
        let first = picture.tree.best(at: node.blocks.addingSaturating(1))
        let explanation =
            "the node knows headers up to block \(node.headers) and has validated up to block \(node.blocks) only: its "
            + "peers pass on headers and keep \(missing.counted("block")) back, or it cannot store or validate them"
        findings.list.append(
            Finding(
                kind: .withheldBlock, subject: .node, severity: isCritical ? .critical : .warning,
                explanation: explanation, was: "lacked \(missing.counted("block")) of which it knew the headers",
                since: since, magnitude: Double(missing),
                behind: first.map {
                    Behind(
                        blocks: missing, firstMissing: $0.point, provenBy: $0.provenBy, provenAt: $0.provenAt,
                        best: picture.tree.best, shown: state.shown)
                }, measures: [Measure("missing-blocks", Double(missing), "blocks")],
                evidence: picture.evidence(accused: .node, shown: state.shown, at: state.shownAt)))
    }

    private func name(_ hash: BlockHash?, in picture: Picture) -> String {
        guard let hash else { return "a block" }
        return picture.tree[hash].map { "block \($0.point.height)" } ?? "block \(hash)"
    }

    private func behind(_ hash: BlockHash?, _ count: Int, in picture: Picture) -> Behind? {
        guard let entry = hash.flatMap({ picture.tree[$0] }) else { return nil }
        return Behind(
            blocks: UInt32(count), firstMissing: entry.point, provenBy: entry.provenBy, provenAt: entry.provenAt,
            best: picture.tree.best)
    }

    /// The header before the first block and on, and who failed to bring what.
    private func evidence(_ entries: [Picture.Withheld], in picture: Picture) -> Evidence {
        var evidence = Evidence()
        let heights = entries.compactMap { picture.tree[$0.hash]?.point.height }
        if let lowest = heights.min() {
            evidence.headers = picture.headers(from: max(lowest - min(lowest, 1), picture.tree.lowest))
        }
        evidence.statements = entries.prefix(Evidence.maximumStatements).map { entry in
            Evidence.Statement(
                who: entry.by, at: entry.at, what: "did not bring \(self.name(entry.hash, in: picture)): \(entry.why)",
                point: picture.tree[entry.hash]?.point)
        }
        return evidence
    }
}
