// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords
internal import AltNetPeerStore
internal import AltNetTestKit
internal import Crypto
internal import Foundation
internal import GRDB
internal import Glibc

/// The peer store on a disk, beside the bare signature check of the same records.
enum PeerStoreBench {
    /// One transaction.
    private static let batch = 1_000
    /// One transaction where growth is measured: so few that they meet on one page of the file in no store.
    private static let smallBatch = 10
    private static let addressesPerPeer = 10
    private static let now = WallClockTime(seconds: 1_800_000_000)

    /// A record and what its signature covers.
    private struct Sample {
        let peer: PeerID
        let address: Multiaddress
        let envelope: [UInt8]
        let key: [UInt8]
        let message: [UInt8]
        let signature: [UInt8]
    }

    static func run() throws {
        let records = try (0..<20_000).map { try Self.sample($0, addresses: 4) }
        try Self.verification(records)
        var costs: [(peers: Int, cost: Cost)] = []
        let trees = try [1_000, 100_000].map { try Self.bareTree(of: $0) }
        // All are filled before one is measured, so that each finds the same memory.
        let stores = try [1_000, 10_000, 100_000].map { try Self.fill($0) }
        for store in stores { costs.append((store.ids.count, try Self.measure(store))) }
        if let largest = stores.last { try Self.replacement(in: largest) }
        Self.growth(costs, ofBareTree: trees[1].processor / trees[0].processor)
    }

    // MARK: - Records against signatures

    private static func verification(_ records: [Sample]) throws {
        var (bare, stored) = (Double.infinity, Double.infinity)
        var valid = 0
        // In turn, so that both see the same machine.
        for _ in 0..<3 {
            bare = min(bare, try Stopwatch.once { valid += try Self.valid(records) })
            let store = try PeerStore(directory: TemporaryDirectory.make())
            stored = min(
                stored,
                try Stopwatch.once {
                    for start in stride(from: 0, to: records.count, by: Self.batch) {
                        try Self.learn(records[start..<start + Self.batch], in: store)
                    }
                })
        }
        precondition(valid == 3 * records.count)
        let count = Double(records.count)
        Figure.print("peer records: bare signature checks", count / bare, "records/s")
        Figure.print("peer records: verified and stored", count / stored, "records/s")
        Figure.print(
            "peer records: time to verify and store", stored / bare, "bare signature checks", atMost: 1.5,
            of: "the check of the signature, and half as much for everything else")
    }

    /// How many signatures are right.
    private static func valid(_ records: some Collection<Sample>) throws -> Int {
        try records.count { record in
            try Curve25519.Signing.PublicKey(rawRepresentation: record.key)
                .isValidSignature(record.signature, for: record.message)
        }
    }

    /// New records with other addresses, of peers all over a store that is full of them: each has to find its row on a page
    /// of its own, and rewrite it.
    private static func replacement(in filled: Filled) throws {
        let peers = filled.ids.count
        let store = try PeerStore(directory: filled.directory, settings: PeerStoreSettings(capacity: 10 * peers))
        var random = SeededRandom(seed: 6)
        let count = 5 * Self.batch
        var (bare, stored) = (Double.infinity, Double.infinity)
        for round in 1...3 {
            let records = try (0..<peers).shuffled(using: &random).prefix(count).map {
                try Self.sample($0, addresses: Self.addressesPerPeer, replacing: UInt64(round))
            }
            var valid = 0
            bare = min(bare, try Stopwatch.once { valid = try Self.valid(records) })
            precondition(valid == count)
            stored = min(
                stored,
                try Stopwatch.once {
                    for start in stride(from: 0, to: count, by: Self.batch) {
                        try Self.learn(records[start..<start + Self.batch], in: store)
                    }
                })
        }
        Figure.print(
            "peer records: verified and replaced among \(peers) peers", Double(count) / stored, "records/s")
        Figure.print(
            "peer records: time to verify and replace among \(peers) peers", stored / bare, "bare signature checks")
    }

