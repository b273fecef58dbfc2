// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDialing
import AltNetLibp2p
import AltNetPeerRecords
import AltNetTestKit
import AltNetTransport
import Foundation
import Libp2pTestSupport
import Logging
import Synchronization
import Testing

@testable import AltNetLibp2pHost

@Suite("Libp2pHost: identify", .timeLimit(.minutes(5)))
struct HostIdentifyTests {
    /// Signs at once the second time, and when it is told to the first time.
    final class SlowIssuer: RecordIssuer {
        let inner: CountingIssuer
        private let isFirst = Mutex(true)
        let gate: AsyncStream<Void>

        init(_ key: PeerPrivateKey, gate: AsyncStream<Void>) {
            self.inner = CountingIssuer(key)
            self.gate = gate
        }

        func issue(_ addresses: [Multiaddress]) async throws -> CertifiedPeerRecord {
            let isFirst = self.isFirst.withLock { isFirst in
                defer { isFirst = false }
                return isFirst
            }
            if isFirst { for await _ in self.gate { break } }
            return try await self.inner.issue(addresses)
        }
    }

    @Test("Of two runs that sign a record at the same time, the one that looked last has the higher number")
    func signingOrder() async throws {
        let key = try TestHost.key(1)
        let (gate, opener) = AsyncStream.makeStream(of: Void.self)
        var configuration = HostConfiguration()
        configuration.recordIssuer = SlowIssuer(key, gate: gate)
        let alice = Libp2pHost(key: key, book: NoteBook(), configuration: configuration, logger: Logger(label: "host"))
        let old = try Multiaddress(text: "/ip4/9.8.7.6/tcp/1")
        let new = try Multiaddress(text: "/ip4/9.8.7.6/tcp/2")
        let first = Task { await alice.confirm([old]) }
        try await Condition.wait("the first run is under way") { alice.state.withLock { $0.signing != nil } }
        let second = Task { await alice.confirm([new]) }
        try await Condition.wait("the second run knows the new address") {
            alice.state.withLock { $0.confirmed == [new] }
        }
        // As long as a run that did not wait would take.
        for _ in 0..<1_000 where alice.record == nil { await Task.yield() }
        opener.yield()
        await first.value
        await second.value
        #expect(alice.record?.record.addresses == [new])
        await alice.shutdown()
    }

    @Test("A new address of ours is signed with a higher number and pushed to those who are connected")
    func push() async throws {
        let bob = try await TestHost.start(try TestHost.key(2))
        let alice = try await TestHost.start(try TestHost.key(1))
        _ = try await alice.host.connect(to: bob.peer, addresses: bob.addresses)
        try await Condition.wait("both know each other") {
            alice.book.records[bob.peer] != nil && bob.book.records[alice.peer] != nil
                && alice.host.links.first?.identify != nil
        }
        let before = try #require(bob.book.records[alice.peer]).record
        let confirmed = try Multiaddress(text: "/ip4/9.8.7.6/tcp/4001")
        await alice.host.confirm([confirmed])
        try await Condition.wait("the push has come") {
            bob.book.records[alice.peer].map { $0.record.sequence > before.sequence } == true
        }
        #expect(bob.book.records[alice.peer]?.record.addresses == [confirmed])
        #expect(bob.book.addresses[alice.peer] == [confirmed] + alice.addresses)
        #expect(bob.host.links.first?.identify?.protocols.contains(ProtocolName.identify) == true)
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    /// Connects to a host that answers identify with this, and gives its news after the answer was looked at.
    static func news(answer: @escaping @Sendable (PeerPrivateKey) throws -> IdentifyMessage) async throws -> [PeerNews]
    {
        let key = try TestHost.key(2)
        let bob = try await TestHost.start(key)
        let alice = try await TestHost.start(try TestHost.key(1))
        let answered = Mutex(false)
        bob.host.serve(ProtocolName.identify) { stream, _ in
            try? await stream.write((try? answer(key).framed) ?? [])
            stream.closeWrite()
            answered.withLock { $0 = true }
        }
        let link = try await alice.host.connect(to: bob.peer, addresses: bob.addresses)
        try await Condition.wait("it has answered") { answered.withLock { $0 } }
        // The next answer on this connection comes after the last.
        _ = try await link.ping()
        await alice.host.shutdown()
        await bob.host.shutdown()
        return alice.book.news.filter { if case .connected = $0 { false } else { true } }
    }

    @Test("A record is handed to the peer book as one that must be about the peer at the other end")
    func otherPeersRecord() async throws {
        let mallory = try TestHost.key(8)
        let record = try PeerRecord(
            peer: mallory.peerID, sequence: 1, addresses: [try Multiaddress(text: "/ip4/1.2.3.4/tcp/1")]
        ).sealed(by: mallory)
        let news = try await Self.news { _ in
            var message = IdentifyMessage()
            message.signedPeerRecord = record.envelope
            return message
        }
        let bob = try TestHost.key(2).peerID
        #expect(
            news == [
                .record(
                    envelope: record.envelope, source: .identify, about: bob, learnedOn: .loopback,
                    toldBy: NewsOrigin(networkGroup: try Multiaddress(text: "/ip4/127.0.0.1/tcp/1").networkGroup))
            ])
    }

