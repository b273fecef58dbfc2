// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetPeerRecords

/// One connection of libp2p over a reliable stream of bytes: multistream-select, Noise with the peers' identities, Yamux,
/// and streams whose protocol is negotiated (libp2p specs, connections/README.md). Bytes in, directives out.
///
/// ```
/// security ──▶ handshake ──▶ [multiplexer] ──▶ open ──▶ closed
/// ```
///
/// The multiplexer needs no negotiation when both sides named Yamux in the handshake. The caller carries out the
/// directives in order and calls ``onTimer(now:)`` at the moment of the last ``Directive/setTimer(_:)``.
public struct Libp2pConnection: Sendable {
    /// Which side we are.
    public enum Role: Hashable, Sendable {
        /// We called. With an expected peer, anybody else ends the connection.
        case dialer(expecting: PeerID?)
        case listener
    }

    public struct Configuration: Sendable {
        public var role: Role
        /// Our identity.
        public var key: PeerPrivateKey
        /// The protocols of streams that the other side may open.
        public var served: Set<String>
        public var limits: Libp2pLimits
        /// Whether the handshake names our multiplexer, which saves a round trip with those that understand it.
        public var namesMuxer = true

        public init(role: Role, key: PeerPrivateKey, served: Set<String>, limits: Libp2pLimits = Libp2pLimits()) {
            self.role = role
            self.key = key
            self.served = served
            self.limits = limits
        }
    }

    /// What the caller has to do or know.
    public enum Directive: Sendable {
        /// Send these bytes.
        case write([UInt8])
        /// The other side proved who it is.
        case secured(PeerID, PeerPublicKey)
        /// Streams can be opened.
        case established
        /// A stream that we opened has its protocol.
        case opened(Libp2pStreamID, protocolName: String)
        /// The other side opened a stream.
        case accepted(Libp2pStreamID, protocolName: String)
        /// A stream that we opened got no protocol; it is gone.
        case refused(Libp2pStreamID, StreamReset)
        /// Bytes of a stream. Call ``consumed(_:on:now:)`` when they have been read.
        case data(Libp2pStreamID, [UInt8])
        /// The other side sends nothing more on this stream.
        case ended(Libp2pStreamID)
        /// The stream is gone, in both directions.
        case reset(Libp2pStreamID, StreamReset)
        /// What was given to ``send(_:on:now:)`` is on its way; more may be given.
        case writable(Libp2pStreamID)
        /// The other side answered a ping of the keep-alive.
        case alive
        /// Call ``onTimer(now:)`` then; replaces the last timer.
        case setTimer(MonotonicInstant)
        /// Close; always the last directive. All streams are gone with it.
        case closed(Libp2pFailure)
    }

    enum State: Sendable {
        case securityDialer(MultistreamDialer)
        case securityListener(MultistreamListener)
        case handshake
        case muxerDialer(MultistreamDialer)
        case muxerListener(MultistreamListener)
        case open
        case closed
    }

    var configuration: Configuration
    var state: State
    var channel: SecureChannel
    var yamux: Yamux
    /// Streams whose protocol is being negotiated, or is known.
    var streams: [Libp2pStreamID: StreamPhase] = [:]
    /// Bytes for the encrypted channel that are not encrypted yet.
    var plaintext: [UInt8] = []
    /// Bytes for the socket.
    var output: [UInt8] = []
    var directives: [Directive] = []
    private var handshakeDeadline: MonotonicInstant
    private var lastHeard: MonotonicInstant
    private var isAsked = false
    /// Set when the other side goes: it takes no new streams, and those under way have until then.
    var leavesAt: MonotonicInstant?
    /// Since when there are no streams; `nil` while there are some.
    var idleSince: MonotonicInstant?
    private var timer: MonotonicInstant?

    /// - Parameters:
    ///   - entropy: private keys for this connection and for no other.
    ///   - now: when the connection was made.
    public init(_ configuration: Configuration, entropy: NoiseEntropy, now: MonotonicInstant) {
        self.configuration = configuration
        let isDialer: Bool
        var expected: PeerID?
        switch configuration.role {
        case .dialer(let peer):
            isDialer = true
            expected = peer
            self.state = .securityDialer(MultistreamDialer([ProtocolName.noise]))
        case .listener:
            isDialer = false
            self.state = .securityListener(MultistreamListener())
        }
        self.channel = SecureChannel(
            isInitiator: isDialer, key: configuration.key, expected: expected,
            muxers: configuration.namesMuxer ? [ProtocolName.yamux] : [], entropy: entropy)
        self.yamux = Yamux(isClient: isDialer, limits: configuration.limits.yamux, now: now)
        self.handshakeDeadline = now + configuration.limits.handshakeTimeout
        self.lastHeard = now
        self.idleSince = now
    }

