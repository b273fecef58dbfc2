// SPDX-License-Identifier: MIT

internal import AltNetBitcoin

/// From a block hash to the number of its node: an open-addressing table of 32-bit numbers beside the column of hashes.
///
/// A tenth of the memory of a `Dictionary` of the same content; at a million headers that is what the daemon's size
/// hangs on. The secret salt keeps whoever grinds hashes from filling one corner of the table.
struct HeaderIndex: Sendable {
    private static let empty = UInt32.max

    private var slots: [UInt32]
    private let salt: UInt64

    init(salt: UInt64) {
        self.salt = salt
        self.slots = Array(repeating: Self.empty, count: 1024)
    }

    /// Makes room for `count` nodes: a power of two of slots, at least half of them empty.
    mutating func reserve(_ count: Int, in hashes: [BlockHash]) {
        var capacity = self.slots.count
        while capacity < count * 2 { capacity *= 2 }
        guard capacity > self.slots.count else { return }
        self.slots = Array(repeating: Self.empty, count: capacity)
        let salt = self.salt
        self.slots.withUnsafeMutableBufferPointer { slots in
            for (node, hash) in hashes.enumerated() {
                var slot = Self.start(hash, salt: salt, capacity: capacity)
                while slots[slot] != Self.empty { slot = (slot + 1) & (capacity - 1) }
                slots[slot] = UInt32(node)
            }
        }
    }

    func find(_ hash: BlockHash, in hashes: [BlockHash]) -> UInt32? {
        var slot = self.start(hash)
        while true {
            let node = self.slots[slot]
            if node == Self.empty { return nil }
            if hashes[Int(node)] == hash { return node }
            slot = (slot + 1) & (self.slots.count - 1)
        }
    }

    /// Adds a node that is about to become `hashes[node]`; `false` when the hash is there already.
    mutating func insert(_ hash: BlockHash, as node: UInt32, in hashes: [BlockHash]) -> Bool {
        self.reserve(hashes.count + 1, in: hashes)
        var slot = self.start(hash)
        while self.slots[slot] != Self.empty {
            guard hashes[Int(self.slots[slot])] != hash else { return false }
            slot = (slot + 1) & (self.slots.count - 1)
        }
        self.slots[slot] = node
        return true
    }

    /// Adds the nodes from `first` to the end of `hashes`. In one loop, so that the memory's latencies overlap.
    ///
    /// - Returns: `false` when one of the hashes is there already; the index is of no use any more then.
    mutating func insert(from first: Int, in hashes: [BlockHash]) -> Bool {
        guard hashes.count * 2 <= self.slots.count else {
            // The table is made anew; whether a hash is twice in it is not asked then.
            self.reserve(hashes.count, in: hashes)
            return true
        }
        let salt = self.salt
        let capacity = self.slots.count
        return self.slots.withUnsafeMutableBufferPointer { slots in
            hashes.withUnsafeBufferPointer { hashes in
                for node in first..<hashes.count {
                    let hash = hashes[node]
                    var slot = Self.start(hash, salt: salt, capacity: capacity)
                    while slots[slot] != Self.empty {
                        guard hashes[Int(slots[slot])] != hash else { return false }
                        slot = (slot + 1) & (capacity - 1)
                    }
                    slots[slot] = UInt32(node)
                }
                return true
            }
        }
    }

    private func start(_ hash: BlockHash) -> Int {
        Self.start(hash, salt: self.salt, capacity: self.slots.count)
    }

    private static func start(_ hash: BlockHash, salt: UInt64, capacity: Int) -> Int {
        var mixed = (hash.number.limbs.0 ^ salt) &* 0x9e37_79b9_7f4a_7c15
        mixed ^= mixed >> 32
        mixed = (mixed ^ hash.number.limbs.1) &* 0xbf58_476d_1ce4_e5b9
        return Int(truncatingIfNeeded: mixed >> 20) & (capacity - 1)
    }
}
