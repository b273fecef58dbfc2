// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetKademlia
public import AltNetPeerRecords
internal import AltNetTransport
public import Logging

/// A node of a Kademlia DHT: searches, and in server mode answers.
///
/// Everything that others tell about peers goes to the peer store, and everything that is told to others comes from it:
/// one query for each answer. Decisions are those of ``Lookup``, ``RoutingTable`` and ``KademliaServer``.
public actor KademliaService {
    /// The protocol of the public DHT. Private ones have a prefix of their own.
    public static let publicProtocol = "/ipfs/kad/1.0.0"
    /// How long plain addresses that others told are kept: the specification's safe value for addresses of providers.
    public static let hearsayLifetime = Duration.seconds(30 * 60)
    /// How often the table is refreshed: the specification's default.
    public static let refreshInterval = Duration.seconds(10 * 60)
    /// How often our record is put into the DHT again. py-libp2p forgets records after two hours.
    public static let publishInterval = Duration.seconds(60 * 60)
    /// How often provider records are: the interval of the IPFS network.
    public static let provideInterval = Duration.seconds(22 * 3_600)
    /// The most keys that this node provides; each costs some thirty requests a day.
    public static let maximumProvided = 1_000
    /// The most searches at once, each with up to ten requests under way.
    public static let maximumSearches = 16
    /// Nodes to join through that are remembered, the last ones given: no operator types more.
    public static let maximumEntrances = 64
    /// As long as nobody answers, joining is tried again after this, and then after pauses that double up to the longest:
    /// bootstrap nodes start, networks come back, and nobody shall be asked all the time.
    public static let firstRetry = Duration.seconds(10)
    public static let longestRetry = Duration.seconds(300)

    public enum Mode: String, Hashable, Sendable, CaseIterable {
        /// Searches only: for nodes that others cannot reach, or that come and go.
        case client
        /// Answers too, and is in the tables of others.
        case server
    }

    public struct Configuration: Sendable {
        /// The protocol's name: of another prefix for a private network.
        public var protocolName: String
        public var mode: Mode
        /// The most members of one network group in the routing table; more for a private DHT with one provider.
        public var perGroupInTable: Int

        public init(
            protocolName: String = KademliaService.publicProtocol, mode: Mode = .client,
            perGroupInTable: Int = RoutingTable.maximumPerGroupInTable
        ) {
            self.protocolName = protocolName
            self.mode = mode
            self.perGroupInTable = perGroupInTable
        }
    }

    /// What to do with the stream on which a request came.
    public enum Reaction: Hashable, Sendable {
        case answer(KademliaMessage)
        case nothing
        case reset(reason: String)
    }

    public nonisolated let ourselves: PeerID
    public nonisolated let configuration: Configuration
    let book: any PeerBook
    let carrier: any KademliaCarrier
    nonisolated let logger: Logger
    var table: RoutingTable
    var server: KademliaServer
    var provided: Set<[UInt8]> = []
    var searches = 0
    /// The nodes to join through, again whenever nobody else answers; the latest last.
    var entrances: [PeerID] = []
    /// Answers to requests of ours.
    var answers: UInt64 = 0
    /// When a peer was last heard: as long as nobody is, failures may be our own.
    var lastHeard: MonotonicInstant?
    var claims = MembershipClaims()
    private var random: SeededRandom

    public init(
        ourselves: PeerID, book: any PeerBook, carrier: any KademliaCarrier,
        configuration: Configuration = Configuration(), logger: Logger
    ) {
        self.ourselves = ourselves
        self.configuration = configuration
        self.book = book
        self.carrier = carrier
        self.logger = logger
        self.table = RoutingTable(
            of: ourselves,
            perGroupInBucket: max(RoutingTable.maximumPerGroupInBucket, configuration.perGroupInTable / 2),
            perGroupInTable: configuration.perGroupInTable)
        self.server = KademliaServer(ourselves: ourselves, now: .now)
        var system = SystemRandomNumberGenerator()
        self.random = SeededRandom(seed: system.next())
    }

    /// Peers in the routing table.
    public var size: Int { self.table.count }

    /// The members of the routing table, farthest first.
    public var members: [PeerID] { self.table.entries.map(\.peer) }

    /// Answers a request. In client mode nothing must be served.
    public func answer(_ request: KademliaMessage, from contact: KademliaContact) async -> Reaction {
        let (news, step) = self.server.onRequest(
            request, from: contact.peer, group: contact.group, table: self.table, now: .now)
        let outcomes = await self.learn(news, from: contact)
        switch step {
        case .refuse(let refusal): return .reset(reason: refusal.description)
        case .nothing: return .nothing
        case .answer(var message):
            if message.kind != .ping { message.senderRecord = self.carrier.own(to: contact.network).signedRecord }
            return .answer(message)
        case .answerIfTaken(var message):
            switch outcomes.last {
            case .stored, .storedInPart, .unchanged:
                message.senderRecord = self.carrier.own(to: contact.network).signedRecord
                return .answer(message)
            case .refused(let refusal): return .reset(reason: refusal.description)
            case nil: return .reset(reason: "the peer store takes nothing")
            }
        case .ask(let draft):
            do {
                let told =
                    draft.wanted.isEmpty
                    ? [] : try await self.book.signedPeerRecords(of: draft.wanted, to: contact.network)
                let peers = told.map {
                    KademliaMessage.Peer(id: $0.id, addresses: $0.addresses, signedRecord: $0.envelope)
                }
                return .answer(self.server.answer(draft, peers: peers, own: self.carrier.own(to: contact.network)))
            } catch {
                return .reset(reason: "the peer store does not answer: \(error)")
            }
        }
    }

    /// Keeps the table fresh, and what this node has published known, until it is cancelled.
    ///
    /// - Parameter publishes: whether this node's own record is put into the DHT.
    public func run(publishes: Bool) async {
        var publishAt = MonotonicInstant.now
        var provideAt = MonotonicInstant.now + Self.provideInterval
        var failures = 0
        while !Task.isCancelled {
            failures = await self.refresh() ? 0 : failures + 1
            if publishes, MonotonicInstant.now >= publishAt, self.table.count > 0 {
                do {
                    let count = try await self.publishRecord()
                    self.logger.debug("own record put into the DHT", metadata: ["nodes": "\(count)"])
                    publishAt = MonotonicInstant.now + Self.publishInterval
                } catch {
                    self.logger.info("own record not put into the DHT: \(error)")
                }
            }
            if MonotonicInstant.now >= provideAt {
                for key in self.provided {
                    do {
                        _ = try await self.announce(key)
                    } catch {
                        self.logger.info("a key is not announced: \(error)")
                    }
                }
                provideAt = MonotonicInstant.now + Self.provideInterval
            }
            self.server.expire(now: .now)
            // Who has nobody to ask costs nobody anything, and looks soon whether somebody has come.
            let isAlone = self.table.count == 0 && self.entrances.isEmpty
            let retry = isAlone ? Self.firstRetry : Self.retryPause(after: failures)
            try? await Task.sleep(for: failures == 0 ? Self.refreshInterval : retry)
        }
    }

    /// How long to wait after so many refreshes in a row that nobody answered.
    static func retryPause(after failures: Int) -> Duration {
        // Doubling more often than this is past the longest pause anyway.
        min(Self.firstRetry * (1 << max(0, min(failures - 1, 8))), Self.longestRetry)
    }

    /// One round of refreshing: looks for ourselves, then for a key in each bucket in use, and asks those who were not
    /// heard for long whether they are still there. When nobody answers, it joins again through the nodes that were
    /// given to ``bootstrap(_:)``.
    ///
    /// - Returns: whether anybody answered.
    @discardableResult
    public func refresh() async -> Bool {
        let before = self.answers
        let own = self.ourselves.bytes
        await self.search(own, .closest)
        if self.answers == before, !Task.isCancelled {
            guard await self.ask(self.entrances) > 0 else { return false }
            await self.search(own, .closest)
        }
        for bucket in self.table.usedBuckets where !Task.isCancelled {
            guard let key = self.table.key(inBucket: bucket, using: &self.random) else { continue }
            await self.search(key, .closest)
        }
        for peer in self.table.stale(now: .now) where !Task.isCancelled { await self.check(peer) }
        return true
    }

    /// Sends a request with our record, and waits for an answer no longer than the specification says.
    func ask(_ peer: PeerID, _ request: KademliaMessage) async -> Result<(KademliaMessage, KademliaContact), any Error>
    {
        await self.ask(peer) { own in
            var request = request
            request.senderRecord = own.signedRecord
            return request
        }
    }

    func ask(
        _ peer: PeerID, _ compose: @escaping KademliaCarrier.Composer
    ) async -> Result<(KademliaMessage, KademliaContact), any Error> {
        let carrier = self.carrier
        do {
            let answer = try await withTimeLimit(Lookup.queryTimeout) { try await carrier.ask(peer, compose) }
            self.answers += 1
            self.lastHeard = .now
            if let record = answer.0.senderRecord {
                _ = await self.learn([.record(record, about: peer)], from: answer.1)
            }
            return .success(answer)
        } catch {
            return .failure(error)
        }
    }

    /// Hands news to the peer store, and logs what it refuses.
    func learn(_ news: some Collection<KademliaNews>, from contact: KademliaContact) async -> [NewsOutcome] {
        let told = news.map { piece -> PeerNews in
            switch piece {
            case .record(let envelope, let peer):
                .record(
                    envelope: envelope, source: .dht, about: peer, learnedOn: contact.network, toldBy: contact.origin)
            case .addresses(let peer, let addresses):
                .addresses(
                    peer, addresses, source: .dht, lifetime: Self.hearsayLifetime, learnedOn: contact.network,
                    toldBy: contact.origin)
            }
        }
        guard !told.isEmpty else { return [] }
        do {
            let outcomes = try await self.book.learn(told)
            for case .refused(let refusal) in outcomes {
                self.logger.trace("news from the DHT refused", metadata: ["reason": "\(refusal)"])
            }
            let taken = zip(told, outcomes).filter { _, outcome in
                switch outcome {
                case .stored, .storedInPart: true
                case .unchanged, .refused: false
                }
            }
            if !taken.isEmpty { await self.carrier.learned(taken.map(\.0)) }
            return outcomes
        } catch {
            self.logger.warning("the peer store takes nothing: \(error)")
            return []
        }
    }
}
