// SPDX-License-Identifier: MIT

public import AltNetBase
internal import AltNetBitcoin

/// A node that is asked how it sees us: any node that fills in the receiver's address of its `version` message, as
/// Bitcoin Core does.
public struct NATWitness: Hashable, Sendable {
    /// As it was written: `host:port`.
    public let name: String
    /// Where it is.
    public let endpoint: ExternalEndpoint

    public init(name: String, endpoint: ExternalEndpoint) {
        self.name = name
        self.endpoint = endpoint
    }

    /// Witnesses of one group have one voice: they may be one operator's. In a lab, where all addresses are of one
    /// group, each address is its own.
    public func group(allowPrivate: Bool) -> String {
        let group = self.endpoint.networkGroup
        return allowPrivate && group == "local" ? self.endpoint.host : group
    }
}

/// What one witness said about one connection.
public struct NATObservation: Hashable, Sendable {
    public let witness: NATWitness
    /// The witness's network group.
    public let group: String
    /// The address and port that the witness says it saw.
    public let seen: ExternalEndpoint
    /// Our end of the connection, before any NAT.
    public let local: ExternalEndpoint
    /// 0 for the port that all witnesses were asked from first, 1 for the second.
    public let portIndex: Int
    /// From the first SYN to the witness's `version`.
    public let latency: Duration
    public let at: WallClockTime
    /// Whether the witness reached us with a connection of its own, at the address and port that it saw; `nil` where it
    /// makes none.
    public let reachedBack: Bool?
}

/// A witness that told nothing.
public struct NATSilence: Hashable, Sendable {
    /// The witness as it was written.
    public let witness: String
    /// One sentence.
    public let reason: String

    public init(witness: String, reason: String) {
        self.witness = witness
        self.reason = reason
    }
}

/// What a check found for one family of addresses.
public struct NATFinding: Hashable, Sendable {
    public var mapping: NATMapping
    /// From 0 to 1: the share of witnesses that fit the mapping, times 1 − 2⁻ⁿ for n witnesses, times 0.8 unless the
    /// second local port showed the same. 0 where the mapping is unknown.
    public var confidence: Double
    /// The outside addresses that more witnesses report than may lie; port 0.
    public var external: [ExternalEndpoint]
    /// Whether the outside address is this machine's own: there is no NAT, but there may be a firewall.
    public var isOwnAddress: Bool
    /// Whether a connection from outside has come in: by a witness's dial-back, or seen by the caller, wherever.
    public var isReachable: Bool
    /// Whether a witness came in from a port to which nothing had been sent: what is in front of us lets in whoever we have
    /// sent something to, from whatever port, if not everybody (RFC 4787, section 5).
    public var filtersLoosely: Bool
    /// Whether the outside address is not that of the local router: a second NAT, mostly the provider's (RFC 6888).
    public var isBehindCarrierNAT: Bool
    /// How many of the witnesses may lie without making a difference.
    public var toleratedLiars: Int
    /// Witnesses that contradict what the others agree on.
    public var dissenters: [NATWitness]
    /// Why it is what it is, or why it is unknown: one sentence.
    public var reason: String

    /// What a NAT does with what comes from outside unasked, as far as it is known; RFC 4787, section 5.
    public var filtering: String? {
        guard self.filtersLoosely, self.mapping != .unknown else { return nil }
        return self.isOwnAddress ? "endpoint-independent" : "endpoint-independent or address-dependent"
    }
}

/// What a ``NATCheck`` found.
public struct NATVerdict: Hashable, Sendable {
    /// `nil` when there was no witness with an IPv4 address.
    public var ipv4: NATFinding?
    /// `nil` when there was no witness with an IPv6 address.
    public var ipv6: NATFinding?
    /// In the order in which it came.
    public var evidence: [NATObservation]
    public var silent: [NATSilence]

    public init(
        ipv4: NATFinding? = nil, ipv6: NATFinding? = nil, evidence: [NATObservation] = [], silent: [NATSilence] = []
    ) {
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.evidence = evidence
        self.silent = silent
    }

    /// The finding that hole punching goes by: that of IPv4, where NATs are, unless only IPv6 told anything.
    public var main: NATFinding? {
        guard let ipv4 = self.ipv4 else { return self.ipv6 }
        guard ipv4.mapping == .unknown, let ipv6 = self.ipv6, ipv6.mapping != .unknown else { return ipv4 }
        return ipv6
    }

    public var mapping: NATMapping { self.main?.mapping ?? .unknown }
    public var confidence: Double { self.main?.confidence ?? 0 }
    /// Of both families; port 0.
    public var external: [ExternalEndpoint] { (self.ipv4?.external ?? []) + (self.ipv6?.external ?? []) }
    public var reason: String { self.main?.reason ?? "there is no witness to ask" }
}
