// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// One address of a peer, as the store keeps it.
struct AddressEntry: Hashable, Sendable {
    /// Without the peer's own id at the end.
    let address: Multiaddress
    /// What is spoken there. With the address and its network it is the key.
    let use: AddressUse
    /// The network that an ambiguous address belongs to.
    let network: LocalNetwork?
    /// The bucket of whoever told it first.
    let teller: UInt16
    var firstSeen: WallClockTime
    var sources: AddressSources
    var lastSeen: WallClockTime
    /// Until when the newest record vouches for it; nil when it does not.
    var certifiedUntil: WallClockTime?
    /// Until when the other sources do, apart from the operator, whose addresses never expire.
    var heardUntil: WallClockTime
    var lastSuccess: WallClockTime?
    var lastFailure: WallClockTime?
    var latency: Duration?
    var failures = 0

    var expiry: WallClockTime { self.certifiedUntil.map { max($0, self.heardUntil) } ?? self.heardUntil }

    func isLive(_ now: WallClockTime) -> Bool {
        self.sources.contains(.user) || self.expiry > now
    }

    func isProven(_ now: WallClockTime) -> Bool {
        self.lastSuccess.map { $0 + PeerRules.provenLifetime > now } ?? false
    }

    private var longestHeard: Duration {
        self.lastSuccess == nil ? PeerRules.maximumLifetime : PeerRules.provenLifetime
    }

    /// Whether it can have been written by a clock like this one.
    func isPossible(_ now: WallClockTime) -> Bool {
        self.lastSeen <= now && self.heardUntil <= now + self.longestHeard
            && self.lastSuccess ?? now <= now && self.lastFailure ?? now <= now
            && self.certifiedUntil ?? now <= now + PeerRules.recordLifetime
    }

    /// Brings times from a clock that was ahead down to what can have been.
    mutating func correct(_ now: WallClockTime) {
        self.firstSeen = min(self.firstSeen, now)
        self.lastSeen = min(self.lastSeen, now)
        self.heardUntil = min(self.heardUntil, now + self.longestHeard)
        self.certifiedUntil = self.certifiedUntil.map { min($0, now + PeerRules.recordLifetime) }
        self.lastSuccess = self.lastSuccess.map { min($0, now) }
        self.lastFailure = self.lastFailure.map { min($0, now) }
    }

    /// Which address makes room for which: only a lower one for a higher one.
    func rank(_ now: WallClockTime) -> AddressRank {
        if self.sources.contains(.user) { return .user }
        if self.sources.contains(.certified) { return .certified }
        if self.isProven(now) { return .proven }
        return self.sources.contains(.identify) ? .identify : .hearsay
    }

    /// Where it stands among the addresses to dial: lower ones first.
    func dialRank(_ now: WallClockTime) -> DialRank {
        let isProven = self.isProven(now)
        let group: DialRank.Group =
            if self.sources.contains(.user) {
                .user
            } else if isProven {
                .proven
            } else if self.sources.contains(.certified) {
                .certified
            } else {
                self.sources.contains(.identify) ? .identify : .hearsay
            }
        return DialRank(group: group, lastSuccess: isProven ? self.lastSuccess : nil, failures: self.failures)
    }

    var known: KnownAddress {
        KnownAddress(
            address: self.address, sources: self.sources, firstSeen: self.firstSeen, lastSeen: self.lastSeen,
            expiry: self.sources.contains(.user) ? nil : self.expiry, lastSuccess: self.lastSuccess,
            lastFailure: self.lastFailure, latency: self.latency, failures: self.failures, network: self.network,
            use: self.use)
    }
}

/// How well one address of a peer is known, from the least.
enum AddressRank: Int, Comparable, Sendable {
    case hearsay, identify, proven, certified, user

    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// Which address of a peer is dialled first. Whoever asks may look at the first few addresses only, so that a signed
/// record full of dead addresses must not hide what the operator typed or where we reached the peer.
struct DialRank: Comparable, Sendable {
    /// From the first.
    enum Group: Int, Sendable {
        case user, proven, certified, identify, hearsay
    }

    let group: Group
    /// While it counts as proof.
    let lastSuccess: WallClockTime?
    let failures: Int

    static func < (left: Self, right: Self) -> Bool {
        guard left.group == right.group else { return left.group.rawValue < right.group.rawValue }
        guard left.lastSuccess == right.lastSuccess else {
            guard let last = left.lastSuccess, let other = right.lastSuccess else { return left.lastSuccess != nil }
            return last > other
        }
        return left.failures < right.failures
    }
}

/// Where the sealed record of a peer may be told.
enum RecordReach: Hashable, Sendable {
    /// It holds no ambiguous address.
    case anywhere
    /// It holds one, and we heard it there.
    case on(LocalNetwork)
    /// It holds one, and nobody said where we heard it.
    case nowhere
}

/// The sealed record of a peer, verified when it came.
struct StoredRecord: Hashable, Sendable {
    let envelope: [UInt8]
    var reach: RecordReach
    /// Until when it vouches for addresses that were left out; nil when there are none. They expire like the others, so
    /// that the record outlives a filter.
    var leftOutUntil: WallClockTime?
}

/// How well a peer is known, from the least; only peers of the first kind are ever evicted.
enum Standing: UInt8, Hashable, Sendable {
    case unproven = 0, proven = 1, user = 2
}

/// Everything that is kept about one peer.
struct PeerEntry: Hashable, Sendable {
    /// The bucket of whoever first told of this peer.
    let teller: UInt16
    /// Where the peer itself is.
    var peer = AddressShelf()
    /// Where its Bitcoin and Lightning nodes are. Apart, so that neither makes room for the other, and whoever looks for
    /// the peer itself never comes upon them.
    var node = AddressShelf()

