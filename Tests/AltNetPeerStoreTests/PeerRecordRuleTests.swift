// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import AltNetPeerStore
import AltNetTestKit
import Testing

@Suite("Records in a peer store")
struct PeerRecordRuleTests {
    @Test("a higher number replaces the former record and its addresses, at once", arguments: StoreKind.allCases)
    func replaces(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.key(1)
        let (a, b, c) = (try Sample.address(1), try Sample.address(2), try Sample.address(3))
        #expect(try store.learn(Sample.record(key, 5, [a, b])) == .stored)
        #expect(try store.learn(Sample.told(key.peerID, [b], .addrv2)) == .stored)
        #expect(try store.texts(key.peerID) == ["\(a)": "certified", "\(b)": "certified+addrv2"])

        #expect(try store.learn(Sample.record(key, 6, [c])) == .stored)
        #expect(try store.texts(key.peerID) == ["\(b)": "addrv2", "\(c)": "certified"])
        let known = try #require(try store.known(key.peerID))
        #expect(known.record?.record.sequence == 6)
        #expect(known.record?.envelope == (try Sample.envelope(key, 6, [c])))
        let expiries = known.addresses.map { $0.expiry.map { $0 - Sample.start } }
        // Each source vouches for its own time.
        #expect(expiries == [PeerRules.recordLifetime, Sample.hour])
    }

    @Test("records from the past, and others of the same number, are refused by name", arguments: StoreKind.allCases)
    func past(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.key(1)
        let (a, b) = (try Sample.address(1), try Sample.address(2))
        #expect(try store.learn(Sample.record(key, 5, [a])) == .stored)
        #expect(try store.learn(Sample.record(key, 4, [b])).code == .pastRecord)
        #expect(try store.learn(Sample.record(key, 0, [b])).code == .pastRecord)
        #expect(try store.learn(Sample.record(key, 5, [b])).code == .sameSequence)
        #expect(try store.learn(Sample.record(key, 5, [a])) == .unchanged)
        #expect(try store.texts(key.peerID) == ["\(a)": "certified"])
        // The same record later is a sign of life.
        let later = Sample.start + Sample.day
        #expect(try store.learn(Sample.record(key, 5, [a]), later) == .stored)
        #expect(try store.known(key.peerID, later)?.addresses.first?.expiry == later + PeerRules.recordLifetime)
    }

    @Test(
        "the highest number there is is refused by name, since nothing could replace it", arguments: StoreKind.allCases)
    func highest(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.key(1)
        #expect(try store.learn(Sample.record(key, .max, [try Sample.address(1)])).code == .lastSequence)
        #expect(try store.counts().peers == 0)
        #expect(try store.learn(Sample.record(key, .max - 2, [try Sample.address(1)])) == .stored)
        #expect(try store.learn(Sample.record(key, .max - 1, [try Sample.address(2)])) == .stored)
        #expect(try store.learn(Sample.record(key, .max, [try Sample.address(3)])).code == .lastSequence)
        #expect(try store.known(key.peerID)?.record?.record.sequence == .max - 1)
        #expect(try store.learn(Sample.record(key, .max - 2, [try Sample.address(3)])).code == .pastRecord)
    }

