// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetBitcoin
public import AltNetConfiguration
internal import AltNetControl
public import AltNetDriverHost
public import AltNetDriverProtocol
public import AltNetHeaderChain
public import AltNetHeaderSync
public import AltNetNode
internal import AltNetObjects
public import AltNetStore
public import AltNetWatchdog
public import AltNetWeb
public import Logging

/// The daemon's heart: listens to all drivers and the node, keeps the header chain, lets the watchdog look, carries out
/// the policy, answers questions.
///
/// It decides nothing itself. What to ask of which link is ``HeaderSync``'s word, what is an incident is
/// ``Watchdog``'s, what to do about it is ``Policy``'s; the orchestrator carries them out.
public actor Orchestrator: DriverHostDelegate {
    /// What the orchestrator works with.
    struct Parts: Sendable {
        var sync: HeaderSync.Configuration
        var watchdog: Watchdog.Configuration
        /// Where everybody hears of what happens who looks on.
        var events: EventHub
        var policy: DaemonConfiguration.PolicySettings
        /// `nil` where the header chain is all there is.
        var node: (any NodeInterface)?
        var nodeSettings: DaemonConfiguration.Node
        /// Called for each incident that people or programs asked to be told of.
        var tell: @Sendable (Incident, ControlEvent.Change) -> Void
        /// The loopback ports that reach other nodes over links, those that work at the moment; `nil` where none is
        /// configured.
        var splicedPeers: (@Sendable () async -> [String])?
        /// Where observations are written down; `nil` for nowhere.
        var recorder: ObservationRecorder?
        var seed: UInt64
    }

    /// A link of a driver, as the orchestrator sees it.
    struct Link {
        let id: LinkID
        let driver: String
        let number: DriverLink
        let description: DriverLinkDescription
        let since: WallClockTime

        /// How far the remote's clock was ahead of ours when it introduced itself, give or take the round trip.
        var clockOffset: Duration? {
            // No clock is wrong by more than a century: what is, is no time.
            self.description.peer.clock.flatMap { clock in
                let offset = clock.subtractingReportingOverflow(self.since.seconds)
                let century: Int64 = 3_155_760_000
                guard !offset.overflow, (-century...century).contains(offset.partialValue) else { return nil }
                return .seconds(offset.partialValue)
            }
        }

        /// How incidents name it: driver and target, so that a link that comes back is the same subject.
        var subject: Subject {
            let remote = self.description.target.isEmpty ? self.description.remote : self.description.target
            return Subject("\(self.driver) \(remote)")
        }
    }

    /// What is known of a driver beside its process.
    struct DriverState {
        var exposure = ""
        /// Whether nothing names us over its links but our address.
        var isNameless = true
        var listening: [String] = []
        var links: [DriverLink: LinkID] = [:]
        var failures: [String: (reason: DisconnectReason, at: WallClockTime)] = [:]
    }

    let logger: Logger
    let store: HeaderStore
    let incidents: IncidentStore
    let parts: Parts
    var sync: HeaderSync
    var watchdog: Watchdog
    var witness = ChainWitness()
    private(set) var proven: ProvenHeaders
    private(set) var links: [LinkID: Link] = [:]
    private(set) var driverStates: [String: DriverState] = [:]
    /// How long each link took for its last answer.
    private(set) var latencies: [LinkID: Duration] = [:]
    /// When each link was asked last.
    private var asked: [LinkID: MonotonicInstant] = [:]
    private var nextLink: UInt64 = 1
    private(set) var host: DriverHost?
    private var syncTimer: Task<Void, Never>?
    var watchdogTimer: Task<Void, Never>?
    private var announcedTip: HeaderNode = .start
    nonisolated var events: EventHub { self.parts.events }
    /// What a daemon that was killed left open, until its end is told.
    private var leftovers: [Incident]
    /// Incidents that are open, as they were last told.
    var severities: [Int64: Incident.Severity] = [:]
    /// Incidents that opened since the start.
    var incidentCounts: [IncidentCount: UInt64] = [:]
    var node = NodeWatch()
    var repair = Repair()
    var blocks = BlockRequests()
    var transactions = TransactionRelay(now: .system)
    /// Gives the node transactions while some wait for it.
    var handingIn: Task<Void, Never>?
    private let flusher: Flusher
    private(set) var storeFailure: StoreError?
    private let onFatal: @Sendable (StoreError) -> Void

    /// - Parameters:
    ///   - chain: what `store` held.
    ///   - onFatal: called once when headers can no longer be stored; the daemon has to stop.
    init(
        chain: HeaderChain, store: sending HeaderStore, incidents: IncidentStore, parts: Parts, logger: Logger,
        onFatal: @escaping @Sendable (StoreError) -> Void
    ) throws(StoreError) {
        self.logger = logger
        self.flusher = Flusher(store.synchronizer, onFailure: onFatal)
        self.store = store
        self.incidents = incidents
        self.proven = ProvenHeaders(startedAt: .system)
        self.leftovers = try incidents.closeLeftovers()
        self.parts = parts
        self.watchdog = Watchdog(configuration: parts.watchdog, nextID: try incidents.nextID())
        self.sync = HeaderSync(chain: chain, configuration: parts.sync, seed: parts.seed)
        self.onFatal = onFatal
    }

    /// MUST be called once before the first driver is attached.
    public func setHost(_ host: DriverHost) {
        self.host = host
        for incident in self.leftovers { self.tell(incident, .closed) }
        self.leftovers = []
        self.observeChain()
    }

    /// Ends timers, and closes what is open. Drivers must be gone.
    public func stop() {
        self.syncTimer?.cancel()
        self.watchdogTimer?.cancel()
        self.repair.feeding?.cancel()
        self.handingIn?.cancel()
        self.carryOut(self.watchdog.onStop(now: .system))
        self.parts.recorder?.drain()
        do throws(StoreError) {
            try self.store.synchronize()
        } catch {
            self.logger.error("headers could not be flushed", metadata: ["error": "\(error)"])
        }
    }

    // MARK: - Drivers

    public func driverAttached(_ driver: String, capabilities: DriverCapabilities, identity: String) async {
        self.logger.info("driver attached", metadata: ["driver": "\(driver)", "identity": "\(identity)"])
        self.driverStates[driver, default: DriverState()].exposure = capabilities.exposure.rawValue
        self.driverStates[driver]?.isNameless = capabilities.offers || identity.isEmpty
        if let tip = self.tipAnnouncement() {
            await self.host?.send(.announcement(.all, tip), to: driver)
        }
        await self.publishDriver(driver)
    }

    public func driverDetached(_ driver: String, reason: String) async {
        self.logger.info("driver detached", metadata: ["driver": "\(driver)", "reason": "\(reason)"])
        let gone = self.driverStates.removeValue(forKey: driver)?.links ?? [:]
        for link in gone.values.sorted() { await self.close(link) }
        await self.publishDriver(driver)
    }

    public func driver(_ driver: String, said event: DriverEvent) async {
        switch event {
        case .hello, .pong, .operationResult: break  // The host's.
        case .stream: break  // The splicer's.
        case .listening(let addresses): self.driverStates[driver]?.listening = addresses
        case .linkOpened(let number, let description): await self.open(driver, number, description)
        case .linkClosed(let number, let reason):
            guard let id = self.driverStates[driver]?.links.removeValue(forKey: number) else { return }
            let isTarget = self.links[id]?.description.target.isEmpty == false
            self.logger.log(
                level: isTarget ? .info : .debug, "link closed", metadata: ["link": "\(id)", "reason": "\(reason)"])
            await self.close(id)
        case .targetFailed(let target, let reason, _):
            self.noteFailure(driver, target, reason)
        case .request(let number, let id, let request):
            guard case .headers = request else { return self.ask(request, of: driver, number, id: id) }
            await self.host?.send(.answer(number, id: id, self.headers(answering: request)), to: driver)
        case .answer(_, let id, let answer) where BlockRequests.isOurs(id):
            self.blocks.resolve(id, with: answer)
        case .answer(let number, let id, let answer):
            guard let link = self.driverStates[driver]?.links[number] else { return }
            if let asked = self.asked.removeValue(forKey: link) {
                self.latencies[link] = MonotonicInstant.system - asked
            }
            await self.carryOut(
                self.sync.onAnswer(link, id: id, answer, now: .system, wallClock: .system))
        case .announcement(let number, .tip(let header, _)):
            guard let link = self.driverStates[driver]?.links[number] else { return }
            await self.carryOut(self.sync.onTip(link, header: header, now: .system, wallClock: .system))
        case .announcement(let number, .transaction(let bytes)):
            guard let link = self.driverStates[driver]?.links[number] else { return }
            self.take(transaction: bytes, over: link)
        case .announcement(_, .addresses): break  // Those that are of use are hole punching's.
        case .announcement(_, .peerRecord), .peerNews, .peerQuestion: break  // The peer service's.
        }
    }

    /// The most failed targets that are remembered per driver: as many as it may have links.
    private static let maximumFailures = DriverProtocol.maximumLinks

    private func noteFailure(_ driver: String, _ target: String, _ reason: DisconnectReason) {
        guard var state = self.driverStates[driver] else { return }
        guard state.failures[target] != nil || state.failures.count < Self.maximumFailures else { return }
        state.failures[target] = (reason, .system)
        self.driverStates[driver] = state
        self.logger.debug(
            "target failed", metadata: ["driver": "\(driver)", "target": "\(target)", "reason": "\(reason)"])
    }

    /// Forgets what is known of a target that nobody wants any more.
    func forgetTarget(_ target: String, driver: String) {
        self.driverStates[driver]?.failures[target] = nil
    }

    // MARK: - Links

    private func open(_ driver: String, _ number: DriverLink, _ description: DriverLinkDescription) async {
        // A driver that is gone already took its links with it.
        guard self.driverStates[driver] != nil else { return }
        let id = LinkID(self.nextLink)
        self.nextLink += 1
        let link = Link(id: id, driver: driver, number: number, description: description, since: .system)
        self.links[id] = link
        self.driverStates[driver]?.links[number] = id
        self.driverStates[driver]?.failures[description.target] = nil
        self.logger.log(
            level: description.target.isEmpty ? .debug : .info, "link opened",
            metadata: ["link": "\(id)", "driver": "\(driver)", "remote": "\(description.remote)"])
        self.publish(link, .opened)
        self.observe(.opened(link.subject, self.facts(of: link)), of: link)
        if let offset = link.clockOffset { self.observe(.clock(link.subject, offset: offset), of: link) }
        guard description.peer.serves.contains(.headers) else { return }
        await self.carryOut(self.sync.onLinkOpened(id, now: .system))
    }

    /// Gives the node a place among those that are asked for headers.
    func openNodeLink() async {
        let id = LinkID(self.nextLink)
        self.nextLink += 1
        // Known before anything is carried out: the first request comes with the opening.
        self.node.link = id
        await self.carryOut(self.sync.onLinkOpened(id, now: .system))
    }

    private func close(_ id: LinkID) async {
        guard let link = self.links.removeValue(forKey: id) else { return }
        self.blocks.close(id)
        self.transactions.onLinkClosed(id)
        self.asked[id] = nil
        self.latencies[id] = nil
        self.publish(link, .closed)
        await self.carryOut(self.sync.onLinkClosed(id, now: .system))
        // Another link to the same remote may go on under the same name.
        guard !self.links.values.contains(where: { $0.subject == link.subject }) else { return }
        self.observe(.closed(link.subject), of: link)
    }

    /// What a remote asks of our header chain.
    private func headers(answering request: ObjectRequest) -> ObjectAnswer {
        guard case .headers(let locator, let stop, _, let limit) = request else { return .refused(.unsupported) }
        let found = self.sync.chain.heights(
            after: locator, stop: stop, limit: min(limit, ObjectRequest.maximumHeaders))
        guard let heights = found else { return .refused(.notFound) }
        do throws(StoreError) {
            return .headers(try self.headers(heights))
        } catch {
            self.logger.error("headers could not be read", metadata: ["error": "\(error)"])
            return .refused(.unavailable)
        }
    }

    /// Raw headers of the best chain.
    func headers(_ heights: Range<UInt32>) throws(StoreError) -> [UInt8] {
        try self.store.headers(of: heights.lazy.compactMap { self.sync.chain.best(at: $0) })
    }

    // MARK: - Carrying out

    func carryOut(_ directives: [HeaderSync.Directive]) async {
        // Before anything waits: in the file the headers must stand in the order in which the tree took them.
        for case .store(let nodes, let headers, let source) in directives {
            self.append(headers)
            self.witness.note(nodes, by: self.subject(of: source))
        }
        var changedLinks: Set<LinkID> = []
        for directive in directives {
            switch directive {
            case .request(let id, let number, let request): await self.send(request, id: number, over: id)
            case .store: break
            case .tipChanged(let change, let source): self.note(change, source: source)
            case .viewChanged(let id): changedLinks.insert(id)
            case .disconnect(let id, let reason): await self.disconnect(id, reason)
            case .setTimer(let moment): self.setSyncTimer(moment)
            }
        }
        self.observeChain()
        for id in changedLinks { self.observeView(of: id) }
        await self.announceTip()
    }

    private func disconnect(_ id: LinkID, _ reason: DisconnectReason) async {
        if id == self.node.link {
            // What our own node says breaks the rules that we know: it follows others, or is damaged.
            self.logger.error("the node's headers break the rules", metadata: ["reason": "\(reason)"])
            self.node.link = nil
        }
        guard let link = self.links[id] else { return }
        self.logger.warning(
            "link broke the rules",
            metadata: ["link": "\(id)", "remote": "\(link.description.remote)", "reason": "\(reason)"])
        await self.host?.send(.closeLink(link.number, reason), to: link.driver)
    }

    private func send(_ request: ObjectRequest, id: UInt64, over link: LinkID) async {
        if link == self.node.link { return self.askNode(request, id: id, link) }
        guard let state = self.links[link], let host = self.host else { return }
        self.asked[link] = .system
        guard let refused = await host.send(.request(state.number, id: id, request), to: state.driver) else { return }
        let directives = self.sync.onAnswer(
            link, id: refused.id, .refused(refused.refusal), now: .system, wallClock: .system)
        await self.carryOut(directives)
    }

    private func append(_ headers: [UInt8]) {
        // After one failure the file no longer has the tree's order: nothing may follow.
        guard self.storeFailure == nil else { return }
        do throws(StoreError) {
            try self.store.append(headers)
            self.flusher.requestFlush()
        } catch {
            self.storeFailure = error
            self.logger.critical("headers can no longer be stored", metadata: ["error": "\(error)"])
            self.onFatal(error)
        }
    }

    private func note(_ change: TipChange, source: LinkID?) {
        let chain = self.sync.chain
        let name = self.subject(of: source).name
        switch change {
        case .unchanged: return
        case .extended(let joined):
            self.proven.note(heights: chain.tipHeight - joined + 1...chain.tipHeight, by: name, at: .system)
        case .reorganised(let fork, let left, let joined, _):
            self.proven.note(heights: fork + 1...chain.tipHeight, by: name, at: .system)
            self.logger.notice(
                "chain reorganised",
                metadata: ["fork": "\(fork)", "left": "\(left)", "joined": "\(joined)", "source": "\(name)"])
        }
        self.logger.debug("tip changed", metadata: ["height": "\(chain.tipHeight)", "source": "\(name)"])
    }

    private func setSyncTimer(_ moment: MonotonicInstant) {
        self.syncTimer?.cancel()
        self.syncTimer = Task {
            do { try await Task.sleep(for: max(.zero, moment - .system)) } catch { return }
            await self.carryOut(self.sync.onTimer(now: .system))
        }
    }

    /// Tells everybody our tip, unless more headers are on their way.
    private func announceTip() async {
        let tip = self.sync.chain.tip
        guard tip != self.announcedTip, !self.sync.isDelivering, let host = self.host,
            let announcement = self.tipAnnouncement()
        else { return }
        self.announcedTip = tip
        for driver in self.driverStates.keys.sorted() { await host.send(.announcement(.all, announcement), to: driver) }
    }

    private func tipAnnouncement() -> ObjectAnnouncement? {
        guard let bytes = try? self.store.headers(of: CollectionOfOne(self.sync.chain.tip)),
            let header = BlockHeader(bytes: bytes)
        else { return nil }
        return .tip(header: header, height: self.sync.chain.tipHeight)
    }

    // MARK: - The operator

    /// Takes headers that the operator hands in; they are on the disk when this returns.
    func importHeaders(_ headers: [UInt8]) async throws(StoreError) -> (added: UInt32, rejection: HeaderRejection?) {
        let (added, rejection, directives) = self.sync.onImport(headers, now: .system, wallClock: .system)
        await self.carryOut(directives)
        if let storeFailure = self.storeFailure { throw storeFailure }
        try await self.flusher.flush()
        return (added, rejection)
    }
}
