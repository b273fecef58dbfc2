// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// Addresses of a peer, and the record in which it signed them: of the peer itself, or of its nodes.
struct AddressShelf: Hashable, Sendable {
    /// The newest record; there is none without an address, which may be one that was left out.
    var record: StoredRecord?
    /// The highest sequence number of a record that was accepted. Survives the record.
    var sequence: UInt64?
    /// Until when the number is remembered when nothing else is left.
    var sequenceUntil = WallClockTime(milliseconds: 0)
    var addresses: [AddressEntry] = []

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

    /// When a sweep has to look at it again.
    var due: WallClockTime { self.lastExpiry ?? self.sequenceUntil }

    /// How many addresses the operator typed.
    var userAddresses: Int { self.addresses.count { $0.sources.contains(.user) } }

    /// Those that may be used, the best first. The shelf MUST be pruned.
    func known(now: WallClockTime, filter: AddressFilter) -> [KnownAddress] {
        Self.sorted(self.addresses.filter { filter.allows($0) }) { $0.dialRank(now) }.map(\.known)
    }

    /// The sealed record, if all of it may be told to somebody on that network.
    func envelope(to network: LocalNetwork?) -> [UInt8]? {
        switch self.record?.reach {
        case .anywhere?: self.record?.envelope
        case .on(let home)?: home == network ? self.record?.envelope : nil
        case .nowhere?, nil: nil
        }
    }

    /// Lower ranks first; those of the same rank as they came.
    static func sorted<Rank: Comparable>(
        _ entries: [AddressEntry], by rank: (AddressEntry) -> Rank
    ) -> [AddressEntry] {
        guard entries.count > 1 else { return entries }
        let ranked = entries.enumerated().map { (rank: rank($1), position: $0, entry: $1) }
        return ranked.sorted { left, right in
            left.rank == right.rank ? left.position < right.position : left.rank < right.rank
        }.map(\.entry)
    }
}
