// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetWatchdog

@Suite("BehindDetector")
struct BehindDetectorTests {
    private let a = Subject("bitcoin a:8333")
    private let b = Subject("lightning b")

    @Test("reports a link at the grace after the header's proof, not before, with the headers that prove it")
    func grace() throws {
        var world = World()
        let root = world.begin(links: [self.a, self.b])
        world.wait(.seconds(600))
        let point = world.extend(root, by: self.b)
        world.wait(.milliseconds(29_999))
        #expect(world.open.isEmpty)
        world.wait(.milliseconds(1))
        let incident = try #require(world.open.first)
        #expect(world.open.count == 1)
        #expect(incident.kind == .linkBehind && incident.subject == self.a && incident.severity == .warning)
        #expect(incident.opened == World.at(630) && incident.since == World.at(600))
        #expect(incident.behind?.blocks == 1 && incident.behind?.firstMissing == point)
        #expect(incident.behind?.provenBy == self.b && incident.behind?.best == point && incident.behind?.shown == root)
        #expect(incident.behind?.workShare == 0)
        #expect(incident.evidence.headers.map(\.header.hash) == [root.hash, point.hash])
        #expect(
            incident.explanation
                == "bitcoin a:8333 is 1 block behind: it has not shown block 1001, whose proof of work lightning b brought"
        )
        world.wait(.seconds(100_000))
        #expect(world.directives.count == 1)
        world.see(.shows(self.a, point))
        #expect(world.open.isEmpty)
        #expect(world.incidents[1]?.ending == .caughtUp)
        #expect(world.incidents[1]?.explanation == "bitcoin a:8333 has caught up; it was 1 block behind")
    }

    @Test(
        "counts the grace from the opening of a link, not from a proof before it, unless the link only left and came back"
    )
    func watchedSince() {
        var world = World()
        let root = world.begin(links: [self.b])
        _ = world.extend(root, by: self.b)
        world.wait(.seconds(100))
        world.open(self.a, shows: root)
        world.wait(.seconds(29))
        #expect(world.open.isEmpty)
        world.wait(.seconds(1))
        #expect(world.open.map(\.subject) == [self.a])
        world.see(.closed(self.a))
        #expect(world.incidents[1]?.ending == .linkClosed && world.open.isEmpty)
        // It comes back, and owes what it owed: the same incident.
        world.wait(.seconds(60))
        world.open(self.a, shows: root)
        #expect(world.open.map(\.id) == [1] && world.open.first?.closed == nil)
    }

    @Test("accuses no stranger, no link that has shown nothing, and no node that syncs or cannot be seen")
    func innocent() {
        var world = World()
        let root = world.begin(links: [self.b])
        world.open(self.a, shows: root, isTarget: false)
        world.open(Subject("bitcoin c"), shows: nil)
        world.see(.node(NodeFacts(reach: .reachable, isSyncing: true, blocks: 1000, headers: 1000)))
        world.see(.shows(.node, root))
        var tip = root
        for _ in 0..<5 { tip = world.extend(tip, by: self.b) }
        world.wait(.seconds(4000))
        #expect(world.open.isEmpty)
        world.see(.node(NodeFacts(reach: .reachable, isSyncing: false, blocks: 1000, headers: 1000)))
        world.wait(.seconds(29))
        #expect(world.open.isEmpty)
        world.wait(.seconds(1))
        #expect(world.open.map(\.kind) == [.nodeBehind])
        world.see(.node(NodeFacts(reach: .unreachable("off"), isSyncing: false, blocks: 1000, headers: 1000)))
        #expect(world.open.isEmpty && world.incidents[1]?.ending == .caughtUp || world.incidents[1]?.closed != nil)
    }

    @Test("is critical for the node at three blocks or twenty minutes, and never for a link")
    func severity() {
        var world = World()
        let root = world.begin(links: [self.a, self.b], node: true)
        let first = world.extend(root, by: self.b)
        world.wait(.seconds(1199))
        #expect(world.open.map(\.severity) == [.warning, .warning])
        world.wait(.seconds(1))
        #expect(world.open(.nodeBehind).first?.severity == .critical)
        #expect(world.open(.linkBehind).first?.severity == .warning)
        world.see(.shows(.node, first))
        #expect(world.open(.nodeBehind).isEmpty)
        var tip = first
        for count in 1...3 {
            tip = world.extend(tip, by: self.b)
            world.wait(.seconds(40))
            #expect(world.open(.nodeBehind).first?.severity == (count < 3 ? .warning : .critical))
        }
    }

    @Test(
        "sees a branch with less work, with both branches as evidence, and gives the grace anew after a reorganisation")
    func minorityBranch() throws {
        var world = World()
        let root = world.begin(links: [self.a, self.b])
        let mine = world.extend(root, by: self.b)
        let theirs = world.prove(on: root, by: self.a)
        world.see(.shows(self.a, theirs))
        world.wait(.seconds(5000))
        // As much work on another branch is not behind.
        #expect(world.open(.linkBehind).isEmpty)
        let better = world.extend(mine, by: self.b)
        world.wait(.seconds(29))
        #expect(world.open(.linkBehind).isEmpty)
        world.wait(.seconds(1))
        let incident = try #require(world.open(.linkBehind).first)
        #expect(
            incident.behind?.blocks == 2 && incident.behind?.firstMissing == mine && incident.behind?.workShare == 0.5)
        #expect(incident.evidence.headers.map(\.header.hash) == [root.hash, mine.hash, better.hash])
        #expect(incident.evidence.otherBranch.map(\.header.hash) == [theirs.hash])
        #expect(incident.explanation.contains("has 50 % of the work since the fork"))
    }

    /// Random trees and places against a model that walks whole chains.
    @Test("counts missing blocks as a naive model does", arguments: 1...20 as ClosedRange<UInt64>)
    func property(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var world = World(Watchdog.Configuration(grace: .zero, expectedInterval: nil))
        let root = world.begin(links: [self.a, self.b], node: true)
        var points = [root]
        var parent: [BlockHash: BlockHash] = [:]
        var best = root
        var shown: [Subject: ChainPoint] = [self.a: root, .node: root]
        func chain(_ point: ChainPoint) -> Set<BlockHash> {
            var all: Set<BlockHash> = [point.hash]
            var place = point.hash
            while let next = parent[place] {
                all.insert(next)
                place = next
            }
            return all
        }
        for _ in 0..<300 {
            world.wait(.seconds(Int64.random(in: 0...5, using: &random)))
            let base = points[Int.random(in: max(0, points.count - 6)..<points.count, using: &random)]
            let point = world.prove(on: base, by: self.b)
            parent[point.hash] = base.hash
            points.append(point)
            if point.work > best.work {
                best = point
                world.see(.best(best))
            }
            let subject = Bool.random(using: &random) ? self.a : Subject.node
            shown[subject] = points[Int.random(in: max(0, points.count - 10)..<points.count, using: &random)]
            world.see(.shows(subject, shown[subject]))
            world.wait(.seconds(2))
            for (subject, place) in shown {
                let missing = chain(best).subtracting(chain(place)).count
                let found = world.open.first { $0.subject == subject && $0.behind != nil }
                #expect(
                    found?.explanation.hasPrefix("\(subject) is \(missing.counted("block")) behind")
                        == (place.work < best.work ? true : nil),
                    "seed \(seed), \(subject)")
            }
        }
    }
}
