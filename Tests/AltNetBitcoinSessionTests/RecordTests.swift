// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetObjects
import Testing

@testable import AltNetBitcoinSession

@Suite("Peer records over a Bitcoin connection")
struct RecordTests {
    private static let both: Set<ObjectKind> = [.headers, .peerRecords]

    /// A session that offers records, with a peer that has said the same.
    private static func exchanging(_ direction: BitcoinPeerSession.Direction = .outbound) -> SessionScript {
        var script = SessionScript(direction: direction, serves: Self.both)
        _ = script.connect()
        let end = script.receive(
            .version(P2PVersion.sample.with { $0.protocolVersion = 70017 }), .feature(.peerRecords), .verack)
        #expect(end.peer?.serves.contains(.peerRecords) == true)
        return script
    }

    @Test("both say so between version and verack, and each side's word alone is not enough")
    func negotiation() throws {
        for direction in [BitcoinPeerSession.Direction.outbound, .inbound] {
            for (offers, version, says) in [
                (true, 70017, true), (true, 70017, false), (true, 70016, true), (false, 70017, true),
            ] as [(Bool, Int32, Bool)] {
                var script = SessionScript(direction: direction, serves: offers ? Self.both : [.headers])
                var written = script.connect().written
                written += script.receive(.version(P2PVersion.sample.with { $0.protocolVersion = version })).written
                guard case .version(let own)? = written.first else {
                    Issue.record("no version")
                    continue
                }
                #expect(own.protocolVersion == (offers ? 70017 : 70016))
                // BIP 434: to nobody who does not know the message.
                #expect(written.contains(.feature(.peerRecords)) == (offers && version >= 70017))
                #expect(written.last == .verack)
                if says { #expect(script.receive(.feature(.peerRecords)).isQuiet) }
                let peer = try #require(script.receive(.verack).peer)
                #expect(peer.serves.contains(.peerRecords) == (offers && says && version >= 70017))
            }
        }
    }

    @Test("other features, and data that a later version may have, are passed over")
    func otherFeatures() throws {
        var script = SessionScript(serves: Self.both)
        _ = script.connect()
        let end = script.receive(
            .version(P2PVersion.sample.with { $0.protocolVersion = 70017 }),
            .feature(P2PFeature(name: Array("BIP999".utf8), data: [1])), .verack)
        #expect(end.end == nil)
        #expect(end.peer?.serves.contains(.peerRecords) == false)

        script = SessionScript(serves: Self.both)
        _ = script.connect()
        let later = P2PFeature(name: P2PFeature.peerRecords.name, data: [9])
        let other = script.receive(
            .version(P2PVersion.sample.with { $0.protocolVersion = 70017 }), .feature(later), .verack)
        #expect(other.peer?.serves.contains(.peerRecords) == true)
        // Too late: ignored, as BIP 434 allows.
        var late = SessionScript.established(serves: Self.both)
        #expect(late.receive(.feature(.peerRecords)).isQuiet)
        #expect(late.receive(.newpeerrec([1])).isQuiet)
    }

    @Test("a request goes out, and its answer comes back; an empty one says that there is none")
    func client() {
        var script = Self.exchanging()
        let ids: [[UInt8]] = [[1, 2], [3]]
        #expect(script.request(1, .peerRecords(of: ids, limit: 2)).written == [.getpeerrecs(of: ids, limit: 2)])
        #expect(script.request(2, .peerRecords(of: [], limit: 1)).answers == [2: .refused(.busy)])
        // No more than was asked for.
        #expect(script.receive(.peerrecs([[1], [2], [3]])).answers == [1: .objects(.peerRecords, [[1], [2]])])
        #expect(script.receive(.peerrecs([[1]])).isQuiet)
        #expect(script.request(3, .peerRecords(of: [], limit: 32)).written == [.getpeerrecs(of: [], limit: 32)])
        #expect(script.receive(.peerrecs([])).answers == [3: .refused(.notFound)])
        _ = script.request(4, .peerRecords(of: [], limit: 32))
        #expect(script.wait(.seconds(29)).answers.isEmpty)
        #expect(script.wait(.seconds(1)).answers == [4: .refused(.unavailable)])
        _ = script.request(5, .peerRecords(of: [], limit: 32))
        #expect(script.receive(bytes: [0, 0, 0, 0]).answers == [5: .refused(.unavailable)])
    }

    @Test(
        "a request that no message can hold is refused",
        arguments: [
            .peerRecords(of: [], limit: 0), .peerRecords(of: [], limit: 33), .peerRecords(of: [], limit: 257),
            .peerRecords(of: [[]], limit: 1), .peerRecords(of: [Array(repeating: 1, count: 45)], limit: 1),
            .peerRecords(of: Array(repeating: [1], count: 33), limit: 1),
        ] as [ObjectRequest])
    func impossible(_ request: ObjectRequest) {
        var script = Self.exchanging()
        let outcome = script.request(1, request)
        #expect(outcome.answers == [1: .refused(.invalid)])
        #expect(outcome.written.isEmpty)
    }

    @Test("the other side's request becomes one of ours, one at a time, and is always answered")
    func server() {
        var script = Self.exchanging(.inbound)
        #expect(
            script.receive(.getpeerrecs(of: [[7]], limit: 3)).requests == [1: .peerRecords(of: [[7]], limit: 3)])
        #expect(script.receive(.getpeerrecs(of: [], limit: 1)).isQuiet)
        #expect(script.answer(1, .objects(.peerRecords, [[1, 2]])).written == [.peerrecs([[1, 2]])])
        #expect(script.receive(.getpeerrecs(of: [], limit: 1)).requests.count == 1)
        #expect(script.answer(2, .refused(.notFound)).written == [.peerrecs([])])
        #expect(script.receive(.getpeerrecs(of: [], limit: 1)).requests.count == 1)
        // Before who asked asks again.
        #expect(script.wait(.seconds(15)).written.contains(.peerrecs([])))
    }

    @Test("who asks without end is passed over, and then dropped")
    func flood() {
        var script = Self.exchanging(.inbound)
        var (taken, end): (Int, DisconnectReason?) = (0, nil)
        for _ in 0..<10_000 where end == nil {
            let outcome = script.receive(.getpeerrecs(of: [], limit: 32))
            end = outcome.end
            for id in outcome.requests.keys {
                taken += 1
                _ = script.answer(id, .refused(.notFound))
            }
        }
        #expect(taken == 8)
        #expect(end?.code == .limitExceeded)
    }

    @Test("a new record goes out and comes in where both exchange them, and nowhere else")
    func announcements() {
        var script = Self.exchanging()
        #expect(script.announce(.peerRecord([1, 2])).written == [.newpeerrec([1, 2])])
        #expect(script.receive(.newpeerrec([3])).announcements == [.peerRecord([3])])
        for serves in [Self.both, [.headers]] {
            var other = SessionScript.established(serves: serves)
            #expect(other.announce(.peerRecord([1, 2])).isQuiet)
            #expect(other.receive(.newpeerrec([3]), .peerrecs([[1]]), .getpeerrecs(of: [], limit: 1)).isQuiet)
            #expect(other.request(1, .peerRecords(of: [], limit: 1)).answers == [1: .refused(.unsupported)])
        }
    }
}
