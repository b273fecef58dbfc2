// SPDX-License-Identifier: MIT

internal import AltNetAlternativeAddresses
internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningStore
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
    private struct State {
        var machine: AlternativeAddresses
        var endpoints: [AlternativeEndpoint] = []
        /// Peers of an attached node that are connected with it.
        var attached: Set<NodeID> = []
        var failure: AlternativeAddressStoreError?
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
    private let logsAddresses: Bool
    private let logger = Logger(label: "alternative addresses")

    /// - Parameters:
    ///   - apply: what writes instead of the store, for tests of disks that fail.
    ///   - send: hands a message, type included, to a peer over any link with it; `false` when it cannot be.
    init(
        _ settings: AlternativeAddresses.Settings, store: AlternativeAddressStore, logsAddresses: Bool,
        apply: Apply? = nil,
        send: @escaping @Sendable ([UInt8], NodeID) -> Bool
    ) throws(AlternativeAddressStoreError) {
        self.store = store
        self.apply = apply ?? { Self.apply($0, to: store) }
        self.state = Mutex(State(machine: AlternativeAddresses(settings, stored: try store.load())))
        self.logsAddresses = logsAddresses
        self.send = send
    }

    static var now: Moment {
        Moment(
            wall: WallClockTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)), monotonic: .now)
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
                self.carryOut(state.machine.onChannels(peer, channels, now: Self.now), &state)
                guard state.attached.insert(peer).inserted else { return }
                self.carryOut(state.machine.onConnected(peer, now: Self.now), &state)
            } else if state.attached.remove(peer) != nil {
                self.carryOut(state.machine.onDisconnected(peer, now: Self.now), &state)
            }
        }
    }

    /// A peer sent a message of type 209; `body` is what follows the type.
    func received(_ body: [UInt8], from peer: NodeID) async {
        await self.perform { machine, now in
            let (reception, directives) = machine.onMessage(body: body, from: peer, now: now)
            self.log(reception, of: peer, machine)
            return directives
        }
    }

    private func log(_ reception: AddressReception, of peer: NodeID, _ machine: AlternativeAddresses) {
        switch reception {
        case .stored:
            let address = machine.received.first { $0.peer == peer }?.address
            self.logger.info("a peer gave us an alternative address", metadata: self.metadata(peer, address))
        case .cleared: self.logger.info("a peer took its alternative address back", metadata: self.metadata(peer))
        case .refused(let refusal):
            self.logger.notice(
                "an alternative address is not stored",
                metadata: self.metadata(peer).merging(["reason": "\(refusal)"]) { $1 })
        case .unchanged, .nothingToClear: break
        }
    }

    private func metadata(_ peer: NodeID, _ address: LightningAddress? = nil) -> Logger.Metadata {
        guard let address, self.logsAddresses else { return ["peer": "\(peer)"] }
        return ["peer": "\(peer)", "address": "\(address.text)"]
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
            return self.carryOut(state.machine.onEndpoints(state.endpoints, now: Self.now), &state)
        }
    }

    /// Whether a peer may enter by an endpoint. Does not wait.
    func admits(_ peer: NodeID, at endpoint: EndpointID) -> Bool {
        let isAdmitted = self.admissions.withLock { $0.contains(.init(peer: peer, endpoint: endpoint)) }
        self.queue.async {
            self.state.withLock { $0.machine.onAdmission(isAdmitted) }
            if !isAdmitted {
                // The peer is known to us now, so the operator may be, too.
                self.logger.notice(
                    "a peer was turned away from an alternative endpoint that it was not given",
                    metadata: ["peer": "\(peer)", "endpoint": "\(endpoint)"])
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
                self.carryOut(state.machine.onDialled(peer, at: address, result, now: Self.now), &state)
            }
        }
    }

    // MARK: - The operator

    /// A copy to look at.
    func snapshot() async -> AlternativeAddresses {
        await self.onQueue { $0.machine }
    }

    func send(to peer: NodeID?) async throws(AlternativeAddresses.NotAllowed) -> AlternativeAddresses.Delivery {
        try await self.deliver { machine, now throws(AlternativeAddresses.NotAllowed) in
            try machine.send(to: peer, now: now)
        }
    }

    func clear(_ peer: NodeID) async throws(AlternativeAddresses.NotAllowed) -> AlternativeAddresses.Delivery {
        try await self.deliver { machine, now throws(AlternativeAddresses.NotAllowed) in
            try machine.clear(peer, now: now)
        }
    }

    private typealias Delivering =
        @Sendable (inout AlternativeAddresses, Moment) throws(AlternativeAddresses.NotAllowed)
        -> (AlternativeAddresses.Delivery, [AlternativeAddresses.Directive])

    private func deliver(
        _ body: @escaping Delivering
    ) async throws(AlternativeAddresses.NotAllowed) -> AlternativeAddresses.Delivery {
        let result: Result<AlternativeAddresses.Delivery, AlternativeAddresses.NotAllowed> = await self.onQueue {
            state in
            do throws(AlternativeAddresses.NotAllowed) {
                let (delivery, directives) = try body(&state.machine, Self.now)
                self.carryOut(directives, &state)
                return .success(delivery)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    // MARK: - Directives

    private func perform(
        _ body: @escaping @Sendable (inout AlternativeAddresses, Moment) -> [AlternativeAddresses.Directive]
    ) async {
        await self.onQueue { state in self.carryOut(body(&state.machine, Self.now), &state) }
    }

    private func onQueue<Value: Sendable>(_ body: @escaping @Sendable (inout State) -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            self.queue.async { continuation.resume(returning: self.state.withLock { body(&$0) }) }
        }
    }

    /// Carries directives out in order. After a write that failed, nothing more is done.
    private func carryOut(_ directives: [AlternativeAddresses.Directive], _ state: inout State) {
        var lost: [NodeID] = []
        for directive in directives {
            guard state.failure == nil else { return }
            switch directive {
            case .store(let changes):
                if let failure = self.apply(changes) { self.fail(failure, &state) }
            case .send(let message, let peer):
                let address = try? message.reading()
                self.logger.info(
                    address == nil ? "an alternative address is taken back" : "an alternative address is given",
                    metadata: self.metadata(peer, address))
                if !self.send(message.encoded, peer) { lost.append(peer) }
            }
        }
        for peer in lost { self.carryOut(state.machine.onLost(peer), &state) }
        guard state.failure == nil else { return }
        let admissions = state.machine.admissions
        self.admissions.withLock { $0 = admissions }
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
