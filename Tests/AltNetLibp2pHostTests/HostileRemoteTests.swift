// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetLibp2p
import AltNetPeerRecords
import AltNetTestKit
import AltNetTransport
import Libp2pTestSupport
import Synchronization
import Testing

@testable import AltNetLibp2pHost

/// A remote whose machine is ours and whose manners are not: it can stop reading, and send what it likes.
private final class Remote: Sendable {
    struct State {
        var machine: Libp2pConnection?
        var connection: StreamConnection?
        var isReading = true
        var isEstablished = false
        var isClosed = false
    }

    let state = Mutex(State())

    /// Connects to a host; with a key, also encrypts.
    static func connect(to host: TestHost, key: PeerPrivateKey?) async throws -> Remote {
        let remote = Remote()
        let target = try SocketTarget.of(host.addresses[0], hasProxy: false)
        let connection = try await StreamNetwork().connect(to: target, proxy: nil) { remote.on($0) }
        remote.state.withLock { state in
            state.connection = connection
            guard let key, let entropy = NoiseEntropy((0..<NoiseEntropy.size).map { UInt8($0) }) else { return }
            var machine = Libp2pConnection(
                .init(role: .dialer(expecting: host.peer), key: key, served: []), entropy: entropy, now: .now)
            let directives = machine.start(now: .now)
            state.machine = machine
            Self.write(directives, &state)
        }
        connection.readMore()
        guard key != nil else { return remote }
        try await Condition.wait("it is encrypted") { remote.state.withLock { $0.isEstablished } }
        return remote
    }

    func on(_ event: StreamConnection.Event) {
        self.state.withLock { state in
            switch event {
            case .bytes(let bytes):
                if let directives = state.machine?.onBytes(bytes, now: .now) { Self.write(directives, &state) }
                if state.isReading { state.connection?.readMore() }
            case .closed: state.isClosed = true
            }
        }
    }

    func send(_ bytes: [UInt8]) {
        self.state.withLock { $0.connection?.enqueue(bytes) {} }
    }

    /// Opens streams and reads nothing any more.
    func openAndStopReading(_ count: Int, _ name: String) throws {
        try self.state.withLock { state in
            state.isReading = false
            for _ in 0..<count {
                guard let opened = try state.machine?.open(protocols: [name], now: .now) else {
                    throw StreamRefusal.notConnected
                }
                Self.write(opened.directives, &state)
            }
        }
    }

    var isClosed: Bool { self.state.withLock { $0.isClosed } }

    private static func write(_ directives: [Libp2pConnection.Directive], _ state: inout State) {
        for directive in directives {
            switch directive {
            case .write(let bytes): state.connection?.enqueue(bytes) {}
            case .established: state.isEstablished = true
            default: break
            }
        }
    }
}

@Suite("Libp2pHost: remotes that misbehave", .timeLimit(.minutes(5)))
struct HostileRemoteTests {
    @Test("A remote that opens streams and does not read loses its connection, and little waits for it until then")
    func takesNothing() async throws {
        let bob = try await TestHost.start(try TestHost.key(2)) { $0.writeTimeout = .seconds(1) }
        let writers = Mutex(0)
        bob.host.serve("/flood/1") { stream, _ in
            writers.withLock { $0 += 1 }
            do {
                while true { try await stream.write([UInt8](repeating: 1, count: 32 * 1_024)) }
            } catch {
                writers.withLock { $0 -= 1 }
            }
        }
        var events = bob.host.events().makeAsyncIterator()
        let remote = try await Remote.connect(to: bob, key: try TestHost.key(1))
        try remote.openAndStopReading(200, "/flood/1")
        var reason: LinkFailure?
        while reason == nil, let event = await events.next() {
            for link in bob.host.links {
                #expect(link.core.locked { $0.queued } <= LinkCore.maximumQueued)
            }
            if case .disconnected(_, let failure) = event { reason = failure }
        }
        #expect(reason == .takesNothing)
        try await Condition.wait("no handler is left") { writers.withLock { $0 } == 0 }
        await bob.host.shutdown()
    }

    @Test(
        "Who does not speak libp2p loses the connection",
        arguments: [
            Array(
                "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: somebody with a long name and nothing to say\r\n\r\n"
                    .utf8),
            [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc] + [UInt8](repeating: 3, count: 512),
            [UInt8](repeating: 0xff, count: 100),
        ])
    func stranger(bytes: [UInt8]) async throws {
        let bob = try await TestHost.start(try TestHost.key(2))
        let remote = try await Remote.connect(to: bob, key: nil)
        remote.send(bytes)
        try await Condition.wait("it is closed") { remote.isClosed }
        #expect(bob.host.links.isEmpty)
        await bob.host.shutdown()
    }

    @Test("A handshake that does not go on ends with its time, and its slot is free again")
    func slowHandshake() async throws {
        let bob = try await TestHost.start(try TestHost.key(2)) {
            $0.limits.handshakeTimeout = .milliseconds(200)
            $0.maximumInbound = 1
        }
        let remote = try await Remote.connect(to: bob, key: nil)
        remote.send([UInt8](MultistreamLine.header))
        try await Condition.wait("it is closed") { remote.isClosed }
        let alice = try await TestHost.start(try TestHost.key(1))
        try await Condition.wait("there is room") {
            (try? await alice.host.attempt(bob.peer, at: bob.addresses[0])) != nil
        }
        await alice.host.shutdown()
        await bob.host.shutdown()
    }

    private enum MultistreamLine {
        static let header = [19] + Array("/multistream/1.0.0\n".utf8)
    }
}
