// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
public import AltNetHeaderChain
public import AltNetObjects

/// Keeps the header chain in step with what all links bring, and knows of every link which tip it has shown.
///
/// Nothing is believed: a header counts after its rules are checked, and is kept only when its chain has enough work.
/// While far behind, one link at a time is asked for the bulk; a link that stops answering loses that place to the
/// next. Links that stand behind the best chain are asked again and again whether they still do.
public struct HeaderSync: Sendable {
    /// How the sync behaves.
    public struct Configuration: Hashable, Sendable {
        /// The work that a chain must have to be kept while we know nothing better.
        public var minimumWork: Work
        /// How long one request may take. A driver gives up on a request itself; this is for drivers that do not.
        public var requestTimeout: Duration = .seconds(60)
        /// A link that has shown less than the best chain is asked again after this time.
        public var behindProbeInterval: Duration = .seconds(10)
        /// A link that has shown the best tip is asked again after this time.
        public var idleProbeInterval: Duration = .seconds(120)

        public init(network: Network) {
            self.minimumWork = network.minimumChainWork
        }
    }

    /// A chain may fork this far below the tip without proving the minimum work again: a day of blocks. Deeper forks
    /// need as much work as our own chain has there, or they are not kept (Bitcoin Core: 144 blocks).
    static let forkTolerance: UInt32 = 144

    /// The others wait this long for a link that delivers the bulk and then no good piece: long enough for a slow
    /// circuit, short enough that a link which drips cannot hold everything up.
    static let bulkPatience: Duration = .seconds(30)
    /// An answer of this many headers counts as a good piece: a quarter of what Bitcoin's P2P protocol can answer.
    static let goodPiece = 500
    /// After this long the link that delivers the bulk lets the others have their turn: enough for both passes of a
    /// pre-synchronisation at 250 kB/s, and the most that one link with an endless cheap chain can hold up the rest.
    static let bulkTurn: Duration = .seconds(600)

    /// What the caller has to do.
    public enum Directive: Hashable, Sendable {
        /// Send this request over the link; its answer comes back with the same number.
        case request(LinkID, id: UInt64, ObjectRequest)
        /// Append these raw headers to the store: they became the nodes `nodes`, in this order. `source` is the link
        /// that brought them, `nil` for the operator.
        case store(nodes: Range<UInt32>, headers: [UInt8], source: LinkID?)
        /// The best chain changed; `source` is the link that brought it, `nil` for the operator.
        case tipChanged(TipChange, source: LinkID?)
        /// What a link has shown changed.
        case viewChanged(LinkID)
        /// The link broke the rules. It is forgotten already; closing it may be reported or not.
        case disconnect(LinkID, DisconnectReason)
        /// Call ``HeaderSync/onTimer(now:)`` at this moment, at once if it has passed; replaces any earlier one.
        case setTimer(MonotonicInstant)
    }

    /// What is known of a link.
    public struct View: Hashable, Sendable {
        /// The last header of the best chain that the link has shown; `nil` until it has shown any.
        public internal(set) var tip: HeaderNode?
        /// The height that the link reached in a pre-synchronisation: headers that are not kept yet.
        public internal(set) var presyncHeight: UInt32?
        /// The chain that the link showed last has too little work to be kept.
        public internal(set) var isLowWork = false
    }

    struct Link: Sendable {
        var view = View()
        var request: InFlight?
        var presync: HeaderPresync?
        var nextProbe: MonotonicInstant
        /// What the next ladder looks like.
        var ladder: Ladder = .plain
        /// Where the link's last answer ended, if that is not the best it has shown and more may follow.
        var resume: HeaderNode?
        /// The link had nothing after what it has shown, so it probably has nothing now.
        var isSettled = false
        /// Set after the link had its turn with the bulk: it leaves the next one to others until this moment.
        var yieldsUntil: MonotonicInstant?
    }

    /// The steps by which a link is located that answers a ladder with nothing: it stands exactly on one of the rungs.
    enum Ladder: Hashable, Sendable {
        /// From our tip down to the last header that we know the link to have.
        case plain
        /// The same ladder again, with other rungs.
        case shifted(from: HeaderNode, above: HeaderNode)
        /// The start alone, which is the one rung that both ladders share.
        case start
    }

