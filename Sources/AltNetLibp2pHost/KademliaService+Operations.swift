// SPDX-License-Identifier: MIT

public import AltNetKademlia
public import AltNetPeerRecords
internal import AltNetTransport

/// What the DHT says of a peer.
public struct FoundPeer: Hashable, Sendable {
    public let id: PeerID
    /// Its newest record that anybody had, verified.
    public let record: CertifiedPeerRecord?
    /// Addresses that others gave and that no record holds.
    public let hearsay: [Multiaddress]
    /// How many nodes answered on the way.
    public let answered: Int
}

extension KademliaService {
    /// Looks for a peer: by FIND_NODE, and when nobody named its record, by GET_VALUE for it.
    ///
    /// What was found is in the peer store then. `nil` when nobody knows the peer.
    public func find(_ peer: PeerID) async throws(KademliaError) -> FoundPeer? {
        var findings = try await self.limitedSearch(peer.bytes, .peer(peer))
        var answered = findings.answered
        if findings.record == nil {
            let key = KademliaValueKey.peerRecord(peer).bytes
            let value = try await self.limitedSearch(key, .value(quorum: 1))
            answered += value.answered
            if let envelope = value.value { findings.record = try? CertifiedPeerRecord(verifying: envelope) }
        }
        let certified = Set(findings.record?.record.addresses.map(\.withoutPeerID) ?? [])
        let hearsay = findings.hearsay.filter { !certified.contains($0.withoutPeerID) }
        guard findings.record != nil || !hearsay.isEmpty else { return nil }
        return FoundPeer(id: peer, record: findings.record, hearsay: hearsay, answered: answered)
    }

    /// The peers closest to a key that answered, closest first.
    public func closest(to key: [UInt8]) async throws(KademliaError) -> [PeerID] {
        try await self.limitedSearch(key, .closest).closest
    }

    /// The best right value of a key, and brings it to those near the key that have an older one or none.
    ///
    /// - Parameter quorum: how many nodes must have a right value before the search may end early.
    public func value(of key: [UInt8], quorum: Int = 3) async throws(KademliaError) -> [UInt8]? {
        guard KademliaValueKey(key) != nil else { throw .value(.unknownNamespace) }
        let findings = try await self.limitedSearch(key, .value(quorum: quorum))
        guard let value = findings.value else { return nil }
        let correct = findings.outdated + findings.lacking
        _ = await self.put(under: key, at: Array(correct.prefix(RoutingTable.bucketSize))) { own in
            KademliaMessage(
                kind: .putValue, key: key, record: .init(key: key, value: value), senderRecord: own.signedRecord)
        }
        return value
    }

    /// Puts a value at the nodes closest to its key, and returns how many took it.
    @discardableResult
    public func put(_ value: [UInt8], under key: [UInt8]) async throws(KademliaError) -> Int {
        do {
            try KademliaValue.check(value, for: key)
        } catch {
            throw .value(error)
        }
        return try await self.put(value, under: key) { own in
            KademliaMessage(
                kind: .putValue, key: key, record: .init(key: key, value: value), senderRecord: own.signedRecord)
        }
    }

    /// Puts this node's own record into the DHT, for those who ask for it by GET_VALUE; returns how many took it.
    ///
    /// A record with addresses of a local network goes to nodes on that network only.
    @discardableResult
    public func publishRecord() async throws(KademliaError) -> Int {
        guard let record = self.carrier.own(to: .loopback).signedRecord else { throw .noRecord }
        let key = KademliaValueKey.peerRecord(self.ourselves).bytes
        return try await self.put(record, under: key) { own in
            guard let record = own.signedRecord else { throw KademliaError.noRecord }
            return KademliaMessage(
                kind: .putValue, key: key, record: .init(key: key, value: record), senderRecord: record)
        }
    }

    /// Makes known that this node provides what lies under a key, now and from then on; returns how many were told.
    @discardableResult
    public func provide(_ key: [UInt8]) async throws(KademliaError) -> Int {
        guard (1...KademliaServer.maximumProviderKey).contains(key.count) else { throw .providerKey(key.count) }
        guard self.provided.contains(key) || self.provided.count < Self.maximumProvided else {
            throw .tooManyProvided
        }
        self.provided.insert(key)
        return try await self.announce(key)
    }

    /// Who provides what lies under a key: up to `count`, and ``Lookup/maximumProviders``. Their records are in the peer store then.
    public func providers(of key: [UInt8], count: Int = 20) async throws(KademliaError) -> [PeerID] {
        try await self.limitedSearch(key, .providers(count: count)).providers.map(\.id)
    }

    func announce(_ key: [UInt8]) async throws(KademliaError) -> Int {
        self.server.provide(key, now: .now)
        let findings = try await self.limitedSearch(key, .placesOfProviders)
        let places = findings.closest + findings.closestOfPaths
        let carrier = self.carrier
        let told = await Self.each(places) { peer in
            try await withTimeLimit(Lookup.queryTimeout) {
                try await carrier.tell(peer) { own in
                    KademliaMessage(kind: .addProvider, key: key, providers: [own], senderRecord: own.signedRecord)
                }
            }
            return true
        }
        guard told > 0 else { throw .nobodyTook(places.count) }
        return told
    }

    private func put(
        _ value: [UInt8], under key: [UInt8], _ compose: @escaping KademliaCarrier.Composer
    ) async throws(KademliaError) -> Int {
        let findings = try await self.limitedSearch(key, .placesOfValue)
        let places = findings.closest + findings.closestOfPaths
        let holders = Set(findings.value == value ? findings.holders : [])
        let taken = await self.put(under: key, at: places.filter { !holders.contains($0) }, compose)
        let count = taken + places.count(where: holders.contains)
        guard count > 0 else { throw .nobodyTook(places.count) }
        return count
    }

    private func put(
        under key: [UInt8], at places: [PeerID], _ compose: @escaping KademliaCarrier.Composer
    ) async -> Int {
        await Self.each(places) { peer in
            let (answer, _) = try await self.ask(peer, compose).get()
            return answer.kind == .putValue && answer.key == key
        }
    }

    /// Does something with each peer, with as many at once as a search asks, and counts successes.
    private static func each(
        _ peers: [PeerID], _ body: @escaping @Sendable (PeerID) async throws -> Bool
    ) async -> Int {
        await withTaskGroup(of: Bool.self) { group in
            var waiting = peers[...]
            var count = 0
            for peer in waiting.prefix(Lookup.parallelism) { group.addTask { (try? await body(peer)) ?? false } }
            waiting = waiting.dropFirst(Lookup.parallelism)
            while let isDone = await group.next() {
                if isDone { count += 1 }
                guard let peer = waiting.popFirst() else { continue }
                group.addTask { (try? await body(peer)) ?? false }
            }
            return count
        }
    }

    private func limitedSearch(_ key: [UInt8], _ goal: Lookup.Goal) async throws(KademliaError) -> Lookup.Findings {
        guard self.searches < Self.maximumSearches else { throw .tooManySearches }
        self.searches += 1
        defer { self.searches -= 1 }
        return await self.search(key, goal)
    }
}
