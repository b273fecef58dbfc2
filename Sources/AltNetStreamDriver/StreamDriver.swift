// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetDriverKit
public import AltNetDriverProtocol
internal import AltNetObjects
internal import AltNetTransport
internal import Logging

/// A driver over byte streams: dials its targets and accepts connections, runs a session on each, and passes objects
/// between the sessions and the orchestrator.
public actor StreamDriver<Medium: StreamMedium>: Driver {
    /// The first pause before a target is dialled again; it doubles with every failure in a row.
    static var firstRetry: Duration { .seconds(1) }
    /// The longest pause. A remote that is back is found within a minute.
    static var longestRetry: Duration { .seconds(60) }
    /// A link that stood this long was no failure: the pauses begin anew.
    static var healthyAfter: Duration { .seconds(30) }
    /// The most targets. Their links have a place of their own, which nobody who connects to us can take.
    static var maximumTargets: Int { 32 }
    /// The most operations that are carried out at a time: as many as the orchestrator may have open.
    static var maximumOperations: Int { OperationRules.maximumOpen }

    private typealias Shell = LinkShell<Medium.Session>

    private struct Link {
        let target: String
        let remote: String
        let entrance: LinkEntrance
        let connection: any LinkConnection
        let inputs: AsyncStream<Shell.Input>.Continuation
        let streams: StreamInbox
        let exposure: DriverCapabilities.Exposure?
        let requested: String
        let medium: MediumLink
        var isEstablished = false

        var place: InboundLinks.Place {
            InboundLinks.Place(
                entrance: self.entrance, remote: self.connection.remote, isEstablished: self.isEstablished)
        }
    }

    public nonisolated let capabilities: DriverCapabilities
    public nonisolated let identity: String
    private let medium: Medium
    private let settings: StreamSettings
    private let network = StreamNetwork()
    private let logger = Logger(label: "driver")
    private var links: [DriverLink: Link] = [:]
    private var targets: [String: Task<Void, Never>] = [:]
    private var operations: [UInt64: Task<Void, Never>] = [:]
    private var nextLink: UInt64 = 1
    private var nextEndpoint: UInt64 = 1
    private var latestTip: ObjectAnnouncement?
    /// The orchestrator's peer store, where the medium has to do with peers.
    private var peers: OrchestratorBook?

    /// - Throws: a ``DriverSetupError`` when a target cannot be understood.
    public init(_ medium: Medium, settings: StreamSettings) throws {
        self.medium = medium
        var capabilities = medium.capabilities
        // What is not declared is neither asked of our remotes nor taken from them.
        if settings.servesOnly { capabilities.requests = [] }
        self.capabilities = capabilities
        self.identity = medium.identity
        self.settings = settings
        for target in settings.connect { _ = try medium.parse(target) }
    }

    public func run(_ orchestrator: OrchestratorConnection) async throws {
        var listeners: [StreamListener] = []
        for address in self.settings.listen {
            do {
                listeners.append(
                    try await self.listen(on: address, orchestrator) {
                        DialedLink($0, self.medium.inboundSession(from: $0.socket))
                    })
            } catch {
                for listener in listeners { await listener.close() }
                throw DriverFailure("cannot listen on \(address): \(NetworkFailure.describe(error))")
            }
        }
        if !listeners.isEmpty {
            await orchestrator.send(.listening(listeners.compactMap(\.address).map(self.medium.listeningText)))
        }
        let opened = listeners
        let listening = listeners.compactMap(\.address)
        if self.capabilities.peers { self.peers = OrchestratorBook(orchestrator) }
        defer { for listener in opened { Task { await listener.close() } } }
        // Whichever ends first ends the other: the commands when we are to stop, the medium when it has failed.
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.runMedium(listening, orchestrator) }
            group.addTask { await self.runCommands(orchestrator) }
            // Whoever waits for an answer about peers would hold up the end.
            defer { if let peers = self.peers { Task { await peers.close() } } }
            try await group.next()
            group.cancelAll()
        }
    }

    /// Lets the medium work; ends when it fails, or with the driver.
    private func runMedium(_ listening: [HostAndPort], _ orchestrator: OrchestratorConnection) async throws {
        try await self.medium.run(
            LinkAcceptor(
                run: { await self.runLink(.medium, orchestrator, $0) },
                listen: { try await self.listen(on: $0, maximumLinks: $1, orchestrator, $2) },
                peers: self.peers, listening: listening))
        while !Task.isCancelled { try? await Task.sleep(for: .seconds(86_400)) }
    }

    private func runCommands(_ orchestrator: OrchestratorConnection) async {
        for target in self.settings.connect { await self.open(target, orchestrator) }
        for await command in orchestrator.commands { await self.perform(command, orchestrator) }
        for task in self.targets.values { task.cancel() }
        for task in self.operations.values { task.cancel() }
        for link in self.links.values { link.inputs.deliver(.close(DisconnectReason(.requested, "the driver stops"))) }
    }

    // MARK: - Commands

    private func perform(_ command: DriverCommand, _ orchestrator: OrchestratorConnection) async {
        switch command {
        case .openTarget(let target): await self.open(target, orchestrator)
        case .closeTarget(let target):
            self.targets.removeValue(forKey: target)?.cancel()
            for link in self.links.values where link.target == target {
                link.inputs.deliver(.close(DisconnectReason(.requested, "the target was removed")))
            }
        case .closeLink(let link, let reason): self.links[link]?.inputs.deliver(.close(reason))
        case .request(let link, let id, let request):
            guard self.links[link]?.isEstablished == true else {
                return await orchestrator.send(.answer(link, id: id, .refused(.unavailable)))
            }
            self.pass(.request(id: id, request), to: link)
        case .answer(let link, let id, let answer): self.pass(.answer(id: id, answer), to: link)
        case .announcement(let link, let announcement):
            guard link == .all else { return self.pass(.announcement(announcement), to: link) }
            if case .tip(_, let height) = announcement {
                self.latestTip = announcement
                self.medium.heightChanged(to: height)
            }
            for (link, state) in self.links where state.isEstablished {
                self.pass(.announcement(announcement), to: link)
            }
        case .stream(let link, let id, let message):
            guard let state = self.links[link] else { return }
            guard state.streams.add(message, of: id, announce: { state.inputs.deliver(.streams) }) else {
                return self.pass(
                    .close(DisconnectReason(.limitExceeded, "more waits for streams than they may hold")),
                    to: link)
            }
        case .operation(let id, let name, let body): await self.perform(id, name, body, orchestrator)
        case .welcome, .ping, .stop: break  // The kit deals with these.
        case .peerOutcomes, .peerAnswer: await self.peers?.heard(command)
        case .peersChanged: break  // Targets are looked up anew for each attempt.
        }
    }

    /// Does not wait: an operation may take a round trip over many hops.
    private func perform(
        _ id: UInt64, _ name: String, _ body: [UInt8], _ orchestrator: OrchestratorConnection
    ) async {
        guard self.operations.count < Self.maximumOperations else {
            let reason = "\(Self.maximumOperations) operations are being carried out already, which is the most"
            return await orchestrator.send(.operationResult(id: id, .failure(reason)))
        }
        self.operations[id] = Task {
            let outcome: OperationOutcome
            do throws(OperationFailure) {
                outcome = .success(try await self.medium.perform(name, body))
            } catch {
                outcome = .failure(error.description)
            }
            self.operations[id] = nil
            await orchestrator.send(.operationResult(id: id, outcome))
        }
    }

    private func pass(_ input: Shell.Input, to link: DriverLink) {
        self.links[link]?.inputs.deliver(input)
    }

    // MARK: - Targets

    private func open(_ target: String, _ orchestrator: OrchestratorConnection) async {
        guard self.targets[target] == nil else { return }
        do throws(DriverSetupError) {
            guard self.targets.count < Self.maximumTargets else {
                throw DriverSetupError("more than \(Self.maximumTargets) targets")
            }
            let parsed = try self.medium.parse(target)
            self.targets[target] = Task { await self.keepConnected(target, parsed, orchestrator) }
        } catch {
            let reason = DisconnectReason(.unreachable, error.description)
            await orchestrator.send(.targetFailed(target, reason, retryIn: .zero))
        }
    }

    private func keepConnected(
        _ target: String, _ parsed: Medium.Target, _ orchestrator: OrchestratorConnection
    ) async {
        var pause = Self.firstRetry
        while !Task.isCancelled {
            let started = MonotonicInstant.now
            let reason = await self.connectOnce(target, parsed, orchestrator)
            if Task.isCancelled { return }
            if MonotonicInstant.now - started > Self.healthyAfter { pause = Self.firstRetry }
            // Up to a quarter more, so that many nodes do not come back in the same moment.
            let jittered = pause + pause * Double.random(in: 0..<0.25)
            await orchestrator.send(.targetFailed(target, reason, retryIn: jittered))
            try? await Task.sleep(for: jittered)
            pause = min(pause * 2, Self.longestRetry)
        }
    }

    private func connectOnce(
        _ target: String, _ parsed: Medium.Target, _ orchestrator: OrchestratorConnection
    ) async -> DisconnectReason {
        await self.runLink(.target(target), orchestrator) { try await self.medium.dial(parsed, $0) }
    }

    /// Makes a link and runs it to its end.
    private func runLink(
        _ entrance: LinkEntrance, _ orchestrator: OrchestratorConnection,
        _ make: @Sendable (LinkDialer) async throws -> DialedLink<Medium.Session>
    ) async -> DisconnectReason {
        let (inputs, continuation) = Self.makeInputs()
        let dialer = LinkDialer(network: self.network, proxy: self.settings.proxy, peers: self.peers) { event in
            continuation.deliver(.connection(event))
        }
        let dialed: DialedLink<Medium.Session>
        do {
            dialed = try await make(dialer)
        } catch let reason as DisconnectReason {
            return reason
        } catch {
            let through = self.settings.proxy.map { " through the proxy \($0)" } ?? ""
            return DisconnectReason(
                .unreachable, UntrustedText(NetworkFailure.describe(error) + through).description)
        }
        guard !Task.isCancelled else {
            dialed.connection.close()
            self.medium.sessionEnded(dialed.session)
            return DisconnectReason(.requested, "the target was removed")
        }
        return await self.runLink(dialed, entrance, inputs, continuation, orchestrator)
    }

    // MARK: - Links

    /// Accepts connections. A limit means that the endpoint is private.
    private func listen(
        on address: HostAndPort, maximumLinks: Int? = nil, _ orchestrator: OrchestratorConnection,
        _ make: @escaping @Sendable (StreamConnection) -> DialedLink<Medium.Session>
    ) async throws -> StreamListener {
        var entrance = LinkEntrance.listener
        if let maximumLinks {
            entrance = .endpoint(self.nextEndpoint, maximumLinks: maximumLinks)
            self.nextEndpoint += 1
        }
        return try await self.network.listen(on: address) { [entrance] in
            let (inputs, continuation) = Self.makeInputs()
            return (
                onEvent: { continuation.deliver(.connection($0)) },
                onConnection: { connection in
                    Task { _ = await self.runLink(make(connection), entrance, inputs, continuation, orchestrator) }
                }
            )
        }
    }

    private static func makeInputs() -> (AsyncStream<Shell.Input>, AsyncStream<Shell.Input>.Continuation) {
        AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Shell.maximumWaitingInputs))
    }

    private func runLink(
        _ dialed: DialedLink<Medium.Session>, _ entrance: LinkEntrance, _ inputs: AsyncStream<Shell.Input>,
        _ continuation: AsyncStream<Shell.Input>.Continuation,
        _ orchestrator: OrchestratorConnection
    ) async -> DisconnectReason {
        let connection = dialed.connection
        guard self.makeRoom(for: connection.remote, entrance) else {
            connection.abort()
            self.medium.sessionEnded(dialed.session)
            return DisconnectReason(.limitExceeded, "too many links that others opened")
        }
        let link = DriverLink(self.nextLink)
        self.nextLink += 1
        let streams = StreamInbox()
        let messages = MessageInbox()
        let target = if case .target(let target) = entrance { target } else { "" }
        let medium = MediumLink(id: link.number, target: target, messages: messages) {
            continuation.deliver(.messages)
        }
        self.links[link] = Link(
            target: target, remote: dialed.remote ?? connection.remote, entrance: entrance, connection: connection,
            inputs: continuation, streams: streams, exposure: dialed.exposure,
            requested: dialed.requested ?? "", medium: medium)
        let shell = Shell(
            connection: connection, inputs: inputs, continuation: continuation, streams: streams, messages: messages
        ) { output in
            await self.forward(output, of: link, orchestrator)
        }
        var session = dialed.session
        let reason = await shell.run(&session)
        self.medium.sessionEnded(session)
        let wasEstablished = self.links.removeValue(forKey: link)?.isEstablished ?? false
        if wasEstablished {
            await self.medium.linkClosed(medium)
            await orchestrator.send(.linkClosed(link, reason))
        }
        self.logger.info(
            "link closed",
            metadata: [
                "remote": "\(dialed.remote ?? connection.remote)", "reason": "\(reason)",
                "established": "\(wasEstablished)",
            ])
        return reason
    }

    /// Whether a new link may come in; one that has not introduced itself may have to leave for it.
    private func makeRoom(for remote: String, _ entrance: LinkEntrance) -> Bool {
        switch InboundLinks(self.links.mapValues(\.place)).verdict(on: remote, entrance) {
        case .room: return true
        case .none: return false
        case .instead(of: let link):
            self.links.removeValue(forKey: link)?.connection.abort()
            return true
        }
    }

    private func forward(_ output: Shell.Output, of link: DriverLink, _ orchestrator: OrchestratorConnection) async {
        switch output {
        case .established(let peer):
            guard let state = self.links[link] else { return }
            self.links[link]?.isEstablished = true
            var peer = peer
            peer.serves.formIntersection(self.capabilities.requests)
            peer.takesStreams = peer.takesStreams && self.capabilities.streams
            await orchestrator.send(
                .linkOpened(
                    link,
                    DriverLinkDescription(
                        target: state.target, remote: state.remote, peer: peer, exposure: state.exposure,
                        requested: state.requested)))
            await self.medium.linkOpened(state.medium, peer)
            if let tip = self.latestTip { self.pass(.announcement(tip), to: link) }
        case .request(let id, let request): await orchestrator.send(.request(link, id: id, request))
        case .answer(let id, let answer): await orchestrator.send(.answer(link, id: id, answer))
        case .announcement(let announcement):
            guard !self.settings.servesOnly else { return }
            await orchestrator.send(.announcement(link, announcement))
        case .stream(let id, let message): await orchestrator.send(.stream(link, id, message))
        case .message(let message):
            guard let state = self.links[link] else { return }
            await self.medium.received(message, over: state.medium)
        }
    }
}

/// Why a driver ends that a restart may help.
struct DriverFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
