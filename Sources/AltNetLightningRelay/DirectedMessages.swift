// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetKeys
public import AltNetLightning
internal import AltNetOnion

/// Directed messages (docs/protocol/directed-messages.md): onions that travel along a path that their origin chose, and
/// replies that come back along the same path. One value for all neighbours of a driver.
///
/// Unreliable by design: nothing outlives the process, and whatever is in doubt is dropped and counted. Each method
/// costs at most one peeling; memory is bounded by ``RelayLimits``.
public struct DirectedMessages: Sendable {
    public typealias Limits = RelayLimits
    public typealias Directive = RelayDirective

    /// The longest answer: what a reply has room for.
    public static let maximumReply = OnionReply.maximumLength
    /// The most nodes of a path: a twentieth leaves 13 bytes for the message, which is a ping, and a 21st nothing.
    public static let maximumNodes = 20

    /// The longest message to the last of `hops` nodes, in bytes: 1,265 for a neighbour, 66 less for each node between.
    public static func maximumPayload(hops: Int) -> Int {
        guard (1...Self.maximumNodes).contains(hops) else { return 0 }
        // A node between takes its next node's identity, its length and the HMAC.
        let free = OnionPacket.standardPayloadsSize - (hops - 1) * OnionPacket.size(ofPayload: NodeID.size)
        // BigSize: one byte of length up to 252, and three from there on.
        let room = free - OnionPacket.size(ofPayload: 0)
        return room < 0xfd ? room : max(0xfc, room - 2)
    }

    /// The numbers of nodes to which ``roundedPayload(hops:)`` rounds up. 18 is the last with which a request for
    /// headers has room.
    static let roundedCounts = [5, 10, 18, Self.maximumNodes]

    /// ``maximumPayload(hops:)`` of a path of `hops` nodes or a few more: 1,001 bytes for up to 5, 671 for up to 10,
    /// 145 for up to 18, 13 for up to 20. For applications whose messages get as long as they may, so that their length
    /// does not tell the last node how long the path is.
    public static func roundedPayload(hops: Int) -> Int {
        guard hops >= 1, let rounded = Self.roundedCounts.first(where: { hops <= $0 }) else { return 0 }
        return Self.maximumPayload(hops: rounded)
    }

    /// What we sent and wait for.
    struct Originated: Sendable {
        let sent: SentOnion
        let secrets: [OnionSecret]
        let deadline: MonotonicInstant
    }

    /// What was sent to us and waits for our answer.
    struct Delivery: NeighbourEntry {
        /// Its handle.
        let key: UInt64
        let received: SentOnion
        let secret: OnionSecret
        let deadline: MonotonicInstant

        var neighbour: NodeID { self.received.neighbour }
    }

    let key: NodePrivateKey?
    let limits: Limits
    var forwards: RememberedForwards
    var originated: [UInt64: Originated] = [:]
    /// The messages of ours by what was sent.
    var origins: [SentOnion: UInt64] = [:]
    var deliveries: FairlyShared<Delivery>
    var nextHandle: UInt64 = 0
    var rates: NeighbourRates
    var seen: SeenOnions

    /// What happened so far.
    public internal(set) var counters = RelayCounters()

    /// With the node's key. Without one (a driver attached to a node that lends none), messages can be sent and their
    /// replies read, but none can be peeled.
    public init(key: NodePrivateKey?, limits: Limits = .standard) {
        self.key = key
        self.limits = limits
        self.forwards = RememberedForwards(limit: limits.forwards)
        self.deliveries = FairlyShared(limit: limits.deliveries)
        self.rates = NeighbourRates(limits)
        self.seen = SeenOnions(limit: limits.rememberedOnions)
    }

    /// How many forwards, messages of ours, deliveries, neighbours and onions are held: for metrics and tests.
    public var held: (forwards: Int, originated: Int, deliveries: Int, neighbours: Int, onions: Int) {
        (self.forwards.count, self.originated.count, self.deliveries.count, self.rates.count, self.seen.count)
    }

    /// When ``onTimer(now:)`` has something to do; `nil` for never.
    public var deadline: MonotonicInstant? {
        [
            self.forwards.deadline, self.originated.values.lazy.map(\.deadline).min(), self.deliveries.deadline,
        ].compactMap(\.self).min()
    }

    // MARK: - Our own messages

