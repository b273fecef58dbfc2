// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// Who said that it provides what lies under a key. Bounded, and fair between network groups.
struct ProviderStore: Sendable {
    /// The most provider records: some 150 bytes each.
    static let capacity = 10_000
    /// The most of one network group.
    static let capacityPerSource = 1_000
    /// The most providers of one key: an answer has room for no more.
    static let maximumPerKey = RoutingTable.bucketSize
    /// The most providers of one key from one network group: ids cost nothing, and an answer shall name others, too.
    static let maximumPerKeyAndSource = 3
    /// How long a provider counts as one: the specification's expiration interval.
    static let lifetime = Duration.seconds(48 * 3_600)

    private struct Name: Hashable, Sendable {
        let key: [UInt8]
        let provider: PeerID
    }

    /// That there is an entry says all.
    private struct Announcement: Equatable, Sendable {}

    private var records = FairStore<Name, Announcement>(
        capacity: Self.capacity, capacityPerSource: Self.capacityPerSource)
    /// Most recently announced last.
    private var byKey: [[UInt8]: [PeerID]] = [:]

    var count: Int { self.records.count }

    mutating func add(_ provider: PeerID, for key: [UInt8], source: String, now: MonotonicInstant) {
        let name = Name(key: key, provider: provider)
        // Whoever announces himself again does so from where he is now.
        self.forget(name)
        if let displaced = self.displaced(by: source, key: key) { self.forget(Name(key: key, provider: displaced)) }
        let evicted = self.records.insert(Announcement(), for: name, source: source, expiry: now + Self.lifetime)
        if let evicted { self.forget(evicted) }
        self.byKey[key, default: []].append(provider)
    }

    /// Who makes room for one more provider of the key: of a source that has its share already, its own oldest; when
    /// the key has all it may have, the oldest of the source with most. Where all have as many, the oldest of all goes:
    /// those that are alive announce themselves again.
    private func displaced(by source: String, key: [UInt8]) -> PeerID? {
        let providers = (self.byKey[key] ?? []).map { provider in
            (id: provider, source: self.records.source(of: Name(key: key, provider: provider)) ?? "")
        }
        let own = providers.filter { $0.source == source }
        if own.count >= Self.maximumPerKeyAndSource { return own.first?.id }
        guard providers.count >= Self.maximumPerKey else { return nil }
        var counts: [String: Int] = [:]
        for provider in providers { counts[provider.source, default: 0] += 1 }
        let most = counts.values.max()
        return providers.first { counts[$0.source] == most }?.id
    }

    /// The providers of a key, most recently announced first.
    func providers(of key: [UInt8], now: MonotonicInstant) -> [PeerID] {
        (self.byKey[key] ?? []).reversed().filter {
            self.records.value(of: Name(key: key, provider: $0), now: now) != nil
        }
    }

    mutating func expire(now: MonotonicInstant) {
        for name in self.records.expire(now: now) { self.forget(name) }
    }

    private mutating func forget(_ name: Name) {
        self.records.remove(name)
        self.byKey[name.key]?.removeAll { $0 == name.provider }
        if self.byKey[name.key]?.isEmpty == true { self.byKey[name.key] = nil }
    }
}
