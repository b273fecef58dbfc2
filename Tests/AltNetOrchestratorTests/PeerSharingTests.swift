// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetConfiguration
import AltNetDriverProtocol
import AltNetKeys
import AltNetLightning
import AltNetObjects
import AltNetPeerRecords
import Testing

@testable import AltNetOrchestrator

@Suite("What is said about peers over a link")
struct PeerSharingTests {
    private static func link(
        to remote: String, target: String = "", exposure: DriverCapabilities.Exposure? = nil
    ) -> DriverLinkDescription {
        DriverLinkDescription(
            target: target, remote: remote,
            peer: LinkPeer(identity: "", agent: UntrustedText(""), claimedHeight: nil, serves: []), exposure: exposure)
    }

    private static func record(_ address: String) throws -> SealedRecord {
        let key = try #require(PeerPrivateKey.ed25519(seed: Array(repeating: 7, count: 32)))
        return .peer(
            try PeerRecord(peer: key.peerID, sequence: 1, addresses: [try Multiaddress(text: address)])
                .sealed(by: key))
    }

    private static func nodeRecord(_ addresses: [String]) throws -> SealedRecord {
        var random = SeededRandom(seed: 7)
        let key = PeerPrivateKey(try #require(NodePrivateKey(bytes: random.bytes(32))))
        return .node(
            try NodeAddressRecord(
                peer: key.peerID, sequence: 1, chain: Network.regtest.chainHash, bitcoin: [],
                lightning: try addresses.map { try LightningAddress(text: $0) }
            ).sealed(by: key))
    }

    @Test(
        "records are exchanged, and ours is told, as far as the operator wants",
        arguments: [
            (.never, .clearnetAddress, true, false), (.never, .pseudonym, false, false), (.never, .none, false, false),
            (.clearnet, .clearnetAddress, true, true), (.clearnet, .pseudonym, false, false),
            (.clearnet, .none, false, false), (.pseudonym, .clearnetAddress, true, true),
            (.pseudonym, .pseudonym, true, true), (.pseudonym, .none, false, false),
        ] as [(DaemonConfiguration.Peers.Sharing, DriverCapabilities.Exposure, Bool, Bool)])
    func table(
        setting: DaemonConfiguration.Peers.Sharing, exposure: DriverCapabilities.Exposure, exchanges: Bool, tells: Bool
    ) throws {
        let sharing = PeerSharing(setting: setting)
        #expect(sharing.exchanges(over: exposure) == exchanges)
        for record in [
            try Self.record("/ip4/203.0.113.7/tcp/4001"),
            try Self.nodeRecord(["203.0.113.7:9735", "example.org:9735"]),
        ] {
            for isOwn in [true, false] {
                #expect(sharing.tells(record, over: exposure, ofItsDriver: isOwn, isNameless: false) == tells)
            }
        }
        // One with a private address means somebody else over there.
        for address in ["/ip4/192.168.1.7/tcp/4001", "/ip4/127.0.0.1/tcp/4001"] {
            #expect(!sharing.tells(try Self.record(address), over: exposure, ofItsDriver: true, isNameless: false))
        }
        #expect(
            !sharing.tells(
                try Self.nodeRecord(["203.0.113.7:9735", "10.0.0.7:9735"]), over: exposure, ofItsDriver: true,
                isNameless: false))
    }

