// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDialing
import AltNetKademlia
import AltNetLibp2p
import AltNetPeerRecords
import AltNetTestKit
import AltNetTransport
import Libp2pTestSupport
import Synchronization
import Testing

@testable import AltNetLibp2pHost

@Suite("Libp2pHost: dialling", .timeLimit(.minutes(5)))
struct HostDialingTests {
    @Test("callers at the same time share one connection, and a policy that does not allow it gets none")
    func policies() async throws {
        let alice = try await TestHost.start(try TestHost.key(1))
        let bob = try await TestHost.start(try TestHost.key(2))
        let links = try await withThrowingTaskGroup(of: Libp2pLink.self) { group in
            for _ in 0..<8 {
                group.addTask { try await alice.host.connect(to: bob.peer, addresses: bob.addresses, source: .dht) }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(links.allSatisfy { $0 === links[0] })
        #expect(alice.host.links.count == 1)
        let error = await #expect(throws: PeerUnreachable.self) {
            try await alice.host.connect(
                to: bob.peer, addresses: bob.addresses, source: .dht, policy: .certifiedOnly)
        }
        #expect(error?.failure == .noneAllowed(known: 1))
        await #expect(throws: PeerUnreachable.self) {
            try await alice.host.connect(to: bob.peer, policy: .privateOnly)
        }
        let certified = try await alice.host.connect(
            to: bob.peer, addresses: bob.addresses, source: .certified, policy: .certifiedOnly)
        #expect(certified === links[0])
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    @Test("the side that was called uses the same connection, and a new one after it has ended")
    func inbound() async throws {
        let alice = try await TestHost.start(try TestHost.key(3))
        let bob = try await TestHost.start(try TestHost.key(4))
        var events = bob.host.events().makeAsyncIterator()
        let link = try await alice.host.connect(to: bob.peer, addresses: bob.addresses)
        guard case .connected(let accepted)? = await events.next() else {
            Issue.record("no connection came in")
            return
        }
        let back = try await bob.host.connect(to: alice.peer, addresses: alice.addresses)
        // Either the one that came in, or one of its own when the dialer had not heard of that one yet.
        #expect(back === accepted || !back.isInbound)
        link.close()
        while let event = await events.next() {
            if case .disconnected(let ended, _) = event, ended === accepted { break }
        }
        let again = try await bob.host.connect(to: alice.peer, addresses: alice.addresses)
        #expect(again !== accepted && again.isOpen)
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    @Test("a place that does not answer delays nobody, and the peer book hears that it failed")
    func silent() async throws {
        let alice = try await TestHost.start(try TestHost.key(5)) {
            $0.dialing = Dialing.Settings(attemptTimeout: .seconds(5))
        }
        let bob = try await TestHost.start(try TestHost.key(6))
        // Listens, and is somebody else: what connects there is not bob.
        let mallory = try await TestHost.start(try TestHost.key(7))
        let link = try await alice.host.connect(to: bob.peer, addresses: mallory.addresses + bob.addresses)
        #expect(link.peer == bob.peer && link.address == bob.addresses[0])

        let error = await #expect(throws: PeerUnreachable.self) {
            try await alice.host.connect(to: try TestHost.key(8).peerID, addresses: mallory.addresses)
        }
        #expect(error?.failure == .unreachable(tried: 1, inBackOff: 0) && error?.reasons.count == 1)
        for host in [alice, bob, mallory] { await host.host.shutdown() }
    }

    @Test("an address that the DHT brings meanwhile is tried in the running dial")
    func foundMeanwhile() async throws {
        let alice = try await TestHost.start(try TestHost.key(9)) {
            $0.dialing = Dialing.Settings(attemptTimeout: .seconds(80))
        }
        let bob = try await TestHost.start(try TestHost.key(10))
        let silent = HostLimitsTests.SilentListener()
        let listener = try await silent.start()
        let nowhere = try Multiaddress(text: "/ip4/127.0.0.1/tcp/\(try #require(listener.address?.port))")
        let service = await alice.host.joinKademlia(KademliaService.Configuration())
        let dial = Task { try await alice.host.connect(to: bob.peer, addresses: [nowhere]) }
        try await Condition.wait("the first address is tried") { silent.accepted.withLock { !$0.isEmpty } }
        alice.book.know(bob.peer, at: bob.addresses)
        let teller = KademliaContact(peer: try TestHost.key(11).peerID, group: nil, network: .loopback)
        #expect(await service.learn([.addresses(bob.peer, bob.addresses)], from: teller) == [.stored])
        #expect(try await dial.value.address == bob.addresses[0])
        await listener.close()
        for host in [alice, bob] { await host.host.shutdown() }
    }

    @Test("an address that this host cannot dial is refused by name")
    func undialable() async throws {
        let alice = try await TestHost.start(try TestHost.key(9))
        let other = try TestHost.key(10).peerID
        let quic = try Multiaddress(text: "/ip4/127.0.0.1/udp/1/quic-v1")
        let error = await #expect(throws: LinkFailure.self) {
            try await alice.host.connect(to: other, addresses: [quic])
        }
        #expect(error?.description.contains("quic") == true)
        await #expect(throws: LinkFailure.ourselves) { try await alice.host.connect(to: alice.peer) }
        let unknown = await #expect(throws: PeerUnreachable.self) { try await alice.host.connect(to: other) }
        #expect(unknown?.failure == .noAddress)
        await alice.host.shutdown()
    }

