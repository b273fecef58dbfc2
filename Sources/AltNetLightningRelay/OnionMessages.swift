// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetKeys
public import AltNetLightning
internal import AltNetOnion

/// BOLT 4's onion messages as carriers of frames (docs/protocol/objects-over-messages.md): today's nodes forward them,
/// and answers come back over a blinded path that each message brings along. One value for all neighbours of a driver.
///
/// The same shape as ``DirectedMessages``. Forwards are not remembered, since answers find their own way, and nobody
/// tells us of failures: a message of ours is answered or times out.
///
/// Each message costs at most ``maximumOwnLayers`` peelings.
public struct OnionMessages: Sendable {
    public typealias Limits = RelayLimits
    public typealias Directive = RelayDirective

    /// Who reads onions that end at us.
    public enum Identity: Sendable {
        /// We do, with our own key.
        case key(NodePrivateKey)
        /// An attached node of this identity, which tells us of messages for us with
        /// ``OnionMessages/onDelivered(fields:replyPath:pathID:now:)``. With `throughItself`, what we send begins at
        /// the attached node: a `send` to it is to be handed to it as if it had come from a peer.
        case attached(NodeID, throughItself: Bool)

        var node: NodeID {
            switch self {
            case .key(let key): key.publicKey
            case .attached(let node, _): node
            }
        }
    }

    /// The record of `onionmsg_tlv` that holds a frame: odd, so that others ignore it, and far above those of BOLTs.
    public static let fieldType: UInt64 = 444_403
    /// The size of the secret by which an answer finds its question, in bytes.
    public static let pathIDSize = 32
    /// The most nodes of a path: as many as with directed messages.
    public static let maximumNodes = DirectedMessages.maximumNodes
    /// The layers of an onion that may be for us one after the other: as many as the longest way back to us ends with,
    /// which is that over ten other nodes.
    public static let maximumOwnLayers = 10
    /// Handles have their highest bit set, so that they differ from those of ``DirectedMessages``.
    private static let firstHandle: UInt64 = 1 << 63
    /// Whether a handle is one of an onion message, not of a directed message.
    public static func owns(handle: UInt64) -> Bool { handle >= Self.firstHandle }

    struct Originated: Sendable {
        let pathID: [UInt8]
        let deadline: MonotonicInstant
    }

    struct Delivery: NeighbourEntry {
        /// Its handle.
        let key: UInt64
        let neighbour: NodeID
        let replyPath: BlindedPath
        let deadline: MonotonicInstant
    }

    let identity: Identity
    let limits: Limits
    var originated: [UInt64: Originated] = [:]
    /// The messages of ours by the secret in their reply paths.
    var pathIDs: [[UInt8]: UInt64] = [:]
    var deliveries: FairlyShared<Delivery>
    var nextHandle = OnionMessages.firstHandle
    var rates: NeighbourRates
    var attachedRate = AttachedRate()
    var seen: SeenOnions

    /// What happened so far.
    public internal(set) var counters = RelayCounters()

    /// Of the limits, those of remembered forwards mean nothing here.
    public init(_ identity: Identity, limits: Limits = .standard) {
        self.identity = identity
        self.limits = limits
        self.deliveries = FairlyShared(limit: limits.deliveries)
        self.rates = NeighbourRates(limits)
        self.seen = SeenOnions(limit: limits.rememberedOnions)
    }

    /// How many messages of ours, deliveries, neighbours and onions are held: for metrics and tests.
    public var held: (originated: Int, deliveries: Int, neighbours: Int, onions: Int) {
        (self.originated.count, self.deliveries.count, self.rates.count, self.seen.count)
    }

    /// When ``onTimer(now:)`` has something to do; `nil` for never.
    public var deadline: MonotonicInstant? {
        [self.originated.values.lazy.map(\.deadline).min(), self.deliveries.deadline].compactMap(\.self).min()
    }

    // MARK: - Our own messages

    /// Sends a message along a path, whose first node is a neighbour and whose last reads it. Gives ``RelayDirective``
    /// `replied` or `failed` with the same number later, which MUST NOT belong to an open message.
    ///
    /// `timeout` is cut to ``RelayLimits/longestTimeout``. `random` MUST be the system's: it makes keys. Where messages
    /// begin at the attached node, that node counts as one of the path.
    public mutating func originate(
        id: UInt64, path: [NodeID], payload: [UInt8], timeout: Duration = .seconds(30), now: MonotonicInstant,
        canSend: (NodeID) -> NeighbourState, using random: inout some RandomNumberGenerator
    ) throws(RelayError) -> [Directive] {
        guard let neighbour = path.first else { throw .noPath }
        let start = self.throughItself
        let nodes = start.count + path.count
        guard nodes <= Self.maximumNodes else { throw .pathTooLong(nodes: nodes, limit: Self.maximumNodes) }
        let limit = Self.maximumPayload(hops: nodes)
        guard payload.count <= limit else { throw .payloadTooLong(bytes: payload.count, limit: limit) }
        guard self.originated[id] == nil else { throw .numberInUse(id) }
        guard self.originated.count < max(1, self.limits.originated) else {
            throw .tooManyOpen(limit: max(1, self.limits.originated))
        }
        switch canSend(neighbour) {
        case .ready: break
        case .busy: throw .neighbourBusy(neighbour)
        case .absent: throw .neighbourAbsent(neighbour)
        }
        let pathID = random.bytes(Self.pathIDSize)
        let directives: [Directive]
        do throws(OnionError) {
            let replyPath = try self.replyPath(for: path, pathID: pathID, using: &random)
            let contents = OnionMessagePayload(replyPath: replyPath, fields: [Self.fieldType: payload])
            // Not whichever is long enough: then the end could tell shorter routes from longer ones.
            let isOrdinary = payload.count <= Self.ordinaryPayload(hops: nodes)
            directives = try self.send(
                contents, along: start + path,
                size: isOrdinary ? OnionPacket.standardPayloadsSize : OnionPacket.largePayloadsSize, using: &random)
        } catch {
            throw .onion(error)
        }
        self.originated[id] = Originated(
            pathID: pathID, deadline: now + min(timeout, self.limits.longestTimeout))
        self.pathIDs[pathID] = id
        self.counters.count(.originated)
        return directives
    }

