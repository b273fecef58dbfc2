// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetPeerRecords

/// An address that could be dialled, with all that a policy may ask about it.
public struct DialCandidate: Hashable, Sendable {
    /// What the peer store knows of the address.
    public let known: KnownAddress
    /// What the dial would reveal about us. Only whoever opens the connection can say: it knows the proxies.
    public let exposure: DialExposure
    /// Computed once, because policies are asked often: all that they look at.
    let traits: DialTraits
    /// Addresses of one group probably have one operator.
    let networkGroup: String
    /// The peer that the address ends with.
    let namedPeer: PeerID?

    public init(_ known: KnownAddress, exposure: DialExposure) {
        self.known = known
        self.exposure = exposure
        self.traits = DialTraits(of: known.address, exposure: exposure).union(DialTraits(known.sources))
        self.networkGroup = known.address.networkGroup
        self.namedPeer = known.address.peerID
    }

    /// Another opinion on the address of `other`.
    private init(_ known: KnownAddress, exposure: DialExposure, like other: DialCandidate) {
        self.known = known
        self.exposure = exposure
        self.traits = other.traits.subtracting(.exposures).union(DialTraits(exposure)).union(DialTraits(known.sources))
        self.networkGroup = other.networkGroup
        self.namedPeer = other.namedPeer
    }

    public var address: Multiaddress { self.known.address }

    /// The two opinions on one address together: all sources of both, the worse exposure, the newer times.
    ///
    /// The worse exposure, so that a connection never turns out to reveal more than a policy was told.
    func merged(with other: DialCandidate) -> DialCandidate {
        let newer = other.known.lastSeen < self.known.lastSeen ? self.known : other.known
        let known = KnownAddress(
            address: self.address, sources: self.known.sources.union(other.known.sources),
            firstSeen: min(self.known.firstSeen, other.known.firstSeen), lastSeen: newer.lastSeen,
            expiry: newer.expiry, lastSuccess: Self.later(self.known.lastSuccess, other.known.lastSuccess),
            lastFailure: Self.later(self.known.lastFailure, other.known.lastFailure),
            latency: newer.latency ?? self.known.latency ?? other.known.latency, failures: newer.failures,
            network: newer.network)
        return DialCandidate(known, exposure: max(self.exposure, other.exposure), like: self)
    }

    /// The candidate without the id of that peer at the end of its address. Another peer's id stays.
    func without(_ peer: PeerID) -> DialCandidate {
        guard self.namedPeer == peer else { return self }
        let known = KnownAddress(
            address: self.address.withoutPeerID, sources: self.known.sources, firstSeen: self.known.firstSeen,
            lastSeen: self.known.lastSeen, expiry: self.known.expiry, lastSuccess: self.known.lastSuccess,
            lastFailure: self.known.lastFailure, latency: self.known.latency, failures: self.known.failures,
            network: self.known.network)
        return DialCandidate(known, exposure: self.exposure)
    }

    private static func later(_ left: WallClockTime?, _ right: WallClockTime?) -> WallClockTime? {
        guard let left, let right else { return left ?? right }
        return max(left, right)
    }

    /// Whether the operator, the peer's signature, or nobody of consequence stands behind the address. Decides who makes
    /// room where there is none, so that hearsay never displaces what is certain.
    var standing: Int {
        if self.known.sources.contains(.user) { return 2 }
        return self.known.sources.contains(.certified) ? 1 : 0
    }
}
