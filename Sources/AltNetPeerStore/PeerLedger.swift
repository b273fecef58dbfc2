// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// Where a peer stands in the order of eviction.
struct Place: Hashable, Sendable {
    var standing: Standing
    /// Among unproven peers the bucket of who told of them first, among proven ones that of where they are.
    var bucket: UInt16
    /// Decides within a bucket: the lowest goes first. Nobody outside can know or choose it.
    let lot: UInt64
    /// How much room it takes (``PeerLedger/unitSize``).
    var units: Int
    /// When a sweep has to look at it again; nil: never.
    var due: WallClockTime?

    /// Whether a sweep has to look at it now: also when the time was written by a clock that was ahead.
    static func isDue(_ due: WallClockTime?, _ now: WallClockTime) -> Bool {
        guard let due else { return false }
        return due <= now || now >= PeerRules.earliestClock && due > now + PeerRules.longestDue
    }
}

/// A peer as it stands in a table.
struct PeerRow: Hashable, Sendable {
    /// The table's own number for the row; 0 when it is not there yet.
    var number: Int64 = 0
    var place: Place
    var entry: PeerEntry
}

/// What the ledger needs of whatever holds the rows. Reads see the writes before them.
protocol PeerTable {
    mutating func row(of peer: PeerID) throws -> PeerRow?
    /// `was`: the row as it is now. `encoded`: the new entry's bytes.
    mutating func write(_ row: PeerRow, of peer: PeerID, encoded: [UInt8], was: PeerRow?) throws
    mutating func remove(_ peer: PeerID, _ row: PeerRow) throws
    /// The unproven peer of the bucket with the lowest lot.
    mutating func victim(bucket: UInt16, except peer: PeerID) throws -> (peer: PeerID, number: Int64, place: Place)?
    mutating func evict(_ peer: PeerID, number: Int64, _ place: Place) throws
}

/// Decides who gets room: the rule of eviction, without a disk.
///
/// Everything costs the same whatever the number of peers, apart from one look into a table with
/// ``bucketCount`` numbers.
struct PeerLedger: Hashable, Sendable {
    /// The corners of the network among which the room is shared: as many as Bitcoin Core's address manager has for new
    /// addresses. Corners are put into buckets with a secret number, so that nobody can aim at somebody's bucket.
    static let bucketCount = 1_024
    /// A peer of whom up to so many bytes are stored takes one unit of room, one of twice as many takes two.
    static let unitSize = 1_024

    /// The most units; the same as peers, when they are of ordinary size.
    let capacity: Int
    private let salt: UInt64
    private var unproven = [Int](repeating: 0, count: Self.bucketCount)
    private var proven = [Int](repeating: 0, count: Self.bucketCount)
    /// Units and peers by standing.
    private(set) var units = [0, 0, 0]
    private(set) var peers = [0, 0, 0]

    init(capacity: Int, salt: UInt64) {
        self.capacity = capacity
        self.salt = salt
    }

    /// The room of what the operator typed; beyond it, typing is refused.
    var userCapacity: Int { max(1, self.capacity / 10) }
    /// Up to where entries of the operator's peers may grow by what others say.
    var userGrowthCapacity: Int { max(1, self.userCapacity / 2) }
    /// The room of peers that we reached; beyond it, they are as good as others.
    var provenCapacity: Int { max(1, self.capacity / 2) }
    /// Of these, those of one bucket, so that one address with many keys is no more than one of many.
    var provenBucketCapacity: Int { max(1, self.capacity / 64) }

    private var total: Int { self.units[0] + self.units[1] + self.units[2] }

    // MARK: - Buckets

    func bucket(_ group: String) -> UInt16 {
        UInt16(truncatingIfNeeded: self.mix(group.utf8) % UInt64(Self.bucketCount))
    }

    /// The bucket of who told news.
    func teller(_ origin: NewsOrigin?, _ source: AddressSources) -> UInt16 {
        self.bucket(origin.map { "g\($0.networkGroup)" } ?? "s\(source.rawValue)")
    }

    /// Below 2^63, so that it sorts alike where numbers have signs.
    private func lot(_ peer: PeerID) -> UInt64 { self.mix(peer.bytes) >> 1 }

    private func mix(_ bytes: some Collection<UInt8>) -> UInt64 {
        var state = self.salt
        for byte in bytes {
            var random = SeededRandom(seed: state ^ UInt64(byte))
            state = random.next()
        }
        return state
    }

    // MARK: - Counting

    /// Takes a row into account, or out of it.
    mutating func count(_ place: Place, sign: Int = 1) {
        self.count(place.standing, place.bucket, peers: sign, units: sign * place.units)
    }

    /// Takes the rows of one bucket into account, when a store is opened.
    mutating func count(_ standing: Standing, _ bucket: UInt16, peers: Int, units: Int) {
        let row = Int(standing.rawValue)
        let column = Int(bucket) % Self.bucketCount
        self.units[row] += units
        self.peers[row] += peers
        switch standing {
        case .unproven: self.unproven[column] += units
        case .proven: self.proven[column] += units
        case .user: break
        }
    }

