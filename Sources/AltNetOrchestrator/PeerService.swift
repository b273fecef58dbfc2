// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetConfiguration
internal import AltNetDriverHost
internal import AltNetDriverProtocol
internal import AltNetObjects
internal import AltNetPeerRecords
internal import AltNetPeerStore
internal import Logging

/// The peer store's place in the daemon: drivers tell it of peers and ask it about them, links bring and fetch signed
/// records, and the operator looks into it.
actor PeerService {
    /// How often expired addresses are swept out, and how many peers are looked at each time: all of a full store in less
    /// than two hours.
    private static let sweepInterval: Duration = .seconds(60)
    private static let sweepSize = 1_000
    /// Requests of ours that drivers carry have numbers of their own range, below those for blocks.
    private static let firstRequest: UInt64 = 1 << 61
    /// How often a link may ask for records: eight times at once, and a new time every second. Nobody needs all that we
    /// know at once, and whoever wants it takes some time for it.
    private static let requests = (burst: 8, perSecond: 1)
    /// How long changes are collected before drivers are told: nothing beside a dial.
    private static let changePause: Duration = .milliseconds(100)
    /// The most peers that drivers are told of at once; of others they hear when they ask.
    private static let maximumChanged = 10_000
    /// The most ids of our own that are remembered: a driver has one, and few operators make new keys without a restart.
    private static let maximumOwnIDs = 1_024

    private struct Link {
        let exposure: DriverCapabilities.Exposure
        /// Whether nothing names us there but our address: offers of hole punching travel over such links.
        let isNameless: Bool
        let origin: NewsOrigin
        var budget: TokenBucket
    }

    let book: StoredPeerBook
    private let sharing: PeerSharing
    private let logger: Logger
    private var host: DriverHost?
    private var links: [String: [DriverLink: Link]] = [:]
    private var capabilities: [String: DriverCapabilities] = [:]
    /// The drivers that are peers themselves, and under which id.
    private var identities: [String: PeerID] = [:]
    /// All ids that drivers have had, also those that are gone: what others say of them is about ourselves.
    private var ownIDs: Set<PeerID> = []
    /// What they signed of themselves last.
    private var ownRecords: [String: SealedRecord] = [:]
    private var nextRequest = PeerService.firstRequest
    /// Of whom drivers are to be told, and the task that does it in a moment.
    private var changed: [String: Set<PeerID>] = [:]
    private var isTelling = false

    /// - Parameter chain: the first block of the chain that the daemon is for.
    init(
        _ settings: DaemonConfiguration.Peers, chain: BlockHash, directory: String, logger: Logger
    ) throws(PeerStoreError) {
        let filter = AddressFilter(
            refusesPrivateRanges: !settings.keepsPrivateRanges,
            refusesUnknownTransports: !settings.keepsUnknownTransports)
        let store = try PeerStore(
            directory: directory, settings: PeerStoreSettings(capacity: settings.capacity, filter: filter, chain: chain)
        )
        self.book = StoredPeerBook(store: store, now: { .system })
        self.sharing = PeerSharing(setting: settings.shareRecord)
        self.logger = logger
    }

    func setHost(_ host: DriverHost) { self.host = host }

    /// Sweeps what has expired, until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.sweepInterval)
            do {
                _ = try await self.book.ask { store, now in try store.sweep(limit: Self.sweepSize, now: now) }
            } catch {
                self.logger.warning("the peer store could not be swept", metadata: ["reason": "\(error)"])
            }
        }
    }

    // MARK: - Drivers

    func attached(_ driver: String, _ capabilities: DriverCapabilities, identity: String) {
        self.capabilities[driver] = capabilities
        guard capabilities.peers, let peer = PeerID(identity: identity) else { return }
        self.identities[driver] = peer
        if self.ownIDs.count < Self.maximumOwnIDs { self.ownIDs.insert(peer) }
    }

    func detached(_ driver: String) {
        self.capabilities[driver] = nil
        self.identities[driver] = nil
        self.ownRecords[driver] = nil
        self.links[driver] = nil
        self.changed[driver] = nil
    }

    /// Whether what a driver says is for this service alone.
    static func takes(_ event: DriverEvent) -> Bool {
        switch event {
        case .peerNews, .peerQuestion, .announcement(_, .peerRecord), .request(_, id: _, .peerRecords): true
        case .answer(_, id: let id, _): (Self.firstRequest..<(2 * Self.firstRequest)).contains(id)
        default: false
        }
    }

    func driver(_ driver: String, said event: DriverEvent) {
        switch event {
        case .linkOpened(let link, let description): self.open(link, of: driver, description)
        case .linkClosed(let link, _): self.links[driver]?[link] = nil
        case .peerNews(let id, let news): self.take(news, id: id, from: driver)
        case .peerQuestion(let id, let question): self.answer(question, id: id, of: driver)
        case .announcement(let link, .peerRecord(let envelope)):
            self.learn([envelope], over: link, of: driver)
        case .answer(let link, _, .objects(.peerRecords, let envelopes)):
            self.learn(Array(envelopes.prefix(ObjectRequest.maximumPeerRecords)), over: link, of: driver)
        case .request(let link, let id, .peerRecords(let peers, let limit)):
            self.answer(peers, limit: Int(limit), over: link, id: id, of: driver)
        default: break
        }
    }

    private func take(_ news: [PeerNews], id: UInt64, from driver: String) {
        var (others, positions): ([PeerNews], [Int]) = ([], [])
        var outcomes = [NewsOutcome](repeating: .unchanged, count: news.count)
        for (index, item) in news.enumerated() {
            if case .record(let envelope, _, _, _, _) = item, let own = self.identities[driver],
                SealedRecord(unverified: envelope)?.subject == own
            {
                outcomes[index] = self.takeOwn(envelope, of: driver)
            } else {
                others.append(item)
                positions.append(index)
            }
        }
        // Elsewhere: the driver's next event need not wait for the disk.
        Task {
            let learned = await self.learn(others, from: driver)
            for (position, outcome) in zip(positions, learned) { outcomes[position] = outcome }
            await self.host?.send(.peerOutcomes(id: id, outcomes), to: driver)
        }
    }

    /// - Parameter driver: who told it on its own, and so knows it.
    private func learn(_ news: [PeerNews], from driver: String? = nil) async -> [NewsOutcome] {
        do {
            let outcomes = try await self.book.learn(news)
            self.tellDrivers(of: zip(news, outcomes).compactMap { $1.isNew ? $0.subject : nil }, except: driver)
            return outcomes
        } catch {
            self.logger.warning("news of peers could not be stored", metadata: ["reason": "\(error)"])
            let refusal = PeerNewsRefusal(.overloaded, "the peer store does not work: \(error)")
            return Array(repeating: .refused(refusal), count: news.count)
        }
    }

    /// What the operator says.
    func add(_ news: [PeerNews]) async throws -> [NewsOutcome] {
        let outcomes = try await self.book.learn(news)
        self.tellDrivers(of: zip(news, outcomes).compactMap { $1.isNew ? $0.subject : nil })
        return outcomes
    }

    /// Lets whoever is dialling those peers know that there is more to know, or less. What comes close together is told
    /// together, so that a flood of news is no flood of messages.
    func tellDrivers(of peers: [PeerID], except driver: String? = nil) {
        guard !peers.isEmpty else { return }
        for (name, capabilities) in self.capabilities where capabilities.peers && name != driver {
            let room = Self.maximumChanged - self.changed[name, default: []].count
            self.changed[name, default: []].formUnion(peers.prefix(max(0, room)))
        }
        guard !self.isTelling else { return }
        self.isTelling = true
        Task {
            try? await Task.sleep(for: Self.changePause)
            self.isTelling = false
            let changed = self.changed
            self.changed = [:]
            for (name, peers) in changed { await self.tell(name, peers.sorted()) }
        }
    }

    private func tell(_ driver: String, _ peers: [PeerID]) async {
        for start in stride(from: 0, to: peers.count, by: PeerMessageRules.maximumPeers) {
            let part = Array(peers[start..<min(start + PeerMessageRules.maximumPeers, peers.count)])
            await self.host?.send(.peersChanged(part), to: driver)
        }
    }

    private func answer(_ question: PeerQuestion, id: UInt64, of driver: String) {
        Task {
            let answer: PeerAnswer
            do {
                switch question.without(self.ownIDs, or: self.identities[driver]) {
                case .known(let peers):
                    answer = .known(try await self.book.known(peers).compactMap(Self.withoutNode))
                case .nodes(let peers): answer = .nodes(try await self.book.known(peers).compactMap(Self.nodeAlone))
                case .handout(let peers, to: let network):
                    answer = .handouts(
                        try await self.book.signedPeerRecords(of: peers, to: network).map(Self.shortened))
                }
            } catch {
                answer = .failed("\(error)")
            }
            await self.host?.send(.peerAnswer(id: id, answer), to: driver)
        }
    }

    /// What is known of the peer itself, with as many addresses as fit an answer; nil when that is nothing.
    private static func withoutNode(_ peer: KnownPeer) -> KnownPeer? {
        guard peer.record != nil || !peer.addresses.isEmpty else { return nil }
        return KnownPeer(id: peer.id, record: peer.record, addresses: Self.shortened(peer.addresses))
    }

    /// What is known of the peer's nodes.
    private static func nodeAlone(_ peer: KnownPeer) -> KnownPeer? {
        peer.node.map { node in
            KnownPeer(
                id: peer.id, record: nil, addresses: [],
                node: KnownNode(record: node.record, addresses: Self.shortened(node.addresses)))
        }
    }

    /// The best of those that count everywhere, and of those that count on one network only.
    static func shortened(_ addresses: [KnownAddress]) -> [KnownAddress] {
        let limit = PeerMessageRules.maximumAddresses
        guard addresses.count > limit else { return addresses }
        var (everywhere, local) = (0, 0)
        return addresses.filter { address in
            if address.network == nil { everywhere += 1 } else { local += 1 }
            return address.network == nil ? everywhere <= limit : local <= limit
        }
    }

    private static func shortened(_ handout: PeerHandout) -> PeerHandout {
        PeerHandout(
            id: handout.id, envelope: handout.envelope,
            addresses: Array(handout.addresses.prefix(PeerMessageRules.maximumAddresses)))
    }

    // MARK: - Links

    private func open(_ link: DriverLink, of driver: String, _ description: DriverLinkDescription) {
        let capabilities = self.capabilities[driver]
        let exposure = PeerSharing.exposure(of: description, driver: capabilities?.exposure)
        let opened = Link(
            exposure: exposure, isNameless: capabilities?.offers ?? false,
            origin: PeerSharing.origin(of: description, driver: driver),
            budget: TokenBucket(burst: Self.requests.burst, perSecond: Self.requests.perSecond, now: .system))
        self.links[driver, default: [:]][link] = opened
        guard description.peer.serves.contains(.peerRecords), self.sharing.exchanges(over: exposure) else { return }
        self.nextRequest += 1
        let request = DriverCommand.request(
            link, id: self.nextRequest, .peerRecords(of: [], limit: UInt32(ObjectRequest.maximumPeerRecords)))
        let records = self.ownRecords.filter { self.tells($1, of: $0, over: opened, of: driver) }.values
        Task {
            await self.host?.send(request, to: driver)
            for record in records {
                await self.host?.send(.announcement(link, .peerRecord(record.envelope)), to: driver)
            }
        }
    }

    private func learn(_ envelopes: [[UInt8]], over link: DriverLink, of driver: String) {
        guard let state = self.links[driver]?[link], self.sharing.exchanges(over: state.exposure) else { return }
        let news = envelopes.compactMap { envelope -> PeerNews? in
            // Our own record comes back to us from those whom we told it.
            guard let peer = SealedRecord(unverified: envelope)?.subject else { return nil }
            // Where nothing names us, it is kept as anybody's, and given back as anybody's: who never had it would be the
            // one whom it is about.
            guard state.isNameless || !self.ownIDs.contains(peer) else { return nil }
            return .record(envelope: envelope, source: .link, about: nil, learnedOn: nil, toldBy: state.origin)
        }
        guard !news.isEmpty else { return }
        Task { _ = await self.learn(news) }
    }

    /// What a remote is told: records of those it names, or of any.
    private func answer(_ peers: [[UInt8]], limit: Int, over link: DriverLink, id: UInt64, of driver: String) {
        guard var state = self.links[driver]?[link], self.sharing.exchanges(over: state.exposure) else {
            return self.send(.answer(link, id: id, .refused(.unsupported)), to: driver)
        }
        let limit = min(limit, ObjectRequest.maximumPeerRecords)
        guard state.budget.take(now: .system) else {
            return self.send(.answer(link, id: id, .refused(.busy)), to: driver)
        }
        self.links[driver]?[link] = state
        let own = self.ownRecords.filter { name, record in
            self.tells(record, of: name, over: state, of: driver)
                && (peers.isEmpty || peers.contains(record.subject.bytes))
        }.values
        // What others told of us is for those who do not know us by a name, and do not have it from us.
        let excluded = state.isNameless ? Set(own.map(\.subject)) : self.ownIDs
        let named = peers.compactMap { try? PeerID(bytes: $0) }
        Task {
            do {
                let envelopes =
                    own.map(\.envelope)
                    + (try await self.handouts(peers.isEmpty ? nil : named, but: excluded, limit: limit))
                let answer: ObjectAnswer =
                    envelopes.isEmpty
                    ? .refused(.notFound) : .objects(.peerRecords, Array(envelopes.prefix(limit)))
                await self.host?.send(.answer(link, id: id, answer), to: driver)
            } catch {
                await self.host?.send(.answer(link, id: id, .refused(.unavailable)), to: driver)
            }
        }
    }

    /// Sealed records that may go anywhere: of the peers named, or of some that are drawn by lot. In no order, so that
    /// records of nodes have their share of an answer in which not all have room.
    private func handouts(_ peers: [PeerID]?, but excluded: Set<PeerID>, limit: Int) async throws -> [[UInt8]] {
        let peers = try await self.draw(peers, limit: limit).filter { !excluded.contains($0) }
        let nodes = try await self.book.ask { store, now in try store.nodeRecords(of: peers, now: now) }
        let records = try await self.book.signedPeerRecords(of: peers, to: nil).compactMap(\.envelope)
        return (records + nodes).shuffled()
    }

    private func draw(_ peers: [PeerID]?, limit: Int) async throws -> [PeerID] {
        if let peers { return peers }
        // Behind a random place in the order of ids: others ask from other places, so that all are spread.
        let start = PeerID.random()
        let page = try await self.book.ask { store, now in try store.list(after: start, limit: limit, now: now) }
        guard page.peers.count < limit else { return page.peers.map(\.id) }
        let first = try await self.book.ask { store, now in try store.list(after: nil, limit: limit, now: now) }
        return (page.peers + first.peers).prefix(limit).map(\.id)
    }

    // MARK: - Our own record

    private func takeOwn(_ envelope: [UInt8], of driver: String) -> NewsOutcome {
        let record: SealedRecord
        do {
            record = try SealedRecord(verifying: envelope)
        } catch {
            return .refused(PeerNewsRefusal(.invalidRecord, error.description))
        }
        if let former = self.ownRecords[driver], former.sequence >= record.sequence { return .unchanged }
        self.ownRecords[driver] = record
        for (name, links) in self.links {
            for (link, state) in links where self.tells(record, of: driver, over: state, of: name) {
                self.send(.announcement(link, .peerRecord(envelope)), to: name)
            }
        }
        return .stored
    }

    /// Whether the record that a driver signed of itself goes over a link of another one, or of its own.
    private func tells(_ record: SealedRecord, of signer: String, over link: Link, of driver: String) -> Bool {
        self.sharing.tells(
            record, over: link.exposure, ofItsDriver: signer == driver, isNameless: link.isNameless)
    }

    private func send(_ command: DriverCommand, to driver: String) {
        Task { await self.host?.send(command, to: driver) }
    }
}

extension PeerQuestion {
    /// The question without what others say of us: to be told to nobody of any identity of ours, and no news to a driver of
    /// itself.
    fileprivate func without(_ own: Set<PeerID>, or itself: PeerID?) -> PeerQuestion {
        switch self {
        case .known(let peers): .known(peers.filter { $0 != itself })
        case .handout(let peers, let network): .handout(peers.filter { !own.contains($0) }, to: network)
        case .nodes(let peers): .nodes(peers.filter { $0 != itself })
        }
    }
}

extension NewsOutcome {
    /// Whether the store knows more than before.
    fileprivate var isNew: Bool {
        switch self {
        case .stored, .storedInPart: true
        case .unchanged, .refused: false
        }
    }
}

extension PeerID {
    /// An id that nobody has, for drawing lots: that of an Ed25519 or a secp256k1 key, which nearly all peers have.
    static func random() -> PeerID? {
        let head: [UInt8] = Bool.random() ? [0, 36, 8, 1, 18, 32] : [0, 37, 8, 2, 18, 33, .random(in: 2...3)]
        return try? PeerID(bytes: head + (0..<32).map { _ in UInt8.random(in: 0...255) })
    }
}
