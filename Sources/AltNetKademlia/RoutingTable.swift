// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetPeerRecords

/// The servers of the DHT that this node knows, more of them the closer they are to it.
///
/// One bucket for each number of leading bits that a peer's place has in common with ours, with up to `k` peers each.
/// Who is there already and answers stays, however many others come (Maymounkov and Mazières, section 2.2). Only peers
/// that have proven to answer belong in here, never those that were merely named.
///
/// Against an attacker who makes peer ids until they fill the buckets, the peers of one network group are few in every
/// bucket and in the whole table: ids cost nothing, addresses in many providers' networks do.
public struct RoutingTable: Sendable {
    /// The specification's `k`: peers in a bucket, and in an answer.
    public static let bucketSize = 20
    /// The most peers of one network group in a bucket and in the table, unless the operator of a private network wants
    /// more: two and three, as in go-libp2p, whose groups are as large as ours.
    public static let maximumPerGroupInBucket = 2
    public static let maximumPerGroupInTable = 3
    /// A peer that failed as many times in a row is no longer a member.
    public static let maximumFailures = 2
    /// A peer that was heard more recently, is not checked to make room for another: otherwise newcomers could make us
    /// ask all our peers again and again.
    public static let checkInterval = Duration.seconds(60)
    /// A peer that was not heard for longer is asked whether it is still there.
    public static let staleAge = Duration.seconds(30 * 60)

    /// A peer in a bucket.
    public struct Entry: Hashable, Sendable {
        public let peer: PeerID
        let place: KademliaKey
        /// The network group of the address over which it was reached; `nil` for local networks, whose peers are not
        /// limited: whoever can be in the operator's own network needs no trick to be there.
        public let group: String?
        public var lastHeard: MonotonicInstant
        /// Requests that failed since it was last heard.
        public var failures: Int
    }

    private struct Bucket: Sendable {
        /// Least recently heard first.
        var entries: [Entry] = []
        /// Who comes in if the one being checked does not answer, and who is being checked.
        var contest: (newcomer: Entry, checked: PeerID)?
    }

    /// What became of a peer that was heard.
    public enum Outcome: Hashable, Sendable {
        case inserted
        /// It was there already, and is now the most recently heard of its bucket.
        case refreshed
        /// Its bucket is full. The caller MUST find out whether this other peer answers, and call
        /// ``checked(_:isAlive:now:)``.
        case full(check: PeerID)
        case refused(Refusal)
    }

    public enum Refusal: Hashable, Sendable, CustomStringConvertible {
        case ourselves
        case groupInBucket(String)
        case groupInTable(String)
        /// The bucket is full of peers that answer.
        case bucketFull

        public var description: String {
            switch self {
            case .ourselves: "this node is not a member of its own table"
            case .groupInBucket(let group): "enough peers of the network \(group) are as far away"
            case .groupInTable(let group): "enough peers of the network \(group) are in the table"
            case .bucketFull: "enough peers that answer are as far away"
            }
        }
    }

    public let ourselves: PeerID
    private let place: KademliaKey
    private let perGroupInBucket: Int
    private let perGroupInTable: Int
    private var buckets: [Bucket]
    private var perGroup: [String: Int] = [:]
    public private(set) var count = 0

    public init(
        of ourselves: PeerID, perGroupInBucket: Int = Self.maximumPerGroupInBucket,
        perGroupInTable: Int = Self.maximumPerGroupInTable
    ) {
        self.ourselves = ourselves
        self.perGroupInBucket = perGroupInBucket
        self.perGroupInTable = perGroupInTable
        self.place = KademliaKey(ourselves)
        self.buckets = Array(repeating: Bucket(), count: KademliaKey.bits)
    }

    /// Takes in a peer that serves the DHT and has just answered, or asked, over an authenticated connection.
    /// - Parameter group: of the address of that connection; `nil` for local networks.
    public mutating func heard(_ peer: PeerID, group: String?, now: MonotonicInstant) -> Outcome {
        guard peer != self.ourselves else { return .refused(.ourselves) }
        let place = KademliaKey(peer)
        let index = self.index(of: place)
        if let position = self.buckets[index].entries.firstIndex(where: { $0.peer == peer }) {
            var entry = self.buckets[index].entries.remove(at: position)
            entry.lastHeard = max(entry.lastHeard, now)
            entry.failures = 0
            self.buckets[index].entries.append(entry)
            if self.buckets[index].contest?.checked == peer { self.buckets[index].contest = nil }
            return .refreshed
        }
        let entry = Entry(peer: peer, place: place, group: group, lastHeard: now, failures: 0)
        if let refusal = self.refusal(of: entry, bucket: index) { return .refused(refusal) }
        guard self.buckets[index].entries.count >= Self.bucketSize else {
            self.insert(entry, bucket: index)
            return .inserted
        }
        guard self.buckets[index].contest == nil, let oldest = self.buckets[index].entries.first,
            now - oldest.lastHeard >= Self.checkInterval || oldest.failures > 0
        else { return .refused(.bucketFull) }
        self.buckets[index].contest = (entry, oldest.peer)
        return .full(check: oldest.peer)
    }

