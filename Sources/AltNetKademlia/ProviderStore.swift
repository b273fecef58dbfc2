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
    /// How long a provider counts as one: the specification's expiration interval.
    static let lifetime = Duration.seconds(48 * 3_600)

    private struct Name: Hashable, Sendable {
        let key: [UInt8]
        let provider: PeerID
    }

    private var records = FairStore<Name, Void>(capacity: Self.capacity, capacityPerSource: Self.capacityPerSource)
    /// Most recently announced last.
    private var byKey: [[UInt8]: [PeerID]] = [:]

    var count: Int { self.records.count }

    mutating func add(_ provider: PeerID, for key: [UInt8], source: String, now: MonotonicInstant) {
        // The first of a popular key make room; those that are alive announce themselves again.
        if let providers = self.byKey[key], !providers.contains(provider), providers.count >= Self.maximumPerKey,
            let oldest = providers.first
        {
            self.forget(Name(key: key, provider: oldest))
        }
        let name = Name(key: key, provider: provider)
        self.forget(name)
        let evicted = self.records.insert((), for: name, source: source, expiry: now + Self.lifetime)
        if let evicted { self.forget(evicted) }
        self.byKey[key, default: []].append(provider)
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
