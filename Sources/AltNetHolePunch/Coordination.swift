// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
internal import Crypto

/// One coordination connection, from its first byte to the result: the protocol of
/// `docs/protocol/hole-punching.md` as a value without I/O, for either side.
///
/// The caller carries out the directives of one call in order and before the next call, and does not call again after
/// ``Directive/disconnect(_:)``. ``Directive/finished(_:)`` comes exactly once.
///
///     handshake ──hellos──▶ (responder: decision) ──▶ attempt ──results──▶ attempt … ──▶ relay? ──▶ closed
public struct Coordination: Sendable {
    /// What a side is and wants.
    public struct Configuration: Sendable {
        public var role: PunchRole
        public var network: Network
        /// How our NAT maps, from the NAT check.
        public var mapping: NATMapping
        /// What this side can and will do. A responder should have ``PunchAbilities/relay`` only where the operator says
        /// so: a relayed connection shows a stranger the node itself, at an endpoint that has nothing else of it.
        /// An initiator with an ``offered`` address does without ``PunchAbilities/relay`` whatever stands here.
        public var abilities: PunchAbilities
        /// 32 bytes from the system's generator, fresh for this connection: nonces and the start of the session's
        /// clock come from them, so that nothing of another connection can be replayed here.
        public var secret: [UInt8]
        /// The initiator: the clearnet addresses that the offers told; empty where they told none. An address in another
        /// network group than the one of its family, and any of a family that was not told, is refused. So is a relayed
        /// connection, which shows no address: whoever was chosen for its network group has to come from it.
        public var offered: OfferedAddresses
        /// Our own addresses as others see them, 4 or 16 bytes each. None of them is connected to because the other
        /// side names it: that would let a stranger try the ports of our own router, and of our IPv6 /64, from within.
        public var ownAddresses: [[UInt8]]
        /// Whether addresses that mean something in one network only are connected to: labs and tests.
        public var allowPrivate: Bool

        public init(
            role: PunchRole, network: Network, mapping: NATMapping, abilities: PunchAbilities, secret: [UInt8],
            offered: OfferedAddresses = OfferedAddresses(), ownAddresses: [[UInt8]] = [], allowPrivate: Bool = false
        ) {
            self.role = role
            self.network = network
            self.mapping = mapping
            self.abilities = abilities
            self.secret = secret
            self.offered = offered
            self.ownAddresses = ownAddresses
            self.allowPrivate = allowPrivate
        }
    }

    /// What the caller is to do.
    public enum Directive: Hashable, Sendable {
        /// Send these bytes over the coordination connection.
        case write([UInt8])
        /// Call ``Coordination/onTimer(now:)`` at this moment; replaces any earlier moment.
        case setTimer(MonotonicInstant)
        /// The responder: ask ``PunchLimits`` for a place, then call ``Coordination/onRequestDecision(_:now:)``.
        case request
        /// Find our address for an attempt and call ``Coordination/onMapping(attempt:_:now:)``. `listens`: the other
        /// side sends SYNs to it, so the port must be known and kept until the attempt ends. Where not, the address alone
        /// is enough, with port 0: it tells the other side from whom to accept.
        case learnMapping(attempt: UInt8, PunchPath, listens: Bool)
        /// Take the plan's ``PunchPlan/syns`` from ``PunchLimits`` where the plan dials, open the connection, and call
        /// ``Coordination/onPunched(attempt:_:now:)`` when it has proved itself or failed.
        case open(PunchPlan)
        /// The attempt is over: close whatever was opened for it. Its answer is not needed any more.
        case abandon(attempt: UInt8)
        /// The coordination connection is now the link: all that comes is ``raw(_:)``, and the link's bytes are written
        /// as they are.
        case relay
        /// Bytes of the link, after ``relay``.
        case raw([UInt8])
        /// The end; comes once. What may follow is a last message to the other side and ``disconnect(_:)``.
        case finished(PunchOutcome)
        /// Close the coordination connection after what was written before. The failure is `nil` when all is well.
        case disconnect(PunchFailure?)
    }

    // MARK: - Bounds

