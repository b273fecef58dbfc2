// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetHolePunch
internal import AltNetPortMapping
internal import AltNetPunchReports
internal import AltNetTransport
internal import Logging

/// What we know of our own place in the network: our NAT, our addresses, our router.
///
/// The NAT is checked when there are witnesses enough, and again when this machine's own addresses change, which is how
/// another network shows. Nothing else makes it connect anywhere, save an attempt of a coordination.
actor NetworkPlace: MappingSource {
    /// What coordinations begin with.
    struct View: Sendable {
        var mapping = NATMapping.unknown
        var abilities: PunchAbilities = []
        var addresses = PathOpener.Place()

        /// What an offer says where a connection will lead to: nobody takes another family of addresses then.
        var offered: [UInt8]? {
            switch self.mapping {
            case .open, .endpointIndependent: self.addresses.ipv4 ?? self.addresses.ipv6
            case .endpointDependent, .unknown:
                self.abilities.contains(.mapped) ? self.addresses.ipv4 : self.addresses.ipv6
            }
        }

        /// Whether there is a way on which others can get through to us.
        var canBeReached: Bool {
            switch self.mapping {
            case .open, .endpointIndependent: true
            case .endpointDependent, .unknown: !self.abilities.isDisjoint(with: [.ipv6, .mapped])
            }
        }
    }

    /// How often it is looked whether the network is another.
    private static let lookInterval: Duration = .seconds(15)
    /// After a check that told nothing, the pause until the next one; it doubles with each. A driver often starts before
    /// its witnesses can be reached.
    private static let firstRetry: Duration = .seconds(5)
    private static let longestRetry: Duration = .seconds(600)
    /// Whether the router maps ports is asked again after this long: it may have been set up meanwhile.
    private static let routerInterval: Duration = .seconds(3600)

    private let settings: PunchSettings
    private let network: Network
    private let userAgent: String
    private let mapper: PortMapper
    private let logger = Logger(label: "nat")
    /// Those that the orchestrator told last.
    private var told: [HostAndPort] = []
    private var own: OwnAddresses?
    private var verdict: NATVerdict?
    private var checkedAt: WallClockTime?
    private var checkedFrom: OwnAddresses?
    /// A check under way, which everybody who wants one waits for.
    private var checking: Task<NATVerdict, Never>?
    private var nextTry = MonotonicInstant.now
    private var pause = NetworkPlace.firstRetry
    private var routerMaps = false
    private var nextRouterTry = MonotonicInstant.now
    private let wake: AsyncStream<Void>
    private let waker: AsyncStream<Void>.Continuation

    init(_ settings: PunchSettings, network: Network, userAgent: String) {
        self.settings = settings
        self.network = network
        self.userAgent = userAgent
        self.mapper = PortMapper(
            PortMapper.Configuration(allowsPrivateAddresses: settings.allowsPrivate),
            logger: Logger(label: "port mapping"))
        (self.wake, self.waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    private var witnesses: [HostAndPort] {
        Array((self.settings.witnesses + self.told).prefix(NATCheck.maximumWitnesses))
    }

    func setWitnesses(_ witnesses: [HostAndPort]) {
        self.told = witnesses
        self.waker.yield()
    }

    // MARK: - What is known

    var view: View {
        var view = View()
        view.mapping = self.verdict?.ipv4?.mapping ?? .unknown
        view.addresses.ipv4 = self.verdict?.ipv4?.external.first?.address
        view.addresses.predictsPort =
            self.settings.predictsPort && view.mapping == .endpointIndependent(preservesPort: true)
        if self.settings.usesIPv6, let ipv6 = self.own?.ipv6,
            ipv6.refusedHost(allowPrivate: self.settings.allowsPrivate) == nil
        {
            view.addresses.ipv6 = ipv6.address
            view.abilities.insert(.ipv6)
        }
        if self.own?.ipv4 != nil || view.addresses.ipv4 != nil { view.abilities.insert(.ipv4) }
        if view.mapping == .open { view.abilities.insert(.direct) }
        if self.routerMaps { view.abilities.insert(.mapped) }
        if self.settings.relays { view.abilities.insert(.relay) }
        return view
    }

    var report: NATReport {
        guard let verdict = self.verdict else {
            let missing = self.settings.minimumWitnesses - self.witnesses.count
            return NATReport(
                mapping: NATMapping.unknown.name, confidence: 0,
                reason: missing > 0 ? "\(missing) more witnesses are needed" : "not checked yet")
        }
        var report = NATReport(
            verdict, network: self.checkedFrom?.description, at: self.checkedAt ?? PunchCoordinator.wallClock)
        if verdict.mapping == .unknown, let silence = verdict.silent.first {
            report.reason += "; \(silence.witness): \(silence.reason)"
        }
        return report
    }

    // MARK: - Checking

    /// Checks now, or waits for the check that is under way.
    func check() async -> NATReport {
        _ = await self.checkOnce()
        return self.report
    }

    private func checkOnce() async -> NATVerdict {
        if let checking { return await checking.value }
        let checker = NATChecker(
            network: self.network, userAgent: self.userAgent,
            NATCheck.Configuration(
                minimumWitnesses: self.settings.minimumWitnesses, allowPrivate: self.settings.allowsPrivate,
                seed: UInt64.random(in: 0...UInt64.max)))
        let witnesses = self.witnesses
        let task = Task { await checker.run(witnesses) }
        self.checking = task
        let from = await OwnAddresses.read()
        let verdict = await task.value
        self.checking = nil
        self.own = from
        self.checkedFrom = from
        self.checkedAt = PunchCoordinator.wallClock
        if verdict.mapping != self.verdict?.mapping {
            self.logger.info(
                "NAT checked", metadata: ["mapping": "\(verdict.mapping.name)", "reason": "\(verdict.reason)"])
        }
        self.verdict = verdict
        return verdict
    }

    /// Runs until the task is cancelled.
    func run() async {
        let timer = Task { [waker] in
            while !Task.isCancelled {
                waker.yield()
                try? await Task.sleep(for: Self.lookInterval)
            }
        }
        defer { timer.cancel() }
        for await _ in self.wake {
            await self.look()
            if Task.isCancelled { break }
        }
        await self.mapper.close()
    }

    private func look() async {
        let own = await OwnAddresses.read()
        if self.own.map({ own.hasMoved(from: $0) }) ?? true {
            // Another network: what was found in the last one says nothing here.
            self.own = own
            if let checkedFrom, own.hasMoved(from: checkedFrom) { self.verdict = nil }
            self.nextTry = .now
            self.pause = Self.firstRetry
            self.nextRouterTry = .now
        } else if own.network != nil {
            // The same, and now its name is known.
            self.own = own
            if self.checkedFrom != nil { self.checkedFrom = own }
        }
        let now = MonotonicInstant.now
        if self.verdict?.ipv4?.mapping ?? .unknown == .unknown, now >= self.nextTry,
            self.witnesses.count >= self.settings.minimumWitnesses
        {
            _ = await self.checkOnce()
            self.nextTry = .now + self.pause
            self.wake(at: self.nextTry)
            self.pause = min(self.pause * 2, Self.longestRetry)
        }
        if self.settings.mapsPorts, now >= self.nextRouterTry { await self.askRouter() }
    }

    private nonisolated func wake(at moment: MonotonicInstant) {
        Task { [waker] in
            try? await Task.sleep(for: moment - .now)
            waker.yield()
        }
    }

    /// Finds out whether the router maps ports, with a port that is given back at once.
    private func askRouter() async {
        self.nextRouterTry = .now + Self.routerInterval
        guard let port = try? ReusedPort(HostAndPort(host: "0.0.0.0", port: 0)) else { return }
        do throws(PortMappingError) {
            let mapping = try await self.mapper.map(port: port.port)
            self.routerMaps = true
            self.logger.info("the router maps ports", metadata: ["method": "\(mapping.method)"])
        } catch {
            self.routerMaps = false
            self.logger.info("no port is mapped", metadata: ["reason": "\(error)"])
        }
        await self.mapper.unmap(port: port.port)
    }

    // MARK: - Addresses for attempts

    /// Keeps the witness's connection, and with it the NAT's entry, until the attempt is over.
    private final class OpenProbe: Sendable {
        let connection: StreamConnection

        init(_ connection: StreamConnection) {
            self.connection = connection
        }

        deinit {
            self.connection.close()
        }
    }

    func learn(from port: ReusedPort) async throws(PunchReason) -> (ExternalEndpoint, (any Sendable)?) {
        let probe = NATProbe(network: self.network, userAgent: self.userAgent)
        // Those that agreed with the others in the check. Each attempt has room for a second one.
        let dissenters = Set(self.verdict?.ipv4?.dissenters ?? [])
        let good = Set((self.verdict?.evidence ?? []).map(\.witness))
            .filter { $0.endpoint.isIPv4 && !dissenters.contains($0) }
        for witness in good.shuffled().prefix(Self.witnessesPerAttempt) {
            do throws(NATProbe.Failure) {
                let told = try await probe.ask(witness.endpoint, from: port, within: Self.probeDuration)
                guard told.seen.refusedHost(allowPrivate: self.settings.allowsPrivate) == nil, told.seen.isIPv4 else {
                    told.connection.close()
                    continue
                }
                return (told.seen, OpenProbe(told.connection))
            } catch {
                self.logger.info(
                    "a witness did not answer",
                    metadata: ["witness": "\(witness.name)", "reason": "\(error)"])
            }
        }
        throw .noMapping
    }

    /// Within ``Coordination/mappingTimeout``.
    private static let witnessesPerAttempt = 2
    private static let probeDuration: Duration = .milliseconds(2_800)

    /// Gives a mapping back when nobody needs it any more.
    private final class HeldMapping: Sendable {
        let mapper: PortMapper
        let port: UInt16

        init(_ mapper: PortMapper, port: UInt16) {
            self.mapper = mapper
            self.port = port
        }

        deinit {
            let (mapper, port) = (self.mapper, self.port)
            Task { await mapper.unmap(port: port) }
        }
    }

    func mapPort(_ port: ReusedPort) async throws(PunchReason) -> (ExternalEndpoint, (any Sendable)?) {
        do throws(PortMappingError) {
            let mapping = try await self.mapper.map(port: port.port)
            let held = HeldMapping(self.mapper, port: port.port)
            guard let endpoint = ExternalEndpoint(address: mapping.externalAddress, port: mapping.externalPort) else {
                throw .malformed(mapping.method, "no IPv4 address")
            }
            return (endpoint, held)
        } catch {
            self.logger.info("no port is mapped", metadata: ["reason": "\(error)"])
            throw .noMapping
        }
    }
}

extension OwnAddresses: CustomStringConvertible {
    /// The local network by its addresses here, for people.
    var description: String {
        let addresses = [self.ipv4?.host, self.ipv6?.host].compactMap { $0 }.joined(separator: " and ")
        return self.network.map { "\($0), \(addresses)" } ?? addresses
    }
}
