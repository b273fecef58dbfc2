// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

/// Finds links, and the node, that stand behind the best valid chain.
///
/// - Sees: who withholds blocks, is stuck, is eclipsed, or follows a branch with less work. Every block that is missing
///   is proven, because its header passed all rules with its proof of work.
/// - Cannot see: withholding by everybody at once (``SilenceDetector`` and ``SlowBlocksDetector`` look at that), and a
///   link that shows headers but keeps the blocks to itself (``WithheldBlockDetector``). A tip with as much work as
///   ours on another branch is not behind.
/// - Accuses only links that the operator asked for, and the node only while it can be seen and has finished its
///   initial download.
/// - Parameters: ``grace``, how long a header may have been proven before others must have it. On the real network nodes
///   hear of a block within seconds of each other; half a minute also covers a link that is only asked every so often.
///   The time runs from the moment when a header with more work than the subject's tip was proven, the link opened, or
///   the node came back, whichever is last.
///   For the node it becomes critical at ``criticalBlocks`` or after ``criticalAge``. Three blocks: a Lightning node's
///   shortest delays are of some dozen blocks, while a node that is merely slow to validate misses one, rarely two.
///   Twenty minutes: twice what Bitcoin Core gives a peer for a block before it asks another, and half a per cent of
///   all pairs of blocks come no further apart, so one missing block is not left to itself for long.
struct BehindDetector: Detector {
    var grace: Duration
    var criticalBlocks: UInt32 = 3
    var criticalAge = Duration.seconds(1200)

    var reads: Picture.Aspects { [.chain, .subjects, .node] }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings {
        var findings = Findings()
        for subject in picture.watched {
            guard let state = picture.states[subject], let shown = state.shown,
                let (behind, since) = self.missing(shown, in: picture)
            else { continue }
            let start = max(since, state.watchedSince)
            let due = start + self.grace
            guard due <= now else {
                findings.lookAgain(at: due)
                continue
            }
            var severity = Incident.Severity.warning
            if subject == .node {
                let critical = start + self.criticalAge
                if behind.blocks >= self.criticalBlocks || critical <= now {
                    severity = .critical
                } else {
                    findings.lookAgain(at: critical)
                }
            }
            findings.list.append(self.finding(subject, behind, severity, since: since, state, in: picture))
        }
        return findings
    }

    /// What somebody who stands at a point misses, and since when a header with more work has been proven.
    private func missing(_ shown: ChainPoint, in picture: Picture) -> (Behind, WallClockTime)? {
        let tree = picture.tree
        guard let best = tree.best, shown.work < best.work, let better = tree.first(withMoreWorkThan: shown.work) else {
            return nil
        }
        let fork = tree.forkHeight(of: shown)
        let height = max(fork.map { $0 + 1 } ?? better.point.height, tree.lowest)
        guard height <= best.height, let first = tree.best(at: height) else { return nil }
        var share: Double?
        if let fork, let root = tree.best(at: fork)?.point.work {
            share = shown.work.subtractingSaturating(root).share(of: best.work.subtractingSaturating(root))
        }
        let blocks = best.height - (fork ?? (height - 1))
        return (
            Behind(
                blocks: blocks, firstMissing: first.point, provenBy: first.provenBy, provenAt: first.provenAt,
                best: best, shown: shown, workShare: share), better.provenAt
        )
    }

    private func finding(
        _ subject: Subject, _ behind: Behind, _ severity: Incident.Severity, since: WallClockTime,
        _ state: Picture.State, in picture: Picture
    ) -> Finding {
        let blocks = behind.blocks.counted("block")
        let verb = subject == .node ? "accepted" : "shown"
        var explanation =
            "\(subject) is \(blocks) behind: it has not \(verb) block \(behind.firstMissing.height), whose proof of work "
            + "\(behind.provenBy) brought"
        var measures = [Measure("missing-blocks", Double(behind.blocks), "blocks")]
        if let share = behind.workShare {
            measures.append(Measure("work-share", share, "share"))
            if share > 0, let shown = behind.shown {
                explanation +=
                    ". It follows another branch, which ends at block \(shown.height) and has \(share.asPercent) of the "
                    + "work since the fork"
            }
        }
        return Finding(
            kind: subject == .node ? .nodeBehind : .linkBehind, subject: subject, severity: severity,
            explanation: explanation, was: "was \(blocks) behind", since: since, magnitude: Double(behind.blocks),
            behind: behind, measures: measures,
            evidence: picture.evidence(accused: subject, shown: behind.shown, at: state.shownAt), ending: .caughtUp)
    }
}
