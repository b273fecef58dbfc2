// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetWatchdog

@Suite("Other detectors")
struct DetectorTests {
    private let a = Subject("bitcoin a:8333")
    private let b = Subject("lightning b")

    private static let main = Watchdog.Configuration()

    @Test(
        "competing branches: two blocks each are a warning, three critical, one nothing, a branch left behind is over")
    func competing() throws {
        var world = World(Self.main)
        let root = world.begin(links: [self.a, self.b])
        var mine = world.extend(root, by: self.a)
        var theirs = world.prove(on: root, by: self.b)
        #expect(world.open(.competingBranches).isEmpty)
        mine = world.extend(mine, by: self.a)
        #expect(world.open(.competingBranches).isEmpty)
        theirs = world.prove(on: theirs, by: self.b)
        world.see(.shows(self.b, theirs))
        #expect(world.open(.competingBranches).map(\.severity) == [.warning])
        world.wait(.seconds(2))
        mine = world.extend(mine, by: self.a)
        theirs = world.prove(on: theirs, by: self.b)
        world.wait(.seconds(2))
        let incident = try #require(world.open(.competingBranches).first)
        #expect(incident.severity == .critical)
        #expect(incident.evidence.otherBranch.count == 3 && incident.evidence.headers.count == 4)
        mine = world.extend(mine, by: self.a)
        #expect(!world.open(.competingBranches).isEmpty)
        mine = world.extend(mine, by: self.a)
        #expect(world.open(.competingBranches).isEmpty)
    }

    @Test(
        "reorganisations: of one block nothing, of two a warning, of three critical, for six hours",
        arguments: [1, 2, 3])
    func reorganisation(depth: Int) {
        var world = World(Self.main)
        let root = world.begin(links: [self.a])
        var old = root
        for _ in 0..<depth { old = world.extend(old, by: self.a) }
        var new = root
        for _ in 0...depth { new = world.prove(on: new, by: self.a) }
        world.see(.best(new))
        let found = world.open(.deepReorganisation)
        #expect(found.map(\.severity) == (depth < 2 ? [] : depth == 2 ? [.warning] : [.critical]))
        if let incident = found.first {
            #expect(incident.evidence.otherBranch.map(\.header.hash).last == old.hash)
            #expect(incident.evidence.headers.count == depth + 2)
        }
        world.wait(.seconds(6 * 3600 - 1))
        #expect(world.open(.deepReorganisation).count == found.count)
        world.wait(.seconds(1))
        #expect(world.open(.deepReorganisation).isEmpty)
    }

    @Test("reorganisations of the node's chain are the node's")
    func nodeReorganisation() {
        var world = World(Self.main)
        let root = world.begin(links: [self.a], node: true)
        var old = root
        for _ in 0..<2 {
            old = world.prove(on: old, by: .node)
            world.see(.best(old))
            world.see(.shows(.node, old))
        }
        var new = root
        for _ in 0..<3 { new = world.prove(on: new, by: self.a) }
        // A step back is no reorganisation yet.
        world.see(.shows(.node, root))
        #expect(world.open(.deepReorganisation).isEmpty)
        world.see(.shows(.node, old))
        world.see(.shows(.node, new))
        #expect(world.open(.deepReorganisation).map(\.subject) == [.node])
    }

    @Test("a node that returns to the blocks it left (`reconsiderblock`) is said to have come back")
    func nodeComesBack() throws {
        var world = World(Self.main)
        let root = world.begin(links: [self.a], node: true)
        var old = root
        for _ in 0..<3 { old = world.extend(old, by: self.a) }
        world.see(.shows(.node, old))
        var new = root
        for _ in 0..<2 { new = world.prove(on: new, by: self.a) }
        world.see(.shows(.node, new))
        world.wait(.seconds(2))
        let left = try #require(world.open(.deepReorganisation).first { $0.subject == .node })
        #expect(left.explanation.contains("the old end was block 1003, \(old.hash)"))
        world.see(.shows(.node, old))
        world.wait(.seconds(2))
        let back = try #require(world.open(.deepReorganisation).first { $0.subject == .node })
        #expect(back.explanation.contains("come back") && !back.explanation.contains("old end"), "\(back.explanation)")
        old = world.extend(old, by: self.a)
        world.see(.shows(.node, old))
        world.wait(.seconds(2))
        #expect(world.open(.deepReorganisation).contains { $0.explanation.contains("has block 1003") })
    }

