// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetLibp2p
import AltNetPeerRecords
import AltNetTestKit
import AltNetTransport
import Foundation
import Libp2pTestSupport
import Synchronization
import Testing

@testable import AltNetLibp2pHost

@Suite("Libp2pHost: what goes wrong", .timeLimit(.minutes(5)))
struct HostLimitsTests {
    /// A socket that accepts and says nothing.
    final class SilentListener: Sendable {
        let accepted = Mutex<[StreamConnection]>([])
        let closed = Mutex(0)

        func start() async throws -> StreamListener {
            try await StreamNetwork().listen(on: HostAndPort(host: "127.0.0.1", port: 0)) {
                (
                    onEvent: { event in if case .closed = event { self.closed.withLock { $0 += 1 } } },
                    onConnection: { connection in
                        self.accepted.withLock { $0.append(connection) }
                        connection.readMore()
                    }
                )
            }
        }
    }

    @Test("Somebody else at the address is refused, and the peer book hears that the address failed")
    func somebodyElse() async throws {
        let alice = try await TestHost.start(try TestHost.key(1))
        let bob = try await TestHost.start(try TestHost.key(2))
        let expected = try TestHost.key(3).peerID
        let failure = LinkFailure.connection(.noise(.unexpectedPeer(expected: expected, found: bob.peer)))
        await #expect(throws: failure) { _ = try await alice.host.attempt(expected, at: bob.addresses[0]) }
        try await Condition.wait("the book hears") {
            alice.book.news.contains(.failed(expected, bob.addresses[0], on: .loopback))
        }
        await #expect(throws: LinkFailure.ourselves) {
            _ = try await alice.host.attempt(alice.peer, at: alice.addresses[0])
        }
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    @Test("An attempt that is cancelled ends at once, closes what it opened, and blames nobody")
    func cancelled() async throws {
        let alice = try await TestHost.start(try TestHost.key(1))
        let silent = SilentListener()
        let listener = try await silent.start()
        let port = try #require(listener.address?.port)
        let address = try Multiaddress(text: "/ip4/127.0.0.1/tcp/\(port)")
        let peer = try TestHost.key(2).peerID
        let attempt = Task { try await alice.host.attempt(peer, at: address) }
        try await Condition.wait("it has connected") { silent.accepted.withLock { $0.count } == 1 }
        attempt.cancel()
        await #expect(throws: CancellationError.self) { _ = try await attempt.value }
        // The listener reads the header of the negotiation first, then the end.
        try await Condition.wait("the socket is closed") {
            for connection in silent.accepted.withLock({ $0 }) { connection.readMore() }
            return silent.closed.withLock { $0 } == 1
        }
        #expect(alice.book.news.isEmpty)
        await alice.host.shutdown()
        await listener.close()
    }

    @Test("Inbound connections beyond the limit are refused, and closed ones make room")
    func inboundLimit() async throws {
        let bob = try await TestHost.start(try TestHost.key(2)) { $0.maximumInbound = 1 }
        let alice = try await TestHost.start(try TestHost.key(1))
        let carol = try await TestHost.start(try TestHost.key(3))
        let link = try await alice.host.attempt(bob.peer, at: bob.addresses[0])
        await #expect(throws: LinkFailure.self) { _ = try await carol.host.attempt(bob.peer, at: bob.addresses[0]) }
        link.close()
        try await Condition.wait("there is room") {
            (try? await carol.host.attempt(bob.peer, at: bob.addresses[0])) != nil
        }
        for host in [alice, bob, carol] { await host.host.shutdown() }
    }

