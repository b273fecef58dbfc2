// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningStore
internal import AltNetStreamDriver
internal import AltNetTransport
internal import Dispatch
internal import FoundationEssentials
internal import Logging
internal import Synchronization

/// The machine of alternative addresses, with its disk: carries out what ``AlternativeAddresses`` directs, in order.
///
/// Everything happens on one queue of its own, because writing waits for the disk. When a write fails, nobody is let in
/// or told anything any more, and the driver ends: what is on the disk is what counts at the next start.
final class AlternativeAddressBook: Sendable {
    struct State {
        var machine: AlternativeAddresses
        var endpoints: [AlternativeEndpoint] = []
        /// Peers of an attached node that are connected with it.
        var attached: Set<NodeID> = []
        var failure: AlternativeAddressStoreError?
        /// When the machine is told the time next.
        var timer: MonotonicInstant?
        var refusals = AlternativeLogLimit()
        var turnedAway = AlternativeLogLimit()
    }

    /// Makes changes durable, or says why they are not.
    typealias Apply = @Sendable ([StoredChange]) -> AlternativeAddressStoreError?

    private let store: AlternativeAddressStore
    private let apply: Apply
    private let queue = DispatchQueue(label: "alternative addresses")
    /// Only the queue changes it; the lock is there because the compiler cannot know.
    private let state: Mutex<State>
    /// What the disk says about who is let in, for sessions, which cannot wait.
    private let admissions = Mutex<Set<AlternativeAddresses.Admission>>([])
    private let failures = AsyncStream.makeStream(of: AlternativeAddressStoreError.self)
    private let send: @Sendable ([UInt8], NodeID) -> Bool
    let logsAddresses: Bool
    let clock: Clock
    let logger: Logger

    /// - Parameters:
    ///   - apply: what writes instead of the store, for tests of disks that fail.
    ///   - send: hands a message, type included, to a peer over any link with it; `false` when it cannot be.
    init(
        _ settings: AlternativeAddresses.Settings, store: AlternativeAddressStore, logsAddresses: Bool,
        clock: Clock = Clock(), logger: Logger = Logger(label: "alternative addresses"), apply: Apply? = nil,
        send: @escaping @Sendable ([UInt8], NodeID) -> Bool
    ) throws(AlternativeAddressStoreError) {
        self.store = store
        self.apply = apply ?? { Self.apply($0, to: store) }
        self.state = Mutex(State(machine: AlternativeAddresses(settings, stored: try store.load())))
        self.logsAddresses = logsAddresses
        self.clock = clock
        self.logger = logger
        self.send = send
    }

    /// Returns when the disk failed, with the reason.
    func failed() async -> AlternativeAddressStoreError? {
        for await failure in self.failures.stream { return failure }
        return nil
    }

    // MARK: - Peers

    func connected(_ peer: NodeID) async {
        await self.perform { $0.onConnected(peer, now: $1) }
    }

    func disconnected(_ peer: NodeID) async {
        await self.perform { $0.onDisconnected(peer, now: $1) }
    }

    /// An attached node is connected with a peer, and these are their channels; `nil` when the peer has left.
    func attached(_ peer: NodeID, channels: [[UInt8]]?) async {
        await self.onQueue { state in
            if let channels {
                self.carryOut(state.machine.onChannels(peer, channels, now: self.clock.now()), &state)
                guard state.attached.insert(peer).inserted else { return }
                self.carryOut(state.machine.onConnected(peer, now: self.clock.now()), &state)
            } else if state.attached.remove(peer) != nil {
                self.carryOut(state.machine.onDisconnected(peer, now: self.clock.now()), &state)
            }
        }
    }

    /// What a peer gave us for itself now.
    struct Gift: Hashable, Sendable {
        let peer: NodeID
        /// `nil`: nothing any more.
        let address: LightningAddress?
    }

    /// A peer sent a message of type 209; `body` is what follows the type.
    ///
    /// - Returns: what the message changed or confirmed: of the peer, and of another one that made room for it.
    func received(_ body: [UInt8], from peer: NodeID) async -> [Gift] {
        await self.onQueue { state in
            let now = self.clock.now()
            let (reception, directives) = state.machine.onMessage(body: body, from: peer, now: now)
            self.log(reception, of: peer, now, &state)
            self.carryOut(directives, &state)
            guard state.failure == nil else { return [] }
            if case .unchanged = reception {
                return [Gift(peer: peer, address: state.machine.received.first { $0.peer == peer }?.address)]
            }
            return directives.flatMap(Self.gifts)
        }
    }

