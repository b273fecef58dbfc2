// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Finds that no block has come for longer than honest mining explains.
///
/// - Sees: that everybody who talks to us is silent: an eclipse that feeds nothing, a cut line, all links stuck at once.
/// - Cannot see: who is silent (if one of them shows more, ``BehindDetector`` accuses the others with proof), and a fall
///   of the network's hash rate, which looks the same. The node's tip needs no silence of its own: what the node has
///   is part of our chain, and if our chain has more, the node is behind with proof.
/// - Counts from the last block that was news, or from when somebody was first there who could have told us, or from the
///   end of a pause of ours, whichever is last. Mining has no memory: how long the silence had been going on before we
///   listened says nothing about how long it should last. While old headers come in, in the first hours
///   (``maximumSync``), each counts as a sign of life.
/// - Parameters: thresholds on the probability that honest mining leaves such a gap after one block, at ``rate`` of the
///   meant rate: a quarter of all mining power may be gone (the largest fall ever, in July 2021, was 28 %).
///   Warning at ``warning``: 92 minutes with a block every ten; at the full rate some five warnings a year.
///   Critical at ``critical``: 184 minutes; at the full rate once in some 1,900 years, with a quarter of the power gone
///   once in 19 years.
struct SilenceDetector: Detector {
    var interval: Duration
    var rate = 0.75
    var warning = 1e-3
    var critical = 1e-6
    var maximumSync = Duration.seconds(6 * 3600)

    /// While it lasts, the explanation is renewed this often.
    static let step = Duration.seconds(600)

    var reads: Picture.Aspects { [.chain] }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings {
        var findings = Findings()
        guard let listening = picture.listeningSince else { return findings }
        var since = max(picture.tree.pace.last ?? listening, listening)
        if picture.tree.pace.last == nil, picture.tree.bestAt - listening < self.maximumSync {
            since = max(since, picture.tree.bestAt)
        }
        let warnAfter = Chance.silence(of: self.warning, interval: self.interval, rate: self.rate)
        let criticalAfter = Chance.silence(of: self.critical, interval: self.interval, rate: self.rate)
        let silence = now - since
        guard silence >= warnAfter else {
            findings.lookAgain(at: since + warnAfter)
            return findings
        }
        // Told in steps, so that the same silence is always told in the same words.
        let steps = Int64((silence - warnAfter).divided(by: Self.step))
        var told = warnAfter + Self.step * Int(steps)
        findings.lookAgain(at: since + told + Self.step)
        if silence >= criticalAfter {
            told = max(told, criticalAfter)
        } else {
            findings.lookAgain(at: since + criticalAfter)
        }
        findings.list = [self.finding(told, since: since, isCritical: silence >= criticalAfter, in: picture)]
        return findings
    }

    private func finding(
        _ silence: Duration, since: WallClockTime, isCritical: Bool, in picture: Picture
    ) -> Finding {
        let full = Chance.ofSilence(silence, interval: self.interval, rate: 1)
        let reduced = Chance.ofSilence(silence, interval: self.interval, rate: self.rate)
        let best = picture.tree.best
        let links = picture.targets.count
        let who =
            links == 0
            ? "the node" : "any of \(links.counted("link"))\(picture.isNodeWatched ? ", nor to the node" : "")"
        let explanation =
            "no new block has come to \(who) for \(silence.inWords)\(best.map { ", since block \($0.height)" } ?? ""). "
            + "Honest mining leaves such a gap after a block with a probability of \(full.asOdds), "
            + "\(Chance.years(between: full, interval: self.interval).asFrequency); with a quarter of the mining power "
            + "gone \(Chance.years(between: reduced, interval: self.interval).asFrequency)"
        return Finding(
            kind: .staleTip, subject: .chain, severity: isCritical ? .critical : .warning, explanation: explanation,
            was: "had no new block for \(silence.inWords)", since: since, magnitude: silence.inSeconds,
            measures: [
                Measure("silence", silence.inSeconds, "seconds"), Measure("probability", full, "probability"),
                Measure("probability-at-reduced-rate", reduced, "probability"),
            ],
            evidence: Evidence(
                headers: best.map { picture.headers(from: $0.height) } ?? [], statements: picture.tipStatements()))
    }
}
