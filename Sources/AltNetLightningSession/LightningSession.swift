// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
public import AltNetKeys
public import AltNetLightning
public import AltNetNoise
public import AltNetObjects

/// A Lightning connection that carries Bitcoin objects: the handshake of BOLT 8, `init` and the control messages of
/// BOLT 1, and the messages of docs/protocol/bitcoin-over-lightning.md.
///
/// ```
/// idle ──onConnected──▶ handshaking ──last act──▶ awaitingInit ──init──▶ open
///                            └─────────────────────────┴──────────────────┴──▶ closed
/// ```
///
/// It opens no channels: to stock Lightning software it is a peer that offers nothing, and it stays connected to such
/// software, but then has nothing to ask it for.
///
/// Holds at most one incomplete message, what one call of `onBytes` delivered, the incomplete answers to its own
/// requests (``BitcoinOverLightning/maximumPendingAnswers``) and one incomplete announcement. Of streams it holds
/// nothing but the credit of each: the caller keeps what it cannot send yet.
public struct LightningSession: LinkSession {
    /// What a session needs to know, and how patient it is.
    public struct Configuration: Sendable {
        /// The identity that we prove to the other side. It links every connection that it is used for.
        public var privateKey: NodePrivateKey
        /// The chain that we deal with; a peer that deals with others only is left.
        public var network: Network
        /// What we offer. Without ``BitcoinOverLightning/featureBit`` no objects travel.
        public var features: LightningFeatures
        /// The kinds of object that we serve; requests for others are refused without asking the caller.
        public var serves: Set<ObjectKind>
        /// Whether the other side may open streams; the caller answers.
        public var takesStreams: Bool
        /// Whether a peer that has proved its identity may stay; `nil` for everyone. Asked once, at the end of the
        /// handshake and before anything is said.
        public var admits: (@Sendable (NodeID) -> Bool)?
        /// Whether the connection came in on an endpoint that must look closed to everyone but its peer. Whatever an
        /// outsider sends, it hears nothing until ``handshakeTimeout`` has passed since it connected, and then the
        /// connection is aborted: neither bytes nor times tell how far it got. The one exception is act two, which
        /// answers an act one that was made with our public key.
        public var isPrivate: Bool
        /// How long the three acts of the handshake may take: they are three short messages, and Tor needs seconds.
        public var handshakeTimeout: Duration
        /// How long the other side's `init` may take after the handshake.
        public var initTimeout: Duration
        /// After how much silence a ping is sent: below the minute or two after which NAT devices forget a connection.
        public var pingInterval: Duration
        /// How long, after a ping, nothing may come before the other side counts as gone.
        public var pongTimeout: Duration
        /// How long an answer may take, and each part of it after the one before; also how long the caller may take to
        /// answer the other side.
        public var requestTimeout: Duration

        /// A configuration with this project's feature bit and the documented times.
        public init(
            privateKey: NodePrivateKey,
            network: Network,
            features: LightningFeatures = LightningFeatures([BitcoinOverLightning.featureBit]),
            serves: Set<ObjectKind> = [],
            takesStreams: Bool = false,
            handshakeTimeout: Duration = .seconds(10),
            initTimeout: Duration = .seconds(10),
            pingInterval: Duration = .seconds(30),
            pongTimeout: Duration = .seconds(30),
            requestTimeout: Duration = .seconds(60)
        ) {
            self.privateKey = privateKey
            self.network = network
            self.features = features
            self.serves = serves
            self.takesStreams = takesStreams
            self.admits = nil
            self.isPrivate = false
            self.handshakeTimeout = handshakeTimeout
            self.initTimeout = initTimeout
            self.pingInterval = pingInterval
            self.pongTimeout = pongTimeout
            self.requestTimeout = requestTimeout
        }
    }

    enum Phase {
        /// Nothing happened yet.
        case idle
        /// The acts of BOLT 8 are being exchanged.
        case handshaking
        /// Messages are encrypted, and the first one must be `init`.
        case awaitingInit
        /// Everything else.
        case open
        /// An outsider on a private endpoint: nothing that it sends matters any more, and it hears nothing.
        case silent
        /// A disconnect was asked for.
        case closed
    }

    /// Pings that the other side may send at once, and each second after that: a few, because the network bunches them,
    /// and because each can ask for a reply of 64 KiB.
    static let pings = (burst: 32, perSecond: 1)

    let configuration: Configuration
    /// Whom we called; `nil` when we were called.
    let expectedRemote: NodeID?
    var phase = Phase.idle
    var handshake: NoiseHandshake
    /// Both ciphers, from the end of the handshake on.
    var transport: NoiseTransport?
    /// The peer and its features, when a Lightning node holds the connection and lends it to us.
    let attached: (remote: NodeID, features: LightningFeatures)?
    /// When the handshake or `init` is too late.
    var setupDeadline: MonotonicInstant?
    /// What the other side serves; `nil` when it or we do not carry objects.
    var peerServes: Set<ObjectKind>?
    /// Whether streams can be opened towards the other side.
    var peerTakesStreams = false
    /// The messages for the driver that both sides understand.
    var negotiated: Set<LightningMessage.RelayedType> = []
    var streams = StreamLedger()
    /// What one call of `onBytes` brought for streams.
    var streamInput = StreamInput()
    var outbound: OutboundRequests
    var inbound: InboundRequests
    var announcement: PartAssembler?
    var keepAlive: KeepAlive
    var limits: Limits
    private var armedTimer: MonotonicInstant?