    private static func learn(_ records: some Collection<Sample>, in store: PeerStore) throws {
        let outcomes = try store.learn(
            records.map { .record(envelope: $0.envelope, source: .dht, about: $0.peer) }, now: Self.now)
        precondition(outcomes.allSatisfy { $0 == .stored })
    }

    // MARK: - A store of some size

    /// Seconds for one operation, best of several rounds.
    private struct Time {
        /// On the clock, which runs while the disk and other programs work.
        var clock = Double.infinity
        /// Of this process, in programs and in the system.
        var processor = Double.infinity

        func divided(by count: Int) -> Time {
            Time(clock: self.clock / Double(count), processor: self.processor / Double(count))
        }

        static func best(of runs: Int, _ body: () throws -> Void) rethrows -> Time {
            var best = Time()
            for _ in 0..<runs { best.take(try Self.once(body)) }
            return best
        }

        static func once(_ body: () throws -> Void) rethrows -> Time {
            let before = Glibc.clock()
            let seconds = try Stopwatch.once(body)
            return Time(clock: seconds, processor: Double(Glibc.clock() - before) / Double(CLOCKS_PER_SEC))
        }

        mutating func take(_ other: Time) {
            self.clock = min(self.clock, other.clock)
            self.processor = min(self.processor, other.processor)
        }
    }

    private struct Cost {
        var lookUp = Time(), batchOfRecords = Time(), newPeer = Time(), change = Time(), eviction = Time()
    }

    private struct Filled {
        let directory: String
        let ids: [PeerID]
        /// The first address of each.
        let addresses: [PeerID: Multiaddress]
    }

    private static func fill(_ peers: Int) throws -> Filled {
        let directory = TemporaryDirectory.make()
        var (ids, addresses): ([PeerID], [PeerID: Multiaddress]) = ([], [:])
        do {
            let store = try PeerStore(directory: directory, settings: PeerStoreSettings(capacity: peers))
            for start in stride(from: 0, to: peers, by: Self.batch) {
                let records = try (start..<start + Self.batch).map {
                    try Self.sample($0, addresses: Self.addressesPerPeer)
                }
                try Self.learn(records, in: store)
                ids += records.map(\.peer)
                for record in records { addresses[record.peer] = record.address }
            }
        }
        if peers == 100_000 {
            Figure.print("peer store: file of 100,000 peers with 10 addresses", Self.fileSize(directory), "MB")
            try Self.inFreshProcess(directory)
        }
        return Filled(directory: directory, ids: ids, addresses: addresses)
    }

    private static func measure(_ filled: Filled) throws -> Cost {
        let (directory, ids, peers) = (filled.directory, filled.ids, filled.ids.count)
        var cost = Cost()
        var opened: PeerStore?
        let start = try Stopwatch.once {
            opened = try PeerStore(directory: directory, settings: PeerStoreSettings(capacity: 10 * peers))
        }
        guard let store = opened else { return cost }
        var random = SeededRandom(seed: 5)
        let asked = (0..<20_000).map { _ in ids.randomElement(using: &random) ?? ids[0] }
        cost.lookUp =
            try Time.best(of: 3) {
                for id in asked {
                    let known = try store.known([id], now: Self.now)
                    precondition(known.count == 1)
                }
            }.divided(by: asked.count)
        let many = Array(ids.shuffled(using: &random).prefix(Self.batch))
        cost.batchOfRecords = try Time.best(of: 10) {
            let told = try store.signedPeerRecords(of: many, to: nil, now: Self.now)
            precondition(told.count == many.count && told.allSatisfy { $0.envelope != nil })
        }
        cost.change = try Self.best(in: store) {
            asked.prefix(5_000).compactMap { id in filled.addresses[id].map { .connected(id, $0, latency: .zero) } }
        }
        cost.newPeer = try Self.best(in: store) {
            (0..<1_000).map { _ in
                .addresses(
                    Self.stranger(&random), [Self.address(random.next())], source: .dht, lifetime: .seconds(3_600))
            }
        }
        if peers == 100_000 {
            Figure.print("peer store: look-ups of one peer at 1,000,000 addresses", 1 / cost.lookUp.clock, "look-ups/s")
            Figure.print("peer store: 1,000 records in one query", cost.batchOfRecords.clock * 1_000, "ms")
            Figure.print("peer store: start with 100,000 peers", start * 1_000, "ms")
        }
        cost.eviction = try Self.evictions(&random, of: peers)
        return cost
    }