    @Test("Who shows somebody else's key is believed nothing")
    func otherPeersKey() async throws {
        let news = try await Self.news { _ in
            var message = IdentifyMessage()
            message.publicKey = try TestHost.key(8).publicKey.protobuf
            message.listenAddresses = [try Multiaddress(text: "/ip4/1.2.3.4/tcp/1")]
            return message
        }
        #expect(news.isEmpty)
    }

    @Test("What peers have said of our address is withdrawn when its time is over, without anything else happening")
    func withdrawn() async throws {
        let alice = try await TestHost.start(try TestHost.key(1)) { $0.observationInterval = .milliseconds(20) }
        let seen = try Multiaddress(text: "/ip4/9.8.7.6/tcp/4001")
        let begun = MonotonicInstant.now
        try alice.host.observed.withLock { state in
            for number in UInt8(1)...4 {
                let remote = try Multiaddress(text: "/ip4/\(number * 20).1.1.1/tcp/1")
                let connection = ObservedAddresses.ConnectionID(.max - UInt64(number))
                let peer = try TestHost.key(number + 1).peerID
                _ = state.machine.onObserved(seen, by: peer, at: remote, over: connection, .inbound, now: begun)
            }
        }
        try await Condition.wait("it is believed") { alice.host.record?.record.addresses == [seen] }
        alice.host.observed.withLock { state in
            for number in UInt64(1)...4 {
                // Ended so long ago that it counts for a moment yet.
                let ended = MonotonicInstant(
                    nanoseconds: (MonotonicInstant.now + .milliseconds(50)).nanoseconds
                        - Int64(ObservedAddresses.lifetime.components.seconds) * 1_000_000_000)
                state.machine.onClosed(ObservedAddresses.ConnectionID(.max - number), now: ended)
            }
        }
        try await Condition.wait("it is withdrawn") { alice.host.record?.record.addresses == alice.addresses }
        await alice.host.shutdown()
    }

    @Test("What peers have said of our address does not count when this machine has moved")
    func moved() async throws {
        let alice = try await TestHost.start(try TestHost.key(1))
        let seen = try Multiaddress(text: "/ip4/9.8.7.6/tcp/4001")
        try alice.host.observed.withLock { state in
            for number in UInt8(1)...4 {
                let remote = try Multiaddress(text: "/ip4/\(number * 20).1.1.1/tcp/1")
                _ = state.machine.onObserved(
                    seen, by: try TestHost.key(number + 1).peerID, at: remote,
                    over: ObservedAddresses.ConnectionID(.max - UInt64(number)), .inbound, now: .now)
            }
        }
        await alice.host.confirmObserved()
        #expect(alice.host.record?.record.addresses == [seen])
        await alice.host.onMoved()
        #expect(alice.host.record?.record.addresses == alice.addresses)
        await alice.host.shutdown()
    }

    @Test("The addresses by which we reach others are those of the default interface, or all without one")
    func ways() {
        var surroundings = LocalSurroundings(
            interfaces: [
                LocalSurroundings.Interface(name: "docker0", address: [172, 17, 0, 1], prefixLength: 16),
                LocalSurroundings.Interface(name: "wlan0", address: [192, 168, 1, 20], prefixLength: 24),
            ], defaultInterface: "wlan0", gateway: "00:11:22:33:44:55")
        #expect(surroundings.ways == [[192, 168, 1, 20]])
        surroundings.defaultInterface = nil
        #expect(surroundings.ways.count == 2)
    }

    @Test("An empty key is none, and what comes with it is taken")
    func emptyKey() async throws {
        let address = try Multiaddress(text: "/ip4/1.2.3.4/tcp/1")
        let news = try await Self.news { _ in
            var message = IdentifyMessage()
            message.publicKey = []
            message.listenAddresses = [address]
            return message
        }
        guard case .addresses(_, [address], .identify, _, _, _, _)? = news.first else {
            Issue.record("nothing was taken: \(news)")
            return
        }
    }

