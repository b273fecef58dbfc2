// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetConfiguration
import AltNetControl
import AltNetDriverHost
import AltNetDriverProtocol
import AltNetHolePunch
import AltNetObjects
import AltNetPunchReports
import AltNetTestKit
import AltNetWeb
import FoundationEssentials
import Logging
import Synchronization
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
        _ remote: String, target: String = "", exposure: DriverCapabilities.Exposure? = nil, requested: String = ""
    ) -> DriverLinkDescription {
        DriverLinkDescription(
            target: target, remote: remote,
            peer: LinkPeer(identity: "", agent: UntrustedText(""), claimedHeight: nil, serves: []), exposure: exposure,
            requested: requested)
    }

    private static func service(outbound: Int = 0, _ perform: PunchService.Perform? = nil) -> PunchService {
        let logger = Logger(label: "test")
        return PunchService(
            .init(outbound: outbound), allowPrivate: false, splicer: Splicer(.init(), logger: logger), node: nil,
            nodePeers: { NodeOutboundPeers() }, logger: logger, perform: perform)
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
        let place = await Self.refusal(PunchRequest(endpoint: good, clearnet: ["8.8.8.8", "nowhere"]), of: service)
        #expect(place == ControlRefusal(.badRequest, "nowhere is no IP address"))
        let two = await Self.refusal(PunchRequest(endpoint: good, clearnet: ["8.8.8.8", "9.9.9.9"]), of: service)
        #expect(two == ControlRefusal(.badRequest, "there are two IPv4 addresses, and one is the most"))
        let nobody = await Self.refusal(PunchRequest(endpoint: good), of: service)
        #expect(nobody == PunchService.noDriver)
    }

    /// A driver that answers, and remembers what it was asked.
    private final class FakeDriver: Sendable {
        private let asked = Mutex<[(operation: String, body: [UInt8])]>([])
        private let answers: [String: any Encodable & Sendable]

        init(_ answers: [String: any Encodable & Sendable]) {
            self.answers = answers
        }

        var perform: PunchService.Perform {
            { operation, body, driver async throws(OperationError) in
                self.asked.withLock { $0.append((operation, body)) }
                guard let answer = self.answers[operation], let bytes = try? JSONEncoder().encode(answer) else {
                    throw .notAttached(driver: driver)
                }
                return [UInt8](bytes)
            }
        }

        /// What was said with witnesses of inbound connections.
        var inboundTold: [Bool?] {
            self.asked.withLock { $0 }.filter { $0.operation == PunchOperation.witnesses }.map { asked in
                (try? JSONDecoder().decode(PunchWitnesses.self, from: Data(asked.body)))?.inboundSeen
            }
        }

        /// The addresses that the calls insisted on.
        var demanded: [[String]] {
            self.asked.withLock { $0 }.filter { $0.operation == PunchOperation.punch }.map { asked in
                (try? JSONDecoder().decode(PunchRequest.self, from: Data(asked.body)))?.clearnet ?? []
            }
        }
    }

    @Test(arguments: [
        ("8.8.8.8:51234", "", true), ("8.8.8.8:8333", "8.8.8.8:8333", false), ("127.0.0.1:51234", "", false),
    ])
    func `The driver hears once of somebody on the Internet who connected to another driver`(
        remote: String, target: String, counts: Bool
    ) async {
        let driver = FakeDriver([PunchOperation.witnesses: Nothing()])
        let service = Self.service(driver.perform)
        await service.attached("p", Self.capabilities(.clearnetAddress, operations: PunchOperation.all))
        await service.attached("b", Self.capabilities(.clearnetAddress))
        await service.driver("b", said: .linkOpened(DriverLink(1), Self.link(remote, target: target)))
        await service.poll()
        await service.poll()
        #expect(driver.inboundTold == [counts ? true : nil])
    }

    private static func statistics(_ endpoint: CoordinationEndpoint) -> PunchStatsReport {
        PunchStatsReport(
            counts: [], slots: 1, slotsTaken: 0, coordinating: 0, endpoints: [endpoint.description], counters: [:])
    }

    @Test func `What the driver does not tell keeps nothing else from being taken`() async throws {
        let own = try offer(90)
        let offers = PunchOffers(
            own.encodings(time: 0).map {
                PunchOffers.Address(
                    networkID: $0.networkID, address: Hex.encode($0.address), port: $0.port, services: "\($0.services)")
            })
        let report = PunchReport(
            id: 1, role: "initiator", endpoint: own.endpoint.description, attempts: 0, outcome: "closed",
            milliseconds: 1, ownNAT: "unknown", peerNAT: "unknown", at: "")
        let answers: [String: any Encodable & Sendable] = [
            PunchOperation.stats: Self.statistics(own.endpoint), PunchOperation.offers: offers,
            PunchOperation.nat: NATReport(mapping: "open", confidence: 1, reason: ""),
            PunchOperation.punches: PunchReports([report]), PunchOperation.witnesses: Nothing(),
        ]
        for silent in answers.keys {
            let service = Self.service(FakeDriver(answers.filter { $0.key != silent }).perform)
            await service.attached("p", Self.capabilities(.clearnetAddress, operations: PunchOperation.all))
            await service.poll()
            let overview = await service.overview
            #expect((overview.stats == nil) == (silent == PunchOperation.stats), "\(silent)")
            #expect((overview.offersOwn == 0) == (silent == PunchOperation.offers), "\(silent)")
            #expect((overview.nat == nil) == (silent == PunchOperation.nat), "\(silent)")
            #expect(overview.recent.isEmpty == (silent == PunchOperation.punches), "\(silent)")
            #expect(await service.exchange.isOwn(own.endpoint, now: .system), "\(silent)")
        }
    }

    @Test func `A call insists on what the offers name, one address of each family, or on what the operator says`()
        async throws
    {
        let endpoint = try offer(30).endpoint
        var report = PunchReport(
            id: 1, role: "initiator", endpoint: endpoint.description, attempts: 1,
            outcome: PunchTally.notTheOffered, milliseconds: 1, ownNAT: "unknown", peerNAT: "unknown", at: "")
        report.path = "ipv6"
        let driver = FakeDriver([PunchOperation.punch: report])
        let service = Self.service(driver.perform)
        await service.attached("p", Self.capabilities(.clearnetAddress, operations: PunchOperation.all))
        await service.attached("b", Self.capabilities(.clearnetAddress))
        await service.driver("b", said: .linkOpened(DriverLink(1), Self.link("8.8.8.8:8333", target: "x")))
        let both = try OfferedAddresses(hosts: ["30.40.1.1", "2a00:1450::1"])
        let time = UInt32(WallClockTime.system.seconds)
        let entries = PunchOffer.encodings(of: endpoint, at: both, time: time)
        await service.driver("b", said: .announcement(DriverLink(1), .addresses(entries)))
        _ = try await service.punch(PunchRequest(endpoint: endpoint.description))
        #expect(await service.planner.pause(of: endpoint, now: .system) == nil, "the offer lied, not the endpoint")
        _ = try await service.punch(PunchRequest(endpoint: endpoint.description, clearnet: ["2a00::7"]))
        #expect(driver.demanded == [both.hosts, ["2a00::7"]])
        // Unasked, a wrong address is held against the offer that named one of its family.
        let candidate = PunchCandidate(endpoint: endpoint, addresses: both)
        let began = await service.began(endpoint)
        #expect(began)
        await service.callUnasked(candidate, avoiding: [])
        let planner = await service.planner
        let lies = candidate.located.map { planner.isLie($0, now: .system) }
        #expect(lies == [false, true])
        // What is known to be a lie is left out where the operator asks, too.
        _ = try await service.punch(PunchRequest(endpoint: endpoint.description))
        #expect(driver.demanded.last == ["30.40.1.1"])
    }

    @Test(arguments: [true, false])
    func `Who asks for a connection hears of it when its link is there, or that there is none`(comes: Bool) async throws
    {
        let endpoint = try offer(30).endpoint
        var report = PunchReport(
            id: 1, role: "initiator", endpoint: endpoint.description, attempts: 1, outcome: PunchReport.connected,
            milliseconds: 1, ownNAT: "unknown", peerNAT: "unknown", at: "")
        report.peer = "30.40.1.1:8333"
        let service = Self.service(FakeDriver([PunchOperation.punch: report]).perform)
        await service.attached("p", Self.capabilities(.clearnetAddress, operations: PunchOperation.all))
        async let refusal = Self.refusal(PunchRequest(endpoint: endpoint.description), of: service)
        try await Condition.wait("the link is waited for") { await !service.expected.isEmpty }
        // Neither who calls us from the same address nor what was asked of another endpoint is the link.
        let other = try offer(31).endpoint.description
        await service.driver("p", said: .linkOpened(DriverLink(7), Self.link("30.40.1.1:8333")))
        await service.driver("p", said: .linkOpened(DriverLink(8), Self.link("30.40.1.1:8333", requested: other)))
        let again = await Self.refusal(PunchRequest(endpoint: endpoint.description), of: service)
        #expect(again?.description == "there is a punched connection to it already")
        if comes {
            let link = Self.link("30.40.1.1:8333", requested: endpoint.description)
            await service.driver("p", said: .linkOpened(DriverLink(1), link))
        } else {
            await service.detached("p")
        }
        let told = await refusal
        #expect(comes == (told == nil))
        #expect(comes || told?.description.contains("no link") == true)
        let standing = await Set(service.standing.values.map(\.endpoint.description))
        #expect(standing == (comes ? [endpoint.description, other] : []))
    }
}

extension PunchService {
    fileprivate func began(_ endpoint: CoordinationEndpoint) -> Bool {
        // What a call of the operator's held against the endpoint does not matter here.
        self.planner.forgetFailures()
        return self.planner.began(endpoint)
    }
}
