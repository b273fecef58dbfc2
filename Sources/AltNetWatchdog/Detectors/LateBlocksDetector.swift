// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Finds a link, or the node, that shows block after block much later than others: a delay attack.
///
/// The lateness of a block is the time from its first proof on any link to its being shown by this one. Only blocks
/// count that were news and that came while the subject was being watched.
///
/// - Sees: a lasting delay, however much it varies, also one that stays below the grace of ``BehindDetector``.
/// - Cannot see: a delay that all have in common, or one that hits few blocks. A link that is only asked every so often
///   is late by half of that on average; the margin must exceed it.
/// - Parameters: of the last ``ArrivalHistory/capacity`` blocks (24) at least ``late`` were late by more than ``margin``.
///   One minute is beyond any honest relay (half of all nodes have a block within seconds) and beyond the usual
///   intervals of asking. Twenty of 24: were a subject late with half of its blocks by bad luck alone, that is 1 in 1,300
///   (a sign test, which no single long delay can move). For the node a middle lateness of ``critical``, ten minutes,
///   is critical: it lives one block in the past.
struct LateBlocksDetector: Detector {
    var margin = Duration.seconds(60)
    var late = 20
    var critical = Duration.seconds(600)

    var reads: Picture.Aspects { [.subjects, .node] }

    func findings(in picture: Picture, at now: WallClockTime) -> Findings {
        var findings = Findings()
        for subject in picture.watched {
            guard let arrivals = picture.states[subject]?.arrivals, arrivals.lateness.count == ArrivalHistory.capacity,
                let median = arrivals.median
            else { continue }
            let count = arrivals.lateness.count { $0 > self.margin }
            guard count >= self.late else { continue }
            let total = arrivals.lateness.count
            findings.list.append(
                Finding(
                    kind: .lateBlocks, subject: subject,
                    severity: subject == .node && median >= self.critical ? .critical : .warning,
                    explanation: "\(subject) shows blocks late: of its last \(total) blocks, \(count) came more than "
                        + "\(self.margin.inWords) after the first one that had them, half of them by \(median.inWords) or "
                        + "more. If each were late by the toss of a coin, that would be "
                        + "\(Chance.ofHeads(count, of: total).asOdds): somebody delays them, or the line is too slow",
                    was: "showed blocks \(median.inWords) late", magnitude: median.inSeconds,
                    measures: [
                        Measure("median-lateness", median.inSeconds, "seconds"),
                        Measure("late-blocks", Double(count), "blocks"),
                        Measure("probability", Chance.ofHeads(count, of: total), "probability"),
                    ], evidence: Evidence(statements: picture.tipStatements().filter { $0.who == subject })))
        }
        return findings
    }
}
