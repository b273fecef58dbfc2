// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetLibp2p
import AltNetLibp2pHost
import AltNetPeerRecords
import AltNetTestKit
import Libp2pTestSupport
import Testing

@Suite(
    "py-libp2p and we", .enabled(if: PythonPeer.isInstalled, Comment(rawValue: PythonPeer.missing)), .serialized,
    .timeLimit(.minutes(5)))
struct PythonPeerTests {
    @Test(
        "It connects to us over Noise and Yamux, and identify carries signed records both ways",
        arguments: [("ed25519", false), ("secp256k1", true), ("rsa", false)])
    func theyConnect(key: String, secp256k1: Bool) async throws {
        let ours = try await TestHost.start(try TestHost.key(3, secp256k1: secp256k1))
        let theirs = try await PythonPeer.start(key: key)
        let address = try ours.addresses[0].appending(ours.peer)
        _ = try await theirs.run(["do": "connect", "address": address.description])
        try await Self.checkRecords(ours, theirs)
        #expect(ours.host.links(to: theirs.peer).first?.isInbound == true)
        let ping = try await theirs.run(["do": "ping", "peer": ours.peer.description])
        #expect(ping.microseconds?.count == 3)
        let echo = try await theirs.run(["do": "echo", "peer": ours.peer.description], numbers: ["bytes": 700_000])
        #expect(echo.same == true)
        await ours.host.shutdown()
        #expect(try await theirs.finish() == 0)
    }

    @Test(
        "We connect to it over Noise and Yamux, and identify carries signed records both ways",
        arguments: [("ed25519", true), ("secp256k1", false), ("rsa", true)])
    func weConnect(key: String, secp256k1: Bool) async throws {
        let ours = try await TestHost.start(try TestHost.key(4, secp256k1: secp256k1))
        let theirs = try await PythonPeer.start(key: key)
        let link = try await ours.host.connect(to: theirs.peer, addresses: [theirs.address])
        try await Self.checkRecords(ours, theirs)
        #expect(try await link.ping() > .zero)
        let stream = try await link.openStream(protocols: ["/nobody/speaks/this", TestHost.echo])
        #expect(stream.protocolName == TestHost.echo)
        var random = SeededRandom(seed: 11)
        let sent = random.bytes(700_000)
        async let writing: Void = stream.write(sent)
        var received: [UInt8] = []
        while received.count < sent.count, let bytes = try await stream.read() { received += bytes }
        try await writing
        #expect(received == sent)
        stream.closeWrite()
        await ours.host.shutdown()
        #expect(try await theirs.finish() == 0)
    }

    @Test("A push of either side reaches the other, and a connection that one ends is gone on both sides")
    func pushAndEnd() async throws {
        let ours = try await TestHost.start(try TestHost.key(5))
        let theirs = try await PythonPeer.start()
        _ = try await ours.host.connect(to: theirs.peer, addresses: [theirs.address])
        try await Self.checkRecords(ours, theirs)
        let confirmed = try Multiaddress(text: "/ip4/9.8.7.6/tcp/4001")
        let before = ours.book.news.count
        await ours.host.confirm([confirmed])
        try await Condition.wait("our push has come") {
            let identified = try await theirs.run(["do": "identified", "peer": ours.peer.description])
            return identified.record?.addresses == [confirmed.description]
        }
        let push = try await theirs.run(["do": "push", "peer": ours.peer.description])
        #expect(push.pushed == true)
        try await Condition.wait("its push has come") { ours.book.news.count > before }
        _ = try await theirs.run(["do": "disconnect", "peer": ours.peer.description])
        try await Condition.wait("the connection is gone") { ours.host.links.isEmpty }
        await ours.host.shutdown()
        #expect(try await theirs.finish() == 0)
    }

    @Test("Neither side takes somebody else at an address for the expected peer")
    func somebodyElse() async throws {
        let ours = try await TestHost.start(try TestHost.key(6))
        let theirs = try await PythonPeer.start()
        let other = try TestHost.key(7).peerID
        let failure = LinkFailure.connection(.noise(.unexpectedPeer(expected: other, found: theirs.peer)))
        await #expect(throws: failure) { _ = try await ours.host.attempt(other, at: theirs.address.withoutPeerID) }
        let wrong = try ours.addresses[0].appending(other)
        await #expect(throws: Condition.Failure.self) {
            _ = try await theirs.run(["do": "connect", "address": wrong.description])
        }
        await ours.host.shutdown()
        #expect(try await theirs.finish() == 0)
    }

    private static func checkRecords(_ ours: TestHost, _ theirs: PythonPeer) async throws {
        let identified = try await theirs.run(["do": "identified", "peer": ours.peer.description])
        #expect(identified.record?.peer == ours.peer.description)
        #expect(identified.record?.sequence == ours.host.record?.record.sequence)
        #expect(identified.record?.addresses == ours.addresses.map(\.description))
        #expect(identified.protocols?.contains(ProtocolName.identifyPush) == true)
        let record = try await Condition.value("its record has come") { ours.book.records[theirs.peer] }
        #expect(record.record.peer == theirs.peer)
        #expect(record.record.addresses.map(\.withoutPeerID).contains(theirs.address.withoutPeerID))
        #expect(ours.book.addresses[theirs.peer]?.contains(theirs.address.withoutPeerID) == true)
    }
}
