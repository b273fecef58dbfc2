// SPDX-License-Identifier: MIT

internal import AltNetControl
internal import AltNetPunchReports

extension MetricsPage {
    /// How hole punching stands. Where nobody punches or passes offers on, nothing but the counters' zeros.
    mutating func add(_ punch: PunchOverviewReport) {
        if let nat = punch.nat { self.add(Metrics.nat, [Self.word(nat.mapping)], nat.confidence) }
        if let stats = punch.stats {
            let counts = stats.counts.map { count in
                ([count.role, count.outcome, count.path ?? "none", count.ownNAT, count.peerNAT], count.count)
            }
            self.addSums(Metrics.punches, counts)
            self.addSums(Metrics.punchEvents, stats.counters.map { ([$0.key], $0.value) })
            self.add(Metrics.punchLinks, ["responder", "open"], Double(stats.slotsTaken))
            self.add(Metrics.punchLinks, ["responder", "wanted"], Double(stats.slots))
        }
        self.add(Metrics.punchLinks, ["initiator", "open"], Double(punch.outbound))
        self.add(Metrics.punchLinks, ["initiator", "wanted"], Double(punch.outboundWanted))
        self.add(Metrics.punchOffers, ["others"], Double(punch.offersKnown))
        self.add(Metrics.punchOffers, ["own"], Double(punch.offersOwn))
        self.addSums(Metrics.punchOfferEvents, punch.offerCounters.map { ([$0.key], $0.value) })
    }

    /// Adds counts whose labels a driver wrote: what is no plain word is `other`, and what is the same then is added up.
    private mutating func addSums(_ metric: Metric, _ counts: [(labels: [String], count: UInt64)]) {
        var sums: [[String]: Double] = [:]
        for (labels, count) in counts { sums[labels.map(Self.word), default: 0] += Double(count) }
        for (labels, sum) in sums.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            self.add(metric, labels, sum)
        }
    }

    /// The longest label that a driver may write, in bytes: twice the longest word of ours.
    private static let maximumWord = 48

    private static func word(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        return isPlain && (1...Self.maximumWord).contains(text.utf8.count) ? text : "other"
    }
}