    /// Whether streams can be opened.
    public var isEstablished: Bool {
        if case .open = self.state { self.leavesAt == nil } else { false }
    }
    /// Whether the other side has said that it goes.
    public var isLeaving: Bool { self.leavesAt != nil }
    /// Streams that exist.
    public var streamCount: Int { self.yamux.count }

    // MARK: Events

    /// The connection stands. Call it once, first.
    public mutating func start(now: MonotonicInstant) -> [Directive] {
        if case .securityDialer(let dialer) = self.state { dialer.start(&self.output) }
        return self.finish(now: now)
    }

    /// The other side sent bytes, cut anywhere.
    public mutating func onBytes(_ bytes: [UInt8], now: MonotonicInstant) -> [Directive] {
        self.lastHeard = now
        self.isAsked = false
        do throws(Libp2pFailure) {
            try self.take(bytes[...], now: now)
        } catch {
            self.close(error)
        }
        return self.finish(now: now)
    }

    /// The moment of the last ``Directive/setTimer(_:)`` has come; earlier calls do no harm.
    public mutating func onTimer(now: MonotonicInstant) -> [Directive] {
        // The caller's timer is gone, whatever it was set to.
        self.timer = nil
        switch self.state {
        case .closed: return []
        case .open:
            self.dropUnnegotiated(now: now)
            let quiet = self.configuration.limits.keepAlive
            if self.isAsked {
                if now >= self.lastHeard + quiet + quiet { self.close(.silent) }
            } else if now >= self.lastHeard + quiet {
                self.isAsked = true
                self.yamux.ping()
            }
            if let idleTimeout = self.configuration.limits.idleTimeout, let since = self.idleSince,
                now >= since + idleTimeout
            {
                self.close(.idle)
            }
            if let leavesAt = self.leavesAt, now >= leavesAt { self.close(.goneAway(code: 0)) }
        default:
            if now >= self.handshakeDeadline { self.close(.handshakeTimeout) }
        }
        return self.finish(now: now)
    }

    /// Ends the connection in good order.
    public mutating func close(now: MonotonicInstant) -> [Directive] {
        self.close(.requested)
        return self.finish(now: now)
    }

    /// Changes which protocols the other side may open streams for, from the next stream on.
    public mutating func serve(_ names: Set<String>) {
        self.configuration.served = names
    }

    // MARK: The end of every call

    /// Ends everything; what the other side should hear is written first.
    mutating func close(_ reason: Libp2pFailure) {
        guard self.canGoOn else { return }
        if case .open = self.state {
            switch reason {
            case .noise: self.yamux.output = []
            case .yamux: self.yamux.goAway(code: 1)
            default: self.yamux.goAway(code: 0)
            }
            self.encrypt()
        }
        self.plaintext = []
        self.state = .closed
        self.streams = [:]
        self.directives.append(.closed(reason))
    }

    private var canGoOn: Bool { if case .closed = self.state { false } else { true } }

    /// Encrypts what has collected, and gives out the directives of this call in their order: bytes first.
    mutating func finish(now: MonotonicInstant) -> [Directive] {
        self.encrypt()
        if self.leavesAt != nil, self.yamux.count == 0 { self.close(.goneAway(code: 0)) }
        self.idleSince = self.yamux.count > 0 ? nil : self.idleSince ?? now
        if self.canGoOn {
            let moment = self.nextMoment
            // A timer that comes too early costs one call; setting it again with every packet would cost more.
            if self.timer.map({ moment < $0 }) ?? true {
                self.timer = moment
                self.directives.append(.setTimer(moment))
            }
        }
        var directives = self.directives
        self.directives = []
        if !self.output.isEmpty {
            directives.insert(.write(self.output), at: 0)
            self.output = []
        }
        return directives
    }

    private mutating func encrypt() {
        self.plaintext.append(contentsOf: self.yamux.output)
        self.yamux.output = []
        guard !self.plaintext.isEmpty else { return }
        do throws(NoiseError) {
            try self.channel.seal(self.plaintext, into: &self.output)
            self.plaintext = []
        } catch {
            self.plaintext = []
            self.close(.noise(error))
        }
    }

    private var nextMoment: MonotonicInstant {
        guard case .open = self.state else { return self.handshakeDeadline }
        let limits = self.configuration.limits
        var moment = self.lastHeard + limits.keepAlive
        if self.isAsked { moment = moment + limits.keepAlive }
        if let idleTimeout = limits.idleTimeout, let since = self.idleSince {
            moment = min(moment, since + idleTimeout)
        }
        if let leavesAt = self.leavesAt { moment = min(moment, leavesAt) }
        if let deadline = self.nextStreamDeadline { moment = min(moment, deadline) }
        return moment
    }
}
