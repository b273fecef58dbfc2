// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetHolePunch
internal import AltNetPunchReports
internal import AltNetTransport
internal import Glibc
internal import Synchronization

/// A connection that both sides have proved, on its way to becoming a link.
struct PunchedConnection: Sendable {
    let held: HeldConnection
    let role: PunchRole
    let path: PunchPath
    let endpoint: CoordinationEndpoint
    /// The other side's address; `nil` for a relayed connection.
    let peer: ExternalEndpoint?
    /// Its number among ``PunchSlots``; `nil` when we made it.
    var slot: UInt64?

    /// Where the other side is, for people.
    var remote: String {
        if let peer { return peer.description }
        return self.role == .initiator ? self.endpoint.description : "over \(self.endpoint)"
    }
}

/// All coordinations of the driver, in both roles.
actor PunchCoordinator {
    /// The most calls of ours at a time: an operator or the orchestrator makes one at a time, and scripts a few.
    static let maximumCalls = 8

    /// Why an endpoint is not called at all.
    struct Refusal: Error, CustomStringConvertible {
        let description: String
    }

    /// A connection at an endpoint of ours.
    private struct Visit {
        let run: CoordinationRun
        let task: Task<Void, Never>
        var isGranted = false

        func close(_ refusal: PunchRefusal) {
            self.run.close(refusal)
            self.task.cancel()
        }
    }

    private let settings: PunchSettings
    private let network: Network
    private let client: CoordinationClient
    private let place: NetworkPlace
    private let limits = SharedLimits()
    /// Takes the connections that others made with us; `false` when nobody does any more.
    private let onInbound: @Sendable (PunchedConnection) -> Bool
    private(set) var records = PunchRecords()
    private var visits: [UInt64: Visit] = [:]
    /// Those of them that have not asked for anything.
    private var visitors = PunchVisitors<UInt64>()
    private var nextVisit: UInt64 = 1
    /// Endpoints that we are calling.
    private var calls: Set<CoordinationEndpoint> = []
    private var slots: PunchSlots
    /// The connections that have slots.
    private var standing: [UInt64: any LinkConnection] = [:]

    init(
        _ settings: PunchSettings, network: Network, place: NetworkPlace,
        onInbound: @escaping @Sendable (PunchedConnection) -> Bool
    ) {
        self.settings = settings
        self.network = network
        self.client = CoordinationClient(settings)
        self.place = place
        self.onInbound = onInbound
        self.slots = PunchSlots(settings.offer, allowPrivate: settings.allowsPrivate)
    }

    var coordinating: Int { self.calls.count + self.limits.coordinations }
    /// Connections that others made and that stand.
    var slotsTaken: Int { self.slots.taken }
    /// Whether one more peer may connect to us.
    var hasSlot: Bool { self.slots.hasPlace(besides: self.limits.coordinations) }

    static var wallClock: WallClockTime { WallClockTime(seconds: Int64(time(nil))) }

    private func configuration(_ role: PunchRole, offered: OfferedAddresses) async -> Coordination.Configuration {
        // From the system's generator.
        let secret = (0..<32).map { _ in UInt8.random(in: 0...255) }
        var view = await self.place.view
        if role == .responder, !self.slots.hasRelayedPlace { view.abilities.remove(.relay) }
        return Coordination.Configuration(
            role: role, network: self.network, mapping: view.mapping, abilities: view.abilities, secret: secret,
            offered: offered, ownAddresses: view.own, allowPrivate: self.settings.allowsPrivate)
    }

    private func opener() async -> PathOpener {
        PathOpener(await self.place.view.addresses, mappings: self.place, limits: self.limits)
    }

    // MARK: - Calling

    /// Arranges a connection with a peer and opens it.
    ///
    /// - Parameter offered: the peer's clearnet addresses, where its offers named some.
    func call(
        _ endpoint: CoordinationEndpoint, offered: OfferedAddresses
    ) async throws(Refusal) -> (PunchReport, PunchedConnection?) {
        guard self.calls.count < Self.maximumCalls else {
            throw Refusal(description: "\(Self.maximumCalls) endpoints are being called already, which is the most")
        }
        guard self.calls.insert(endpoint).inserted else {
            throw Refusal(description: "the endpoint is being called already")
        }
        defer { self.calls.remove(endpoint) }
        let (began, at) = (MonotonicInstant.now, Self.wallClock)
        let configuration = await self.configuration(.initiator, offered: offered)
        let held: HeldConnection
        do {
            held = try await self.client.connect(to: endpoint)
        } catch {
            let report = self.records.unreachable(
                endpoint, configuration.mapping, reason: NetworkFailure.describe(error), took: .now - began, at: at)
            return (report, nil)
        }
        let result = Mutex<(PunchOutcome, HeldConnection?)?>(nil)
        let (ended, continuation) = AsyncStream<Void>.makeStream()
        let run = CoordinationRun(held, configuration, opener: await self.opener()) { outcome, held in
            result.withLock { $0 = (outcome, held) }
            continuation.finish()
        }
        // The other side may still want to hear how it ended when the connection stands already.
        let task = Task {
            await run.run()
            continuation.finish()
        }
        await withTaskCancellationHandler {
            for await _ in ended {}
        } onCancel: {
            task.cancel()
        }
        guard !Task.isCancelled, let (outcome, opened) = result.withLock({ $0 }) else {
            // A connection that stood in the last moment is nobody's.
            await task.value
            result.withLock { $0?.1 }?.connection.abort()
            throw Refusal(description: "the connection is not wanted any more")
        }
        let report = self.records.ended(outcome, endpoint, at: at)
        return (report, Self.connection(outcome, opened, endpoint))
    }

    private static func connection(
        _ outcome: PunchOutcome, _ held: HeldConnection?, _ endpoint: CoordinationEndpoint
    ) -> PunchedConnection? {
        guard let held, case .connected(let path, let peer) = outcome.ending else { return nil }
        return PunchedConnection(
            held: held, role: outcome.role, path: path, endpoint: endpoint, peer: path == .relayed ? nil : peer)
    }

    // MARK: - Being called

    /// Takes a connection at an endpoint of ours; ``PunchVisitors`` says who leaves for it.
    func accept(_ held: HeldConnection, at endpoint: CoordinationEndpoint) async {
        let configuration = await self.configuration(.responder, offered: OfferedAddresses())
        let opener = await self.opener()
        self.records.count("connections")
        self.pushOut(self.visitors.arrived(self.nextVisit))
        guard self.limits.connected() else {
            self.visitors.left(self.nextVisit)
            self.records.count("connections-refused")
            return held.connection.abort()
        }
        let (visit, at) = (self.nextVisit, Self.wallClock)
        self.nextVisit += 1
        let run = CoordinationRun(
            held, configuration, opener: opener,
            decide: { await self.decide(visit, endpoint) },
            onFirstWord: { await self.spoke(visit) },
            onEnd: { outcome, opened in await self.ended(visit, outcome, opened, endpoint, at) })
        let task = Task {
            await run.run()
            self.left(visit)
        }
        self.visits[visit] = Visit(run: run, task: task)
    }

    private func pushOut(_ visit: UInt64?) {
        guard let visit, let pushedOut = self.visits.removeValue(forKey: visit) else { return }
        self.records.count("connections-pushed-out")
        pushedOut.close(.busy)
        self.limits.disconnected()
    }

    private func left(_ visit: UInt64) {
        self.visitors.left(visit)
        if self.visits.removeValue(forKey: visit) != nil { self.limits.disconnected() }
    }

    private func spoke(_ visit: UInt64) {
        self.pushOut(self.visitors.greeted(visit))
    }

    private func decide(_ visit: UInt64, _ endpoint: CoordinationEndpoint) -> PunchRefusal? {
        self.records.count("requests")
        // Pushed out while it asked.
        guard self.visits[visit] != nil else { return .busy }
        let refusal = self.hasSlot ? self.limits.request(at: endpoint) : .noSlots
        if let refusal {
            self.records.count(refusal == .noSlots ? "requests-without-slot" : "requests-refused")
            return refusal
        }
        self.visits[visit]?.isGranted = true
        self.visitors.left(visit)
        return nil
    }

    private func ended(
        _ visit: UInt64, _ outcome: PunchOutcome, _ opened: HeldConnection?, _ endpoint: CoordinationEndpoint,
        _ at: WallClockTime
    ) {
        if self.visits[visit]?.isGranted == true {
            self.limits.requestEnded()
            _ = self.records.ended(outcome, endpoint, at: at)
        } else {
            // Connections that never became a request are counted, not listed: a stranger makes as many as he likes.
            self.records.count("connections-without-request")
        }
        guard var connection = Self.connection(outcome, opened, endpoint) else { return }
        guard case .taken(let slot, let pushedOut) = self.slots.take(connection.peer) else {
            self.records.count("connections-without-slot")
            return connection.held.connection.abort()
        }
        if let pushedOut {
            self.records.count("relayed-pushed-out")
            self.standing.removeValue(forKey: pushedOut)?.abort()
        }
        connection.slot = slot
        self.standing[slot] = connection.held.connection
        guard self.onInbound(connection) else {
            connection.held.connection.abort()
            return self.slotFreed(slot)
        }
    }

    /// A link that another side made is gone.
    func slotFreed(_ slot: UInt64) {
        self.slots.free(slot)
        self.standing[slot] = nil
    }

    /// Ends what is under way as responder.
    func stop() {
        for visit in self.visits.values { visit.close(.stopping) }
    }
}