    /// Sends a message along a path, whose first node is a neighbour and whose last reads it. Gives ``RelayDirective``
    /// `replied` or `failed` with the same number later, which MUST NOT belong to an open message.
    ///
    /// `timeout` is cut to ``RelayLimits/longestTimeout``. `random` MUST be the system's: it makes the session key.
    public mutating func originate(
        id: UInt64, path: [NodeID], payload: [UInt8], timeout: Duration = .seconds(30), now: MonotonicInstant,
        canSend: (NodeID) -> NeighbourState, using random: inout some RandomNumberGenerator
    ) throws(RelayError) -> [Directive] {
        guard let neighbour = path.first else { throw .noPath }
        guard path.count <= Self.maximumNodes else {
            throw .pathTooLong(nodes: path.count, limit: Self.maximumNodes)
        }
        let limit = Self.maximumPayload(hops: path.count)
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
        let hops = path.indices.map { index in
            OnionHop(path[index], index + 1 < path.count ? path[index + 1].bytes : payload)
        }
        let (packet, secrets): (OnionPacket, [OnionSecret])
        do throws(OnionError) {
            (packet, secrets) = try OnionPacket.build(hops, sessionKey: NodePrivateKey(using: &random))
        } catch {
            throw .onion(error)
        }
        let sent = SentOnion(neighbour: neighbour, hash: packet.sha256)
        self.originated[id] = Originated(
            sent: sent, secrets: secrets, deadline: now + min(timeout, self.limits.longestTimeout))
        self.origins[sent] = id
        self.counters.count(.originated)
        return self.send(packet, to: neighbour)
    }

    /// Answers what was delivered. A handle that is gone (answered, too late, or its neighbour has left) is ignored.
    /// An answer of more than ``maximumReply`` bytes is dropped.
    public mutating func answer(_ handle: UInt64, _ payload: [UInt8], now: MonotonicInstant) -> [Directive] {
        guard let delivery = self.deliveries.remove(handle), payload.count <= Self.maximumReply else {
            self.counters.count(.answersDropped)
            return []
        }
        self.counters.count(.replied)
        let reply = OnionReply.make(
            payload, secret: delivery.secret, minimumLength: Self.paddedLength(of: payload.count))
        return self.send(reply, answering: delivery.received)
    }

    /// Frees the place of a delivery that will not be answered. A handle that is gone is ignored.
    ///
    /// Whoever takes deliveries MUST answer or forget each of them: one that just lies there keeps its place until its
    /// time is over.
    public mutating func forget(_ handle: UInt64) {
        if self.deliveries.remove(handle) != nil { self.counters.count(.unanswered) }
    }

    /// Answers are padded to one of a few lengths, so that their length tells little to the nodes on the way.
    static func paddedLength(of length: Int) -> Int {
        [256, 1024, 4096, 16384].first { length <= $0 } ?? Self.maximumReply
    }

    // MARK: - Ends

    /// A neighbour's connection closed. What was sent to it fails at once, and what came from it is forgotten, because
    /// its replies could not be sent any more.
    public mutating func onPeerClosed(_ neighbour: NodeID, now: MonotonicInstant) -> [Directive] {
        var directives: [Directive] = []
        let left = self.deliveries.removeAll { $0.neighbour == neighbour }
        let forgotten = self.forwards.removeAll { $0.received.neighbour == neighbour }
        self.counters[.forgotten] += UInt64(left.count + forgotten.count)
        for forward in self.forwards.removeAll(where: { $0.sent.neighbour == neighbour }) {
            directives += self.fail(.temporaryNodeFailure, secret: forward.secret, answering: forward.received)
        }
        for id in self.originated.filter({ $0.value.sent.neighbour == neighbour }).keys.sorted() {
            directives += self.finish(id, .failure(.neighbourClosed))
        }
        return directives
    }

    /// Something is too late: messages of ours fail, and others are forgotten.
    public mutating func onTimer(now: MonotonicInstant) -> [Directive] {
        self.counters[.forwardsExpired] += UInt64(self.forwards.expire(now: now).count)
        self.counters[.deliveriesExpired] += UInt64(self.deliveries.expire(now: now).count)
        return self.originated.filter { $0.value.deadline <= now }.keys.sorted()
            .flatMap { self.finish($0, .failure(.timedOut)) }
    }

    /// Ends a message of ours.
    mutating func finish(_ id: UInt64, _ outcome: Result<[UInt8], RelayFailure>) -> [Directive] {
        guard let ended = self.originated.removeValue(forKey: id) else { return [] }
        self.origins[ended.sent] = nil
        switch outcome {
        case .success(let contents):
            self.counters.count(.answered)
            return [.replied(id: id, contents)]
        case .failure(let failure):
            self.counters.count(.failed)
            return [.failed(id: id, failure)]
        }
    }
}

extension NodePrivateKey {
    /// A session key: of random numbers, all but one in 2^128 are the first that is tried.
    init(using random: inout some RandomNumberGenerator) {
        while true {
            let bytes = (0..<4).flatMap { _ in
                withUnsafeBytes(of: UInt64.random(in: .min ... .max, using: &random).bigEndian, Array.init)
            }
            if let key = NodePrivateKey(bytes: bytes) {
                self = key
                return
            }
        }
    }
}
