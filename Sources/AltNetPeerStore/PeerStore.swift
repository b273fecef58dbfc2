// SPDX-License-Identifier: MIT

public import AltNetBase
internal import AltNetBitcoin
public import AltNetPeerRecords
internal import GRDB
internal import Glibc
internal import Synchronization

/// The durable peer store: one SQLite file, mode 0600, one process at a time.
///
/// What ``learn(_:now:)`` returns as stored survives the process however it ends. A power cut may take the last
/// transactions with it, except those with something that the operator typed; it never damages the file.
public final class PeerStore: PeerStoring {
    /// The name of the file in a data directory.
    public static let fileName = "peers.sqlite"
    /// How long another holder of the file is waited for, in seconds.
    private static let patience = 3.0
    /// Memory for pages of the file, in KiB: most of a store of a million addresses, so that a look-up there costs little
    /// more than in a small one. A small store takes what it needs.
    private static let cacheSize = 65_536
    /// When the write-ahead log is written back, in pages of 4 KiB: as often as a page is changed until then, it is
    /// written back once.
    private static let journalPages = 4_000

    private struct State: Sendable {
        var ledger: PeerLedger
        var swept: PeerID?
    }

    private let database: DatabaseQueue
    private let path: String
    private let filter: AddressFilter
    private let chain: BlockHash?
    /// Only touched while the database is held.
    private let state: Mutex<State>

    /// Opens or creates the file. One that is damaged, newer or in use is left as it is.
    public convenience init(
        directory: String, settings: PeerStoreSettings = PeerStoreSettings()
    ) throws(PeerStoreError) {
        try self.init(directory: directory, settings: settings, salt: .random(in: .min ... .max))
    }

    /// - Parameter salt: of a file that is created now.
    init(directory: String, settings: PeerStoreSettings, salt: UInt64) throws(PeerStoreError) {
        let path = "\(directory)/\(Self.fileName)"
        self.path = path
        self.filter = settings.filter
        self.chain = settings.chain
        try Self.protect(path)
        do {
            self.database = try DatabaseQueue(path: path, configuration: Self.configuration)
            let migrator = Self.migrator(salt)
            guard try !self.database.read({ try migrator.hasBeenSuperseded($0) }) else {
                throw PeerStoreError(.newerVersion, "\(path) was written by a newer version of AltNet")
            }
            try migrator.migrate(self.database)
            // Takes the lock for good, and counts.
            let ledger = try self.database.write { database in
                try database.execute(sql: "DELETE FROM peer WHERE 0")
                return try Self.ledger(database, settings.capacity)
            }
            self.state = Mutex(State(ledger: ledger))
        } catch {
            throw Self.failure("open", path, error)
        }
    }

    private static var configuration: Configuration {
        var configuration = Configuration()
        // A process that has just ended may still be letting go.
        configuration.busyMode = .timeout(Self.patience)
        configuration.prepareDatabase { database in
            // What is held for the whole life of this process needs no lock for each query.
            try database.execute(
                sql: """
                    PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
                    PRAGMA foreign_keys = OFF; PRAGMA cache_size = -\(Self.cacheSize);
                    PRAGMA wal_autocheckpoint = \(Self.journalPages);
                    PRAGMA journal_size_limit = \(Self.journalPages * 4_096)
                    """)
        }
        return configuration
    }

