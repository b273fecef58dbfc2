// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetConfiguration
import AltNetDriverProtocol
import AltNetObjects
import Logging
import Testing

@testable import AltNetOrchestrator

@Suite("Splice ports and their links")
struct SplicePortTests {
    private static let key = "02" + String(repeating: "ab", count: 32)

    private static func link(target: String, identity: String, takesStreams: Bool = true) -> DriverLinkDescription {
        DriverLinkDescription(
            target: target, remote: "203.0.113.5:9735",
            peer: LinkPeer(
                identity: identity, agent: UntrustedText(""), claimedHeight: nil, serves: [],
                takesStreams: takesStreams))
    }

    private static func port(_ target: String?) -> DaemonConfiguration.Splice.Port {
        DaemonConfiguration.Splice.Port(name: "bob", listen: "127.0.0.1:0", driver: "lightning", target: target)
    }

    @Test("a port without a target takes any link, one with a target the link to it, whoever dialled")
    func targets() {
        let dialled = Self.link(target: "\(Self.key)@bob.example:9735", identity: Self.key)
        let came = Self.link(target: "", identity: Self.key)
        let other = Self.link(target: "", identity: "03" + String(repeating: "cd", count: 32))
        let unknown = Self.link(target: "bob.example:8333", identity: "")
        for link in [dialled, came, other, unknown] { #expect(Self.port(nil).matches(link)) }
        let byTarget = Self.port("\(Self.key)@bob.example:9735")
        #expect([dialled, came, other, unknown].map(byTarget.matches) == [true, true, false, false])
        let byKey = Self.port(Self.key)
        #expect([dialled, came, other, unknown].map(byKey.matches) == [true, true, false, false])
        #expect(
            [dialled, came, other, unknown].map(Self.port("bob.example:8333").matches) == [false, false, false, true])
    }

    @Test("a port leads to links of its driver that take streams, while they are open")
    func links() async throws {
        let splicer = Splicer(DaemonConfiguration.Splice(ports: [Self.port(nil)]), logger: Logger(label: "test"))
        let (deaf, good) = (
            Self.link(target: "a", identity: "", takesStreams: false), Self.link(target: "b", identity: "")
        )
        await splicer.opened(DriverLink(1), of: "lightning", deaf)
        await splicer.opened(DriverLink(2), of: "other", good)
        #expect(await splicer.link(for: Self.port(nil)) == nil)
        await splicer.opened(DriverLink(3), of: "lightning", good)
        #expect(await splicer.link(for: Self.port(nil))?.number == DriverLink(3))
        // It does not listen yet, so it leads nowhere.
        #expect(await splicer.usableAddresses.isEmpty)
        #expect(await splicer.reports.map(\.reason) == [nil])
        await splicer.detached("lightning")
        #expect(await splicer.link(for: Self.port(nil)) == nil)
    }
}