    init(teller: UInt16) {
        self.teller = teller
    }

    /// Whether there is anything to keep.
    var isEmpty: Bool { self.peer.isEmpty && self.node.isEmpty }

    /// Removes what has expired, and with the last address of a record the record.
    mutating func prune(_ now: WallClockTime) {
        self.peer.prune(now)
        if !self.node.isEmpty { self.node.prune(now) }
    }

    /// How many addresses the operator typed.
    var userAddresses: Int { self.peer.userAddresses + self.node.userAddresses }

    private func hasAddress(where test: (AddressEntry) -> Bool) -> Bool {
        self.peer.addresses.contains(where: test) || self.node.addresses.contains(where: test)
    }

    /// What it would be, if there is room for it.
    func standing(_ now: WallClockTime) -> Standing {
        if self.hasAddress(where: { $0.sources.contains(.user) }) { return .user }
        return self.hasAddress { $0.isProven(now) } ? .proven : .unproven
    }

    /// The address at which we reached the peer last, of those that still count as proof.
    func proof(_ now: WallClockTime) -> AddressEntry? {
        (self.peer.addresses + self.node.addresses).filter { $0.isProven(now) }
            .max { ($0.lastSuccess ?? now) < ($1.lastSuccess ?? now) }
    }

    /// When a sweep has to look at it again; nil: never.
    func due(_ now: WallClockTime) -> WallClockTime? {
        switch self.standing(now) {
        case .user: nil
        case .proven:
            (self.peer.addresses + self.node.addresses).compactMap(\.lastSuccess).max()
                .map { $0 + PeerRules.provenLifetime }
        case .unproven: [self.peer, self.node].filter { !$0.isEmpty }.map(\.due).min()
        }
    }

    /// The live entry as others see it; nil when nothing is known but a sequence number.
    func known(
        _ id: PeerID, now: WallClockTime, filter: AddressFilter
    ) throws(EntryDamaged) -> KnownPeer? {
        var live = self
        live.prune(now)
        let node = try live.knownNode(id, now: now, filter: filter)
        guard !live.peer.addresses.isEmpty || live.peer.record != nil || node != nil else { return nil }
        var record: CertifiedPeerRecord?
        if let stored = live.peer.record {
            record = try? CertifiedPeerRecord(verifiedBefore: stored.envelope)
            guard record != nil else { throw EntryDamaged(peer: id) }
        }
        return KnownPeer(
            id: id, record: record, addresses: live.peer.known(now: now, filter: filter), node: node)
    }

    /// Of an entry that was pruned.
    private func knownNode(
        _ id: PeerID, now: WallClockTime, filter: AddressFilter
    ) throws(EntryDamaged) -> KnownNode? {
        guard !self.node.addresses.isEmpty || self.node.record != nil else { return nil }
        var record: CertifiedNodeAddressRecord?
        if let stored = self.node.record {
            record = try? CertifiedNodeAddressRecord(verifiedBefore: stored.envelope)
            guard record != nil else { throw EntryDamaged(peer: id) }
        }
        return KnownNode(record: record, addresses: self.node.known(now: now, filter: filter))
    }

    /// Sources whose word may be passed on. Not what the operator typed, what was given to us alone, or what we found
    /// ourselves: nobody else knows it, and telling it would tell whom we know.
    static let tellable: AddressSources = [.certified, .identify, .dht, .addrv2, .bolt7, .link]

    /// What may be told to somebody on that network of where the peer itself is. Never anything of its nodes: this goes
    /// into answers of the DHT.
    func handout(
        _ id: PeerID, to network: LocalNetwork?, now: WallClockTime, filter: AddressFilter
    ) -> PeerHandout? {
        var live = self.peer
        live.prune(now)
        let envelope = live.envelope(to: network)
        let told = live.addresses.filter { entry in
            guard !entry.sources.isDisjoint(with: Self.tellable), filter.allows(entry) else { return false }
            // Only the operator adds an ambiguous address without its network.
            guard entry.network == nil else { return entry.network == network }
            return !entry.sources.contains(.user) || !entry.address.isAmbiguous
        }
        guard envelope != nil || !told.isEmpty else { return nil }
        // By what others said and by failures alone: what the operator typed and where we succeeded would tell whom we
        // know.
        let ranked = AddressShelf.sorted(told) { entry in
            let group: DialRank.Group =
                entry.sources.contains(.certified)
                ? .certified : entry.sources.contains(.identify) ? .identify : .hearsay
            return DialRank(group: group, lastSuccess: nil, failures: entry.failures)
        }
        return PeerHandout(id: id, envelope: envelope, addresses: ranked.map(\.address))
    }

    /// The record of the peer's nodes, if anybody may have it. Their plain addresses are nobody's business: what is not
    /// signed may have been given to us alone.
    func nodeHandout(_ now: WallClockTime) -> [UInt8]? {
        var live = self.node
        live.prune(now)
        return live.envelope(to: nil)
    }
}
