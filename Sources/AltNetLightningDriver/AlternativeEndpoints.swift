// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetBase
internal import AltNetDriverProtocol
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningStore
internal import AltNetStreamDriver
internal import AltNetTorControl
internal import AltNetTransport
internal import Logging
internal import Synchronization

/// Our alternative endpoints: private listeners and onion services, kept up as long as the driver works.
struct AlternativeEndpoints: Sendable {
    /// The most connections at one endpoint at a time, strangers included: its peer needs one or two.
    static let maximumLinks = 8
    /// The port of an onion service, as its clients see it (BOLT 1's).
    static let virtualPort: UInt16 = 9735
    /// How long a listener that cannot be opened is left alone: an interface may come later than this driver.
    static let retry: Duration = .seconds(10)

    let settings: AlternativeSettings
    let book: AlternativeAddressBook
    /// A session that lets in whom an endpoint's address was given, and is silent towards everyone else.
    let session: @Sendable (EndpointID) -> LightningLink
    private let logger = Logger(label: "alternative addresses")

    init(
        _ settings: AlternativeSettings, book: AlternativeAddressBook,
        session: @escaping @Sendable (EndpointID) -> LightningLink
    ) {
        self.settings = settings
        self.book = book
        self.session = session
    }

    /// One listener of ours.
    private struct Place: Sendable {
        let id: EndpointID
        let peer: NodeID?
        let listener: AlternativeSettings.Listener
        let port: UInt16
    }

    /// Runs until the task is cancelled.
    func run(_ links: LinkAcceptor<LightningLink>) async {
        await self.book.ownPlaces(self.settings.ownPlaces(OwnHosts.read()))
        let places = await self.places()
        let onions = await self.onions()
        // All are known before the first is up: an endpoint that is missing would end its records.
        await self.book.endpoints { endpoints in
            endpoints = places.compactMap { place in
                place.listener.address(port: place.port).map {
                    AlternativeEndpoint(id: place.id, address: $0, peer: place.peer, isUp: false)
                }
            }
            endpoints += onions.compactMap { onion in
                onion.record.map {
                    AlternativeEndpoint(id: onion.id, address: $0.address, peer: onion.peer, isUp: false)
                }
            }
        }
        await withTaskGroup(of: Void.self) { group in
            for place in places { group.addTask { await self.listen(place, links) } }
            if let port = self.settings.torControl { group.addTask { await self.serve(onions, port, links) } }
        }
    }

    // MARK: - Listeners

    /// Gives each peer a port of its own where there are enough, the one that it had before if that is possible.
    private func places() async -> [Place] {
        var places: [Place] = []
        for (index, listener) in self.settings.listeners.enumerated() {
            let name = "listen-\(index + 1)"
            guard !listener.isShared else {
                places.append(
                    Place(id: EndpointID(name), peer: nil, listener: listener, port: listener.ports.lowerBound))
                continue
            }
            var taken: [UInt16: NodeID] = [:]
            for peer in self.settings.peers {
                let before = await self.book.givenAddress(peer, at: EndpointID("\(name)/\(peer)"))
                let port = listener.ports.first { listener.address(port: $0) == before && before != nil }
                if let port, taken[port] == nil { taken[port] = peer }
            }
            var free = listener.ports.filter { taken[$0] == nil }[...]
            for peer in self.settings.peers {
                guard let port = taken.first(where: { $0.value == peer })?.key ?? free.popFirst() else {
                    self.logger.warning(
                        "a range of alt_listen has no port left for a peer",
                        metadata: ["entry": "\(index + 1)", "peer": "\(peer)"])
                    continue
                }
                places.append(
                    Place(id: EndpointID("\(name)/\(peer)"), peer: peer, listener: listener, port: port))
            }
        }
        return places
    }

