// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetDriverProtocol
import AltNetHolePunch
import Testing

@testable import AltNetOrchestrator

/// An offer of a made-up node: its number decides about key and address.
func offer(_ number: UInt8, clearnet: [UInt8]? = nil) throws -> PunchOffer {
    try #require(
        PunchOffer(
            endpoint: .onion(publicKey: [UInt8](repeating: number, count: 32), port: 8333),
            clearnet: clearnet ?? [number, 40, 1, number]))
}

@Suite("Offers of hole punching over links")
struct OfferExchangeTests {
    private typealias Link = OfferExchange.Link
    private static let clock = WallClockTime(seconds: 1_800_000_000)

    /// An exchange with links, and a clock.
    private struct Scene {
        var exchange: OfferExchange
        var random = SeededRandom(seed: 6)
        var now = MonotonicInstant.zero
        var clock = OfferExchangeTests.clock

        init(links: Int, relaysOthers: Bool = true) {
            self.exchange = OfferExchange(relaysOthers: relaysOthers)
            for number in 0..<links { self.open(number) }
        }

        func addresses(
            of endpoint: CoordinationEndpoint, isLie: (PunchOffer) -> Bool = { _ in false }
        ) -> OfferedAddresses {
            self.exchange.addresses(of: endpoint, now: self.now, isLie: isLie)
        }

        static func link(_ number: Int) -> OfferExchange.Link {
            OfferExchange.Link(driver: "bitcoin", number: DriverLink(UInt64(number) + 1))
        }

        mutating func open(_ number: Int) {
            self.exchange.opened(Self.link(number), origin: "group \(number)", now: self.now, using: &self.random)
        }

        mutating func hear(_ addresses: [NodeAddress], over number: Int) {
            self.exchange.heard(
                addresses, over: Self.link(number), now: self.now, clock: self.clock, using: &self.random)
        }

        /// Lets time pass second by second, as the service does; what was announced, by link.
        mutating func pass(_ seconds: Int) -> [Int: [[NodeAddress]]] {
            var heard: [Int: [[NodeAddress]]] = [:]
            for _ in 0..<seconds {
                self.now = self.now + .seconds(1)
                self.clock = self.clock + .seconds(1)
                for announcement in self.exchange.onTimer(now: self.now, clock: self.clock, using: &self.random) {
                    heard[Int(announcement.link.number.number) - 1, default: []].append(announcement.addresses)
                }
            }
            return heard
        }

        var time: UInt32 { UInt32(self.clock.seconds) }
    }

    @Test func `An offer goes to two other links, once, as it came, and not at once`() throws {
        var scene = Scene(links: 6)
        let address = try #require(try offer(30).encodings(time: scene.time).last)
        scene.hear([address], over: 0)
        let atOnce = scene.exchange.onTimer(now: scene.now, clock: scene.clock, using: &scene.random)
        #expect(atOnce.isEmpty)
        let heard = scene.pass(60)
        #expect(heard.count == 2)
        #expect(heard[0] == nil)
        #expect(heard.values.allSatisfy { $0 == [[address]] })
        // Told again by the same link and by another one: it is no news.
        scene.hear([address], over: 0)
        scene.hear([address], over: 5)
        let later1 = scene.pass(60)
        #expect(later1.isEmpty)
        #expect(scene.exchange.counters["relayed"] == 2)
        #expect(scene.exchange.counters["known"] == 2)
    }

    @Test func `Ordinary addresses, and those of unknown networks, go nowhere`() throws {
        var scene = Scene(links: 4)
        let ordinary = NodeAddress(
            lastSeen: scene.time, services: 1033, networkID: 1, address: [8, 8, 8, 8], port: 8333)
        let unknown = NodeAddress(lastSeen: scene.time, services: 1, networkID: 0xe7, address: [1, 2, 3], port: 1)
        scene.hear([ordinary, unknown], over: 0)
        let later2 = scene.pass(60)
        #expect(later2.isEmpty)
        #expect(scene.exchange.offers(now: scene.now).isEmpty)
    }

