// SPDX-License-Identifier: MIT

internal import Dispatch
internal import GRDB

/// Undelivered messages in SQLite, so that a killed daemon sends them when it comes back.
///
/// Its size is bounded by the queues: ``AlertQueue/capacity`` and one digest for each sink.
final class AlertStore: Sendable {
    private let database: DatabaseQueue
    private let path: String
    /// Writing waits for the disk, which no thread of Swift's pool should do.
    private let queue = DispatchQueue(label: "alert store")

    /// Opens or creates the file.
    ///
    /// - Throws: ``AlertError`` when it cannot be opened, is damaged, or is of a newer version.
    init(path: String) throws(AlertError) {
        self.path = path
        do {
            var configuration = Configuration()
            configuration.prepareDatabase { database in
                // A write is on the disk when it returns.
                try database.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
            }
            self.database = try DatabaseQueue(path: path, configuration: configuration)
            var migrator = DatabaseMigrator()
            // Append-only: a migration that has been released is never changed.
            migrator.registerMigration("1 alerts") { database in
                try database.execute(
                    sql: """
                        CREATE TABLE alert (sequence INTEGER PRIMARY KEY AUTOINCREMENT, sink TEXT NOT NULL,
                            id TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (sink, id));
                        CREATE TABLE missed (sink TEXT PRIMARY KEY, count INTEGER NOT NULL);
                        """)
            }
            let checked = migrator
            guard try !self.database.read({ try checked.hasBeenSuperseded($0) }) else {
                throw AlertError("\(path) was written by a newer version of AltNet")
            }
            try migrator.migrate(self.database)
        } catch let error as AlertError {
            throw error
        } catch {
            throw AlertError("cannot open \(path): \(error); move it away to go on without the alerts in it")
        }
    }

    /// What is left over, oldest first, and how many rows cannot be understood.
    func load() async throws(AlertError) -> (
        messages: [(sink: String, message: AlertMessage)], missed: [String: Int], unreadable: Int
    ) {
        try await self.perform("read") { database in
            var messages: [(sink: String, message: AlertMessage)] = []
            var unreadable = 0
            for row in try Row.fetchAll(database, sql: "SELECT sink, body FROM alert ORDER BY sequence") {
                let body = row["body"] as String? ?? ""
                guard let sink = row["sink"] as String?, let message = AlertBody.decode(Array(body.utf8)) else {
                    unreadable += 1
                    continue
                }
                messages.append((sink, message))
            }
            var missed: [String: Int] = [:]
            for row in try Row.fetchAll(database, sql: "SELECT sink, count FROM missed") {
                if let sink = row["sink"] as String?, let count = row["count"] as Int? { missed[sink] = count }
            }
            return (messages, missed, unreadable)
        }
    }

    /// Carries out what a scheduler wants kept, as one write that is on the disk when it returns.
    func apply(_ directives: [DeliveryScheduler.Directive]) async throws(AlertError) {
        try await self.perform("write") { database in
            for directive in directives {
                switch directive {
                case .store(let message, let sink):
                    try database.execute(
                        sql: "INSERT OR REPLACE INTO alert (sink, id, body) VALUES (?, ?, ?)",
                        arguments: [
                            sink, message.id,
                            String(decoding: AlertBody.json(AlertBody(message, missed: nil)), as: UTF8.self),
                        ])
                case .forget(let ids, let sink):
                    for id in ids {
                        try database.execute(
                            sql: "DELETE FROM alert WHERE sink = ? AND id = ?", arguments: [sink, id])
                    }
                case .storeMissed(let count, let sink):
                    try database.execute(
                        sql: "INSERT OR REPLACE INTO missed (sink, count) VALUES (?, ?)", arguments: [sink, count])
                case .attempt, .record, .setTimer:
                    break
                }
            }
        }
    }

    /// Not ended by the cancellation of the caller: what is to be kept is kept when the daemon stops, too.
    private func perform<Value: Sendable>(
        _ verb: String, _ body: @escaping @Sendable (Database) throws -> Value
    ) async throws(AlertError) -> Value {
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Value, AlertError>, Never>) in
            self.queue.async {
                do {
                    continuation.resume(returning: .success(try self.database.write(body)))
                } catch {
                    continuation.resume(returning: .failure(AlertError("cannot \(verb) \(self.path): \(error)")))
                }
            }
        }
        return try result.get()
    }
}
