// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKademlia
import AltNetPeerRecords
import Testing

/// A peer id that nobody has: the hash of some random key.
func randomPeer(_ random: inout SeededRandom) -> PeerID {
    guard let peer = try? PeerID(bytes: [0x12, 0x20] + random.bytes(32)) else { preconditionFailure() }
    return peer
}

@Suite struct RoutingTableTests {
    private static let start = MonotonicInstant.zero

    @Test func distancesAreThoseOfTheHashesAsNumbers() throws {
        let first = KademliaKey(try PeerID(text: "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"))
        let second = KademliaKey(try PeerID(text: "16Uiu2HAm5hPxT7s3TA2f4b4YjAPzS7yLRSgdj87ysDZ6NAXMiRuY"))
        // 384150… and 461131…: 0011 and 0100.
        #expect(first.commonPrefixLength(with: second) == 1)
        #expect(first.commonPrefixLength(with: first) == 256)
        #expect(first.distance(to: second) == second.distance(to: first))
        #expect(first.distance(to: first) < first.distance(to: second))
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func theTableAgreesWithANaiveModel(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let ourselves = randomPeer(&random)
        var table = RoutingTable(of: ourselves)
        var model = NaiveTable(ourselves: ourselves)
        var now = Self.start
        let peers = (0..<600).map { _ in randomPeer(&random) }
        let groups: [String?] = (0..<80).map { "10.\($0)" } + [nil, nil]
        for step in 0..<6_000 {
            now = now + .milliseconds(Int.random(in: 0...400, using: &random))
            let peer = peers[Int.random(in: peers.indices, using: &random)]
            switch Int.random(in: 0..<10, using: &random) {
            case 0:
                table.failed(peer)
                model.failed(peer)
            case 1 where step.isMultiple(of: 7):
                table.remove(peer)
                model.remove(peer)
            default:
                let group = groups[peers.firstIndex(of: peer).map { $0 % groups.count } ?? 0]
                let outcome = table.heard(peer, group: group, now: now)
                #expect(outcome == model.heard(peer, group: group, now: now), "seed \(seed), step \(step)")
                if case .full(let oldest) = outcome {
                    let isAlive = Bool.random(using: &random)
                    table.checked(oldest, isAlive: isAlive, now: now)
                    model.checked(oldest, isAlive: isAlive, now: now)
                }
            }
            #expect(table.count == model.members.count)
            guard step.isMultiple(of: 50) else { continue }
            let place = KademliaKey(hashing: random.bytes(32))
            let count = Int.random(in: 1...40, using: &random)
            #expect(table.closest(to: place, count: count) == model.closest(to: place, count: count), "seed \(seed)")
            #expect(
                table.closest(to: place, count: 20, except: peer) == model.closest(to: place, count: 20, except: peer))
            #expect(Set(table.entries.map(\.peer)) == Set(model.members.map(\.peer)))
        }
        #expect(table.count > 60)
    }

    @Test func aCheckThatComesToNothingChangesNothingAndMakesWayForTheNext() {
        var random = SeededRandom(seed: 12)
        let ourselves = randomPeer(&random)
        let place = KademliaKey(ourselves)
        // The farthest bucket.
        func stranger() -> PeerID {
            while true {
                let peer = randomPeer(&random)
                if KademliaKey(peer).commonPrefixLength(with: place) == 0 { return peer }
            }
        }
        var table = RoutingTable(of: ourselves)
        let members = (0..<RoutingTable.bucketSize).map { _ in stranger() }
        for peer in members { _ = table.heard(peer, group: nil, now: Self.start) }
        let later = Self.start + RoutingTable.checkInterval
        let newcomers = [stranger(), stranger()]
        #expect(table.heard(newcomers[0], group: nil, now: later) == .full(check: members[0]))
        #expect(table.heard(newcomers[1], group: nil, now: later) == .refused(.bucketFull))
        table.unchecked(members[0])
        #expect(Set(table.entries.map(\.peer)) == Set(members))
        #expect(table.heard(newcomers[1], group: nil, now: later) == .full(check: members[0]))
    }

    @Test func theClosestToOurselvesAreFound() {
        var random = SeededRandom(seed: 11)
        let ourselves = randomPeer(&random)
        var table = RoutingTable(of: ourselves)
        var model = NaiveTable(ourselves: ourselves)
        for _ in 0..<500 {
            let peer = randomPeer(&random)
            _ = table.heard(peer, group: nil, now: Self.start)
            _ = model.heard(peer, group: nil, now: Self.start)
        }
        let place = KademliaKey(ourselves)
        #expect(table.closest(to: place) == model.closest(to: place, count: 20))
        #expect(table.closest(to: place).count == 20)
    }

    @Test func whoAnswersStaysHoweverManyOthersCome() {
        var random = SeededRandom(seed: 21)
        var table = RoutingTable(of: randomPeer(&random))
        for _ in 0..<2_000 { _ = table.heard(randomPeer(&random), group: nil, now: Self.start) }
        let members = Set(table.entries.map(\.peer))
        let later = Self.start + .seconds(120)
        for _ in 0..<2_000 {
            guard case .full(let oldest) = table.heard(randomPeer(&random), group: nil, now: later) else { continue }
            table.checked(oldest, isAlive: true, now: later)
        }
        #expect(members.isSubset(of: Set(table.entries.map(\.peer))))
    }

    @Test func newcomersCannotMakeUsCheckTheSamePeersAgainAndAgain() {
        var random = SeededRandom(seed: 22)
        var table = RoutingTable(of: randomPeer(&random))
        for _ in 0..<2_000 { _ = table.heard(randomPeer(&random), group: nil, now: Self.start) }
        let later = Self.start + .seconds(120)
        var checks = 0
        for _ in 0..<5_000 {
            guard case .full(let oldest) = table.heard(randomPeer(&random), group: nil, now: later) else { continue }
            table.checked(oldest, isAlive: true, now: later)
            checks += 1
        }
        #expect(checks > 0)
        #expect(checks <= table.count)
    }

