// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetHolePunch

extension OfferBook<Int> {
    /// Told by a link that is the only one of its network group.
    mutating func learn(
        _ addresses: [NodeAddress], from link: Int, links: [Int], now: MonotonicInstant, clock: WallClockTime,
        random: inout some RandomNumberGenerator
    ) -> [Int: [NodeAddress]] {
        self.learn(
            addresses, from: link, origin: "\(link)", links: links, now: now, clock: clock, random: &random)
    }
}

@Suite("OfferBook")
struct OfferBookTests {
    private let clock = WallClockTime(seconds: 1_700_000_000)
    private var random = SeededRandom(seed: 5)

    private static func entry(_ number: Int, clearnet: [UInt8]? = nil, age: Int = 0) -> NodeAddress {
        let key = (0..<32).map { UInt8(truncatingIfNeeded: number >> (($0 % 4) * 8)) }
        let offer = PunchOffer(endpoint: .onion(publicKey: key, port: 8333), clearnet: clearnet)
        return offer?.encodings(time: UInt32(1_700_000_000 - age)).last
            ?? NodeAddress(lastSeen: 0, services: 0, networkID: 0, address: [], port: 0)
    }

    @Test("an offer goes to two other links, once, as it came, and is gone after ten minutes")
    mutating func relaying() {
        var book = OfferBook<Int>()
        let offer = Self.entry(1, clearnet: [9, 8, 7, 6])
        let relays = book.learn(
            [offer], from: 1, links: [1, 2, 3, 4], now: .zero, clock: self.clock, random: &self.random)
        #expect(relays.count == 2 && relays[1] == nil)
        #expect(relays.values.allSatisfy { $0 == [offer] })
        for link in 1...4 {
            let again = book.learn(
                [offer], from: link, links: [1, 2, 3, 4], now: .zero, clock: self.clock, random: &self.random)
            #expect(again.isEmpty)
        }
        #expect(book.counts.known == 4)
        #expect(book.offers(now: .zero + .seconds(599)).count == 1)
        #expect(book.offers(now: .zero + .seconds(600)).isEmpty)
    }

    @Test("both encodings of one endpoint travel on, and the endpoint is chosen by its address")
    mutating func twoEncodings() {
        var book = OfferBook<Int>()
        let plain = Self.entry(1)
        let full = Self.entry(1, clearnet: [9, 8, 7, 6])
        let relays = book.learn(
            [plain, full], from: 1, links: [1, 2, 3], now: .zero, clock: self.clock, random: &self.random)
        #expect(relays[2] == [plain, full] && relays[3] == [plain, full])
        for _ in 0..<20 {
            let chosen = book.choose(now: .zero, random: &self.random) { _ in true }
            #expect(chosen?.addresses == addresses(["9.8.7.6"]))
        }
        #expect(book.choose(now: .zero, random: &self.random) { _ in false } == nil)
    }

    @Test("an old offer, one from the future and a replayed one are refused, and none lives longer for being repeated")
    mutating func stale() {
        var book = OfferBook<Int>()
        _ = book.learn(
            [Self.entry(1, age: 600), Self.entry(2, age: 5000), Self.entry(3, age: -121)], from: 1, links: [2],
            now: .zero,
            clock: self.clock, random: &self.random)
        #expect(book.counts.stale == 3 && book.counts.learnt == 0)
        _ = book.learn(
            [Self.entry(4, age: 500)], from: 1, links: [2], now: .zero, clock: self.clock, random: &self.random)
        #expect(book.offers(now: .zero + .seconds(99)).count == 1)
        #expect(book.offers(now: .zero + .seconds(100)).isEmpty)
        // The same again, when it is gone: its own time says that it is too old.
        let relays = book.learn(
            [Self.entry(4, age: 500)], from: 2, links: [1, 3], now: .zero + .seconds(100),
            clock: self.clock + .seconds(100), random: &self.random)
        #expect(relays.isEmpty && book.counts.stale == 4)
    }

    @Test("a renewed announcement is news after five minutes, not before")
    mutating func renewal() {
        var book = OfferBook<Int>()
        _ = book.learn([Self.entry(1)], from: 1, links: [2], now: .zero, clock: self.clock, random: &self.random)
        for (age, isNews) in [(-299, false), (-300, true)] {
            let relays = book.learn(
                [Self.entry(1, age: age)], from: 1, links: [2], now: .zero + .seconds(300),
                clock: self.clock + .seconds(300), random: &self.random)
            #expect(relays.isEmpty != isNews)
        }
        #expect(book.offers(now: .zero + .seconds(899)).count == 1)
    }

