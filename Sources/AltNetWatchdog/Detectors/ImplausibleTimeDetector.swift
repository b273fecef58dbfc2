// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

/// Finds block times and targets that are valid and still have the shape of an attack.
///
/// - Sees, on the best chain:
///   1. a tip whose time is far ahead of our clock;
///   2. times that lag: blocks come in at their usual pace while the middle time of the last eleven stays hours behind,
///      as miners do who prepare a time-warp;
///   3. the time-warp itself: the first block of a difficulty period lies long before the last one of the period before;
///   4. a target that became easier although the blocks of the period reached us fast: its times claim much more time
///      than has passed here.
/// - Cannot see: 4 in a period of which we have not seen all blocks as news, and anything in periods before that.
/// - Parameters: ``ahead``, 90 minutes of the 120 that consensus allows: honest clocks are off by minutes. ``lag``, four
///   hours: the middle of eleven honest times lies an hour back. ``warp``, two hours, the most that BIP 54 lets a period's
///   first block lie before its predecessor. ``stretch``: the times of a period claim 1.25 times what it took here, and
///   from ``criticalStretch`` (1.5) on it is critical: two weeks measured twice differ by an hour or two, 1.006.
///   Shapes 1 to 3 are warnings: alone they harm nobody yet.
struct ImplausibleTimeDetector: Detector {
    var interval: Duration
    var ahead = Duration.seconds(5400)
    var lag = Duration.seconds(14_400)
    var warp: Int64 = 7200
    var stretch = 1.25
    var criticalStretch = 1.5

    /// A boundary's shape is shown for this many blocks after it.
    static let shownFor: UInt32 = 144

    private struct Shape {
        var severity = Incident.Severity.warning
        var explanation: String
        var measure: Measure
        var since: WallClockTime
        var from: UInt32
    }

    var reads: Picture.Aspects { [.chain] }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings {
        var findings = Findings()
        guard let best = picture.tree.best, let tip = picture.tree.best(at: best.height) else { return findings }
        let shapes = [
            self.boundary(picture, best.height), self.easier(picture, best.height), self.ahead(tip),
            self.lagging(picture, tip),
        ].compactMap(\.self)
        guard let worst = shapes.max(by: { $0.severity < $1.severity }) else { return findings }
        findings.list = [
            Finding(
                kind: .implausibleTime, subject: .chain, severity: worst.severity,
                explanation: shapes.map(\.explanation).joined(separator: "; "),
                was: "had implausible block times", since: worst.since, magnitude: Double(shapes.count),
                measures: shapes.map(\.measure),
                evidence: Evidence(headers: picture.headers(from: max(worst.from, picture.tree.lowest))))
        ]
        return findings
    }

    private func ahead(_ tip: HeaderWindow.Entry) -> Shape? {
        guard let header = tip.header else { return nil }
        let ahead = WallClockTime(seconds: Int64(header.time)) - tip.provenAt
        guard ahead >= self.ahead else { return nil }
        return Shape(
            explanation:
                "block \(tip.point.height) carries a time \(ahead.inWords) ahead of our clock: its miner's clock "
                + "is wrong, or ours",
            measure: Measure("ahead", ahead.inSeconds, "seconds"), since: tip.provenAt, from: tip.point.height)
    }

    private func lagging(_ picture: Picture, _ tip: HeaderWindow.Entry) -> Shape? {
        let height = tip.point.height
        guard height >= 10 else { return nil }
        let last = ((height - 10)...height).compactMap { picture.tree.best(at: $0) }
        let times = last.compactMap { $0.header?.time }.sorted()
        guard times.count == 11, let first = last.first else { return nil }
        // Blocks that came at once were fetched, not mined meanwhile.
        guard tip.provenAt - first.provenAt >= .seconds(1800) else { return nil }
        let lag = tip.provenAt - WallClockTime(seconds: Int64(times[5]))
        guard lag >= self.lag else { return nil }
        return Shape(
            explanation: "the blocks up to \(height) come in now, but the middle time of the last eleven lies "
                + "\(lag.inWords) back: miners hold the times back, or we are fed old blocks",
            measure: Measure("lag", lag.inSeconds, "seconds"), since: tip.provenAt, from: height - 10)
    }

    private func boundary(_ picture: Picture, _ height: UInt32) -> Shape? {
        let start = height - height % Network.retargetInterval
        guard start > 0, height - start < Self.shownFor, let first = picture.tree.best(at: start),
            let before = picture.tree.best(at: start - 1), let time = first.header?.time,
            let earlier = before.header?.time
        else { return nil }
        let step = Int64(earlier) - Int64(time)
        guard step > self.warp else { return nil }
        return Shape(
            explanation: "block \(start), the first of its difficulty period, lies \(Duration.seconds(step).inWords) "
                + "before block \(start - 1): the shape of a time-warp attack",
            measure: Measure("step-back", Double(step), "seconds"), since: first.provenAt, from: start - 1)
    }

    private func easier(_ picture: Picture, _ height: UInt32) -> Shape? {
        let start = height - height % Network.retargetInterval
        guard start >= Network.retargetInterval, height - start < Self.shownFor,
            let first = picture.tree.best(at: start - Network.retargetInterval),
            let last = picture.tree.best(at: start - 1), let next = picture.tree.best(at: start)?.header,
            let early = first.header, let late = last.header, first.wasFresh, last.wasFresh
        else { return nil }
        guard let old = late.bits.target, let new = next.bits.target, new > old else { return nil }
        let claimed = Duration.seconds(Int64(late.time) - Int64(early.time))
        let taken = last.provenAt - first.provenAt
        guard taken > .zero, claimed.divided(by: taken) >= self.stretch else { return nil }
        let ratio = claimed.divided(by: taken)
        return Shape(
            severity: ratio >= self.criticalStretch ? .critical : .warning,
            explanation:
                "the target became easier at block \(start), because the times of its \(Network.retargetInterval) "
                + "blocks claim \(claimed.inWords), but they came in within \(taken.inWords)",
            measure: Measure("stretch", ratio, "ratio"), since: last.provenAt, from: start - 1)
    }
}
