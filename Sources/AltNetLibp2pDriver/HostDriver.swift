// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetLibp2p
internal import AltNetLibp2pHost
internal import AltNetObjects
internal import AltNetPeerRecords
internal import Logging

/// A libp2p host as a driver: its connections are links, and what it knows of peers is the orchestrator's.
actor HostDriver: Driver {
    struct Options: Sendable {
        let key: PeerPrivateKey
        var configuration: HostConfiguration
        /// Peers to stay connected with.
        let connect: [Multiaddress]
        let listen: [Multiaddress]
        /// `nil`: takes no part in a DHT.
        let dht: KademliaService.Configuration?
    }

    /// The most connections: as many as the driver protocol has links for, less a few that come while others go.
    static let maximumConnections = DriverProtocol.maximumLinks - 5
    /// The most of them that others opened: a quarter is ours to open.
    static let maximumInbound = HostDriver.maximumConnections * 3 / 4
    /// How often a target's connection is looked at, and how many looks lie between two pings: without a stream every few
    /// minutes, either end would close it as idle.
    private static let lookInterval: Duration = .seconds(5)
    private static let looksPerPing = 12
    /// The pauses between attempts to reach a target, doubling.
    private static let firstPause: Duration = .seconds(1)
    private static let longestPause: Duration = .seconds(300)
    /// The most peers of whom it is remembered that others told something: as the daemon tells at once.
    private static let maximumChanged = 10_000
    /// How long a link is kept back until the peer has said what it is.
    private static let introduction: Duration = .seconds(3)

    nonisolated let capabilities: DriverCapabilities
    nonisolated let identity: String
    private let options: Options
    private let logger = Logger(label: "libp2p")
    private var targets: [String: Task<Void, Never>] = [:]
    private var links: [ObjectIdentifier: DriverLink] = [:]
    private var byNumber: [DriverLink: Libp2pLink] = [:]
    /// Links of which the orchestrator has not been told yet, as their peers have not introduced themselves.
    private var unannounced: [ObjectIdentifier: Task<Void, Never>] = [:]
    private var nextLink: UInt64 = 1
    private var operations: [UInt64: Task<Void, Never>] = [:]
    /// Peers of whom others have told something, and the signal that there are some.
    private var changed: Set<PeerID> = []
    private let changes = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    init(_ options: Options) {
        self.options = options
        self.identity = options.key.peerID.description
        self.capabilities = DriverCapabilities(
            requests: [], serves: [], announces: [], direction: .both,
            latency: options.configuration.proxy == nil ? .milliseconds : .seconds, bandwidth: .megabytes, cost: .free,
            // Who listens shows an address, whatever goes out through a proxy.
            exposure: options.configuration.proxy != nil && options.listen.isEmpty ? .pseudonym : .clearnetAddress,
            operations: PeerOperations.names(hasDHT: options.dht != nil), peers: true)
    }

    func run(_ orchestrator: OrchestratorConnection) async throws {
        let book = OrchestratorBook(orchestrator)
        let host = Libp2pHost(
            key: self.options.key, book: book, configuration: self.options.configuration, logger: self.logger)
        let service = self.options.dht.map { host.joinKademlia($0) }
        let operations = PeerOperations(host: host, service: service)
        // Before anything can happen.
        let events = host.events()
        // Hears the answers while it listens and dials.
        let commands = Task {
            for await command in orchestrator.commands {
                await self.perform(command, host, book, operations, orchestrator)
            }
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for await event in events { await self.tell(event, orchestrator) }
            }
            if let service {
                group.addTask { await host.runKademlia(service, publishes: !self.options.listen.isEmpty) }
            }
            group.addTask { await self.begin(host, service, book, orchestrator) }
            group.addTask {
                for await _ in self.changes.stream { await host.bookChanged(about: await self.takeChanged()) }
            }
            await withTaskCancellationHandler {
                await commands.value
            } onCancel: {
                commands.cancel()
            }
            self.changes.continuation.finish()
            await book.close()
            await host.shutdown()
            await self.endTasks()
            group.cancelAll()
        }
    }

    private func begin(
        _ host: Libp2pHost, _ service: KademliaService?, _ book: OrchestratorBook,
        _ orchestrator: OrchestratorConnection
    ) async {
        if !self.options.listen.isEmpty {
            do {
                let bound = try await host.listen(on: self.options.listen)
                await orchestrator.send(
                    .listening(bound.prefix(16).map { "\($0)/p2p/\(host.peer)" }))
            } catch {
                self.logger.error("cannot listen", metadata: ["reason": "\(error)"])
            }
        }
        await host.refreshRecord()
        if let record = host.record {
            _ = try? await book.learn([.record(envelope: record.envelope, source: .link)])
        }
        for target in self.options.connect { await self.open(target.description, host, service, orchestrator) }
    }

    private func takeChanged() -> [PeerID] {
        defer { self.changed = [] }
        return self.changed.sorted()
    }

    private func endTasks() {
        for task in self.targets.values { task.cancel() }
        for task in self.operations.values { task.cancel() }
    }

    // MARK: - Links

    private func tell(_ event: HostEvent, _ orchestrator: OrchestratorConnection) async {
        switch event {
        case .connected(let link):
            guard self.links.count + self.unannounced.count < DriverProtocol.maximumLinks else { return link.close() }
            self.unannounced[ObjectIdentifier(link)] = Task {
                try? await Task.sleep(for: Self.introduction)
                await self.announce(link, orchestrator)
            }
        case .identified(let link, _): await self.announce(link, orchestrator)
        case .disconnected(let link, let failure):
            self.unannounced.removeValue(forKey: ObjectIdentifier(link))?.cancel()
            guard let number = self.links.removeValue(forKey: ObjectIdentifier(link)) else { return }
            self.byNumber[number] = nil
            await orchestrator.send(
                .linkClosed(number, DisconnectReason(.closed, UntrustedText("\(failure)").description)))
        }
    }

    /// Tells the orchestrator of a link, once.
    private func announce(_ link: Libp2pLink, _ orchestrator: OrchestratorConnection) async {
        guard let waiting = self.unannounced.removeValue(forKey: ObjectIdentifier(link)) else { return }
        waiting.cancel()
        guard link.isOpen else { return }
        await self.closeLost(orchestrator)
        let number = DriverLink(self.nextLink)
        self.nextLink += 1
        self.links[ObjectIdentifier(link)] = number
        self.byNumber[number] = link
        await orchestrator.send(
            .linkOpened(
                number,
                DriverLinkDescription(
                    target: self.target(of: link), remote: Self.place(link.address),
                    peer: LinkPeer(
                        identity: link.peer.description, agent: UntrustedText(link.identify?.agentVersion ?? ""),
                        claimedHeight: nil, serves: []))))
    }

    /// Tells of links that have ended although no event said so: a host that is very busy drops the oldest ones.
    private func closeLost(_ orchestrator: OrchestratorConnection) async {
        for (number, link) in self.byNumber where !link.isOpen {
            self.byNumber[number] = nil
            self.links[ObjectIdentifier(link)] = nil
            await orchestrator.send(.linkClosed(number, DisconnectReason(.closed, "the connection ended")))
        }
    }

    /// The target that a link belongs to: that of its peer, if we dialled it.
    private func target(of link: Libp2pLink) -> String {
        guard !link.isInbound else { return "" }
        return self.targets.keys.first { $0.hasSuffix("/p2p/\(link.peer)") } ?? ""
    }

    /// Addresses with hidden services' names in them are long; the driver protocol has room for them.
    private static func place(_ address: Multiaddress) -> String {
        UntrustedText(address.description.utf8, maximumLength: 500).description
    }

    // MARK: - Commands

    private func perform(
        _ command: DriverCommand, _ host: Libp2pHost, _ book: OrchestratorBook, _ operations: PeerOperations,
        _ orchestrator: OrchestratorConnection
    ) async {
        switch command {
        case .openTarget(let target): await self.open(target, host, operations.service, orchestrator)
        case .closeTarget(let target):
            self.targets.removeValue(forKey: target)?.cancel()
            guard let peer = (try? Multiaddress(text: target))?.peerID else { return }
            for link in host.links(to: peer) where !link.isInbound { link.close() }
        case .closeLink(let number, _): self.byNumber[number]?.close()
        case .operation(let id, let name, let body):
            self.operations[id] = Task {
                let outcome = await operations.perform(name, body)
                self.operations[id] = nil
                await orchestrator.send(.operationResult(id: id, outcome))
            }
        case .peerOutcomes, .peerAnswer: await book.heard(command)
        // Asks the book, whose answers come through here; so another task does it, one after the other.
        case .peersChanged(let peers):
            self.changed.formUnion(peers.prefix(max(0, Self.maximumChanged - self.changed.count)))
            self.changes.continuation.yield()
        case .request(let link, let id, _):
            await orchestrator.send(.answer(link, id: id, .refused(.unsupported)))
        case .welcome, .ping, .stop, .answer, .announcement, .stream: break  // The kit's, or nothing that we asked for.
        }
    }

    /// Returns when a target's connection has ended.
    private static func keep(_ link: Libp2pLink) async throws {
        var looks = 0
        while link.isOpen {
            try await Task.sleep(for: Self.lookInterval)
            looks += 1
            // One that fails closes the link.
            if looks.isMultiple(of: Self.looksPerPing) { _ = try? await link.ping() }
        }
    }

    /// Stays connected with a peer until the target is closed.
    private func open(
        _ target: String, _ host: Libp2pHost, _ service: KademliaService?, _ orchestrator: OrchestratorConnection
    ) async {
        guard self.targets[target] == nil else { return }
        guard let address = try? Multiaddress(text: target), let peer = address.peerID else {
            return await orchestrator.send(
                .targetFailed(
                    target,
                    DisconnectReason(.unreachable, "a target is a multiaddr that ends with /p2p/ and a peer id"),
                    retryIn: Self.longestPause))
        }
        guard self.targets.count < DriverProtocol.maximumLinks else {
            return await orchestrator.send(
                .targetFailed(
                    target, DisconnectReason(.limitExceeded, "there are too many targets"), retryIn: Self.longestPause))
        }
        self.targets[target] = Task {
            var pause = Self.firstPause
            while !Task.isCancelled {
                do {
                    let link = try await host.connect(
                        to: peer, addresses: [address.withoutPeerID], source: .user)
                    pause = Self.firstPause
                    if let service { _ = await service.bootstrap([peer]) }
                    try await Self.keep(link)
                } catch is CancellationError {
                    return
                } catch {
                    await orchestrator.send(
                        .targetFailed(
                            target, DisconnectReason(.unreachable, UntrustedText("\(error)").description),
                            retryIn: pause))
                }
                try? await Task.sleep(for: pause)
                pause = min(pause * 2, Self.longestPause)
            }
        }
    }
}