    @Test("a name that leads to this machine is dialled for the operator, and for nobody else")
    func namesOfOurs() async throws {
        let alice = try await TestHost.start(try TestHost.key(9))
        let bob = try await TestHost.start(try TestHost.key(10))
        let port = try #require(bob.addresses[0].endpoint?.port)
        // Every machine has it, and the judgement looks at what it leads to.
        let name = try Multiaddress(text: "/dns4/localhost/tcp/\(port)")
        let error = await #expect(throws: LinkFailure.self) { try await alice.host.attempt(bob.peer, at: name) }
        #expect(error?.description.contains("127.0.0.1") == true)
        let hearsay = await #expect(throws: PeerUnreachable.self) {
            try await alice.host.connect(to: bob.peer, addresses: [name], source: .dht, insists: true)
        }
        #expect(hearsay?.reasons.first?.contains("leads to") == true)
        #expect(bob.host.links.isEmpty)
        let link = try await alice.host.connect(to: bob.peer, addresses: [name], source: .user, insists: true)
        // Known by the socket, not by the name.
        #expect(link.network == .loopback && link.address == name)
        #expect(link.networkGroup == bob.addresses[0].networkGroup)
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    @Test("all names behind a proxy are one group, and a socket's address counts where there is none")
    func groups() throws {
        var configuration = HostConfiguration()
        func place(_ text: String, socket: String? = nil, isInbound: Bool = false) throws -> LinkPlace {
            LinkPlace(
                try Multiaddress(text: text), socket: try socket.map { try Multiaddress(text: $0) },
                isInbound: isInbound, configuration, LocalNetworks())
        }
        let names = ["/dns4/a.example.org/tcp/1", "/dns6/b.example.net/tcp/1"]
        for name in names {
            let there = try place(name, socket: "/ip4/1.2.3.4/tcp/1")
            #expect(there.networkGroup == (try Multiaddress(text: "/ip4/1.2.9.9/tcp/1").networkGroup))
            #expect(there.network == nil && !there.isLocal)
            #expect(try place(name, socket: "/ip4/127.0.0.1/tcp/1").network == .loopback)
        }
        configuration.proxy = HostAndPort(host: "127.0.0.1", port: 9_050)
        #expect(Set(try names.map { try place($0, socket: "/ip4/127.0.0.1/tcp/9050").networkGroup }).count == 1)
        #expect(try place(names[0], socket: "/ip4/127.0.0.1/tcp/9050").network == nil)
        let forwarded = try place("/ip4/127.0.0.1/tcp/1", isInbound: true)
        #expect(forwarded.network == nil && forwarded.networkGroup == "forwarded" && !forwarded.isLocal)
        #expect(try place("/ip4/127.0.0.1/tcp/1").network == .loopback)
    }

    @Test("who comes over loopback and may be anybody is told no address of this machine")
    func forwarded() async throws {
        let alice = try await TestHost.start(try TestHost.key(11))
        let bob = try await TestHost.start(try TestHost.key(12)) { $0.inboundLoopbackIsForeign = true }
        let link = try await alice.host.connect(to: bob.peer, addresses: bob.addresses)
        let told = try await Condition.value("bob introduces himself") { link.identify }
        #expect(told.listenAddresses.isEmpty && told.signedPeerRecord == nil && told.observedAddress == nil)
        #expect(bob.host.links.first?.network == nil && bob.host.links.first?.networkGroup == "forwarded")
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    @Test("each side tells the other where it sees it, and one network is not believed")
    func observed() async throws {
        let alice = try await TestHost.start(try TestHost.key(11))
        let bob = try await TestHost.start(try TestHost.key(12))
        var events = bob.host.events().makeAsyncIterator()
        _ = try await alice.host.connect(to: bob.peer, addresses: bob.addresses)
        while let event = await events.next() {
            guard case .identified(_, let message) = event else { continue }
            #expect(message.observedAddress == bob.addresses[0])
            break
        }
        #expect(bob.host.observedHosts.isEmpty)
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    @Test("one address is called for few peers, however many others say are there; the operator may insist")
    func targets() async throws {
        let alice = try await TestHost.start(try TestHost.key(5))
        let bob = try await TestHost.start(try TestHost.key(6))
        let invented = try (100..<120).map { try TestHost.key(UInt8($0)).peerID }
        var called = 0
        for peer in invented {
            let error = await #expect(throws: PeerUnreachable.self) {
                try await alice.host.connect(to: peer, addresses: bob.addresses, source: .dht)
            }
            if error?.failure == .unreachable(tried: 1, inBackOff: 0) { called += 1 }
        }
        #expect(called == DialTargetLimit.maximumPeers)
        let error = await #expect(throws: PeerUnreachable.self) {
            try await alice.host.connect(to: invented[19], addresses: bob.addresses, source: .dht, insists: true)
        }
        #expect(error?.failure == .unreachable(tried: 1, inBackOff: 0))
        // Bob has signed where he is.
        #expect(try await alice.host.connect(to: bob.peer, addresses: bob.addresses, source: .certified).isOpen)
        await alice.host.shutdown()
        await bob.host.shutdown()
    }
}