    @Test func `After ten minutes an offer is gone`() throws {
        var scene = Scene(links: 2)
        scene.hear(try offer(30).encodings(time: scene.time), over: 0)
        _ = scene.pass(599)
        #expect(scene.exchange.offers(now: scene.now).count == 1)
        _ = scene.pass(1)
        #expect(scene.exchange.offers(now: scene.now).isEmpty)
        // Nor is an old one taken from somebody who kept it.
        scene.hear(try offer(30).encodings(time: UInt32(Self.clock.seconds)), over: 1)
        #expect(scene.exchange.offers(now: scene.now).isEmpty)
        #expect(scene.exchange.counters["stale"] == 2)
    }

    @Test func `Where offers of others are not wanted, none is taken`() throws {
        var scene = Scene(links: 3, relaysOthers: false)
        scene.hear(try offer(30).encodings(time: scene.time), over: 0)
        let later3 = scene.pass(60)
        #expect(later3.isEmpty)
        #expect(scene.exchange.offers(now: scene.now).isEmpty)
    }

    @Test func `Links that carry no offers are neither heard nor told`() throws {
        var scene = Scene(links: 2)
        scene.hear(try offer(30).encodings(time: scene.time), over: 7)
        #expect(scene.exchange.offers(now: scene.now).isEmpty)
        scene.exchange.closed(Scene.link(1))
        scene.hear(try offer(31).encodings(time: scene.time), over: 0)
        let later4 = scene.pass(60)
        #expect(later4.isEmpty)
        scene.exchange.detached("bitcoin")
        #expect(scene.exchange.linkCount == 0)
    }

    @Test func `Our own offer goes to every link every six minutes, the form that says more first`() throws {
        var scene = Scene(links: 5)
        let own = try offer(90).encodings(time: 0)
        #expect(own.count == 2)
        scene.exchange.setOwn(own, endpoints: [], now: scene.now)
        let heard = scene.pass(50)
        #expect(heard.count == 5)
        for messages in heard.values {
            #expect(messages.count == 1)
            #expect(messages[0].map(\.networkID) == [PunchOffer.networkID, 4])
            #expect(messages[0].allSatisfy { $0.lastSeen == UInt32(Self.clock.seconds) + 1 })
        }
        // One round in the next five and a half minutes, none before them.
        let later5 = scene.pass(275)
        #expect(later5.isEmpty)
        let later6 = scene.pass(120)
        #expect(later6.count == 5)
        // A link that comes between two rounds hears of it as well.
        scene.open(5)
        let later7 = scene.pass(45)
        #expect(later7.keys.sorted() == [5])
    }

    @Test func `While no more peers are wanted, nothing is announced, not even what was about to be`() throws {
        var scene = Scene(links: 3)
        scene.exchange.setOwn(try offer(90).encodings(time: 0), endpoints: [], now: scene.now)
        _ = scene.exchange.onTimer(now: scene.now, clock: scene.clock, using: &scene.random)
        scene.exchange.setOwn([], endpoints: [try offer(90).endpoint], now: scene.now)
        let later8 = scene.pass(1_000)
        #expect(later8.isEmpty)
        scene.open(3)
        let later9 = scene.pass(60)
        #expect(later9.isEmpty)
    }

    @Test func `Slots that fill up and empty again make no noise`() throws {
        var scene = Scene(links: 3)
        let own = try offer(90).encodings(time: 0)
        var messages = 0
        for second in 0..<300 {
            scene.exchange.setOwn(second.isMultiple(of: 20) ? [] : own, endpoints: [], now: scene.now)
            messages += scene.pass(1).values.reduce(0) { $0 + $1.count }
        }
        #expect(messages == 3)
    }

