// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetWatchdog

@Suite("IncidentBook and Picture")
struct BookTests {
    private let a = Subject("bitcoin a:8333")
    private let b = Subject("lightning b")

    @Test("writes an incident at most once a second, the last state of all, and an escalation at once")
    func rate() {
        var world = World(Watchdog.Configuration(grace: .milliseconds(1), expectedInterval: nil))
        var tip = world.begin(links: [self.b], node: true)
        tip = world.extend(tip, by: self.b)
        world.wait(.milliseconds(1))
        #expect(world.directives.count == 1)
        tip = world.extend(tip, by: self.b)
        world.wait(.milliseconds(999))
        #expect(world.directives.count == 1)
        world.wait(.milliseconds(1))
        #expect(world.directives.count == 2 && world.open.first?.behind?.blocks == 2)
        for _ in 0..<100 {
            tip = world.extend(tip, by: self.b)
            world.wait(.milliseconds(10))
        }
        // The third block made it critical at once; the other changes made one update a second.
        #expect(world.directives.count <= 5 && world.open.first?.severity == .critical)
        world.wait(.seconds(1))
        #expect(world.open.first?.behind?.blocks == 102)
    }

    @Test("keeps the proof of the worst moment while the node heals, and the earliest beginning")
    func healing() throws {
        var world = World()
        let root = world.begin(links: [self.b], node: true)
        var points = [root]
        for _ in 0..<30 {
            points.append(world.extend(points[points.count - 1], by: self.b))
            world.wait(.seconds(2))
        }
        world.wait(.seconds(40))
        let worst = try #require(world.open(.nodeBehind).first)
        #expect(worst.behind?.blocks == 30 && worst.severity == .critical)
        for height in [10, 22, 29] {
            world.see(.shows(.node, points[height]))
            world.wait(.seconds(2))
            let incident = try #require(world.open(.nodeBehind).first)
            #expect(incident.explanation.hasPrefix("the node is \((30 - height).counted("block")) behind"))
            #expect(incident.explanation.hasSuffix("At worst it was 30 blocks behind"))
            #expect(incident.behind == worst.behind && incident.measures == worst.measures)
            #expect(incident.evidence == worst.evidence && incident.since == worst.since)
            #expect(incident.since <= incident.opened)
        }
        world.see(.shows(.node, points[30]))
        let closed = try #require(world.incidents[worst.id])
        #expect(closed.closed != nil && closed.explanation.contains("it was 30 blocks behind"))
        #expect(closed.behind == worst.behind && closed.measures == worst.measures)
        #expect(closed.evidence == worst.evidence && closed.since == worst.since)
    }

    @Test("an incident that returns keeps its proof, and none begins after it was opened")
    func returning() {
        var book = IncidentBook(nextID: 1)
        func finding(_ magnitude: Double, since: Int64) -> Finding {
            Finding(
                kind: .slowBlocks, subject: .chain, severity: .warning, explanation: "\(magnitude)",
                was: "was \(magnitude)", since: World.at(since), magnitude: magnitude,
                measures: [Measure("m", magnitude, "blocks")])
        }
        _ = book.enter([finding(9, since: 100)], now: World.at(50)) { _ in true }
        #expect(book.open.map(\.since) == [World.at(50)])
        _ = book.enter([], now: World.at(60)) { _ in true }
        _ = book.enter([finding(3, since: 70)], now: World.at(80)) { _ in true }
        #expect(book.open.map(\.id) == [1] && book.open.map(\.since) == [World.at(50)])
        #expect(book.open.first?.measures == [Measure("m", 9, "blocks")])
        #expect(book.open.first?.explanation == "3.0. At worst it was 9.0")
    }

    @Test("keeps what was done, also when it comes after the end, and bounds it")
    func actions() {
        var world = World(Watchdog.Configuration(grace: .zero, expectedInterval: nil))
        let root = world.begin(links: [self.a, self.b])
        let tip = world.extend(root, by: self.b)
        func action(_ number: Int) -> ActionRecord {
            ActionRecord(at: world.now, action: "alert", outcome: .done, detail: "\(number)")
        }
        for number in 0..<100 { world.take(world.watchdog.note(action(number), on: 1)) }
        #expect(world.open.first?.actions.count == Incident.maximumActions)
        #expect(world.open.first?.actions.first?.detail == "0" && world.open.first?.actions.last?.detail == "99")
        world.see(.shows(self.a, tip))
        world.take(world.watchdog.note(action(100), on: 1))
        #expect(world.incidents[1]?.actions.last?.detail == "100" && world.incidents[1]?.closed != nil)
        #expect(world.watchdog.note(action(0), on: 77).isEmpty)
    }

    @Test("ends all when the daemon stops, in the order of their numbers")
    func stop() {
        var world = World(nextID: 40)
        let root = world.begin(links: [self.a, self.b], node: true)
        _ = world.extend(root, by: self.b)
        world.wait(.seconds(31))
        let directives = world.watchdog.onStop(now: world.now)
        #expect(directives.count == 2 && world.open.isEmpty)
        let ids = directives.compactMap { directive -> Int64? in
            guard case .close(let incident) = directive, incident.ending == .stopped else { return nil }
            return incident.id
        }
        #expect(ids == [40, 41])
    }

    @Test("opens no more than its bound, the critical ones first")
    func bound() {
        var book = IncidentBook(nextID: 1)
        let findings = (0..<400).map { number in
            Finding(
                kind: .linkBehind, subject: Subject("link \(number)"), severity: number == 399 ? .critical : .warning,
                explanation: "", was: "")
        }
        _ = book.enter(findings, now: World.start) { _ in true }
        #expect(book.open.count == IncidentBook.maximumOpen)
        #expect(book.open.first?.severity == .critical)
    }

