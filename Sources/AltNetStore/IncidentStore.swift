// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
public import AltNetWatchdog
internal import Foundation
internal import GRDB

/// The incidents of a data directory, in SQLite.
public struct IncidentStore: Sendable {
    /// Closed incidents beyond this many are forgotten, oldest first: years of them, in a few megabytes.
    public static let maximumClosed = 10_000

    private let database: DatabaseQueue

    /// Opens or creates `altnet.sqlite` in a data directory.
    ///
    /// - Throws: ``StoreError`` `.newerVersion`, `.damaged` or `.system`.
    public init(in directory: borrowing DataDirectory) throws(StoreError) {
        let path = directory.file("altnet.sqlite")
        do {
            var configuration = Configuration()
            configuration.prepareDatabase { database in
                // A write is on the disk when it returns.
                try database.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
            }
            self.database = try DatabaseQueue(path: path, configuration: configuration)
            let migrator = Self.migrator
            let isNewer = try self.database.read { try migrator.hasBeenSuperseded($0) }
            guard !isNewer else {
                throw StoreError(.newerVersion, "\(path) was written by a newer version of AltNet")
            }
            try migrator.migrate(self.database)
        } catch let error as StoreError {
            throw error
        } catch {
            throw Self.failure("open", path, error)
        }
    }

    private static func failure(_ verb: String, _ path: String, _ error: any Error) -> StoreError {
        let code = (error as? DatabaseError)?.resultCode
        guard code == .SQLITE_NOTADB || code == .SQLITE_CORRUPT else {
            return StoreError(.system, "cannot \(verb) \(path): \(error)")
        }
        return StoreError(.damaged, "\(path) is damaged (\(error)); move it away to go on without its incidents")
    }

    /// Append-only: a migration that has been released is never changed.
    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 incidents") { database in
            try database.create(table: "incident") { table in
                table.primaryKey("id", .integer)
                table.column("kind", .text).notNull()
                table.column("subject", .text).notNull()
                table.column("missingBlocks", .integer).notNull()
                table.column("firstMissingHeight", .integer).notNull()
                table.column("firstMissingHash", .text).notNull()
                table.column("since", .integer).notNull()
                table.column("provenBy", .text).notNull()
                table.column("opened", .integer).notNull()
                table.column("updated", .integer).notNull()
                table.column("closed", .integer)
                table.column("ending", .text)
            }
        }
        return migrator
    }

    /// The number that the next incident gets.
    public func nextID() throws(StoreError) -> Int64 {
        try self.perform("read") { database in
            try Int64.fetchOne(database, sql: "SELECT coalesce(max(id), 0) + 1 FROM incident") ?? 1
        }
    }

    /// Stores an incident, or what became of it.
    public func save(_ incident: Incident) throws(StoreError) {
        try self.perform("write") { database in
            try Row(incident).save(database)
            try database.execute(
                sql: """
                    DELETE FROM incident WHERE closed IS NOT NULL AND id NOT IN
                    (SELECT id FROM incident WHERE closed IS NOT NULL ORDER BY id DESC LIMIT ?)
                    """, arguments: [Self.maximumClosed])
        }
    }

    /// The latest incidents, newest first.
    public func latest(_ limit: Int) throws(StoreError) -> [Incident] {
        try self.perform("read") { database in
            try Row.order(Column("id").desc).limit(limit).fetchAll(database).compactMap(\.incident)
        }
    }

    /// Incidents that a killed daemon left open are closed at the time they were last updated.
    public func closeLeftovers() throws(StoreError) {
        try self.perform("write") { database in
            try database.execute(
                sql: "UPDATE incident SET closed = updated, ending = ? WHERE closed IS NULL",
                arguments: [Incident.Ending.stopped.rawValue])
        }
    }

    private func perform<Result>(
        _ verb: String, _ body: (Database) throws -> Result
    ) throws(StoreError) -> Result {
        do {
            return try self.database.write(body)
        } catch {
            throw Self.failure(verb, self.database.path, error)
        }
    }

    /// An incident as the database keeps it; times in milliseconds.
    private struct Row: Codable, FetchableRecord, PersistableRecord {
        static let databaseTableName = "incident"

        var id: Int64
        var kind: String
        var subject: String
        var missingBlocks: UInt32
        var firstMissingHeight: UInt32
        var firstMissingHash: String
        var since: Int64
        var provenBy: String
        var opened: Int64
        var updated: Int64
        var closed: Int64?
        var ending: String?

        init(_ incident: Incident) {
            self.id = incident.id
            self.kind = incident.kind.rawValue
            self.subject = incident.subject
            self.missingBlocks = incident.missingBlocks
            self.firstMissingHeight = incident.firstMissingHeight
            self.firstMissingHash = incident.firstMissingHash.description
            self.since = incident.since.milliseconds
            self.provenBy = incident.provenBy
            self.opened = incident.opened.milliseconds
            self.updated = incident.updated.milliseconds
            self.closed = incident.closed?.milliseconds
            self.ending = incident.ending?.rawValue
        }

        var incident: Incident? {
            guard let kind = Incident.Kind(rawValue: self.kind), let hash = BlockHash(hex: self.firstMissingHash) else {
                return nil
            }
            return Incident(
                id: self.id, kind: kind, subject: self.subject, missingBlocks: self.missingBlocks,
                firstMissingHeight: self.firstMissingHeight, firstMissingHash: hash,
                since: WallClockTime(milliseconds: self.since), provenBy: self.provenBy,
                opened: WallClockTime(milliseconds: self.opened), updated: WallClockTime(milliseconds: self.updated),
                closed: self.closed.map(WallClockTime.init(milliseconds:)),
                ending: self.ending.flatMap(Incident.Ending.init(rawValue:)))
        }
    }
}