    @Test func `Our own offer is recognised when it comes back, also in the other form and after its key changed`()
        throws
    {
        var scene = Scene(links: 3)
        let (old, new) = (try offer(90), try offer(91))
        scene.exchange.setOwn(old.encodings(time: 0), endpoints: [old.endpoint], now: scene.now)
        scene.hear(old.encodings(time: scene.time), over: 0)
        scene.exchange.setOwn(new.encodings(time: 0), endpoints: [new.endpoint], now: scene.now)
        scene.hear(old.encodings(time: scene.time) + new.encodings(time: scene.time), over: 1)
        #expect(scene.exchange.offers(now: scene.now).isEmpty)
        #expect(scene.exchange.counters["own"] == 6)
        #expect(scene.exchange.isOwn(old.endpoint, now: scene.now))
        var random = SeededRandom(seed: 1)
        let chosen = scene.exchange.choose(now: scene.now, using: &random, isLie: { _ in false }) { _ in true }
        #expect(chosen == nil)
        // Once no offer of it can be alive, somebody else may have the old one.
        let later = scene.now + .seconds(721)
        #expect(!scene.exchange.isOwn(old.endpoint, now: later))
    }

    @Test func `An endpoint whose address is known is called under that address or not at all`() throws {
        var scene = Scene(links: 2)
        let known = try offer(30)
        scene.hear(known.encodings(time: scene.time), over: 0)
        var random = SeededRandom(seed: 1)
        let others = scene.exchange.choose(now: scene.now, using: &random, isLie: { _ in false }) {
            !$0.addresses.networkGroups.contains("30.40")
        }
        #expect(others == nil)
        let any = scene.exchange.choose(now: scene.now, using: &random, isLie: { _ in false }) { _ in true }
        let address = try OfferedAddresses(hosts: ["30.40.1.30"])
        #expect(any == PunchCandidate(endpoint: known.endpoint, addresses: address))
        // A wrong address leaves the endpoint, which is then called without one.
        let silent = scene.exchange.choose(now: scene.now, using: &random, isLie: { $0 == known }) { _ in true }
        #expect(silent == PunchCandidate(endpoint: known.endpoint, addresses: OfferedAddresses()))
        #expect(scene.addresses(of: known.endpoint) == address)
        // A second address for the same endpoint: at least one of the two is a lie.
        let lie = try #require(PunchOffer(endpoint: known.endpoint, clearnet: [99, 9, 9, 9]))
        scene.hear(lie.encodings(time: scene.time), over: 1)
        #expect(scene.exchange.offers(now: scene.now).count == 2)
        #expect(scene.addresses(of: known.endpoint).isEmpty)
        #expect(scene.addresses(of: try offer(31).endpoint).isEmpty)
        // When it is known which, the other one counts.
        #expect(scene.addresses(of: known.endpoint, isLie: { $0 == lie }) == address)
    }

    @Test func `Offers of one endpoint name an address of each family, and travel together`() throws {
        var scene = Scene(links: 4)
        let endpoint = try offer(30).endpoint
        let both = try OfferedAddresses(hosts: ["30.40.1.30", "2a00:1450::30"])
        let entries = PunchOffer.encodings(of: endpoint, at: both, time: scene.time)
        scene.hear(entries, over: 0)
        #expect(scene.exchange.offers(now: scene.now).count == 2)
        #expect(scene.addresses(of: endpoint) == both)
        var random = SeededRandom(seed: 1)
        let chosen = scene.exchange.choose(now: scene.now, using: &random, isLie: { _ in false }) { _ in true }
        #expect(chosen == PunchCandidate(endpoint: endpoint, addresses: both))
        let told = scene.pass(60).values.flatMap { $0.joined() }
        #expect(entries.allSatisfy { entry in told.count { $0 == entry } == 2 })
        // Two of one family: at least one of them is a lie, and the operator's call insists on nothing.
        scene.hear(
            PunchOffer.encodings(
                of: endpoint, at: try OfferedAddresses(hosts: ["2a02::1"]), time: scene.time), over: 1)
        #expect(scene.addresses(of: endpoint).isEmpty)
    }

