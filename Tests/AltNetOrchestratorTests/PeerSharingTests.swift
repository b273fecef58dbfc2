// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetConfiguration
import AltNetDriverProtocol
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

    private static func record(_ address: String) throws -> CertifiedPeerRecord {
        let key = try #require(PeerPrivateKey.ed25519(seed: Array(repeating: 7, count: 32)))
        return try PeerRecord(peer: key.peerID, sequence: 1, addresses: [try Multiaddress(text: address)])
            .sealed(by: key)
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
        #expect(sharing.tells(try Self.record("/ip4/203.0.113.7/tcp/4001"), over: exposure) == tells)
        // One with a private address means somebody else over there.
        for address in ["/ip4/192.168.1.7/tcp/4001", "/ip4/127.0.0.1/tcp/4001"] {
            #expect(!sharing.tells(try Self.record(address), over: exposure))
        }
    }

    @Test("who calls from this machine may come out of a hidden service, and who says nothing is told nothing")
    func exposures() {
        typealias Sharing = PeerSharing
        for place in ["127.0.0.1:40000", "02ab@127.0.0.1:40000", "[::1]:9", "/ip4/127.0.0.1/tcp/9"] {
            #expect(Sharing.exposure(of: Self.link(to: place), driver: .clearnetAddress) == .pseudonym)
            let ours = Self.link(to: place, target: "02ab@\(place)")
            #expect(Sharing.exposure(of: ours, driver: .clearnetAddress) == .clearnetAddress)
        }
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
