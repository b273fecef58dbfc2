// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetTestKit
import AltNetTransport
import Foundation
import Logging
import Synchronization
import Testing

@testable import AltNetPortMapping

/// A router at a loopback address of its own: Tests/Tools/fake_router.py.
struct FakeRouter {
    static let program = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Tools/fake_router.py").path

    let process: BackgroundProcess
    let address: [UInt8]

    /// The requests as bytes.
    var requests: [[UInt8]] {
        self.process.output.split(separator: "\n").dropFirst().compactMap { Hex.decode($0) }
    }

    /// The port of the protocols is fixed, so every router gets an address that nobody else has.
    static func start(_ behaviour: String, external: String = "44.7.0.2") async throws -> FakeRouter {
        let address = [127, .random(in: 1...254), .random(in: 1...254), .random(in: 1...254)] as [UInt8]
        let process = try BackgroundProcess(
            "/usr/bin/python3", [Self.program, IPAddressText.text(ipv4: address), behaviour, external])
        try await Condition.wait("the router listens") { process.output.hasPrefix("ready") }
        return FakeRouter(process: process, address: address)
    }

    func mapper(
        _ methods: Set<PortMappingMethod> = [.pcp, .natPMP], allowsPrivate: Bool = false
    ) -> PortMapper {
        PortMapper(
            PortMapper.Configuration(
                methods: methods, gateway: DefaultGateway(address: self.address, interface: "lo"),
                allowsPrivateAddresses: allowsPrivate),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    }
}

@Suite("PortMapper with a scripted router")
struct PortMapperTests {
    @Test("maps by PCP, keeps one mapping a port, and deletes with the same nonce at the end")
    func pcp() async throws {
        let router = try await FakeRouter.start("pcp")
        let mapper = router.mapper()
        let mapping = try await mapper.map(port: 18_333)
        #expect(
            mapping
                == PortMapping(
                    method: .pcp, internalPort: 18_333, externalAddress: [44, 7, 0, 2], externalPort: 18_333,
                    lifetime: .seconds(3_600)))
        #expect(mapping.description == "44.7.0.2:18333 to port 18333 by PCP")
        #expect(try await mapper.map(port: 18_333) == mapping)
        #expect(await mapper.mapping(of: 18_333) == mapping)
        await mapper.close()
        #expect(await mapper.mapping(of: 18_333) == nil)
        let requests = router.requests
        #expect(requests.count == 2 && requests.allSatisfy { $0.count == 60 })
        // The client's address is the one that faces the router; the nonce is the same; the second lifetime is none.
        #expect(Array(requests[0][20..<24]) == [127, 0, 0, 1])
        #expect(requests[0][24..<36] == requests[1][24..<36] && requests[1][4..<8].allSatisfy { $0 == 0 })
        await #expect(throws: PortMappingError.closed) { try await mapper.map(port: 18_334) }
    }

    @Test("two mappings have nonces of their own")
    func nonces() async throws {
        let router = try await FakeRouter.start("pcp")
        let mapper = router.mapper()
        for port in 18_333...18_334 as ClosedRange<UInt16> { _ = try await mapper.map(port: port) }
        #expect(Set(router.requests.map { Array($0[24..<36]) }).count == 2)
        await mapper.close()
    }

    @Test("a router with NAT-PMP only is found out, asked by it from then on, and told at the end")
    func natPMP() async throws {
        let router = try await FakeRouter.start("nat-pmp")
        let mapper = router.mapper()
        let mapping = try await mapper.map(port: 18_333)
        #expect(mapping.method == .natPMP && mapping.externalAddress == [44, 7, 0, 2])
        #expect(try await mapper.map(port: 18_334).method == .natPMP)
        #expect(router.requests.count { $0.first == 2 } == 1)
        await mapper.close()
        let deletions = router.requests.filter { $0.count == 12 && $0.suffix(6).allSatisfy { $0 == 0 } }
        #expect(deletions.count == 2)
    }

    @Test("a forged answer is waited out: of another nonce, and from another address")
    func forged() async throws {
        let router = try await FakeRouter.start("wrong-nonce-first")
        let mapper = router.mapper()
        #expect(try await mapper.map(port: 18_333).externalPort == 18_333)
        await mapper.close()
        for behaviour in ["stranger", "garbage"] {
            let other = try await FakeRouter.start(behaviour)
            await #expect(throws: PortMappingError.noAnswer) { try await other.mapper([.pcp]).map(port: 18_333) }
            #expect(other.requests.count == PortControlExchange.maximumSends)
        }
    }