    @Test("identify takes a record only from the peer that it is about", arguments: StoreKind.allCases)
    func about(kind: StoreKind) throws {
        let store = try kind.make()
        let (alice, bob) = (try Sample.key(1), try Sample.key(2))
        let envelope = try Sample.envelope(alice, 1, [try Sample.address(1)])
        #expect(
            try store.learn(.record(envelope: envelope, source: .identify, about: bob.peerID)).code == .otherPeer)
        #expect(try store.known([alice.peerID, bob.peerID], now: Sample.start).isEmpty)
        #expect(try store.learn(.record(envelope: envelope, source: .identify, about: alice.peerID)) == .stored)
    }

    @Test("what is not genuine is refused by name, and nothing of it stored", arguments: StoreKind.allCases)
    func forged(kind: StoreKind) throws {
        let store = try kind.make()
        let (alice, bob) = (try Sample.key(1), try Sample.key(2))
        let good = try Sample.envelope(alice, 1, [try Sample.address(1)])
        let other = try SignedEnvelope(
            opening: Sample.envelope(bob, 1, [try Sample.address(1)]), domain: "libp2p-peer-record", type: [3, 1])
        var swapped = good
        swapped.replaceSubrange(good.count - 64..<good.count, with: other.signature)
        let wrongDomain = try SignedEnvelope(
            sealing: PeerRecord(peer: alice.peerID, sequence: 9, addresses: []).encoded, type: [3, 1],
            domain: "something else", key: alice)
        let wrongPeer = try SignedEnvelope(
            sealing: PeerRecord(peer: bob.peerID, sequence: 9, addresses: [try Sample.address(1)]).encoded,
            type: [3, 1], domain: "libp2p-peer-record", key: alice)
        var envelopes = [swapped, wrongDomain.bytes, wrongPeer.bytes, good + [0], []]
        envelopes.append([UInt8](repeating: 0, count: SignedEnvelope.maximumSize + 1))
        for count in stride(from: 1, to: good.count, by: 5) { envelopes.append(Array(good.prefix(count))) }
        for position in stride(from: 0, to: good.count, by: 3) {
            var forged = good
            forged[position] ^= 1
            envelopes.append(forged)
        }
        for envelope in envelopes {
            for about in [nil, alice.peerID] {
                let outcome = try store.learn(.record(envelope: envelope, source: .dht, about: about))
                #expect(outcome.code == .invalidRecord, "\(envelope)")
            }
        }
        #expect(try store.counts().peers == 0)
        // Nor does a genuine one that is known let a forged one pass.
        #expect(try store.learn(.record(envelope: good, source: .dht, about: alice.peerID)) == .stored)
        #expect(
            try store.learn(.record(envelope: swapped, source: .dht, about: alice.peerID)).code == .invalidRecord)
    }

    @Test("a record stays until all addresses have expired, and its number longer", arguments: StoreKind.allCases)
    func scraps(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.key(1)
        let (a, b) = (try Sample.address(1), try Sample.address(2))
        #expect(try store.learn(Sample.record(key, 5, [a])) == .stored)
        let sixth = Sample.start + .seconds(6 * 86_400)
        #expect(try store.learn(Sample.told(key.peerID, [b], for: .seconds(3 * 86_400)), sixth) == .stored)

        let eighth = Sample.start + .seconds(8 * 86_400)
        #expect(try store.texts(key.peerID, eighth) == ["\(b)": "dht"])
        #expect(try store.known(key.peerID, eighth)?.record?.record.sequence == 5)
        #expect(try store.told(key.peerID, eighth)?.envelope != nil)

        let tenth = Sample.start + .seconds(10 * 86_400)
        #expect(try store.known(key.peerID, tenth) == nil)
        #expect(try store.told(key.peerID, tenth) == nil)
        // Nobody brings back what the peer had replaced; the peer itself may come back with what it signed last.
        #expect(try store.learn(Sample.record(key, 4, [a]), tenth).code == .pastRecord)
        #expect(try store.learn(Sample.record(key, 5, [a]), tenth) == .stored)
        #expect(try store.known(key.peerID, tenth)?.record?.record.sequence == 5)

        let muchLater = tenth + PeerRules.recordLifetime + PeerRules.sequenceMemory
        #expect(try store.sweep(limit: 10, now: muchLater) == 1)
        #expect(try store.counts().peers == 0)
        #expect(try store.learn(Sample.record(key, 4, [a]), muchLater) == .stored)
    }

    @Test("a newer record without usable addresses takes the former ones away", arguments: StoreKind.allCases)
    func empty(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.key(1)
        #expect(try store.learn(Sample.record(key, 1, [])).code == .noAddress)
        #expect(try store.counts().peers == 0)
        #expect(try store.learn(Sample.record(key, 2, [try Sample.address(1)])) == .stored)
        #expect(try store.learn(Sample.record(key, 3, [])) == .stored)
        #expect(try store.known(key.peerID) == nil)
        #expect(try store.learn(Sample.record(key, 2, [try Sample.address(1)])).code == .pastRecord)
    }

    @Test("single addresses are filtered without losing the record", arguments: StoreKind.allCases)
    func filters(kind: StoreKind) throws {
        let filter = AddressFilter(refusesPrivateRanges: true, refusesUnknownTransports: true)
        let store = try kind.make(filter: filter)
        let key = try Sample.key(1)
        let (good, odd) = (try Sample.address(1), try Sample.address("/ip4/8.8.8.8/udp/4001/webrtc-direct"))
        let home = try Sample.address("/ip4/192.168.1.5/tcp/4001")
        let outcome = try store.learn(Sample.record(key, 1, [good, odd, home], on: Sample.home))
        #expect(outcome.leftOut == [.filtered, .filtered])
        #expect(try store.texts(key.peerID) == ["\(good)": "certified"])
        #expect(try store.known(key.peerID)?.record?.record.addresses == [good, odd, home])
        #expect(try store.told(key.peerID, to: Sample.home)?.envelope != nil)
        // What the operator types is never filtered.
        #expect(try store.learn(Sample.told(key.peerID, [home], .user, on: Sample.home)) == .stored)
        #expect(try store.texts(key.peerID).count == 2)
    }

    @Test("a record of which every address is left out is kept as long as any", arguments: StoreKind.allCases)
    func allLeftOut(kind: StoreKind) throws {
        let directory = TemporaryDirectory.make()
        let store = try kind.make(
            filter: AddressFilter(refusesPrivateRanges: true, refusesUnknownTransports: true), in: directory)
        let odd = try Sample.address("/ip4/8.8.8.8/udp/4001/webrtc-direct")
        let home = try Sample.address("/ip4/192.168.1.5/tcp/4001")
        let keys = try (1...3).map { try Sample.key($0) }
        #expect(try store.learn(Sample.record(keys[0], 2, [odd])).leftOut == [.filtered])
        #expect(try store.learn(Sample.record(keys[1], 2, [home], on: Sample.home)).leftOut == [.filtered])
        #expect(try store.learn(Sample.record(keys[2], 2, [home])).leftOut == [.filtered])
        for key in keys {
            let known = try #require(try store.known(key.peerID))
            #expect(known.record?.record.sequence == 2 && known.addresses.isEmpty)
            #expect(try store.learn(Sample.record(key, 1, [try Sample.address(1)])).code == .pastRecord)
        }
        // It is passed on as any other.
        #expect(try store.told(keys[0].peerID)?.envelope == (try Sample.envelope(keys[0], 2, [odd])))
        #expect(try store.told(keys[1].peerID) == nil && store.told(keys[2].peerID, to: Sample.home) == nil)
        #expect(try store.told(keys[1].peerID, to: Sample.home)?.envelope != nil)
        // The same again is a sign of life; what changes nothing is not written.
        #expect(try store.learn(Sample.record(keys[0], 2, [odd])) == .unchanged)
        let next = Sample.start + Sample.day
        #expect(try store.learn(Sample.record(keys[0], 2, [odd]), next).leftOut == [.filtered])

        let week = Sample.start + PeerRules.recordLifetime
        #expect(try store.known(keys[1].peerID, week) == nil && store.known(keys[0].peerID, week)?.record != nil)
        #expect(try store.sweep(limit: 10, now: week) == 2)
        #expect(try store.known(keys[0].peerID, week + Sample.day) == nil)
        // Their numbers are remembered like any other.
        let news = try Sample.record(keys[1], 1, [try Sample.address(1)])
        #expect(try store.learn(news, week).code == .pastRecord)
        let later = week + Sample.day + PeerRules.sequenceMemory
        #expect(try store.sweep(limit: 10, now: later) == 3)
        #expect(try store.counts().peers == 0)
    }

    @Test("a record that was kept for its number brings its addresses when the filter is gone")
    func filterGone() throws {
        let directory = TemporaryDirectory.make()
        let home = try Sample.address("/ip4/192.168.1.5/tcp/4001")
        let news = try Sample.record(try Sample.key(1), 2, [home], on: Sample.home)
        do {
            let store = try StoreKind.sqlite.make(filter: AddressFilter(refusesPrivateRanges: true), in: directory)
            #expect(try store.learn(news).leftOut == [.filtered])
        }
        let store = try StoreKind.sqlite.make(in: directory)
        let peer = try Sample.key(1).peerID
        #expect(try store.known(peer)?.record?.record.sequence == 2)
        #expect(try store.learn(news) == .stored)
        #expect(try store.texts(peer) == ["\(home) home": "certified"])
    }

    @Test("a full record always finds room, whatever others told before", arguments: StoreKind.allCases)
    func fullRecord(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.key(1)
        let user = try (0..<PeerRules.maximumUserAddresses).map { try Sample.address(1_000 + $0) }
        #expect(try store.learn(Sample.told(key.peerID, user, .user)) == .stored)
        let said = try (0..<100).map { try Sample.address(2_000 + $0) }
        _ = try store.learn(Sample.told(key.peerID, said, .identify))
        _ = try store.learn(Sample.told(key.peerID, said.reversed(), .dht))
        let certified = try (0..<PeerRecord.maximumAddresses).map { try Sample.address($0) }
        #expect(try store.learn(Sample.record(key, 1, certified)) == .stored)
        let texts = try store.texts(key.peerID)
        #expect(certified.allSatisfy { texts["\($0)"] == "certified" })
        #expect(user.allSatisfy { texts["\($0)"] == "user" })
        #expect(texts.count == PeerRules.maximumAddresses)
    }
}
