// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetHeaderChain
import AltNetObjects
import HeaderTestSupport
import Testing

@testable import AltNetHeaderSync

@Suite("HeaderSync")
struct HeaderSyncTests {
    @Test("follows one honest peer to its tip, and asks seldom afterwards")
    func onePeer() throws {
        var simulation = Simulation(seed: 1)
        simulation.open(1, SimulatedPeer(SharedChains.long.prefix(5000)))
        simulation.run(seconds: 60)
        try simulation.expectTip(SharedChains.long.hash(at: 5000))
        try simulation.expectExactView(1)
        #expect(!simulation.sync.isDelivering)
        simulation.run(seconds: 3600)
        #expect((20...40).contains(simulation.requests(to: 1, inLast: 3600)))
    }

    /// Every distance from the tip at which a ladder could mislead, with nothing but a standing link.
    @Test(
        "finds out exactly where a link stands that is behind",
        arguments: [0, 1, 2, 3, 5, 14_000, 19_998, 19_999, 20_000], [1, 700, 2000])
    func located(height: Int, pieceSize: Int) throws {
        var simulation = Simulation(seed: UInt64(height), chain: try SharedChains.long.tree())
        // In pieces of one only what is near the tip or can be stepped through.
        let pieceSize = pieceSize == 1 && height == 14_000 ? 2 : pieceSize
        simulation.open(1, SimulatedPeer(SharedChains.long.prefix(height), pieceSize: pieceSize))
        simulation.run(seconds: 3000)
        try simulation.expectExactView(1)
        #expect(simulation.disconnected.isEmpty)
    }

    @Test("finds out exactly where a link stands, whatever the distance", arguments: [1, 2, 3] as [UInt64])
    func everyDistance(seed: UInt64) throws {
        var generator = SeededRandom(seed: seed)
        let chain = try SharedChains.long.tree()
        var simulation = Simulation(seed: seed, chain: chain)
        var heights: [Int] = (0..<33).map { 20_000 - Int(seed) * 33 + $0 }
        for _ in 0..<20 { heights.append(Int.random(in: 0...20_000, using: &generator)) }
        // Rungs of a ladder from the tip to the start, and their neighbours.
        for power in 0..<14 {
            let distance = 1 << power
            heights += [20_000 - distance, 20_000 - distance - 1, distance, distance - 1]
        }
        for (number, height) in heights.enumerated() {
            simulation.open(UInt64(number), SimulatedPeer(SharedChains.long.prefix(height)))
        }
        simulation.run(seconds: 300)
        for number in heights.indices.map({ UInt64($0) }) {
            try simulation.expectExactView(number)
            #expect(simulation.requests(to: number, inLast: 300) < 70)
        }
    }

    @Test("proves a chain's work before it keeps any of it, and does not ask a second link for the same proof")
    func presync() throws {
        var simulation = Simulation(seed: 4, minimumWork: 38_000)
        for number in 1...4 as ClosedRange<UInt64> { simulation.open(number, SimulatedPeer(SharedChains.long)) }
        simulation.run(seconds: 300)
        try simulation.expectTip(SharedChains.long.tip)
        for number in 1...4 as ClosedRange<UInt64> { try simulation.expectExactView(number) }
        // Twice twenty thousand headers in pieces of two thousand for one of them, a ladder or two for the others.
        let counts = simulation.requests.values.map(\.count).sorted()
        #expect(counts[3] >= 20 && counts[2] < 15, "\(counts)")
        #expect(simulation.mostHeld.values.allSatisfy { $0 < 17_100 * 80 })
    }

    @Test("keeps nothing of a chain with too little work, and asks again only now and then")
    func lowWork() throws {
        var simulation = Simulation(seed: 4, minimumWork: 10_000)
        simulation.open(1, SimulatedPeer(SharedChains.long.prefix(4000)))
        simulation.run(seconds: 60)
        #expect(simulation.sync.view(of: LinkID(1))?.isLowWork == true)
        #expect(simulation.sync.view(of: LinkID(1))?.tip == .start)
        #expect(simulation.sync.chain.count == 1)
        #expect(!simulation.sync.isDelivering)
        simulation.run(seconds: 1200)
        #expect(simulation.requests(to: 1, inLast: 1200) < 50)
        // With more headers it passes.
        simulation.peers[LinkID(1)]?.chain = SharedChains.long.prefix(5000)
        simulation.run(seconds: 300)
        try simulation.expectTip(SharedChains.long.hash(at: 5000))
        try simulation.expectExactView(1)
        #expect(simulation.sync.view(of: LinkID(1))?.isLowWork == false)
    }

