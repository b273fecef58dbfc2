// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetStore
import AltNetWatchdog
import Foundation
import GRDB
import Testing

@Suite("IncidentStore")
struct IncidentStoreTests {
    private static func incident(_ id: Int64, closed: Bool = false) -> Incident {
        let opened = WallClockTime(milliseconds: 1_800_000_000_123 + id * 1000)
        let header = Network.regtest.genesis
        let point = ChainPoint(
            hash: BlockHash(number: UInt256(UInt64(id), 2, 3, .max)), height: .max - UInt32(id), work: Work(1, 2, 3, 4))
        let link = Subject("lightning 03ab@[2001:db8::1]:9735 ‘ö’")
        return Incident(
            id: id, kind: id.isMultiple(of: 2) ? .nodeBehind : .linkBehind,
            severity: id.isMultiple(of: 2) ? .critical : .warning, subject: link, explanation: "what ‘is’ \"so\"",
            behind: Behind(
                blocks: UInt32(id % 7) + 1, firstMissing: point, provenBy: Subject("bitcoin seed.example:8333"),
                provenAt: opened, best: point, shown: nil, workShare: 0.25),
            measures: [Measure("probability", 1.2e-7, "probability")],
            evidence: Evidence(
                headers: [Evidence.Header(height: 7, header: header, provenBy: .node, provenAt: opened)],
                otherBranch: [Evidence.Header(height: 8, header: header, provenBy: link, provenAt: opened)],
                statements: [Evidence.Statement(who: link, at: opened, what: "showed", point: point)]),
            actions: [ActionRecord(at: opened, action: "alert", outcome: .failed, detail: "no answer")],
            since: WallClockTime(milliseconds: -5), opened: opened, updated: opened + .seconds(3),
            closed: closed ? opened + .seconds(9) : nil, ending: closed ? .caughtUp : nil)
    }

    private static func open<Result>(_ temporary: TemporaryDirectory, _ body: (IncidentStore) throws -> Result) throws
        -> Result
    {
        let directory = try DataDirectory(path: temporary.path)
        let store = try IncidentStore(in: directory)
        return try body(store)
    }

    @Test("gives back what was saved, newest first, also after it was closed")
    func roundTrip() throws {
        let temporary = try TemporaryDirectory()
        let incidents = (1...5 as ClosedRange<Int64>).map { Self.incident($0, closed: $0 != 3) }
        try Self.open(temporary) { store in
            #expect(try store.nextID() == 1)
            #expect(try store.latest(10).isEmpty)
            for incident in incidents { try store.save(incident) }
            #expect(try store.latest(10) == incidents.reversed())
        }
        try Self.open(temporary) { store in
            #expect(try store.latest(2) == incidents[3...].reversed())
            #expect(try store.nextID() == 6)
            var changed = incidents[2]
            changed.behind?.blocks = 99
            changed.measures = []
            changed.closed = changed.updated
            changed.ending = .linkClosed
            try store.save(changed)
            #expect(try store.latest(3).last == changed)
            #expect(try store.latest(10).count == 5)
            #expect(try store.one(3) == changed)
            #expect(try store.one(6) == nil)
        }
    }

    @Test("closes what a killed daemon left open, at the time it was last known")
    func leftovers() throws {
        let temporary = try TemporaryDirectory()
        try Self.open(temporary) { store in
            try store.save(Self.incident(1))
            try store.save(Self.incident(2, closed: true))
            try store.closeLeftovers()
            var expected = Self.incident(1)
            expected.closed = expected.updated
            expected.ending = .stopped
            #expect(try store.latest(10) == [Self.incident(2, closed: true), expected])
        }
    }

    @Test("forgets the oldest closed ones beyond its limit, and no open one")
    func bound() throws {
        let temporary = try TemporaryDirectory()
        try Self.open(temporary) { store in
            try store.save(Self.incident(1))
            try store.save(Self.incident(2, closed: true))
            try store.save(Self.incident(3, closed: true))
        }
        // Thousands more, not through the store, which writes to the disk for each of them.
        let queue = try DatabaseQueue(path: temporary.path + "/altnet.sqlite")
        try queue.write { database in
            try database.execute(
                sql: """
                    WITH RECURSIVE number(n) AS (SELECT 4 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
                    INSERT INTO incident SELECT n, kind, severity, subject, explanation, behind, measures, evidence, actions,
                    since, opened, updated, closed, ending FROM number, incident WHERE incident.id = 2
                    """, arguments: [IncidentStore.maximumClosed + 2])
        }
        try queue.close()
        try Self.open(temporary) { store in
            let next = try store.nextID()
            #expect(next == Int64(IncidentStore.maximumClosed + 3))
            try store.save(Self.incident(next, closed: true))
            let ids = try store.latest(100_000).map(\.id)
            #expect(ids.count == IncidentStore.maximumClosed + 1)
            #expect(ids.suffix(2) == [4, 1])
            #expect(ids.first == next)
        }
    }

