// SPDX-License-Identifier: MIT

import AltNetBitcoin
import AltNetDriverProtocol
import AltNetLightningStore
import AltNetNode
import AltNetObjects
import AltNetTestKit
import Testing

@testable import AltNetBitcoinDriver
@testable import AltNetLightningDriver
@testable import AltNetOrchestrator

/// The daemon's rules with what the drivers really say of themselves.
@Suite("What hole punching makes of our own drivers and of the node")
struct OfferLinkTests {
    private static func bitcoin(isProxied: Bool) -> DriverCapabilities {
        BitcoinMedium(network: .regtest, userAgent: "/t:0/", isProxied: isProxied).capabilities
    }

    private static func lightning(isProxied: Bool) throws -> DriverCapabilities {
        var settings = DriverSettings([:])
        var options = LightningMedium.Options(
            network: .regtest, serves: [.headers], isProxied: isProxied,
            alternatives: try AlternativeSettings(&settings),
            addressStore: try AlternativeAddressStore(directory: TemporaryDirectory.make()))
        options.messages = true
        return try LightningMedium(key: NodeKeyFile.random(), options: options).capabilities
    }

    @Test func `Offers travel over links of altnet-bitcoin without a proxy, and over none of altnet-lightning`()
        async throws
    {
        // Dialled, called, and dialled through a proxy by a driver that also listens.
        let dialled = PunchServiceTests.link("8.8.8.8:8333", target: "8.8.8.8:8333")
        let called = PunchServiceTests.link("8.8.8.8:51234")
        let proxied = PunchServiceTests.link(
            "8.8.8.8:8333", target: "8.8.8.8:8333", exposure: DriverCapabilities.Exposure.none)
        let open = Self.bitcoin(isProxied: false)
        #expect(open.exposure == .clearnetAddress)
        for (link, expected) in [(dialled, 1), (called, 1), (proxied, 0)] {
            #expect(try await PunchServiceTests.heard(open, link) == expected, "\(link)")
        }
        #expect(try await PunchServiceTests.heard(Self.bitcoin(isProxied: true), dialled) == 0)
        for isProxied in [true, false] {
            let lightning = try Self.lightning(isProxied: isProxied)
            #expect(lightning.exposure == (isProxied ? .pseudonym : .clearnetAddress))
            for link in [dialled, called] {
                #expect(try await PunchServiceTests.heard(lightning, link) == 0, "\(isProxied) \(link)")
            }
        }
    }

    @Test func `Of the node's peers those are direct that it called in networks without a proxy`() {
        func peer(_ id: Int64, _ network: String, isInbound: Bool = false) -> NodePeer {
            NodePeer(id: id, address: "\(id)", isInbound: isInbound, connectionType: "", network: network)
        }
        var state = NodeState(reach: .reachable)
        state.peers = [peer(1, "ipv4"), peer(2, "ipv6"), peer(3, "onion"), peer(4, "ipv6", isInbound: true)]
        state.directNetworks = ["ipv6"]
        let peers = NodeOutboundPeers(state)
        #expect(peers.all == ["1", "2", "3"] && peers.direct == ["2"])
        // A node that does not tell has none.
        state.directNetworks = []
        #expect(NodeOutboundPeers(state).direct.isEmpty && NodeOutboundPeers(nil).all.isEmpty)
    }
}