    @Test("is not held up by a link that drips, whether its headers are kept or not", arguments: [0, 19_000])
    func dripping(minimumWork: UInt64) throws {
        var simulation = Simulation(seed: 4, minimumWork: minimumWork)
        simulation.open(
            1, SimulatedPeer(SharedChains.long, pieceSize: 1), line: Simulation.Line(latency: 0.01...0.02))
        simulation.run(seconds: 5)
        simulation.open(2, SimulatedPeer(SharedChains.long.prefix(10_000)))
        simulation.run(seconds: 60)
        // The one that drips may have gone on beyond where the other one ends.
        let reached = try #require(simulation.sync.chain.best(at: 10_000))
        #expect(simulation.sync.chain.hash(of: reached) == SharedChains.long.hash(at: 10_000))
        try simulation.expectExactView(2)
    }

    @Test("gives every link its turn, so that cheap chains hold the honest one up for a while only")
    func turns() throws {
        // Cheap chains that last for longer than a turn, and are faster with their first answer.
        let cheap = SharedChains.long.forked(at: 0, 15_000, salt: 8)
        var simulation = Simulation(seed: 4, minimumWork: 39_000)
        for number in 1...2 as ClosedRange<UInt64> {
            simulation.open(
                number, SimulatedPeer(cheap, pieceSize: 500), line: Simulation.Line(latency: 9...9.5))
        }
        simulation.run(seconds: 100)
        simulation.open(3, SimulatedPeer(SharedChains.long), line: Simulation.Line(latency: 10...11))
        simulation.run(seconds: 600 + 600 + 600)
        try simulation.expectTip(SharedChains.long.tip)
        #expect(simulation.sync.chain.count == 20_001)
    }

    @Test("is not held up by a link that has taken the bulk and goes silent")
    func silentBulk() throws {
        var simulation = Simulation(seed: 4)
        simulation.open(1, SimulatedPeer(SharedChains.long), line: Simulation.Line(latency: 0.01...0.02))
        simulation.open(2, SimulatedPeer(SharedChains.long), line: Simulation.Line(latency: 1...2))
        simulation.run(seconds: 0.2)
        #expect(simulation.sync.isDelivering)
        simulation.peers[LinkID(1)]?.manner = .silent
        simulation.run(seconds: 90)
        try simulation.expectTip(SharedChains.long.tip)
        try simulation.expectExactView(2)
        #expect(simulation.disconnected.isEmpty)
    }

    enum Lie: CaseIterable { case work, bits, time, version, order }

    @Test("keeps the good headers of a liar, and nothing else", arguments: Lie.allCases, [0, 2900])
    func liar(lie: Lie, minimumWork: UInt64) throws {
        var headers = Array(SharedChains.longHeaders[..<1500])
        let parent = headers[1499]
        var bad = HeaderMiner.header(on: parent.hash, time: parent.time + 600)
        switch lie {
        case .work: bad = HeaderMiner.mined(bad, isProven: false)
        case .bits: bad = HeaderMiner.header(on: parent.hash, time: bad.time, bits: CompactTarget(0x207f_fffe))
        case .time: bad = HeaderMiner.header(on: parent.hash, time: headers[1494].time)
        case .version: bad = HeaderMiner.header(on: parent.hash, time: bad.time, version: 3)
        case .order: bad = HeaderMiner.header(on: headers[1400].hash, time: bad.time)
        }
        headers.append(bad)
        headers += HeaderMiner.chain(10, on: bad)
        var simulation = Simulation(seed: 4, minimumWork: minimumWork)
        simulation.open(1, SimulatedPeer(PeerChain(headers), pieceSize: 700))
        simulation.run(seconds: 60)
        #expect(simulation.disconnected[LinkID(1)]?.code == .invalidHeaders, "\(lie)")
        // While a chain is still proving its work, nothing of it is kept anyway.
        try simulation.expectTip(minimumWork == 0 ? SharedChains.long.hash(at: 1500) : Network.regtest.chainHash)
    }

