// SPDX-License-Identifier: MIT

public import AltNetAlternativeAddresses
internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightning
internal import GRDB
internal import Glibc

/// Why the file of alternative addresses cannot be opened, read or written. The text is for the operator and names the
/// file, never an address.
public struct AlternativeAddressStoreError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What programs act on.
    public enum Code: String, Hashable, Sendable {
        /// Another process has the file open.
        case locked
        /// The file was written by a newer version of AltNet.
        case newerVersion
        /// The file is no database, or holds what this program does not write.
        case damaged
        /// The system refused: no space, no permission, an error of the disk.
        case system
    }

    public let code: Code
    public let description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}

/// Who was given which alternative address and who gave us one, in SQLite: one file, mode 0600, one process at a time.
///
/// Calls wait for the disk. Its size is bounded by ``AlternativeAddresses``.
public final class AlternativeAddressStore: Sendable {
    /// The name of the file in a data directory.
    public static let fileName = "alternative-addresses.sqlite"

    /// How long another holder of the file is waited for, in seconds.
    private static let patience = 3.0

    private let database: DatabaseQueue
    private let path: String

    /// Opens or creates the file. One that is damaged, newer or in use is left as it is.
    public init(directory: String) throws(AlternativeAddressStoreError) {
        let path = "\(directory)/\(Self.fileName)"
        self.path = path
        try Self.protect(path)
        do {
            var configuration = Configuration()
            // A driver of this process that has just ended may still be letting go.
            configuration.busyMode = .timeout(Self.patience)
            configuration.prepareDatabase { database in
                // The whole life of this process, so that two drivers cannot give the same endpoint to two peers. A
                // write is on the disk when it returns, and what is forgotten is overwritten.
                try database.execute(
                    sql: """
                        PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                        PRAGMA secure_delete = ON; PRAGMA foreign_keys = OFF
                        """)
            }
            self.database = try DatabaseQueue(path: path, configuration: configuration)
            let migrator = Self.migrator
            let isNewer = try self.database.read { try migrator.hasBeenSuperseded($0) }
            guard !isNewer else {
                throw AlternativeAddressStoreError(
                    .newerVersion, "\(path) was written by a newer version of AltNet")
            }
            try migrator.migrate(self.database)
            // Takes the lock for good.
            try self.database.write { try $0.execute(sql: "DELETE FROM given WHERE 0") }
        } catch let error as AlternativeAddressStoreError {
            throw error
        } catch {
            throw Self.failure("open", path, error)
        }
    }

