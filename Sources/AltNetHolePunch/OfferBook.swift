// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin

/// The offers that clearnet links have told lately, and to whom each is passed on. Kept in memory only, for ten
/// minutes: an offer is never in a store of addresses.
///
/// `Link` is whatever names a link.
public struct OfferBook<Link: Hashable & Comparable & Sendable>: Sendable {
    /// An offer is gone after this time: whoever still wants connections announces again.
    public static var lifetime: Duration { .seconds(600) }
    /// The time of an entry may be this far ahead of our clock.
    public static var maximumClockError: Duration { .seconds(120) }
    /// An offer that was told already is news only when it is this much newer, so that nobody can have one relayed
    /// again and again.
    public static var renewalInterval: Duration { .seconds(300) }
    /// All offers.
    public static var maximumOffers: Int { 1000 }
    /// From one clearnet network group, and from one link: what one operator can fill of the book.
    public static var maximumPerGroup: Int { 16 }
    public static var maximumPerLink: Int { 24 }
    /// From all links, present and past, with one network group: two full ones. Nobody fills the book by connecting again
    /// and again.
    public static var maximumPerOrigin: Int { 48 }
    /// Entries of one form about one endpoint that one link may tell. There are three forms: without an address, with
    /// one of IPv4, and with one of IPv6. So whoever lies about an address of an endpoint lies once for each family.
    public static var maximumPerEndpointAndLink: Int { 1 }
    /// Entries of one form about one endpoint from all links: the truth finds room beside the lies of as many links, less
    /// one, and addresses that are lies take no room from the endpoint alone.
    public static var maximumPerEndpoint: Int { 7 }
    /// Links that an offer is passed on to, beside the one that told it.
    public static var maximumRelays: Int { 2 }
    /// Offers in one message, read or sent.
    public static var maximumPerMessage: Int { 10 }
    /// Offers that one link may tell at once, and the time after which it may tell one more.
    public static var linkBurst: Int { 30 }
    public static var linkInterval: Duration { .seconds(20) }
    /// Links whose rate is counted. More than a node has.
    public static var maximumLinks: Int { 1024 }

    /// An offer in the book.
    public struct Entry: Hashable, Sendable {
        public let offer: PunchOffer
        /// When it was announced, as it says: seconds since 1970. Passed on unchanged.
        public let time: UInt32
        /// When it is gone.
        public let expires: MonotonicInstant
        /// The link that told it first.
        public let from: Link
        /// The network group of who was on its other end.
        public let origin: String
        /// Links that know it from us.
        fileprivate(set) var told: Set<Link>
    }

    /// What became of entries, for metrics.
    public struct Counts: Hashable, Sendable {
        public var learnt = 0
        /// Neither of the encodings, or a clearnet address to which nobody could connect.
        public var malformed = 0
        /// Older than ``OfferBook/lifetime``, or from the future.
        public var stale = 0
        /// Known already.
        public var known = 0
        /// Beyond a bound of the message, the link, the group or the book.
        public var overLimit = 0
    }

    public private(set) var counts = Counts()
    private var entries: [PunchOffer: Entry] = [:]
    private var rates: [Link: Trickle] = [:]
    private let allowPrivate: Bool

    /// - Parameter allowPrivate: whether private clearnet addresses are fine: labs and tests.
    public init(allowPrivate: Bool = false) {
        self.allowPrivate = allowPrivate
    }

    /// A link told addresses, of which only offers are looked at.
    ///
    /// - Parameters:
    ///   - origin: the network group of who is on the other end of the link.
    ///   - links: the clearnet links that could be told.
    ///   - clock: our wall clock; entries carry times.
    /// - Returns: what to pass on to which link, at most ``maximumPerMessage`` each.
    public mutating func learn(
        _ addresses: [NodeAddress], from link: Link, origin: String, links: [Link], now: MonotonicInstant,
        clock: WallClockTime, random: inout some RandomNumberGenerator
    ) -> [Link: [NodeAddress]] {
        self.expire(now: now)
        let offers = addresses.filter(PunchOffer.isOffer)
        self.counts.overLimit += max(0, offers.count - Self.maximumPerMessage)
        var relays: [Link: [NodeAddress]] = [:]
        for address in offers.prefix(Self.maximumPerMessage) {
            guard let entry = self.admit(address, from: link, origin: origin, now: now, clock: clock)
            else { continue }
            let others = Set(links).subtracting(entry.told).sorted().shuffled(using: &random)
            for other in others.prefix(Self.maximumRelays)
            where relays[other, default: []].count < Self.maximumPerMessage {
                relays[other, default: []].append(address)
                self.entries[entry.offer]?.told.insert(other)
            }
        }
        return relays
    }