    @Test func anAttackerWithFewNetworksGetsFewPlacesHoweverManyIdsItMakes() {
        var random = SeededRandom(seed: 31)
        let ourselves = randomPeer(&random)
        var table = RoutingTable(of: ourselves)
        let attackers = ["192.0", "198.51", "203.0"]
        // It knows our id, and takes ids closest to it first.
        let ids = (0..<20_000).map { _ in randomPeer(&random) }.map {
            (peer: $0, distance: KademliaKey($0).distance(to: KademliaKey(ourselves)))
        }.sorted { $0.distance < $1.distance }.map(\.peer)
        for (number, peer) in ids.enumerated() {
            _ = table.heard(peer, group: attackers[number % attackers.count], now: Self.start)
        }
        #expect(table.count <= attackers.count * RoutingTable.maximumPerGroupInTable)
        // Those who came later from many networks still find room.
        var honest: Set<PeerID> = []
        for number in 0..<300 {
            let peer = randomPeer(&random)
            if table.heard(peer, group: "\(number).1", now: Self.start) == .inserted { honest.insert(peer) }
        }
        let closest = table.closest(to: KademliaKey(ourselves))
        #expect(closest.count == RoutingTable.bucketSize)
        // Three networks with three peers each: all are closer to us than any honest peer, and eleven places are left.
        #expect(closest.filter(honest.contains).count == 11)
        let refusal = table.heard(randomPeer(&random), group: "192.0", now: Self.start)
        guard case .refused = refusal else {
            Issue.record("another peer of a network with enough peers was taken: \(refusal)")
            return
        }
    }

    @Test func aBucketIsRefreshedWithAKeyThatLiesInIt() throws {
        var random = SeededRandom(seed: 41)
        let ourselves = randomPeer(&random)
        let table = RoutingTable(of: ourselves)
        for bucket in 0...RoutingTable.maximumRefreshedBucket {
            let key = try #require(table.key(inBucket: bucket, using: &random))
            #expect(KademliaKey(hashing: key).commonPrefixLength(with: KademliaKey(ourselves)) == bucket)
            // Others take well-formed peer ids only.
            _ = try PeerID(bytes: key)
        }
        #expect(table.key(inBucket: RoutingTable.maximumRefreshedBucket + 1, using: &random) == nil)
    }
}

/// The rules of the table, one list and no cleverness.
private struct NaiveTable {
    struct Member {
        let peer: PeerID
        let group: String?
        let bucket: Int
        var heard: MonotonicInstant
        var failures = 0
    }

    let ourselves: PeerID
    /// Least recently heard first.
    var members: [Member] = []
    var contests: [Int: (newcomer: Member, checked: PeerID)] = [:]

    func bucket(_ peer: PeerID) -> Int { KademliaKey(peer).commonPrefixLength(with: KademliaKey(self.ourselves)) }

    mutating func heard(_ peer: PeerID, group: String?, now: MonotonicInstant) -> RoutingTable.Outcome {
        let bucket = self.bucket(peer)
        if let index = self.members.firstIndex(where: { $0.peer == peer }) {
            var member = self.members.remove(at: index)
            member.heard = now
            member.failures = 0
            self.members.append(member)
            if self.contests[bucket]?.checked == peer { self.contests[bucket] = nil }
            return .refreshed
        }
        if let refusal = self.refusal(group, bucket) { return .refused(refusal) }
        let inBucket = self.members.filter { $0.bucket == bucket }
        let newcomer = Member(peer: peer, group: group, bucket: bucket, heard: now)
        if inBucket.count < 20 {
            self.members.append(newcomer)
            return .inserted
        }
        let oldest = inBucket[0]
        guard self.contests[bucket] == nil, now - oldest.heard >= .seconds(60) || oldest.failures > 0 else {
            return .refused(.bucketFull)
        }
        self.contests[bucket] = (newcomer, oldest.peer)
        return .full(check: oldest.peer)
    }

    mutating func checked(_ peer: PeerID, isAlive: Bool, now: MonotonicInstant) {
        let bucket = self.bucket(peer)
        let contest = self.contests[bucket]
        if isAlive {
            _ = self.heard(peer, group: nil, now: now)
            return
        }
        self.remove(peer)
        if let contest, self.refusal(contest.newcomer.group, bucket) == nil { self.members.append(contest.newcomer) }
    }

    mutating func failed(_ peer: PeerID) {
        guard let index = self.members.firstIndex(where: { $0.peer == peer }) else { return }
        self.members[index].failures += 1
        if self.members[index].failures == 2 { self.remove(peer) }
    }

    mutating func remove(_ peer: PeerID) {
        guard self.members.contains(where: { $0.peer == peer }) else { return }
        self.members.removeAll { $0.peer == peer }
        if self.contests[self.bucket(peer)]?.checked == peer { self.contests[self.bucket(peer)] = nil }
    }

    func closest(to place: KademliaKey, count: Int, except: PeerID? = nil) -> [PeerID] {
        Array(
            self.members.map(\.peer).filter { $0 != except }
                .sorted { KademliaKey($0).distance(to: place) < KademliaKey($1).distance(to: place) }.prefix(count))
    }

    private func refusal(_ group: String?, _ bucket: Int) -> RoutingTable.Refusal? {
        guard let group else { return nil }
        let same = self.members.filter { $0.group == group }
        if same.filter({ $0.bucket == bucket }).count >= 2 { return .groupInBucket(group) }
        return same.count >= 3 ? .groupInTable(group) : nil
    }
}
