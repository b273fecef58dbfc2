// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetDialing
internal import AltNetDriverProtocol
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningAttachment
internal import AltNetLightningRelay
internal import AltNetLightningSession
internal import AltNetLightningStore
internal import AltNetObjects
internal import AltNetStreamDriver
internal import AltNetTransport
internal import Synchronization

/// Lightning: connections of our own (BOLT 8 and BOLT 1) or those of an attached node, both carrying Bitcoin objects as
/// custom messages; and far nodes, over messages that several nodes pass on.
struct LightningMedium: StreamMedium {
    /// What the operator wants of the medium.
    struct Options: Sendable {
        var network: Network
        /// The kinds of object that the orchestrator can be asked for.
        var serves: Set<ObjectKind>
        /// Whether everything goes out through a proxy, and nobody can connect to us.
        var isProxied = false
        /// Whether we take and forward directed and onion messages.
        var messages = true
        var limits = RelayLimits.standard
        /// Which alternative addresses there are to give, and to whom.
        var alternatives: AlternativeSettings
        /// Where that is recorded.
        var addressStore: AlternativeAddressStore
        /// The peers that the configuration names as targets.
        var configured: Set<NodeID> = []
        /// The addresses at which we listen for everyone.
        var ownAddresses: Set<LightningAddress> = []
        var attachedPauses = AttachedPauses()
        /// In which order a node of which only the key is given is dialled.
        var dialPolicy = DialPolicy.standard
        /// Where we say that our nodes are; nil when we say nothing, as on an attached node, whose key we do not have.
        var ownRecord: OwnNodeRecord?
    }

    /// How long the first node of a route is waited for before the attempt counts as failed: as long as a handshake may
    /// take.
    private static let neighbourPatience = Duration.seconds(10)

    let capabilities: DriverCapabilities
    let identity: String
    private let options: Options
    private let configuration: LightningSession.Configuration
    private let hub: MessageHub
    private let reception: Reception
    private let attachment: (any LightningAttachment)?
    private let book: AlternativeAddressBook

    /// A Lightning node of our own, without channels.
    init(key: NodePrivateKey, options: Options) throws(DriverSetupError) {
        try self.init(
            key: key, options: options, attachment: nil, identity: key.publicKey.description,
            // A node key is a pseudonym, and without a proxy our address is seen as well.
            exposure: options.isProxied ? .pseudonym : .clearnetAddress, streams: true)
    }

    /// On the connections of the operator's own node.
    init(_ attachment: any LightningAttachment, options: Options) throws(DriverSetupError) {
        guard options.alternatives.listeners.isEmpty, options.alternatives.torControl == nil else {
            throw DriverSetupError(
                "alt_listen and tor_control are for a node of our own; an attached node listens itself")
        }
        try self.init(
            // No session over an attached node uses the key: it is there because a session has one.
            key: NodeKeyFile.random(), options: options, attachment: attachment,
            identity: attachment.nodeID.description, exposure: .pseudonym, streams: false)
    }

    private init(
        key: NodePrivateKey, options: Options, attachment: (any LightningAttachment)?, identity: String,
        exposure: DriverCapabilities.Exposure, streams: Bool
    ) throws(DriverSetupError) {
        self.options = options
        self.attachment = attachment
        self.identity = identity
        var features = LightningFeatures([BitcoinOverLightning.featureBit])
        if options.messages {
            features.insert(DirectedMessage.featureBit)
            features.insert(OnionMessage.featureBit)
        }
        self.configuration = LightningSession.Configuration(
            privateKey: key, network: options.network, features: features,
            serves: options.serves.intersection([.headers, .peerRecords]).union([.headers, .tips]),
            takesStreams: streams)
        self.capabilities = DriverCapabilities(
            requests: Set(ObjectKind.allCases).subtracting([.tips]), serves: options.serves,
            announces: [.tips, .transactions, .addresses, .peerRecords], direction: .both,
            latency: options.isProxied ? .seconds : .milliseconds, bandwidth: .megabytes, cost: .free,
            exposure: exposure, streams: streams,
            operations: AlternativeAddressOperations.names + (options.messages ? MessageOperations.names : []),
            peers: true)
        let hub = MessageHub(key: key, attachment: attachment, limits: options.limits)
        self.hub = hub
        self.reception = Reception(hub: hub) {
            LightningLink(
                FarServerSession(FarServerSession.Configuration(network: options.network, serves: options.serves)))
        }
        // Not the hub itself, which holds the book.
        let neighbours = hub.neighbours
        do throws(AlternativeAddressStoreError) {
            self.book = try AlternativeAddressBook(
                AlternativeAddresses.Settings(
                    ourselves: attachment?.nodeID ?? key.publicKey, allowed: Set(options.alternatives.peers),
                    channels: options.alternatives.channels, configured: options.configured,
                    ownAddresses: options.ownAddresses, takesPrivate: options.alternatives.takesPrivate),
                store: options.addressStore, logsAddresses: options.alternatives.logsAddresses
            ) { message, node in
                neighbours.send(message, to: node)
            }
        } catch {
            throw DriverSetupError(error.description)
        }
    }

