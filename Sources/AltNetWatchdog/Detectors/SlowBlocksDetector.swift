// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Finds that blocks come too slowly for too long, though each gap alone may be chance.
///
/// A sequential test (Page's CUSUM) of two hypotheses: blocks come at ``honest`` of the meant rate, or at ``attacker``.
/// Each gap between blocks, and the silence since the last one, adds the logarithm of how much better the second
/// explains it; the sum never falls below zero. So neither a moment of attack nor a window has to be guessed.
///
/// - Sees: an eclipse that passes on every third block or fewer, a minority branch that is all we are shown, also when
///   each single block comes before ``SilenceDetector`` says anything.
/// - Cannot see: an attacker with more than half of the hash rate, who is as fast as the rest; and it cannot tell a
///   lasting fall of the network's hash rate to a half from an attack. A feed at two thirds of the rate is hardly seen.
/// - Counts from when somebody was first there who could have told us, and anew after a pause of ours.
/// - Parameters: ``attacker`` is a third of the rate: an attacker with a third of the mining power, the most that is
///   commonly feared, feeds its own branch this fast. ``honest`` is nine tenths, what a bad difficulty period brings.
///   At that rate the sum reaches a threshold h once in at least e^h blocks (Lorden). Critical at 16: once in at least
///   169 years; at the full rate once in some 11,000 years; should a quarter of the mining power be gone for good, once
///   in eleven weeks until the difficulty follows. Warning at 9: once in at least eight weeks, at the full rate once in
///   a year and a half. A feed at a third of the rate adds 0.71 a block: the warning comes after some 13 blocks, the
///   critical alarm after some 23.
struct SlowBlocksDetector: Detector {
    var interval: Duration
    var honest = 0.9
    var attacker = 1 / 3.0
    var warning = 9.0
    var critical = 16.0

    /// While it lasts, the explanation is renewed this often.
    static let step = Duration.seconds(3600)

    var reads: Picture.Aspects { [.chain] }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings {
        var findings = Findings()
        guard let listening = picture.listeningSince else { return findings }
        // What came before we listened, or before a pause of ours, says nothing about the time between.
        let pace = picture.tree.pace
        let start = max(listening, pace.forgotten ?? listening)
        let arrivals = [start] + pace.arrivals.filter { $0 > start }
        let last = arrivals.last ?? start
        let (sum, first) = self.sum(of: arrivals)
        let score = sum + self.gain(of: now - last)
        let due = last + self.time(toGain: self.warning - sum)
        guard due <= now else {
            findings.lookAgain(at: due)
            return findings
        }
        let critical = last + self.time(toGain: self.critical - sum)
        // Told in steps from the moment when it was due, so that the same pace is always told in the same words.
        let steps = Int64((now - due).divided(by: Self.step))
        var told = due + Self.step * Int(steps)
        findings.lookAgain(at: told + Self.step)
        if critical <= now {
            told = max(told, critical)
        } else {
            findings.lookAgain(at: critical)
        }
        let blocks = arrivals.count - 1 - first
        let since = arrivals[first]
        let span = max(told, last) - since
        let expected = span.divided(by: self.interval)
        let explanation =
            "blocks come too slowly: \(blocks) in \(span.inWords), where \(Int(expected.rounded())) are expected. An "
            + "attacker who feeds us a third of the blocks explains it better than honest mining; by chance it would "
            + "look like this \(self.frequency(score: min(score, 700)).asFrequency) at most"
        findings.list = [
            Finding(
                kind: .slowBlocks, subject: .chain, severity: critical <= now ? .critical : .warning,
                explanation: explanation, was: "had \(blocks) blocks in \(span.inWords)", since: since,
                magnitude: span.inSeconds,
                measures: [
                    Measure("blocks", Double(blocks), "blocks"), Measure("span", span.inSeconds, "seconds"),
                    Measure("log-likelihood-ratio", max(sum, critical <= now ? self.critical : self.warning), "nats"),
                ],
                evidence: Evidence(
                    headers: self.headers(blocks, in: picture), statements: picture.tipStatements()))
        ]
        return findings
    }

    /// The sum after the last block, and the block from which it counts.
    private func sum(of arrivals: [WallClockTime]) -> (Double, Int) {
        var sum = 0.0
        var first = 0
        let loss = Chance.logarithm(self.attacker / self.honest)
        for index in arrivals.indices.dropFirst() {
            sum += self.gain(of: arrivals[index] - arrivals[index - 1]) + loss
            if sum <= 0 {
                sum = 0
                first = index
            }
        }
        return (sum, first)
    }

    /// What a time without a block adds.
    private func gain(of silence: Duration) -> Double {
        (self.honest - self.attacker) * max(.zero, silence).divided(by: self.interval)
    }

    private func time(toGain amount: Double) -> Duration {
        let seconds = max(0, amount) / (self.honest - self.attacker) * self.interval.inSeconds
        return .milliseconds(Int64((seconds * 1000).rounded(.up)))
    }

    /// In years, how rarely the sum comes this far by chance, at the least.
    private func frequency(score: Double) -> Double {
        let threshold = score >= self.critical ? self.critical : self.warning
        return Chance.years(between: Chance.inverse(ofExponential: threshold), interval: self.interval)
    }

    private func headers(_ blocks: Int, in picture: Picture) -> [Evidence.Header] {
        guard let best = picture.tree.best else { return [] }
        let count = UInt32(min(blocks, Evidence.maximumHeaders - 1))
        return picture.headers(from: max(best.height - min(best.height, count), picture.tree.lowest))
    }
}
