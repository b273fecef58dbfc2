// SPDX-License-Identifier: MIT

internal import AltNetKeys
internal import AltNetLightningAttachment

/// What was told of LND's peers, so that each listing is told as what has changed.
struct LNDPeerBook: Sendable {
    private var peers: [NodeID: AttachedPeer] = [:]
    /// Who sent messages and was in no listing since; it is not listed again for every further message. As many as
    /// messages fit into ``LNDInbox`` at most, because each listing begins anew.
    private var absent: Set<NodeID> = []

    /// Whether the peer was told as connected.
    func knows(_ peer: NodeID) -> Bool { self.peers[peer] != nil }

    /// Whether a new listing may find this sender.
    func mayBeNew(_ peer: NodeID) -> Bool { self.peers[peer] == nil && !self.absent.contains(peer) }

    /// A sender that is in no listing.
    mutating func onAbsent(_ peer: NodeID) {
        self.absent.insert(peer)
    }

    /// All peers that are connected now. Who is gone is told first.
    mutating func onListed(_ listed: [AttachedPeer]) -> [AttachmentEvent] {
        var now: [NodeID: AttachedPeer] = [:]
        for peer in listed { now[peer.id] = peer }
        var events: [AttachmentEvent] = []
        for id in self.peers.keys.sorted(by: Self.inOrder) where now[id] == nil { events.append(.peerDisconnected(id)) }
        for peer in listed where now[peer.id] == peer {
            switch self.peers[peer.id] {
            case peer: break
            case let before? where before.features == peer.features: events.append(.channels(peer.id, peer.channels))
            case _?, nil: events.append(.peerConnected(peer))
            }
        }
        self.peers = now
        self.absent = []
        return events
    }

    /// The connection to a peer ended; a new one may stand already, and the next listing tells.
    mutating func onOffline(_ peer: NodeID) -> [AttachmentEvent] {
        self.peers.removeValue(forKey: peer) == nil ? [] : [.peerDisconnected(peer)]
    }

    /// The connection to LND broke. Whatever the peers send from now on is lost, so nobody may believe that the
    /// connections to them went on: all are told as gone, and as new when LND is back.
    mutating func onBreak() -> [AttachmentEvent] {
        defer { self = Self() }
        return self.peers.keys.sorted(by: Self.inOrder).map { .peerDisconnected($0) }
    }

    private static func inOrder(_ first: NodeID, _ second: NodeID) -> Bool {
        first.bytes.lexicographicallyPrecedes(second.bytes)
    }
}