    /// A full store in which each newcomer pushes somebody else out.
    private static func evictions(_ random: inout SeededRandom, of peers: Int) throws -> Time {
        let store = try PeerStore(
            directory: TemporaryDirectory.make(), settings: PeerStoreSettings(capacity: peers))
        func news(_ count: Int, _ group: (Int) -> String) -> [PeerNews] {
            (0..<count).map { number in
                .addresses(
                    Self.stranger(&random), (0..<Self.addressesPerPeer).map { _ in Self.address(random.next()) },
                    source: .identify, lifetime: .seconds(3_600), toldBy: NewsOrigin(networkGroup: group(number)))
            }
        }
        for _ in stride(from: 0, to: peers, by: Self.batch) {
            _ = try store.learn(news(Self.batch) { _ in "flood" }, now: Self.now)
        }
        // Few enough that the flood stays the fullest bucket.
        return try Self.best(in: store) { news(peers / 10) { "\($0 % 250)" } }
    }

    /// For one piece of news.
    private static func best(in store: PeerStore, of news: () -> [PeerNews]) throws -> Time {
        var best = Time()
        for _ in 0..<3 {
            let news = news()
            var stored = 0
            let time = try Time.once {
                for start in stride(from: 0, to: news.count, by: Self.smallBatch) {
                    let some = Array(news[start..<min(start + Self.smallBatch, news.count)])
                    stored += try store.learn(some, now: Self.now).count { $0 == .stored }
                }
            }
            // Few corners may share the bucket of the flood.
            precondition(100 * stored >= 95 * news.count)
            best.take(time.divided(by: news.count))
        }
        return best
    }

    // MARK: - Growth

    /// A look-up in nothing but a tree of SQLite with rows of the same size: what logarithmic costs on this machine, on
    /// which a hundred times as much data does not fit into the same cache.
    private static func bareTree(of rows: Int) throws -> Time {
        var configuration = Configuration()
        configuration.prepareDatabase { try $0.execute(sql: "PRAGMA cache_size = -65536") }
        let database = try DatabaseQueue(
            path: "\(TemporaryDirectory.make())/tree.sqlite", configuration: configuration)
        var random = SeededRandom(seed: 9)
        let ids = (0..<rows).map { _ in Data(random.bytes(38)) }
        try database.write { database in
            try database.execute(sql: "CREATE TABLE tree (number INTEGER PRIMARY KEY, id BLOB UNIQUE, row BLOB)")
            let row = Data(count: 650)
            let statement = try database.makeStatement(sql: "INSERT INTO tree (id, row) VALUES (?, ?)")
            for id in ids { try statement.execute(arguments: [id, row]) }
        }
        return try database.unsafeRead { database in
            let statement = try database.makeStatement(sql: "SELECT row FROM tree WHERE id = ?")
            return try Time.best(of: 3) {
                for _ in 0..<20_000 {
                    let found = try Data.fetchOne(statement, arguments: [ids.randomElement(using: &random) ?? ids[0]])
                    precondition(found != nil)
                }
            }.divided(by: 20_000)
        }
    }

