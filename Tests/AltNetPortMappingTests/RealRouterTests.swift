// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetTestKit
import AltNetTransport
import Foundation
import Glibc
import Logging
import Synchronization
import Testing

@testable import AltNetPortMapping

/// Debian's miniupnpd in a namespace, and a machine on the internet behind it: Tests/Tools/upnp_router.py.
final class RealRouter: Sendable {
    static let program = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Tools/upnp_router.py").path
    static let isPossible = getuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/sbin/miniupnpd")
    static let missing: Comment = "a real router needs root and miniupnpd, which scripts/setup --tests installs"

    private let process: BackgroundProcess
    let gateway: [UInt8]
    let outside: [UInt8]

    init(_ protocols: String, outside: String? = nil) async throws {
        let process = try BackgroundProcess(
            "/usr/bin/python3", [Self.program, protocols] + (outside.map { [$0] } ?? []))
        try await Condition.wait("the router runs") { process.output.contains("outside ") || !process.isRunning }
        func address(_ word: String) throws -> [UInt8] {
            let line = process.output.split(separator: "\n").first { $0.hasPrefix("\(word) ") }
            return try #require(
                line.flatMap { IPAddressText.ipv4($0.dropFirst(word.utf8.count + 1)) }, "\(process.errors)")
        }
        self.process = process
        self.gateway = try address("gateway")
        self.outside = try address("outside")
    }

    /// Gives a command and waits for its answer.
    func ask(_ command: String) async throws -> String {
        let before = self.process.output.split(separator: "\n").count
        try self.process.write(command + "\n")
        return try await Condition.value("an answer to \(command)") {
            let lines = self.process.output.split(separator: "\n")
            return self.process.output.hasSuffix("\n") && lines.count > before ? lines.last.map(String.init) : nil
        }
    }

    func finish() async throws { _ = try await self.process.finish() }

    func mapper(_ methods: Set<PortMappingMethod>) -> PortMapper {
        PortMapper(
            PortMapper.Configuration(
                methods: methods, gateway: DefaultGateway(address: self.gateway, interface: "lan")),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    }
}

/// One after the other: each has a route and an interface of this machine for itself.
@Suite("PortMapper with a real router", .serialized)
struct RealRouterTests {
    /// Answers whoever connects.
    private func greet() async throws -> StreamListener {
        try await StreamNetwork().listen(on: HostAndPort(host: "0.0.0.0", port: 0)) {
            let connection = Mutex<StreamConnection?>(nil)
            return (
                onEvent: { event in
                    guard case .bytes(let bytes) = event else { return }
                    connection.withLock { $0 }?.enqueue(Array("you said ".utf8) + bytes) {}
                },
                onConnection: { new in
                    connection.withLock { $0 = new }
                    new.readMore()
                }
            )
        }
    }

    @Test(
        "a port is mapped, reached from the internet, and gone after the end",
        .enabled(if: RealRouter.isPossible, RealRouter.missing), .timeLimit(.minutes(5)),
        arguments: [
            ("pcp", [.pcp], .pcp), ("pcp", [.natPMP], .natPMP), ("upnp", [.upnp], .upnp), ("igd1", [.upnp], .upnp),
            ("upnp", [.pcp, .natPMP, .upnp], .upnp), ("pcp,upnp", [.pcp, .natPMP, .upnp], .pcp),
        ] as [(String, Set<PortMappingMethod>, PortMappingMethod)])
    func maps(_ protocols: String, _ methods: Set<PortMappingMethod>, _ expected: PortMappingMethod) async throws {
        let router = try await RealRouter(protocols)
        let listener = try await self.greet()
        let port = try #require(listener.address?.port)
        let mapper = router.mapper(methods)
        #expect(try await router.ask("connect \(port)").hasPrefix("failed"))
        let mapping = try await mapper.map(port: port)
        #expect(mapping.method == expected && mapping.externalAddress == router.outside)
        #expect(mapping.lifetime.map { $0 > .zero && $0 <= .seconds(86_400) } == true)
        #expect(try await router.ask("rules") == "rules 1")
        #expect(try await router.ask("connect \(mapping.externalPort)") == "heard you said hello from the internet")
        await mapper.close()
        #expect(try await router.ask("rules") == "rules 0")
        #expect(try await router.ask("connect \(mapping.externalPort)").hasPrefix("failed"))
        await listener.close()
        try await router.finish()
    }

    @Test(
        "a router that was restarted is found again, at whichever port it answers now",
        .enabled(if: RealRouter.isPossible, RealRouter.missing), .timeLimit(.minutes(5)), arguments: ["upnp", "igd1"])
    func restart(_ protocols: String) async throws {
        let router = try await RealRouter(protocols)
        let mapper = router.mapper([.upnp])
        _ = try await mapper.map(port: 18_333)
        // The router forgets, and is at another HTTP port afterwards: the next mapping finds it again.
        #expect(try await router.ask("restart") == "restarted")
        #expect(try await router.ask("rules") == "rules 0")
        let second = try await mapper.map(port: 18_334)
        #expect(second.externalPort == 18_334)
        #expect(try await router.ask("rules") == "rules 1")
        await mapper.close()
        #expect(try await router.ask("rules") == "rules 0")
        try await router.finish()
    }
}