    @Test("A connection that is refused costs no keys")
    func refusedEarly() async throws {
        let bob = try await TestHost.start(try TestHost.key(2)) { $0.maximumInbound = 0 }
        let made = Inbound()
        let isLookedAt = Mutex(false)
        let listener = try await StreamNetwork().listen(on: HostAndPort(host: "127.0.0.1", port: 0)) {
            let receiver = bob.host.receiver(made)
            return (
                onEvent: receiver.onEvent,
                onConnection: { connection in
                    #expect(made.core == nil)
                    receiver.onConnection(connection)
                    isLookedAt.withLock { $0 = true }
                }
            )
        }
        // It may be refused before it is known here that it stands.
        _ = try? await StreamNetwork().connect(to: try #require(listener.address), proxy: nil) { _ in }
        try await Condition.wait("it was looked at") { isLookedAt.withLock { $0 } }
        #expect(made.core == nil)
        await listener.close()
        await bob.host.shutdown()
    }

    @Test("One peer has as many connections as allowed, and no more")
    func perPeer() async throws {
        let bob = try await TestHost.start(try TestHost.key(2)) { $0.maximumPerPeer = 2 }
        let alice = try await TestHost.start(try TestHost.key(1))
        for _ in 0..<2 { _ = try await alice.host.attempt(bob.peer, at: bob.addresses[0]) }
        try await Condition.wait("bob has both") { bob.host.links(to: alice.peer).count == 2 }
        let third = try? await alice.host.attempt(bob.peer, at: bob.addresses[0])
        try await Condition.wait("the third is closed") { third?.isOpen != true }
        #expect(bob.host.links(to: alice.peer).count == 2)
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    @Test("Slots count by direction, network group and peer, and come back")
    func slots() throws {
        var configuration = HostConfiguration()
        configuration.maximumConnections = 6
        configuration.maximumInbound = 4
        configuration.maximumInboundPerGroup = 2
        var slots = ConnectionSlots()
        func inbound(_ text: String) throws -> Result<ConnectionSlots.Slot, LinkFailure> {
            slots.take(isInbound: true, from: try Multiaddress(text: text), configuration)
        }
        let first = try inbound("/ip4/1.2.3.4/tcp/5").get()
        _ = try inbound("/ip4/1.2.9.9/tcp/5").get()
        #expect(throws: LinkFailure.self) { try inbound("/ip4/1.2.7.7/tcp/5").get() }
        for _ in 0..<2 { _ = try inbound("/ip4/127.0.0.1/tcp/5").get() }
        #expect(throws: LinkFailure.self) { try inbound("/ip4/9.9.9.9/tcp/5").get() }
        slots.release(first)
        _ = try inbound("/ip4/1.2.7.7/tcp/5").get()
        for _ in 0..<2 {
            _ = try slots.take(isInbound: false, from: try Multiaddress(text: "/ip4/1.2.3.4/tcp/5"), configuration)
                .get()
        }
        let overflow = slots.take(isInbound: false, from: try Multiaddress(text: "/ip4/1.2.3.4/tcp/5"), configuration)
        #expect(throws: LinkFailure.self) { try overflow.get() }
    }

    @Test("What comes over loopback and may be anybody is one group")
    func forwardedSlots() throws {
        var configuration = HostConfiguration()
        configuration.maximumInboundPerGroup = 2
        let local = try Multiaddress(text: "/ip4/127.0.0.1/tcp/5")
        #expect(!configuration.isForwarded(local))
        configuration.announced = [try Multiaddress(text: "/onion3/\(SocketTargetTests.onion):1")]
        #expect(configuration.isForwarded(local))
        #expect(!configuration.isForwarded(try Multiaddress(text: "/ip4/192.168.1.1/tcp/5")))
        var slots = ConnectionSlots()
        for _ in 0..<2 { _ = try slots.take(isInbound: true, from: local, configuration).get() }
        #expect(throws: LinkFailure.self) { try slots.take(isInbound: true, from: local, configuration).get() }
        configuration.inboundLoopbackIsForeign = false
        #expect(!configuration.isForwarded(local))
    }

    @Test("When all places are taken, the largest group makes room for a smaller one, and for no other")
    func room() throws {
        var configuration = HostConfiguration()
        configuration.maximumInbound = 3
        var slots = ConnectionSlots()
        func address(_ host: String) throws -> Multiaddress { try Multiaddress(text: "/ip4/\(host)/tcp/5") }
        var taken: [ConnectionSlots.Slot] = []
        for host in ["1.2.3.4", "1.2.3.5", "9.9.9.9"] {
            taken.append(try slots.take(isInbound: true, from: try address(host), configuration).get())
            let isFull = taken.count == 3
            #expect((slots.groupToMakeRoom(for: try address("8.8.8.8"), configuration) == taken[0].group) == isFull)
        }
        #expect(slots.groupToMakeRoom(for: try address("9.9.1.1"), configuration) == nil)
        #expect(slots.groupToMakeRoom(for: try address("1.2.1.1"), configuration) == nil)
        slots.displace(taken[0])
        let newcomer = try slots.take(isInbound: true, from: try address("8.8.8.8"), configuration).get()
        #expect(slots.groupToMakeRoom(for: try address("7.7.7.7"), configuration) == nil)
        // Released once, not twice.
        slots.release(taken[0], wasDisplaced: true)
        #expect(throws: LinkFailure.self) {
            try slots.take(isInbound: true, from: try address("7.7.7.7"), configuration).get()
        }
        slots.release(newcomer)
        _ = try slots.take(isInbound: true, from: try address("7.7.7.7"), configuration).get()
    }

    @Test("The connection that makes room is the one on which nothing came for longest")
    func idlest() async throws {
        let bob = try await TestHost.start(try TestHost.key(2)) { $0.maximumInbound = 2 }
        let alice = try await TestHost.start(try TestHost.key(1))
        let carol = try await TestHost.start(try TestHost.key(3))
        let links = [
            try await alice.host.attempt(bob.peer, at: bob.addresses[0]),
            try await carol.host.attempt(bob.peer, at: bob.addresses[0]),
        ]
        try await Condition.wait("both are there and introduced") {
            bob.host.links.count == 2 && bob.host.links.allSatisfy { $0.identify != nil }
                && links.allSatisfy { $0.identify != nil }
        }
        for _ in 0..<3 { _ = try await links[0].ping() }
        let slot = try bob.host.slot(isInbound: true, for: try Multiaddress(text: "/ip4/9.9.9.9/tcp/1"))
        try await Condition.wait("the idler one is closed") { !links[1].isOpen }
        #expect(links[0].isOpen)
        #expect(throws: LinkFailure.self) {
            try bob.host.slot(isInbound: true, for: try Multiaddress(text: "/ip4/8.8.8.8/tcp/1"))
        }
        bob.host.state.withLock { $0.slots.release(slot) }
        let next = try await carol.host.attempt(bob.peer, at: bob.addresses[0])
        #expect(next.isOpen)
        for host in [alice, bob, carol] { await host.host.shutdown() }
    }