    @Test("stays within its bounds under a flood of headers, links, peers and refusals", arguments: [1, 2] as [UInt64])
    func flood(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var picture = Picture()
        var points = [World.root.point]
        _ = picture.observe(Observation(at: World.start, .proved(World.root.header, points[0], by: .chain)))
        _ = picture.observe(Observation(at: World.start, .best(points[0])))
        var best = points[0]
        for number in 0..<20_000 {
            let isBranch = Int.random(in: 0..<3, using: &random) == 0
            let base = isBranch ? points[Int.random(in: 0..<points.count, using: &random)] : best
            let header = BlockHeader(
                version: 4, previous: base.hash, merkleRoot: BlockHash(number: UInt256(UInt64(number))), time: 0,
                bits: CompactTarget(0), nonce: 0)
            let point = ChainPoint(hash: header.hash, height: base.height + 1, work: base.work &+ Work(1))
            points.append(point)
            if points.count > 500 { points.removeFirst() }
            _ = picture.observe(Observation(at: World.start, .proved(header, point, by: self.a)))
            if point.work > best.work, !isBranch || Bool.random(using: &random) {
                best = point
                _ = picture.observe(Observation(at: World.start, .best(point)))
            }
            let subject = Subject("link \(number)")
            let facts = LinkFacts(driver: "", isTarget: true, operatorKey: "", networkGroup: "", exposure: "")
            _ = picture.observe(Observation(at: World.start, .opened(subject, facts)))
            if number.isMultiple(of: 2) { _ = picture.observe(Observation(at: World.start, .closed(subject))) }
            _ = picture.observe(Observation(at: World.start, .blockWithheld(point.hash, by: subject, why: "")))
            _ = picture.observe(
                Observation(at: World.start, .nodeRefuses(point, branchLength: 1, isHeaderValidForUs: true)))
        }
        let most = HeaderWindow.depth + HeaderWindow.slack + HeaderWindow.maximumBeside
        #expect(picture.tree.count <= most + 1)
        #expect(picture.tree.contenders.count <= HeaderWindow.maximumContenders)
        #expect(picture.tree.reorganisations.count <= HeaderWindow.maximumReorganisations)
        #expect(picture.tree.pace.arrivals.count <= BlockPace.capacity * 2)
        #expect(picture.states.count <= Picture.maximumSubjects)
        #expect(picture.withheld.count <= Picture.maximumWithheld)
        #expect(picture.refusals.count <= Picture.maximumRefusals)
    }

    @Test("headers that came in bulk compete with nothing until they are joined, and a branch beside them does then")
    func bulk() throws {
        var world = World()
        var tree = HeaderWindow()
        _ = tree.insert(World.root.header, at: World.root.point, by: self.a, now: World.start)
        _ = tree.setBest(World.root.point, now: World.start)
        // A hundred headers between are not told.
        var point = ChainPoint(
            hash: BlockHash(number: UInt256(99)), height: 1100, work: World.root.point.work &+ Work(100_000))
        var points: [ChainPoint] = []
        for _ in 0..<10 {
            let (header, next) = world.block(on: point)
            _ = tree.insert(header, at: next, by: self.a, now: World.start)
            #expect(!tree.isJoined(next.hash))
            point = next
            points.append(next)
        }
        var beside = points[7]
        for _ in 0..<2 {
            let (header, next) = world.block(on: beside)
            _ = tree.insert(header, at: next, by: self.a, now: World.start)
            beside = next
        }
        #expect(!tree.isJoined(beside.hash))
        let isNew = tree.setBest(point, now: World.start)
        #expect(isNew)
        #expect(tree.isJoined(beside.hash) && tree.contenders.contains(beside.hash))
        #expect(tree.branch(to: beside.hash).forkHeight == points[7].height)
        // So does what comes upon it later.
        let (header, next) = world.block(on: beside)
        _ = tree.insert(header, at: next, by: self.a, now: World.start)
        #expect(tree.isJoined(next.hash) && tree[next.hash]?.looseFrom == nil)
    }

    @Test(
        "the standard policy has steps for every kind, holds back changes of the node in a dry run, and none for links")
    func policy() {
        let incident = Incident(
            id: 1, kind: .nodeBehind, severity: .critical, subject: .node, explanation: "", since: World.start,
            opened: World.start, updated: World.start)
        for kind in Incident.Kind.allCases { #expect(Policy.standard.table[kind]?.last == .alert, "\(kind)") }
        let steps = Policy.standard.steps(for: incident)
        #expect(steps.map(\.action) == [.openLinks, .feedHeaders, .feedBlocks, .addSplicedPeer, .dropPeers, .alert])
        #expect(steps.map(\.isDryRun) == [false, true, true, true, true, false])
        var ofLink = incident
        ofLink.subject = self.a
        #expect(Policy.standard.steps(for: ofLink).map(\.action) == [.openLinks, .alert])
        var closed = incident
        closed.closed = World.start
        #expect(Policy.standard.steps(for: closed).isEmpty)
    }

    @Test("tells numbers in words")
    func words() {
        #expect(1.counted("block") == "1 block" && 1_234_567.counted("block") == "1,234,567 blocks")
        #expect(Duration.seconds(6000).inWords == "1 hour 40 minutes" && Duration.seconds(59).inWords == "59 seconds")
        #expect(0.001.asOdds == "1 in 1,000" && 1e-12.asOdds == "less than 1 in a billion")
        #expect(40.3.asFrequency == "once in 40 years" && 0.3.asFrequency == "once in 3 months")
        #expect(abs(Chance.ofHeads(20, of: 24) - 0.000772) < 1e-6)
        #expect(["a", "b", "c"].listed == "a, b and c")
    }
}
