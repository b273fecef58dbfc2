// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

/// Finds two branches of similar work that grow side by side.
///
/// - Sees: a split of the network, a miner who builds a branch of its own and shows it, an eclipse that ends while its
///   branch is still near; whoever follows which branch is named.
/// - Cannot see: a branch that is kept back, and whose headers nobody shows us.
/// - Parameters: both branches have at least ``length`` blocks beyond the fork, and the one with less work lacks at most
///   one block. A single block is replaced some times a year by chance: two miners find one at the same time. At the
///   rate of the worst years, one block in 200, both sides growing to two is chance less than twice a year, and to
///   ``criticalLength`` once in some 150 years.
struct CompetingBranchesDetector: Detector {
    var length: UInt32 = 2
    var criticalLength: UInt32 = 3
    /// Where difficulty is worth nothing, nothing about branches is critical.
    var mayBeCritical = true

    var reads: Picture.Aspects { [.headers, .chain] }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings {
        var findings = Findings()
        guard let best = picture.tree.best else { return findings }
        var longest: (fork: UInt32, headers: [HeaderWindow.Entry])?
        for contender in picture.tree.contenders where picture.tree.isJoined(contender) {
            let (fork, headers) = picture.tree.branch(to: contender)
            guard let fork, UInt32(headers.count) >= self.length, best.height - fork >= self.length else { continue }
            if headers.count > longest?.headers.count ?? 0 { longest = (fork, headers) }
        }
        guard let (fork, headers) = longest, let end = headers.last, let first = headers.first else { return findings }
        let shorter = min(UInt32(headers.count), best.height - fork)
        let followers = picture.watched.filter { subject in
            guard let shown = picture.states[subject]?.shown?.hash else { return false }
            return headers.contains { $0.point.hash == shown }
        }
        let explanation =
            "two branches of similar work grow since block \(fork): the best one has \((best.height - fork).counted("block")) "
            + "beyond it, the other \(headers.count.counted("block")), up to \(end.point.hash). "
            + (followers.isEmpty
                ? "No link that is watched follows the other"
                : "The other is followed by \(followers.map(\.description).listed)")
            + ". Wait for more confirmations than usual"
        var evidence = picture.evidence(accused: .chain, shown: end.point, at: end.provenAt)
        evidence.statements = [
            Evidence.Statement(
                who: end.provenBy, at: end.provenAt, what: "brought block \(end.point.height) of the other branch",
                point: end.point)
        ]
        findings.list = [
            Finding(
                kind: .competingBranches, subject: .chain,
                severity: shorter >= self.criticalLength && self.mayBeCritical ? .critical : .warning,
                explanation: explanation, was: "had a competing branch of \(headers.count.counted("block"))",
                since: first.provenAt, magnitude: Double(shorter),
                measures: [
                    Measure("blocks", Double(best.height - fork), "blocks"),
                    Measure("blocks-of-other-branch", Double(headers.count), "blocks"),
                ], evidence: evidence)
        ]
        return findings
    }
}

/// Finds that blocks with successors were replaced.
///
/// - Sees: a reorganisation of our best chain, or of the node's validated chain, that replaced at least ``depth`` blocks
///   and whose replaced tip had been news (moves during a synchronisation do not count).
/// - Cannot see: one that happened while we did not run.
/// - Parameters: ``depth``, two blocks: rare, and possible by chance. ``criticalDepth``, three, is critical by the same
///   reckoning as for competing branches, and because payments with two confirmations may have been undone. It is shown for ``shownFor``: it is an event, not a state.
struct ReorganisationDetector: Detector {
    var depth: UInt32 = 2
    var criticalDepth: UInt32 = 3
    var shownFor = Duration.seconds(6 * 3600)
    /// Where difficulty is worth nothing, nothing about branches is critical.
    var mayBeCritical = true