    /// Answers what was delivered, over the path that came with it. A handle that is gone is ignored; an answer that is
    /// too long for its path, or whose path begins at a node that is not our neighbour, is dropped.
    public mutating func answer(
        _ handle: UInt64, _ payload: [UInt8], now: MonotonicInstant, canSend: (NodeID) -> NeighbourState,
        using random: inout some RandomNumberGenerator
    ) -> [Directive] {
        let contents = OnionMessagePayload(fields: [Self.fieldType: payload])
        guard let delivery = self.deliveries.remove(handle),
            let route = self.route(to: delivery.replyPath, canSend: canSend),
            let directives = try? self.send(contents, along: route.path, tail: route.tail, using: &random)
        else { return self.drop(.answersDropped) }
        self.counters.count(.replied)
        return directives
    }

    /// Frees the place of a delivery that will not be answered. A handle that is gone, or whose message came without a
    /// way back, is ignored.
    public mutating func forget(_ handle: UInt64) {
        if self.deliveries.remove(handle) != nil { self.counters.count(.unanswered) }
    }

    /// Something is too late: messages of ours fail, and others are forgotten.
    public mutating func onTimer(now: MonotonicInstant) -> [Directive] {
        self.counters[.deliveriesExpired] += UInt64(self.deliveries.expire(now: now).count)
        return self.originated.filter { $0.value.deadline <= now }.keys.sorted().map { id in
            if let ended = self.originated.removeValue(forKey: id) { self.pathIDs[ended.pathID] = nil }
            self.counters.count(.failed)
            return .failed(id: id, .timedOut)
        }
    }

    // MARK: - Paths

    /// The way back over the same nodes: it begins at the last one that forwards, or at us when there is none, and ends
    /// at us. All its nodes get data of one length.
    ///
    /// Nodes of a way back can be counted by whoever uses it. So it goes on from us to ourselves, until it has one of a
    /// few lengths. An attached node might not know what to do with that, and then it has as many as the route.
    private func replyPath(
        for path: [NodeID], pathID: [UInt8], using random: inout some RandomNumberGenerator
    ) throws(OnionError) -> BlindedPath {
        var nodes = path.dropLast().reversed() + [self.identity.node]
        if case .key(let key) = self.identity {
            nodes += Array(repeating: key.publicKey, count: Self.roundedHops(path.count) - path.count)
        }
        let data =
            nodes.dropFirst().map { EncryptedRecipientData(nextNode: $0) } + [EncryptedRecipientData(pathID: pathID)]
        let encoded = EncryptedRecipientData.encodings(ofOneLength: data)
        return try BlindedPath(
            zip(nodes, encoded).map { (node: $0, data: $1) }, sessionKey: NodePrivateKey(using: &random))
    }

    /// The attached node, where messages of ours begin at it.
    private var throughItself: [NodeID] {
        if case .attached(let node, true) = self.identity { [node] } else { [] }
    }

    /// How a blinded path is entered; `nil` when we cannot.
    private func route(
        to path: BlindedPath, canSend: (NodeID) -> NeighbourState
    ) -> (path: [NodeID], tail: BlindedPath)? {
        var tail = path
        if path.firstNode == self.identity.node {
            switch self.identity {
            case .key(let key):
                // The path begins at us: we take our own part off.
                guard let rest = try? path.afterFirstNode(key: key) else { return nil }
                tail = rest
            case .attached(_, throughItself: true):
                return ([], path)
            case .attached(_, throughItself: false):
                return nil
            }
        }
        // An attached node finds its way to the first node itself, or does not: it has more peers than we know.
        guard self.throughItself.isEmpty else { return (self.throughItself, tail) }
        return canSend(tail.firstNode) == .ready ? ([], tail) : nil
    }

    private func send(
        _ contents: OnionMessagePayload, along path: [NodeID], tail: BlindedPath? = nil, size: Int? = nil,
        using random: inout some RandomNumberGenerator
    ) throws(OnionError) -> [Directive] {
        let message = try OutgoingOnionMessage(
            path: path, tail: tail, payload: contents, pathSecret: NodePrivateKey(using: &random))
        let sessionKey = NodePrivateKey(using: &random)
        let packet =
            if let size {
                try OnionPacket.build(message.hops, sessionKey: sessionKey, hopPayloadsSize: size).packet
            } else {
                try message.packet(sessionKey: sessionKey)
            }
        return Self.send(packet, pathKey: message.pathKey, to: message.firstNode)
    }

    static func send(_ packet: OnionPacket, pathKey: NodeID, to neighbour: NodeID) -> [Directive] {
        OnionMessage(pathKey: pathKey.bytes, onion: packet.bytes).map { [.send($0.encoded, to: neighbour)] } ?? []
    }

    mutating func drop(_ event: RelayCounters.Event) -> [Directive] {
        self.counters.count(event)
        return []
    }
}

extension RandomNumberGenerator {
    /// Random bytes.
    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &self) }
    }
}