    private func listen(_ place: Place, _ links: LinkAcceptor<LightningLink>) async {
        var warned = ""
        while !Task.isCancelled {
            do {
                let listener = try await links.listen(
                    on: HostAndPort(host: place.listener.host, port: place.port), maximumLinks: Self.maximumLinks
                ) { self.link($0, place.id, .clearnetAddress) }
                if let port = listener.address?.port, let address = place.listener.address(port: port) {
                    await self.book.update(
                        AlternativeEndpoint(id: place.id, address: address, peer: place.peer, isUp: true))
                }
                await Self.untilCancelled()
                return await listener.close()
            } catch {
                let reason = NetworkFailure.describeWithoutAddress(error)
                if reason != warned {
                    warned = reason
                    self.logger.warning(
                        "an alternative endpoint cannot be opened",
                        metadata: ["endpoint": "\(place.id)", "reason": "\(reason)"])
                }
                try? await Task.sleep(for: Self.retry)
            }
        }
    }

    private func link(
        _ connection: StreamConnection, _ endpoint: EndpointID, _ exposure: DriverCapabilities.Exposure
    ) -> DialedLink<LightningLink> {
        DialedLink(
            connection, self.session(endpoint), exposure: exposure, remote: "alternative endpoint \(endpoint)")
    }

    private static func untilCancelled() async {
        while !Task.isCancelled { try? await Task.sleep(for: .seconds(86_400)) }
    }

    // MARK: - Onion services

    /// The onion service of one peer.
    private struct Onion: Sendable {
        let id: EndpointID
        let peer: NodeID
        /// What it was before; `nil` when it is new.
        let record: OnionServiceRecord?
    }

    private func onions() async -> [Onion] {
        guard self.settings.torControl != nil else { return [] }
        var onions: [Onion] = []
        for peer in self.settings.peers {
            let id = EndpointID("onion/\(peer)")
            onions.append(Onion(id: id, peer: peer, record: await self.book.onionService(id)))
        }
        return onions
    }

    /// Listens on loopback for each peer, and lets Tor forward there.
    private func serve(_ onions: [Onion], _ port: TorControlPort, _ links: LinkAcceptor<LightningLink>) async {
        var listeners: [StreamListener] = []
        var services: [OnionService] = []
        for onion in onions {
            do {
                let listener = try await links.listen(
                    on: HostAndPort(host: "127.0.0.1", port: 0), maximumLinks: Self.maximumLinks
                ) { self.link($0, onion.id, .pseudonym) }
                listeners.append(listener)
                guard let port = listener.address?.port else { continue }
                services.append(
                    OnionService(
                        name: onion.id.description, key: onion.record?.key, virtualPort: Self.virtualPort,
                        target: .loopback(port: port)))
            } catch {
                self.logger.warning(
                    "no port on loopback for an onion service",
                    metadata: ["reason": "\(NetworkFailure.describeWithoutAddress(error))"])
            }
        }
        let peers = Dictionary(uniqueKeysWithValues: onions.map { ($0.id.description, $0) })
        await OnionServices(at: port, password: self.settings.torPassword, services: services).run { event in
            await self.handle(event, peers)
        }
        for listener in listeners { await listener.close() }
    }

    private func handle(_ event: OnionServices.Event, _ onions: [String: Onion]) async {
        switch event {
        case .up(let name, let serviceID, let newKey):
            guard let onion = onions[name],
                let address = try? LightningAddress(text: "\(serviceID).onion:\(Self.virtualPort)")
            else { return self.logger.warning("Tor gave an onion service a name that is none") }
            if let newKey {
                let isSaved = await self.book.save(OnionServiceRecord(key: newKey, address: address), of: onion.id)
                guard isSaved else { return }
            }
            await self.book.update(
                AlternativeEndpoint(id: onion.id, address: address, peer: onion.peer, isUp: true))
        case .refused(let name, let error):
            self.logger.warning(
                "Tor refuses an onion service", metadata: ["endpoint": "\(name)", "reason": "\(error)"])
        case .down(let error, let pause):
            let names = Set(onions.keys)
            await self.book.endpoints { endpoints in
                for index in endpoints.indices where names.contains(endpoints[index].id.description) {
                    endpoints[index].isUp = false
                }
            }
            self.logger.warning(
                "the onion services are down", metadata: ["reason": "\(error)", "retry": "\(pause)"])
        }
    }
}