    @Test("Private addresses are told on their network only, and a record with one is kept from others")
    func privateAddresses() async throws {
        let alice = try await TestHost.start(try TestHost.key(1)) {
            $0.announced = [(try? Multiaddress(text: "/dns4/alice.example/tcp/1"))].compactMap { $0 }
        }
        let name = try Multiaddress(text: "/dns4/alice.example/tcp/1")
        #expect(alice.host.addresses(for: .loopback) == [name] + alice.addresses)
        #expect(alice.host.addresses(for: nil) == [name])
        #expect(alice.host.addresses(for: LocalNetwork("gateway 00:11:22:33:44:55")) == [name])
        #expect(alice.host.record?.record.addresses == [name])
        await alice.host.shutdown()
    }

    @Test("A listener on all interfaces is announced at each of their addresses")
    func allInterfaces() async throws {
        let key = try TestHost.key(1)
        let alice = try await TestHost.start(key)
        let bound = try await alice.host.listen(on: [try Multiaddress(text: "/ip4/0.0.0.0/tcp/0")])
        let port = try #require(bound.first?.description.split(separator: "/").last)
        let addresses = alice.host.addresses(for: .loopback).map(\.description)
        #expect(addresses.contains("/ip4/127.0.0.1/tcp/\(port)"))
        #expect(!addresses.contains("/ip4/0.0.0.0/tcp/\(port)"))
        await alice.host.shutdown()
    }
}

@Suite("The networks that this machine is on")
struct LocalNetworksTests {
    @Test(
        "Addresses belong to the machine, to the network of the default route, to another one, or to none",
        arguments: [
            ("/ip4/127.0.0.1/tcp/1", "loopback"), ("/ip6/::1/tcp/1", "loopback"),
            ("/ip4/192.168.1.77/tcp/1", "lan @"),
            ("/ip4/10.99.0.1/tcp/1", "lan @"), ("/ip4/172.17.0.9/tcp/1", "docker0 ac110000/16"),
            ("/ip4/8.8.8.8/tcp/1", nil), ("/dns4/example.org/tcp/1", nil),
        ])
    func names(address: String, name: String?) throws {
        let surroundings = LocalSurroundings(
            interfaces: [
                LocalSurroundings.Interface(name: "docker0", address: [172, 17, 0, 1], prefixLength: 16),
                LocalSurroundings.Interface(name: "wlan0", address: [192, 168, 1, 20], prefixLength: 24),
            ], defaultInterface: "wlan0", gateway: "00:11:22:33:44:55")
        let found = surroundings.network(of: try Multiaddress(text: address))?.name
        guard name == "lan @" else {
            #expect(found == name)
            return
        }
        // Sixteen digits that hold nothing of the hardware address.
        #expect(found?.wholeMatch(of: /lan [0-9a-f]{16}/) != nil)
        var elsewhere = surroundings
        elsewhere.gateway = "00:11:22:33:44:56"
        #expect(elsewhere.network(of: try Multiaddress(text: address))?.name != found)
        elsewhere = surroundings
        elsewhere.salt = [1]
        #expect(elsewhere.network(of: try Multiaddress(text: address))?.name != found)
        // At home or in a café: nobody knows.
        elsewhere.gateway = nil
        #expect(elsewhere.network(of: try Multiaddress(text: address)) == nil)
    }

    @Test("This machine is on its own network at least")
    func system() throws {
        #expect(LocalNetworks().surroundings.interfaces.contains { $0.address == [127, 0, 0, 1] })
    }
}

@Suite("From multiaddresses to sockets")
struct SocketTargetTests {
    @Test("a name for one address family leads to no address of the other")
    func families() throws {
        let (four, six) = ("203.0.113.7", "2001:db8::7")
        for (text, allowed) in [("dns", [four, six]), ("dns4", [four]), ("dns6", [six])] {
            let address = try Multiaddress(text: "/\(text)/example.org/tcp/4001")
            let check = try #require(SocketTarget.check(of: address, takesPrivate: false))
            #expect([four, six].filter(check) == allowed)
        }
    }

    @Test(
        "What TCP reaches is dialled, directly or through the proxy",
        arguments: [
            ("/ip4/1.2.3.4/tcp/80", "1.2.3.4:80"), ("/ip6/2001:db8::1/tcp/80", "[2001:db8::1]:80"),
            ("/ip6zone/eth0/ip6/fe80::1/tcp/80", "[fe80::1]:80"), ("/dns/example.org/tcp/80", "example.org:80"),
            ("/dns4/example.org/tcp/80/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5", "example.org:80"),
        ])
    func direct(address: String, target: String) throws {
        #expect(try SocketTarget.of(try Multiaddress(text: address), hasProxy: false).description == target)
    }

    static let onion = "vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd"