    @Test("A stream of pings on which none comes is ended, and its place is free")
    func idlePings() async throws {
        let bob = try await TestHost.start(try TestHost.key(2)) { $0.pingIdleTimeout = .milliseconds(50) }
        let alice = try await TestHost.start(try TestHost.key(1))
        let link = try await alice.host.connect(to: bob.peer, addresses: bob.addresses)
        for _ in 0..<PingProtocol.maximumStreams + 1 {
            let stream = try await link.openStream(protocols: [ProtocolName.ping])
            await #expect(throws: StreamReset.byRemote) { _ = try await stream.read() }
        }
        #expect(try await link.ping() > .zero)
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    @Test("Connections that come and go leave no descriptor behind")
    func descriptors() async throws {
        let bob = try await TestHost.start(try TestHost.key(2))
        let alice = try await TestHost.start(try TestHost.key(1))
        let port = try #require(bob.addresses[0].endpoint?.port)
        for _ in 0..<20 {
            let link = try await alice.host.attempt(bob.peer, at: bob.addresses[0])
            _ = try await link.ping()
            link.close()
            _ = try? await alice.host.attempt(try TestHost.key(9).peerID, at: bob.addresses[0])
        }
        try await Condition.wait("all sockets are closed") { Self.openSockets(port: port) == 0 }
        await alice.host.shutdown()
        await bob.host.shutdown()
        #expect(alice.host.state.withLock { $0.running.isEmpty })
    }

    /// Connections of this machine with that port at one end which a process still holds.
    static func openSockets(port: UInt16) -> Int {
        SocketTable.read().entries.count {
            ($0.localPort == port || $0.remotePort == port) && !$0.isListening && !$0.isInTimeWait && $0.inode != 0
        }
    }

    @Test("A stream that is dropped is reset, unless its direction was ended before")
    func dropped() async throws {
        let bob = try await TestHost.start(try TestHost.key(2))
        let alice = try await TestHost.start(try TestHost.key(1))
        let ends = Mutex<[String]>([])
        bob.host.serve("/end/1") { stream, _ in
            do {
                while try await stream.read() != nil {}
                ends.withLock { $0.append("end") }
            } catch {
                ends.withLock { $0.append("\(error)") }
            }
        }
        let link = try await alice.host.connect(to: bob.peer, addresses: bob.addresses)
        do {
            let stream = try await link.openStream(protocols: ["/end/1"])
            try await stream.write([1])
        }
        try await Condition.wait("it is reset") { ends.withLock { $0 } == ["\(StreamReset.byRemote)"] }
        do {
            let stream = try await link.openStream(protocols: ["/end/1"])
            try await stream.write([1])
            stream.closeWrite()
        }
        try await Condition.wait("it is ended") { ends.withLock { $0.last } == "end" }
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    @Test("A reader that does not read makes the writer wait; cancelling it resets the stream and not the connection")
    func slowReader() async throws {
        let bob = try await TestHost.start(try TestHost.key(2))
        let alice = try await TestHost.start(try TestHost.key(1))
        let (holding, holder) = AsyncStream.makeStream(of: Libp2pStream.self)
        bob.host.serve("/slow/1") { stream, _ in
            holder.yield(stream)
            while !Task.isCancelled, stream.link.isOpen { try? await Task.sleep(for: .milliseconds(10)) }
        }
        let link = try await alice.host.connect(to: bob.peer, addresses: bob.addresses)
        let stream = try await link.openStream(protocols: ["/slow/1"])
        let written = Mutex(0)
        let writer = Task {
            for _ in 0..<1_000 {
                try await stream.write([UInt8](repeating: 1, count: 16 * 1_024))
                written.withLock { $0 += 16 * 1_024 }
            }
        }
        try await Condition.wait("the window is full") {
            written.withLock { $0 } >= YamuxLimits.initialWindow - 16 * 1_024
        }
        _ = try await link.ping()
        #expect(written.withLock { $0 } <= YamuxLimits.initialWindow)
        writer.cancel()
        await #expect(throws: CancellationError.self) { try await writer.value }
        var far: Libp2pStream?
        for await stream in holding {
            far = stream
            break
        }
        await #expect(throws: StreamReset.byRemote) {
            while try await far?.read() != nil {}
        }
        #expect(try await link.ping() > .zero)
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    @Test("A third stream of pings is reset, and a wrong answer is an error")
    func pings() async throws {
        let bob = try await TestHost.start(try TestHost.key(2))
        let alice = try await TestHost.start(try TestHost.key(1))
        let link = try await alice.host.connect(to: bob.peer, addresses: bob.addresses)
        var streams: [Libp2pStream] = []
        for _ in 0..<3 { streams.append(try await link.openStream(protocols: [ProtocolName.ping])) }
        let payload = [UInt8](repeating: 5, count: PingProtocol.size)
        var answers = 0
        for stream in streams {
            try? await stream.write(payload)
            if let answer = try? await stream.read() {
                #expect(answer == payload)
                answers += 1
            }
        }
        #expect(answers == PingProtocol.maximumStreams)
        bob.host.serve(ProtocolName.ping) { stream, _ in
            _ = try? await stream.read()
            try? await stream.write([UInt8](repeating: 0, count: PingProtocol.size))
            stream.closeWrite()
        }
        await #expect(throws: PingError.wrongAnswer) { _ = try await link.ping() }
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    @Test("Shutting down ends everything that waits, handlers that look at nothing but the clock included")
    func shutdown() async throws {
        let bob = try await TestHost.start(try TestHost.key(2))
        let begun = Mutex(false)
        bob.host.serve("/sleep/1") { _, _ in
            begun.withLock { $0 = true }
            try? await Task.sleep(for: .seconds(600))
        }
        let alice = try await TestHost.start(try TestHost.key(1))
        let silent = SilentListener()
        let listener = try await silent.start()
        let port = try #require(listener.address?.port)
        let hanging = Task {
            try await alice.host.attempt(
                try TestHost.key(7).peerID, at: try Multiaddress(text: "/ip4/127.0.0.1/tcp/\(port)"))
        }
        let stream = try await alice.host.openStream(
            to: bob.peer, protocols: [TestHost.echo], addresses: bob.addresses)
        let reading = Task { try await stream.read() }
        let sleeping = try await alice.host.openStream(to: bob.peer, protocols: ["/sleep/1"])
        try await Condition.wait("it hangs") {
            silent.accepted.withLock { $0.count } == 1 && begun.withLock { $0 }
        }
        await alice.host.shutdown()
        await #expect(throws: StreamReset.connectionClosed) { _ = try await sleeping.read() }
        await #expect(throws: StreamReset.connectionClosed) { _ = try await reading.value }
        await #expect(throws: LinkFailure.self) { _ = try await hanging.value }
        await #expect(throws: LinkFailure.self) { _ = try await alice.host.attempt(bob.peer, at: bob.addresses[0]) }
        await #expect(throws: LinkFailure.self) {
            try await alice.host.listen(on: [try Multiaddress(text: "/ip4/127.0.0.1/tcp/0")])
        }
        try await Condition.wait("bob has noticed") { bob.host.links.isEmpty }
        await bob.host.shutdown()
        await listener.close()
    }
}