    /// The result of the check that ``Outcome/full(check:)`` asked for.
    public mutating func checked(_ peer: PeerID, isAlive: Bool, now: MonotonicInstant) {
        let index = self.index(of: KademliaKey(peer))
        let contest = self.buckets[index].contest
        guard !isAlive else {
            if let entry = self.entry(of: peer) { _ = self.heard(peer, group: entry.group, now: now) }
            return
        }
        self.remove(peer)
        guard let newcomer = contest?.newcomer, contest?.checked == peer,
            self.entry(of: newcomer.peer) == nil, self.refusal(of: newcomer, bucket: index) == nil,
            self.buckets[index].entries.count < Self.bucketSize
        else { return }
        self.insert(newcomer, bucket: index)
    }

    /// The check came to nothing, and not because of the peer: it stays, and the newcomer stays outside.
    public mutating func unchecked(_ peer: PeerID) {
        let index = self.index(of: KademliaKey(peer))
        if self.buckets[index].contest?.checked == peer { self.buckets[index].contest = nil }
    }

    /// A request to the peer failed, or it could not be reached. The second failure in a row ends its membership.
    public mutating func failed(_ peer: PeerID) {
        let index = self.index(of: KademliaKey(peer))
        guard let position = self.buckets[index].entries.firstIndex(where: { $0.peer == peer }) else { return }
        self.buckets[index].entries[position].failures += 1
        guard self.buckets[index].entries[position].failures >= Self.maximumFailures else { return }
        self.remove(peer)
    }

    /// Ends a membership at once: the peer says that it serves the DHT no longer.
    public mutating func remove(_ peer: PeerID) {
        let index = self.index(of: KademliaKey(peer))
        guard let position = self.buckets[index].entries.firstIndex(where: { $0.peer == peer }) else { return }
        let entry = self.buckets[index].entries.remove(at: position)
        if self.buckets[index].contest?.checked == peer { self.buckets[index].contest = nil }
        self.count -= 1
        guard let group = entry.group, let number = self.perGroup[group] else { return }
        self.perGroup[group] = number > 1 ? number - 1 : nil
    }

    public func contains(_ peer: PeerID) -> Bool { self.entry(of: peer) != nil }

    /// The members that are closest to a place, closest first.
    public func closest(
        to place: KademliaKey, count: Int = Self.bucketSize, except excluded: PeerID? = nil
    ) -> [PeerID] {
        var found: [PeerID] = []
        // Those who share more bits with the place than we do come first, then the buckets of those closer to us, who
        // differ from the place in the very bit in which we do, and then bucket by bucket away from us.
        let shared = min(place.commonPrefixLength(with: self.place), KademliaKey.bits - 1)
        let near = [shared..<(shared + 1), (shared + 1)..<KademliaKey.bits]
        for range in near + stride(from: shared - 1, through: 0, by: -1).map({ $0..<($0 + 1) }) {
            guard found.count < count else { break }
            let members = self.buckets[range].flatMap(\.entries).filter { $0.peer != excluded }
            let sorted = members.map { (peer: $0.peer, distance: $0.place.distance(to: place)) }
                .sorted { $0.distance < $1.distance }
            found.append(contentsOf: sorted.prefix(count - found.count).map(\.peer))
        }
        return found
    }

    /// All members, farthest bucket first.
    public var entries: [Entry] { self.buckets.flatMap(\.entries) }

    /// The members that were not heard for ``staleAge``, longest first.
    public func stale(now: MonotonicInstant) -> [PeerID] {
        self.entries.filter { now - $0.lastHeard >= Self.staleAge }.sorted { $0.lastHeard < $1.lastHeard }.map(\.peer)
    }

    /// The buckets with members: numbers of leading bits in common with us.
    public var usedBuckets: [Int] { self.buckets.indices.filter { !self.buckets[$0].entries.isEmpty } }

    private func index(of place: KademliaKey) -> Int {
        min(place.commonPrefixLength(with: self.place), KademliaKey.bits - 1)
    }

    private func entry(of peer: PeerID) -> Entry? {
        self.buckets[self.index(of: KademliaKey(peer))].entries.first { $0.peer == peer }
    }

    private mutating func insert(_ entry: Entry, bucket: Int) {
        self.buckets[bucket].entries.append(entry)
        self.count += 1
        if let group = entry.group { self.perGroup[group, default: 0] += 1 }
    }

    private func refusal(of entry: Entry, bucket: Int) -> Refusal? {
        guard let group = entry.group else { return nil }
        let inBucket = self.buckets[bucket].entries.count { $0.group == group }
        if inBucket >= self.perGroupInBucket { return .groupInBucket(group) }
        return self.perGroup[group, default: 0] >= self.perGroupInTable ? .groupInTable(group) : nil
    }
}

extension RoutingTable {
    /// Buckets with more bits in common are not refreshed on their own: a look-up of ourselves reaches them, and a key
    /// for them would take more than a thousand hashes to find.
    public static let maximumRefreshedBucket = 9

    /// A key whose place lies in a bucket, to look up for its refreshment: a well-formed SHA-256 multihash, as some
    /// implementations refuse others. `nil` for buckets above ``maximumRefreshedBucket``, and with a chance below one
    /// in a million.
    public func key(inBucket bucket: Int, using random: inout SeededRandom) -> [UInt8]? {
        guard (0...Self.maximumRefreshedBucket).contains(bucket) else { return nil }
        for _ in 0..<(16 << (bucket + 1)) {
            let key = [0x12, 0x20] + random.bytes(32)
            if self.index(of: KademliaKey(hashing: key)) == bucket { return key }
        }
        return nil
    }
}
