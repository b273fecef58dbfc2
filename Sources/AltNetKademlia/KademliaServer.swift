// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetPeerRecords

/// Something that a message says about a peer, for the peer store: its record where it has one, else its addresses.
public enum KademliaNews: Hashable, Sendable {
    /// A sealed record, unverified, and the only peer that it may be about.
    case record([UInt8], about: PeerID)
    case addresses(PeerID, [Multiaddress])

    /// What a message says about one peer; `nil` when that is nothing.
    public init?(_ peer: KademliaMessage.Peer) {
        if let record = peer.signedRecord {
            self = .record(record, about: peer.id)
        } else if !peer.addresses.isEmpty {
            self = .addresses(peer.id, peer.addresses)
        } else {
            return nil
        }
    }
}

/// The answering half of a DHT node: what a request needs from the peer store, and then the answer.
///
/// It keeps the provider records and public keys that others put here. Peer records it does not keep: the peer store
/// has them, so that what is put here, what is told in passing and what identify brings is one and the same.
public struct KademliaServer: Sendable {
    /// Requests of one peer at once, and then each second. A look-up asks a node once; ten at once are many look-ups.
    public static let burstPerPeer = 40
    public static let ratePerPeer = 10
    /// Requests of one network group at once, and then each second: ids cost nothing, so that one client with many could
    /// otherwise use up what is there for all. In local networks every peer stands for itself.
    public static let burstPerGroup = 200
    public static let ratePerGroup = 40
    /// Requests of all peers at once, and then each second: what one core answers, peer store included, with most of
    /// its time left.
    public static let burst = 1_000
    public static let rate = 200
    /// Peers, and as many network groups, whose rate is remembered. Beyond that, whoever has been quiet longest is forgotten.
    public static let maximumRemembered = 2_048
    /// The longest key of a provider record, in bytes: what go-libp2p and py-libp2p take.
    public static let maximumProviderKey = 80
    /// Public keys that are kept, in all and of one network group. Only RSA and ECDSA keys are not in the peer id.
    public static let maximumValues = 1_000
    public static let maximumValuesPerSource = 100
    /// How long a value is kept unless it is put again; go-libp2p's and py-libp2p's age.
    public static let valueLifetime = Duration.seconds(48 * 3_600)
    /// Room in a message for what is not a peer: key, value, our own record.
    static let reserve = 3 * SignedEnvelope.maximumSize

    /// Why a request is not answered. The stream is reset.
    public enum Refusal: Hashable, Sendable, CustomStringConvertible {
        case tooOften
        case groupTooOften(String)
        case overloaded
        case emptyKey
        case providerKeyTooLong(Int)
        case notTheSender
        case noRecord
        case otherKey
        case badValue(KademliaValueError)

        public var description: String {
            switch self {
            case .tooOften: "the peer asks too often"
            case .groupTooOften(let group): "the peers of the network \(group) ask too often"
            case .overloaded: "too many peers ask"
            case .emptyKey: "a request has no key"
            case .providerKeyTooLong(let size):
                "a key of \(size) bytes is longer than \(KademliaServer.maximumProviderKey)"
            case .notTheSender: "a peer announces providers, but not itself"
            case .noRecord: "PUT_VALUE without a value"
            case .otherKey: "the key of a value is not the key of its message"
            case .badValue(let error): error.description
            }
        }
    }

    /// What is to be done about a request. In every case tell the peer store the news first.
    public enum Step: Hashable, Sendable {
        case refuse(Refusal)
        /// The request has no answer: nobody reads one to ADD_PROVIDER.
        case nothing
        case answer(KademliaMessage)
        /// Answer if the peer store takes the last piece of news, or has it already; else reset the stream.
        case answerIfTaken(KademliaMessage)
        /// Ask the peer store, once, what may be told about ``Draft/wanted``, and then call
        /// ``KademliaServer/answer(_:peers:own:)``.
        case ask(Draft)
    }

    /// An answer that lacks what the peer store knows.
    public struct Draft: Hashable, Sendable {
        /// Each peer once, at most 41.
        public let wanted: [PeerID]
        let answer: KademliaMessage
        let closer: [PeerID]
        let providers: [PeerID]
        let recordOf: PeerID?
    }

