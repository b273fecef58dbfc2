// SPDX-License-Identifier: MIT

internal import AltNetBase

/// A bounded table of what others put here, in which nobody can push out the entries of the rest.
///
/// When it is full, the source with the most entries loses its oldest: whoever floods loses entries of its own. A
/// source is what is expensive to have many of, the network group of an address.
struct FairStore<Key: Hashable & Sendable, Value: Equatable & Sendable>: Sendable {
    private struct Entry: Sendable {
        var value: Value
        var source: String
        var expiry: MonotonicInstant
    }

    /// The most entries.
    let capacity: Int
    /// The most entries of one source.
    let capacityPerSource: Int
    private var entries: [Key: Entry] = [:]
    private var keys: [String: [Key]] = [:]

    init(capacity: Int, capacityPerSource: Int) {
        self.capacity = capacity
        self.capacityPerSource = capacityPerSource
    }

    var count: Int { self.entries.count }

    func count(of source: String) -> Int { self.keys[source]?.count ?? 0 }

    /// The value, unless it has expired.
    func value(of key: Key, now: MonotonicInstant) -> Value? {
        guard let entry = self.entries[key], now < entry.expiry else { return nil }
        return entry.value
    }

    /// Who put the entry here first.
    func source(of key: Key) -> String? { self.entries[key]?.source }

    /// Inserts or replaces. A replaced entry belongs to the new source from then on; one that is only said again stays
    /// with the source that said it first, for otherwise anybody could make it his own by repeating it, and then push it
    /// out.
    /// - Returns: the key that had to go to make room.
    @discardableResult
    mutating func insert(_ value: Value, for key: Key, source: String, expiry: MonotonicInstant) -> Key? {
        if let entry = self.entries[key], entry.value == value {
            self.entries[key]?.expiry = max(entry.expiry, expiry)
            self.keys[entry.source]?.removeAll { $0 == key }
            self.keys[entry.source]?.append(key)
            return nil
        }
        self.remove(key)
        var evicted: Key?
        if self.count(of: source) >= self.capacityPerSource {
            evicted = self.evictOldest(of: source)
        } else if self.entries.count >= self.capacity {
            // Of two with as many entries the name decides, so that the same input always has the same result.
            let largest = self.keys.max { ($0.value.count, $1.key) < ($1.value.count, $0.key) }
            if let largest { evicted = self.evictOldest(of: largest.key) }
        }
        self.entries[key] = Entry(value: value, source: source, expiry: expiry)
        self.keys[source, default: []].append(key)
        return evicted
    }

    mutating func remove(_ key: Key) {
        guard let entry = self.entries.removeValue(forKey: key) else { return }
        self.keys[entry.source]?.removeAll { $0 == key }
        if self.keys[entry.source]?.isEmpty == true { self.keys[entry.source] = nil }
    }

    /// Forgets what has expired, and returns its keys.
    @discardableResult
    mutating func expire(now: MonotonicInstant) -> [Key] {
        let expired = self.entries.filter { $0.value.expiry <= now }.map(\.key)
        for key in expired { self.remove(key) }
        return expired
    }

    private mutating func evictOldest(of source: String) -> Key? {
        guard let key = self.keys[source]?.first else { return nil }
        self.remove(key)
        return key
    }
}