    @Test("does not touch a database that a newer version has written")
    func newer() throws {
        let temporary = try TemporaryDirectory()
        try Self.open(temporary) { try $0.save(Self.incident(1)) }
        let queue = try DatabaseQueue(path: temporary.path + "/altnet.sqlite")
        try queue.write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('9 from the future')") }
        try queue.close()
        let error = #expect(throws: StoreError.self) { try Self.open(temporary) { _ in } }
        #expect(error?.code == .newerVersion)
        #expect(error?.description.contains(temporary.path) == true)
    }

    @Test("names a file that is no database, and leaves it alone", arguments: [100, 5000])
    func garbage(size: Int) throws {
        let temporary = try TemporaryDirectory()
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 * 7) }
        temporary.write(bytes, to: "altnet.sqlite")
        let error = #expect(throws: StoreError.self) { try Self.open(temporary) { _ in } }
        #expect(error?.code == .damaged)
        #expect(error?.description.contains(temporary.path + "/altnet.sqlite") == true)
        #expect(temporary.file("altnet.sqlite") == bytes)
    }

    @Test("names a damaged database")
    func damaged() throws {
        let temporary = try TemporaryDirectory()
        try Self.open(temporary) { store in
            for id in 1...50 as ClosedRange<Int64> { try store.save(Self.incident(id, closed: true)) }
        }
        let queue = try DatabaseQueue(path: temporary.path + "/altnet.sqlite")
        try queue.writeWithoutTransaction { _ = try $0.checkpoint(.truncate) }
        try queue.close()
        var bytes = temporary.file("altnet.sqlite")
        #expect(bytes.count > 8192)
        for place in 4096..<bytes.count { bytes[place] = 0xa5 }
        temporary.write(bytes, to: "altnet.sqlite")
        let error = #expect(throws: StoreError.self) {
            try Self.open(temporary) { store in
                _ = try store.nextID()
                _ = try store.latest(100)
            }
        }
        #expect(error?.code == .damaged)
        #expect(error?.description.contains(temporary.path + "/altnet.sqlite") == true)
    }

    @Test("keeps the incidents of the first version readable")
    func firstVersion() throws {
        let temporary = try TemporaryDirectory()
        try Self.open(temporary) { _ in }
        // The database as the first version made it, with three of its rows.
        let queue = try DatabaseQueue(path: temporary.path + "/altnet.sqlite")
        try queue.write { database in
            try database.execute(
                sql: """
                    DROP TABLE incident;
                    DELETE FROM grdb_migrations WHERE identifier = '2 evidence';
                    CREATE TABLE incident (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL,
                        missingBlocks INTEGER NOT NULL, firstMissingHeight INTEGER NOT NULL,
                        firstMissingHash TEXT NOT NULL, since INTEGER NOT NULL, provenBy TEXT NOT NULL,
                        opened INTEGER NOT NULL, updated INTEGER NOT NULL, closed INTEGER, ending TEXT);
                    """)
            for (id, closed, ending) in [(1, 9000, "caught-up"), (2, 9000, "link-closed"), (3, nil, nil)]
                as [(Int64, Int64?, String?)]
            {
                try database.execute(
                    sql:
                        "INSERT INTO incident VALUES (?, 'link-behind', 'bitcoin ö', 3, 840000, ?, 5, 'b', 6, 7, ?, ?)",
                    arguments: [id, String(repeating: "0a", count: 32), closed, ending])
            }
        }
        try queue.close()
        try Self.open(temporary) { store in
            let incidents = try store.latest(10)
            #expect(incidents.map(\.id) == [3, 2, 1])
            #expect(incidents.allSatisfy { $0.severity == .warning && $0.subject == Subject("bitcoin ö") })
            #expect(incidents[0].explanation == "bitcoin ö is 3 blocks behind" && incidents[0].closed == nil)
            #expect(incidents[1].explanation == "bitcoin ö closed while it was 3 blocks behind")
            #expect(incidents[2].explanation == "bitcoin ö has caught up; it was 3 blocks behind")
            #expect(incidents[2].ending == .caughtUp && incidents[2].closed == WallClockTime(milliseconds: 9000))
            #expect(incidents[0].behind?.blocks == 3 && incidents[0].behind?.firstMissing.height == 840_000)
            #expect(incidents[0].behind?.provenBy == Subject("b") && incidents[0].evidence == Evidence())
            #expect(try store.nextID() == 4)
        }
    }

    @Test("names a row that it cannot read instead of leaving it out")
    func unreadable() throws {
        let temporary = try TemporaryDirectory()
        try Self.open(temporary) { try $0.save(Self.incident(1)) }
        let queue = try DatabaseQueue(path: temporary.path + "/altnet.sqlite")
        try queue.write { try $0.execute(sql: "UPDATE incident SET evidence = '{'") }
        try queue.close()
        let error = #expect(throws: StoreError.self) { try Self.open(temporary) { _ = try $0.latest(1) } }
        #expect(error?.code == .damaged && error?.description.contains("incident 1 has no readable evidence") == true)
    }
}
