// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetHolePunch

@Suite("PunchOffer")
struct PunchOfferTests {
    private static let key = (0..<32).map { UInt8($0) }

    @Test("both encodings have the bytes that the document gives")
    func bytes() throws {
        let offer = try #require(
            PunchOffer(endpoint: .onion(publicKey: Self.key, port: 8333), clearnet: [9, 8, 7, 6]))
        let entries = offer.encodings(time: 1_700_000_000)
        #expect(entries.count == 2)
        let message = P2PMessage.addrv2(entries).payload
        let hex =
            "02"  // Two entries.
            + "00f15365" + "fe00000008" + "04" + "20" + Hex.encode(Self.key) + "208d"
            + "00f15365" + "fe00000008" + "f0" + "27" + "01" + "04" + Hex.encode(Self.key) + "01" + "09080706" + "208d"
        #expect(Hex.encode(message) == hex)
        guard case .addrv2(let read) = try P2PMessage(command: "addrv2", payload: message) else {
            Issue.record("no addresses")
            return
        }
        #expect(read == entries)
        #expect(read.allSatisfy(PunchOffer.isOffer))
        #expect(PunchOffer(read[0]) == PunchOffer(endpoint: offer.endpoint, clearnet: nil))
        #expect(PunchOffer(read[1]) == offer)
    }

    @Test("what is written is read again, for both anonymous networks and both families")
    func roundTrips() throws {
        var random = SeededRandom(seed: 9)
        for _ in 0..<500 {
            let key = random.bytes(32)
            let endpoint: CoordinationEndpoint =
                Bool.random(using: &random)
                ? .onion(publicKey: key, port: .random(in: 1...65535, using: &random)) : .i2p(hash: key)
            let clearnet: [UInt8]? = [nil, [8] + random.bytes(3), [0x2a] + random.bytes(15)].randomElement(
                using: &random)!
            let offer = try #require(PunchOffer(endpoint: endpoint, clearnet: clearnet))
            let entries = offer.encodings(time: 7)
            #expect(entries.last.flatMap { PunchOffer($0) } == offer)
            #expect(entries.allSatisfy { $0.lastSeen == 7 && $0.address.count <= NodeAddress.maximumAddressLength })
        }
        #expect(PunchOffer(endpoint: .direct(host: "a", port: 1), clearnet: nil) == nil)
        #expect(PunchOffer(endpoint: .i2p(hash: Self.key), clearnet: [1, 2, 3]) == nil)
    }

    @Test("malformed entries are no offers, and still count as such for those who keep addresses")
    func malformed() {
        func entry(_ networkID: UInt8, _ address: [UInt8], port: UInt16 = 1, services: UInt64 = PunchOffer.serviceFlag)
            -> NodeAddress
        {
            NodeAddress(lastSeen: 0, services: services, networkID: networkID, address: address, port: port)
        }
        let good = [1, 4] + Self.key + [1, 9, 8, 7, 6]
        #expect(PunchOffer(entry(0xf0, good)) != nil)
        let bad: [NodeAddress] = [
            entry(0xf0, []), entry(0xf0, [2] + good.dropFirst()), entry(0xf0, Array(good.dropLast())),
            entry(0xf0, good + [0]), entry(0xf0, [1, 6] + good.dropFirst(2)), entry(0xf0, good, port: 0),
            entry(0xf0, [1, 5] + good.dropFirst(2), port: 1), entry(0xf0, [1, 4] + Self.key + [3, 9, 8, 7, 6]),
            entry(0xf0, [1, 4] + Self.key + [1, 10, 0, 0, 1]), entry(0xf0, [1, 4] + Self.key + [1, 127, 0, 0, 1]),
            entry(
                0xf0,
                [1, 4] + Self.key + [2] + [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 9, 8, 7, 6]),
            entry(1, [9, 8, 7, 6]), entry(4, Self.key, port: 0), entry(5, Self.key, port: 1),
            entry(4, Array(Self.key.dropLast())),
        ]
        for one in bad {
            #expect(PunchOffer.isOffer(one))
            #expect(PunchOffer(one) == nil, "\(one)")
        }
        #expect(!PunchOffer.isOffer(entry(4, Self.key, services: 1)))
        #expect(PunchOffer(entry(0xf0, [1, 4] + Self.key + [1, 10, 0, 0, 1]), allowPrivate: true) != nil)
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
            #expect(chosen?.clearnet == [9, 8, 7, 6])
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
        // A link: sixteen.
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
        // An endpoint: eight, from however many links.
        for link in 100..<110 {
            _ = book.learn(
                [Self.entry(7, clearnet: [20, UInt8(link), 1, 1])], from: link, links: [], now: .zero,
                clock: self.clock,
                random: &self.random)
        }
        let seven = Self.entry(7)
        #expect(
            book.offers(now: .zero).count { $0.offer.endpoint == PunchOffer(seven)?.endpoint }
                == OfferBook<Int>.maximumPerEndpoint)
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

    @Test("one link can tell twenty at once, and then one in thirty seconds")
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
        #expect(learnt <= 20 + 600 / 30 + 1)
        #expect(learnt >= 20)
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
        where book.choose(now: .zero, random: &self.random, where: { _ in true })?.networkGroup == "70.1" {
            other += 1
        }
        #expect((130...270).contains(other))
    }
}
