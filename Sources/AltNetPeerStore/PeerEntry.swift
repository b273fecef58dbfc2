// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// One address of a peer, as the store keeps it.
struct AddressEntry: Hashable, Sendable {
    /// Without the peer's own id at the end.
    let address: Multiaddress
    /// The network that an ambiguous address belongs to. Together with the address it is the key.
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
            lastFailure: self.lastFailure, latency: self.latency, failures: self.failures, network: self.network)
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
    /// The newest record; there is none without an address, which may be one that was left out.
    var record: StoredRecord?
    /// The highest sequence number of a record that was accepted. Survives the record.
    var sequence: UInt64?
    /// Until when the number is remembered when nothing else is left.
    var sequenceUntil = WallClockTime(milliseconds: 0)
    var addresses: [AddressEntry] = []

    init(teller: UInt16) {
        self.teller = teller
    }

    /// Whether there is anything to keep.
    var isEmpty: Bool { self.addresses.isEmpty && self.sequence == nil }

    /// Removes what has expired, and with the last address the record.
    mutating func prune(_ now: WallClockTime) {
        self.correct(now)
        if self.addresses.contains(where: { !$0.isLive(now) }) { self.addresses.removeAll { !$0.isLive(now) } }
        guard self.addresses.isEmpty else { return }
        if let until = self.record?.leftOutUntil, until > now { return }
        self.record = nil
        if self.sequenceUntil <= now { self.sequence = nil }
    }

    /// A clock that was ahead when something was learned must not keep it longer than one that was right.
    private mutating func correct(_ now: WallClockTime) {
        guard now >= PeerRules.earliestClock else { return }
        for index in self.addresses.indices where !self.addresses[index].isPossible(now) {
            self.addresses[index].correct(now)
        }
        self.sequenceUntil = min(self.sequenceUntil, now + PeerRules.longestDue)
        if let until = self.record?.leftOutUntil {
            self.record?.leftOutUntil = min(until, now + PeerRules.recordLifetime)
        }
    }

    /// When the last address expires, of those that are kept and those that the record vouches for.
    var lastExpiry: WallClockTime? {
        (self.addresses.map(\.expiry) + [self.record?.leftOutUntil].compactMap { $0 }).max()
    }

    /// How many addresses the operator typed.
    var userAddresses: Int { self.addresses.count { $0.sources.contains(.user) } }

    /// What it would be, if there is room for it.
    func standing(_ now: WallClockTime) -> Standing {
        if self.addresses.contains(where: { $0.sources.contains(.user) }) { return .user }
        return self.addresses.contains { $0.isProven(now) } ? .proven : .unproven
    }

    /// The address at which we reached the peer last, of those that still count as proof.
    func proof(_ now: WallClockTime) -> AddressEntry? {
        self.addresses.filter { $0.isProven(now) }.max { ($0.lastSuccess ?? now) < ($1.lastSuccess ?? now) }
    }

    /// When a sweep has to look at it again; nil: never.
    func due(_ now: WallClockTime) -> WallClockTime? {
        switch self.standing(now) {
        case .user: nil
        case .proven: self.addresses.compactMap(\.lastSuccess).max().map { $0 + PeerRules.provenLifetime }
        case .unproven: self.lastExpiry ?? self.sequenceUntil
        }
    }

    /// The live entry as others see it; nil when nothing is known but a sequence number.
    func known(
        _ id: PeerID, now: WallClockTime, filter: AddressFilter
    ) throws(EntryDamaged) -> KnownPeer? {
        var live = self
        live.prune(now)
        guard !live.addresses.isEmpty || live.record != nil else { return nil }
        var record: CertifiedPeerRecord?
        if let stored = live.record {
            record = try? CertifiedPeerRecord(verifiedBefore: stored.envelope)
            guard record != nil else { throw EntryDamaged(peer: id) }
        }
        let ranked = Self.sorted(live.addresses.filter { filter.allows($0) }) { $0.dialRank(now) }
        return KnownPeer(id: id, record: record, addresses: ranked.map(\.known))
    }

    /// Lower ranks first; those of the same rank as they came.
    private static func sorted<Rank: Comparable>(
        _ entries: [AddressEntry], by rank: (AddressEntry) -> Rank
    ) -> [AddressEntry] {
        guard entries.count > 1 else { return entries }
        let ranked = entries.enumerated().map { (rank: rank($1), position: $0, entry: $1) }
        return ranked.sorted { left, right in
            left.rank == right.rank ? left.position < right.position : left.rank < right.rank
        }.map(\.entry)
    }

    /// Sources whose word may be passed on. Not what the operator typed, what was given to us alone, or what we found
    /// ourselves: nobody else knows it, and telling it would tell whom we know.
    static let tellable: AddressSources = [.certified, .identify, .dht, .addrv2, .bolt7, .link]

    /// What may be told to somebody on that network.
    func handout(
        _ id: PeerID, to network: LocalNetwork?, now: WallClockTime, filter: AddressFilter
    ) -> PeerHandout? {
        var live = self
        live.prune(now)
        let envelope: [UInt8]? =
            switch live.record?.reach {
            case .anywhere?: live.record?.envelope
            case .on(let home)?: home == network ? live.record?.envelope : nil
            case .nowhere?, nil: nil
            }
        let told = live.addresses.filter { entry in
            guard !entry.sources.isDisjoint(with: Self.tellable), filter.allows(entry) else { return false }
            // Only the operator adds an ambiguous address without its network.
            guard entry.network == nil else { return entry.network == network }
            return !entry.sources.contains(.user) || !entry.address.isAmbiguous
        }
        guard envelope != nil || !told.isEmpty else { return nil }
        // By what others said and by failures alone: what the operator typed and where we succeeded would tell whom we
        // know.
        let ranked = Self.sorted(told) { entry in
            let group: DialRank.Group =
                entry.sources.contains(.certified)
                ? .certified : entry.sources.contains(.identify) ? .identify : .hearsay
            return DialRank(group: group, lastSuccess: nil, failures: entry.failures)
        }
        return PeerHandout(id: id, envelope: envelope, addresses: ranked.map(\.address))
    }
}