    /// Keeps one entry; `nil` when it is no news or not wanted.
    private mutating func admit(
        _ address: NodeAddress, from link: Link, origin: String, now: MonotonicInstant, clock: WallClockTime
    ) -> Entry? {
        guard let offer = PunchOffer(address, allowPrivate: self.allowPrivate) else {
            self.counts.malformed += 1
            return nil
        }
        let age = clock - WallClockTime(seconds: Int64(address.lastSeen))
        guard age < Self.lifetime, age >= .zero - Self.maximumClockError else {
            self.counts.stale += 1
            return nil
        }
        if let known = self.entries[offer], !Self.isRenewal(address.lastSeen, of: known) {
            self.counts.known += 1
            return nil
        }
        guard self.takeToken(of: link, now: now), self.hasRoom(for: offer, from: link, origin: origin)
        else {
            self.counts.overLimit += 1
            return nil
        }
        let entry = Entry(
            offer: offer, time: address.lastSeen, expires: now + min(Self.lifetime, Self.lifetime - age), from: link,
            origin: origin, told: [link])
        self.entries[offer] = entry
        self.counts.learnt += 1
        return entry
    }

    private static func isRenewal(_ time: UInt32, of known: Entry) -> Bool {
        Int64(time) - Int64(known.time) >= Self.renewalInterval.components.seconds
    }

    private func hasRoom(for offer: PunchOffer, from link: Link, origin: String) -> Bool {
        let others = self.entries.values.filter { $0.offer != offer }
        let alike = others.filter { $0.offer.endpoint == offer.endpoint && $0.offer.isIPv4 == offer.isIPv4 }
        guard others.count < Self.maximumOffers, others.count(where: { $0.from == link }) < Self.maximumPerLink,
            others.count(where: { $0.origin == origin }) < Self.maximumPerOrigin,
            alike.count < Self.maximumPerEndpoint,
            alike.count(where: { $0.from == link }) < Self.maximumPerEndpointAndLink
        else { return false }
        guard let group = offer.networkGroup else { return true }
        return others.count { $0.offer.networkGroup == group } < Self.maximumPerGroup
    }

    private mutating func takeToken(of link: Link, now: MonotonicInstant) -> Bool {
        if self.rates[link] == nil, self.rates.count >= Self.maximumLinks {
            self.rates = self.rates.filter { !$0.value.isFull(now: now) }
            guard self.rates.count < Self.maximumLinks else { return false }
        }
        var rate = self.rates[link] ?? Trickle(burst: Self.linkBurst, interval: Self.linkInterval, now: now)
        defer { self.rates[link] = rate }
        return rate.take(now: now)
    }

    // MARK: - Reading

    /// The offers that are alive, the newest first.
    public mutating func offers(now: MonotonicInstant) -> [Entry] {
        self.expire(now: now)
        return self.entries.values.sorted {
            ($1.expires, $0.offer.description) < ($0.expires, $1.offer.description)
        }
    }

    /// One to call, or `nil`: first a network group by chance, then an endpoint of it, so that many offers from one group
    /// are no likelier than one. All endpoints without a clearnet address are one group. An endpoint whose address is
    /// known counts in the group of the address, also when that group is not wanted.
    ///
    /// - Parameters:
    ///   - isLie: `true` for offers whose address turned out not to be the endpoint's. They count for nothing.
    ///   - isWanted: `false` for what is not to be called: groups that we have connections to, endpoints of our own,
    ///     endpoints that failed lately.
    public mutating func choose(
        now: MonotonicInstant, random: inout some RandomNumberGenerator, isLie: (PunchOffer) -> Bool = { _ in false },
        where isWanted: (PunchCandidate) -> Bool
    ) -> PunchCandidate? {
        let believed = self.offers(now: now).map(\.offer).filter { !isLie($0) }
        let candidates = Dictionary(grouping: believed, by: \.endpoint).flatMap { endpoint, offers in
            let wanted = PunchCandidate.all(of: endpoint, offers).filter(isWanted)
            let ipv4 = offers.filter { $0.isIPv4 == true }
            // An IPv6 address is invented for nothing: one of a group that we have keeps nobody from being called at the
            // IPv4 address, where the coordination accepts no other family.
            guard wanted.isEmpty, !ipv4.isEmpty else { return wanted }
            return PunchCandidate.all(of: endpoint, ipv4).filter(isWanted)
        }
        let groups = Dictionary(grouping: candidates, by: \.drawnGroup)
        guard let group = groups.keys.sorted().randomElement(using: &random) else { return nil }
        // Several of one endpoint are one until it is drawn.
        let endpoints = Dictionary(grouping: groups[group] ?? [], by: \.endpoint)
        let names = endpoints.keys.sorted { $0.description < $1.description }
        guard let endpoint = names.randomElement(using: &random) else { return nil }
        return endpoints[endpoint]?.randomElement(using: &random)
    }

    /// Forgets what is too old.
    public mutating func expire(now: MonotonicInstant) {
        self.entries = self.entries.filter { now < $0.value.expires }
    }

    /// A link is gone. What it told stays until it is too old.
    public mutating func forget(_ link: Link) {
        for offer in self.entries.keys { self.entries[offer]?.told.remove(link) }
        self.rates[link] = nil
    }
}