    @Test("lets go of a link that answers with anything but headers")
    func nonsense() throws {
        var simulation = Simulation(seed: 4)
        simulation.open(1, SimulatedPeer(.empty, manner: .garbled))
        simulation.open(2, SimulatedPeer(.empty, manner: .unconnected))
        simulation.open(3, SimulatedPeer(.empty, manner: .busy))
        simulation.open(4, SimulatedPeer(.empty, manner: .silent))
        simulation.run(seconds: 600)
        #expect(
            simulation.disconnected.mapValues(\.code) == [LinkID(1): .protocolViolation, LinkID(2): .invalidHeaders])
        #expect((50...70).contains(simulation.requests(to: 3, inLast: 600)))
        #expect((6...12).contains(simulation.requests(to: 4, inLast: 600)))
        #expect(simulation.sync.view(of: LinkID(1)) == nil)
        #expect(simulation.sync.missing(of: LinkID(3)) == nil)

        var sync = HeaderSync(
            chain: HeaderChain(network: .regtest, salt: 1), configuration: HeaderSync.Configuration(network: .regtest),
            seed: 1)
        _ = sync.onLinkOpened(LinkID(1), now: .zero)
        let steps = sync.onAnswer(LinkID(1), id: 1, .addresses([]), now: .zero, wallClock: SharedChains.now)
        #expect(
            steps == [
                .disconnect(LinkID(1), DisconnectReason(.protocolViolation, "asked for headers, got others"))
            ])
        // Nothing more is asked of it, and nothing more is taken from it.
        #expect(sync.onTimer(now: .zero + .seconds(1000)).isEmpty)
        let header = SharedChains.longHeaders[0]
        #expect(sync.onTip(LinkID(1), header: header, now: .zero, wallClock: SharedChains.now).isEmpty)
        #expect(sync.onLinkClosed(LinkID(1), now: .zero).isEmpty)
    }

    @Test("waits for a header from the future instead of blaming the link")
    func future() throws {
        let early = SharedChains.now.seconds + 7200 + 100
        let parent = SharedChains.longHeaders[99]
        let header = HeaderMiner.header(on: parent.hash, time: UInt32(early))
        var simulation = Simulation(seed: 4)
        simulation.open(1, SimulatedPeer(PeerChain(Array(SharedChains.longHeaders[..<100]) + [header])))
        simulation.run(seconds: 90)
        try simulation.expectTip(parent.hash)
        #expect(simulation.requests(to: 1, inLast: 60) < 10)
        simulation.run(seconds: 30)
        try simulation.expectTip(header.hash)
        #expect(simulation.disconnected.isEmpty)
    }

    /// (depth of the fork, headers of the new branch, headers in one answer)
    @Test(
        "follows a link over to another branch, however deep, in pieces of any size",
        arguments: [
            (1, 2, 2000), (100, 101, 10), (140, 143, 1), (1000, 1001, 2000), (2500, 4800, 2000), (3000, 3003, 400),
        ])
    func reorganisation(depth: Int, length: Int, pieceSize: Int) throws {
        let old = SharedChains.long.prefix(3000)
        let new = old.forked(at: 3000 - depth, length, salt: 9)
        var simulation = Simulation(seed: 4)
        simulation.open(1, SimulatedPeer(old, pieceSize: pieceSize))
        simulation.open(2, SimulatedPeer(old))
        simulation.run(seconds: 2000)
        try simulation.expectTip(old.tip)
        simulation.peers[LinkID(1)]?.chain = new
        simulation.run(seconds: 2000)
        try simulation.expectTip(new.tip)
        try simulation.expectExactView(1)
        // The other one stands still, on what is a branch now.
        try simulation.expectExactView(2)
        #expect(simulation.requests(to: 2, inLast: 1000) <= 105)
        // And then it comes over, too, and beyond.
        simulation.peers[LinkID(2)]?.chain = new.forked(at: new.count, 5, salt: 10)
        simulation.run(seconds: 200)
        try simulation.expectExactView(2)
        try simulation.expectExactView(1)
        #expect(simulation.disconnected.isEmpty)
    }

    @Test("knows a link on a shorter branch exactly, and what it misses")
    func branch() throws {
        var simulation = Simulation(seed: 4)
        simulation.open(1, SimulatedPeer(SharedChains.long.prefix(3000)))
        simulation.open(2, SimulatedPeer(SharedChains.long.forked(at: 2950, 40, salt: 3)))
        simulation.open(3, SimulatedPeer(SharedChains.long.forked(at: 2999, 1, salt: 4)))
        simulation.run(seconds: 100)
        for number in 1...3 as ClosedRange<UInt64> { try simulation.expectExactView(number) }
        #expect(simulation.sync.missing(of: LinkID(2)).map { [$0.count, $0.firstHeight] } == [50, 2951])
    }

    @Test("takes announced headers, and asks when something is missing before them")
    func announcements() throws {
        var simulation = Simulation(seed: 4)
        simulation.open(1, SimulatedPeer(SharedChains.long.prefix(100)))
        simulation.open(2, SimulatedPeer(SharedChains.long.prefix(100)))
        simulation.run(seconds: 20)
        let asked = simulation.requests(to: 1, inLast: 100)
        simulation.peers[LinkID(1)]?.chain = SharedChains.long.prefix(101)
        simulation.announce(LinkID(1))
        simulation.run(seconds: 2)
        try simulation.expectTip(SharedChains.long.hash(at: 101))
        try simulation.expectExactView(1)
        #expect(simulation.requests(to: 1, inLast: 100) == asked)
        // One that we have already.
        simulation.peers[LinkID(2)]?.chain = SharedChains.long.prefix(101)
        simulation.announce(LinkID(2))
        simulation.run(seconds: 2)
        try simulation.expectExactView(2)
        // One whose parent is unknown.
        simulation.peers[LinkID(1)]?.chain = SharedChains.long.prefix(105)
        simulation.announce(LinkID(1))
        simulation.run(seconds: 3)
        try simulation.expectTip(SharedChains.long.hash(at: 105))
        try simulation.expectExactView(1)
        // A bad one.
        let last = SharedChains.long.prefix(105).last
        let bad = HeaderMiner.mined(HeaderMiner.header(on: last.hash, time: last.time + 1), isProven: false)
        simulation.peers[LinkID(2)]?.chain.append([bad])
        simulation.peers[LinkID(2)]?.chain = PeerChain(Array(SharedChains.longHeaders[..<105]) + [bad])
        simulation.announce(LinkID(2))
        simulation.run(seconds: 2)
        #expect(simulation.disconnected[LinkID(2)]?.code == .invalidHeaders)
    }

    @Test("does not keep an announced header far below the tip")
    func lowWorkAnnouncement() throws {
        var simulation = Simulation(seed: 4)
        simulation.open(1, SimulatedPeer(SharedChains.long.prefix(3000)))
        simulation.run(seconds: 20)
        simulation.peers[LinkID(1)]?.chain = SharedChains.long.forked(at: 100, 1, salt: 3)
        simulation.announce(LinkID(1))
        simulation.run(seconds: 60)
        try simulation.expectTip(SharedChains.long.hash(at: 3000))
        #expect(simulation.sync.chain.count == 3001)
        #expect(simulation.sync.view(of: LinkID(1))?.presyncHeight == nil)
        #expect(simulation.sync.view(of: LinkID(1))?.isLowWork == true)
    }

    @Test("ignores answers that nobody waits for")
    func lateAnswer() throws {
        var simulation = Simulation(seed: 4)
        simulation.open(1, SimulatedPeer(SharedChains.long.prefix(100)), line: Simulation.Line(latency: 40...40))
        simulation.run(seconds: 300)
        // Every answer takes eighty seconds, the patience sixty.
        try simulation.expectTip(Network.regtest.chainHash)
        #expect(simulation.requests(to: 1, inLast: 300) == 5)
        #expect(simulation.disconnected.isEmpty)
    }

    @Test("takes what the operator brings, whatever its work, and tells where it is wrong")
    func imports() throws {
        var simulation = Simulation(seed: 4, minimumWork: 1_000_000)
        let bytes = SharedChains.long.bytes(1..<101)
        // A file begins with the genesis header, or after it, or in the middle, and may be cut off anywhere.
        let whole = Network.regtest.genesis.bytes + bytes
        for (file, added) in [
            ([], 0), (Array(bytes[..<79]), 0), (Array(bytes[..<(10 * 80 + 17)]), 10), (whole, 90), (bytes, 0),
            (Array(whole[..<80]), 0), (SharedChains.long.bytes(50..<121), 20),
        ] as [([UInt8], UInt32)] {
            #expect(simulation.importHeaders(file).added == added)
        }
        try simulation.expectTip(SharedChains.long.hash(at: 120))
        let stranger = simulation.importHeaders(SharedChains.long.bytes(200..<210))
        #expect(stranger.added == 0 && stranger.rejection?.rule.name == "prev-blk-not-found")
        var headers = Array(SharedChains.longHeaders[110..<130])
        headers[15] = HeaderMiner.mined(headers[15], isProven: false)
        let spoiled = simulation.importHeaders(headers.bytes)
        #expect(spoiled.added == 5)
        #expect(spoiled.rejection?.height == 126 && spoiled.rejection?.position == 15)
        try simulation.expectTip(SharedChains.long.hash(at: 125))
    }
}
