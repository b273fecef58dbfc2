// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import AltNetTestKit
import Foundation
import Testing

@testable import AltNetPeerStore

/// Floods of what costs an attacker nothing, against a store with good entries of every kind.
@Suite("Floods against a peer store")
struct PeerAttackTests {
    private static let capacity = 2_000

    /// The entries that must survive.
    private struct Good {
        var user: [PeerID] = [], reached: [PeerID] = [], told: [PeerID] = []
        var certified: [PeerPrivateKey] = []

        var all: [PeerID] { self.user + self.reached + self.told + self.certified.map(\.peerID) }
    }

    private static func fill(_ store: any PeerStoring) throws -> Good {
        var good = Good()
        for number in 0..<50 {
            good.user.append(try Sample.peer(number))
            #expect(
                try store.learn(Sample.told(try Sample.peer(number), [try Sample.address(number)], .user)) == .stored)
        }
        for number in 100..<300 {
            let peer = try Sample.peer(number)
            good.reached.append(peer)
            #expect(try store.learn(.connected(peer, try Sample.address(number), latency: .seconds(1))) == .stored)
        }
        // Fifty honest corners of the network told of ten peers each, and brought two records each.
        for number in 1_000..<1_500 {
            good.told.append(try Sample.peer(number))
            let news = Sample.told(
                try Sample.peer(number), [try Sample.address(number)], for: Sample.day, by: "honest \(number % 50)")
            #expect(try store.learn(news) == .stored)
        }
        for number in 0..<100 {
            let key = try Sample.key(2_000 + number)
            good.certified.append(key)
            let news = try Sample.record(key, 1, [try Sample.address(number)], toldBy: "honest \(number % 50)")
            #expect(try store.learn(news) == .stored)
        }
        return good
    }

    private static func expectAlive(_ good: Good, in store: any PeerStoring) throws {
        let known = try store.known(Array(good.all), now: Sample.start)
        #expect(known.map(\.id) == good.all)
        #expect(known.allSatisfy { !$0.addresses.isEmpty })
        #expect(known.suffix(good.certified.count).allSatisfy { $0.record != nil })
        let counts = try store.counts()
        #expect(counts.used <= counts.capacity && counts.capacity == Self.capacity)
    }

    /// Forged addresses of peers that nobody has, in pieces of a hundred, from a few corners of the network.
    private static func forge(_ addresses: Int, against store: any PeerStoring, seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for start in stride(from: 0, to: addresses, by: 10_000) {
            let news = try (0..<100).map { number -> PeerNews in
                let peer = try PeerID(bytes: [0x12, 32] + random.bytes(32))
                // In all the network groups there are.
                let lies = (0..<100).map { _ in
                    Multiaddress(
                        checkedBefore: [4, UInt8.random(in: 20...100, using: &random)] + random.bytes(3) + [6, 9, 9])
                }
                let group = (start / 10_000 + number) % 4
                return Sample.told(peer, lies, for: Sample.day, by: group == 0 ? nil : "attacker \(group)")
            }
            _ = try store.learn(news, now: Sample.start)
        }
    }

    @Test("a million forged addresses push out nothing good, and cost a bounded amount")
    func forgedInMemory() async throws {
        try await onThread { try Self.forgedInMemory() }
    }

    private static func forgedInMemory() throws {
        let store = try StoreKind.memory.make(capacity: Self.capacity)
        let good = try Self.fill(store)
        try Self.forge(1_000_000, against: store, seed: 1)
        try Self.expectAlive(good, in: store)
        // And who comes to it late still finds room.
        let late = Sample.told(try Sample.peer(9_999), [try Sample.address(1)], for: Sample.day, by: "late")
        #expect(try store.learn(late) == .stored)
        try Self.expectAlive(good, in: store)
    }

    @Test("forged addresses on a disk fill no more of it than the capacity allows")
    func forgedOnDisk() async throws {
        try await onThread { try Self.forgedOnDisk() }
    }

    private static func forgedOnDisk() throws {
        let directory = TemporaryDirectory.make()
        let store = try StoreKind.sqlite.make(capacity: Self.capacity, in: directory)
        let good = try Self.fill(store)
        try Self.forge(200_000, against: store, seed: 2)
        let size = try Self.size(directory)
        try Self.forge(200_000, against: store, seed: 3)
        try Self.expectAlive(good, in: store)
        // With the write-ahead log, which is written back at 16 MiB.
        #expect(try Self.size(directory) < size + size / 10)
        #expect(try Self.size(directory) < 2 * Self.capacity * PeerLedger.unitSize + (17 << 20))
    }

    private static func size(_ directory: String) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: directory).reduce(0) { sum, name in
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(directory)/\(name)")
            return sum + ((attributes[.size] as? NSNumber)?.intValue ?? 0)
        }
    }

    @Test("nor do peers with fresh keys that sign their own records", arguments: StoreKind.allCases)
    func freshKeys(kind: StoreKind) async throws {
        try await onThread { try Self.freshKeys(kind) }
    }

    private static func freshKeys(_ kind: StoreKind) throws {
        let store = try kind.make(capacity: Self.capacity)
        let good = try Self.fill(store)
        let addresses = try (0..<PeerRecord.maximumAddresses).map { try Sample.address($0) }
        for number in 0..<3_000 {
            let key = try Sample.key(100_000 + number)
            // The largest that there are, among others.
            let record = try Sample.record(
                key, .max - 1, number % 3 == 0 ? addresses : [addresses[number % 100]], toldBy: "attacker \(number % 3)"
            )
            _ = try store.learn(record)
        }
        try Self.expectAlive(good, in: store)
    }

    @Test("nor do a thousand peers on a few machines to which we connect", arguments: StoreKind.allCases)
    func reached(kind: StoreKind) async throws {
        try await onThread { try Self.reached(kind) }
    }

    private static func reached(_ kind: StoreKind) throws {
        let store = try kind.make(capacity: Self.capacity)
        let good = try Self.fill(store)
        for number in 0..<3_000 {
            let peer = try Sample.peer(100_000 + number)
            let address = try Sample.address("/ip4/66.\(number % 2).0.1/tcp/\(1 + number)")
            _ = try store.learn(.connected(peer, address, latency: .seconds(1)))
        }
        try Self.expectAlive(good, in: store)
        let limit = 2 * PeerLedger(capacity: Self.capacity, salt: 0).provenBucketCapacity
        #expect(try store.counts().proven == good.reached.count + limit)
    }

    /// Everything that makes an entry larger: a full record, and long addresses over an authenticated connection.
    private static func grow(_ key: PeerPrivateKey, in store: any PeerStoring) throws -> [NewsOutcome] {
        var random = SeededRandom(seed: UInt64(key.peerID.bytes.last ?? 0))
        let name = String(repeating: "long-name.", count: 80)
        let addresses = try (0..<100).map { try Sample.address($0) }
        return try (0..<5).flatMap { round in
            try store.learn(
                [
                    Sample.record(key, UInt64(round), addresses, toldBy: "attacker"),
                    Sample.told(
                        key.peerID,
                        (0..<28).map { _ in
                            try Multiaddress(text: "/ip4/6.6.6.6/tcp/443/http-path/\(name)\(random.next())")
                        }, .identify, by: "attacker"),
                ], now: Sample.start)
        }
    }

    @Test("nor do peers that grow after we connected to them", arguments: StoreKind.allCases)
    func grown(kind: StoreKind) async throws {
        try await onThread { try Self.grown(kind) }
    }

    private static func grown(_ kind: StoreKind) throws {
        let store = try kind.make(capacity: Self.capacity)
        let good = try Self.fill(store)
        let ledger = PeerLedger(capacity: Self.capacity, salt: 0)
        // As many as are taken for proven, in one network group, each as small as can be.
        let keys = try (0..<ledger.provenBucketCapacity).map { try Sample.key(300_000 + $0) }
        for (number, key) in keys.enumerated() {
            let address = try Sample.address("/ip4/66.1.0.1/tcp/\(1 + number)")
            #expect(try store.learn(.connected(key.peerID, address, latency: .seconds(1))) == .stored)
        }
        let proven = try store.counts()
        #expect(proven.proven == good.reached.count + keys.count)
        for key in keys { #expect(try Self.grow(key, in: store).allSatisfy { $0.code == .noRoom }) }
        #expect(try store.counts() == proven)
        try Self.expectAlive(good, in: store)
        // One alone takes what its group may have, and no more.
        for key in keys.dropFirst() { _ = try store.forget(key.peerID) }
        #expect(try Self.grow(keys[0], in: store).contains(.stored))
        #expect(try store.counts().used <= proven.used)
        try Self.expectAlive(good, in: store)
    }

    @Test("nor do typed peers that say much, nor do they take the operator's room", arguments: StoreKind.allCases)
    func grownTyped(kind: StoreKind) async throws {
        try await onThread { try Self.grownTyped(kind) }
    }

    private static func grownTyped(_ kind: StoreKind) throws {
        let store = try kind.make(capacity: Self.capacity)
        let good = try Self.fill(store)
        let ledger = PeerLedger(capacity: Self.capacity, salt: 0)
        let keys = try (0..<20).map { try Sample.key(300_000 + $0) }
        for key in keys {
            #expect(try store.learn(Sample.told(key.peerID, [try Sample.address(1)], .user)) == .stored)
        }
        let before = try store.counts().used
        for key in keys { _ = try Self.grow(key, in: store) }
        let typed = good.user.count + keys.count
        #expect(try store.counts().used <= before + ledger.userGrowthCapacity - typed)
        try Self.expectAlive(good, in: store)
        // There is room for as many more as there was before, but for the growth.
        for number in 0..<(ledger.userCapacity - ledger.userGrowthCapacity) {
            let news = Sample.told(try Sample.peer(400_000 + number), [try Sample.address(1)], .user)
            #expect(try store.learn(news) == .stored)
        }
    }

    @Test("of those that nobody vouches for, whoever told most gives way", arguments: StoreKind.allCases)
    func shares(kind: StoreKind) throws {
        let store = try kind.make(capacity: 100)
        func tell(_ numbers: Range<Int>, by group: String) throws -> [NewsOutcome] {
            try numbers.map { number in
                try store.learn(
                    Sample.told(try Sample.peer(number), [try Sample.address(number)], for: Sample.day, by: group))
            }
        }
        #expect(try tell(0..<100, by: "first").allSatisfy { $0 == .stored })
        // Nobody makes room for more of the same.
        #expect(try tell(100..<200, by: "first").allSatisfy { $0.code == .noRoom })
        #expect(try tell(200..<300, by: "second").count { $0 == .stored } == 50)
        #expect(try tell(300..<400, by: "third").count { $0 == .stored } == 33)
        #expect(try store.counts().used == 100)
        // The operator and success always find room.
        let user = try (400..<410).map { Sample.told(try Sample.peer($0), [try Sample.address($0)], .user) }
        #expect(try store.learn(user, now: Sample.start).allSatisfy { $0 == .stored })
        #expect(try store.learn(Sample.told(try Sample.peer(410), [try Sample.address(1)], .user)).code == .noRoom)
        for number in 500..<600 {
            let news = PeerNews.connected(try Sample.peer(number), try Sample.address(250 * number), latency: .zero)
            _ = try store.learn(news)
        }
        let counts = try store.counts()
        #expect(counts.user == 10 && counts.used == 100 && counts.proven == 50)
    }

    @Test("a lowered capacity takes effect step by step")
    func lowered() throws {
        let directory = TemporaryDirectory.make()
        do {
            let store = try StoreKind.sqlite.make(capacity: 1_000, in: directory)
            for number in 0..<1_000 {
                #expect(
                    try store.learn(Sample.told(try Sample.peer(number), [try Sample.address(number)], by: "a"))
                        == .stored)
            }
        }
        let store = try StoreKind.sqlite.make(capacity: 100, in: directory)
        for number in 2_000..<2_010 {
            #expect(
                try store.learn(Sample.told(try Sample.peer(number), [try Sample.address(number)], by: "b")) == .stored)
        }
        #expect(try store.counts().used == 100)
    }
}
