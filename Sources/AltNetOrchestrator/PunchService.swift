// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetConfiguration
internal import AltNetDriverHost
internal import AltNetDriverProtocol
internal import AltNetHolePunch
internal import AltNetNode
internal import AltNetObjects
internal import AltNetPeerRecords
internal import AltNetPunchReports
internal import AltNetWeb
internal import Logging

/// Hole punching, as far as it is the daemon's: offers travel over links of Bitcoin's protocol, the driver that punches
/// is told whom it may ask how they see us, and connections are made without being asked for.
///
/// What becomes of offers is ``OfferExchange``'s word, whom to call is ``PunchPlanner``'s.
actor PunchService {
    /// How often it is looked whether something is due.
    private static let pace: Duration = .seconds(1)
    /// How often the driver is asked for what it offers and how it stands. What it offers changes when slots fill up.
    static let pollInterval: Duration = .seconds(10)
    /// How long a link may take to show up after its attempt succeeded: longer than a handshake may, so that whoever is
    /// slow is not forgotten.
    static let linkPatience: Duration = .seconds(75)
    /// How long who asked for the connection waits for its link.
    static let askerPatience: Duration = .seconds(10)
    /// A link that ends sooner counts as one that failed: who hangs up at once must not be called every ten seconds.
    static let shortLife: Duration = .seconds(300)
    /// The group of links that show no address: they may all lead to one operator, so that one of them is enough.
    static let relayedGroup = "relayed"
    /// The most attempts that are kept for the dashboard.
    static let maximumRecent = 10

    /// A punched link of which we know that we made it.
    struct Standing {
        let endpoint: CoordinationEndpoint
        let group: String?
        let since = MonotonicInstant.system
        /// Whether it has lasted for ``shortLife``.
        var hasLasted = false
    }

    /// A link that an attempt of ours led to, and that has not shown up yet.
    struct Expected {
        let standing: Standing
        /// Whether nobody asked for it: then it has to be of use.
        let isAutomatic: Bool
        /// The network groups of our outbound connections and the node's when the call began.
        var avoided: Set<String> = []
        let since = MonotonicInstant.system
        /// Told when the link shows up, and finished without it when it does not.
        var link: AsyncStream<Used>.Continuation?
    }

    /// What became of a link that an attempt of ours led to.
    struct Used {
        /// Where the node gets it, the task that sees to this; its value says what went wrong.
        let giving: Task<String?, Never>?
    }

    /// Has a driver perform an operation: its name, its body, and the driver's name.
    typealias Perform = @Sendable (String, [UInt8], String) async throws(OperationError) -> [UInt8]

    let settings: DaemonConfiguration.Punch
    let logger: Logger
    let splicer: Splicer
    let node: (any NodeInterface)?
    private let allowPrivate: Bool
    private let nodePeers: @Sendable () async -> NodeOutboundPeers
    private(set) var host: DriverHost?
    private(set) var perform: Perform?
    private(set) var exchange: OfferExchange
    var planner: PunchPlanner
    private var generator = SystemRandomNumberGenerator()

    private var capabilities: [String: DriverCapabilities] = [:]
    /// The driver that punches, of several the first by name.
    private(set) var driver: String?
    /// Its links, by number.
    private(set) var punched: [DriverLink: DriverLinkDescription] = [:]
    private(set) var standing: [DriverLink: Standing] = [:]
    private(set) var expected: [CoordinationEndpoint: Expected] = [:]
    /// Where nodes are that we connected to over links that offers travel on.
    private var dialed: [OfferExchange.Link: String] = [:]

    // What the driver told last.
    private(set) var nat: NATReport?
    private(set) var stats: PunchStatsReport?
    private(set) var recent: [PunchReport] = []
    private var toldWitnesses: [String]?
    /// Over which links of other drivers somebody on the Internet is connected to us over IPv4.
    private var inbound: Set<OfferExchange.Link> = []
    /// Whether there was one, and the punching driver has not been told.
    private var inboundSeen = false
    private var isPolling = false
    private var nextPoll = MonotonicInstant.zero
    /// Why the last punched connection did not reach the node.
    var nodeProblem: String?

    /// - Parameters:
    ///   - allowPrivate: whether offers may name addresses of private networks, for labs and tests.
    ///   - nodePeers: whom the node connected to.
    ///   - perform: what answers until there is a host: tests.
    init(
        _ settings: DaemonConfiguration.Punch, allowPrivate: Bool, splicer: Splicer, node: (any NodeInterface)?,
        nodePeers: @escaping @Sendable () async -> NodeOutboundPeers, logger: Logger, perform: Perform? = nil
    ) {
        self.perform = perform
        self.settings = settings
        self.splicer = splicer
        self.node = node
        self.nodePeers = nodePeers
        self.allowPrivate = allowPrivate
        self.logger = logger
        self.exchange = OfferExchange(relaysOthers: settings.relaysOffers, allowPrivate: allowPrivate)
        self.planner = PunchPlanner(wanted: settings.outbound)
    }

    func setHost(_ host: DriverHost) {
        self.host = host
        self.perform = { operation, body, driver async throws(OperationError) in
            try await host.perform(operation, body, by: driver)
        }
    }

    /// Works until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.pace)
            await self.work()
        }
    }

    private func work() async {
        let now = MonotonicInstant.system
        for (endpoint, expected) in self.expected where now - expected.since >= Self.askerPatience {
            expected.link?.finish()
            guard now - expected.since >= Self.linkPatience else { continue }
            self.expected[endpoint] = nil
            self.planner.failed(endpoint, now: now)
        }
        for (number, standing) in self.standing where !standing.hasLasted && now - standing.since >= Self.shortLife {
            self.standing[number]?.hasLasted = true
            self.planner.lasted(standing.endpoint)
        }
        let announcements = self.exchange.onTimer(now: now, clock: .system, using: &self.generator)
        for announcement in announcements {
            await self.host?.send(
                .announcement(announcement.link.number, .addresses(announcement.addresses)),
                to: announcement.link.driver)
        }
        guard self.driver != nil else { return }
        if now >= self.nextPoll, !self.isPolling {
            self.nextPoll = now + Self.pollInterval
            self.isPolling = true
            // Elsewhere: a driver that does not answer must keep no offer from its way.
            Task { await self.poll() }
        }
        await self.callSomebody(now)
    }

    // MARK: - Drivers and links

    func attached(_ driver: String, _ capabilities: DriverCapabilities) {
        self.capabilities[driver] = capabilities
        self.chooseDriver()
    }

    func detached(_ driver: String) {
        self.capabilities[driver] = nil
        self.exchange.detached(driver)
        self.dialed = self.dialed.filter { $0.key.driver != driver }
        self.inbound = self.inbound.filter { $0.driver != driver }
        self.chooseDriver()
    }

    private func chooseDriver() {
        let able = self.capabilities.filter { Set(PunchOperation.all).isSubset(of: $0.value.operations) }
        let chosen = able.keys.min()
        guard chosen != self.driver else { return }
        self.driver = chosen
        self.punched = [:]
        self.standing = [:]
        for expected in self.expected.values { expected.link?.finish() }
        self.expected = [:]
        (self.nat, self.stats, self.recent, self.toldWitnesses) = (nil, nil, [], nil)
        self.inboundSeen = self.inbound.contains { $0.driver != chosen }
        self.nextPoll = .zero
        self.exchange.setOwn([], endpoints: [], now: .system)
        self.planner.forgetFailures()
    }

    func driver(_ driver: String, said event: DriverEvent) async {
        switch event {
        case .linkOpened(let number, let description): await self.open(number, of: driver, description)
        case .linkClosed(let number, _):
            self.exchange.closed(OfferExchange.Link(driver: driver, number: number))
            self.dialed[OfferExchange.Link(driver: driver, number: number)] = nil
            self.inbound.remove(OfferExchange.Link(driver: driver, number: number))
            guard driver == self.driver else { return }
            self.punched[number] = nil
            if let gone = self.standing.removeValue(forKey: number), !gone.hasLasted {
                self.planner.failed(gone.endpoint, now: .system)
            }
        case .announcement(let number, .addresses(let addresses)):
            self.exchange.heard(
                addresses, over: OfferExchange.Link(driver: driver, number: number), now: .system,
                clock: .system, using: &self.generator)
        default: break
        }
    }

    private func open(_ number: DriverLink, of driver: String, _ description: DriverLinkDescription) async {
        if self.carriesOffers(description, of: driver) {
            let link = OfferExchange.Link(driver: driver, number: number)
            self.exchange.opened(
                link, origin: PeerSharing.origin(of: description, driver: driver).networkGroup, now: .system,
                using: &self.generator)
            // Who calls us comes from a port that nobody answers at.
            if driver != self.driver {
                if !description.target.isEmpty {
                    self.dialed[link] = description.remote
                } else if ExternalEndpoint(description.remote)?.isIPv4 == true {
                    self.inbound.insert(link)
                    self.inboundSeen = true
                }
            }
        }
        guard driver == self.driver else { return }
        self.punched[number] = description
        let requested = try? CoordinationEndpoint(description.requested)
        if let expected = requested.flatMap({ self.expected.removeValue(forKey: $0) }) {
            let used = await self.use(number, description, expected)
            expected.link?.yield(used)
            expected.link?.finish()
        } else if let requested, self.planner.underWay.contains(requested) {
            // The answer that it belongs to comes after it.
        } else if let endpoint = requested ?? (try? CoordinationEndpoint(description.target)) {
            // The configuration names it, and the driver keeps it open; or somebody asked the driver without us.
            let standing = Standing(
                endpoint: endpoint, group: ExternalEndpoint(description.remote)?.networkGroup)
            _ = await self.use(number, description, Expected(standing: standing, isAutomatic: false))
        }
    }

    /// Whether offers travel over a link: its driver says whether its protocol carries them, and only those who see our address anyway
    /// may learn that an endpoint is offered near it.
    private func carriesOffers(_ description: DriverLinkDescription, of driver: String) -> Bool {
        guard let capabilities = self.capabilities[driver], capabilities.offers else { return false }
        return PeerSharing.exposure(
            of: description, driver: capabilities.exposure, trustsPrivate: self.allowPrivate) == .clearnetAddress
    }

    // MARK: - What the driver tells

    /// Asks for everything, and takes each answer by itself: one that fails keeps no other from us.
    func poll() async {
        defer { self.isPolling = false }
        guard let driver = self.driver else { return }
        await self.tellWitnesses(driver)
        if let stats = await self.told(PunchOperation.stats, by: driver, as: PunchStatsReport.self) { self.take(stats) }
        if let offers = await self.told(PunchOperation.offers, by: driver, as: PunchOffers.self) { self.take(offers) }
        if let nat = await self.told(PunchOperation.nat, by: driver, as: NATReport.self) { self.take(nat) }
        if let punches = await self.told(PunchOperation.punches, by: driver, as: PunchReports.self) {
            self.recent = Array(punches.punches.prefix(Self.maximumRecent))
        }
    }

    /// `nil` when the driver does not say, or has ended meanwhile.
    private func told<Answer: Decodable>(_ operation: String, by driver: String, as type: Answer.Type) async -> Answer?
    {
        guard driver == self.driver else { return nil }
        do throws(ControlRefusal) {
            let answer: Answer = try await self.ask(operation)
            return driver == self.driver ? answer : nil
        } catch {
            self.logger.debug(
                "the driver of hole punching does not tell",
                metadata: ["operation": "\(operation)", "reason": "\(error)"])
            return nil
        }
    }

    private func take(_ stats: PunchStatsReport) {
        var stats = stats
        stats.counts = Array(stats.counts.prefix(PunchOperation.maximumCounts))
        self.stats = stats
        self.setOwn(self.exchange.own)
    }

    private func take(_ offers: PunchOffers) {
        self.setOwn(offers.offers.prefix(PunchOperation.maximumOffers).compactMap(NodeAddress.init))
    }

    private func take(_ nat: NATReport) {
        if let former = self.nat, former.network != nat.network || former.mapping != nat.mapping {
            self.planner.forgetFailures()
        }
        self.nat = nat
    }

    private func setOwn(_ offers: [NodeAddress]) {
        let endpoints = (self.stats?.endpoints ?? []).prefix(PunchOperation.maximumOffers).compactMap { text in
            try? CoordinationEndpoint(text)
        }
        self.exchange.setOwn(offers, endpoints: endpoints, now: .system)
    }

    /// Tells the driver whom it may ask how they see us: those that we or the node connected to, so that they learn
    /// nothing new of us.
    private func tellWitnesses(_ driver: String) async {
        var witnesses = PunchWitnesses.choose(
            among: self.dialed.sorted { ($0.key.driver, $0.key.number.number) < ($1.key.driver, $1.key.number.number) }
                .map(\.value) + (await self.nodePeers()).direct)
        if self.inboundSeen { witnesses.inboundSeen = true }
        guard witnesses.witnesses != self.toldWitnesses || self.inboundSeen else { return }
        do throws(ControlRefusal) {
            let _: Nothing = try await self.ask(PunchOperation.witnesses, witnesses)
            guard driver == self.driver else { return }
            self.toldWitnesses = witnesses.witnesses
            self.inboundSeen = self.inboundSeen && witnesses.inboundSeen == nil
        } catch {
            self.logger.debug("the driver of hole punching takes no witnesses", metadata: ["reason": "\(error)"])
        }
    }

    // MARK: - Calling

    private func callSomebody(_ now: MonotonicInstant) async {
        // Before the driver has told which endpoints are ours, an offer that comes back could be our own.
        guard self.stats != nil, self.isDue(now) else { return }
        let peers = await self.nodePeers()
        // Much may have happened meanwhile, calls of the operator's among it.
        guard self.driver != nil, self.isDue(now) else { return }
        let standing = self.taken
        var groups = Set(self.standing.values.compactMap(\.group))
        groups.formUnion(self.dialed.values.map(NetworkGroup.of))
        groups.formUnion(peers.all.map(NetworkGroup.of))
        let planner = self.planner
        let chosen = self.exchange.choose(
            now: now, using: &self.generator, isLie: { planner.isLie($0, now: now) },
            where: { planner.allows($0, standing: standing, groups: groups, now: now) })
        guard let chosen, self.planner.began(chosen.endpoint) else { return }
        Task { await self.callUnasked(chosen, avoiding: groups) }
    }

    private func isDue(_ now: MonotonicInstant) -> Bool {
        self.planner.isDue(standing: self.standing.count + self.expected.count, now: now)
    }

    /// The endpoints that we are connected to, or are just becoming so.
    var taken: Set<CoordinationEndpoint> {
        Set(self.standing.values.map(\.endpoint)).union(self.expected.keys)
    }

    // MARK: - What the calls change

    func note(_ number: DriverLink, _ standing: Standing) { self.standing[number] = standing }

    /// Forgets a link without holding its end against the endpoint; `false` when it is gone already.
    func forget(_ number: DriverLink, to endpoint: CoordinationEndpoint, of driver: String) -> Bool {
        guard driver == self.driver, self.standing[number]?.endpoint == endpoint else { return false }
        self.standing[number] = nil
        return true
    }

    /// Waits for a link that an attempt led to; `nil` when none came of it in time.
    func expect(_ expected: Expected) async -> Used? {
        let (links, told) = AsyncStream.makeStream(of: Used.self)
        var expected = expected
        expected.link = told
        self.expected.updateValue(expected, forKey: expected.standing.endpoint)?.link?.finish()
        return await links.first { _ in true }
    }

    /// The link that an attempt of ours led to, where it is there already.
    func link(to endpoint: CoordinationEndpoint) -> (number: DriverLink, description: DriverLinkDescription)? {
        self.punched.first { number, description in
            self.standing[number] == nil && (try? CoordinationEndpoint(description.requested)) == endpoint
        }.map { ($0.key, $0.value) }
    }

    func knownOffers() -> [OfferBook<OfferExchange.Link>.Entry] { self.exchange.offers(now: .system) }
}
