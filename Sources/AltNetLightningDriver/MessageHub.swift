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

    /// How many onion messages the attached node may have to take at a time: it needs milliseconds for one.
    private static let maximumOnionsOnTheirWay = 64

    let neighbours: NeighbourTable
    private var directed: DirectedMessages
    private var onion: OnionMessages
    private var random = SystemRandomNumberGenerator()
    private var nextID: UInt64 = 0
    private var onionsOnTheirWay = 0
    /// Who waits for the answers to our messages; as many as the machines allow.
    private var completions: [UInt64: Completion] = [:]
    private var timer: (deadline: MonotonicInstant, task: Task<Void, Never>)?
    /// Takes bodies of messages of type 209, and who sent them.
    private var onAlternativeAddress: (@Sendable ([UInt8], NodeID) async -> Void)?
    /// Takes messages that are for us: a handle for the answer, who passed it on, and the message.
    private var onDelivery: (@Sendable (UInt64, NodeID, [UInt8]) async -> Void)?

    /// Sends and peels onion messages instead of us, when the neighbours are its own.
    private let attachment: (any LightningAttachment)?

    /// - Parameter key: the key of the node that the neighbours know; not used when a node is attached.
    init(key: NodePrivateKey, attachment: (any LightningAttachment)?, limits: RelayLimits) {
        self.neighbours = NeighbourTable()
        self.attachment = attachment
        // Directed messages need a key to peel with, and no attached node lends one.
        self.directed = DirectedMessages(key: attachment == nil ? key : nil, limits: limits)
        let identity: OnionMessages.Identity =
            if let attachment {
                .attached(attachment.nodeID, throughItself: attachment.abilities.contains(.onionsThroughItself))
            } else {
                .key(key)
            }
        self.onion = OnionMessages(identity, limits: limits)
    }

    /// Says who takes the messages that are for us. Those that came before are lost.
    func deliver(to receiver: @escaping @Sendable (UInt64, NodeID, [UInt8]) async -> Void) {
        self.onDelivery = receiver
    }

    /// Lets go of those that messages and addresses are delivered to.
    func forgetReceivers() {
        self.onDelivery = nil
        self.onAlternativeAddress = nil
    }

    /// Says who takes the alternative addresses of neighbours.
    func deliverAddresses(to receiver: @escaping @Sendable ([UInt8], NodeID) async -> Void) {
        self.onAlternativeAddress = receiver
    }

    /// What happened to messages so far.
    var counters: (directed: RelayCounters, onion: RelayCounters) { (self.directed.counters, self.onion.counters) }

    // MARK: - Neighbours

    func neighbourOpened(_ node: NodeID, _ neighbour: Neighbour) {
        self.neighbours.add(neighbour, of: node)
    }

    func neighbourClosed(_ id: UInt64) async {
        guard let node = self.neighbours.remove(id) else { return }
        await self.carryOut(self.directed.onPeerClosed(node, now: .now))
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
            await self.carryOut(directives)
        case .directedReply:
            guard let body = try? DirectedReply(body: body) else { return }
            await self.carryOut(self.directed.onReply(body, from: node, now: now))
        case .onionMessage:
            guard let body = try? OnionMessage(body: body) else { return }
            let directives = self.onion.onMessage(
                body, from: node, now: now, canSend: { self.neighbours.state(of: $0, taking: type) },
                using: &self.random)
            await self.carryOut(directives)
        case .alternativeAddress: await self.onAlternativeAddress?(Array(body), node)
        }
        self.rearm()
    }

    /// The attached node peeled an onion message that is for us.
    func delivered(_ delivery: OnionDelivery) async {
        let directives = self.onion.onDelivered(
            fields: delivery.fields, replyPath: delivery.replyPath, pathID: delivery.pathSecret, now: .now,
            using: &self.random)
        await self.carryOut(directives)
        self.rearm()
    }

    // MARK: - Our own messages

    /// The longest message to the end of a route, and the longest answer, in bytes; rounded, so that sizes do not tell
    /// the far node how long the route is.
    nonisolated func limits(of route: Route) -> (message: Int, answer: Int) {
        switch route.carrier {
        case .directed:
            return (DirectedMessages.roundedPayload(hops: route.nodes.count), DirectedMessages.maximumReply)
        case .onion:
            // Where messages begin at the attached node, its layer takes room, too.
            let isThroughItself = self.attachment?.abilities.contains(.onionsThroughItself) ?? false
            let nodes = route.nodes.count + (isThroughItself ? 1 : 0)
            // The large onion stands out, so it is for routes on which the ordinary one has no room.
            let ordinary = OnionMessages.ordinaryPayload(hops: nodes)
            let message =
                ordinary >= FarLinkSession.minimumFrame ? ordinary : OnionMessages.maximumPayload(hops: nodes)
            return (message, OnionMessages.maximumReply(hops: nodes))
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
        await self.carryOut(directives)
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
    func answer(_ handle: UInt64, _ payload: [UInt8]) async {
        if OnionMessages.owns(handle: handle) {
            let directives = self.onion.answer(
                handle, payload, now: .now, canSend: { self.neighbours.state(of: $0, taking: .onionMessage) },
                using: &self.random)
            await self.carryOut(directives)
        } else {
            await self.carryOut(self.directed.answer(handle, payload, now: .now))
        }
        self.rearm()
    }

    /// A message that was for us will not be answered: its place is free for another.
    func forget(_ handle: UInt64) {
        if OnionMessages.owns(handle: handle) {
            self.onion.forget(handle)
        } else {
            self.directed.forget(handle)
        }
    }

    // MARK: - Directives and time

    private func carryOut(_ directives: [RelayDirective]) async {
        for directive in directives {
            switch directive {
            case .send(let message, let node): self.send(message, to: node)
            case .deliver(let handle, let payload, let neighbour):
                await self.onDelivery?(handle, neighbour, payload)
            case .replied(let id, let payload): self.completions.removeValue(forKey: id)?(.success(payload))
            case .failed(let id, let failure):
                self.completions.removeValue(forKey: id)?(
                    .failure(OriginationFailure(description: "\(failure)")))
            }
        }
    }

    private func send(_ message: [UInt8], to node: NodeID) {
        guard let attachment else {
            self.neighbours.send(message, to: node)
            return
        }
        guard let onion = try? OnionMessage(body: message.dropFirst(2)), let pathKey = NodeID(bytes: onion.pathKey)
        else { return }
        let attached = AttachedOnionMessage(firstNode: node, pathKey: pathKey, onion: onion.onion)
        // One that the node does not take is lost like any other; who asks repeats it.
        guard self.onionsOnTheirWay < Self.maximumOnionsOnTheirWay else { return }
        self.onionsOnTheirWay += 1
        Task {
            try? await attachment.send(attached)
            self.onionsOnTheirWay -= 1
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
        await self.carryOut(self.directed.onTimer(now: .now))
        await self.carryOut(self.onion.onTimer(now: .now))
        self.rearm()
    }
}