    @Test("the reason of a router that refuses is told; one behind another NAT is of no use")
    func refusals() async throws {
        let refusing = try await FakeRouter.start("refuse")
        await #expect(throws: PortMappingError.refused(.pcp, "no resources")) {
            try await refusing.mapper().map(port: 18_333)
        }
        let inner = try await FakeRouter.start("pcp", external: "100.64.0.9")
        await #expect(throws: PortMappingError.notPublic(address: [100, 64, 0, 9])) {
            try await inner.mapper().map(port: 18_333)
        }
        let lab = inner.mapper(allowsPrivate: true)
        #expect(try await lab.map(port: 18_333).externalAddress == [100, 64, 0, 9])
        await lab.close()
    }

    @Test("nobody at the port is found out, and not asked again soon")
    func nobody() async throws {
        let mapper = PortMapper(
            PortMapper.Configuration(
                methods: [.pcp, .natPMP], gateway: DefaultGateway(address: [127, 254, 254, 254], interface: "lo")),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        // The kernel says at once that nobody listens, unless it has said so too often lately.
        await #expect(throws: PortMappingError.noAnswer) { try await mapper.map(port: 18_333) }
        let start = ContinuousClock.now
        await #expect(throws: PortMappingError.noAnswer) { try await mapper.map(port: 18_333) }
        // The silence of a whole request is 9 s.
        #expect(start.duration(to: .now) < .seconds(3))
    }

    @Test("no more ports are mapped than the bound")
    func bound() async throws {
        let router = try await FakeRouter.start("pcp")
        let mapper = router.mapper()
        for offset in 0..<UInt16(PortMapper.maximumMappings) { _ = try await mapper.map(port: 20_000 + offset) }
        await #expect(throws: PortMappingError.tooMany(limit: PortMapper.maximumMappings)) {
            try await mapper.map(port: 30_000)
        }
        await mapper.close()
        #expect(router.requests.count == 2 * PortMapper.maximumMappings)
    }

    @Test("a router that starts anew is asked again for what it has forgotten")
    func restart() async throws {
        let router = try await FakeRouter.start("restart")
        let mapper = router.mapper()
        _ = try await mapper.map(port: 18_333)
        _ = try await mapper.map(port: 18_334)
        try await Condition.wait("the first port is asked for again") { router.requests.count >= 3 }
        let first = try #require(router.requests.first)
        // With its nonce, and with the port and the address that it had as suggestions.
        let third = router.requests[2]
        #expect(third[24..<44] == first[24..<44] && Array(third.suffix(4)) == [44, 7, 0, 2])
        await mapper.close()
        #expect(router.requests.count >= 5)
    }

    @Test("two calls for one port at once are one request")
    func concurrent() async throws {
        let router = try await FakeRouter.start("pcp")
        let mapper = router.mapper()
        async let first = mapper.map(port: 18_333)
        async let second = mapper.map(port: 18_333)
        let mappings = try await [first, second]
        #expect(mappings[0] == mappings[1] && router.requests.count == 1)
        await mapper.close()
    }
}

@Suite("RouterHTTP")
struct RouterHTTPTests {
    /// A router's HTTP server that says one thing to everybody.
    private func serve(_ answer: [UInt8], closes: Bool = true) async throws -> (StreamListener, GatewayURL) {
        let listener = try await StreamNetwork().listen(on: HostAndPort(host: "127.0.0.1", port: 0)) {
            let connection = Mutex<StreamConnection?>(nil)
            return (
                onEvent: { event in
                    guard case .bytes = event, let connection = connection.withLock({ $0 }) else { return }
                    connection.enqueue(answer) {}
                    if closes { connection.enqueueClose() }
                },
                onConnection: { new in
                    connection.withLock { $0 = new }
                    new.readMore()
                }
            )
        }
        let port = try #require(listener.address?.port)
        return (listener, try GatewayURL("http://127.0.0.1:\(port)/x", gateway: [127, 0, 0, 1]))
    }

    @Test("an answer is read from a real connection, and hostile ones are refused there too")
    func exchange() async throws {
        let (listener, url) = try await self.serve(Array("HTTP/1.1 200 OK\r\n\r\nhello".utf8))
        #expect(try await RouterHTTP.exchange(url.get, with: url).get().body == Array("hello".utf8))
        await listener.close()
        let hostile: [[UInt8]] = [
            Array("HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n\r\n".utf8),
            Array("HTTP/1.1 200 OK\r\n\r\n".utf8) + [UInt8](repeating: 0x41, count: 1 << 20),
            [UInt8](repeating: 0x41, count: 1 << 16), [],
        ]
        for answer in hostile {
            let (listener, url) = try await self.serve(answer)
            guard case .failure = await RouterHTTP.exchange(url.get, with: url) else {
                Issue.record("not refused")
                return
            }
            await listener.close()
        }
        let free = try FreePort.find()
        let nobody = try GatewayURL("http://127.0.0.1:\(free)/", gateway: [127, 0, 0, 1])
        #expect(await RouterHTTP.exchange(nobody.get, with: nobody) == .failure(.unreachable("Connection refused")))
    }
}