    /// How the locator of a request was made.
    enum Locator: Hashable, Sendable {
        /// From the last header that the link has shown: nothing in return means that it still stands there.
        case follow
        /// From our own tip, because the link may be anywhere between what it has shown and there.
        case ladder(Ladder, from: HeaderNode, above: HeaderNode)
        /// From where the pre-synchronisation is.
        case presync
    }

    struct InFlight: Sendable {
        let id: UInt64
        let deadline: MonotonicInstant
        let locator: Locator
    }

    /// The link that delivers the bulk while the others wait, since when, and when it last delivered a good piece.
    struct Bulk: Sendable {
        let link: LinkID
        let since: MonotonicInstant
        var lastPiece: MonotonicInstant

        /// When the others need not wait any longer, whatever comes.
        var end: MonotonicInstant { min(self.lastPiece + HeaderSync.bulkPatience, self.since + HeaderSync.bulkTurn) }
    }

    public internal(set) var chain: HeaderChain
    public let configuration: Configuration
    var links: [LinkID: Link] = [:]
    var bulk: Bulk?
    var nextRequest: UInt64 = 1
    var randomness: SeededRandom

    /// - Parameters:
    ///   - chain: what the store held.
    ///   - seed: a secret random number.
    public init(chain: HeaderChain, configuration: Configuration, seed: UInt64) {
        self.chain = chain
        self.configuration = configuration
        self.randomness = SeededRandom(seed: seed)
    }

    /// Whether a link is delivering the bulk of a longer chain: the tip is about to move again.
    public var isDelivering: Bool { self.bulk != nil }

    /// What a link has shown; `nil` for a link that is not there.
    public func view(of link: LinkID) -> View? { self.links[link]?.view }

    /// How many headers of the best chain a link has not shown, and the height of the first of them; `nil` while
    /// nothing is known of it.
    public func missing(of link: LinkID) -> (count: UInt32, firstHeight: UInt32)? {
        guard let tip = self.links[link]?.view.tip else { return nil }
        let fork = self.chain.height(of: self.chain.fork(of: tip))
        return (self.chain.tipHeight - fork, fork + 1)
    }

    /// The work below which a chain is not kept.
    public var threshold: Work {
        let tip = self.chain.tip
        let perHeader = self.chain.bits(of: tip).work
        let tolerated = perHeader &* UInt64(Self.forkTolerance)
        return max(self.configuration.minimumWork, self.chain.work(of: tip).subtractingSaturating(tolerated))
    }

    // MARK: - Links

    /// A link that can be asked for headers stands.
    public mutating func onLinkOpened(_ link: LinkID, now: MonotonicInstant) -> [Directive] {
        self.links[link] = Link(nextProbe: now)
        return self.onTimer(now: now)
    }

    /// A link is gone. An unknown one is ignored.
    public mutating func onLinkClosed(_ link: LinkID, now: MonotonicInstant) -> [Directive] {
        self.links[link] = nil
        self.endBulk(of: link, now: now)
        return self.onTimer(now: now)
    }

    /// The answer to a ``Directive/request(_:id:_:)``. An answer nobody waits for is ignored.
    public mutating func onAnswer(
        _ link: LinkID, id: UInt64, _ answer: ObjectAnswer, now: MonotonicInstant, wallClock: WallClockTime
    ) -> [Directive] {
        guard let state = self.links[link], let request = state.request, request.id == id else { return [] }
        self.links[link]?.request = nil
        var directives: [Directive]
        switch answer {
        case .headers(let headers) where headers.isEmpty:
            directives = self.onNothingMore(link, request: request, now: now)
        case .headers(let headers):
            directives = self.onHeaders(link, headers, isAnswer: true, now: now, wallClock: wallClock)
        case .refused:
            self.endBulk(of: link, now: now)
            self.links[link]?.nextProbe = now + self.configuration.behindProbeInterval
            directives = []
        case .objects, .addresses:
            directives = self.disconnect(link, .protocolViolation, "asked for headers, got others")
        }
        directives += self.onTimer(now: now)
        return directives
    }