    @Test func `Nobody fills the book by connecting again and again from one network`() throws {
        var scene = Scene(links: 1)
        for number in 1...250 {
            let link = Scene.link(number)
            scene.exchange.opened(link, origin: "attacker", now: scene.now, using: &scene.random)
            let key = [UInt8(number)] + [UInt8](repeating: 1, count: 31)
            let plain = try #require(PunchOffer(endpoint: .i2p(hash: key), clearnet: nil)).encodings(time: scene.time)
            scene.exchange.heard(plain, over: link, now: scene.now, clock: scene.clock, using: &scene.random)
            scene.exchange.closed(link)
        }
        #expect(scene.exchange.offers(now: scene.now).count == OfferBook<Link>.maximumPerOrigin)
        #expect(scene.exchange.counters["over-limit"] == UInt64(250 - OfferBook<Link>.maximumPerOrigin))
        scene.hear(try offer(30).encodings(time: scene.time), over: 0)
        #expect(scene.exchange.offers(now: scene.now).count == OfferBook<Link>.maximumPerOrigin + 1)
    }

    @Test func `A driver cannot have ordinary addresses announced`() throws {
        var scene = Scene(links: 3)
        let ordinary = NodeAddress(lastSeen: 0, services: 1, networkID: 1, address: [8, 8, 8, 8], port: 8333)
        scene.exchange.setOwn([ordinary], endpoints: [], now: scene.now)
        let later10 = scene.pass(600)
        #expect(later10.isEmpty)
    }

    @Test func `What waits for a link stays bounded, and leaves ten at a time`() throws {
        var scene = Scene(links: 2)
        // Each from a link of its own and from a network of its own, so that none of the book's bounds stops them.
        for number in 0..<200 { scene.open(number + 2) }
        for number in 0..<200 { scene.exchange.closed(Scene.link(number + 2)) }
        for number in 0..<60 {
            scene.open(number + 2)
            scene.hear([try #require(try offer(UInt8(number) + 11).encodings(time: scene.time).last)], over: number + 2)
            scene.exchange.closed(Scene.link(number + 2))
        }
        let heard = scene.pass(200)
        for link in 0..<2 {
            let messages = heard[link] ?? []
            #expect(messages.allSatisfy { $0.count <= 10 })
            #expect(messages.reduce(0) { $0 + $1.count } == OfferExchange.maximumWaiting)
        }
        #expect(scene.exchange.counters["left-out"] == 80)
    }

    @Test(arguments: UInt64(1)...3)
    func `In a network of nodes an offer reaches most of them, and dies out`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let count = 40
        var nodes = (0..<count).map { _ in OfferExchange(relaysOthers: true) }
        // Each node dials six others. A link's number is that of the node on its other end.
        func link(_ node: Int) -> Link { Link(driver: "b", number: DriverLink(UInt64(node) + 1)) }
        for node in 0..<count {
            for _ in 0..<6 {
                let other = Int.random(in: 0..<count, using: &random)
                guard other != node else { continue }
                nodes[node].opened(link(other), origin: "\(other)", now: .zero, using: &random)
                nodes[other].opened(link(node), origin: "\(node)", now: .zero, using: &random)
            }
        }
        let own = try offer(90)
        nodes[0].setOwn(own.encodings(time: 0), endpoints: [own.endpoint], now: .zero)
        var messages = 0
        var most = 0
        for second in 1...1_000 {
            let (now, clock) = (MonotonicInstant.zero + .seconds(second), Self.clock + .seconds(second))
            // Wanted for the first round only.
            if second == 100 { nodes[0].setOwn([], endpoints: [own.endpoint], now: now) }
            for node in 0..<count {
                for announcement in nodes[node].onTimer(now: now, clock: clock, using: &random) {
                    messages += 1
                    let other = Int(announcement.link.number.number) - 1
                    nodes[other].heard(announcement.addresses, over: link(node), now: now, clock: clock, using: &random)
                }
            }
            most = max(most, (1..<count).count { !nodes[$0].offers(now: now).isEmpty })
        }
        #expect(most >= count * 8 / 10, "seed \(seed): \(most)")
        // Each node tells two others of each form at most, and ours all its links.
        #expect(messages <= 2 * 2 * count + count, "seed \(seed): \(messages)")
        let end = MonotonicInstant.zero + .seconds(1_000)
        #expect((0..<count).allSatisfy { nodes[$0].offers(now: end).isEmpty }, "seed \(seed)")
    }
}