    @Test(
        "withheld block: at once for a link; critical when two were asked and nobody brought it; over when anybody does"
    )
    func withheld() throws {
        var world = World()
        let root = world.begin(links: [self.a, self.b])
        let tip = world.extend(root, by: self.a)
        world.see(.shows(self.b, tip))
        world.see(.blockWithheld(tip.hash, by: self.a, why: "timed out"))
        let incident = try #require(world.open(.withheldBlock).first)
        #expect(incident.subject == self.a && incident.severity == .warning && incident.behind?.firstMissing == tip)
        #expect(incident.evidence.headers.map(\.header.hash) == [root.hash, tip.hash])
        #expect(incident.explanation.contains("block 1001") && incident.explanation.contains("timed out"))
        world.see(.blockWithheld(tip.hash, by: self.b, why: "not found"))
        #expect(world.open(.withheldBlock).filter { $0.severity == .critical }.map(\.subject) == [.chain])
        world.see(.blockBrought(tip.hash, by: self.b, took: .seconds(1)))
        #expect(world.open.isEmpty)
        // An answer that was under way opens nothing.
        world.see(.blockWithheld(tip.hash, by: self.a, why: "timed out"))
        #expect(world.open.isEmpty)
    }

    @Test("withheld block: over when the node has it from elsewhere, and for good", arguments: [0, 1, 3])
    func withheldAndFoundElsewhere(later: Int) {
        var world = World()
        let root = world.begin(links: [self.a, self.b], node: true)
        let wanted = world.extend(root, by: self.a)
        world.see(.blockWithheld(wanted.hash, by: self.a, why: "timed out"))
        world.see(.blockWithheld(wanted.hash, by: self.b, why: "not found"))
        #expect(world.open(.withheldBlock).map(\.subject).sorted() == [self.a, .chain, self.b].sorted())
        world.see(.shows(.node, root))
        #expect(world.open(.withheldBlock).count == 3)
        var tip = wanted
        for _ in 0..<later { tip = world.extend(tip, by: self.a) }
        world.see(.shows(.node, tip))
        #expect(world.open(.withheldBlock).isEmpty)
        world.see(.shows(.node, nil))
        #expect(world.open(.withheldBlock).isEmpty)
        // The next one is another matter.
        let next = world.extend(tip, by: self.a)
        world.see(.blockWithheld(next.hash, by: self.a, why: "timed out"))
        #expect(world.open(.withheldBlock).map(\.subject) == [self.a])
    }

    @Test("withheld block: a node that knows headers and validates nothing, after the grace since its last block")
    func nodeWithheld() {
        func facts(_ blocks: UInt32, _ headers: UInt32, isSyncing: Bool = false) -> Observation.Event {
            .node(NodeFacts(reach: .reachable, isSyncing: isSyncing, blocks: blocks, headers: headers))
        }
        var world = World()
        _ = world.begin(links: [self.a], node: true)
        world.see(facts(1000, 1002))
        world.wait(.seconds(100))
        world.see(facts(1001, 1002))
        world.wait(.milliseconds(119_999))
        #expect(world.open.isEmpty)
        world.wait(.milliseconds(1))
        #expect(world.open.map(\.kind) == [.withheldBlock] && world.open.map(\.severity) == [.warning])
        world.wait(.seconds(1080))
        #expect(world.open.map(\.severity) == [.critical])
        world.see(facts(1001, 1002, isSyncing: true))
        #expect(world.open.isEmpty)
    }

    @Test("invalid branch: critical when it has more work and valid headers, else nothing")
    func invalidBranch() {
        var world = World()
        let root = world.begin(links: [self.a], node: true)
        let one = world.prove(on: root, by: self.a)
        world.see(.nodeRefuses(one, branchLength: 1, isHeaderValidForUs: false))
        #expect(world.open.isEmpty)
        world.see(.nodeRefuses(root, branchLength: 1, isHeaderValidForUs: true))
        #expect(world.open.isEmpty)
        world.see(.nodeRefuses(one, branchLength: 1, isHeaderValidForUs: true))
        #expect(world.open(.invalidBranch).map(\.severity) == [.critical])
        world.see(.best(one))
        world.see(.shows(.node, one))
        #expect(world.open(.invalidBranch).isEmpty)
    }

    private static func peer(_ number: Int, group: String, offset: Int64 = 0, inbound: Bool = false) -> NodePeerFacts {
        NodePeerFacts(
            address: "192.0.2.\(number):8333", networkGroup: group, isInbound: inbound, clockOffset: .seconds(offset))
    }

    @Test("concentration: three of six outbound peers in a group, not two, not inbound ones, not onions")
    func concentration() {
        var world = World()
        _ = world.begin(links: [self.a], node: true)
        func see(_ groups: [String], inbound: Bool = false) {
            world.see(
                .nodePeers(groups.enumerated().map { Self.peer($0.offset, group: $0.element, inbound: inbound) }))
        }
        see(["a", "a", "b", "c", "d", "e"])
        see(["a", "a", "a", "b", "c", "d", "e"])
        see(["a", "a", "a", "a"], inbound: true)
        see(["onion", "onion", "onion", "onion"])
        #expect(world.incidents.isEmpty)
        see(["a", "a", "a", "b", "c", "d"])
        #expect(world.open.map(\.kind) == [.concentration] && world.open.first?.subject == .node)
        see(["a", "b", "c", "d"])
        #expect(world.open.isEmpty)
    }