    /// From 10,000 to 1,000,000 addresses.
    ///
    /// Compared is what the processor does, since the clock shows what else is going on, and how much of a small file is
    /// never written back at all.
    private static func growth(_ costs: [(peers: Int, cost: Cost)], ofBareTree bare: Double) {
        guard costs.count == 3, let first = costs.first, let last = costs.last else { return }
        let operations: [(String, KeyPath<Cost, Time>)] = [
            ("looking one peer up", \.lookUp), ("1,000 records in one query", \.batchOfRecords),
            ("a new peer", \.newPeer), ("a successful attempt", \.change), ("a new peer in a full store", \.eviction),
        ]
        for (name, path) in operations {
            for (peers, cost) in costs {
                let (time, size) = (cost[keyPath: path], peers * Self.addressesPerPeer)
                Figure.print("peer store: \(name) at \(size) addresses", time.clock * 1e6, "µs")
                Figure.print("peer store: \(name) at \(size) addresses, processor", time.processor * 1e6, "µs")
            }
            let (start, end) = (first.cost[keyPath: path].processor, last.cost[keyPath: path].processor)
            // Logarithmic means equal steps for equal factors: twice the first step, give or take a tenth.
            let steps = 1 + 2 * 1.1 * (costs[1].cost[keyPath: path].processor / start - 1)
            Figure.print(
                "peer store: \(name), growth from 10,000 to 1,000,000 addresses", end / start, "times",
                atMost: max(bare, steps),
                of: "growth of a bare look-up in a b-tree of as many rows, or two equal steps, whichever is more")
        }
    }

    // MARK: - Samples

    /// - Parameter former: how many records the peer has signed before.
    private static func sample(_ number: Int, addresses count: Int, replacing former: UInt64 = 0) throws -> Sample {
        var random = SeededRandom(seed: UInt64(number) &+ 1)
        guard let key = PeerPrivateKey.ed25519(seed: random.bytes(32)) else { throw CancellationError() }
        let record = PeerRecord(
            peer: key.peerID, sequence: UInt64(number) + 1 + former,
            addresses: (0..<count).map { _ in Self.address(random.next() &+ former) })
        let sealed = try record.sealed(by: key)
        let envelope = try SignedEnvelope(opening: sealed.envelope, domain: "libp2p-peer-record", type: [3, 1])
        var message: [UInt8] = []
        for part in [Array("libp2p-peer-record".utf8), envelope.payloadType, envelope.payload] {
            UnsignedVarint.append(UInt64(part.count), to: &message)
            message += part
        }
        return Sample(
            peer: key.peerID, address: record.addresses[0], envelope: sealed.envelope, key: envelope.publicKey.data,
            message: message,
            signature: envelope.signature)
    }

    private static func address(_ number: UInt64) -> Multiaddress {
        let bytes: [UInt8] = [
            4, UInt8(1 + number % 9), UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number >> 16),
            UInt8(truncatingIfNeeded: number >> 24), 6, 0x0f, UInt8(truncatingIfNeeded: number >> 32),
        ]
        guard let address = try? Multiaddress(bytes: bytes) else { preconditionFailure("no address: \(bytes)") }
        return address
    }

    private static func stranger(_ random: inout SeededRandom) -> PeerID {
        guard let peer = try? PeerID(bytes: [0x12, 32] + random.bytes(32)) else { preconditionFailure("no peer id") }
        return peer
    }

    /// In megabytes.
    private static func fileSize(_ directory: String) -> Double {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        let sizes = files.map { name -> Double in
            let attributes = try? FileManager.default.attributesOfItem(atPath: "\(directory)/\(name)")
            return (attributes?[.size] as? NSNumber)?.doubleValue ?? 0
        }
        return sizes.reduce(0, +) / 1e6
    }

    // MARK: - Memory

    /// The name of the part that ``inFreshProcess(_:)`` starts.
    static let memoryPart = "peers-memory"

    /// Lets a process that has done nothing else open the store, since memory that was freed here still counts as ours.
    private static func inFreshProcess(_ directory: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = [Self.memoryPart, directory]
        try process.run()
        process.waitUntilExit()
    }

    /// Prints what a store takes that was opened and asked for all of its peers.
    static func printMemory(_ directory: String) throws {
        let before = Self.residentMemory()
        let store = try PeerStore(directory: directory)
        var after: PeerID?
        repeat {
            let page = try store.list(after: after, limit: Self.batch, now: Self.now)
            after = page.next
        } while after != nil
        Figure.print("peer store: memory for 100,000 peers in use", Self.residentMemory() - before, "MB")
    }

    /// In megabytes.
    private static func residentMemory() -> Double {
        let status = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        let pages = status.split(separator: " ").dropFirst().first.flatMap { Double($0) } ?? 0
        return pages * Double(sysconf(Int32(_SC_PAGESIZE))) / 1e6
    }
}