    /// The side that opens the connection. `ephemeral` MUST be random and used once.
    public init(initiatorTo remote: NodeID, ephemeral: NodePrivateKey, configuration: Configuration) {
        self.init(
            NoiseHandshake(initiator: configuration.privateKey, remote: remote, ephemeral: ephemeral),
            remote,
            configuration
        )
    }

    /// The side that was called. `ephemeral` MUST be random and used once.
    public init(responderWith ephemeral: NodePrivateKey, configuration: Configuration) {
        self.init(NoiseHandshake(responder: configuration.privateKey, ephemeral: ephemeral), nil, configuration)
    }

    /// A connection that a Lightning node holds and lends to us: handshake, `init` and pings are that node's. What goes
    /// in and out are whole messages, type and fields, one at a time: one call of `onBytes` is one message, and so is
    /// one ``LinkDirective/write(_:)``. No streams.
    ///
    /// Such a connection may have carried an earlier session of either side. So requests are counted from
    /// `firstRequest`, which MUST be random, and what belongs to an earlier session is ignored.
    public init(
        attachedTo remote: NodeID, features: LightningFeatures, firstRequest: UInt64, configuration: Configuration
    ) {
        self.init(
            NoiseHandshake(responder: configuration.privateKey, ephemeral: configuration.privateKey), nil,
            configuration, attached: (remote, features))
        self.outbound = OutboundRequests(
            timeout: configuration.requestTimeout, firstWireID: firstRequest, ignoresUnknown: true)
    }

    private init(
        _ handshake: NoiseHandshake, _ remote: NodeID?, _ configuration: Configuration,
        attached: (remote: NodeID, features: LightningFeatures)? = nil
    ) {
        self.configuration = configuration
        self.expectedRemote = remote
        self.attached = attached
        self.handshake = handshake
        self.outbound = OutboundRequests(timeout: configuration.requestTimeout)
        self.inbound = InboundRequests(timeout: configuration.requestTimeout)
        self.keepAlive = KeepAlive(
            interval: configuration.pingInterval,
            timeout: configuration.pongTimeout,
            now: .zero
        )
        self.limits = Limits(now: .zero)
    }

    /// The number of bytes held for messages, answers and announcements that are not complete.
    public var heldBytes: Int {
        (self.transport?.receive.bufferedBytes ?? 0) + self.outbound.assemblingBytes + (self.announcement?.count ?? 0)
    }

    // MARK: - LinkSession

    /// The connection stands: the side that called writes act one of the handshake.
    public mutating func onConnected(now: MonotonicInstant) -> [LinkDirective] {
        guard case .idle = self.phase else { return [] }
        var directives: [LinkDirective] = []
        if let attached = self.attached {
            self.open(attached.remote, features: attached.features, nil, now: now, &directives)
            return self.armed(directives)
        }
        self.phase = .handshaking
        self.setupDeadline = now + self.configuration.handshakeTimeout
        if self.expectedRemote == self.configuration.privateKey.publicKey {
            self.close(.selfConnection, "the node to call is this node", &directives)
        } else {
            self.handle(self.handshake.onConnected(), now: now, &directives)
        }
        return self.armed(directives)
    }

    /// Bytes came, cut anywhere. Costs what decrypting them costs, and rebuilding the headers of complete answers.
    public mutating func onBytes(_ bytes: [UInt8], now: MonotonicInstant) -> [LinkDirective] {
        var directives: [LinkDirective] = []
        switch self.phase {
        case .idle, .closed, .silent:
            return []
        case .handshaking:
            self.handle(self.handshake.onBytes(bytes), now: now, &directives)
        case .open where self.attached != nil:
            self.read(bytes, now: now, &directives)
        case .awaitingInit, .open:
            self.keepAlive.onReceived(now: now)
            self.transport?.receive.append(bytes)
        }
        self.readMessages(now: now, &directives)
        self.deliverStreams(&directives)
        return self.armed(directives)
    }