    public let ourselves: PeerID
    var values: FairStore<[UInt8], KademliaMessage.Record>
    var providers = ProviderStore()
    private var total: TokenBucket
    private var perPeer = Rates<PeerID>(burst: Self.burstPerPeer, perSecond: Self.ratePerPeer)
    private var perGroup = Rates<String>(burst: Self.burstPerGroup, perSecond: Self.ratePerGroup)

    public init(ourselves: PeerID, now: MonotonicInstant) {
        self.ourselves = ourselves
        self.values = FairStore(capacity: Self.maximumValues, capacityPerSource: Self.maximumValuesPerSource)
        self.total = TokenBucket(burst: Self.burst, perSecond: Self.rate, now: now)
    }

    /// A peer asks.
    /// - Parameters:
    ///   - group: the network group of the peer's address; `nil` for local networks, where every peer is its own.
    ///   - table: read only.
    public mutating func onRequest(
        _ request: KademliaMessage, from peer: PeerID, group: String?, table: RoutingTable, now: MonotonicInstant
    ) -> (news: [KademliaNews], step: Step) {
        if let refusal = self.admit(peer, group: group, now: now) { return ([], .refuse(refusal)) }
        var news: [KademliaNews] = []
        if let record = request.senderRecord { news.append(.record(record, about: peer)) }
        guard request.kind != .ping else { return (news, .answer(KademliaMessage(kind: .ping))) }
        guard !request.key.isEmpty else { return (news, .refuse(.emptyKey)) }
        let source = group ?? peer.description
        switch request.kind {
        case .putValue: return self.put(request, news: news, source: source, now: now)
        case .addProvider: return self.addProvider(request, from: peer, news: news, source: source, now: now)
        case .getValue, .getProviders, .findNode, .ping:
            return (news, .ask(self.draft(request, from: peer, table: table, now: now)))
        }
    }

    /// Completes an answer. Peers about which nothing may be told are left out, and those for which there is no room:
    /// the farthest.
    /// - Parameter own: what we tell about ourselves.
    public func answer(
        _ draft: Draft, peers: [KademliaMessage.Peer], own: KademliaMessage.Peer
    ) -> KademliaMessage {
        var known: [PeerID: KademliaMessage.Peer] = [:]
        for peer in peers where known[peer.id] == nil { known[peer.id] = peer }
        known[self.ourselves] = own
        var answer = draft.answer
        answer.senderRecord = own.signedRecord
        if let peer = draft.recordOf, let record = known[peer]?.signedRecord {
            answer.record = KademliaMessage.Record(key: answer.key, value: record)
        }
        var room = KademliaMessage.maximumSize - Self.reserve
        func take(_ ids: [PeerID]) -> [KademliaMessage.Peer] {
            var taken: [KademliaMessage.Peer] = []
            for id in ids {
                guard let peer = known[id], peer.signedRecord != nil || !peer.addresses.isEmpty else { continue }
                // Field number and length take up to five bytes.
                room -= peer.encoded.count + 5
                guard room >= 0 else { break }
                taken.append(peer)
            }
            return taken
        }
        // Providers are what was asked for.
        answer.providers = take(draft.providers)
        answer.closerPeers = take(draft.closer)
        return answer
    }

    /// Keeps a provider record of our own, for those who ask us.
    public mutating func provide(_ key: [UInt8], now: MonotonicInstant) {
        self.providers.add(self.ourselves, for: key, source: self.ourselves.description, now: now)
    }

    /// Forgets what has expired: call it now and then.
    public mutating func expire(now: MonotonicInstant) {
        self.values.expire(now: now)
        self.providers.expire(now: now)
        self.perPeer.expire(now: now)
        self.perGroup.expire(now: now)
    }

    /// Provider records and values that are kept.
    public var counts: (providers: Int, values: Int) { (self.providers.count, self.values.count) }

    private mutating func admit(_ peer: PeerID, group: String?, now: MonotonicInstant) -> Refusal? {
        // What one peer, or one group, asks too much must not use up what is there for more of them. The group comes
        // before its peers, so that ids without end do not push out of the memory those that others have.
        if let group, !self.perGroup.take(group, now: now) { return .groupTooOften(group) }
        guard self.perPeer.take(peer, now: now) else { return .tooOften }
        return self.total.take(now: now) ? nil : .overloaded
    }

