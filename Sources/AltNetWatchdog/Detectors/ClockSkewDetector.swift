// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Finds clocks that disagree. Nodes refuse blocks from more than two hours ahead of their clock, so a wrong clock can
/// split a node from the chain, and every other finding rests on our clock.
///
/// - Sees: our own clock being wrong (the middle of the links' clocks is off), the node's (the middle of its outbound
///   peers' is), and a single link whose clock is off.
/// - Cannot see: clocks of remotes that do not tell theirs. Single peers of the node are not reported: nobody but that
///   peer is harmed.
/// - Parameters: ``tolerance``, ten minutes, at which Bitcoin Core warns too (`TimeOffsets`, 28.0 and later); middles are
///   taken of at least ``links`` links, or ``peers`` outbound peers as in Core. Our own or the node's clock off by
///   ``critical``, an hour, is critical: half of the way to refusing valid blocks.
struct ClockSkewDetector: Detector {
    var tolerance = Duration.seconds(600)
    var critical = Duration.seconds(3600)
    var links = 3
    var peers = 5

    var reads: Picture.Aspects { [.clocks, .peers, .subjects, .node] }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings {
        var findings = Findings()
        var offsets: [(subject: Subject, offset: Duration)] = []
        for (subject, _) in picture.targets {
            if let offset = picture.states[subject]?.clockOffset { offsets.append((subject, Self.told(offset))) }
        }
        let middle = self.middle(of: offsets.map(\.offset), atLeast: self.links)
        if let middle, abs(middle) >= self.tolerance {
            findings.list.append(
                self.finding(
                    .chain, middle,
                    "the clock of this machine is \(Self.words(-middle)) those of "
                        + "\(offsets.count.counted("link")): set it, for every judgement about time rests on it"))
        }
        // Links are judged by our clock only as far as that is right.
        let ours = middle ?? .zero
        for (subject, offset) in offsets where abs(offset - ours) >= self.tolerance {
            findings.list.append(
                self.finding(
                    subject, offset - ours,
                    "the clock of \(subject) is \(Self.words(offset - ours)) \(middle == nil ? "ours" : "those of others"): "
                        + "its node may refuse valid blocks", isOwn: false))
        }
        if picture.isNodeWatched {
            let outbound = picture.peers.filter { !$0.isInbound }.map { Self.told($0.clockOffset) }
            if let middle = self.middle(of: outbound, atLeast: self.peers), abs(middle) >= self.tolerance {
                findings.list.append(
                    self.finding(
                        .node, middle,
                        "the clock of the node's machine is \(Self.words(-middle)) those of its "
                            + "\(outbound.count.counted("outbound peer")): set it, or the node will refuse valid blocks"
                    ))
            }
        }
        return findings
    }

    private func finding(
        _ subject: Subject, _ offset: Duration, _ explanation: String, isOwn: Bool = true
    ) -> Finding {
        Finding(
            kind: .clockSkew, subject: subject, severity: isOwn && abs(offset) >= self.critical ? .critical : .warning,
            explanation: explanation, was: "had a clock that was off by \(abs(offset).inWords)",
            magnitude: abs(offset).inSeconds, measures: [Measure("offset", offset.inSeconds, "seconds")])
    }

    /// An offset as it is told: in whole minutes, so that clocks that tick apart make no news.
    private static func told(_ offset: Duration) -> Duration {
        .seconds((offset.inSeconds / 60).rounded(.towardZero) * 60)
    }

    /// The middle of some offsets; of an even number the one nearer to zero, which accuses less.
    private func middle(of offsets: [Duration], atLeast count: Int) -> Duration? {
        guard offsets.count >= count else { return nil }
        let sorted = offsets.sorted()
        let upper = sorted[sorted.count / 2]
        guard sorted.count.isMultiple(of: 2) else { return upper }
        let lower = sorted[sorted.count / 2 - 1]
        return abs(lower) < abs(upper) ? lower : upper
    }

    private func abs(_ duration: Duration) -> Duration { duration < .zero ? .zero - duration : duration }

    /// "12 minutes ahead of".
    private static func words(_ offset: Duration) -> String {
        offset < .zero ? "\((.zero - offset).inWords) behind" : "\(offset.inWords) ahead of"
    }
}

extension Duration {
    fileprivate static prefix func - (duration: Duration) -> Duration { .zero - duration }
}
