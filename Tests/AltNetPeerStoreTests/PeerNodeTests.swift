// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetPeerRecords
import AltNetTestKit
import Foundation
import Testing

@testable import AltNetPeerStore

@Suite("Bitcoin and Lightning nodes in a peer store")
struct PeerNodeTests {
    @Test(
        "a newer record replaces all of the older one, and the peer's own addresses stay", arguments: StoreKind.allCases
    )
    func replaces(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.nodeKey(1)
        let onion = "cqkvoyooxkpi763a4wczaludrheuwpt7ndghhfymv5hohgkmm26pboqd"
        let own = try Sample.address(1)
        #expect(try store.learn(Sample.record(key, 9, [own])) == .stored)
        #expect(
            try store.learn(
                Sample.nodeRecord(
                    key, 5, lightning: ["203.0.113.7:9735", "\(onion).onion:9735", "example.org:9736"],
                    bitcoin: ["203.0.113.7:8333", "[2001:db8::7]:8333"])) == .stored)
        #expect(
            try store.nodeTexts(key.peerID) == [
                "lightning /ip4/203.0.113.7/tcp/9735": "certified", "lightning /onion3/\(onion):9735": "certified",
                "lightning /dns/example.org/tcp/9736": "certified", "bitcoin /ip4/203.0.113.7/tcp/8333": "certified",
                "bitcoin /ip6/2001:db8::7/tcp/8333": "certified",
            ])
        // The number of the peer's own record counts for itself.
        #expect(try store.learn(Sample.nodeRecord(key, 6, lightning: ["203.0.113.8:9735"])) == .stored)
        #expect(try store.nodeTexts(key.peerID) == ["lightning /ip4/203.0.113.8/tcp/9735": "certified"])
        #expect(try store.texts(key.peerID) == ["\(own)": "certified"])
        let known = try #require(try store.known(key.peerID))
        #expect(known.record?.record.sequence == 9)
        #expect(known.node?.record?.record.sequence == 6)
        #expect(known.node?.record?.lightningNode == key.peerID.lightningNode)
        #expect(try store.learn(Sample.record(key, 10, [try Sample.address(2)])) == .stored)
        #expect(try store.nodeTexts(key.peerID).count == 1)
    }

    @Test("what may not count is refused by name, and nothing of it stored", arguments: StoreKind.allCases)
    func refused(kind: StoreKind) throws {
        let store = try kind.make()
        let (key, other) = (try Sample.nodeKey(1), try Sample.nodeKey(2))
        let place = ["203.0.113.7:9735"]
        let good = try Sample.nodeEnvelope(key, 5, lightning: place)
        var forged = good
        forged[good.count - 3] ^= 1
        let foreign = try Sample.nodeEnvelope(key, 5, lightning: place, network: .main)
        // Signed as a peer record is.
        let wrongDomain = try SignedEnvelope(
            sealing: try CertifiedNodeAddressRecord(verifying: good).record.encoded,
            type: NodeAddressRecord.payloadType, domain: "libp2p-peer-record", key: key)
        let wrongPeer = try SignedEnvelope(
            sealing: try CertifiedNodeAddressRecord(verifying: good).record.encoded,
            type: NodeAddressRecord.payloadType, domain: NodeAddressRecord.domain, key: other)
        let cases: [([UInt8], PeerNewsRefusal.Code)] = [
            (forged, .invalidRecord), (wrongDomain.bytes, .invalidRecord), (wrongPeer.bytes, .invalidRecord),
            (Array(good.dropLast()), .invalidRecord), (good + [0], .invalidRecord), (foreign, .otherChain),
            ([UInt8](repeating: 10, count: SignedEnvelope.maximumSize + 1), .invalidRecord),
            (try Sample.nodeEnvelope(key, .max, lightning: place), .lastSequence),
            (try Sample.nodeEnvelope(key, 5, lightning: []), .noAddress),
        ]
        for (envelope, code) in cases {
            #expect(try store.learn(.record(envelope: envelope, source: .link)).code == code)
        }
        #expect(
            try store.learn(.record(envelope: good, source: .link, about: other.peerID)).code == .otherPeer)
        #expect(try store.counts().peers == 0)
        #expect(try store.learn(.record(envelope: good, source: .link)) == .stored)
        #expect(try store.learn(.record(envelope: good, source: .link, about: key.peerID)) == .unchanged)
        #expect(try store.learn(.record(envelope: forged, source: .link, about: key.peerID)).code == .invalidRecord)
        #expect(try store.learn(Sample.nodeRecord(key, 4, lightning: place)).code == .pastRecord)
        #expect(try store.learn(Sample.nodeRecord(key, 5, lightning: ["203.0.113.9:1"])).code == .sameSequence)
        // What the peer takes back is gone; its number is not.
        #expect(try store.learn(Sample.nodeRecord(key, 6, lightning: [])) == .stored)
        #expect(try store.known(key.peerID)?.node == nil)
        #expect(try store.learn(.record(envelope: good, source: .link)).code == .pastRecord)
    }

    @Test("a store without a chain takes no record of nodes")
    func withoutChain() throws {
        let store = MemoryPeerStore()
        let outcome = try store.learn(Sample.nodeRecord(try Sample.nodeKey(1), 1, lightning: ["203.0.113.7:9735"]))
        #expect(outcome.code == .otherChain)
    }

    @Test("nothing of nodes is in what libp2p dials or a DHT is told", arguments: StoreKind.allCases)
    func apart(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.nodeKey(1)
        let place = try Sample.address("/ip4/203.0.113.7/tcp/9735")
        #expect(
            try store.learn(
                Sample.nodeRecord(key, 5, lightning: ["203.0.113.7:9735"], bitcoin: ["203.0.113.7:8333"])) == .stored)
        for source in [AddressSources.bolt7, .link, .user] {
            _ = try store.learn(
                .addresses(key.peerID, [place], source: source, lifetime: Sample.day, use: .lightning))
        }
        _ = try store.learn(.connected(key.peerID, place, latency: .seconds(1), use: .lightning))
        #expect(try store.known(key.peerID)?.addresses.isEmpty == true)
        #expect(try store.told(key.peerID) == nil)
        // The same place as a peer's own is another address.
        #expect(try store.learn(Sample.told(key.peerID, [place])) == .stored)
        #expect(try store.texts(key.peerID) == ["\(place)": "dht"])
        #expect(try store.told(key.peerID)?.envelope == nil)
        #expect(try store.nodeTexts(key.peerID)["lightning \(place)"] == "user+certified+bolt7+link+connection")
        #expect(try store.nodeRecords(of: [key.peerID], now: Sample.start).count == 1)
        #expect(try store.forget(place, of: key.peerID, now: Sample.start))
        #expect(try store.texts(key.peerID).isEmpty)
        #expect(try store.nodeTexts(key.peerID).keys.sorted() == ["bitcoin /ip4/203.0.113.7/tcp/8333"])
    }

    @Test(
        "what a source takes back is gone, where nobody else said it, and nothing else", arguments: StoreKind.allCases)
    func withdrawn(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.nodeKey(1)
        let (first, second) = (
            try Sample.address("/ip4/198.51.100.77/tcp/19735"), try Sample.address("/ip4/198.51.100.78/tcp/19735")
        )
        let all = PeerNews.withdrawn(key.peerID, source: .altAddr, use: .lightning)
        #expect(try store.learn(all) == .unchanged)
        #expect(try store.counts().peers == 0)
        func given(_ address: Multiaddress, use: AddressUse = .lightning) -> PeerNews {
            .addresses(key.peerID, [address], source: .altAddr, lifetime: Sample.day, use: use)
        }
        #expect(try store.learn(given(first)) == .stored)
        // A new address takes the place of the former one.
        let others = PeerNews.withdrawn(key.peerID, source: .altAddr, except: second, use: .lightning)
        #expect(try store.learn([given(second), others], now: Sample.start) == [.stored, .stored])
        #expect(try store.nodeTexts(key.peerID) == ["lightning \(second)": "alt-addr"])
        // Said again, it is refreshed, and nothing is written as long as that makes no difference.
        #expect(try store.learn([given(second), others], now: Sample.start) == [.unchanged, .unchanged])
        let later = Sample.start + .seconds(43_200)
        #expect(try store.learn([given(second), others], now: later) == [.stored, .unchanged])
        #expect(try store.known(key.peerID, later)?.node?.addresses.first?.expiry == later + Sample.day)
        // What others said, and what it is for otherwise, stays.
        _ = try store.learn(
            .addresses(key.peerID, [first, second], source: .bolt7, lifetime: Sample.day, use: .lightning))
        _ = try store.learn(given(second, use: .bitcoin))
        #expect(try store.learn(all) == .stored)
        #expect(
            try store.nodeTexts(key.peerID) == [
                "lightning \(first)": "bolt7", "lightning \(second)": "bolt7", "bitcoin \(second)": "alt-addr",
            ])
        #expect(try store.learn(all) == .unchanged)
        for source in [AddressSources.bolt7, .altAddr] {
            for use in [AddressUse.bitcoin, .lightning] {
                _ = try store.learn(.withdrawn(key.peerID, source: source, use: use))
            }
        }
        #expect(try store.counts().peers == 0)
        for source in [AddressSources.user, .certified, .connection, [], [.altAddr, .user]] {
            #expect(try store.learn(.withdrawn(key.peerID, source: source)).code == .badSource)
        }
    }

    @Test(
        "an alternative address is told to nobody, whoever asks and whatever others say", arguments: StoreKind.allCases)
    func confidences(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.nodeKey(1)
        let secret = try Sample.address("/ip4/198.51.100.77/tcp/19735")
        let text = "198.51.100.77"
        #expect(
            try store.learn(
                .addresses(key.peerID, [secret], source: .altAddr, lifetime: Sample.day, use: .lightning)) == .stored)
        #expect(try store.learn(Sample.nodeRecord(key, 1, lightning: ["203.0.113.7:9735"])) == .stored)
        // Somebody guesses it, says it in every way that there is, and asks what we make of it.
        for source in [AddressSources.dht, .link, .bolt7, .addrv2, .identify] {
            for use in [AddressUse.lightning, .bitcoin] {
                _ = try store.learn(
                    .addresses(key.peerID, [secret], source: source, lifetime: Sample.day, use: use))
            }
        }
        _ = try store.learn(.connected(key.peerID, secret, latency: .seconds(1), use: .lightning))
        for network in [nil, Sample.home, LocalNetwork.loopback] {
            #expect(try store.told(key.peerID, to: network) == nil)
        }
        let records = try store.nodeRecords(of: [key.peerID], now: Sample.start)
        let told = try records.map { try CertifiedNodeAddressRecord(verifying: $0).record.lightning.map(\.text) }
        #expect(told == [["203.0.113.7:9735"]])
        #expect(!"\(told)".contains(text))
        // As an address of the peer itself it was given to us alone as well.
        #expect(
            try store.learn(.addresses(key.peerID, [secret], source: .altAddr, lifetime: Sample.day)) == .stored)
        #expect(try store.told(key.peerID) == nil)
    }

    @Test("private addresses of nodes stay where they were heard", arguments: StoreKind.allCases)
    func privateNetworks(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.nodeKey(1)
        let outcome = try store.learn(
            Sample.nodeRecord(key, 1, lightning: ["192.168.1.5:9735", "203.0.113.7:9735"]))
        #expect(outcome.leftOut == [.unknownNetwork])
        #expect(try store.nodeTexts(key.peerID) == ["lightning /ip4/203.0.113.7/tcp/9735": "certified"])
        #expect(try store.nodeRecords(of: [key.peerID], now: Sample.start).isEmpty)
        #expect(
            try store.learn(Sample.nodeRecord(key, 2, lightning: ["192.168.1.5:9735"], on: Sample.home)) == .stored)
        let node = try #require(try store.known(key.peerID)?.node)
        #expect(node.addresses(for: .lightning, on: nil).isEmpty)
        #expect(node.addresses(for: .lightning, on: Sample.home).count == 1)
        #expect(node.addresses(for: .bitcoin, on: Sample.home).isEmpty)
        #expect(try store.nodeRecords(of: [key.peerID], now: Sample.start).isEmpty)
    }

    @Test("nodes have bounds of their own, and neither kind makes room for the other", arguments: StoreKind.allCases)
    func bounds(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.nodeKey(1)
        let own = try (0..<PeerRecord.maximumAddresses).map { try Sample.address($0) }
        #expect(try store.learn(Sample.record(key, 1, own)) == .stored)
        let places = (0..<NodeAddressRecord.maximumAddresses).map { "20.\($0).0.7:9735" }
        #expect(try store.learn(Sample.nodeRecord(key, 1, lightning: places)) == .stored)
        // A million of them, told by many: hearsay has its share, and pushes nothing out.
        for group in 0..<40 {
            for number in 0..<25 {
                _ = try store.learn(
                    .addresses(
                        key.peerID, [try Sample.address(1_000 + group * 25 + number)], source: .link,
                        lifetime: Sample.day, toldBy: NewsOrigin(networkGroup: "\(group)"), use: .lightning))
            }
        }
        let known = try #require(try store.known(key.peerID))
        #expect(known.addresses.count == own.count)
        #expect(known.node?.addresses.count == PeerRules.maximumAddresses)
        #expect(known.node?.addresses.count { $0.sources == .certified } == places.count)
    }

    @Test("a record of nodes goes with its last address, and its number later", arguments: StoreKind.allCases)
    func expires(kind: StoreKind) throws {
        let store = try kind.make()
        let key = try Sample.nodeKey(1)
        #expect(try store.learn(Sample.nodeRecord(key, 5, lightning: ["203.0.113.7:9735"])) == .stored)
        let eighth = Sample.start + .seconds(8 * 86_400)
        #expect(try store.known(key.peerID, eighth) == nil)
        #expect(try store.nodeRecords(of: [key.peerID], now: eighth).isEmpty)
        _ = try store.sweep(limit: 10, now: eighth)
        #expect(try store.learn(Sample.nodeRecord(key, 4, lightning: ["203.0.113.7:1"]), eighth).code == .pastRecord)
        let last = eighth + PeerRules.sequenceMemory
        _ = try store.sweep(limit: 10, now: last)
        #expect(try store.counts().peers == 0)
        #expect(try store.learn(Sample.nodeRecord(key, 4, lightning: ["203.0.113.7:1"]), last) == .stored)
    }

    @Test(
        "keys that sign for nodes cost nothing: those of one corner push out only each other",
        arguments: StoreKind.allCases)
    func flood(kind: StoreKind) throws {
        let store = try kind.make(capacity: 200)
        let honest = try (0..<40).map { try Sample.nodeKey($0) }
        for (index, key) in honest.enumerated() {
            #expect(
                try store.learn(
                    Sample.nodeRecord(key, 1, lightning: ["203.0.113.7:9735"], toldBy: "honest \(index)")) == .stored)
        }
        for number in 1_000..<1_800 {
            _ = try store.learn(
                Sample.nodeRecord(
                    try Sample.nodeKey(number), 1, lightning: ["198.51.100.1:9735"], toldBy: "attacker"))
        }
        #expect(try store.counts().used == 200)
        for key in honest { #expect(try store.known(key.peerID)?.node?.record != nil) }
    }

    @Test("what is known of nodes is there when the file is opened again")
    func reopened() throws {
        let directory = TemporaryDirectory.make()
        let key = try Sample.nodeKey(1)
        var store: (any PeerStoring)? = try StoreKind.sqlite.make(in: directory)
        let record = try Sample.nodeRecord(
            key, 5, lightning: ["203.0.113.7:9735"], bitcoin: ["203.0.113.7:8333", "[fc00::abcd]:8333"])
        #expect(try store?.learn(record) == .stored)
        _ = try store?.learn(
            .connected(
                key.peerID, try Sample.address("/ip4/203.0.113.7/tcp/9735"), latency: .seconds(1), use: .lightning))
        let before = try store?.known(key.peerID)
        store = nil
        let again = try StoreKind.sqlite.make(in: directory)
        #expect(try again.known(key.peerID) == before)
        #expect(before?.node?.addresses.count == 3)
        #expect(before?.node?.addresses.first?.lastSuccess == Sample.start)
        #expect(try again.learn(record) == .unchanged)
    }
}