    var reads: Picture.Aspects { [.chain, .subjects] }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings {
        var findings = Findings()
        for subject in [Subject.chain, .node] {
            let recent = picture.tree.reorganisations.filter {
                $0.who == subject && $0.depth >= self.depth && now - $0.at < self.shownFor
                    && picture.tree[$0.left.hash]?.wasFresh == true
            }
            guard let deepest = recent.max(by: { ($0.depth, $0.at) < ($1.depth, $1.at) }) else { continue }
            findings.lookAgain(at: deepest.at + self.shownFor)
            let tip = subject == .chain ? picture.tree.best : picture.states[subject]?.shown
            let hasComeBack = tip.map { picture.tree.isOn(deepest.left.hash, chainTo: $0.hash) } ?? false
            let explanation =
                "\(subject) was reorganised: \(deepest.depth.counted("block")) after block \(deepest.forkHeight) were "
                + "replaced, block \(deepest.forkHeight + 1) and on. "
                + (hasComeBack
                    ? "They have come back since: its chain has block \(deepest.left.height), \(deepest.left.hash), again. "
                        + "Payments that were confirmed meanwhile, in the blocks that replaced them, may be undone"
                    : "Payments that were confirmed in them may be undone; the old end was block "
                        + "\(deepest.left.height), \(deepest.left.hash)")
            var evidence = Evidence(headers: picture.headers(from: max(deepest.forkHeight, picture.tree.lowest)))
            if picture.tree.isOnBest(deepest.entered.hash) {
                evidence.otherBranch = picture.tree.branch(to: deepest.left.hash).headers
                    .prefix(Evidence.maximumHeaders).compactMap(\.evidence)
            }
            evidence.statements = [
                Evidence.Statement(
                    who: subject, at: deepest.at, what: "left block \(deepest.left.height)", point: deepest.left),
                Evidence.Statement(
                    who: subject, at: deepest.at, what: "moved to block \(deepest.entered.height)",
                    point: deepest.entered),
            ]
            findings.list.append(
                Finding(
                    kind: .deepReorganisation, subject: subject,
                    severity: deepest.depth >= self.criticalDepth && self.mayBeCritical ? .critical : .warning,
                    explanation: explanation,
                    was: "had \(deepest.depth.counted("block")) replaced after block \(deepest.forkHeight)",
                    since: deepest.at, magnitude: Double(deepest.depth),
                    measures: [Measure("depth", Double(deepest.depth), "blocks")], evidence: evidence))
        }
        return findings
    }
}

/// Finds that the node calls a branch invalid that has more work than its own tip, though every header of it is valid.
///
/// - Sees: a node whose disk or memory has damaged its data, one that was told `invalidateblock`, one with other rules
///   than the miners (an old version, a fork), and miners who really mine an invalid block.
/// - Cannot see: which of these it is: only the whole blocks decide, and those the node has judged.
/// - Parameters: none. It is critical at once: either the node or most miners are wrong about what money is.
struct InvalidBranchDetector: Detector {
    var reads: Picture.Aspects { [.refusals, .subjects, .node] }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings {
        var findings = Findings()
        guard picture.isNodeWatched, let state = picture.states[.node], let tip = state.shown else { return findings }
        let heavier = picture.refusals.filter { $0.isHeaderValidForUs && $0.point.work > tip.work }
        guard let heaviest = heavier.max(by: { $0.point.work < $1.point.work }) else { return findings }
        let explanation =
            "the node calls a branch invalid that has more work than its own tip: it ends at block "
            + "\(heaviest.point.height), \(heaviest.point.hash), and all its headers are valid. If other nodes follow it, "
            + "this node's data is damaged or its rules are others: compare with `getchaintips`, update the node, or "
            + "`reconsiderblock`"
        var evidence = picture.evidence(accused: .node, shown: tip, at: state.shownAt)
        evidence.statements.append(
            Evidence.Statement(
                who: .node, at: heaviest.at,
                what: "called the branch to block \(heaviest.point.height) invalid", point: heaviest.point))
        findings.list = [
            Finding(
                kind: .invalidBranch, subject: .node, severity: .critical, explanation: explanation,
                was: "called a branch of \(heaviest.branchLength.counted("block")) invalid that had more work",
                since: heaviest.at, magnitude: Double(heaviest.branchLength),
                measures: [Measure("branch-length", Double(heaviest.branchLength), "blocks")], evidence: evidence)
        ]
        return findings
    }
}
