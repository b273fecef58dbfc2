// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

extension Picture {
    /// The headers that prove that there is more than somebody has shown: from the last one that both chains have to
    /// the end of the best chain, and the other branch. Where that is not known they begin before the first header that
    /// has more work than what was shown.
    func evidence(accused: Subject, shown: ChainPoint?, at shownAt: WallClockTime) -> Evidence {
        guard let best = self.tree.best else { return Evidence() }
        var evidence = Evidence()
        let better = shown.flatMap { self.tree.first(withMoreWorkThan: $0.work)?.point.height } ?? best.height
        let fork = shown.flatMap(self.tree.forkHeight) ?? (better - min(better, 1))
        evidence.headers = self.headers(from: max(fork, self.tree.lowest))
        if let shown {
            if let place = self.tree[shown.hash], !self.tree.isOnBest(place.point.hash) {
                evidence.otherBranch = self.tree.branch(to: shown.hash).headers.prefix(Evidence.maximumHeaders)
                    .compactMap(\.evidence)
            }
            evidence.statements.append(
                Evidence.Statement(
                    who: accused, at: shownAt, what: "showed block \(shown.height) as the end of its chain",
                    point: shown))
        }
        return evidence
    }

    /// Where everybody who is watched stands.
    func tipStatements() -> [Evidence.Statement] {
        self.watched.prefix(Evidence.maximumStatements).compactMap { subject in
            guard let state = self.states[subject], let shown = state.shown else { return nil }
            return Evidence.Statement(
                who: subject, at: state.shownAt, what: "showed block \(shown.height) as the end of its chain",
                point: shown)
        }
    }

    /// The best chain from a height on, at most as many headers as evidence holds.
    func headers(from height: UInt32) -> [Evidence.Header] {
        guard let best = self.tree.best, height <= best.height else { return [] }
        let last = min(best.height, height.addingSaturating(UInt32(Evidence.maximumHeaders - 1)))
        return (height...last).compactMap { self.tree.best(at: $0)?.evidence }
    }
}

extension HeaderWindow.Entry {
    /// `nil` when only the point is known.
    var evidence: Evidence.Header? {
        self.header.map {
            Evidence.Header(
                height: self.point.height, header: $0, provenBy: self.provenBy, provenAt: self.provenAt)
        }
    }
}

extension UInt32 {
    func addingSaturating(_ other: UInt32) -> UInt32 {
        let (sum, overflow) = self.addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
