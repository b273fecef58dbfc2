// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetDriverProtocol
internal import AltNetHolePunch
internal import Glibc

/// Decides which offers of hole punching go over which links, and when: those of others, which ``OfferBook`` admits, and
/// our own.
///
/// Both leave in the same way, after a random delay of each link: who hears an offer from us first cannot tell from that
/// alone that it is ours. Nothing is kept longer than an offer lives, and nothing on the disk.
struct OfferExchange: Sendable {
    /// A link over which offers travel.
    struct Link: Hashable, Comparable, Sendable {
        let driver: String
        let number: DriverLink

        static func < (left: Self, right: Self) -> Bool {
            (left.driver, left.number.number) < (right.driver, right.number.number)
        }
    }

    /// What is to be announced over one link.
    struct Announcement: Hashable, Sendable {
        let link: Link
        let addresses: [NodeAddress]
    }

    /// How long an offer waits before it leaves, on average and at most: sixty such steps fit into an offer's life.
    static let meanDelay: Duration = .seconds(10)
    static let longestDelay: Duration = .seconds(40)
    /// How often our own offers are announced. An older one that is announced again is no news to others.
    static let ownInterval: Duration = OfferBook<Link>.renewalInterval + .seconds(30)
    /// How much later than that it may be, at random, so that nobody can tell nodes apart by it.
    static let ownJitter: Duration = .seconds(60)
    /// The most offers of others that wait for one link; more are left out.
    static let maximumWaiting = 2 * OfferBook<Link>.maximumPerMessage
    /// The most offers, news or not, that all links with one network group may tell in ten minutes: several links with
    /// honest nodes tell less. What stays of them in the book is bounded there.
    static let maximumPerOrigin = 180
    /// The most network groups that are counted: more than a node has links with in ten minutes.
    static let maximumOrigins = 1024
    /// Endpoints that were ours and may still be offered: all of several rotations on demand.
    static let maximumFormer = 64

    /// What happened to offers, by names for metrics.
    struct Counts: Hashable, Sendable {
        var announced: UInt64 = 0
        var relayed: UInt64 = 0
        /// Our own, from others.
        var own: UInt64 = 0
        /// From one network group more than ``OfferExchange/maximumPerOrigin``.
        var overLimit: UInt64 = 0
        /// Left out because too many waited for a link.
        var leftOut: UInt64 = 0
    }

    private struct LinkState {
        /// The network group of who is on the other end.
        let origin: String
        /// Offers of others.
        var waiting: [NodeAddress] = []
        /// Whether our own are to be announced.
        var owesOwn = false
        /// When what waits leaves; `nil` while nothing does.
        var leavesAt: MonotonicInstant?
    }

    /// What those of one network group told, until the count begins anew.
    private struct Told {
        var count: Int
        let until: MonotonicInstant
    }

    private(set) var counts = Counts()
    private var told: [String: Told] = [:]
    private let relaysOthers: Bool
    private let allowPrivate: Bool
    private var book: OfferBook<Link>
    private var links: [Link: LinkState] = [:]
    /// What we offer, the encoding first that says more: others pass on the first one that they hear.
    private(set) var own: [NodeAddress] = []
    private var ownEndpoints: Set<CoordinationEndpoint> = []
    /// Endpoints that were ours, until offers of them are gone.
    private var former: [CoordinationEndpoint: MonotonicInstant] = [:]
    /// When our own offers are announced next, and when they were last, as they say.
    private var nextRound: MonotonicInstant?
    private var roundTime: UInt32 = 0
    /// What the last round announced.
    private var announced: Set<Key> = []

    /// - Parameters:
    ///   - relaysOthers: whether offers of others are taken at all.
    ///   - allowPrivate: whether offers may name addresses of private networks, for labs and tests.
    init(relaysOthers: Bool, allowPrivate: Bool = false) {
        self.relaysOthers = relaysOthers
        self.allowPrivate = allowPrivate
        self.book = OfferBook(allowPrivate: allowPrivate)
    }

    /// How many links offers travel over.
    var linkCount: Int { self.links.count }

    // MARK: - Links

    /// A link opened over which offers may travel.
    ///
    /// - Parameter origin: the network group of who is on the other end.
    mutating func opened(
        _ link: Link, origin: String, now: MonotonicInstant, using generator: inout some RandomNumberGenerator
    ) {
        self.links[link] = LinkState(origin: origin)
        // Those who are told between two rounds get the time of the last one: it is the same offer.
        if self.roundTime > 0, !self.own.isEmpty { self.oweOwn(to: link, now: now, using: &generator) }
    }

    mutating func closed(_ link: Link) {
        guard self.links.removeValue(forKey: link) != nil else { return }
        self.book.forget(link)
    }

    mutating func detached(_ driver: String) {
        for link in self.links.keys where link.driver == driver { self.closed(link) }
    }

    // MARK: - Others' offers