    // MARK: - Targets

    func parse(_ target: String) throws(DriverSetupError) -> LightningTarget {
        let parsed = try LightningTarget(target)
        switch parsed {
        case .peer, .known:
            guard self.attachment == nil else {
                throw DriverSetupError("an attached node connects to its peers itself: \(UntrustedText(target))")
            }
        case .far(let route):
            guard self.options.messages else {
                throw DriverSetupError("messages = false, so no far node can be reached: \(UntrustedText(target))")
            }
            guard self.hub.limits(of: route).message >= FarLinkSession.minimumFrame else {
                throw DriverSetupError(
                    "a route of \(route.nodes.count) nodes leaves no room for a request: \(UntrustedText(target))")
            }
        }
        return parsed
    }

    func dial(_ target: LightningTarget, _ dialer: LinkDialer) async throws -> DialedLink<LightningLink> {
        switch target {
        case .peer(let node, let remote):
            try await self.call(node, dialer) { (try await dialer.connect(to: remote), nil) }
        case .known(let node):
            try await self.call(node, dialer) {
                try await KnownNodeDialer(
                    policy: self.options.dialPolicy, takesPrivate: self.options.alternatives.takesPrivate
                ).connect(to: node, dialer)
            }
        case .far(let route): try await self.reach(route, dialer)
        }
    }

    /// A connection of our own, at the peer's alternative address where it has one.
    private func call(
        _ node: NodeID, _ dialer: LinkDialer,
        original: () async throws -> (connection: StreamConnection, dial: (any DialAttempt)?)
    ) async throws -> DialedLink<LightningLink> {
        let alternatives = AlternativeDialer(book: self.book, takesPrivate: self.options.alternatives.takesPrivate)
        let (connection, dial, isAlternative) = try await alternatives.connect(to: node, dialer, original: original)
        let session = LightningSession(
            initiatorTo: node, ephemeral: NodeKeyFile.random(), configuration: self.configuration)
        return DialedLink(
            connection, LightningLink(session, dial: dial),
            // Who is reached through a proxy learns our key and not our address, whether or not we also listen.
            exposure: dialer.proxy == nil ? nil : .pseudonym,
            remote: isAlternative ? "alternative address of \(node)" : nil)
    }

