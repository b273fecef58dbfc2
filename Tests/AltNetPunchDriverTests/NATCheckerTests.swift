// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetHolePunch
import AltNetPunchDriver
import AltNetTestKit
import AltNetTransport
import Synchronization
import Testing

/// Says something else than it sees.
private final class LyingWitness: Sendable {
    static func listen(on address: HostAndPort, saying seen: P2PAddressField) async throws -> StreamListener {
        try await StreamNetwork().listen(on: address) {
            let held = Mutex<StreamConnection?>(nil)
            return (
                onEvent: { event in
                    guard case .bytes = event, let connection = held.withLock({ $0 }) else { return }
                    let version = P2PVersion(
                        protocolVersion: 70016, services: 0, time: 0, nonce: 5, userAgent: [], startHeight: 0,
                        relay: false, receiver: seen)
                    connection.enqueue(P2PMessage.version(version).encoded(for: .regtest)) {}
                },
                onConnection: { connection in
                    held.withLock { $0 = connection }
                    connection.readMore()
                }
            )
        }
    }
}

@Suite("NATChecker: real sockets", .timeLimit(.minutes(5)))
struct NATCheckerTests {
    static let agent = "/AltNet:test/"

    static func service() -> AnsweringService {
        AnsweringService(network: .regtest, userAgent: Self.agent, allowPrivate: true)
    }

    static func checker(minimum: Int = 3) -> NATChecker {
        NATChecker(
            network: .regtest, userAgent: Self.agent,
            NATCheck.Configuration(minimumWitnesses: minimum, allowPrivate: true, seed: 1))
    }

    @Test("without a NAT, and with witnesses that connect back, the verdict is open")
    func open() async throws {
        // One each: from one network group a service answers eight times, and here are ten.
        let services = (1...5).map { _ in Self.service() }
        var listeners: [StreamListener] = []
        for (number, service) in services.enumerated() {
            listeners.append(try await service.listen(on: HostAndPort(host: "127.0.0.\(number + 1)", port: 0)))
        }
        let verdict = await Self.checker().run(listeners.compactMap(\.address))
        #expect(verdict.mapping == .open, "\(verdict.reason), silent: \(verdict.silent)")
        #expect(verdict.evidence.count == 10)
        #expect(verdict.evidence.allSatisfy { $0.seen == $0.local })
        #expect(verdict.evidence.filter { $0.portIndex == 0 }.allSatisfy { $0.reachedBack == true })
        #expect(verdict.evidence.filter { $0.portIndex == 1 }.allSatisfy { $0.reachedBack != true })
        #expect(Set(verdict.evidence.map(\.local.port)).count == 2)
        #expect(verdict.ipv4?.toleratedLiars == 2)
        #expect(services.allSatisfy { $0.statistics == (answered: 2, refused: 0, back: 1) })
        for listener in listeners { await listener.close() }
    }

    @Test("liars, silent witnesses and ports that nobody listens on do not change it")
    func liars() async throws {
        let service = Self.service()
        var listeners: [StreamListener] = []
        for number in 1...3 {
            listeners.append(try await service.listen(on: HostAndPort(host: "127.0.0.\(number)", port: 0)))
        }
        let lie = try #require(P2PAddressField(address: [198, 51, 100, 7], port: 7))
        for number in 4...5 {
            listeners.append(
                try await LyingWitness.listen(on: HostAndPort(host: "127.0.0.\(number)", port: 0), saying: lie))
        }
        // This one tells nothing, as Bitcoin Core does behind a proxy, and the next does not listen.
        listeners.append(
            try await LyingWitness.listen(on: HostAndPort(host: "127.0.0.6", port: 0), saying: .empty))
        let dead = try await service.listen(on: HostAndPort(host: "127.0.0.7", port: 0))
        let witnesses = (listeners + [dead]).compactMap(\.address)
        await dead.close()
        let verdict = await Self.checker().run(
            witnesses + [HostAndPort(host: "no-such-host.invalid", port: 8333)])
        #expect(verdict.mapping == .open, "\(verdict.reason), silent: \(verdict.silent)")
        #expect(verdict.silent.contains { $0.witness == "no-such-host.invalid:8333" })
        for listener in listeners { await listener.close() }
    }

    @Test("a witness can be asked from a port of the caller's choice, and the connection stays open")
    func ask() async throws {
        let service = Self.service()
        let listener = try await service.listen(on: HostAndPort(host: "127.0.0.1", port: 0))
        let port = try ReusedPort(HostAndPort(host: "127.0.0.1", port: 0))
        let witness = try #require(listener.address.flatMap { ExternalEndpoint($0.description) })
        let told = try await NATProbe(network: .regtest, userAgent: Self.agent).ask(witness, from: port)
        #expect(told.seen.port == port.port)
        #expect(told.seen == told.local)
        #expect(service.statistics.back == 0)
        told.connection.close()
        await #expect(throws: NATProbe.Failure.self) {
            try await NATProbe(network: .main, userAgent: Self.agent).ask(witness, from: port)
        }
        await listener.close()
    }

    @Test("one network group gets so many answers and no more")
    func limited() async throws {
        let service = Self.service()
        let listener = try await service.listen(on: HostAndPort(host: "127.0.0.1", port: 0))
        let witness = try #require(listener.address.flatMap { ExternalEndpoint($0.description) })
        let probe = NATProbe(network: .regtest, userAgent: Self.agent)
        for _ in 0..<NATAnswerLimits.maximumPerGroup {
            let told = try await probe.ask(witness, from: try ReusedPort(HostAndPort(host: "127.0.0.1", port: 0)))
            told.connection.close()
        }
        await #expect(throws: NATProbe.Failure.self) {
            try await probe.ask(witness, from: try ReusedPort(HostAndPort(host: "127.0.0.1", port: 0)))
        }
        // Another group has its own.
        let told = try await probe.ask(witness, from: try ReusedPort(HostAndPort(host: "127.0.0.2", port: 0)))
        told.connection.close()
        #expect(service.statistics.refused == 1)
        await listener.close()
    }

    @Test("no witnesses and no answers are unknown, with a reason")
    func nobody() async throws {
        let verdict = await Self.checker().run([])
        #expect(verdict.mapping == .unknown)
        #expect(verdict.reason == "there is no witness to ask")
        let refused = await Self.checker().run([HostAndPort(host: "127.0.0.1", port: 1)])
        #expect(refused.reason.hasPrefix("only 0 of 3"))
        #expect(refused.silent.first?.reason.contains("refused") == true)
    }
}