    /// A link announced a header as its tip. The height it claims is not used.
    public mutating func onTip(
        _ link: LinkID, header: BlockHeader, now: MonotonicInstant, wallClock: WallClockTime
    ) -> [Directive] {
        guard let state = self.links[link] else { return [] }
        let hash = header.hash
        if let node = self.chain.find(hash) {
            return self.show(link, node) + self.onTimer(now: now)
        }
        // Whatever it builds on, it must have cost work: else anybody could make us ask without end.
        guard let target = header.bits.target, target <= self.chain.network.proofOfWorkLimitTarget,
            hash.number <= target
        else { return self.disconnect(link, .invalidHeaders, "a tip without proof of work, \(hash)") }
        guard self.chain.find(header.previous) != nil, state.presync == nil else {
            // We lack what it builds on: ask at once.
            self.links[link]?.nextProbe = now
            return self.onTimer(now: now)
        }
        return self.onHeaders(link, header.bytes, isAnswer: false, now: now, wallClock: wallClock)
            + self.onTimer(now: now)
    }

    /// A link has news that it did not bring along: it is asked at once. An unknown one is ignored.
    public mutating func onNews(_ link: LinkID, now: MonotonicInstant) -> [Directive] {
        self.links[link]?.nextProbe = now
        return self.onTimer(now: now)
    }

    /// Time has passed.
    public mutating func onTimer(now: MonotonicInstant) -> [Directive] {
        self.expire(now: now)
        var directives: [Directive] = []
        for link in self.links.keys.sorted() {
            guard let state = self.links[link], state.request == nil, self.probeMoment(link, state) <= now else {
                continue
            }
            directives += self.probe(link, now: now)
        }
        let moments = self.links.map { link, state in state.request?.deadline ?? self.probeMoment(link, state) }
        if let next = moments.min() { directives.append(.setTimer(next)) }
        return directives
    }

    private mutating func expire(now: MonotonicInstant) {
        for (link, state) in self.links {
            guard let request = state.request, request.deadline <= now else { continue }
            self.links[link]?.request = nil
            self.links[link]?.nextProbe = now + self.configuration.behindProbeInterval
            self.endBulk(of: link, now: now)
        }
        if let bulk = self.bulk, bulk.end <= now { self.endBulk(of: bulk.link, now: now) }
    }

    /// When a link that is not being asked is to be asked.
    private func probeMoment(_ link: LinkID, _ state: Link) -> MonotonicInstant {
        var moment = max(state.nextProbe, state.yieldsUntil ?? state.nextProbe)
        if let bulk = self.bulk, bulk.link != link { moment = max(moment, bulk.end) }
        return moment
    }

    /// Another piece came from a link: large ones make it the one that the others wait for.
    mutating func noteBulk(_ link: LinkID, headers: Int, now: MonotonicInstant) {
        guard headers >= Self.goodPiece else { return }
        if self.bulk?.link == link {
            self.bulk?.lastPiece = now
        } else if self.bulk == nil, (self.links[link]?.yieldsUntil ?? now) <= now {
            self.bulk = Bulk(link: link, since: now, lastPiece: now)
        }
    }

    /// A link no longer delivers the bulk, if it did. It leaves the next turn to those who had none, until all have
    /// had one: else two links with endless cheap chains could pass the place to each other for ever.
    mutating func endBulk(of link: LinkID, now: MonotonicInstant) {
        guard self.bulk?.link == link else { return }
        self.bulk = nil
        self.links[link]?.yieldsUntil = now
        let isRoundOver = self.links.values.allSatisfy { $0.yieldsUntil != nil }
        for (link, state) in self.links where state.yieldsUntil != nil {
            self.links[link]?.yieldsUntil = isRoundOver ? nil : now + Self.bulkPatience
        }
    }

    // MARK: - The operator's headers

    /// Headers that the operator gives us: every rule holds, but the minimum work is not asked for.
    ///
    /// - Returns: how many were new, why the run ended early if it did, and what to do.
    public mutating func onImport(
        _ headers: [UInt8], now: MonotonicInstant, wallClock: WallClockTime
    ) -> (added: UInt32, rejection: HeaderRejection?, directives: [Directive]) {
        let before = self.chain.count
        let (rejection, _, directives) = self.accept(
            headers, source: nil, minimumWork: .zero, wallClock: wallClock)
        return (UInt32(self.chain.count - before), rejection, directives + self.onTimer(now: now))
    }

    /// The link broke the rules: nothing of it is kept, and nothing more is asked of it.
    mutating func disconnect(_ link: LinkID, _ code: DisconnectReason.Code, _ detail: String) -> [Directive] {
        self.links[link] = nil
        if self.bulk?.link == link { self.bulk = nil }
        return [.disconnect(link, DisconnectReason(code, detail))]
    }
}