    /// A link told addresses. Ordinary ones among them are nobody's concern.
    mutating func heard(
        _ addresses: [NodeAddress], over link: Link, now: MonotonicInstant, clock: WallClockTime,
        using generator: inout some RandomNumberGenerator
    ) {
        guard self.relaysOthers, let origin = self.links[link]?.origin else { return }
        let others = addresses.filter { address in
            guard PunchOffer.isOffer(address) else { return false }
            guard let offer = PunchOffer(address, allowPrivate: self.allowPrivate) else { return true }
            return !self.isOwn(offer.endpoint, now: now)
        }
        self.counts.own += UInt64(addresses.count(where: PunchOffer.isOffer) - others.count)
        let passing = others.prefix(self.take(others.count, of: origin, now: now))
        self.counts.overLimit += UInt64(others.count - passing.count)
        guard !passing.isEmpty else { return }
        let relays = self.book.learn(
            Array(passing), from: link, origin: origin, links: Array(self.links.keys), now: now, clock: clock,
            random: &generator)
        for (link, offers) in relays.sorted(by: { $0.key < $1.key }) {
            for offer in offers { self.add(offer, to: link, now: now, using: &generator) }
        }
    }

    /// How many of so many offers a link may tell: the book counts by link, and whoever connects anew has a new one.
    private mutating func take(_ count: Int, of origin: String, now: MonotonicInstant) -> Int {
        self.told = self.told.filter { $0.value.until > now }
        guard self.told[origin] != nil || self.told.count < Self.maximumOrigins else { return 0 }
        var told = self.told[origin] ?? Told(count: 0, until: now + OfferBook<Link>.lifetime)
        let taken = min(count, Self.maximumPerOrigin - told.count)
        told.count += taken
        self.told[origin] = told
        return taken
    }

    private mutating func add(
        _ offer: NodeAddress, to link: Link, now: MonotonicInstant, using generator: inout some RandomNumberGenerator
    ) {
        guard let state = self.links[link] else { return }
        guard state.waiting.count < Self.maximumWaiting else {
            self.counts.leftOut += 1
            return
        }
        self.links[link]?.waiting.append(offer)
        self.start(link, now: now, using: &generator)
    }

    // MARK: - Our own

    /// What we offer now; nothing while no more punched inbound peers are wanted.
    ///
    /// - Parameter endpoints: all endpoints of ours, offered or not.
    mutating func setOwn(_ offers: [NodeAddress], endpoints: [CoordinationEndpoint], now: MonotonicInstant) {
        let offers = offers.filter(PunchOffer.isOffer)
        let named = offers.compactMap { PunchOffer($0, allowPrivate: self.allowPrivate)?.endpoint }
        let endpoints = Set(endpoints).union(named)
        for gone in self.ownEndpoints.subtracting(endpoints) {
            self.former[gone] = now + OfferBook<Link>.lifetime + OfferBook<Link>.maximumClockError
        }
        self.former = self.former.filter { $0.value > now && !endpoints.contains($0.key) }
        while self.former.count > Self.maximumFormer, let oldest = self.former.min(by: { $0.value < $1.value }) {
            self.former[oldest.key] = nil
        }
        self.ownEndpoints = endpoints
        let sorted = offers.sorted { self.says(more: $0, than: $1) }
        guard Set(sorted.map(Key.init)) != Set(self.own.map(Key.init)) else { return }
        self.own = sorted
        // What was announced lately is still known: slots that fill up and empty again make no noise.
        if !Set(sorted.map(Key.init)).isSubset(of: self.announced) { self.nextRound = now }
    }

    /// An offer without its time.
    private struct Key: Hashable {
        let networkID: UInt8
        let address: [UInt8]
        let port: UInt16

        init(_ address: NodeAddress) {
            (self.networkID, self.address, self.port) = (address.networkID, address.address, address.port)
        }
    }

    private func says(more left: NodeAddress, than right: NodeAddress) -> Bool {
        left.networkID == PunchOffer.networkID && right.networkID != PunchOffer.networkID
    }

    /// Whether an endpoint is ours, or was so lately that it may still be offered.
    func isOwn(_ endpoint: CoordinationEndpoint, now: MonotonicInstant) -> Bool {
        self.ownEndpoints.contains(endpoint) || self.former[endpoint].map { $0 > now } ?? false
    }

    private mutating func oweOwn(
        to link: Link, now: MonotonicInstant, using generator: inout some RandomNumberGenerator
    ) {
        self.links[link]?.owesOwn = true
        self.start(link, now: now, using: &generator)
    }

    // MARK: - Time