    @Test("Onion services need a proxy")
    func onionService() throws {
        let address = try Multiaddress(text: "/onion3/\(Self.onion):1234")
        #expect(throws: LinkFailure.self) { try SocketTarget.of(address, hasProxy: false) }
        #expect(try SocketTarget.of(address, hasProxy: true).description == "\(Self.onion).onion:1234")
    }

    @Test(
        "Everything else is refused in words",
        arguments: [
            "/ip4/0.0.0.0/tcp/80", "/ip4/0.1.2.3/tcp/80", "/ip6/::/tcp/80", "/ip6/::ffff:0.0.0.0/tcp/80",
            "/ip6/::127.0.0.1/tcp/80", "/ip4/224.0.0.1/tcp/80", "/ip4/240.0.0.1/tcp/80", "/ip4/255.255.255.255/tcp/80",
            "/ip6/ff02::1/tcp/80", "/ip6zone/lo/ip6/::1/tcp/80", "/ip6zone/lo/ip6/::/tcp/80", "/dns4/0/tcp/80",
            "/dns4/127.1/tcp/80", "/dns/0x7f000001/tcp/80", "/dns4/127.0.0.1/tcp/80",
            "/ip4/1.2.3.4/udp/80/quic-v1", "/ip4/1.2.3.4/tcp/80/ws", "/unix/tmp%2Fsocket", "/dnsaddr/example.org",
            "/ip4/1.2.3.4/tcp/80/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5/p2p-circuit",
        ])
    func refused(address: String) throws {
        let address = try Multiaddress(text: address)
        #expect(throws: LinkFailure.self) { try SocketTarget.of(address, hasProxy: true) }
        #expect(throws: LinkFailure.self) { try SocketTarget.of(address, hasProxy: false) }
    }

    @Test(
        "What is no IP address with a port of TCP is not listened on",
        arguments: ["/dns4/a.b/tcp/1", "/ip4/1.2.3.4/udp/1"])
    func notListened(address: String) throws {
        let address = try Multiaddress(text: address)
        #expect(throws: LinkFailure.self) { try SocketTarget.listening(address) }
    }

    @Test("An address that names no machine is not dialled either when the caller insists")
    func nowhere() async throws {
        let bob = try await TestHost.start(try TestHost.key(2))
        let alice = try await TestHost.start(try TestHost.key(1))
        let port = try #require(bob.addresses[0].endpoint?.port)
        for host in ["/ip4/0.0.0.0", "/ip6/::ffff:0.0.0.0"] {
            let address = try Multiaddress(text: "\(host)/tcp/\(port)")
            let error = await #expect(throws: LinkFailure.self) {
                try await alice.host.connect(to: bob.peer, addresses: [address], source: .user, insists: true)
            }
            #expect(error?.description.contains("names no machine") == true)
        }
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    static let socks = "/usr/bin/microsocks"

    @Test(
        "Everything goes through the proxy, and identify tells nobody where it sees the proxy's other end",
        .enabled(
            if: FileManager.default.isExecutableFile(atPath: Self.socks),
            "needs microsocks; run: scripts/setup --tests"))
    func throughProxy() async throws {
        let port = try FreePort.find()
        let proxy = try BackgroundProcess(Self.socks, ["-i", "127.0.0.1", "-p", "\(port)"])
        let bob = try await TestHost.start(try TestHost.key(2))
        let alice = try await TestHost.start(try TestHost.key(1)) {
            $0.proxy = HostAndPort(host: "127.0.0.1", port: port)
        }
        let link = try await Condition.value("the proxy listens") {
            try? await alice.host.attempt(bob.peer, at: bob.addresses[0])
        }
        #expect(try await link.ping() > .zero)
        try await Condition.wait("the log of the proxy names the target") {
            proxy.errors.contains("\(bob.addresses[0].endpoint?.port ?? 0)")
        }
        let told = try await Condition.value("bob knows alice") { bob.host.links.first?.identify }
        #expect(told.observedAddress == nil && told.agentVersion == "altnet")
        await alice.host.shutdown()
        await bob.host.shutdown()
        proxy.kill()
    }

    @Test("A host whose proxy is gone reaches nobody, not even directly")
    func noWayAround() async throws {
        let bob = try await TestHost.start(try TestHost.key(2))
        let port = try FreePort.find()
        let alice = try await TestHost.start(try TestHost.key(1)) {
            $0.proxy = HostAndPort(host: "127.0.0.1", port: port)
        }
        await #expect(throws: LinkFailure.self) { _ = try await alice.host.attempt(bob.peer, at: bob.addresses[0]) }
        #expect(bob.host.links.isEmpty)
        await alice.host.shutdown()
        await bob.host.shutdown()
    }
}
