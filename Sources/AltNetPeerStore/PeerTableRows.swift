// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords
internal import Foundation
internal import GRDB

/// The rows of the database within one transaction. Rows are loaded many at once, and kept until the transaction ends.
struct PeerTableRows: PeerTable {
    /// Rows without a readable id that are passed over to find one that has one: more of them in a row come from no
    /// accident that leaves a database that can be opened.
    private static let maximumUnreadable = 100

    private let database: Database
    /// Rows that were looked for; nil for those that are not there.
    private var rows: [PeerID: PeerRow?] = [:]
    /// Those whose rows are not what was written.
    private var damaged: Set<PeerID> = []

    init(_ database: Database) {
        self.database = database
    }

    /// Loads the rows of those peers in one query for each ``PeerBookLimits/maximumPeers``.
    mutating func load(_ peers: [PeerID]) throws {
        let missing = Array(Set(peers.filter { self.rows[$0] == nil }))
        for peer in missing { self.rows[peer] = .some(nil) }
        let damaged = try Self.fetch(
            self.database, "number, standing, bucket, lot, units, due, entry", of: missing
        ) { peer, row in
            guard let standing = try Standing(rawValue: row.number(2)) else { throw EntryDamaged() }
            let place = Place(
                standing: standing, bucket: try row.number(3), lot: UInt64(bitPattern: try row.number(4)),
                units: try row.number(5), due: try row.time(6))
            self.rows[peer] = PeerRow(number: try row.number(1), place: place, entry: try row.entry(7))
        }
        self.damaged.formUnion(damaged)
    }

    /// The entries of those peers that are there; those that are damaged are passed over.
    ///
    /// - Throws: when a single peer was asked for, and its row is damaged.
    static func entries(_ database: Database, of peers: [PeerID]) throws -> [PeerID: PeerEntry] {
        var entries: [PeerID: PeerEntry] = [:]
        entries.reserveCapacity(peers.count)
        let damaged = try Self.fetch(database, "entry", of: peers) { peer, row in entries[peer] = try row.entry(1) }
        if peers.count == 1, let peer = damaged.first { throw EntryDamaged(peer: peer) }
        return entries
    }

    /// Hands over each row that is there, with the id in column 0; returns those for which `body` found it damaged.
    private static func fetch(
        _ database: Database, _ columns: String, of peers: [PeerID], _ body: (PeerID, Row) throws -> Void
    ) throws -> [PeerID] {
        var damaged: [PeerID] = []
        var rest = peers[...]
        while !rest.isEmpty {
            let chunk = rest.prefix(PeerBookLimits.maximumPeers)
            rest = rest.dropFirst(chunk.count)
            // Sizes are rounded up to powers of two, so that a dozen prepared statements serve all.
            var size = 1
            while size < chunk.count { size *= 2 }
            let marks = "?" + String(repeating: ",?", count: size - 1)
            let statement = try database.cachedStatement(
                sql: "SELECT id, \(columns) FROM peer WHERE id IN (\(marks))")
            let ids = chunk.map { Data($0.bytes) as Data? } + Array(repeating: nil, count: size - chunk.count)
            let rows = try Row.fetchCursor(statement, arguments: StatementArguments(ids))
            while let row = try rows.next() {
                let peer = try row.peer(0)
                do {
                    try body(peer, row)
                } catch is EntryDamaged {
                    damaged.append(peer)
                }
            }
        }
        return damaged
    }

    /// The next rows in the order of ids; without an entry where it is damaged.
    static func page(
        _ database: Database, after peer: PeerID?, limit: Int
    ) throws -> [(id: PeerID, entry: PeerEntry?)] {
        let statement = try database.cachedStatement(sql: "SELECT id, entry FROM peer WHERE id > ? ORDER BY id LIMIT ?")
        let rows = try Row.fetchCursor(
            statement, arguments: [Data(peer?.bytes ?? []), limit + Self.maximumUnreadable])
        var page: [(id: PeerID, entry: PeerEntry?)] = []
        // Rows without a readable id are nobody's, and nobody could go on behind them.
        while page.count < limit, let row = try rows.next() {
            guard let peer = try? row.peer(0) else { continue }
            page.append((peer, try? row.entry(1)))
        }
        return page
    }

    /// Which of the next `limit` peers have something to remove, and where to go on.
    static func due(
        _ database: Database, after peer: PeerID?, limit: Int, now: WallClockTime
    ) throws -> (due: [PeerID], last: PeerID?) {
        let statement = try database.cachedStatement(sql: "SELECT id, due FROM peer WHERE id > ? ORDER BY id LIMIT ?")
        let rows = try Row.fetchCursor(
            statement, arguments: [Data(peer?.bytes ?? []), limit + Self.maximumUnreadable])
        var (due, last, count): ([PeerID], PeerID?, Int) = ([], nil, 0)
        while count < limit, let row = try rows.next() {
            guard let id = try? row.peer(0) else { continue }
            // A time that cannot be read: whoever looks at the row finds it damaged.
            if let time = try? row.time(1), Place.isDue(time, now) { due.append(id) }
            last = id
            count += 1
        }
        return (due, count < limit ? nil : last)
    }

