// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningAttachment
internal import AltNetLightningRelay
internal import AltNetTransport
internal import Logging

/// Where the messages of all links of the driver meet: forwards those of others, sends and answers our own.
///
/// An interpreter: what becomes of a message is decided by ``DirectedMessages`` and ``OnionMessages``.
actor MessageHub {
    /// Takes the answer to a message of ours, or the reason why there is none.
    typealias Completion = @Sendable (Result<[UInt8], OriginationFailure>) -> Void

    /// Why a message of ours has no answer, in a sentence.
    struct OriginationFailure: Error, Sendable, CustomStringConvertible {
        let description: String
    }

    let neighbours: NeighbourTable
    private var directed: DirectedMessages
    private var onion: OnionMessages
    private var random = SystemRandomNumberGenerator()
    private var nextID: UInt64 = 0
    /// Who waits for the answers to our messages; as many as the machines allow.
    private var completions: [UInt64: Completion] = [:]
    private var timer: (deadline: MonotonicInstant, task: Task<Void, Never>)?
    /// Takes messages that are for us: a handle for the answer, the carrier, who passed it on, and the message.
    private var onDelivery: (@Sendable (UInt64, RouteCarrier, NodeID?, [UInt8]) async -> Void)?

    /// Sends and peels onion messages instead of us, when the neighbours are its own.
    private let attachment: (any LightningAttachment)?

    /// - Parameter key: the key of the node that the neighbours know; `nil` when it is not ours.
    init(key: NodePrivateKey?, attachment: (any LightningAttachment)?, limits: RelayLimits) {
        self.neighbours = NeighbourTable()
        self.attachment = attachment
        self.directed = DirectedMessages(key: key, limits: limits)
        self.onion = OnionMessages(key: key, limits: limits)
    }

    /// Says who takes the messages that are for us. Those that came before are lost.
    func deliver(to receiver: @escaping @Sendable (UInt64, RouteCarrier, NodeID?, [UInt8]) async -> Void) {
        self.onDelivery = receiver
    }

    /// What happened to messages so far.
    var counters: (directed: RelayCounters, onion: RelayCounters) { (self.directed.counters, self.onion.counters) }

    // MARK: - Neighbours

    func neighbourOpened(_ node: NodeID, _ neighbour: Neighbour) {
        self.neighbours.add(neighbour, of: node)
    }

    func neighbourClosed(_ id: UInt64) async {
        guard let node = self.neighbours.remove(id) else { return }
        await self.carryOut(self.directed.onPeerClosed(node, now: .now), .directed)
        await self.carryOut(self.onion.onPeerClosed(node, now: .now), .onion)
        self.rearm()
    }

    /// A neighbour sent a message of one of the relayed types, type included. One that cannot be read is dropped: these
    /// messages are unreliable by nature, and their sender need not be their author.
    func received(_ message: [UInt8], from node: NodeID) async {
        guard let decoded = try? LightningMessage(decoding: message), case .relayed(let type, let body) = decoded else {
            return
        }
        let now = MonotonicInstant.now
        switch type {
        case .directed:
            guard let body = try? DirectedMessage(body: body) else { return }
            let directives = self.directed.onMessage(
                body, from: node, now: now, canSend: { self.neighbours.state(of: $0, taking: type) },
                using: &self.random)
            await self.carryOut(directives, .directed)
        case .directedReply:
            guard let body = try? DirectedReply(body: body) else { return }
            await self.carryOut(self.directed.onReply(body, from: node, now: now), .directed)
        case .onionMessage:
            guard let body = try? OnionMessage(body: body) else { return }
            let directives = self.onion.onMessage(
                body, from: node, now: now, canSend: { self.neighbours.state(of: $0, taking: type) },
                using: &self.random)
            await self.carryOut(directives, .onion)
        case .alternativeAddress:
            break
        }
        self.rearm()
    }

    /// The attached node peeled an onion message that is for us.
    func delivered(_ delivery: OnionDelivery) async {
    }

    // MARK: - Our own messages

    /// The longest message to the end of a route, and the longest answer, in bytes.
    static func limits(of route: Route) -> (message: Int, answer: Int) {
        switch route.carrier {
        case .directed:
            (DirectedMessages.maximumPayload(hops: route.nodes.count), DirectedMessages.maximumReply)
        case .onion:
            (OnionMessages.maximumPayload(hops: route.nodes.count), OnionMessages.maximumReply)
        }
    }

    /// Whether a route that begins with a node can be tried.
    nonisolated func canReach(_ first: NodeID, over carrier: RouteCarrier) -> Bool {
        let type: LightningMessage.RelayedType = carrier == .directed ? .directed : .onionMessage
        return self.neighbours.state(of: first, taking: type) != .absent
    }

    /// Sends a message to the end of a route; `completion` is called once.
    func ask(_ route: Route, _ payload: [UInt8], timeout: Duration, _ completion: @escaping Completion) async {
        let id = self.nextID
        self.nextID += 1
        let directives: [RelayDirective]
        do throws(RelayError) {
            switch route.carrier {
            case .directed:
                directives = try self.directed.originate(
                    id: id, path: route.nodes, payload: payload, timeout: timeout, now: .now,
                    canSend: { self.neighbours.state(of: $0, taking: .directed) }, using: &self.random)
            case .onion:
                directives = try self.onion.originate(
                    id: id, path: route.nodes, payload: payload, timeout: timeout, now: .now,
                    canSend: { self.neighbours.state(of: $0, taking: .onionMessage) }, using: &self.random)
            }
        } catch {
            return completion(.failure(OriginationFailure(description: "\(error)")))
        }
        self.completions[id] = completion
        await self.carryOut(directives, route.carrier)
        self.rearm()
    }

    /// The same, for one who waits.
    func ask(_ route: Route, _ payload: [UInt8], timeout: Duration) async throws(OriginationFailure) -> [UInt8] {
        let result = await withCheckedContinuation { continuation in
            Task { await self.ask(route, payload, timeout: timeout) { continuation.resume(returning: $0) } }
        }
        return try result.get()
    }

    /// Answers a message that was for us. A handle whose time is over is ignored.
    func answer(_ handle: UInt64, _ carrier: RouteCarrier, _ payload: [UInt8]) async {
        switch carrier {
        case .directed: await self.carryOut(self.directed.answer(handle, payload, now: .now), .directed)
        case .onion:
            let directives = self.onion.answer(
                handle, payload, now: .now, canSend: { self.neighbours.state(of: $0, taking: .onionMessage) },
                using: &self.random)
            await self.carryOut(directives, .onion)
        }
        self.rearm()
    }

    // MARK: - Directives and time

    private func carryOut(_ directives: [RelayDirective], _ carrier: RouteCarrier) async {
        for directive in directives {
            switch directive {
            case .send(let message, let node): self.neighbours.send(message, to: node)
            case .deliver(let handle, let payload, let neighbour):
                await self.onDelivery?(handle, carrier, neighbour, payload)
            case .replied(let id, let payload): self.completions.removeValue(forKey: id)?(.success(payload))
            case .failed(let id, let failure):
                self.completions.removeValue(forKey: id)?(
                    .failure(OriginationFailure(description: "\(failure)")))
            }
        }
    }

    /// Sees to it that the machines are woken when they want to be.
    private func rearm() {
        guard let deadline = [self.directed.deadline, self.onion.deadline].compactMap(\.self).min() else { return }
        // A later moment than needed is corrected here, an earlier one when it comes.
        if let timer, timer.deadline <= deadline { return }
        self.timer?.task.cancel()
        let task = Task { [weak self] in
            try? await Task.sleep(for: max(.zero, deadline - .now))
            guard !Task.isCancelled else { return }
            await self?.onTimer()
        }
        self.timer = (deadline, task)
    }

    private func onTimer() async {
        self.timer = nil
        await self.carryOut(self.directed.onTimer(now: .now), .directed)
        await self.carryOut(self.onion.onTimer(now: .now), .onion)
        self.rearm()
    }
}
