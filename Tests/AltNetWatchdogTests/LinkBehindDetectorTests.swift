// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetWatchdog
import Testing

@Suite("LinkBehindDetector")
struct LinkBehindDetectorTests {
    private typealias Missing = LinkBehindDetector.Missing
    private let start = WallClockTime(seconds: 1_800_000_000)

    private func detector(grace: Duration = .seconds(60), nextID: Int64 = 1) -> LinkBehindDetector {
        LinkBehindDetector(configuration: LinkBehindDetector.Configuration(grace: grace), nextID: nextID)
    }

    private func at(_ seconds: Int64) -> WallClockTime { self.start + .seconds(seconds) }

    private func hash(_ height: UInt32) -> BlockHash { BlockHash(number: UInt256(UInt64(height))) }

    /// Blocks that are missing from a height on, the first of them proven some seconds after the start.
    private func missing(_ blocks: UInt32, from height: UInt32, since: Int64, by link: String = "b") -> Missing {
        Missing(
            blocks: blocks, firstHeight: height, firstHash: self.hash(height), since: self.at(since), provenBy: link)
    }

    private func incident(
        _ id: Int64 = 1, _ subject: String = "a", blocks: UInt32, from height: UInt32, since: Int64,
        by link: String = "b",
        opened: Int64, updated: Int64? = nil, closed: Int64? = nil, _ ending: Incident.Ending? = nil
    ) -> Incident {
        Incident(
            id: id, kind: .linkBehind, subject: subject, missingBlocks: blocks, firstMissingHeight: height,
            firstMissingHash: self.hash(height), since: self.at(since), provenBy: link, opened: self.at(opened),
            updated: self.at(updated ?? closed ?? opened), closed: closed.map(self.at), ending: ending)
    }

    @Test("reports a link when the grace has passed, not before, and says what is proven by whom since when")
    func grace() {
        var detector = self.detector()
        let missing = self.missing(1, from: 101, since: 5)
        #expect(detector.onObservation(of: "a", missing: missing, now: self.at(5)) == [.setTimer(self.at(65))])
        #expect(detector.onTimer(now: self.start + .milliseconds(64_999)) == [.setTimer(self.at(65))])
        #expect(detector.open.isEmpty)
        let incident = self.incident(blocks: 1, from: 101, since: 5, opened: 65)
        #expect(detector.onTimer(now: self.at(65)) == [.open(incident)])
        #expect(detector.open == [incident])
    }

    @Test("counts the grace from the proof, even when the link comes later")
    func late() {
        var detector = self.detector()
        let directives = detector.onObservation(
            of: "a", missing: self.missing(7, from: 101, since: 5), now: self.at(300))
        #expect(directives == [.open(self.incident(blocks: 7, from: 101, since: 5, opened: 300))])
    }

