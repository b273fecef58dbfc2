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
        return Incident(
            id: id, kind: .linkBehind, subject: "lightning 03ab@[2001:db8::1]:9735 ‘ö’",
            missingBlocks: UInt32(id % 7) + 1,
            firstMissingHeight: .max - UInt32(id), firstMissingHash: BlockHash(number: UInt256(UInt64(id), 2, 3, .max)),
            since: WallClockTime(milliseconds: -5), provenBy: "bitcoin seed.example:8333", opened: opened,
            updated: opened + .seconds(3), closed: closed ? opened + .seconds(9) : nil, ending: closed ? .caughtUp : nil
        )
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
            changed.missingBlocks = 99
            changed.closed = changed.updated
            changed.ending = .linkClosed
            try store.save(changed)
            #expect(try store.latest(3).last == changed)
            #expect(try store.latest(10).count == 5)
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
                    INSERT INTO incident SELECT n, kind, subject, missingBlocks, firstMissingHeight, firstMissingHash, since,
                    provenBy, opened, updated, closed, ending FROM number, incident WHERE incident.id = 2
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
}
