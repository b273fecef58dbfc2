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
/// The NAT is checked when there are witnesses enough; again when this machine's own addresses change, which is how
/// another network shows, when a witness or an attempt contradicts what was found, and when that is old. Nothing else
/// makes it connect anywhere, save an attempt of a coordination.
actor NetworkPlace: MappingSource {
    /// What coordinations begin with.
    struct View: Sendable {
        var mapping = NATMapping.unknown
        var abilities: PunchAbilities = []
        var addresses = PathOpener.Place()
        /// Ours and our router's, as far as we know them: nobody makes us connect there.
        var own: [[UInt8]] = []

        /// What offers say where a connection will lead to: an address of each family that we have. Nobody takes one of a
        /// family that is not named.
        var offered: OfferedAddresses {
            let known = [self.addresses.ipv4, self.addresses.ipv6].compactMap { $0 }
            return (try? OfferedAddresses(known.compactMap { ExternalEndpoint(address: $0, port: 0) }))
                ?? OfferedAddresses()
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
    /// Whether the router maps ports is asked again after this long: it may have been set up meanwhile.
    private static let routerInterval: Duration = .seconds(3600)

    let settings: PunchSettings
    let network: Network
    let userAgent: String
    let mapper: PortMapper
    let logger = Logger(label: "nat")
    /// Those that the orchestrator told last.
    private var told: [HostAndPort] = []
    private var own: OwnAddresses?
    var verdict: NATVerdict?
    private var checkedAt: WallClockTime?
    private var checkedFrom: OwnAddresses?
    /// A check under way, which everybody who wants one waits for.
    private var checking: Task<NATVerdict, Never>?
    private var schedule = CheckSchedule()
    /// Whether somebody came in from outside since this network is ours, without our having called.
    private var inboundSeen = false
    /// The same, at a port of another driver.
    private var inboundElsewhere = false
    private var routerMaps = false
    /// The address that the router says it has.
    private var routerAddress: [UInt8]?
    /// Witnesses that did not answer an attempt since the last check.
    var silent: Set<ExternalEndpoint> = []
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

    var witnesses: [HostAndPort] {
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
        if self.verdict?.ipv4?.filtersLoosely == true { view.abilities.insert(.filtersLoosely) }
        if self.routerMaps { view.abilities.insert(.mapped) }
        if self.settings.relays { view.abilities.insert(.relay) }
        let router = self.routerAddress.flatMap { ExternalEndpoint(address: $0, port: 0) }
        let own = [self.own?.ipv4, self.own?.ipv6, router].compactMap { $0 } + (self.verdict?.external ?? [])
        // On one machine, in a test, all have the same.
        view.own = own.filter { $0.refusedHost(allowPrivate: false) != .loopback }.map(\.address)
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
                inboundSeen: self.inboundSeen, inboundElsewhere: self.inboundElsewhere,
                routerAddress: self.routerAddress,
                seed: UInt64.random(in: 0...UInt64.max)))
        let witnesses = self.witnesses
        let task = Task { await checker.run(witnesses) }
        self.checking = task
        self.schedule.began(now: .now)
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
        self.silent = []
        self.schedule.ended(isKnown: verdict.ipv4?.mapping ?? .unknown != .unknown, now: .now)
        self.wakeForCheck()
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
            (self.inboundSeen, self.inboundElsewhere) = (false, false)
            self.routerAddress = nil
            self.nextRouterTry = .now
            self.doubt()
        } else if own.network != nil {
            // The same, and now its name is known.
            self.own = own
            if self.checkedFrom != nil { self.checkedFrom = own }
        }
        // The router first: what it says of its address is part of the check.
        if self.settings.mapsPorts, MonotonicInstant.now >= self.nextRouterTry { await self.askRouter() }
        if self.schedule.isDue(now: .now), self.witnesses.count >= self.settings.minimumWitnesses {
            _ = await self.checkOnce()
        }
    }

    /// What was found may be so no more: it is checked again, not sooner than `floor` after the last time.
    func doubt(floor: Duration = CheckSchedule.floor) {
        self.schedule.doubt(floor: floor)
        self.wakeForCheck()
    }

    /// Somebody came in from outside without our having called.
    func sawInbound() {
        self.inboundSeen = true
    }

    /// Somebody came in from outside at a port of another driver. Where that makes a difference, it is checked again.
    func sawInboundElsewhere() {
        guard !self.inboundElsewhere else { return }
        self.inboundElsewhere = true
        if self.verdict?.main?.isReachable == false { self.doubt() }
    }

    private func wakeForCheck() {
        guard let moment = self.schedule.moment, moment - .now < Self.lookInterval else { return }
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
            self.routerAddress = mapping.externalAddress
            self.logger.info("the router maps ports", metadata: ["method": "\(mapping.method)"])
        } catch {
            self.routerMaps = false
            self.routerAddress = nil
            self.logger.info("no port is mapped", metadata: ["reason": "\(error)"])
        }
        await self.mapper.unmap(port: port.port)
    }
}

extension OwnAddresses: CustomStringConvertible {
    /// The local network by its addresses here, for people.
    var description: String {
        let addresses = [self.ipv4?.host, self.ipv6?.host].compactMap { $0 }.joined(separator: " and ")
        return self.network.map { "\($0), \(addresses)" } ?? addresses
    }
}