    /// Where a peer stands, without its entry.
    static func place(_ database: Database, of peer: PeerID) throws -> (number: Int64, place: Place)? {
        let statement = try database.cachedStatement(
            sql: "SELECT number, standing, bucket, lot, units FROM peer WHERE id = ?")
        guard let row = try Row.fetchOne(statement, arguments: [Data(peer.bytes)]) else { return nil }
        guard let standing = try Standing(rawValue: row.number(1)) else { throw EntryDamaged() }
        return (
            try row.number(0),
            Place(
                standing: standing, bucket: try row.number(2), lot: UInt64(bitPattern: try row.number(3)),
                units: try row.number(4))
        )
    }

    // MARK: - PeerTable

    mutating func row(of peer: PeerID) throws -> PeerRow? {
        if self.rows[peer] == nil { try self.load([peer]) }
        guard !self.damaged.contains(peer) else { throw EntryDamaged(peer: peer) }
        return self.rows[peer] ?? nil
    }

    mutating func write(_ row: PeerRow, of peer: PeerID, encoded: [UInt8], was: PeerRow?) throws {
        var row = row
        let place = row.place
        let entry = Data(encoded)
        if let was, was.place == place {
            // Leaves the indices alone.
            try self.database.cachedStatement(sql: "UPDATE peer SET entry = ? WHERE number = ?")
                .execute(arguments: [entry, row.number])
        } else if let was, was.place.standing == place.standing, was.place.bucket == place.bucket,
            was.place.units == place.units
        {
            try self.database.cachedStatement(sql: "UPDATE peer SET due = ?, entry = ? WHERE number = ?")
                .execute(arguments: [place.due?.milliseconds, entry, row.number])
        } else if was != nil {
            try self.database.cachedStatement(
                sql: "UPDATE peer SET standing = ?, bucket = ?, units = ?, due = ?, entry = ? WHERE number = ?"
            ).execute(
                arguments: [
                    Int(place.standing.rawValue), Int(place.bucket), place.units, place.due?.milliseconds, entry,
                    row.number,
                ])
        } else {
            try self.database.cachedStatement(
                sql: "INSERT INTO peer (id, standing, bucket, lot, units, due, entry) VALUES (?, ?, ?, ?, ?, ?, ?)"
            ).execute(
                arguments: [
                    Data(peer.bytes), Int(place.standing.rawValue), Int(place.bucket), Int64(bitPattern: place.lot),
                    place.units, place.due?.milliseconds, entry,
                ])
            row.number = self.database.lastInsertedRowID
        }
        self.rows[peer] = row
    }

    mutating func remove(_ peer: PeerID, _ row: PeerRow) throws {
        try self.evict(peer, number: row.number, row.place)
    }

    func victim(bucket: UInt16, except peer: PeerID) throws -> (peer: PeerID, number: Int64, place: Place)? {
        let statement = try self.database.cachedStatement(
            sql: """
                SELECT id, number, lot, units FROM peer WHERE standing = ? AND bucket = ? ORDER BY lot
                LIMIT \(2 + Self.maximumUnreadable)
                """)
        let rows = try Row.fetchCursor(statement, arguments: [Int(Standing.unproven.rawValue), Int(bucket)])
        while let row = try rows.next() {
            guard let id = try? row.peer(0), id != peer else { continue }
            return (
                id, try row.number(1),
                Place(
                    standing: .unproven, bucket: bucket, lot: UInt64(bitPattern: try row.number(2)),
                    units: try row.number(3))
            )
        }
        return nil
    }

    mutating func evict(_ peer: PeerID, number: Int64, _ place: Place) throws {
        try self.database.cachedStatement(sql: "DELETE FROM peer WHERE number = ?").execute(arguments: [number])
        self.rows[peer] = .some(nil)
    }
}

extension Row {
    func number<Number: FixedWidthInteger>(_ column: Int) throws -> Number {
        // Asking for a number ends the process when there is something else.
        guard case .int64(let value) = (self[column] as DatabaseValue).storage, let number = Number(exactly: value)
        else { throw EntryDamaged() }
        return number
    }

    fileprivate func time(_ column: Int) throws -> WallClockTime? {
        self.hasNull(atIndex: column) ? nil : WallClockTime(milliseconds: try self.number(column))
    }

    fileprivate func peer(_ column: Int) throws -> PeerID {
        try self.withUnsafeData(atIndex: column) { data in
            guard let data, let peer = try? PeerID(bytes: data) else { throw EntryDamaged() }
            return peer
        }
    }

    fileprivate func entry(_ column: Int) throws -> PeerEntry {
        try self.withUnsafeData(atIndex: column) { data in
            guard let data else { throw EntryDamaged() }
            return try PeerEntry(encoded: Array(data))
        }
    }
}
