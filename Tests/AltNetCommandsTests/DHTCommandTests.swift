// SPDX-License-Identifier: MIT

import AltNetLibp2pHost
import AltNetPeerRecords
import ArgumentParser
import Logging
import Testing

@testable import AltNetCommands

@Suite struct DHTCommandTests {
    @Test func aListenerOnAllInterfacesIsNamedByAddressesThatOthersCanConnectTo() async throws {
        let node = try DHTNode(data: nil, kademlia: .init(mode: .server), logger: Logger(label: "test"))
        try await node.host.listen(on: [try Multiaddress(text: "/ip4/0.0.0.0/tcp/0")])
        let addresses = try node.bootstrapAddresses()
        #expect(!addresses.isEmpty)
        #expect(addresses.allSatisfy { $0.peerID == node.host.peer && !$0.description.hasPrefix("/ip4/0.0.0.0/") })
        let isLoopback = addresses.map { $0.reach == .loopback }
        // The one that is copied first leads farthest.
        #expect(isLoopback == isLoopback.filter { !$0 } + isLoopback.filter { $0 })
        let other = Libp2pHost(
            key: PeerKeyFile.random(), book: node.book, configuration: HostConfiguration(),
            logger: Logger(label: "test"))
        let first = try #require(addresses.first)
        let link = try await other.connect(to: node.host.peer, addresses: [first.withoutPeerID], source: .user)
        #expect(link.isOpen)
        await other.shutdown()
        await node.host.shutdown()
    }

    @Test func theOperatorOfAPrivateNetworkMayAllowMoreNodesOfOneGroup() throws {
        #expect(try DHTCommand.Options.parse([]).perGroup == KademliaService.Configuration().perGroupInTable)
        #expect(try DHTCommand.Options.parse(["--per-group", "50"]).perGroup == 50)
        for text in ["0", "10001", "many"] {
            #expect(throws: (any Error).self) { try DHTCommand.Options.parse(["--per-group", text]) }
        }
    }
}
