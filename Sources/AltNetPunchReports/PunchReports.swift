// SPDX-License-Identifier: MIT

// What the operations of a hole punching driver take and answer, as JSON. The driver writes it, the daemon reads and
// passes it on, `altnet` prints it. Field names are as written here; they are only ever added.
//
// Every text may come from a driver that somebody else wrote: whoever prints one treats it as untrusted.

/// The names of the operations, and the bounds of their lists.
public enum PunchOperation {
    /// Takes an empty object, answers with a ``NATReport``: the last check, or what is known without one.
    public static let nat = "nat"
    /// Takes an empty object, checks now, and answers with a ``NATReport``.
    public static let natCheck = "nat-check"
    /// Takes ``PunchWitnesses``, which replace those told before, and answers with an empty object.
    public static let witnesses = "witnesses"
    /// Takes an empty object, answers with ``PunchOffers``: what may be announced now.
    public static let offers = "offers"
    /// Takes a ``PunchRequest``, answers with a ``PunchReport`` when the link stands or the attempt is over.
    public static let punch = "punch"
    /// Takes an empty object, answers with ``PunchReports``.
    public static let punches = "punches"
    /// Takes an empty object, answers with a ``PunchStatsReport``.
    public static let stats = "stats"
    /// Takes an empty object, makes new keys for all coordination endpoints, and answers with ``PunchEndpoints``.
    public static let rotateKeys = "rotate-keys"

    /// All of them: a driver that offers ``punch`` offers all.
    public static let all = [nat, natCheck, witnesses, offers, punch, punches, stats, rotateKeys]

    /// The most witnesses that are told: several times what a check asks, so that it can choose.
    public static let maximumWitnesses = 64
    /// The most offers that one driver has announced: three entries of each of its endpoints, and some room.
    public static let maximumOffers = 16
    /// The most attempts that a driver remembers.
    public static let maximumPunches = 100
    /// The most lines of counters: every outcome with every pair of NAT kinds that occurs.
    public static let maximumCounts = 1_000
}

/// An object without members: what operations take and answer that have nothing to be told.
public struct Nothing: Hashable, Sendable, Codable {
    public init() {}
}

/// What the NAT check came to.
public struct NATReport: Hashable, Sendable, Codable {
    /// What one witness said.
    public struct Observation: Hashable, Sendable, Codable {
        /// Who was asked: `host:port`.
        public var witness: String
        /// The witness's network group.
        public var group: String
        /// The address and port that the witness saw: `1.2.3.4:5` or `[2001:db8::1]:5`.
        public var address: String
        /// The local port that the connection came from.
        public var localPort: UInt16
        /// How long the witness took, from the first SYN to its version message.
        public var latencyMilliseconds: Double
        /// RFC 3339.
        public var at: String

        public init(
            witness: String, group: String, address: String, localPort: UInt16, latencyMilliseconds: Double, at: String
        ) {
            self.witness = witness
            self.group = group
            self.address = address
            self.localPort = localPort
            self.latencyMilliseconds = latencyMilliseconds
            self.at = at
        }
    }

    /// `open`, `endpoint-independent`, `endpoint-dependent` or `unknown`; RFC 4787, section 4.1.
    public var mapping: String
    /// A witness that told nothing.
    public struct Silence: Hashable, Sendable, Codable {
        /// `host:port`.
        public var witness: String
        /// One sentence.
        public var reason: String

        public init(witness: String, reason: String) {
            self.witness = witness
            self.reason = reason
        }
    }

    /// Whether the NAT keeps the local port's number; absent where that is not known or means nothing.
    public var preservesPort: Bool?
    /// What the NAT does with packets that nobody asked for, in RFC 4787's words (section 5); absent when not known.
    public var filtering: String?
    /// From 0 to 1.
    public var confidence: Double
    public var evidence: [Observation]
    /// The addresses that others see us with, without ports.
    public var external: [String]
    /// The local network that was checked, in the driver's own name for it; absent before the first check.
    public var network: String?
    /// RFC 3339; absent before the first check.
    public var checkedAt: String?
    /// Why it is what it is, or why there is no result: one sentence.
    public var reason: String
    /// What was found for IPv6, where ``mapping`` is that of IPv4; absent without an IPv6 witness.
    public var ipv6: String?
    /// How many of the witnesses may lie without making a difference; absent before the first check.
    public var toleratedLiars: Int?
    /// Witnesses that contradict the others; absent where there are none.
    public var dissenters: [String]?
    /// Witnesses that told nothing; absent where there are none.
    public var silent: [Silence]?
    /// Whether a connection from outside has come in; absent before the first check.
    public var isReachable: Bool?
    /// Whether there is a second NAT behind the local router's, mostly the provider's; absent before the first check.
    public var isBehindCarrierNAT: Bool?

    public init(mapping: String, confidence: Double, reason: String) {
        self.mapping = mapping
        self.confidence = confidence
        self.reason = reason
        self.evidence = []
        self.external = []
    }
}

/// What `witnesses` takes: nodes that may be asked how they see us.
public struct PunchWitnesses: Hashable, Sendable, Codable {
    /// Each as `host:port`, at most ``PunchOperation/maximumWitnesses``.
    public var witnesses: [String]
    /// Whether somebody on the Internet has connected to us over another driver and IPv4 since this was told last; absent
    /// when not.
    public var inboundSeen: Bool?