    @Test("where nothing names us but our address, our record goes only at the operator's word")
    func nameless() throws {
        let record = try Self.record("/ip4/203.0.113.7/tcp/4001")
        for setting in DaemonConfiguration.Peers.Sharing.allCases {
            let sharing = PeerSharing(setting: setting)
            #expect(
                sharing.tells(record, over: .clearnetAddress, ofItsDriver: false, isNameless: true)
                    == (setting == .pseudonym))
        }
    }

    @Test("a record of hidden services alone is not tied to our address by other drivers")
    func hidden() throws {
        let onion = "cqkvoyooxkpi763a4wczaludrheuwpt7ndghhfymv5hohgkmm26pboqd"
        for record in [
            try Self.nodeRecord(["\(onion).onion:9735"]), try Self.nodeRecord([]),
            try Self.record("/onion3/\(onion):4001"),
        ] {
            let sharing = PeerSharing(setting: .clearnet)
            // Who is at the other end knows the key, and where it calls from.
            #expect(sharing.tells(record, over: .clearnetAddress, ofItsDriver: true, isNameless: false))
            #expect(!sharing.tells(record, over: .clearnetAddress, ofItsDriver: false, isNameless: false))
            #expect(!sharing.tells(record, over: .pseudonym, ofItsDriver: true, isNameless: false))
            #expect(
                PeerSharing(setting: .pseudonym).tells(record, over: .pseudonym, ofItsDriver: false, isNameless: false))
        }
        let both = try Self.nodeRecord(["\(onion).onion:9735", "203.0.113.7:9735"])
        #expect(
            PeerSharing(setting: .clearnet).tells(both, over: .clearnetAddress, ofItsDriver: false, isNameless: false))
    }

    @Test("of a peer's addresses, those of one network do not take the place of the others")
    func shortened() throws {
        func known(_ number: Int, on network: LocalNetwork?) throws -> KnownAddress {
            KnownAddress(
                address: try Multiaddress(text: "/ip4/10.0.0.\(number)/tcp/1"), sources: .certified,
                firstSeen: WallClockTime(seconds: 0), lastSeen: WallClockTime(seconds: 0), expiry: nil, network: network
            )
        }
        let local = try (0..<60).map { try known($0, on: .loopback) }
        let open = try (60..<120).map { try known($0, on: nil) }
        let kept = PeerService.shortened(local + open)
        #expect(kept == Array(local.prefix(32)) + Array(open.prefix(32)))
        #expect(PeerService.shortened(Array(open.prefix(32))).count == 32)
    }

    @Test("who calls from this machine may come out of a hidden service, and who says nothing is told nothing")
    func exposures() {
        typealias Sharing = PeerSharing
        for place in ["127.0.0.1:40000", "02ab@127.0.0.1:40000", "[::1]:9", "/ip4/127.0.0.1/tcp/9"] {
            #expect(Sharing.exposure(of: Self.link(to: place), driver: .clearnetAddress) == .pseudonym)
            let ours = Self.link(to: place, target: "02ab@\(place)")
            #expect(Sharing.exposure(of: ours, driver: .clearnetAddress) == .clearnetAddress)
        }
        for place in ["10.21.0.3:40000", "02ab@172.17.0.1:1", "[fd00::1]:9", "192.168.1.2:5"] {
            #expect(Sharing.exposure(of: Self.link(to: place), driver: .clearnetAddress) == .pseudonym)
            #expect(
                Sharing.exposure(of: Self.link(to: place), driver: .clearnetAddress, trustsPrivate: true)
                    == .clearnetAddress)
        }
        #expect(
            Sharing.exposure(of: Self.link(to: "127.0.0.1:1"), driver: .clearnetAddress, trustsPrivate: true)
                == .pseudonym)
        let open = Self.link(to: "203.0.113.9:40000")
        #expect(Sharing.exposure(of: open, driver: .clearnetAddress) == .clearnetAddress)
        #expect(Sharing.exposure(of: open, driver: nil) == .none)
        #expect(Sharing.exposure(of: open, driver: .pseudonym) == .pseudonym)
        let quiet = Self.link(to: "203.0.113.9:40000", exposure: DriverCapabilities.Exposure.none)
        #expect(Sharing.exposure(of: quiet, driver: .clearnetAddress) == .none)
    }

    @Test(
        "keys, routes and names are one origin for each driver, however many there are",
        arguments: [
            ("203.0.113.9:9735", "203.0"), ("02ab@203.0.113.9:9735", "203.0"), ("[2001:db8:1::2]:1", "2001:db8"),
            ("abcdefghij.onion:9735", "onion"), ("127.0.0.1:1", "local"),
            ("node1.example.com:9735", "driver lightning"),
            ("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", "driver lightning"),
            ("0279be667ef9dcbb over 3 hops", "driver lightning"),
        ])
    func origins(remote: String, group: String) {
        #expect(PeerSharing.origin(of: Self.link(to: remote), driver: "lightning").networkGroup == group)
    }
}
