// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetPeerRecords
internal import Synchronization

/// A peer store that ends with the process: for tests, and for programs that run once.
///
/// The same rules as ``PeerStore``, with dictionaries instead of a disk.
public final class MemoryPeerStore: PeerStoring {
    private struct State: Sendable {
        var ledger: PeerLedger
        var table = MemoryPeerTable()
        var swept: PeerID?
    }

    private let settings: PeerStoreSettings
    private let state: Mutex<State>

    /// - Parameter salt: a secret number, from the system.
    public init(
        settings: PeerStoreSettings = PeerStoreSettings(), salt: UInt64 = .random(in: .min ... .max)
    ) {
        self.settings = settings
        self.state = Mutex(State(ledger: PeerLedger(capacity: settings.capacity, salt: salt)))
    }

    public func known(_ peers: [PeerID], now: WallClockTime) throws(PeerStoreError) -> [KnownPeer] {
        try Self.check(peers)
        return try self.perform { state in
            try peers.compactMap { try state.table.rows[$0]?.entry.known($0, now: now, filter: self.settings.filter) }
        }
    }

    public func signedPeerRecords(
        of peers: [PeerID], to network: LocalNetwork?, now: WallClockTime
    ) throws(PeerStoreError) -> [PeerHandout] {
        try Self.check(peers)
        return try self.perform { state in
            peers.compactMap {
                state.table.rows[$0]?.entry.handout($0, to: network, now: now, filter: self.settings.filter)
            }
        }
    }

    public func nodeRecords(of peers: [PeerID], now: WallClockTime) throws(PeerStoreError) -> [[UInt8]] {
        try Self.check(peers)
        return try self.perform { state in peers.compactMap { state.table.rows[$0]?.entry.nodeHandout(now) } }
    }

    public func learn(_ news: [PeerNews], now: WallClockTime) throws(PeerStoreError) -> [NewsOutcome] {
        try Self.check(news)
        return try self.perform { state in
            try news.map { item in
                let known = item.peer.flatMap { state.table.rows[$0]?.entry }
                return try state.ledger.learn(
                    CheckedNews(item, known: known, chain: self.settings.chain), now: now, filter: self.settings.filter,
                    in: &state.table)
            }
        }
    }

    public func list(after peer: PeerID?, limit: Int, now: WallClockTime) throws(PeerStoreError) -> PeerPage {
        let limit = Self.page(limit)
        return try self.perform { state in
            let ids = state.table.ids(after: peer, limit: limit)
            let peers = try ids.compactMap {
                try state.table.rows[$0]?.entry.known($0, now: now, filter: self.settings.filter)
            }
            return PeerPage(peers: peers, damaged: [], next: ids.count < limit ? nil : ids.last)
        }
    }

    public func forget(_ peer: PeerID) throws(PeerStoreError) -> Bool {
        try self.perform { state in
            guard let row = state.table.rows[peer] else { return false }
            try state.ledger.remove(peer, row, in: &state.table)
            return true
        }
    }

    public func forget(
        _ address: Multiaddress, of peer: PeerID, now: WallClockTime
    ) throws(PeerStoreError) -> Bool {
        try self.perform { state in
            try state.ledger.forget(address, of: peer, now: now, in: &state.table)
        }
    }

    public func counts() throws(PeerStoreError) -> PeerCounts {
        try self.perform { PeerCounts($0.ledger) }
    }

    public func sweep(limit: Int, now: WallClockTime) throws(PeerStoreError) -> Int {
        let limit = Self.page(limit)
        return try self.perform { state in
            let ids = state.table.ids(after: state.swept, limit: limit)
            state.swept = ids.count < limit ? nil : ids.last
            var changed = 0
            for id in ids where try state.ledger.sweep(id, now: now, in: &state.table) { changed += 1 }
            return changed
        }
    }

    private func perform<Result>(
        _ body: (inout State) throws -> sending Result
    ) throws(PeerStoreError) -> sending Result {
        do {
            return try self.state.withLock { state in try body(&state) }
        } catch {
            throw PeerStoreError(.damaged, "the peer store in memory is damaged: \(error)")
        }
    }
}

/// Rows in dictionaries, with what is needed to find them in order.
struct MemoryPeerTable: PeerTable, Sendable {
    private(set) var rows: [PeerID: PeerRow] = [:]
    /// Sorted.
    private var ids: [PeerID] = []
    /// Unproven peers by bucket, sorted by lot.
    private var lots: [UInt16: [Lot]] = [:]

    private struct Lot: Comparable, Sendable {
        let lot: UInt64
        let peer: PeerID

        static func < (left: Self, right: Self) -> Bool { (left.lot, left.peer) < (right.lot, right.peer) }
    }

    func row(of peer: PeerID) throws -> PeerRow? { self.rows[peer] }

    mutating func write(_ row: PeerRow, of peer: PeerID, encoded: [UInt8], was: PeerRow?) throws {
        if let was { self.unlist(peer, was.place) } else { self.ids.insertSorted(peer) }
        self.rows[peer] = row
        if row.place.standing == .unproven {
            self.lots[row.place.bucket, default: []].insertSorted(Lot(lot: row.place.lot, peer: peer))
        }
    }

    mutating func remove(_ peer: PeerID, _ row: PeerRow) throws {
        try self.evict(peer, number: 0, row.place)
    }

    func victim(bucket: UInt16, except peer: PeerID) throws -> (peer: PeerID, number: Int64, place: Place)? {
        for lot in self.lots[bucket, default: []].prefix(2) where lot.peer != peer {
            return self.rows[lot.peer].map { (lot.peer, 0, $0.place) }
        }
        return nil
    }

    mutating func evict(_ peer: PeerID, number: Int64, _ place: Place) throws {
        self.unlist(peer, place)
        self.rows[peer] = nil
        self.ids.removeSorted(peer)
    }

    private mutating func unlist(_ peer: PeerID, _ place: Place) {
        guard place.standing == .unproven else { return }
        self.lots[place.bucket]?.removeSorted(Lot(lot: place.lot, peer: peer))
        if self.lots[place.bucket]?.isEmpty == true { self.lots[place.bucket] = nil }
    }

    func ids(after peer: PeerID?, limit: Int) -> [PeerID] {
        var start = peer.map { self.ids.position(of: $0) } ?? 0
        if start < self.ids.count, self.ids[start] == peer { start += 1 }
        return Array(self.ids[start...].prefix(max(0, limit)))
    }
}

extension Array where Element: Comparable {
    /// Of the first element that is not below the value.
    fileprivate func position(of value: Element) -> Int {
        var (low, high) = (0, self.count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < value { low = middle + 1 } else { high = middle }
        }
        return low
    }

    fileprivate mutating func insertSorted(_ value: Element) {
        self.insert(value, at: self.position(of: value))
    }

    fileprivate mutating func removeSorted(_ value: Element) {
        let position = self.position(of: value)
        if position < self.count, self[position] == value { self.remove(at: position) }
    }
}
