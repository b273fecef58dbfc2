// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetConfiguration
import AltNetControl
import AltNetDriverProtocol
import AltNetHolePunch
import AltNetObjects
import AltNetPunchReports
import AltNetWeb
import Logging
import Testing

@testable import AltNetOrchestrator

@Suite("Hole punching in the daemon")
struct PunchServiceTests {
    private static func capabilities(
        _ exposure: DriverCapabilities.Exposure, announces: Set<ObjectKind> = [.tips, .addresses],
        operations: [String] = [], offers: Bool = true
    ) -> DriverCapabilities {
        DriverCapabilities(
            requests: [.headers], serves: [.headers], announces: announces, direction: .both, latency: .milliseconds,
            bandwidth: .megabytes, cost: .free, exposure: exposure, operations: operations, offers: offers)
    }

    static func link(
        _ remote: String, target: String = "", exposure: DriverCapabilities.Exposure? = nil
    ) -> DriverLinkDescription {
        DriverLinkDescription(
            target: target, remote: remote,
            peer: LinkPeer(identity: "", agent: UntrustedText(""), claimedHeight: nil, serves: []), exposure: exposure)
    }

    private static func service(outbound: Int = 0) -> PunchService {
        let logger = Logger(label: "test")
        return PunchService(
            .init(outbound: outbound), allowPrivate: false, splicer: Splicer(.init(), logger: logger), node: nil,
            nodePeers: { NodeOutboundPeers() }, logger: logger)
    }

    /// How many offers are known after a link of a driver told one.
    static func heard(_ capabilities: DriverCapabilities, _ link: DriverLinkDescription) async throws -> Int {
        let service = Self.service()
        let number = DriverLink(1)
        await service.attached("d", capabilities)
        await service.driver("d", said: .linkOpened(number, link))
        let now = UInt32(WallClockTime.system.seconds)
        let addresses = try offer(30).encodings(time: now)
        await service.driver("d", said: .announcement(number, .addresses(addresses)))
        return await service.overview.offersKnown
    }

    @Test func `Offers are taken from links of Bitcoin's protocol that show our address, and from no others`()
        async throws
    {
        let clearnet = Self.capabilities(.clearnetAddress)
        #expect(try await Self.heard(clearnet, Self.link("8.8.8.8:8333", target: "8.8.8.8:8333")) == 1)
        #expect(try await Self.heard(clearnet, Self.link("8.8.8.8:51234")) == 1)
        // Our own node, which we dialled.
        #expect(try await Self.heard(clearnet, Self.link("127.0.0.1:8333", target: "127.0.0.1:8333")) == 1)
        // Through a proxy; over a link that says so of itself; out of an onion service that runs here.
        #expect(try await Self.heard(Self.capabilities(.none), Self.link("8.8.8.8:8333", target: "x")) == 0)
        #expect(try await Self.heard(Self.capabilities(.pseudonym), Self.link("8.8.8.8:8333", target: "x")) == 0)
        #expect(try await Self.heard(clearnet, Self.link("8.8.8.8:8333", target: "x", exposure: .pseudonym)) == 0)
        #expect(try await Self.heard(clearnet, Self.link("127.0.0.1:51234")) == 0)
        // Lightning carries addresses too, and names a key of ours with them.
        let lightning = Self.capabilities(
            .clearnetAddress, announces: [.tips, .addresses, .peerRecords], offers: false)
        // Out of an onion service in a container or on the router.
        #expect(try await Self.heard(clearnet, Self.link("10.21.0.3:40000")) == 0)
        #expect(try await Self.heard(lightning, Self.link("8.8.8.8:9735", target: "x")) == 0)
    }

    @Test func `Only a driver that can do all of it punches, and of several the first`() async {
        let service = Self.service()
        await service.attached("bitcoin", Self.capabilities(.clearnetAddress))
        await service.attached("half", Self.capabilities(.clearnetAddress, operations: [PunchOperation.punch]))
        #expect(await service.overview.driver == nil)
        #expect(await service.overview.problem?.contains("docs/hole-punching.md") == true)
        for name in ["two", "one"] {
            await service.attached(name, Self.capabilities(.clearnetAddress, operations: PunchOperation.all))
        }
        #expect(await service.overview.driver == "one")
        await service.detached("one")
        #expect(await service.overview.driver == "two")
    }

    private static func refusal(_ request: PunchRequest, of service: PunchService) async -> ControlRefusal? {
        do throws(ControlRefusal) {
            _ = try await service.punch(request)
            return nil
        } catch {
            return error
        }
    }

    @Test func `What cannot be called is refused with a sentence that helps`() async throws {
        let service = Self.service()
        let good = try offer(30).endpoint.description
        let mistyped = await Self.refusal(PunchRequest(endpoint: "x" + good.dropFirst()), of: service)
        #expect(mistyped?.reason == .badRequest)
        #expect(mistyped?.description.contains(".onion") == true)
        let place = await Self.refusal(PunchRequest(endpoint: good, clearnet: "nowhere"), of: service)
        #expect(place == ControlRefusal(.badRequest, "nowhere is no IP address"))
        let nobody = await Self.refusal(PunchRequest(endpoint: good), of: service)
        #expect(nobody == PunchService.noDriver)
    }
}
