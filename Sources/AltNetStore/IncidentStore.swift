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
        migrator.registerMigration("2 evidence") { database in
            // The columns of the first version cannot be empty, so the table is made anew. What was known of a missing
            // block becomes a `Behind` without the work, which was not kept.
            try database.create(table: "incident2") { table in
                table.primaryKey("id", .integer)
                table.column("kind", .text).notNull()
                table.column("severity", .text).notNull()
                table.column("subject", .text).notNull()
                table.column("explanation", .text).notNull()
                table.column("behind", .text)
                table.column("measures", .text).notNull()
                table.column("evidence", .text).notNull()
                table.column("actions", .text).notNull()
                table.column("since", .integer).notNull()
                table.column("opened", .integer).notNull()
                table.column("updated", .integer).notNull()
                table.column("closed", .integer)
                table.column("ending", .text)
            }
            try database.execute(
                sql: """
                    INSERT INTO incident2 SELECT id, kind, 'warning', subject,
                    CASE ending WHEN 'caught-up' THEN subject || ' has caught up; it was '
                        WHEN 'link-closed' THEN subject || ' closed while it was '
                        WHEN 'stopped' THEN 'altnetd stopped while ' || subject || ' was '
                        ELSE subject || ' is ' END
                    || missingBlocks || CASE missingBlocks WHEN 1 THEN ' block' ELSE ' blocks' END || ' behind',
                    json_object('blocks', missingBlocks, 'firstMissing',
                        json_object('hash', firstMissingHash, 'height', firstMissingHeight, 'work', '0'),
                        'provenBy', provenBy, 'provenAt', since),
                    '[]', '{"headers":[],"statements":[]}', '[]', since, opened, updated, closed, ending FROM incident
                    """)
            try database.drop(table: "incident")
            try database.rename(table: "incident2", to: "incident")
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
            try Row.order(Column("id").desc).limit(limit).fetchAll(database).map { try $0.incident() }
        }
    }

    /// The incident of a number, or `nil` when there is none, or none any more.
    public func one(_ id: Int64) throws(StoreError) -> Incident? {
        try self.perform("read") { database in
            try Row.fetchOne(database, key: id)?.incident()
        }
    }

    /// Incidents that a killed daemon left open are closed at the time they were last updated.
    ///
    /// - Returns: those, as they are now, oldest first.
    @discardableResult
    public func closeLeftovers() throws(StoreError) -> [Incident] {
        try self.perform("write") { database in
            let open = try Row.filter(Column("closed") == nil).order(Column("id")).fetchAll(database).map(\.id)
            try database.execute(
                sql: "UPDATE incident SET closed = updated, ending = ? WHERE closed IS NULL",
                arguments: [Incident.Ending.stopped.rawValue])
            return try Row.filter(keys: open).order(Column("id")).fetchAll(database).map { try $0.incident() }
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

    /// An incident as the database keeps it: times in milliseconds, what has parts as JSON.
    private struct Row: Codable, FetchableRecord, PersistableRecord {
        static let databaseTableName = "incident"

        var id: Int64
        var kind: String
        var severity: String
        var subject: String
        var explanation: String
        var behind: String?
        var measures: String
        var evidence: String
        var actions: String
        var since: Int64
        var opened: Int64
        var updated: Int64
        var closed: Int64?
        var ending: String?

        init(_ incident: Incident) throws {
            self.id = incident.id
            self.kind = incident.kind.rawValue
            self.severity = incident.severity.rawValue
            self.subject = incident.subject.name
            self.explanation = incident.explanation
            self.behind = try incident.behind.map(Self.text)
            self.measures = try Self.text(incident.measures)
            self.evidence = try Self.text(incident.evidence)
            self.actions = try Self.text(incident.actions)
            self.since = incident.since.milliseconds
            self.opened = incident.opened.milliseconds
            self.updated = incident.updated.milliseconds
            self.closed = incident.closed?.milliseconds
            self.ending = incident.ending?.rawValue
        }

        func incident() throws -> Incident {
            guard let kind = Incident.Kind(rawValue: self.kind),
                let severity = Incident.Severity(rawValue: self.severity)
            else { throw Self.unreadable(self.id, "kind or severity") }
            let ending = try self.ending.map { text in
                guard let ending = Incident.Ending(rawValue: text) else { throw Self.unreadable(self.id, "ending") }
                return ending
            }
            return Incident(
                id: self.id, kind: kind, severity: severity, subject: Subject(self.subject),
                explanation: self.explanation, behind: try self.behind.map { try self.value($0, "behind") },
                measures: try self.value(self.measures, "measures"),
                evidence: try self.value(self.evidence, "evidence"), actions: try self.value(self.actions, "actions"),
                since: WallClockTime(milliseconds: self.since), opened: WallClockTime(milliseconds: self.opened),
                updated: WallClockTime(milliseconds: self.updated),
                closed: self.closed.map(WallClockTime.init(milliseconds:)), ending: ending)
        }

        private static func text(_ value: some Encodable) throws -> String {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(value), as: UTF8.self)
        }

        private func value<Value: Decodable>(_ text: String, _ column: String) throws -> Value {
            do {
                return try JSONDecoder().decode(Value.self, from: Data(text.utf8))
            } catch {
                throw Self.unreadable(self.id, column)
            }
        }

        /// What stands in the file is not what this program writes.
        private static func unreadable(_ id: Int64, _ column: String) -> DatabaseError {
            DatabaseError(resultCode: .SQLITE_CORRUPT, message: "incident \(id) has no readable \(column)")
        }
    }
}
