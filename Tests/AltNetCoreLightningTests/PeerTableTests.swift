// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetLightning
import AltNetLightningAttachment
import Testing

@testable import AltNetCoreLightning

@Suite("The peers that the driver was told of")
struct PeerTableTests {
    private static func peer(_ id: NodeID, channels: [[UInt8]] = []) -> AttachedPeer {
        AttachedPeer(id: id, features: LightningFeatures([445]), channels: channels)
    }

    @Test("a connect is told once, whether it or a message came first")
    func connect() {
        var table = PeerTable()
        #expect(table.onConnect(Nodes.one) == .look([]))
        #expect(table.onFound(Self.peer(Nodes.one), by: .notification) == [.peerConnected(Self.peer(Nodes.one))])
        #expect(table.onFound(Self.peer(Nodes.two), by: .other) == [.peerConnected(Self.peer(Nodes.two))])
        #expect(table.onConnect(Nodes.two) == .known)
        #expect(table.onDisconnect(Nodes.one) == [.peerDisconnected(Nodes.one)])
        #expect(table.onDisconnect(Nodes.one).isEmpty)
    }

    @Test("a second connect means that the disconnect between was lost")
    func lostDisconnect() {
        var table = PeerTable()
        _ = table.onFound(Self.peer(Nodes.one), by: .notification)
        #expect(table.onConnect(Nodes.one) == .look([.peerDisconnected(Nodes.one)]))
        #expect(!table.knows(Nodes.one))
    }

    @Test("channels are told when they differ, and of nobody who is not connected")
    func channels() {
        var table = PeerTable()
        let channel = [UInt8](repeating: 7, count: 32)
        #expect(table.onChannels([channel], of: Nodes.one).isEmpty)
        _ = table.onFound(Self.peer(Nodes.one), by: .other)
        #expect(table.onChannels([channel], of: Nodes.one) == [.channels(Nodes.one, [channel])])
        #expect(table.onChannels([channel], of: Nodes.one).isEmpty)
        #expect(table.onFound(Self.peer(Nodes.one), by: .other) == [.channels(Nodes.one, [])])
    }

    @Test("a list tells who is gone before who is new")
    func list() {
        var table = PeerTable()
        _ = table.onFound(Self.peer(Nodes.one), by: .notification)
        let events = table.onList([Self.peer(Nodes.two)])
        #expect(events == [.peerDisconnected(Nodes.one), .peerConnected(Self.peer(Nodes.two))])
        #expect(table.peers == [Nodes.two])
    }

    @Test("what is told of a peer alternates, whatever lightningd says", arguments: [UInt64(1), 2, 3])
    func alternation(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var table = PeerTable()
        var connected: Set<NodeID> = []
        for _ in 0..<2_000 {
            let peer = Bool.random(using: &random) ? Nodes.one : Nodes.two
            var events: [AttachmentEvent] = []
            switch Int.random(in: 0..<5, using: &random) {
            case 0:
                if case .look(let first) = table.onConnect(peer) {
                    events = first
                    if Bool.random(using: &random) { events += table.onFound(Self.peer(peer), by: .notification) }
                }
            case 1: events = table.onDisconnect(peer)
            case 2: events = table.onFound(Self.peer(peer), by: .other)
            case 3: events = table.onList(Bool.random(using: &random) ? [Self.peer(peer)] : [])
            default:
                let channel = [UInt8](repeating: .random(in: 0...1, using: &random), count: 32)
                events = table.onChannels([channel], of: peer)
            }
            for event in events {
                switch event {
                case .peerConnected(let peer): #expect(connected.insert(peer.id).inserted, "seed \(seed)")
                case .peerDisconnected(let peer): #expect(connected.remove(peer) != nil, "seed \(seed)")
                case .channels(let peer, _): #expect(connected.contains(peer), "seed \(seed)")
                case .message, .onionMessage: Issue.record("a table tells no messages")
                }
            }
            #expect(table.peers == connected, "seed \(seed)")
        }
    }
}