    /// Makes the file before SQLite does, because SQLite gives its own files the mode of the database.
    private static func protect(_ path: String) throws(AlternativeAddressStoreError) {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw AlternativeAddressStoreError(.system, "cannot open \(path): \(String(cString: strerror(errno)))")
        }
        defer { Glibc.close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw AlternativeAddressStoreError(.system, "cannot look at \(path): \(String(cString: strerror(errno)))")
        }
        guard status.st_mode & 0o077 == 0 else {
            throw AlternativeAddressStoreError(
                .system, "\(path) can be read by others; run: chmod 600 \(path)")
        }
    }

    private static func failure(_ verb: String, _ path: String, _ error: any Error) -> AlternativeAddressStoreError {
        guard let error = error as? DatabaseError else {
            return AlternativeAddressStoreError(.system, "cannot \(verb) \(path)")
        }
        switch error.resultCode {
        case .SQLITE_NOTADB, .SQLITE_CORRUPT:
            return AlternativeAddressStoreError(
                .damaged,
                "\(path) is damaged (\(error.message ?? "no details")); move it away to go on without the addresses in it"
            )
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            return AlternativeAddressStoreError(.locked, "\(path) is held by another process")
        default:
            // Not the whole error: GRDB's description shows the statement with its arguments.
            return AlternativeAddressStoreError(.system, "cannot \(verb) \(path): \(error.message ?? "no details")")
        }
    }

    /// Append-only: a migration that has been released is never changed.
    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 alternative addresses") { database in
            // Times in milliseconds since 1970; addresses as BOLT 7 descriptors.
            try database.execute(
                sql: """
                    CREATE TABLE given (id INTEGER PRIMARY KEY, peer BLOB NOT NULL, address BLOB NOT NULL,
                        endpoint TEXT NOT NULL, channelID BLOB NOT NULL, since INTEGER NOT NULL, sentAt INTEGER,
                        until INTEGER);
                    CREATE TABLE received (peer BLOB PRIMARY KEY, address BLOB NOT NULL, channelID BLOB NOT NULL,
                        receivedAt INTEGER NOT NULL, validatedAt INTEGER, lastSuccessAt INTEGER, lastFailureAt INTEGER);
                    CREATE TABLE peer (peer BLOB PRIMARY KEY, isWithheld INTEGER NOT NULL, mayHold INTEGER NOT NULL,
                        stoodMilliseconds INTEGER NOT NULL);
                    CREATE TABLE onion (endpoint TEXT PRIMARY KEY, key TEXT NOT NULL, address BLOB NOT NULL);
                    """)
        }
        return migrator
    }

    // MARK: - Addresses

    /// Everything that is stored.
    public func load() throws(AlternativeAddressStoreError) -> StoredAddresses {
        try self.perform("read") { database in
            StoredAddresses(
                given: try Row.fetchAll(database, sql: "SELECT * FROM given ORDER BY id").map { try $0.given() },
                received: try Row.fetchAll(database, sql: "SELECT * FROM received").map { try $0.received() },
                peers: try Row.fetchAll(database, sql: "SELECT * FROM peer").map { try $0.peer() })
        }
    }

    /// Makes changes, all or none of them; they are on the disk when this returns.
    public func apply(_ changes: [StoredChange]) throws(AlternativeAddressStoreError) {
        guard !changes.isEmpty else { return }
        try self.perform("write") { database in
            for change in changes { try Self.apply(change, database) }
        }
    }

    private static func apply(_ change: StoredChange, _ database: Database) throws {
        switch change {
        case .given(let record):
            try database.execute(
                sql: "INSERT OR REPLACE INTO given VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                arguments: [
                    record.id, blob(record.peer.bytes), blob(record.address.descriptor), record.endpoint.description,
                    blob(record.channelID), record.since.milliseconds, record.sentAt?.milliseconds,
                    record.until?.milliseconds,
                ])
        case .forgetGiven(let id): try database.execute(sql: "DELETE FROM given WHERE id = ?", arguments: [id])
        case .received(let record):
            try database.execute(
                sql: "INSERT OR REPLACE INTO received VALUES (?, ?, ?, ?, ?, ?, ?)",
                arguments: [
                    blob(record.peer.bytes), blob(record.address.descriptor), blob(record.channelID),
                    record.receivedAt.milliseconds, record.validatedAt?.milliseconds,
                    record.lastSuccessAt?.milliseconds, record.lastFailureAt?.milliseconds,
                ])
        case .forgetReceived(let peer):
            try database.execute(sql: "DELETE FROM received WHERE peer = ?", arguments: [blob(peer.bytes)])
        case .peer(let record):
            try database.execute(
                sql: "INSERT OR REPLACE INTO peer VALUES (?, ?, ?, ?)",
                arguments: [
                    blob(record.peer.bytes), record.isWithheld, record.mayHold,
                    record.stood.wholeNanoseconds / 1_000_000,
                ])
        case .forgetPeer(let peer):
            try database.execute(sql: "DELETE FROM peer WHERE peer = ?", arguments: [blob(peer.bytes)])
        }
    }

    // MARK: - Onion services

    /// The key of an endpoint's onion service, as Tor writes it, and its address.
    public func onionService(_ endpoint: EndpointID) throws(AlternativeAddressStoreError) -> OnionServiceRecord? {
        try self.perform("read") { database in
            let row = try Row.fetchOne(
                database, sql: "SELECT * FROM onion WHERE endpoint = ?", arguments: [endpoint.description])
            return try row.map { row in
                OnionServiceRecord(key: try row.value("key"), address: try row.address())
            }
        }
    }

    /// Keeps the key of an endpoint's onion service, so that its address stays the same.
    public func save(
        _ service: OnionServiceRecord, of endpoint: EndpointID
    ) throws(AlternativeAddressStoreError) {
        try self.perform("write") { database in
            try database.execute(
                sql: "INSERT OR REPLACE INTO onion VALUES (?, ?, ?)",
                arguments: [endpoint.description, service.key, blob(service.address.descriptor)])
        }
    }

    private func perform<Result>(
        _ verb: String, _ body: (Database) throws -> Result
    ) throws(AlternativeAddressStoreError) -> Result {
        do {
            return try self.database.write(body)
        } catch {
            throw Self.failure(verb, self.path, error)
        }
    }
}