    /// Something is due: a ping, the end of a request, or the end of our patience.
    public mutating func onTimer(now: MonotonicInstant) -> [LinkDirective] {
        self.armedTimer = nil
        var directives: [LinkDirective] = []
        switch self.phase {
        case .idle, .closed:
            return []
        case .silent:
            if let deadline = self.setupDeadline, now >= deadline {
                self.phase = .closed
                directives.append(.abort(DisconnectReason(.authenticationFailed, "an outsider at a private endpoint")))
            }
        case .handshaking where self.configuration.isPrivate && now >= self.setupDeadline ?? now:
            self.phase = .closed
            directives.append(.abort(DisconnectReason(.timedOut, "an outsider at a private endpoint")))
        case .handshaking, .awaitingInit:
            if let deadline = self.setupDeadline, now >= deadline {
                let awaited = if case .handshaking = self.phase { "handshake" } else { "init message" }
                self.close(.timedOut, "the \(awaited) did not come in time", &directives)
            }
        case .open:
            self.onOpenTimer(now: now, &directives)
        }
        return self.armed(directives)
    }

    /// Asks the other side, or refuses at once: `unavailable` before the link is established, `unsupported` where the
    /// other side does not serve the kind, `invalid` for what the protocol cannot say, and `busy` above its limits.
    public mutating func onRequest(id: UInt64, _ request: ObjectRequest, now: MonotonicInstant) -> [LinkDirective] {
        var directives: [LinkDirective] = []
        self.sendRequest(id: id, request, now: now, &directives)
        return self.armed(directives)
    }

    /// Answers the other side. What is more than it asked for is left out; a number that is no longer open is ignored.
    public mutating func onAnswer(id: UInt64, _ answer: ObjectAnswer, now: MonotonicInstant) -> [LinkDirective] {
        guard case .open = self.phase, let request = self.inbound.close(id: id) else { return [] }
        var directives: [LinkDirective] = []
        self.sendAnswer(id: id, answer.lightningBody(answering: request), &directives)
        return self.armed(directives)
    }

    /// Tells the other side, unless it carries no objects, the announcement is larger than the protocol allows, or more
    /// were sent lately than it allows.
    public mutating func onAnnouncement(
        _ announcement: ObjectAnnouncement,
        now: MonotonicInstant
    ) -> [LinkDirective] {
        guard case .open = self.phase, self.peerServes != nil, let body = announcement.lightningBody,
            self.limits.sentAnnouncements.take(now: now)
        else { return [] }
        var directives: [LinkDirective] = []
        self.send(BitcoinMessage.announcement(body: body).map { .bitcoin($0) }, &directives)
        return self.armed(directives)
    }

    /// Our side says something about a stream, which goes out at once. What breaks the rules resets the stream on both
    /// sides, because its bytes would no longer be complete.
    public mutating func onStream(
        _ id: StreamID,
        _ message: StreamMessage,
        now: MonotonicInstant
    ) -> [LinkDirective] {
        var directives: [LinkDirective] = []
        self.sendStream(id, message, now: now, &directives)
        return self.armed(directives)
    }

    /// Sends a message of the driver's own, type and body, if the other side takes its type.
    public mutating func onMessage(_ message: [UInt8], now: MonotonicInstant) -> [LinkDirective] {
        guard case .open = self.phase, message.count <= SendCipher.maximumMessageLength,
            let decoded = try? LightningMessage(decoding: message), case .relayed(let type, _) = decoded,
            self.negotiated.contains(type)
        else { return [] }
        var directives: [LinkDirective] = []
        self.send([decoded], &directives)
        return self.armed(directives)
    }

    // MARK: - Ends of calls

    /// Ends the session. Where the encryption still stands and the other side has introduced itself, it is told why.
    mutating func close(_ code: DisconnectReason.Code, _ detail: String, _ directives: inout [LinkDirective]) {
        guard self.phase != .closed else { return }
        switch code {
        case .protocolViolation, .limitExceeded, .wrongNetwork:
            if case .open = self.phase { self.send([.warning(NoticeMessage(detail))], &directives) }
        case .requested, .closed, .unreachable, .timedOut, .authenticationFailed, .selfConnection, .remoteError,
            .invalidHeaders:
            break
        }
        directives += self.outbound.closeAll().map { .answer(id: $0, .refused(.unavailable)) }
        directives.append(.disconnect(DisconnectReason(code, detail)))
        self.phase = .closed
    }

    /// Adds a timer when there is an earlier moment than the one already asked for. Moments that have moved on since
    /// are noticed when the timer fires, which saves a directive for every message received.
    private mutating func armed(_ directives: [LinkDirective]) -> [LinkDirective] {
        let deadlines: [MonotonicInstant?]
        switch self.phase {
        case .idle, .closed: return directives
        case .handshaking, .awaitingInit, .silent: deadlines = [self.setupDeadline]
        case .open where self.attached != nil: deadlines = [self.outbound.deadline, self.inbound.deadline]
        case .open: deadlines = [self.keepAlive.deadline, self.outbound.deadline, self.inbound.deadline]
        }
        guard let next = deadlines.compactMap(\.self).min(), next < self.armedTimer ?? .distantFuture else {
            return directives
        }
        self.armedTimer = next
        return directives + [.setTimer(next)]
    }
}

extension MonotonicInstant {
    /// Later than any moment that comes.
    fileprivate static let distantFuture = MonotonicInstant(nanoseconds: .max)
}