    /// What is to be announced now.
    mutating func onTimer(
        now: MonotonicInstant, clock: WallClockTime, using generator: inout some RandomNumberGenerator
    ) -> [Announcement] {
        self.book.expire(now: now)
        if !self.own.isEmpty, self.nextRound.map({ $0 <= now }) ?? true {
            self.nextRound = now + Self.ownInterval + Self.random(below: Self.ownJitter, using: &generator)
            self.roundTime = UInt32(clamping: clock.seconds)
            self.announced = Set(self.own.map(Key.init))
            for link in self.links.keys.sorted() { self.oweOwn(to: link, now: now, using: &generator) }
        }
        var announcements: [Announcement] = []
        for link in self.links.keys.sorted() {
            guard let state = self.links[link], let moment = state.leavesAt, moment <= now else { continue }
            self.links[link]?.leavesAt = nil
            if let addresses = self.flush(link, clock: clock) {
                announcements.append(Announcement(link: link, addresses: addresses))
            }
            if self.links[link]?.waiting.isEmpty == false { self.start(link, now: now, using: &generator) }
        }
        return announcements
    }

    /// Takes out what leaves now; `nil` when nothing is left of it.
    private mutating func flush(_ link: Link, clock: WallClockTime) -> [NodeAddress]? {
        guard var state = self.links[link] else { return nil }
        let most = OfferBook<Link>.maximumPerMessage
        var addresses: [NodeAddress] = []
        if state.owesOwn {
            state.owesOwn = false
            addresses = self.own.prefix(most).map { offer in
                var offer = offer
                offer.lastSeen = self.roundTime
                return offer
            }
            self.counts.announced += UInt64(addresses.count)
        }
        // They may have waited behind others.
        let fresh = state.waiting.filter { offer in
            clock - WallClockTime(seconds: Int64(offer.lastSeen)) < OfferBook<Link>.lifetime
        }
        let leaving = fresh.prefix(most - addresses.count)
        state.waiting = Array(fresh.dropFirst(leaving.count))
        self.counts.relayed += UInt64(leaving.count)
        self.links[link] = state
        addresses += leaving
        return addresses.isEmpty ? nil : addresses
    }

    private mutating func start(
        _ link: Link, now: MonotonicInstant, using generator: inout some RandomNumberGenerator
    ) {
        guard self.links[link]?.leavesAt == nil else { return }
        self.links[link]?.leavesAt = now + Self.delay(using: &generator)
    }

    /// An exponential delay has no memory: when one offer leaves tells nothing about when it came.
    private static func delay(using generator: inout some RandomNumberGenerator) -> Duration {
        let uniform = Double.random(in: Double.leastNonzeroMagnitude...1, using: &generator)
        return min(Self.longestDelay, Self.meanDelay * -log(uniform))
    }

    private static func random(below bound: Duration, using generator: inout some RandomNumberGenerator) -> Duration {
        .nanoseconds(Int64.random(in: 0..<bound.wholeNanoseconds, using: &generator))
    }

    // MARK: - Questions

    /// Offers of others that are known, newest first: of each endpoint those that name a clearnet address, or the one
    /// that names none.
    func offers(now: MonotonicInstant) -> [OfferBook<Link>.Entry] {
        var book = self.book
        let entries = book.offers(now: now)
        let located = Set(entries.lazy.filter { $0.offer.clearnet != nil }.map(\.offer.endpoint))
        return entries.filter { $0.offer.clearnet != nil || !located.contains($0.offer.endpoint) }
    }

    /// The addresses that an endpoint is offered with. None when none is named, or when several of one family are, of which
    /// at least one is a lie.
    ///
    /// - Parameter isLie: `true` for offers whose address turned out not to be the endpoint's. They count for nothing.
    func addresses(
        of endpoint: CoordinationEndpoint, now: MonotonicInstant, isLie: (PunchOffer) -> Bool
    ) -> OfferedAddresses {
        let named = self.offers(now: now).map(\.offer).filter { $0.endpoint == endpoint && !isLie($0) }
            .compactMap(\.clearnet)
        return (try? OfferedAddresses(named.compactMap { ExternalEndpoint(address: $0, port: 0) }))
            ?? OfferedAddresses()
    }

    /// Somebody to call; never ourselves. An endpoint whose address is known counts in the group of the address, also
    /// when that group is not wanted.
    ///
    /// - Parameter isLie: `true` for offers whose address turned out not to be the endpoint's. They count for nothing.
    func choose(
        now: MonotonicInstant, using generator: inout some RandomNumberGenerator, isLie: (PunchOffer) -> Bool,
        where isWanted: (PunchCandidate) -> Bool
    ) -> PunchCandidate? {
        var book = self.book
        return book.choose(now: now, random: &generator, isLie: isLie) { candidate in
            !self.isOwn(candidate.endpoint, now: now) && isWanted(candidate)
        }
    }

    /// All counts by name.
    var counters: [String: UInt64] {
        let learnt = self.book.counts
        return [
            "announced": self.counts.announced, "relayed": self.counts.relayed, "own": self.counts.own,
            "left-out": self.counts.leftOut, "learnt": UInt64(learnt.learnt), "malformed": UInt64(learnt.malformed),
            "stale": UInt64(learnt.stale), "known": UInt64(learnt.known),
            "over-limit": UInt64(learnt.overLimit) + self.counts.overLimit,
        ]
    }
}
