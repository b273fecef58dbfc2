// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys

/// Something that is kept for a neighbour until its time is over.
protocol NeighbourEntry: Sendable {
    associatedtype Key: Hashable & Sendable

    var key: Key { get }
    /// Whom it came from, and whose share it counts for.
    var neighbour: NodeID { get }
    var deadline: MonotonicInstant { get }
}

/// A bounded number of places, of which a neighbour that wants most loses first.
struct FairlyShared<Entry: NeighbourEntry>: Sendable {
    private let limit: Int
    /// Dense, so that a random one is found by its index.
    private var entries: [Entry] = []
    private var index: [Entry.Key: Int] = [:]
    /// How many entries each neighbour holds.
    private var held: [NodeID: Int] = [:]
    /// No entry ends before this moment; `nil` when there is none.
    private(set) var deadline: MonotonicInstant?

    init(limit: Int) {
        self.limit = max(1, limit)
    }

    var count: Int { self.entries.count }

    func contains(_ key: Entry.Key) -> Bool { self.index[key] != nil }

    /// Keeps an entry; `true` when another was forgotten for it. Nothing with the same key MUST be kept.
    ///
    /// The one to go is a random one among those of the neighbour that holds most. So a neighbour that floods us pushes
    /// out its own, and one that holds less than an equal share loses nothing.
    mutating func insert(_ entry: Entry, using random: inout some RandomNumberGenerator) -> Bool {
        let isFull = self.entries.count >= self.limit
        if isFull, let victim = self.victim(using: &random) { self.remove(at: victim) }
        self.index[entry.key] = self.entries.count
        self.entries.append(entry)
        self.held[entry.neighbour, default: 0] += 1
        self.deadline = min(self.deadline ?? entry.deadline, entry.deadline)
        return isFull
    }

    /// Takes an entry.
    mutating func remove(_ key: Entry.Key) -> Entry? {
        self.index[key].map { self.remove(at: $0) }
    }

    /// Takes all entries that meet a condition.
    mutating func removeAll(where isMatch: (Entry) -> Bool) -> [Entry] {
        var removed: [Entry] = []
        var position = 0
        while position < self.entries.count {
            if isMatch(self.entries[position]) {
                removed.append(self.remove(at: position))
            } else {
                position += 1
            }
        }
        return removed
    }

    /// Takes the entries whose time has come.
    mutating func expire(now: MonotonicInstant) -> [Entry] {
        guard let deadline = self.deadline, deadline <= now else { return [] }
        let expired = self.removeAll { $0.deadline <= now }
        self.deadline = self.entries.map(\.deadline).min()
        return expired
    }

    private func victim(using random: inout some RandomNumberGenerator) -> Int? {
        // The identity breaks ties, so that a simulation repeats itself.
        let most = self.held.max { one, other in
            one.value == other.value
                ? one.key.bytes.lexicographicallyPrecedes(other.key.bytes) : one.value < other.value
        }
        guard let most else { return nil }
        let chosen = Int.random(in: 0..<most.value, using: &random)
        return self.entries.indices.lazy.filter { self.entries[$0].neighbour == most.key }
            .dropFirst(chosen).first
    }

    @discardableResult
    private mutating func remove(at position: Int) -> Entry {
        let removed = self.entries[position]
        let last = self.entries.removeLast()
        self.index[removed.key] = nil
        if position < self.entries.count {
            self.entries[position] = last
            self.index[last.key] = position
        }
        if let count = self.held[removed.neighbour], count > 1 {
            self.held[removed.neighbour] = count - 1
        } else {
            self.held[removed.neighbour] = nil
        }
        return removed
    }
}
