// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetDriverProtocol
internal import AltNetHolePunch
internal import AltNetObjects
internal import AltNetPunchReports
internal import AltNetStreamDriver
internal import AltNetTransport

/// Punched connections. A target is somebody's coordination endpoint.
final class PunchMedium: StreamMedium {
    typealias Session = PunchedSession

    /// How long new endpoints are waited for when the operator asks for new keys. Tor answers at once, I2P's router
    /// takes longer; whoever is not there by then comes later.
    private static let rotationPatience: Duration = .seconds(20)

    let capabilities: DriverCapabilities
    let identity = ""
    let settings: PunchSettings
    let sessions: PunchedSessions
    let coordinator: PunchCoordinator
    let endpoints: CoordinationEndpoints
    let place: NetworkPlace
    let answering: AnsweringService
    /// Connections that are to become links.
    let connections: AsyncStream<PunchedConnection>
    private let continuation: AsyncStream<PunchedConnection>.Continuation

    /// - Parameter servesBlocks: whether links serve blocks, from the operator's node.
    init(
        _ settings: PunchSettings, network: Network, directory: String, userAgent: String, servesBlocks: Bool = false
    ) {
        let serves: Set<ObjectKind> = servesBlocks ? [.headers, .blocks, .peerRecords] : [.headers, .peerRecords]
        self.settings = settings
        self.sessions = PunchedSessions(network: network, userAgent: userAgent, use: settings.use, serves: serves)
        self.place = NetworkPlace(settings, network: network, userAgent: userAgent)
        self.answering = AnsweringService(
            network: network, userAgent: userAgent, allowPrivate: settings.allowsPrivate)
        // As many as there are slots and calls.
        let (connections, continuation) = AsyncStream<PunchedConnection>.makeStream()
        self.connections = connections
        self.continuation = continuation
        let coordinator = PunchCoordinator(settings, network: network, place: self.place) {
            if case .enqueued = continuation.yield($0) { true } else { false }
        }
        self.coordinator = coordinator
        self.endpoints = CoordinationEndpoints(settings, directory: directory, port: network.defaultPort) {
            (held, endpoint) in
            Task { await coordinator.accept(held, at: endpoint) }
        }
        let isNode = settings.use == .node
        self.capabilities = DriverCapabilities(
            requests: isNode ? [] : [.headers, .blocks, .addresses, .peerRecords],
            serves: isNode ? [] : serves,
            announces: isNode ? [] : [.tips, .addresses, .peerRecords], direction: .both, latency: .milliseconds,
            bandwidth: .megabytes, cost: .free, exposure: .clearnetAddress, streams: isNode,
            operations: PunchOperation.all, offers: !isNode)
    }

    func parse(_ target: String) throws(DriverSetupError) -> CoordinationEndpoint {
        do throws(CoordinationEndpointError) {
            return try CoordinationEndpoint(target)
        } catch {
            throw DriverSetupError("\(UntrustedText(target)): \(error)")
        }
    }

    func dial(_ target: CoordinationEndpoint, _ dialer: LinkDialer) async throws -> DialedLink<PunchedSession> {
        let (report, connection) = try await self.coordinator.call(target, offered: OfferedAddresses())
        guard let connection else {
            throw DisconnectReason(.unreachable, "\(report.outcome): \(report.reason ?? "no connection")")
        }
        return self.sessions.link(connection, dialer)
    }

    /// Nobody comes in without coordination; the settings refuse listeners.
    func inboundSession() -> PunchedSession { PunchedSession(RawStream(.ours)) }
    func listeningText(_ address: HostAndPort) -> String { address.description }
    func sessionEnded(_ session: PunchedSession) { self.sessions.ended(session) }
    func heightChanged(to height: UInt32) { self.sessions.heightChanged(to: height) }

    func run(_ links: LinkAcceptor<PunchedSession>) async throws {
        let listener = try await self.answerChecks()
        await withDiscardingTaskGroup { group in
            group.addTask { await self.endpoints.run() }
            group.addTask { await self.place.run() }
            for await connection in self.connections {
                group.addTask { await self.carry(connection, links) }
            }
            group.cancelAll()
        }
        await self.coordinator.stop()
        await listener?.close()
    }

    /// Listens for the NAT checks of others, where the settings say so.
    private func answerChecks() async throws -> StreamListener? {
        guard let address = self.settings.answersChecks else { return nil }
        do {
            return try await self.answering.listen(on: address)
        } catch {
            throw DriverSetupError("cannot answer checks at \(address): \(NetworkFailure.describe(error))")
        }
    }

    private func carry(_ connection: PunchedConnection, _ links: LinkAcceptor<PunchedSession>) async {
        _ = await links.runLink { self.sessions.link(connection, $0, isRequested: connection.role == .initiator) }
        if let slot = connection.slot { await self.coordinator.slotFreed(slot) }
    }

    /// Makes a link of a connection that the operator asked for.
    func adopt(_ connection: PunchedConnection) {
        if case .enqueued = self.continuation.yield(connection) { return }
        connection.held.connection.abort()
    }

    /// Gives all endpoints new keys, and waits a little for the new ones.
    func rotateKeys() async -> [CoordinationEndpoint] {
        let before = await self.endpoints.current.filter(\.isAnnounced)
        await self.endpoints.rotate()
        let deadline = MonotonicInstant.now + Self.rotationPatience
        while MonotonicInstant.now < deadline, !Task.isCancelled {
            let now = await self.endpoints.current.filter(\.isAnnounced)
            if now.count >= before.count, Set(now).isDisjoint(with: before) { break }
            try? await Task.sleep(for: .milliseconds(100))
        }
        return await self.endpoints.current
    }
}