    @Test("one link, one group, one endpoint and one message fill no more than their share")
    mutating func shares() {
        var book = OfferBook<Int>()
        // A message: ten.
        _ = book.learn(
            (0..<30).map { Self.entry($0) }, from: 1, links: [], now: .zero, clock: self.clock, random: &self.random)
        #expect(book.counts.learnt == 10 && book.counts.overLimit == 20)
        // A link: twenty-four.
        for batch in 1..<5 {
            _ = book.learn(
                (0..<10).map { Self.entry(batch * 100 + $0) }, from: 1, links: [], now: .zero, clock: self.clock,
                random: &self.random)
        }
        #expect(book.offers(now: .zero).count == OfferBook<Int>.maximumPerLink)
        // A group: sixteen, from however many links.
        for link in 2..<50 {
            _ = book.learn(
                [Self.entry(link * 1000, clearnet: [9, 8, 7, UInt8(link)])], from: link, links: [], now: .zero,
                clock: self.clock, random: &self.random)
        }
        #expect(book.offers(now: .zero).count { $0.offer.networkGroup == "9.8" } == OfferBook<Int>.maximumPerGroup)
        // An endpoint: seven addresses of a family, from however many links, and the one entry without.
        for link in 100..<110 {
            _ = book.learn(
                [Self.entry(7, clearnet: [20, UInt8(link), 1, 1])], from: link, links: [], now: .zero,
                clock: self.clock,
                random: &self.random)
        }
        let seven = Self.entry(7)
        #expect(
            book.offers(now: .zero).count { $0.offer.endpoint == PunchOffer(seven)?.endpoint }
                == OfferBook<Int>.maximumPerEndpoint + 1)
    }

    @Test("one link tells one address of an endpoint, so that its lies do not displace the truth")
    mutating func oneLie() {
        var book = OfferBook<Int>()
        let endpoint = PunchOffer(Self.entry(7))?.endpoint
        func told() -> [[UInt8]?] {
            var book = book
            return book.offers(now: .zero).filter { $0.offer.endpoint == endpoint }.map(\.offer.clearnet)
        }
        for number in UInt8(0)..<5 {
            _ = book.learn(
                [Self.entry(7, clearnet: [20, number, 1, 1])], from: 1, links: [], now: .zero, clock: self.clock,
                random: &self.random)
        }
        #expect(told() == [[20, 0, 1, 1]])
        #expect(book.counts.overLimit == 4)
        for link in 2...3 {
            _ = book.learn(
                [Self.entry(7), Self.entry(7, clearnet: [30, UInt8(link), 1, 1])], from: link, links: [], now: .zero,
                clock: self.clock, random: &self.random)
        }
        #expect(Set(told()) == [nil, [20, 0, 1, 1], [30, 2, 1, 1], [30, 3, 1, 1]])
    }

    private static let ipv6: [UInt8] = [0x2a, 0, 0x14, 0x50] + [UInt8](repeating: 0, count: 11) + [1]

    @Test("lies about addresses of one family take no room from the other family, nor from the endpoint alone")
    mutating func forms() {
        var book = OfferBook<Int>()
        let endpoint = PunchOffer(Self.entry(7))?.endpoint
        for number in 0..<20 {
            _ = book.learn(
                [Self.entry(7, clearnet: [20, UInt8(number), 1, 1])], from: number, links: [], now: .zero,
                clock: self.clock, random: &self.random)
        }
        #expect(book.counts.learnt == OfferBook<Int>.maximumPerEndpoint)
        for truth in [Self.entry(7), Self.entry(7, clearnet: Self.ipv6)] {
            let relays = book.learn(
                [truth], from: 30, links: [31], now: .zero, clock: self.clock, random: &self.random)
            #expect(relays[31] == [truth])
        }
        // The same the other way round: the second of each form that one link tells is one too many.
        let more: [[UInt8]] = [[21, 1, 1, 1], [22, 1, 1, 1], Self.ipv6.dropLast() + [2], Self.ipv6.dropLast() + [3]]
        _ = book.learn(
            more.map { Self.entry(8, clearnet: $0) } + [Self.entry(8)], from: 40, links: [], now: .zero,
            clock: self.clock, random: &self.random)
        let known = book.offers(now: .zero).map(\.offer)
        #expect(known.count { $0.endpoint == endpoint } == OfferBook<Int>.maximumPerEndpoint + 2)
        #expect(
            Set(known.filter { $0.endpoint != endpoint }.map(\.clearnet))
                == [nil, [21, 1, 1, 1], Self.ipv6.dropLast() + [2]])
    }

    @Test("an endpoint with addresses of both families is called under both, or at the IPv4 address alone")
    mutating func bothFamilies() {
        var book = OfferBook<Int>()
        let (ipv4, ipv6) = (Self.entry(1, clearnet: [9, 8, 7, 6]), Self.entry(1, clearnet: Self.ipv6))
        _ = book.learn(
            [Self.entry(1), ipv4, ipv6], from: 1, links: [], now: .zero, clock: self.clock, random: &self.random)
        func choose(_ lies: [NodeAddress] = [], avoiding groups: Set<String> = []) -> OfferedAddresses? {
            var (book, random) = (book, self.random)
            let lies = lies.map { PunchOffer($0) }
            return book.choose(now: .zero, random: &random, isLie: { lies.contains($0) }) {
                $0.addresses.networkGroups.isDisjoint(with: groups)
            }?.addresses
        }
        let both = addresses(["9.8.7.6", "2a00:1450::1"])
        #expect(choose() == both)
        // An IPv6 address may be anybody's invention: its group keeps nobody from being called at the IPv4 address alone.
        #expect(choose(avoiding: [both.all[0].networkGroup]) == nil)
        #expect(choose(avoiding: [both.all[1].networkGroup]) == addresses(["9.8.7.6"]))
        // What turned out to be wrong counts no more.
        #expect(choose([ipv4]) == addresses(["2a00:1450::1"]))
        #expect(choose([ipv6]) == addresses(["9.8.7.6"]))
        #expect(choose([ipv6], avoiding: [both.all[1].networkGroup]) == addresses(["9.8.7.6"]))
        #expect(choose([ipv4, ipv6]) == OfferedAddresses())
    }

    @Test("of addresses that contradict each other each is tried, with each of the other family, and counts once")
    mutating func contradictions() {
        var book = OfferBook<Int>()
        for link in UInt8(1)...3 {
            _ = book.learn(
                [
                    Self.entry(1, clearnet: [9, 8, 7, link]),
                    Self.entry(1, clearnet: Array(Self.ipv6.dropLast()) + [link]),
                ], from: Int(link), links: [], now: .zero, clock: self.clock, random: &self.random)
        }
        _ = book.learn(
            [Self.entry(2, clearnet: [9, 8, 7, 99])], from: 9, links: [], now: .zero, clock: self.clock,
            random: &self.random)
        var found: [PunchCandidate: Int] = [:]
        for _ in 0..<900 {
            guard let chosen = book.choose(now: .zero, random: &self.random, where: { _ in true }) else { continue }
            found[chosen, default: 0] += 1
        }
        #expect(found.count == 10)
        // Two endpoints in one group: nine ways to call the one make it no likelier.
        let second = found.first { $0.key.addresses == addresses(["9.8.7.99"]) }?.value ?? 0
        #expect((350...550).contains(second), "\(second)")
    }

    @Test("all links with one network group fill no more than their share, also when they are gone")
    mutating func origins() {
        var book = OfferBook<Int>()
        for link in 0..<200 {
            _ = book.learn(
                [Self.entry(link)], from: link, origin: "one", links: [], now: .zero, clock: self.clock,
                random: &self.random)
            book.forget(link)
        }
        #expect(book.offers(now: .zero).count == OfferBook<Int>.maximumPerOrigin)
        _ = book.learn([Self.entry(999)], from: 999, links: [], now: .zero, clock: self.clock, random: &self.random)
        #expect(book.offers(now: .zero).count == OfferBook<Int>.maximumPerOrigin + 1)
    }

    @Test("a flood of links fills the book up to its bound, and not beyond")
    mutating func flood() {
        var book = OfferBook<Int>()
        for link in 0..<110 {
            for batch in 0..<2 {
                _ = book.learn(
                    (0..<10).map { Self.entry(link * 1000 + batch * 10 + $0, clearnet: [9, UInt8(link), 7, 6]) },
                    from: link, links: [1, 2, 3], now: .zero, clock: self.clock, random: &self.random)
            }
        }
        #expect(book.offers(now: .zero).count == OfferBook<Int>.maximumOffers)
    }

    @Test("one link can tell thirty at once, and then one in twenty seconds")
    mutating func rate() {
        var book = OfferBook<Int>()
        var learnt = 0
        for second in 0..<600 {
            let now = MonotonicInstant.zero + .seconds(second)
            // Old enough to make room again soon, so that only the rate holds it back.
            _ = book.learn(
                [Self.entry(second, age: 590 - second)], from: 1, links: [], now: now,
                clock: self.clock + .seconds(second), random: &self.random)
            learnt = book.counts.learnt
        }
        #expect(learnt <= 30 + 600 / 20 + 1)
        #expect(learnt >= 30)
    }

    @Test("many offers of one group are chosen no more often than one of another")
    mutating func diversity() {
        var book = OfferBook<Int>()
        for link in 0..<16 {
            _ = book.learn(
                [Self.entry(link, clearnet: [9, 8, 1, UInt8(link)])], from: link, links: [], now: .zero,
                clock: self.clock,
                random: &self.random)
        }
        _ = book.learn(
            [Self.entry(99, clearnet: [70, 1, 1, 1])], from: 99, links: [], now: .zero, clock: self.clock,
            random: &self.random)
        var other = 0
        for _ in 0..<400
        where book.choose(now: .zero, random: &self.random, where: { _ in true })?.drawnGroup == "70.1" {
            other += 1
        }
        #expect((130...270).contains(other))
    }
}