    /// Append-only: a migration that has been released is never changed.
    private static func migrator(_ salt: UInt64) -> DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 peers") { database in
            // One row for a peer with all of its addresses: they are read together, and replaced together. `due` in
            // milliseconds since 1970; the rest is told at `Place` and in `EntryCoding.swift`.
            try database.execute(
                sql: """
                    CREATE TABLE peer (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, standing INTEGER NOT NULL,
                        bucket INTEGER NOT NULL, lot INTEGER NOT NULL, units INTEGER NOT NULL, due INTEGER,
                        entry BLOB NOT NULL);
                    CREATE INDEX peerByPlace ON peer (standing, bucket, lot, units);
                    CREATE TABLE secret (salt INTEGER NOT NULL);
                    """)
            try database.execute(
                sql: "INSERT INTO secret VALUES (?)", arguments: [Int64(truncatingIfNeeded: salt)])
        }
        // Nothing changes in the tables. Rows may hold addresses of nodes from now on, which versions before this take
        // for damage: so they say that the file is newer.
        migrator.registerMigration("2 nodes") { _ in }
        return migrator
    }

    /// What the rows add up to.
    private static func ledger(_ database: Database, _ capacity: Int) throws -> PeerLedger {
        guard let salt = try Int64.fetchOne(database, sql: "SELECT salt FROM secret") else { throw EntryDamaged() }
        var ledger = PeerLedger(capacity: capacity, salt: UInt64(bitPattern: salt))
        let rows = try Row.fetchCursor(
            database, sql: "SELECT standing, bucket, count(*), sum(units) FROM peer GROUP BY standing, bucket")
        while let row = try rows.next() {
            guard let standing = try Standing(rawValue: row.number(0)) else { throw EntryDamaged() }
            ledger.count(standing, try row.number(1), peers: try row.number(2), units: try row.number(3))
        }
        return ledger
    }

    /// Makes the file before SQLite does, because SQLite gives its own files the mode of the database.
    private static func protect(_ path: String) throws(PeerStoreError) {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw PeerStoreError(.system, "cannot open \(path): \(String(cString: strerror(errno)))")
        }
        defer { Glibc.close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw PeerStoreError(.system, "cannot look at \(path): \(String(cString: strerror(errno)))")
        }
        guard status.st_mode & 0o077 == 0 else {
            throw PeerStoreError(.system, "\(path) can be read by others; run: chmod 600 \(path)")
        }
    }

    private static func failure(_ verb: String, _ path: String, _ error: any Error) -> PeerStoreError {
        func damaged(_ details: String) -> PeerStoreError {
            PeerStoreError(.damaged, "\(path) is damaged (\(details)); move it away to go on without the peers in it")
        }
        if let error = error as? PeerStoreError { return error }
        if let peer = (error as? EntryDamaged)?.peer {
            return PeerStoreError(
                .damaged, "\(path) is damaged: what it holds of \(peer) is not what was written; forget that peer")
        }
        guard let error = error as? DatabaseError else { return damaged("a row is not what was written") }
        switch error.resultCode {
        case .SQLITE_NOTADB, .SQLITE_CORRUPT: return damaged(error.message ?? "no details")
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            return PeerStoreError(.locked, "\(path) is held by another process; stop it, or ask it")
        default:
            // Not the whole error: GRDB's description shows the statement with its arguments.
            return PeerStoreError(.system, "cannot \(verb) \(path): \(error.message ?? "no details")")
        }
    }

    // MARK: - Reading

    public func known(_ peers: [PeerID], now: WallClockTime) throws(PeerStoreError) -> [KnownPeer] {
        try Self.check(peers)
        return try self.read { database in
            let entries = try PeerTableRows.entries(database, of: peers)
            return try peers.compactMap { peer in
                do throws(EntryDamaged) {
                    return try entries[peer]?.known(peer, now: now, filter: self.filter)
                } catch {
                    guard peers.count > 1 else { throw error }
                    return nil
                }
            }
        }
    }

    public func signedPeerRecords(
        of peers: [PeerID], to network: LocalNetwork?, now: WallClockTime
    ) throws(PeerStoreError) -> [PeerHandout] {
        try Self.check(peers)
        return try self.read { database in
            let entries = try PeerTableRows.entries(database, of: peers)
            return peers.compactMap { entries[$0]?.handout($0, to: network, now: now, filter: self.filter) }
        }
    }

    public func nodeRecords(of peers: [PeerID], now: WallClockTime) throws(PeerStoreError) -> [[UInt8]] {
        try Self.check(peers)
        return try self.read { database in
            let entries = try PeerTableRows.entries(database, of: peers)
            return peers.compactMap { entries[$0]?.nodeHandout(now) }
        }
    }

    public func list(after peer: PeerID?, limit: Int, now: WallClockTime) throws(PeerStoreError) -> PeerPage {
        let limit = Self.page(limit)
        return try self.read { database in
            let rows = try PeerTableRows.page(database, after: peer, limit: limit)
            var (peers, damaged): ([KnownPeer], [PeerID]) = ([], [])
            for row in rows {
                do throws(EntryDamaged) {
                    guard let entry = row.entry else { throw EntryDamaged() }
                    if let peer = try entry.known(row.id, now: now, filter: self.filter) { peers.append(peer) }
                } catch {
                    damaged.append(row.id)
                }
            }
            return PeerPage(peers: peers, damaged: damaged, next: rows.count < limit ? nil : rows.last?.id)
        }
    }

    public func counts() throws(PeerStoreError) -> PeerCounts {
        self.state.withLock { PeerCounts($0.ledger) }
    }

    private func read<Result>(_ body: (Database) throws -> Result) throws(PeerStoreError) -> Result {
        do {
            // A single query needs no transaction, and this does not make the connection read-only first.
            return try self.database.unsafeRead(body)
        } catch {
            throw Self.failure("read", self.path, error)
        }
    }

    // MARK: - Writing

    public func learn(_ news: [PeerNews], now: WallClockTime) throws(PeerStoreError) -> [NewsOutcome] {
        try Self.check(news)
        guard !news.isEmpty else { return [] }
        return try self.write(isUsers: news.contains(where: \.isUsers)) { database, state in
            var table = PeerTableRows(database)
            try table.load(news.compactMap(\.peer))
            let checked = news.map { item in
                CheckedNews(item, known: item.peer.flatMap { try? table.row(of: $0)?.entry }, chain: self.chain)
            }
            try table.load(checked.compactMap(\.peer))
            return try checked.map { try state.ledger.learn($0, now: now, filter: self.filter, in: &table) }
        }
    }

    public func forget(_ peer: PeerID) throws(PeerStoreError) -> Bool {
        try self.write(isUsers: true) { database, state in
            // Without reading the entry, so that a damaged one can be forgotten.
            guard let (number, place) = try PeerTableRows.place(database, of: peer) else { return false }
            var table = PeerTableRows(database)
            state.ledger.count(place, sign: -1)
            try table.evict(peer, number: number, place)
            return true
        }
    }

    public func forget(
        _ address: Multiaddress, of peer: PeerID, now: WallClockTime
    ) throws(PeerStoreError) -> Bool {
        try self.write(isUsers: true) { database, state in
            var table = PeerTableRows(database)
            try table.load([peer])
            return try state.ledger.forget(address, of: peer, now: now, in: &table)
        }
    }

    public func sweep(limit: Int, now: WallClockTime) throws(PeerStoreError) -> Int {
        let limit = Self.page(limit)
        return try self.write(isUsers: false) { database, state in
            let (due, last) = try PeerTableRows.due(database, after: state.swept, limit: limit, now: now)
            var table = PeerTableRows(database)
            try table.load(due)
            var changed = 0
            for peer in due {
                do {
                    if try state.ledger.sweep(peer, now: now, in: &table) { changed += 1 }
                } catch let error as EntryDamaged where error.peer == peer {
                    // The sweep goes on behind it. Whoever lists or asks is told of it.
                    continue
                }
            }
            state.swept = last
            return changed
        }
    }

    /// One transaction, which changes the counts only when it is written.
    ///
    /// - Parameter isUsers: whether it has to survive a power cut.
    private func write<Result>(
        isUsers: Bool, _ body: (Database, inout State) throws -> Result
    ) throws(PeerStoreError) -> Result {
        do {
            return try self.database.writeWithoutTransaction { database in
                if isUsers { try database.execute(sql: "PRAGMA synchronous = FULL") }
                defer { if isUsers { try? database.execute(sql: "PRAGMA synchronous = NORMAL") } }
                var state = self.state.withLock { $0 }
                var result: Result?
                try database.inTransaction(.immediate) {
                    result = try body(database, &state)
                    return .commit
                }
                self.state.withLock { [state] in $0 = state }
                guard let result else { throw EntryDamaged() }
                return result
            }
        } catch {
            throw Self.failure("write", self.path, error)
        }
    }
}