    // MARK: - Writing

    /// Puts a peer's new entry into the table if there is room, and removes others where the rule says so.
    ///
    /// - Returns: why not, if not; the table and the ledger are then as they were.
    mutating func settle(
        _ entry: PeerEntry, of peer: PeerID, was: PeerRow?, now: WallClockTime, in table: inout some PeerTable
    ) throws -> PeerNewsRefusal? {
        if entry.isEmpty {
            if let was { try self.remove(peer, was, in: &table) }
            return nil
        }
        let encoded = entry.encoded
        let units = 1 + (encoded.count - 1) / Self.unitSize
        var place = Place(
            standing: .unproven, bucket: entry.teller, lot: was?.place.lot ?? self.lot(peer), units: units,
            due: entry.due(now))
        if let was { self.count(was.place, sign: -1) }
        var isSettled = false
        defer { if !isSettled, let was { self.count(was.place) } }
        switch self.standing(entry, units, was, now) {
        case .unproven: break
        case .proven(let bucket): (place.standing, place.bucket) = (.proven, bucket)
        case .user: (place.standing, place.bucket) = (.user, 0)
        case .refused(let refusal): return refusal
        }
        // What shrinks or stays needs no room.
        if units > was?.place.units ?? 0, let refusal = try self.makeRoom(for: place, of: peer, in: &table) {
            return refusal
        }
        self.count(place)
        isSettled = true
        try table.write(
            PeerRow(number: was?.number ?? 0, place: place, entry: entry), of: peer, encoded: encoded, was: was)
        return nil
    }

    mutating func remove(_ peer: PeerID, _ row: PeerRow, in table: inout some PeerTable) throws {
        self.count(row.place, sign: -1)
        try table.remove(peer, row)
    }

    private enum Grant {
        case unproven
        case proven(bucket: UInt16)
        case user
        case refused(PeerNewsRefusal)
    }

    /// What the entry may be, with the peer itself not counted.
    private func standing(_ entry: PeerEntry, _ units: Int, _ was: PeerRow?, _ now: WallClockTime) -> Grant {
        switch entry.standing(now) {
        case .unproven: return .unproven
        case .proven:
            if let place = was?.place, place.standing == .proven {
                // Refused rather than made evictable: third parties can make an entry grow.
                guard units <= place.units || self.isRoomForProven(units, place.bucket) else {
                    return .refused(Self.noRoomToGrow)
                }
                return .proven(bucket: place.bucket)
            }
            guard let proof = entry.proof(now) else { return .unproven }
            let bucket = self.bucket(proof.address.networkGroup)
            return self.isRoomForProven(units, bucket) ? .proven(bucket: bucket) : .unproven
        case .user:
            let taken = self.units[Int(Standing.user.rawValue)] + units
            if let was, was.place.standing == .user {
                if units <= was.place.units { return .user }
                // What others say must not take the room for what the operator still wants to type.
                guard entry.userAddresses > was.entry.userAddresses || taken <= self.userGrowthCapacity else {
                    return .refused(Self.noRoomToGrow)
                }
            }
            guard taken <= self.userCapacity else {
                return .refused(
                    PeerNewsRefusal(
                        .noRoom, "no more than \(self.userCapacity) peers that you typed are kept; forget some"))
            }
            return .user
        }
    }

    private func isRoomForProven(_ units: Int, _ bucket: UInt16) -> Bool {
        self.units[Int(Standing.proven.rawValue)] + units <= self.provenCapacity
            && self.proven[Int(bucket)] + units <= self.provenBucketCapacity
    }

    private static let noRoomToGrow = PeerNewsRefusal(
        .noRoom, "the peer store has no room for more about peers that are never evicted")

    /// Evicts until the newcomer fits. An unproven one takes room only from buckets that hold more than its own.
    private mutating func makeRoom(
        for place: Place, of peer: PeerID, in table: inout some PeerTable
    ) throws -> PeerNewsRefusal? {
        // After the capacity was lowered there may be far more to remove; later newcomers do the rest.
        var missing = min(self.total + place.units - self.capacity, Self.maximumEvictions)
        guard missing > 0 else { return nil }
        let own = place.standing == .unproven ? self.unproven[Int(place.bucket)] + place.units : 0
        // What others hold beyond the newcomer's bucket. If that is enough, every step below finds a larger bucket.
        let spare = self.unproven.reduce(0) { $0 + max(0, $1 - own) }
        guard spare >= missing else {
            return PeerNewsRefusal(.noRoom, "the peer store is full of peers that are known as well or better")
        }
        while missing > 0 {
            guard let largest = self.unproven.indices.max(by: { self.unproven[$0] < self.unproven[$1] }),
                let victim = try table.victim(bucket: UInt16(largest), except: peer)
            else { throw EntryDamaged() }
            missing -= victim.place.units
            self.count(victim.place, sign: -1)
            try table.evict(victim.peer, number: victim.number, victim.place)
        }
        return nil
    }

    /// The most peers that one newcomer pushes out: more units than any peer can have.
    private static let maximumEvictions = 256
}
