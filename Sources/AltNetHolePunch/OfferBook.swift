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
    public static var maximumPerLink: Int { 16 }
    /// Entries about one endpoint that one link may tell: one of each encoding. So whoever lies about the clearnet
    /// address of an endpoint lies once.
    public static var maximumPerEndpointAndLink: Int { 2 }
    /// Entries about one endpoint from all links. The truth finds room beside the lies of as many links, less two.
    public static var maximumPerEndpoint: Int { 8 }
    /// Links that an offer is passed on to, beside the one that told it.
    public static var maximumRelays: Int { 2 }
    /// Offers in one message, read or sent.
    public static var maximumPerMessage: Int { 10 }
    /// Offers that one link may tell at once, and the time after which it may tell one more.
    public static var linkBurst: Int { 20 }
    public static var linkInterval: Duration { .seconds(30) }
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
    ///   - links: the clearnet links that could be told.
    ///   - clock: our wall clock; entries carry times.
    /// - Returns: what to pass on to which link, at most ``maximumPerMessage`` each.
    public mutating func learn(
        _ addresses: [NodeAddress], from link: Link, links: [Link], now: MonotonicInstant, clock: WallClockTime,
        random: inout some RandomNumberGenerator
    ) -> [Link: [NodeAddress]] {
        self.expire(now: now)
        let offers = addresses.filter(PunchOffer.isOffer)
        self.counts.overLimit += max(0, offers.count - Self.maximumPerMessage)
        var relays: [Link: [NodeAddress]] = [:]
        for address in offers.prefix(Self.maximumPerMessage) {
            guard let entry = self.admit(address, from: link, now: now, clock: clock) else { continue }
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
        _ address: NodeAddress, from link: Link, now: MonotonicInstant, clock: WallClockTime
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
        guard self.takeToken(of: link, now: now), self.hasRoom(for: offer, from: link) else {
            self.counts.overLimit += 1
            return nil
        }
        let entry = Entry(
            offer: offer, time: address.lastSeen, expires: now + min(Self.lifetime, Self.lifetime - age), from: link,
            told: [link])
        self.entries[offer] = entry
        self.counts.learnt += 1
        return entry
    }

    private static func isRenewal(_ time: UInt32, of known: Entry) -> Bool {
        Int64(time) - Int64(known.time) >= Self.renewalInterval.components.seconds
    }

    private func hasRoom(for offer: PunchOffer, from link: Link) -> Bool {
        let others = self.entries.values.filter { $0.offer != offer }
        let alike = others.filter { $0.offer.endpoint == offer.endpoint }
        let told = alike.filter { $0.from == link }
        guard others.count < Self.maximumOffers, others.count(where: { $0.from == link }) < Self.maximumPerLink,
            alike.count < Self.maximumPerEndpoint, told.count < Self.maximumPerEndpointAndLink,
            // The address of an endpoint, once; and the endpoint without an address, once.
            !told.contains(where: { ($0.offer.clearnet == nil) == (offer.clearnet == nil) })
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

    /// One to call, or `nil`: first a network group by chance, then an offer of it, so that many offers from one group
    /// are no likelier than one. All offers without a clearnet address are one group.
    ///
    /// - Parameter isWanted: `false` for what is not to be called: groups that we have connections to, endpoints of our
    ///   own, endpoints that failed lately.
    public mutating func choose(
        now: MonotonicInstant, random: inout some RandomNumberGenerator, where isWanted: (PunchOffer) -> Bool
    ) -> PunchOffer? {
        let wanted = self.offers(now: now).map(\.offer).filter(isWanted)
        // An endpoint whose address is known counts in the group of the address.
        let located = Set(wanted.filter { $0.clearnet != nil }.map(\.endpoint))
        let groups = Dictionary(grouping: wanted.filter { $0.clearnet != nil || !located.contains($0.endpoint) }) {
            $0.networkGroup ?? ""
        }
        guard let group = groups.keys.sorted().randomElement(using: &random) else { return nil }
        return groups[group]?.randomElement(using: &random)
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
