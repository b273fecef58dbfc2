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

    /// A peer is connected and serves this DHT, as its identify message says.
    public func met(_ contact: KademliaContact) {
        self.heard(contact)
    }

    /// A peer serves this DHT no longer, as its identify message says.
    public func left(_ peer: PeerID) {
        self.table.remove(peer)
    }

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
                let told = draft.wanted.isEmpty ? [] : try await self.book.handout(draft.wanted, to: contact.network)
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
        while !Task.isCancelled {
            await self.refresh()
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
            // As long as nobody is known there may soon be somebody: bootstrap nodes start, networks come back.
            let pause = self.table.count == 0 ? Duration.seconds(10) : Self.refreshInterval
            try? await Task.sleep(for: pause)
        }
    }

    /// One round of refreshing: looks for ourselves, then for a key in each bucket in use, and asks those who were not
    /// heard for long whether they are still there.
    public func refresh() async {
        let own = self.ourselves.bytes
        await self.search(own, .closest)
        for bucket in self.table.usedBuckets where !Task.isCancelled {
            guard let key = self.table.key(inBucket: bucket, using: &self.random) else { continue }
            await self.search(key, .closest)
        }
        for peer in self.table.stale(now: .now) where !Task.isCancelled { await self.check(peer) }
    }

    /// Asks peers that are known by address only, so that they become members: they need not be looked up.
    ///
    /// - Returns: how many answered.
    @discardableResult
    public func bootstrap(_ peers: [PeerID]) async -> Int {
        await withTaskGroup(of: Bool.self) { group in
            for peer in peers where peer != self.ourselves { group.addTask { await self.check(peer) } }
            var count = 0
            for await isAlive in group where isAlive { count += 1 }
            return count
        }
    }

    /// Asks a peer for those closest to us, and takes it in if it answers.
    @discardableResult
    func check(_ peer: PeerID) async -> Bool {
        let request = KademliaMessage(kind: .findNode, key: self.ourselves.bytes)
        switch await self.ask(peer, request) {
        case .success(let (answer, contact)) where answer.kind == .findNode:
            self.heard(contact)
            self.table.checked(peer, isAlive: true, now: .now)
            let news = answer.closerPeers.prefix(RoutingTable.bucketSize).compactMap(KademliaNews.init)
            _ = await self.learn(news, from: contact)
            return true
        case .success:
            self.table.checked(peer, isAlive: false, now: .now)
            return false
        case .failure(let error):
            self.logger.debug("a node of the DHT is gone", metadata: ["peer": "\(peer)", "reason": "\(error)"])
            self.table.checked(peer, isAlive: false, now: .now)
            return false
        }
    }

    /// Takes a peer that has just shown that it serves the DHT into the table.
    func heard(_ contact: KademliaContact) {
        guard case .full(let oldest) = self.table.heard(contact.peer, group: contact.group, now: .now) else { return }
        // At most one for each bucket at a time.
        Task { await self.check(oldest) }
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
            return outcomes
        } catch {
            self.logger.warning("the peer store takes nothing: \(error)")
            return []
        }
    }
}