    private static func gifts(_ directive: AlternativeAddresses.Directive) -> [Gift] {
        guard case .store(let changes) = directive else { return [] }
        return changes.compactMap { change in
            switch change {
            case .received(let record): Gift(peer: record.peer, address: record.address)
            case .forgetReceived(let peer): Gift(peer: peer, address: nil)
            default: nil
            }
        }
    }

    // MARK: - Endpoints

    /// Makes an endpoint known, in its place, or says what changed about it.
    func update(_ endpoint: AlternativeEndpoint) async {
        await self.endpoints { endpoints in
            if let index = endpoints.firstIndex(where: { $0.id == endpoint.id }) {
                endpoints[index] = endpoint
            } else {
                endpoints.append(endpoint)
            }
        }
    }

    func endpoints(_ change: @escaping @Sendable (inout [AlternativeEndpoint]) -> Void) async {
        await self.onQueue { state in
            change(&state.endpoints)
            return self.carryOut(state.machine.onEndpoints(state.endpoints, now: self.clock.now()), &state)
        }
    }

    /// Says where we listen for some peers; see ``AlternativeAddresses/onOwnPlaces(_:)``.
    func ownPlaces(_ places: [OwnPlace]) async {
        await self.onQueue { $0.machine.onOwnPlaces(places) }
    }

    /// Whether a peer may enter by an endpoint. Does not wait.
    func admits(_ peer: NodeID, at endpoint: EndpointID) -> Bool {
        let isAdmitted = self.admissions.withLock { $0.contains(.init(peer: peer, endpoint: endpoint)) }
        self.queue.async {
            self.state.withLock { state in
                state.machine.onAdmission(isAdmitted)
                if !isAdmitted { self.logTurnedAway(peer, at: endpoint, &state) }
            }
        }
        return isAdmitted
    }

    /// The address that an open record says a peer has at an endpoint: what the endpoint had before the restart.
    func givenAddress(_ peer: NodeID, at endpoint: EndpointID) async -> LightningAddress? {
        await self.onQueue { state in
            state.machine.given.last { $0.peer == peer && $0.endpoint == endpoint && $0.until == nil }?.address
        }
    }

    func onionService(_ endpoint: EndpointID) async -> OnionServiceRecord? {
        await self.onQueue { state in
            do throws(AlternativeAddressStoreError) {
                return try self.store.onionService(endpoint)
            } catch {
                self.fail(error, &state)
                return nil
            }
        }
    }

    /// Returns when the key is on the disk; `false` when that failed.
    func save(_ service: OnionServiceRecord, of endpoint: EndpointID) async -> Bool {
        await self.onQueue { state in
            do throws(AlternativeAddressStoreError) {
                try self.store.save(service, of: endpoint)
                return true
            } catch {
                self.fail(error, &state)
                return false
            }
        }
    }

    // MARK: - Dialling

    func routes(to peer: NodeID) async -> [AlternativeAddresses.Route] {
        await self.onQueue { $0.machine.routes(to: peer) }
    }

    func dialled(_ peer: NodeID, at address: LightningAddress, _ result: AlternativeAddresses.DialResult) {
        self.queue.async {
            self.state.withLock { state in
                self.carryOut(state.machine.onDialled(peer, at: address, result, now: self.clock.now()), &state)
            }
        }
    }

    // MARK: - The operator

    /// A copy to look at.
    func snapshot() async -> AlternativeAddresses {
        await self.onQueue { $0.machine }
    }

    /// - Throws: that the peer is not allowed, or that the disk refuses: then nothing counts but what is on it.
    func send(to peer: NodeID?) async throws(OperationFailure) -> AlternativeAddresses.Delivery {
        try await self.deliver { machine, now throws(AlternativeAddresses.NotAllowed) in
            try machine.send(to: peer, now: now)
        }
    }

    /// - Throws: as ``send(to:)``.
    func clear(_ peer: NodeID) async throws(OperationFailure) -> AlternativeAddresses.Delivery {
        try await self.deliver { machine, now throws(AlternativeAddresses.NotAllowed) in
            try machine.clear(peer, now: now)
        }
    }

