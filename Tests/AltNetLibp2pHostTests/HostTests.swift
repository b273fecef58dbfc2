// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetLibp2p
import AltNetLibp2pHost
import AltNetPeerRecords
import AltNetTestKit
import Libp2pTestSupport
import Testing

@Suite("Libp2pHost: two hosts over loopback", .timeLimit(.minutes(5)))
struct HostTests {
    @Test("Both sides prove who they are, and identify brings the signed record of each to the other")
    func identify() async throws {
        let alice = try await TestHost.start(try TestHost.key(1))
        let bob = try await TestHost.start(try TestHost.key(2, secp256k1: true))
        let link = try await alice.host.connect(to: bob.peer, addresses: bob.addresses)
        #expect(link.peer == bob.peer)
        #expect(!link.isInbound)
        #expect(link.network == .loopback)
        try await Condition.wait("records have come") {
            alice.book.records[bob.peer] != nil && bob.book.records[alice.peer] != nil
        }
        #expect(alice.book.records[bob.peer]?.record.addresses == bob.addresses)
        #expect(bob.book.records[alice.peer]?.record.addresses == alice.addresses)
        #expect(
            alice.book.news.contains {
                if case .connected(bob.peer, bob.addresses[0], _, .loopback, _) = $0 { true } else { false }
            })
        #expect(bob.host.links(to: alice.peer).first?.isInbound == true)
        let again = try await alice.host.connect(to: bob.peer)
        #expect(again === link)
        #expect(try await link.ping() > .zero)
        await alice.host.shutdown()
        await bob.host.shutdown()
        #expect(alice.host.links.isEmpty && bob.host.links.isEmpty)
    }

    @Test("A stream carries a megabyte there and back while both sides write")
    func megabyte() async throws {
        let alice = try await TestHost.start(try TestHost.key(1))
        let bob = try await TestHost.start(try TestHost.key(2))
        let stream = try await alice.host.openStream(to: bob.peer, protocols: [TestHost.echo], addresses: bob.addresses)
        #expect(stream.protocolName == TestHost.echo)
        var random = SeededRandom(seed: 7)
        let sent = random.bytes(1_000_000)
        async let writing: Void = stream.write(sent)
        var received: [UInt8] = []
        while received.count < sent.count, let bytes = try await stream.read() { received += bytes }
        try await writing
        #expect(received == sent)
        stream.closeWrite()
        #expect(try await stream.read() == nil)
        await alice.host.shutdown()
        await bob.host.shutdown()
    }
}