    /// From connecting to the hellos of both sides: three round trips, each a few seconds over a bad circuit.
    public static let handshakeTimeout: Duration = .seconds(12)
    /// How long our own limits may take to decide. They only count.
    public static let decisionTimeout: Duration = .seconds(2)
    /// Connecting to a good peer and reading its version message.
    public static let mappingTimeout: Duration = .seconds(6)
    /// From our own address being known to the agreed moment being known.
    public static let agreementTimeout: Duration = .seconds(10)
    /// Beyond the plan's own deadline and the proof's: what the caller's machinery may take.
    static let openingGrace: Duration = .seconds(1)
    /// From our result to the other side's, which may still wait for a proof.
    public static let resultTimeout: Duration = .seconds(12)
    /// From the last attempt's end to the relayed connection.
    public static let relayTimeout: Duration = .seconds(10)
    /// All of it. A responder's places are few, and whoever holds one longer is not punching.
    public static let wholeTimeout: Duration = .seconds(30)
    /// After this time no further attempt begins where a relayed connection can be had: over the slowest circuits an
    /// attempt takes ten seconds, and the agreement on the relayed connection two.
    public static let latestAttempt: Duration = .seconds(15)
    /// How long a side that has its connection waits for the other side's last message.
    static let farewellTimeout: Duration = .seconds(5)
    /// How far ahead the moment may be: a responder's sockets do not wait longer for an initiator's whim.
    public static let maximumLead: Duration = .seconds(5)
    /// A moment that is over by less is now: behind NATs that drop, a late SYN is still in time.
    public static let maximumLateness: Duration = .seconds(1)
    /// SYNs of all attempts of one coordination: what one request makes a node send. Each path gets its share once,
    /// whatever the others have used.
    public static let maximumSYNs = 24
    /// Messages that other Bitcoin nodes send and that have no use here.
    public static let maximumIgnored = 16
    /// All messages of the other side: five attempts have nine each.
    public static let maximumMessages = 96

    // MARK: - State

    enum Stage: Hashable, Sendable {
        case handshake
        case decision
        case attempt
        case relay
        /// The connection is the link.
        case relaying
        /// We are done, and the other side may still say something.
        case farewell
        case closed
    }

    let configuration: Configuration
    var stage = Stage.handshake
    var decoder: CoordinationDecoder
    var clock: SessionClock
    var startedAt: MonotonicInstant
    var directives: [Directive] = []
    /// When the present step has taken too long, and which it is.
    var deadline: (at: MonotonicInstant, step: CoordinationStep)
    var timer: MonotonicInstant?
    var messages = 0
    var ignored = 0
    var peerVersion: P2PVersion?
    var hasVerack = false
    var peerHello: PunchHello?
    /// Paths that are left, the present one not among them.
    var paths: [PunchPath] = []
    var attempt: PunchAttempt?
    var attempts: [PunchOutcome.Attempt] = []
    /// The other side's IPv4 address, as the first attempt over IPv4 told it.
    var peerIPv4: [UInt8]?
    /// SYNs that the plans so far may send.
    var plannedSYNs = 0
    var agreement = ClockAgreement()
    var hasFinished = false

    public init(_ configuration: Configuration) {
        self.configuration = configuration
        self.decoder = CoordinationDecoder(network: configuration.network)
        self.clock = SessionClock(start: 0, origin: .zero)
        self.startedAt = .zero
        self.deadline = (.zero, .handshake)
    }

    var isInitiator: Bool { self.configuration.role == .initiator }

    var hello: PunchHello {
        var abilities = self.configuration.abilities
        if !self.configuration.offered.isEmpty { abilities.remove(.relay) }
        return PunchHello(mapping: self.configuration.mapping, abilities: abilities)
    }

    /// As many bytes as wanted, at most 32, that only we know: the connection's secret and what they are for.
    func derived(_ purpose: String, _ number: UInt8 = 0, count: Int = 32) -> [UInt8] {
        let key = SymmetricKey(data: self.configuration.secret)
        return Array(HMAC<SHA256>.authenticationCode(for: Array(purpose.utf8) + [number], using: key).prefix(count))
    }

    func derivedNumber(_ purpose: String) -> UInt64 {
        self.derived(purpose, count: 8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