    private typealias Delivering =
        @Sendable (inout AlternativeAddresses, Moment) throws(AlternativeAddresses.NotAllowed)
        -> (AlternativeAddresses.Delivery, [AlternativeAddresses.Directive])

    private func deliver(
        _ body: @escaping Delivering
    ) async throws(OperationFailure) -> AlternativeAddresses.Delivery {
        let result = await self.onQueue { self.delivered(body, &$0) }
        return try result.get()
    }

    private func delivered(
        _ body: Delivering, _ state: inout State
    ) -> Result<AlternativeAddresses.Delivery, OperationFailure> {
        var delivery: AlternativeAddresses.Delivery
        let directives: [AlternativeAddresses.Directive]
        do throws(AlternativeAddresses.NotAllowed) {
            (delivery, directives) = try body(&state.machine, self.clock.now())
        } catch {
            return .failure(OperationFailure(error.description))
        }
        let lost = self.lost(carryingOut: directives, &state)
        if let failure = state.failure {
            let reason = "this was not recorded completely, and the driver ends, because the disk refuses: \(failure)"
            return .failure(OperationFailure(reason))
        }
        delivery.sent.removeAll { lost.contains($0) }
        delivery.waiting = (delivery.waiting + lost).sorted { $0.description < $1.description }
        return .success(delivery)
    }

    // MARK: - Directives

    private func perform(
        _ body: @escaping @Sendable (inout AlternativeAddresses, Moment) -> [AlternativeAddresses.Directive]
    ) async {
        await self.onQueue { state in self.carryOut(body(&state.machine, self.clock.now()), &state) }
    }

    private func onQueue<Value: Sendable>(_ body: @escaping @Sendable (inout State) -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            self.queue.async { continuation.resume(returning: self.state.withLock { body(&$0) }) }
        }
    }

    private func carryOut(_ directives: [AlternativeAddresses.Directive], _ state: inout State) {
        _ = self.lost(carryingOut: directives, &state)
    }

    /// Carries directives out in order. After a write that failed, nothing more is done.
    ///
    /// - Returns: the peers whose message no link took.
    private func lost(
        carryingOut directives: [AlternativeAddresses.Directive], _ state: inout State
    ) -> [NodeID] {
        var lost: [NodeID] = []
        for directive in directives {
            guard state.failure == nil else { return lost }
            switch directive {
            case .store(let changes):
                if let failure = self.apply(changes) { self.fail(failure, &state) }
            case .send(let message, let peer):
                guard self.send(message.encoded, peer) else {
                    lost.append(peer)
                    continue
                }
                let address = try? message.reading()
                self.logger.info(
                    address == nil ? "an alternative address is taken back" : "an alternative address is given",
                    metadata: self.metadata(peer, address))
            }
        }
        for peer in lost { self.carryOut(state.machine.onLost(peer, now: self.clock.now()), &state) }
        guard state.failure == nil else { return lost }
        let admissions = state.machine.admissions
        self.admissions.withLock { $0 = admissions }
        self.setTimer(&state)
        return lost
    }

    /// Sees to it that the machine hears of the time when it wants to.
    private func setTimer(_ state: inout State) {
        guard let moment = state.machine.nextRetry, state.timer.map({ moment < $0 }) ?? true else { return }
        state.timer = moment
        // A timer is no reason to keep the file open.
        self.clock.after(max(.zero, moment - self.clock.now().monotonic)) { [weak self] in
            guard let self else { return }
            self.queue.async {
                self.state.withLock { state in
                    // Another one took its place otherwise.
                    guard state.timer == moment else { return }
                    state.timer = nil
                    self.carryOut(state.machine.onTimer(now: self.clock.now()), &state)
                }
            }
        }
    }

    private static func apply(
        _ changes: [StoredChange], to store: AlternativeAddressStore
    ) -> AlternativeAddressStoreError? {
        do throws(AlternativeAddressStoreError) {
            try store.apply(changes)
            return nil
        } catch {
            return error
        }
    }

    private func fail(_ error: AlternativeAddressStoreError, _ state: inout State) {
        state.failure = error
        self.admissions.withLock { $0 = [] }
        self.failures.continuation.yield(error)
    }
}
