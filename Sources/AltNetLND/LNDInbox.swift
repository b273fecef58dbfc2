// SPDX-License-Identifier: MIT

internal import AltNetKeys

/// What LND told and we have not handled yet, in its order.
///
/// LND itself keeps what a slow subscriber does not read, without a bound. So we read at once and drop what is too
/// much, for the peer that sends it first.
struct LNDInbox: Sendable {
    enum Item: Hashable, Sendable {
        case message(from: NodeID, [UInt8])
        case onion(by: NodeID, LNDOnion)
        case online(NodeID)
        case offline(NodeID)
    }

    /// What became of a message.
    enum Outcome: Hashable, Sendable {
        case kept
        case dropped
    }

    /// Messages of one peer that may wait: four of the largest blocks, in parts as large as a message may be.
    static let maximumMessagesPerPeer = 256
    /// Bytes of one peer's waiting messages: one of the largest blocks, and half of another.
    static let maximumBytesPerPeer = 6 << 20
    /// Bytes of all waiting messages: what four peers may have waiting.
    static let maximumBytes = 24 << 20
    /// News of peers that may wait. More than this means that nobody handles them, and the attachment begins anew.
    static let maximumPeerEvents = 4096

    private struct Share {
        var messages = 0
        var bytes = 0
    }

    /// Handled items leave `nil` behind until the array is compacted, so that their bytes are free at once.
    private var items: [Item?] = []
    private var head = 0
    private var shares: [NodeID: Share] = [:]
    private var bytes = 0
    private var peerEvents = 0
    /// Whether the peers must be listed anew.
    var isStale = false

    var isEmpty: Bool { self.head == self.items.count }

    /// Takes a message, its type included.
    mutating func offer(_ message: [UInt8], from peer: NodeID) -> Outcome {
        self.offer(.message(from: peer, message), of: message.count, from: peer)
    }

    /// Takes an onion message that a peer brought, whoever made it.
    mutating func offer(_ onion: LNDOnion, by peer: NodeID) -> Outcome {
        self.offer(.onion(by: peer, onion), of: onion.count, from: peer)
    }

    private mutating func offer(_ item: Item, of count: Int, from peer: NodeID) -> Outcome {
        var share = self.shares[peer] ?? Share()
        share.messages += 1
        share.bytes += count
        guard share.messages <= Self.maximumMessagesPerPeer, share.bytes <= Self.maximumBytesPerPeer,
            self.bytes + count <= Self.maximumBytes
        else { return .dropped }
        self.shares[peer] = share
        self.bytes += count
        self.items.append(item)
        return .kept
    }

    /// Takes news of a peer.
    mutating func offer(online peer: NodeID) -> Outcome { self.offer(.online(peer)) }

    /// Takes news of a peer.
    mutating func offer(offline peer: NodeID) -> Outcome { self.offer(.offline(peer)) }

    private mutating func offer(_ item: Item) -> Outcome {
        guard self.peerEvents < Self.maximumPeerEvents else { return .dropped }
        self.peerEvents += 1
        self.isStale = true
        self.items.append(item)
        return .kept
    }

    /// The oldest that waits.
    mutating func next() -> Item? {
        guard self.head < self.items.count, let item = self.items[self.head] else { return nil }
        self.items[self.head] = nil
        self.head += 1
        if self.head == self.items.count {
            self.items.removeAll(keepingCapacity: self.head <= Self.maximumPeerEvents)
            self.head = 0
        } else if self.head >= 1024, self.head * 2 >= self.items.count {
            self.items.removeFirst(self.head)
            self.head = 0
        }
        switch item {
        case .online, .offline: self.peerEvents -= 1
        case .message(let peer, let message): self.release(message.count, of: peer)
        case .onion(let peer, let onion): self.release(onion.count, of: peer)
        }
        return item
    }

    private mutating func release(_ count: Int, of peer: NodeID) {
        self.bytes -= count
        guard var share = self.shares[peer] else { return }
        share.messages -= 1
        share.bytes -= count
        self.shares[peer] = share.messages > 0 ? share : nil
    }
}
