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
    /// Whether the store has been asked; then, the sources that it named last. They are part of those in ``known``.
    private let stored: AddressSources?
    /// The sources that callers have named.
    private let told: AddressSources

    /// - Parameter isStored: the peer store says so, whose newest answer counts alone. What callers say adds up.
    public init(_ known: KnownAddress, exposure: DialExposure, isStored: Bool = false) {
        self.known = known
        self.stored = isStored ? known.sources : nil
        self.told = isStored ? [] : known.sources
        self.exposure = exposure
        self.traits = DialTraits(of: known.address, exposure: exposure).union(DialTraits(known.sources))
        self.networkGroup = known.address.networkGroup
        self.namedPeer = known.address.peerID
    }

    /// Another opinion on the address of `other`.
    private init(
        _ known: KnownAddress, exposure: DialExposure, stored: AddressSources?, told: AddressSources,
        like other: DialCandidate
    ) {
        self.known = known
        self.stored = stored
        self.told = told
        self.exposure = exposure
        self.traits = other.traits.subtracting([.exposures, .sources]).union(DialTraits(exposure))
            .union(DialTraits(known.sources))
        self.networkGroup = other.networkGroup
        self.namedPeer = other.namedPeer
    }

    public var address: Multiaddress { self.known.address }

    /// The two opinions on one address together: what the store says now instead of what it said before, what all callers
    /// have said, the worse exposure, the newer times.
    ///
    /// The worse exposure, so that a connection never turns out to reveal more than a policy was told.
    func merged(with other: DialCandidate) -> DialCandidate {
        let stored = other.stored ?? self.stored
        let told = self.told.union(other.told)
        let newer = other.known.lastSeen < self.known.lastSeen ? self.known : other.known
        let known = KnownAddress(
            address: self.address, sources: told.union(stored ?? []),
            firstSeen: min(self.known.firstSeen, other.known.firstSeen), lastSeen: newer.lastSeen,
            expiry: newer.expiry, lastSuccess: Self.later(self.known.lastSuccess, other.known.lastSuccess),
            lastFailure: Self.later(self.known.lastFailure, other.known.lastFailure),
            latency: newer.latency ?? self.known.latency ?? other.known.latency, failures: newer.failures,
            network: newer.network)
        return DialCandidate(
            known, exposure: max(self.exposure, other.exposure), stored: stored, told: told, like: self)
    }

    /// The candidate when the store does not know its address any more.
    var withoutStored: DialCandidate {
        guard self.stored != nil else { return self }
        return DialCandidate(
            Self.copy(self.known, at: self.address, sources: self.told), exposure: self.exposure, stored: [],
            told: self.told, like: self)
    }

    private static func copy(_ known: KnownAddress, at address: Multiaddress, sources: AddressSources) -> KnownAddress {
        KnownAddress(
            address: address, sources: sources, firstSeen: known.firstSeen, lastSeen: known.lastSeen,
            expiry: known.expiry, lastSuccess: known.lastSuccess, lastFailure: known.lastFailure,
            latency: known.latency, failures: known.failures, network: known.network)
    }

    /// The candidate without the id of that peer at the end of its address. Another peer's id stays.
    func without(_ peer: PeerID) -> DialCandidate {
        guard self.namedPeer == peer else { return self }
        let known = Self.copy(self.known, at: self.address.withoutPeerID, sources: self.known.sources)
        return DialCandidate(known, exposure: self.exposure, isStored: self.stored != nil)
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