    @Test("concentration: all links on one operator, after they have settled")
    func links() {
        var world = World()
        let root = world.begin(links: [])
        func open(_ name: String, _ key: String, _ group: String) {
            world.see(
                .opened(
                    Subject(name),
                    LinkFacts(driver: "d", isTarget: true, operatorKey: key, networkGroup: group, exposure: "")))
            world.see(.shows(Subject(name), root))
        }
        open("d 1", "k", "g")
        world.wait(.seconds(5000))
        #expect(world.open.isEmpty)
        open("d 2", "k", "h")
        world.wait(.seconds(599))
        #expect(world.open.isEmpty)
        world.wait(.seconds(1))
        #expect(world.open.map(\.kind) == [.concentration] && world.open.first?.subject == .chain)
        open("d 3", "l", "i")
        #expect(world.open.isEmpty)
    }

    @Test("clock skew: a link at ten minutes, our own by the middle of three, the node's by the middle of five peers")
    func clocks() {
        var world = World()
        let c = Subject("bitcoin c")
        _ = world.begin(links: [self.a, self.b, c], node: true)
        world.see(.clock(self.a, offset: .seconds(599)))
        #expect(world.open.isEmpty)
        world.see(.clock(self.a, offset: .seconds(-600)))
        #expect(world.open.map(\.subject) == [self.a])
        #expect(world.open.first?.explanation.contains("10 minutes behind") == true)
        world.wait(.seconds(2))
        world.see(.clock(self.a, offset: .seconds(3600)))
        world.see(.clock(self.b, offset: .seconds(3605)))
        world.see(.clock(c, offset: .seconds(3610)))
        world.wait(.seconds(2))
        #expect(world.open.map(\.subject) == [.chain] && world.open.first?.severity == .critical)
        for link in [self.a, self.b, c] { world.see(.clock(link, offset: .zero)) }
        #expect(world.open.isEmpty)
        world.see(.nodePeers((1...4).map { Self.peer($0, group: "g\($0)", offset: -700) }))
        #expect(world.open.isEmpty)
        world.see(.nodePeers((1...5).map { Self.peer($0, group: "g\($0)", offset: -700) }))
        #expect(world.open.map(\.subject) == [.node] && world.open.first?.severity == .warning)
    }

    @Test(
        "late blocks: twenty of 24 over the margin, not nineteen, and one long delay counts once", arguments: [19, 20])
    func late(count: Int) {
        var world = World(Watchdog.Configuration(grace: .seconds(1000), expectedInterval: nil))
        var tip = world.begin(links: [self.a, self.b])
        for index in 0..<24 {
            tip = world.extend(tip, by: self.b)
            let delay: Int64 = index < count ? 61 : 60
            world.wait(.seconds(delay))
            world.see(.shows(self.a, tip))
            world.wait(.seconds(600))
        }
        #expect(world.open.map(\.kind) == (count >= 20 ? [.lateBlocks] : []))
        #expect(world.watchdog.lateness(of: self.a) == .seconds(61))
        #expect(world.watchdog.lateness(of: self.b) == .zero)

        var stalled = World(Watchdog.Configuration(grace: .seconds(100_000), expectedInterval: nil))
        var points = [stalled.begin(links: [self.a, self.b])]
        for _ in 0..<30 {
            points.append(stalled.extend(points[points.count - 1], by: self.b))
            stalled.wait(.seconds(600))
        }
        for point in points.dropFirst() { stalled.see(.shows(self.a, point)) }
        #expect(stalled.open.isEmpty)
    }

    @Test("node unavailable: after a minute without an answer, at once for what no waiting mends, with what to do")
    func unavailable() {
        var world = World()
        _ = world.begin(links: [self.a], node: true)
        func see(_ reach: NodeFacts.Reach) {
            world.see(.node(NodeFacts(reach: reach, isSyncing: false, blocks: 1000, headers: 1000)))
        }
        see(.unreachable("connection refused"))
        world.wait(.seconds(59))
        #expect(world.open.isEmpty)
        world.wait(.seconds(1))
        #expect(world.open.map(\.kind) == [.nodeUnavailable])
        #expect(world.open.first?.explanation.contains("connection refused") == true)
        see(.refused("401"))
        world.wait(.seconds(2))
        #expect(world.open.first?.explanation.contains("cookie") == true && world.incidents.count == 1)
        see(.reachable)
        #expect(world.open.isEmpty)
        world.wait(.seconds(700))
        see(.wrongNetwork("testnet4"))
        #expect(world.open.map(\.id) == [2])
    }
}