    @Test("says nothing of a link that has everything, or catches up within the grace")
    func caughtUpInTime() {
        var detector = self.detector()
        #expect(detector.onObservation(of: "a", missing: nil, now: self.at(0)).isEmpty)
        _ = detector.onObservation(of: "a", missing: self.missing(1, from: 101, since: 5), now: self.at(5))
        #expect(detector.onObservation(of: "a", missing: nil, now: self.at(64)).isEmpty)
        #expect(detector.onTimer(now: self.at(65)).isEmpty)
        #expect(detector.onTimer(now: self.at(10_000)).isEmpty)
        // The next block begins anew.
        #expect(
            detector.onObservation(of: "a", missing: self.missing(1, from: 102, since: 700), now: self.at(700))
                == [.setTimer(self.at(760))])
    }

    @Test("updates an incident when it changes, and does not repeat it when it does not")
    func updates() {
        var detector = self.detector()
        _ = detector.onObservation(of: "a", missing: self.missing(1, from: 101, since: 0), now: self.at(60))
        let same = self.missing(1, from: 101, since: 0)
        #expect(detector.onObservation(of: "a", missing: same, now: self.at(70)).isEmpty)
        #expect(detector.onTimer(now: self.at(71)).isEmpty)
        #expect(
            detector.onObservation(of: "a", missing: self.missing(3, from: 101, since: 0), now: self.at(80))
                == [.update(self.incident(blocks: 3, from: 101, since: 0, opened: 60, updated: 80))])
        // It has caught up with some: what is missing now begins later, and was proven by another link.
        #expect(
            detector.onObservation(of: "a", missing: self.missing(1, from: 103, since: 75, by: "c"), now: self.at(90))
                == [.update(self.incident(blocks: 1, from: 103, since: 75, by: "c", opened: 60, updated: 90))])
        // A reorganisation: as many blocks, another first one.
        var other = self.missing(1, from: 103, since: 85)
        other.firstHash = self.hash(9)
        var expected = self.incident(blocks: 1, from: 103, since: 85, opened: 60, updated: 95)
        expected.firstMissingHash = self.hash(9)
        #expect(detector.onObservation(of: "a", missing: other, now: self.at(95)) == [.update(expected)])
        #expect(detector.open == [expected])
    }

    @Test("closes an incident when the link has caught up, with the most blocks that were missing")
    func caughtUp() {
        var detector = self.detector()
        _ = detector.onObservation(of: "a", missing: self.missing(2, from: 101, since: 0), now: self.at(60))
        _ = detector.onObservation(of: "a", missing: self.missing(5, from: 101, since: 0), now: self.at(70))
        _ = detector.onObservation(of: "a", missing: self.missing(1, from: 105, since: 65), now: self.at(80))
        let closed = self.incident(blocks: 5, from: 105, since: 65, opened: 60, closed: 90, .caughtUp)
        #expect(detector.onObservation(of: "a", missing: nil, now: self.at(90)) == [.close(closed)])
        #expect(detector.open.isEmpty)
        #expect(detector.onTimer(now: self.at(1000)).isEmpty)
        // Behind again: another incident with another number.
        #expect(
            detector.onObservation(of: "a", missing: self.missing(1, from: 106, since: 1000), now: self.at(1060))
                == [.open(self.incident(2, blocks: 1, from: 106, since: 1000, opened: 1060))])
    }

    @Test("closes an incident when the link is gone, and forgets the link")
    func linkClosed() {
        var detector = self.detector(nextID: 40)
        _ = detector.onObservation(of: "a", missing: self.missing(2, from: 101, since: 0), now: self.at(60))
        let closed = self.incident(40, blocks: 2, from: 101, since: 0, opened: 60, closed: 75, .linkClosed)
        #expect(detector.onClosed("a", now: self.at(75)) == [.close(closed)])
        #expect(detector.onClosed("a", now: self.at(76)).isEmpty)
        #expect(detector.onClosed("never seen", now: self.at(76)).isEmpty)
        _ = detector.onObservation(of: "b", missing: self.missing(2, from: 101, since: 80), now: self.at(80))
        #expect(detector.onClosed("b", now: self.at(81)).isEmpty)
        #expect(detector.onTimer(now: self.at(10_000)).isEmpty)
    }

    @Test("closes everything when the daemon stops, in the order of opening")
    func stop() {
        var detector = self.detector()
        for subject in ["z", "a", "m"] {
            _ = detector.onObservation(of: subject, missing: self.missing(2, from: 101, since: 0), now: self.at(60))
        }
        _ = detector.onObservation(of: "q", missing: self.missing(2, from: 101, since: 60), now: self.at(60))
        let closed = zip([1, 2, 3] as [Int64], ["z", "a", "m"]).map { id, subject in
            LinkBehindDetector.Directive.close(
                self.incident(id, subject, blocks: 2, from: 101, since: 0, opened: 60, closed: 99, .stopped))
        }
        #expect(detector.onStop(now: self.at(99)) == closed)
        #expect(detector.open.isEmpty)
        #expect(detector.onStop(now: self.at(100)).isEmpty)
    }

    @Test("asks for the earliest of all moments")
    func earliestTimer() {
        var detector = self.detector()
        #expect(
            detector.onObservation(of: "a", missing: self.missing(1, from: 101, since: 50), now: self.at(50))
                == [.setTimer(self.at(110))])
        #expect(
            detector.onObservation(of: "b", missing: self.missing(2, from: 100, since: 40), now: self.at(51))
                == [.setTimer(self.at(100))])
        #expect(
            detector.onTimer(now: self.at(100))
                == [
                    .open(self.incident(1, "b", blocks: 2, from: 100, since: 40, opened: 100)), .setTimer(self.at(110)),
                ])
    }

    /// The same observations to the detector and to a model that keeps for each link only what is missing since when.
    @Test(
        "opens, and closes, once for every time a link is behind for longer than the grace",
        arguments: 1...20 as ClosedRange<UInt64>)
    func manyLinks(seed: UInt64) throws {
        var generator = SeededRandom(seed: seed)
        var detector = self.detector(grace: .seconds(30))
        var state: [String: Missing] = [:]
        var open: [String: Incident] = [:]
        var timer: WallClockTime?
        var now = self.start
        var ids: [Int64] = []

        func take(_ directives: [LinkBehindDetector.Directive]) throws {
            timer = nil
            for directive in directives {
                switch directive {
                case .open(let incident):
                    #expect(open[incident.subject] == nil, "seed \(seed)")
                    open[incident.subject] = incident
                    let missing = try #require(state[incident.subject])
                    #expect(missing.since + .seconds(30) <= now, "seed \(seed)")
                    ids.append(incident.id)
                case .update(let incident):
                    let before = try #require(open[incident.subject])
                    open[incident.subject] = incident
                    #expect(before.id == incident.id && before != incident, "seed \(seed)")
                case .close(let incident):
                    let before = try #require(open[incident.subject])
                    open[incident.subject] = nil
                    #expect(before.id == incident.id && incident.closed == now, "seed \(seed)")
                    #expect(incident.missingBlocks >= before.missingBlocks, "seed \(seed)")
                case .setTimer(let moment):
                    try #require(moment > now, "seed \(seed)")
                    timer = moment
                }
            }
        }

        for _ in 0..<500 {
            var next = now + .seconds(Int64.random(in: 0...20, using: &generator))
            while let due = timer, due <= next {
                now = due
                try take(detector.onTimer(now: now))
            }
            next = max(next, now)
            now = next
            let subject = "link \(Int.random(in: 0..<8, using: &generator))"
            switch Int.random(in: 0..<10, using: &generator) {
            case 0:
                state[subject] = nil
                try take(detector.onClosed(subject, now: now) + detector.onTimer(now: now))
            case 1...4:
                state[subject] = nil
                try take(detector.onObservation(of: subject, missing: nil, now: now))
            default:
                var missing =
                    state[subject]
                    ?? Missing(
                        blocks: 0, firstHeight: 100, firstHash: self.hash(100), since: now, provenBy: "c")
                missing.blocks += UInt32.random(in: 1...3, using: &generator)
                state[subject] = missing
                try take(detector.onObservation(of: subject, missing: missing, now: now))
            }
            // Exactly the links are open that have been behind for the grace.
            let late = state.filter { $0.value.since + .seconds(30) <= now }
            #expect(Set(open.keys) == Set(late.keys), "seed \(seed)")
            for (subject, missing) in late { #expect(open[subject]?.missingBlocks == missing.blocks, "seed \(seed)") }
            #expect(detector.open == open.values.sorted { $0.id < $1.id }, "seed \(seed)")
        }
        #expect(ids == Array(1...Int64(ids.count)), "seed \(seed)")
        #expect(ids.count > 5)
    }
}
