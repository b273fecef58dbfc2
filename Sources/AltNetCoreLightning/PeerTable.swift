// SPDX-License-Identifier: MIT

internal import AltNetKeys
internal import AltNetLightningAttachment

/// The peers that the receiver of events knows to be connected.
///
/// lightningd tells of a connection late: messages of a peer may come before `connect` does, and a list of peers may
/// name one whose `connect` is still on its way. The table makes one clean sequence of that: connected, then messages,
/// then disconnected.
struct PeerTable: Sendable {
    /// The most peers; others are not told of. Large nodes have some thousands of connections.
    static let maximumPeers = 8_192

    /// How we learnt that a peer is connected.
    enum Source: Hashable, Sendable {
        /// By its `connect`.
        case notification
        /// By a message or a list; its `connect` may still come.
        case other
    }

    private struct Entry {
        var peer: AttachedPeer
        var source: Source
    }

    private var entries: [NodeID: Entry] = [:]
    /// Peers that were not told of because the table is full.
    private(set) var refused = 0

    /// Whether the receiver knows this peer.
    func knows(_ peer: NodeID) -> Bool { self.entries[peer] != nil }

    /// The peers that the receiver knows.
    var peers: Set<NodeID> { Set(self.entries.keys) }

    /// What to do about a `connect`.
    enum Arrival: Hashable, Sendable {
        /// Ask the node about the peer, and tell these before.
        case look([AttachmentEvent])
        /// The receiver knows already.
        case known
    }

    /// A `connect` came.
    mutating func onConnect(_ peer: NodeID) -> Arrival {
        guard let entry = self.entries[peer] else { return .look([]) }
        if entry.source == .other {
            self.entries[peer]?.source = .notification
            return .known
        }
        // It connected again, and its `disconnect` was lost.
        return .look(self.onDisconnect(peer))
    }

    /// The node says that a peer is connected.
    mutating func onFound(_ peer: AttachedPeer, by source: Source) -> [AttachmentEvent] {
        guard self.entries[peer.id] == nil else { return self.onChannels(peer.channels, of: peer.id) }
        guard self.entries.count < Self.maximumPeers else {
            self.refused += 1
            return []
        }
        self.entries[peer.id] = Entry(peer: peer, source: source)
        return [.peerConnected(peer)]
    }

    /// A `disconnect` came.
    mutating func onDisconnect(_ peer: NodeID) -> [AttachmentEvent] {
        self.entries.removeValue(forKey: peer) == nil ? [] : [.peerDisconnected(peer)]
    }

    /// The node says which channels with a peer are open.
    mutating func onChannels(_ channels: [[UInt8]], of peer: NodeID) -> [AttachmentEvent] {
        guard let known = self.entries[peer]?.peer, known.channels != channels else { return [] }
        self.entries[peer]?.peer = AttachedPeer(id: known.id, features: known.features, channels: channels)
        return [.channels(peer, channels)]
    }

    /// The node lists all connected peers: what is missing is gone, what is new is connected.
    mutating func onList(_ peers: [AttachedPeer]) -> [AttachmentEvent] {
        let listed = Set(peers.map(\.id))
        let gone = self.peers.subtracting(listed).sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
        var events = gone.flatMap { self.onDisconnect($0) }
        for peer in peers { events += self.onFound(peer, by: .other) }
        return events
    }
}
