// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDialing
internal import AltNetLibp2p
public import AltNetPeerRecords
internal import AltNetTransport
public import Logging
internal import Synchronization

/// A node of libp2p over TCP: it listens, dials, tells who it is, learns who others are, and carries streams.
///
/// What it learns goes to a ``PeerBook``; where to dial comes from there. Everything that waits can be cancelled.
public final class Libp2pHost: Sendable {
    /// What a served protocol does with a stream. When it returns, the stream is ended; what it still holds of it is
    /// of no use any more.
    public typealias Handler = @Sendable (Libp2pStream, PeerID) async -> Void

    /// Events that wait for one listener; older ones are dropped, a slow listener asks for ``links`` instead.
    static let maximumWaitingEvents = 1_024

    struct Running {
        let core: LinkCore
        let slot: ConnectionSlots.Slot
        let task: Task<Void, Never>
        /// Closed, and its place is another's.
        var isDisplaced = false
    }

    struct State {
        var handlers: [String: Handler] = [:]
        var listeners: [StreamListener] = []
        /// Addresses that we listen on, with the ports that the system chose.
        var listening: [Multiaddress] = []
        /// Addresses that enough peers have seen us at.
        var confirmed: [Multiaddress] = []
        var record: CertifiedPeerRecord?
        /// The last of the runs that sign a record; they go one after the other.
        var signing: Task<Void, Never>?
        var slots = ConnectionSlots()
        var links: [PeerID: [Libp2pLink]] = [:]
        var running: [UInt64: Running] = [:]
        var nextNumber: UInt64 = 0
        var listeningEvents: [UInt64: AsyncStream<HostEvent>.Continuation] = [:]
        /// Looks after what peers have said of our address.
        var watch: Task<Void, Never>?
        var isShutDown = false
    }

    /// Who we are.
    public let peer: PeerID
    let key: PeerPrivateKey
    let book: any PeerBook
    let configuration: HostConfiguration
    let logger: Logger
    let network = StreamNetwork()
    let localNetworks = LocalNetworks()
    let state = Mutex(State())
    let dialer: PeerDialer<Libp2pLink>
    let dialTargets = Mutex(DialTargetLimit())
    let observed = Mutex(ObservedState())

    /// - Parameters:
    ///   - key: our identity.
    ///   - book: what is known of peers.
    public init(key: PeerPrivateKey, book: any PeerBook, configuration: HostConfiguration, logger: Logger) {
        self.key = key
        self.peer = key.peerID
        self.book = book
        self.configuration = configuration
        self.logger = logger
        let reference = HostReference()
        self.dialer = Self.dialer(for: reference, configuration)
        reference.set(self)
        let watch = self.watchObserved(interval: configuration.observationInterval)
        self.state.withLock { $0.watch = watch }
        self.serve(ProtocolName.identify) { [weak self] stream, _ in await self?.answerIdentify(stream) }
        self.serve(ProtocolName.identifyPush) { [weak self] stream, _ in await self?.takePush(stream) }
        self.serve(ProtocolName.ping) { [idleTimeout = configuration.pingIdleTimeout] stream, _ in
            await PingServer.answer(stream, idleTimeout: idleTimeout)
        }
    }

    // MARK: Listening

    /// Accepts connections at `/ip4/…/tcp/…` and `/ip6/…/tcp/…`; port 0 lets the system choose. Gives the addresses with
    /// their ports. When one fails, none is listened on.
    @discardableResult
    public func listen(on addresses: [Multiaddress]) async throws -> [Multiaddress] {
        var made: [(StreamListener, Multiaddress)] = []
        do {
            for address in addresses {
                let listener = try await self.network.listen(on: try SocketTarget.listening(address)) {
                    self.receiver()
                }
                guard let bound = listener.address.flatMap({ SocketTarget.multiaddress($0) }) else {
                    await listener.close()
                    throw LinkFailure.undialable("\(address) cannot be listened on")
                }
                made.append((listener, bound))
            }
        } catch {
            for (listener, _) in made { await listener.close() }
            throw error
        }
        let isShutDown = self.state.withLock { state in
            if !state.isShutDown {
                state.listeners += made.map(\.0)
                state.listening += made.map(\.1)
            }
            return state.isShutDown
        }
        if isShutDown {
            for (listener, _) in made { await listener.close() }
            throw LinkFailure.limit("the host has shut down")
        }
        await self.refreshRecord()
        return made.map(\.1)
    }

    // MARK: Protocols

    /// Serves a protocol, from the next stream on; replaces an earlier handler.
    public func serve(_ protocolName: String, _ handler: @escaping Handler) {
        self.state.withLock { $0.handlers[protocolName] = handler }
        self.tellMachines()
    }

    /// The protocols that are served.
    public var protocols: [String] { self.state.withLock { $0.handlers.keys.sorted() } }

    private func tellMachines() {
        let (names, cores) = self.state.withLock { (Set($0.handlers.keys), $0.running.values.map(\.core)) }
        for core in cores { core.locked { $0.machine.serve(names) } }
    }

    // MARK: Connections

    /// The connections with a peer, the oldest first.
    public func links(to peer: PeerID) -> [Libp2pLink] { self.state.withLock { $0.links[peer] ?? [] } }

    /// All connections with peers that have proved who they are.
    public var links: [Libp2pLink] { self.state.withLock { $0.links.values.flatMap { $0 } } }

    /// Opens a stream, over a connection that there is or a new one.
    public func openStream(
        to peer: PeerID, protocols: [String], addresses: [Multiaddress] = []
    ) async throws -> Libp2pStream {
        try await self.connect(to: peer, addresses: addresses).openStream(protocols: protocols)
    }

    /// What happens from now on. Each call gives a listener of its own.
    public func events() -> AsyncStream<HostEvent> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: HostEvent.self, bufferingPolicy: .bufferingNewest(Self.maximumWaitingEvents))
        let number = self.state.withLock { state -> UInt64? in
            guard !state.isShutDown else { return nil }
            state.nextNumber += 1
            state.listeningEvents[state.nextNumber] = continuation
            return state.nextNumber
        }
        guard let number else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { $0.listeningEvents[number] = nil }
        }
        return stream
    }

    func tell(_ event: HostEvent) {
        for listener in self.state.withLock({ Array($0.listeningEvents.values) }) { listener.yield(event) }
    }

    /// Closes everything and waits until it is closed. The host cannot be used again.
    public func shutdown() async {
        let (listeners, running, listening) = self.state.withLock { state in
            state.isShutDown = true
            state.watch?.cancel()
            defer { state.listeners = [] }
            return (state.listeners, Array(state.running.values), Array(state.listeningEvents.values))
        }
        for listener in listeners { await listener.close() }
        await self.dialer.shutdown()
        for link in running { link.core.close() }
        for link in running { await link.task.value }
        for listener in listening { listener.finish() }
    }
}
