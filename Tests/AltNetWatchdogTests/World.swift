// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetWatchdog

/// A watchdog with a chain to tell it of, and virtual time. Heights count from 1000; each block is worth 1000 of work.
struct World {
    static let start = WallClockTime(seconds: 1_800_000_000)
    static let workOfBlock: UInt64 = 1000

    var watchdog: Watchdog
    var now = World.start
    /// The incidents as a store would have them.
    var incidents: [Int64: Incident] = [:]
    var directives: [Watchdog.Directive] = []
    var timer: WallClockTime?
    private var nextSalt: UInt64 = 1

    init(_ configuration: Watchdog.Configuration = Watchdog.Configuration(expectedInterval: nil), nextID: Int64 = 1) {
        self.watchdog = Watchdog(configuration: configuration, nextID: nextID)
    }

    static func at(_ seconds: Int64) -> WallClockTime { Self.start + .seconds(seconds) }

    /// A first block that no other is before.
    static var root: (header: BlockHeader, point: ChainPoint) {
        let header = BlockHeader(
            version: 4, previous: .zero, merkleRoot: .zero, time: UInt32(Self.start.seconds),
            bits: Network.regtest.proofOfWorkLimit, nonce: 0)
        return (header, ChainPoint(hash: header.hash, height: 1000, work: Work(1000 * Self.workOfBlock)))
    }

    /// A block on another one, with the present as its time.
    mutating func block(
        on parent: ChainPoint, time: Int64? = nil, bits: CompactTarget = Network.regtest.proofOfWorkLimit
    )
        -> (BlockHeader, ChainPoint)
    {
        self.nextSalt += 1
        let header = BlockHeader(
            version: 4, previous: parent.hash, merkleRoot: BlockHash(number: UInt256(self.nextSalt)),
            time: UInt32(time ?? self.now.seconds), bits: bits, nonce: 0)
        let point = ChainPoint(
            hash: header.hash, height: parent.height + 1, work: parent.work &+ Work(Self.workOfBlock))
        return (header, point)
    }

    /// Proves a block that somebody brings.
    mutating func prove(on parent: ChainPoint, by: Subject, time: Int64? = nil) -> ChainPoint {
        let (header, point) = self.block(on: parent, time: time)
        self.see(.proved(header, point, by: by))
        return point
    }

    /// Proves a block that becomes the best one, and that its bringer shows.
    mutating func extend(_ parent: ChainPoint, by: Subject, time: Int64? = nil) -> ChainPoint {
        let point = self.prove(on: parent, by: by, time: time)
        self.see(.best(point))
        self.see(.shows(by, point))
        return point
    }

    /// Begins with the root as everybody's tip.
    mutating func begin(links: [Subject], node: Bool = false) -> ChainPoint {
        let (header, point) = Self.root
        self.see(.proved(header, point, by: .chain))
        self.see(.best(point))
        for link in links { self.open(link, shows: point) }
        if node {
            self.see(.node(NodeFacts(reach: .reachable, isSyncing: false, blocks: 1000, headers: 1000)))
            self.see(.shows(.node, point))
        }
        return point
    }

    mutating func open(_ link: Subject, shows point: ChainPoint?, isTarget: Bool = true) {
        self.see(
            .opened(
                link,
                LinkFacts(
                    driver: "bitcoin", isTarget: isTarget, operatorKey: link.name, networkGroup: link.name,
                    exposure: "public")))
        self.see(.shows(link, point))
    }

    mutating func see(_ event: Observation.Event) {
        self.take(self.watchdog.observe(Observation(at: self.now, event)))
    }

    /// Lets time pass; timers fire when they are due.
    mutating func wait(_ duration: Duration) {
        let end = self.now + duration
        while let timer = self.timer, timer <= end {
            self.now = timer
            self.timer = nil
            self.take(self.watchdog.onTimer(now: timer))
        }
        self.now = end
    }

    mutating func take(_ directives: [Watchdog.Directive]) {
        for directive in directives {
            switch directive {
            case .setTimer(let moment):
                #expect(moment > self.now)
                self.timer = moment
                continue
            case .open(let incident):
                #expect(self.incidents[incident.id] == nil)
                self.incidents[incident.id] = incident
            case .update(let incident), .close(let incident):
                #expect(self.incidents[incident.id] != nil)
                #expect(self.incidents[incident.id] != incident, "a change that changes nothing")
                self.incidents[incident.id] = incident
            }
            self.directives.append(directive)
        }
    }

    var open: [Incident] { self.watchdog.open }

    func open(_ kind: Incident.Kind) -> [Incident] { self.watchdog.open.filter { $0.kind == kind } }
}