    public init(_ witnesses: [String]) {
        self.witnesses = witnesses
    }
}

/// What `offers` answers.
public struct PunchOffers: Hashable, Sendable, Codable {
    /// An entry of an `addrv2` message, BIP 155.
    public struct Address: Hashable, Sendable, Codable {
        /// The BIP 155 network id.
        public var networkID: UInt8
        /// In hexadecimal digits.
        public var address: String
        public var port: UInt16
        /// Decimal digits: JSON's numbers lose bits of such large ones.
        public var services: String

        public init(networkID: UInt8, address: String, port: UInt16, services: String) {
            self.networkID = networkID
            self.address = address
            self.port = port
            self.services = services
        }
    }

    /// Empty while no more punched inbound peers are wanted, or while punching is not possible.
    public var offers: [Address]

    public init(_ offers: [Address]) {
        self.offers = offers
    }
}

/// What `punch` takes.
public struct PunchRequest: Hashable, Sendable, Codable {
    /// The coordination endpoint: `….onion:8333`, `….b32.i2p` or `direct:host:port`.
    public var endpoint: String
    /// The clearnet addresses that the offers of it name, without ports, one of IPv4 and one of IPv6 at most; absent if
    /// they name none. A peer that turns out to be elsewhere is not connected to, nor one at an address of a family that
    /// is not named.
    public var clearnet: [String]?

    public init(endpoint: String, clearnet: [String] = []) {
        self.endpoint = endpoint
        self.clearnet = clearnet.isEmpty ? nil : clearnet
    }
}

/// What one attempt came to.
public struct PunchReport: Hashable, Sendable, Codable {
    /// A number of the driver's own, from 1 on.
    public var id: UInt64
    /// `initiator` or `responder`.
    public var role: String
    /// The other side's coordination endpoint, or ours where the other side called.
    public var endpoint: String
    /// The other side's address; absent when it did not get that far.
    public var peer: String?
    /// `direct`, `ipv6`, `mapped`, `punch` or `relayed`: the way that worked or was tried last.
    public var path: String?
    /// How many times the two sides tried to open a connection.
    public var attempts: Int
    /// `connected`, or a word for why not.
    public var outcome: String
    /// Why not: one sentence.
    public var reason: String?
    /// From the first byte to the coordination endpoint to the end.
    public var milliseconds: Double
    /// Round trips between the agreement on the moment and the connection; absent without a connection.
    public var roundTrips: Double?
    /// The shortest round trip over the coordination endpoint.
    public var roundTripMilliseconds: Double?
    /// The NAT kinds, as in ``NATReport/mapping``.
    public var ownNAT: String
    public var peerNAT: String
    /// RFC 3339: when it began.
    public var at: String

    public init(
        id: UInt64, role: String, endpoint: String, attempts: Int, outcome: String, milliseconds: Double,
        ownNAT: String, peerNAT: String, at: String
    ) {
        self.id = id
        self.role = role
        self.endpoint = endpoint
        self.attempts = attempts
        self.outcome = outcome
        self.milliseconds = milliseconds
        self.ownNAT = ownNAT
        self.peerNAT = peerNAT
        self.at = at
    }

    /// The outcome of an attempt that led to a link.
    public static let connected = "connected"
    /// Whether the attempt led to a link.
    public var isConnected: Bool { self.outcome == Self.connected }
}

/// What `punches` answers.
public struct PunchReports: Hashable, Sendable, Codable {
    /// Newest first, at most ``PunchOperation/maximumPunches``.
    public var punches: [PunchReport]

    public init(_ punches: [PunchReport]) {
        self.punches = punches
    }
}

/// What `stats` answers: what happened since the driver started.
public struct PunchStatsReport: Hashable, Sendable, Codable {
    /// How often attempts of one kind ended in one way.
    public struct Count: Hashable, Sendable, Codable {
        /// As in ``PunchReport``.
        public var role: String
        public var outcome: String
        /// Absent where no way was tried.
        public var path: String?
        public var ownNAT: String
        public var peerNAT: String
        public var count: UInt64

        public init(role: String, outcome: String, path: String?, ownNAT: String, peerNAT: String, count: UInt64) {
            self.role = role
            self.outcome = outcome
            self.path = path
            self.ownNAT = ownNAT
            self.peerNAT = peerNAT
            self.count = count
        }
    }

    /// At most ``PunchOperation/maximumCounts``.
    public var counts: [Count]
    /// How many punched inbound peers are wanted; 0: none.
    public var slots: Int
    /// How many of them there are.
    public var slotsTaken: Int
    /// Coordinations under way, both roles.
    public var coordinating: Int
    /// Our own coordination endpoints.
    public var endpoints: [String]
    /// What else happened, by name, such as requests that were refused.
    public var counters: [String: UInt64]

    public init(
        counts: [Count], slots: Int, slotsTaken: Int, coordinating: Int, endpoints: [String],
        counters: [String: UInt64]
    ) {
        self.counts = counts
        self.slots = slots
        self.slotsTaken = slotsTaken
        self.coordinating = coordinating
        self.endpoints = endpoints
        self.counters = counters
    }
}

/// What `rotate-keys` answers.
public struct PunchEndpoints: Hashable, Sendable, Codable {
    /// Our coordination endpoints from now on.
    public var endpoints: [String]

    public init(_ endpoints: [String]) {
        self.endpoints = endpoints
    }
}