    /// How often each has asked lately.
    private struct Rates<Key: Hashable & Sendable>: Sendable {
        let burst: Int
        let perSecond: Int
        private var buckets: [Key: (bucket: TokenBucket, last: MonotonicInstant)] = [:]

        init(burst: Int, perSecond: Int) {
            self.burst = burst
            self.perSecond = perSecond
        }

        mutating func take(_ key: Key, now: MonotonicInstant) -> Bool {
            var bucket =
                self.buckets[key]?.bucket ?? TokenBucket(burst: self.burst, perSecond: self.perSecond, now: now)
            let isAdmitted = bucket.take(now: now)
            if self.buckets[key] == nil, self.buckets.count >= KademliaServer.maximumRemembered,
                let quietest = self.buckets.min(by: { $0.value.last < $1.value.last })
            {
                self.buckets[quietest.key] = nil
            }
            self.buckets[key] = (bucket, now)
            return isAdmitted
        }

        mutating func expire(now: MonotonicInstant) {
            self.buckets = self.buckets.filter { !$0.value.bucket.isFull(now: now) }
        }
    }

    private func draft(
        _ request: KademliaMessage, from peer: PeerID, table: RoutingTable, now: MonotonicInstant
    ) -> Draft {
        var closer = table.closest(to: KademliaKey(hashing: request.key), except: peer)
        var answer = KademliaMessage(kind: request.kind, key: request.key)
        var providers: [PeerID] = []
        var recordOf: PeerID?
        switch request.kind {
        case .findNode:
            // The peer that is looked for is named when it is known, also when it serves no DHT or is ourselves.
            if let target = try? PeerID(bytes: request.key), target != peer {
                closer = [target] + closer.filter { $0 != target }
            }
        case .getProviders:
            providers = self.providers.providers(of: request.key, now: now)
        case .getValue:
            if case .peerRecord(let subject) = KademliaValueKey(request.key) {
                recordOf = subject
            } else {
                answer.record = self.values.value(of: request.key, now: now)
            }
        case .putValue, .addProvider, .ping: break
        }
        var wanted: [PeerID] = []
        var seen: Set<PeerID> = [self.ourselves]
        for id in closer + providers + [recordOf].compactMap({ $0 }) where seen.insert(id).inserted {
            wanted.append(id)
        }
        return Draft(wanted: wanted, answer: answer, closer: closer, providers: providers, recordOf: recordOf)
    }

    private mutating func put(
        _ request: KademliaMessage, news: [KademliaNews], source: String, now: MonotonicInstant
    ) -> (news: [KademliaNews], step: Step) {
        guard let record = request.record else { return (news, .refuse(.noRecord)) }
        guard record.key == request.key else { return (news, .refuse(.otherKey)) }
        // Key and value only: whatever else stands beside them, we would pass on unverified as if it meant something.
        let value = KademliaMessage.Record(key: record.key, value: record.value)
        let echo = KademliaMessage(kind: .putValue, key: request.key, record: value)
        if case .peerRecord(let subject) = KademliaValueKey(request.key) {
            guard record.value.count <= KademliaValue.maximumSize else {
                return (news, .refuse(.badValue(.tooLarge(record.value.count))))
            }
            // The peer store verifies, and keeps the newest: once is enough.
            return (news + [.record(record.value, about: subject)], .answerIfTaken(echo))
        }
        do {
            try KademliaValue.check(record.value, for: request.key)
        } catch {
            return (news, .refuse(.badValue(error)))
        }
        // No public key is better than another right one, so that the first stays.
        let kept = self.values.value(of: request.key, now: now) ?? value
        self.values.insert(kept, for: request.key, source: source, expiry: now + Self.valueLifetime)
        return (news, .answer(echo))
    }

    private mutating func addProvider(
        _ request: KademliaMessage, from peer: PeerID, news: [KademliaNews], source: String, now: MonotonicInstant
    ) -> (news: [KademliaNews], step: Step) {
        guard request.key.count <= Self.maximumProviderKey else {
            return (news, .refuse(.providerKeyTooLong(request.key.count)))
        }
        // Nobody announces others.
        guard let provider = request.providers.first(where: { $0.id == peer }) else {
            return (news, .refuse(.notTheSender))
        }
        self.providers.add(peer, for: request.key, source: source, now: now)
        return (news + [KademliaNews(provider)].compactMap { $0 }, .nothing)
    }
}