    /// A link to a far node: its connection is made of messages that the hub sends.
    private func reach(_ route: Route, _ dialer: LinkDialer) async throws -> DialedLink<LightningLink> {
        guard let first = route.nodes.first, let last = route.nodes.last else {
            throw DisconnectReason(.unreachable, "the route names no node")
        }
        // The first node is usually dialled in the same moment. Without this, the pauses between attempts would have
        // grown long by the time that it is there.
        let patience = MonotonicInstant.now + Self.neighbourPatience
        while !self.hub.canReach(first, over: route.carrier), MonotonicInstant.now < patience, !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(100))
        }
        guard self.hub.canReach(first, over: route.carrier) else {
            throw DisconnectReason(
                .unreachable, "the first node of the route is not connected, or takes no such messages")
        }
        let limits = self.hub.limits(of: route)
        let session = FarLinkSession(
            FarLinkSession.Configuration(
                network: self.options.network, identity: last.description, longestFrame: limits.message,
                longestAnswer: limits.answer, pace: route.carrier == .directed ? .directed : .onion),
            seed: .random(in: 0...UInt64.max))
        let hub = self.hub
        let answers = AnswerBox()
        let connection = dialer.messages(
            remote: "\(last) over \(route.nodes.count) hops",
            onWrite: { frame in
                // A message without an answer is repeated by the session.
                await hub.ask(route, frame, timeout: .seconds(30)) { result in
                    switch result {
                    case .success(let answer):
                        if !RelayFrame.isLocal(answer) { answers.deliver(answer) }
                    case .failure: answers.deliver(RelayFrame.lost(frame))
                    }
                }
            },
            onClose: { answers.connection = nil })
        answers.connection = connection
        // The far node sees nobody; the one before it, and those on the way, see their neighbours.
        return DialedLink(connection, LightningLink(session), exposure: DriverCapabilities.Exposure.none)
    }

    // MARK: - Links

    func inboundSession() -> LightningLink {
        LightningLink(LightningSession(responderWith: NodeKeyFile.random(), configuration: self.configuration))
    }

    func listeningText(_ address: HostAndPort) -> String { "\(self.identity)@\(address)" }

    /// A session on an alternative endpoint: for the peers that were given its address, and silent towards all others.
    private func privateSession(at endpoint: EndpointID) -> LightningLink {
        var configuration = self.configuration
        configuration.isPrivate = true
        let book = self.book
        configuration.admits = { book.admits($0, at: endpoint) }
        return LightningLink(LightningSession(responderWith: NodeKeyFile.random(), configuration: configuration))
    }

    func sessionEnded(_ session: LightningLink) {
        session.dial?.ended()
    }

    func heightChanged(to height: UInt32) {}

    func run(_ links: LinkAcceptor<LightningLink>) async throws {
        let reception = self.reception
        await self.hub.deliver { handle, neighbour, payload in
            await reception.take(payload, handle: handle, from: neighbour, links: links)
        }
        let book = self.book
        let feed = links.peers.map { PeerFeed($0) }
        await self.hub.deliverAddresses { body, node in
            for gift in await book.received(body, from: node) { feed?.given(gift) }
        }
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(try await self.work(links, feed))
        } catch {
            outcome = .failure(error)
        }
        // What the hub calls holds us, and we hold the hub: without this, the book's file would stay locked, and a plugin
        // could not attach again in the same process.
        await self.hub.forgetReceivers()
        try outcome.get()
    }

    private func work(_ links: LinkAcceptor<LightningLink>, _ feed: PeerFeed?) async throws {
        let book = self.book
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { if let failure = await book.failed() { throw failure } }
            if let record = self.options.ownRecord, let peers = links.peers {
                group.addTask { await record.run(listening: links.listening, peers) }
            }
            if let attachment = self.attachment {
                group.addTask { try await self.attach(attachment, links, feed) }
                if let feed { group.addTask { await feed.run(attachment) } }
            } else {
                let endpoints = AlternativeEndpoints(
                    self.options.alternatives, book: book, session: { self.privateSession(at: $0) })
                group.addTask { await endpoints.run(links) }
            }
            // Not `waitForAll`, which would wait for the other when one has failed.
            for try await _ in group {}
        }
    }

    /// Works with the connections of an attached node until that goes away.
    private func attach(
        _ attachment: any LightningAttachment, _ links: LinkAcceptor<LightningLink>, _ feed: PeerFeed?
    ) async throws {
        let book = self.book
        var configuration = self.configuration
        // The node may be connected with a peer whose own driver is not there: then nobody says that a request is lost.
        configuration.requestTimeout = .seconds(20)
        let caller = AttachedCaller(attachment, book: book, firstPause: self.options.attachedPauses.call)
        let node = AttachedNode(
            attachment, hub: self.hub, takesMessages: self.options.messages,
            firstPause: self.options.attachedPauses.link,
            makeSession: { [configuration] in
                LightningLink(
                    LightningSession(
                        attachedTo: $0, features: $1, firstRequest: .random(in: 0...UInt64(UInt32.max)),
                        configuration: configuration))
            },
            onPeer: { peer, channels in
                await book.attached(peer, channels: channels)
                await caller.peer(peer, isConnected: channels != nil)
                await feed?.attached(peer, isConnected: channels != nil)
            })
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(try await node.run(links))
        } catch {
            outcome = .failure(error)
        }
        await caller.stop()
        try outcome.get()
        throw DisconnectReason(.closed, "the attached node has gone away")
    }

    func linkOpened(_ link: MediumLink, _ peer: LinkPeer) async {
        // The links of far nodes and of an attached node's peers carry no messages for the driver themselves.
        guard self.attachment == nil, !peer.takesMessages.isEmpty, let node = NodeID(hex: peer.identity) else { return }
        await self.hub.neighbourOpened(node, Neighbour(link, takes: peer.takesMessages))
        await self.book.connected(node)
    }

    func linkClosed(_ link: MediumLink) async {
        guard self.attachment == nil, let node = self.hub.neighbours.node(of: link.id) else { return }
        await self.hub.neighbourClosed(link.id)
        await self.book.disconnected(node)
    }

    func received(_ message: [UInt8], over link: MediumLink) async {
        guard self.attachment == nil, let node = self.hub.neighbours.node(of: link.id) else { return }
        await self.hub.received(message, from: node)
    }

    // MARK: - Operations

    func perform(_ operation: String, _ body: [UInt8]) async throws(OperationFailure) -> [UInt8] {
        let messages = MessageOperations(hub: self.hub, reception: self.reception)
        if let result = try await messages.perform(operation, body) { return result }
        if let result = try await AlternativeAddressOperations(book: self.book).perform(operation, body) {
            return result
        }
        throw OperationFailure("this driver knows no operation \(operation)")
    }
}

/// Where the answers to a far link's messages go once its connection is there.
private final class AnswerBox: Sendable {
    private let held = Mutex<MessageConnection?>(nil)

    var connection: MessageConnection? {
        get { self.held.withLock { $0 } }
        set { self.held.withLock { $0 = newValue } }
    }

    func deliver(_ answer: [UInt8]) {
        self.connection?.deliver(answer)
    }
}
