// SPDX-License-Identifier: MIT

/// What is known of a peer.
public struct PeerReport: Hashable, Sendable, Codable {
    /// The peer id, in base 58.
    public var id: String
    /// The sequence number of its newest signed record: decimal digits, as it may have 64 bits.
    public var sequence: String?
    /// The newest signed record, sealed, in hexadecimal digits.
    public var record: String?
    public var addresses: [PeerAddressReport]
    /// Its Bitcoin and Lightning nodes; absent: nothing is known of them.
    public var node: PeerNodeReport?

    public init(
        id: String, sequence: String?, record: String?, addresses: [PeerAddressReport], node: PeerNodeReport? = nil
    ) {
        self.id = id
        self.sequence = sequence
        self.record = record
        self.addresses = addresses
        self.node = node
    }

    /// The same without addresses that partners gave to us alone: for files, which are handed on, and for whoever may
    /// only read.
    public var withoutConfidences: PeerReport {
        func isOpen(_ address: PeerAddressReport) -> Bool {
            !address.sources.contains("alt-addr") || address.sources.contains("certified")
        }
        var report = self
        report.addresses = report.addresses.filter(isOpen)
        if let addresses = report.node?.addresses.filter(isOpen) { report.node?.addresses = addresses }
        return report
    }
}

/// What is known of the Bitcoin and Lightning nodes of a peer.
public struct PeerNodeReport: Hashable, Sendable, Codable {
    /// The public key of the Lightning node, in hexadecimal digits; absent: the peer's key is none that such a node has.
    public var lightningNode: String?
    /// The sequence number of the newest record of them, as in ``PeerReport``.
    public var sequence: String?
    /// That record, sealed, in hexadecimal digits.
    public var record: String?
    /// Each with its `use`.
    public var addresses: [PeerAddressReport]

    public init(lightningNode: String?, sequence: String?, record: String?, addresses: [PeerAddressReport]) {
        self.lightningNode = lightningNode
        self.sequence = sequence
        self.record = record
        self.addresses = addresses
    }
}

/// What is known of one address of a peer.
public struct PeerAddressReport: Hashable, Sendable, Codable {
    /// A multiaddr.
    public var address: String
    /// Who said it: `user`, `certified`, `identify`, `dht` and so on.
    public var sources: [String]
    public var firstSeen: Timestamp
    public var lastSeen: Timestamp
    /// From when on it is not used; absent: never.
    public var expires: Timestamp?
    public var lastSuccess: Timestamp?
    public var lastFailure: Timestamp?
    /// Of the last success.
    public var latencyMilliseconds: Double?
    /// Attempts that failed since the last success.
    public var failures: Int
    /// The network on which it means this peer; absent: everywhere.
    public var network: String?
    /// What is spoken there, `lightning` or `bitcoin`; absent: libp2p.
    public var use: String?

    public init(address: String, sources: [String], firstSeen: Timestamp, lastSeen: Timestamp, failures: Int) {
        self.address = address
        self.sources = sources
        self.firstSeen = firstSeen
        self.lastSeen = lastSeen
        self.failures = failures
    }
}

/// Some of the peers, in the order of their ids.
public struct PeerListReport: Hashable, Sendable, Codable {
    public var peers: [PeerReport]
    /// How many peers there are in all.
    public var total: Int
    /// What to ask for as `after` to get the next ones; absent: these were the last.
    public var next: String?
    /// Peers of whom what is stored is not what was written, by their ids; absent: none. Nothing is known of them until
    /// they are forgotten and heard of again.
    public var damaged: [String]?

    public init(peers: [PeerReport], total: Int, next: String?, damaged: [String]? = nil) {
        self.peers = peers
        self.total = total
        self.next = next
        self.damaged = damaged
    }
}

/// What is to be added to the peer store: addresses of a peer, or a record that it signed.
public struct PeerAddition: Hashable, Sendable, Codable {
    /// Whom it is about; of a record, the only peer that it may be about.
    public var peer: String?
    /// Multiaddrs.
    public var addresses: [String]
    /// Who said the addresses; absent: the operator.
    public var sources: [String]?
    /// How long they hold, in seconds; absent: a day. The operator's own hold for ever.
    public var lifetimeSeconds: Int?
    /// A sealed record in hexadecimal digits.
    public var record: String?
    /// The network on which addresses of private ranges mean this peer.
    public var network: String?
    /// What is spoken at the addresses, `lightning` or `bitcoin`; absent: libp2p.
    public var use: String?

    public init(
        peer: String?, addresses: [String] = [], sources: [String]? = nil, lifetimeSeconds: Int? = nil,
        record: String? = nil, network: String? = nil, use: String? = nil
    ) {
        self.peer = peer
        self.addresses = addresses
        self.sources = sources
        self.lifetimeSeconds = lifetimeSeconds
        self.record = record
        self.network = network
        self.use = use
    }
}

/// Several additions at once.
public struct PeerAdditions: Hashable, Sendable, Codable {
    /// At most ``ControlInterface/maximumPeerAdditions``.
    public var additions: [PeerAddition]

    public init(_ additions: [PeerAddition]) {
        self.additions = additions
    }
}

/// What became of an addition.
public struct PeerAdditionReport: Hashable, Sendable, Codable {
    public enum Outcome: String, Hashable, Sendable, Codable {
        case stored, storedInPart = "stored-in-part", unchanged, refused
    }

    /// Whom it was about, if that can be told.
    public var peer: String?
    public var outcome: Outcome
    /// Why it was refused, or what of it: a word for programs, and sentences.
    public var code: String?
    public var details: [String]

    public init(peer: String?, outcome: Outcome, code: String? = nil, details: [String] = []) {
        self.peer = peer
        self.outcome = outcome
        self.code = code
        self.details = details
    }
}

extension DriverOperation where Question == PeerDial, Answer == PeerDialReport {
    /// Connects to a peer by what the peer store knows of it.
    public static var dialPeer: Self { Self("peer.dial") }
}

/// What `peer.dial` takes.
public struct PeerDial: Hashable, Sendable, Encodable {
    public var peer: String
    /// The name of a ready policy, or its stages; absent: the driver's own.
    public var policy: [String]?
    public var timeoutSeconds: Int

    public init(peer: String, policy: [String]?, timeoutSeconds: Int) {
        self.peer = peer
        self.policy = policy
        self.timeoutSeconds = timeoutSeconds
    }
}

/// What `peer.dial` answers.
public struct PeerDialReport: Hashable, Sendable, Codable {
    /// The address that the peer was reached at.
    public var address: String
    public var milliseconds: Double
    /// What the peer's software calls itself, if it said so in time.
    public var agent: String?

    public init(address: String, milliseconds: Double, agent: String?) {
        self.address = address
        self.milliseconds = milliseconds
        self.agent = agent
    }
}
