// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetOnion

/// Where a reply for an onion comes from: the neighbour that was sent the onion, and the onion's SHA-256.
struct SentOnion: Hashable, Sendable {
    let neighbour: NodeID
    let hash: [UInt8]
}

/// What a reply needs on its way back through us.
struct RememberedForward: Sendable {
    /// Whom the onion was sent to, and what it was.
    let sent: SentOnion
    /// Whom it came from, and what its SHA-256 was then: what our `directed_reply` will name.
    let received: SentOnion
    let secret: OnionSecret
    let deadline: MonotonicInstant
}

/// The forwards whose replies may still come.
struct RememberedForwards: Sendable {
    private let limit: Int
    /// Dense, so that a random one is found by its index.
    private var entries: [RememberedForward] = []
    private var index: [SentOnion: Int] = [:]
    /// How many forwards each neighbour holds that they came from.
    private var held: [NodeID: Int] = [:]
    /// No forward ends before this moment; `nil` when there is none.
    private(set) var deadline: MonotonicInstant?

    init(limit: Int) {
        self.limit = max(1, limit)
    }

    var count: Int { self.entries.count }

    func contains(_ sent: SentOnion) -> Bool { self.index[sent] != nil }

    /// Remembers a forward; `true` when another was forgotten for it. Nothing with the same `sent` MUST be remembered.
    ///
    /// The one to go is a random one among those of the neighbour that holds most. So a neighbour that floods us pushes
    /// out its own, and one that holds less than an equal share loses nothing.
    mutating func insert(_ forward: RememberedForward, using random: inout some RandomNumberGenerator) -> Bool {
        let isFull = self.entries.count >= self.limit
        if isFull, let victim = self.victim(using: &random) { self.remove(at: victim) }
        self.index[forward.sent] = self.entries.count
        self.entries.append(forward)
        self.held[forward.received.neighbour, default: 0] += 1
        self.deadline = min(self.deadline ?? forward.deadline, forward.deadline)
        return isFull
    }

    /// Takes the forward that a reply belongs to.
    mutating func remove(_ sent: SentOnion) -> RememberedForward? {
        self.index[sent].map { self.remove(at: $0) }
    }

    /// Takes all forwards that meet a condition.
    mutating func removeAll(where isMatch: (RememberedForward) -> Bool) -> [RememberedForward] {
        var removed: [RememberedForward] = []
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

    /// Takes the forwards whose time has come.
    mutating func expire(now: MonotonicInstant) -> [RememberedForward] {
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
        return self.entries.indices.lazy.filter { self.entries[$0].received.neighbour == most.key }
            .dropFirst(chosen).first
    }

    @discardableResult
    private mutating func remove(at position: Int) -> RememberedForward {
        let removed = self.entries[position]
        let last = self.entries.removeLast()
        self.index[removed.sent] = nil
        if position < self.entries.count {
            self.entries[position] = last
            self.index[last.sent] = position
        }
        if let count = self.held[removed.received.neighbour], count > 1 {
            self.held[removed.received.neighbour] = count - 1
        } else {
            self.held[removed.received.neighbour] = nil
        }
        return removed
    }
}
