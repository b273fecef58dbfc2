// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetLightning
import AltNetLightningAttachment
import Testing

@testable import AltNetLND

@Suite("The bookkeeping of peers and messages")
struct LNDBookkeepingTests {
    private static func nodes() throws -> [NodeID] {
        try (1...8).map { try LNDValueTests.node($0) }
    }

    /// What a listener who believes all events thinks of the peers.
    private struct Listener {
        var peers: [NodeID: AttachedPeer] = [:]

        /// Whether the event made sense.
        mutating func hear(_ event: AttachmentEvent) -> Bool {
            switch event {
            case .peerConnected(let peer):
                self.peers[peer.id] = peer
                return true
            case .peerDisconnected(let id): return self.peers.removeValue(forKey: id) != nil
            case .channels(let id, let channels):
                guard let peer = self.peers[id], peer.channels != channels else { return false }
                self.peers[id] = AttachedPeer(id: id, features: peer.features, channels: channels)
                return true
            case .message, .onionMessage: return false
            }
        }
    }

    @Test(
        "whatever is listed, a listener knows exactly that, and hears nothing twice",
        arguments: 1...40 as ClosedRange<UInt64>)
    func listings(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let nodes = try Self.nodes()
        var book = LNDPeerBook()
        var listener = Listener()
        func hear(_ event: AttachmentEvent) throws {
            let makesSense = listener.hear(event)
            try #require(makesSense, "\(event), seed \(seed)")
        }
        for _ in 0..<60 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0:
                for event in book.onBreak() { try hear(event) }
                #expect(listener.peers.isEmpty, "seed \(seed)")
            case 1...3:
                let node = nodes[Int.random(in: 0..<nodes.count, using: &random)]
                let wasKnown = listener.peers[node] != nil
                let events = book.onOffline(node)
                #expect(events.isEmpty != wasKnown, "seed \(seed)")
                for event in events { try hear(event) }
            default:
                let listed = nodes.filter { _ in Bool.random(using: &random) }.map { node in
                    AttachedPeer(
                        id: node, features: LightningFeatures(Bool.random(using: &random) ? [445] : []),
                        channels: Bool.random(using: &random) ? [[1]] : [])
                }
                for event in book.onListed(listed) { try hear(event) }
                #expect(Set(listener.peers.values) == Set(listed), "seed \(seed)")
                let again = book.onListed(listed)
                #expect(again.isEmpty, "seed \(seed)")
            }
            for node in nodes { #expect(book.knows(node) == (listener.peers[node] != nil), "seed \(seed)") }
        }
    }

    @Test("a sender who is in no listing is not looked for again until the next listing")
    func absent() throws {
        let node = try LNDValueTests.node(1)
        var book = LNDPeerBook()
        #expect(book.mayBeNew(node))
        book.onAbsent(node)
        #expect(!book.mayBeNew(node))
        _ = book.onListed([])
        #expect(book.mayBeNew(node))
        _ = book.onListed([AttachedPeer(id: node, features: LightningFeatures())])
        #expect(!book.mayBeNew(node))
    }

    @Test("the inbox keeps the order and its bounds", arguments: 1...6 as ClosedRange<UInt64>)
    func inbox(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let nodes = try Self.nodes()
        var inbox = LNDInbox()
        // The model: everything in a list, counted anew each time.
        var model: [LNDInbox.Item] = []
        func bytes(of node: NodeID?) -> Int {
            model.reduce(0) {
                guard case .message(let peer, let bytes) = $1, node == nil || node == peer else { return $0 }
                return $0 + bytes.count
            }
        }
        for step in 0..<2_100 {
            let node = nodes[Int.random(in: 0..<3, using: &random)]
            // Long phases in which more comes than goes, and the other way round.
            let isFilling = step / 700 % 2 == 0
            switch Int.random(in: 0..<10, using: &random) {
            case 0:
                let outcome = inbox.offer(online: node)
                #expect(outcome == .kept, "seed \(seed), step \(step)")
                model.append(.online(node))
            case 1:
                let outcome = inbox.offer(offline: node)
                #expect(outcome == .kept, "seed \(seed), step \(step)")
                model.append(.offline(node))
            case (isFilling ? 9 : 3)...9:
                let item = inbox.next()
                #expect(item == model.first, "seed \(seed), step \(step)")
                if !model.isEmpty { model.removeFirst() }
            default:
                let size = Bool.random(using: &random) ? 65_535 : Int.random(in: 2..<65_535, using: &random)
                let message = [UInt8](repeating: UInt8(step & 0xff), count: size)
                let count = model.count { if case .message(node, _) = $0 { true } else { false } }
                let fits =
                    count < LNDInbox.maximumMessagesPerPeer && bytes(of: node) + size <= LNDInbox.maximumBytesPerPeer
                    && bytes(of: nil) + size <= LNDInbox.maximumBytes
                let outcome = inbox.offer(message, from: node)
                #expect((outcome == .kept) == fits, "seed \(seed), step \(step)")
                if fits { model.append(.message(from: node, message)) }
            }
        }
        while let item = inbox.next() {
            let expected = model.isEmpty ? nil : model.removeFirst()
            #expect(item == expected, "seed \(seed)")
        }
        #expect(model.isEmpty && inbox.isEmpty, "seed \(seed)")
    }

    @Test("one peer cannot use what others need, and all together have a bound")
    func bounds() throws {
        let nodes = try Self.nodes()
        var inbox = LNDInbox()
        let small = (0...LNDInbox.maximumMessagesPerPeer).map { _ in inbox.offer([1, 2], from: nodes[0]) }
        #expect(small.dropLast().allSatisfy { $0 == .kept })
        #expect(small.last == .dropped)
        let other = inbox.offer([1, 2], from: nodes[1])
        #expect(other == .kept)
        let large = [UInt8](repeating: 0, count: 65_535)
        var kept = 0
        for node in nodes { for _ in 0..<200 where inbox.offer(large, from: node) == .kept { kept += 1 } }
        // What the small ones left, in whole messages.
        #expect(kept == (LNDInbox.maximumBytes - 2 * (LNDInbox.maximumMessagesPerPeer + 1)) / 65_535)
        let news = (0...LNDInbox.maximumPeerEvents).map { _ in inbox.offer(online: nodes[0]) }
        #expect(news.dropLast().allSatisfy { $0 == .kept })
        #expect(news.last == .dropped)
        let last = inbox.offer(offline: nodes[0])
        #expect(last == .dropped)
        #expect(inbox.isStale)
    }
}
