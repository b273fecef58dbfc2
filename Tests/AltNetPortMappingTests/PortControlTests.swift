// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetPortMapping

/// Messages as the figures of RFC 6887 and RFC 6886 lay them out, written by hand.
enum PortControlBytes {
    static let nonce: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]

    /// A MAP response (RFC 6887, figures 3 and 10).
    static func pcp(
        version: UInt8 = 2, operation: UInt8 = 0x81, result: UInt8 = 0, lifetime: [UInt8] = [0, 0, 0x0e, 0x10],
        epoch: [UInt8] = [0, 0, 0, 100], nonce: [UInt8] = nonce, transport: UInt8 = 6,
        internalPort: [UInt8] = [0x20, 0x8d], externalPort: [UInt8] = [0x9c, 0x40],
        address: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 8, 8, 4, 4]
    ) -> [UInt8] {
        var bytes: [UInt8] = [version, operation, 0, result]
        bytes += lifetime
        bytes += epoch
        bytes += [UInt8](repeating: 0, count: 12)
        bytes += nonce
        bytes += [transport, 0, 0, 0]
        bytes += internalPort
        bytes += externalPort
        return bytes + address
    }

    static let request = PCPRequest(
        lifetime: 3_600, clientAddress: [192, 168, 1, 2], nonce: nonce, internalPort: 0x208d, suggestedPort: 0x208d)

    static func at(_ milliseconds: Int64) -> MonotonicInstant { .zero + .milliseconds(milliseconds) }
}

/// Machines by reference, because `#expect` takes no calls that change a value.
final class PortControlSubject {
    private var exchange: PortControlExchange

    init(_ request: PCPRequest, method: PortMappingMethod = .pcp) {
        self.exchange = PortControlExchange(request, method: method)
    }

    func start(now: MonotonicInstant) -> [PortControlExchange.Directive] { self.exchange.start(now: now) }
    func onTimer(now: MonotonicInstant) -> [PortControlExchange.Directive] { self.exchange.onTimer(now: now) }

    func onDatagram(_ bytes: [UInt8], now: MonotonicInstant) -> [PortControlExchange.Directive] {
        self.exchange.onDatagram(bytes, now: now)
    }
}

final class EpochSubject {
    private var epoch = ServerEpoch()

    func observe(_ count: UInt32, by method: PortMappingMethod, now: MonotonicInstant) -> Bool {
        self.epoch.observe(count, by: method, now: now)
    }
}

@Suite("PCP and NAT-PMP messages")
struct PortControlMessageTests {
    @Test("a MAP request has the layout of RFC 6887, figures 2 and 9")
    func pcpRequest() {
        let expected: [UInt8] = [
            // Version, request and MAP, reserved, lifetime.
            2, 1, 0, 0, 0, 0, 0x0e, 0x10,
            // The client's address.
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 2,
            // The nonce.
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
            // TCP, reserved, both ports.
            6, 0, 0, 0, 0x20, 0x8d, 0x20, 0x8d,
            // No preference for an address.
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0,
        ]
        #expect(PortControlBytes.request.encoded() == expected && expected.count == 60)
    }

    @Test("a MAP response is read, with an IPv4 and an IPv6 address")
    func pcpResponse() throws {
        let response = try PCPResponse(PortControlBytes.pcp())
        #expect(response.result == 0 && response.lifetime == 3_600 && response.epoch == 100)
        let mapping = try #require(response.mapping)
        #expect(mapping.nonce == PortControlBytes.nonce && mapping.transport == 6)
        #expect(mapping.internalPort == 8_333 && mapping.externalPort == 40_000)
        #expect(mapping.externalAddress == [8, 8, 4, 4])
        let other = try PCPResponse(PortControlBytes.pcp(address: [0x20, 1] + [UInt8](repeating: 0, count: 14)))
        #expect(other.mapping?.externalAddress.count == 16)
        // Options may follow.
        #expect(try PCPResponse(PortControlBytes.pcp() + [3, 0, 0, 0]).mapping == mapping)
    }

    @Test("no cut or lengthened response is taken for another, and none traps")
    func pcpSizes() {
        let whole = PortControlBytes.pcp()
        for count in 0..<whole.count where count != 24 {
            #expect(throws: PortMappingError.self, "\(count)") { try PCPResponse(Array(whole.prefix(count))) }
        }
        // A head only is an error's.
        #expect(throws: PortMappingError.self) { try PCPResponse(Array(whole.prefix(24))) }
        #expect((try? PCPResponse(Array(PortControlBytes.pcp(result: 8).prefix(24))))?.mapping == nil)
        #expect(throws: PortMappingError.self) { try PCPResponse(whole + [UInt8](repeating: 0, count: 1_044)) }
        #expect(throws: PortMappingError.self) { try PCPResponse(PortControlBytes.pcp(operation: 1)) }
        #expect(throws: PortMappingError.self) { try PCPResponse(PortControlBytes.pcp(operation: 0x82)) }
        #expect(throws: PortMappingError.self) { try PCPResponse(PortControlBytes.pcp(version: 3)) }
    }

    @Test("NAT-PMP requests and responses have the layout of RFC 6886, sections 3.2 and 3.3")
    func natPMP() throws {
        #expect(NATPMPRequest.externalAddress.encoded() == [0, 0])
        #expect(
            NATPMPRequest.mapTCP(internalPort: 0x208d, suggestedPort: 0x1234, lifetime: 7_200).encoded()
                == [0, 2, 0, 0, 0x20, 0x8d, 0x12, 0x34, 0, 0, 0x1c, 0x20])
        let address = try NATPMPResponse([0, 128, 0, 0, 0, 0, 1, 0, 8, 8, 4, 4])
        #expect(address.epoch == 256 && address.content == .externalAddress([8, 8, 4, 4]))
        let mapping = try NATPMPResponse([0, 130, 0, 0, 0, 0, 0, 9, 0x20, 0x8d, 0x9c, 0x40, 0, 0, 0x0e, 0x10])
        #expect(mapping.content == .mapping(internalPort: 8_333, externalPort: 40_000, lifetime: 3_600))
        #expect(try NATPMPResponse([0, 130, 0, 3, 0, 0, 0, 9]).content == .refusal(3))
        #expect(try NATPMPResponse([0, 130, 0, 3]).content == .refusal(3))
        let broken: [[UInt8]] = [
            [], [0], [0, 128, 0], [1, 128, 0, 0, 0, 0, 0, 0, 8, 8, 4, 4], [0, 128, 0, 0, 0, 0, 0, 0, 8, 8, 4],
            [0, 128, 0, 0, 0, 0, 0, 0, 8, 8, 4, 4, 0], [0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 4, 4],
            [0, 129, 0, 0, 0, 0, 0, 9, 0x20, 0x8d, 0x9c, 0x40, 0, 0, 0x0e, 0x10],
        ]
        for bytes in broken { #expect(throws: PortMappingError.self) { try NATPMPResponse(bytes) } }
    }

    @Test("random bytes are refused or read, and never trap", arguments: 1...20 as ClosedRange<UInt64>)
    func noise(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<500 {
            var bytes = random.bytes(Int.random(in: 0...80, using: &random))
            if !bytes.isEmpty, Bool.random(using: &random) { bytes[0] = 2 }
            if bytes.count > 1, Bool.random(using: &random) { bytes[1] = 0x81 }
            let exchange = PortControlSubject(PortControlBytes.request)
            _ = exchange.start(now: .zero)
            for directive in exchange.onDatagram(bytes, now: .zero) {
                if case .finished(.success) = directive { Issue.record("granted by noise") }
            }
        }
    }
}

@Suite("PortControlExchange")
struct PortControlExchangeTests {
    typealias Directive = PortControlExchange.Directive

    private func started(_ method: PortMappingMethod = .pcp) -> PortControlSubject {
        let exchange = PortControlSubject(PortControlBytes.request, method: method)
        _ = exchange.start(now: .zero)
        return exchange
    }

    @Test("a grant of PCP is taken once")
    func pcp() {
        let exchange = PortControlSubject(PortControlBytes.request)
        #expect(
            exchange.start(now: .zero)
                == [.send(PortControlBytes.request.encoded()), .setTimer(PortControlBytes.at(3_000))])
        let grant = PortControlExchange.Grant(
            method: .pcp, externalAddress: [8, 8, 4, 4], externalPort: 40_000, lifetime: 3_600, epoch: 100)
        #expect(exchange.onDatagram(PortControlBytes.pcp(), now: .zero) == [.finished(.success(grant))])
        #expect(exchange.onDatagram(PortControlBytes.pcp(), now: .zero).isEmpty)
        #expect(exchange.onTimer(now: .zero).isEmpty)
    }

    @Test("answers that belong to another request are dropped: nonce, protocol, port, errors without any of them")
    func foreign() {
        let wrong: [[UInt8]] = [
            PortControlBytes.pcp(nonce: [UInt8](repeating: 9, count: 12)), PortControlBytes.pcp(transport: 17),
            PortControlBytes.pcp(internalPort: [0, 80]),
            PortControlBytes.pcp(result: 2, nonce: [UInt8](repeating: 9, count: 12)),
            Array(PortControlBytes.pcp(result: 2).prefix(24)), [], [0], [2, 0x81],
            // NAT-PMP that grants what was not asked of it.
            [0, 130, 0, 0, 0, 0, 0, 9, 0x20, 0x8d, 0x9c, 0x40, 0, 0, 0x0e, 0x10],
        ]
        let exchange = self.started()
        for bytes in wrong { #expect(exchange.onDatagram(bytes, now: .zero).isEmpty, "\(bytes)") }
        // And the right one still counts.
        #expect(exchange.onDatagram(PortControlBytes.pcp(), now: .zero).count == 1)
    }

    @Test(
        "a grant that is worth nothing is refused by name",
        arguments: [
            PortControlBytes.pcp(lifetime: [0, 0, 0, 0]), PortControlBytes.pcp(externalPort: [0, 0]),
            PortControlBytes.pcp(address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]),
            PortControlBytes.pcp(address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1]),
            PortControlBytes.pcp(address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 224, 0, 0, 1]),
            PortControlBytes.pcp(address: [UInt8](repeating: 0, count: 16)),
        ])
    func worthless(_ bytes: [UInt8]) {
        let exchange = self.started()
        guard case .finished(.failure(.malformed(.pcp, _))) = exchange.onDatagram(bytes, now: .zero).first else {
            Issue.record("not refused")
            return
        }
    }

    @Test("a refusal ends the request with the router's reason", arguments: 2...13 as ClosedRange<UInt8>)
    func refusals(_ result: UInt8) {
        let exchange = self.started()
        #expect(
            exchange.onDatagram(PortControlBytes.pcp(result: result), now: .zero)
                == [.finished(.failure(.refused(.pcp, PCPResponse.name(of: result))))])
    }

    @Test(
        "a router that knows NAT-PMP only is asked by it",
        arguments: [
            [0, 128, 0, 1, 0, 0, 0, 9], [0, 129, 0, 1], Array(PortControlBytes.pcp(version: 1, result: 1).prefix(24)),
        ] as [[UInt8]])
    func fallsBack(_ answer: [UInt8]) {
        let exchange = self.started()
        #expect(
            exchange.onDatagram(answer, now: .zero) == [.send([0, 0]), .setTimer(PortControlBytes.at(250))])
        let asked = exchange.onDatagram([0, 128, 0, 0, 0, 0, 1, 0, 8, 8, 4, 4], now: .zero)
        #expect(
            asked == [
                .send([0, 2, 0, 0, 0x20, 0x8d, 0x20, 0x8d, 0, 0, 0x0e, 0x10]), .setTimer(PortControlBytes.at(250)),
            ])
        // Another port's mapping, a late address, and the refusal of what is not asked any more.
        let foreign: [[UInt8]] = [
            [0, 130, 0, 0, 0, 0, 0, 9, 0, 80, 0x9c, 0x40, 0, 0, 0x0e, 0x10],
            [0, 128, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1], [0, 128, 0, 3, 0, 0, 0, 9],
        ]
        for bytes in foreign { #expect(exchange.onDatagram(bytes, now: .zero).isEmpty) }
        let grant = PortControlExchange.Grant(
            method: .natPMP, externalAddress: [8, 8, 4, 4], externalPort: 40_000, lifetime: 3_600, epoch: 9)
        #expect(
            exchange.onDatagram(
                [0, 130, 0, 0, 0, 0, 0, 9, 0x20, 0x8d, 0x9c, 0x40, 0, 0, 0x0e, 0x10], now: .zero)
                == [.finished(.success(grant))])
    }

    @Test("silence ends the request after as many tries as are stated, with growing pauses")
    func silence() {
        for (method, pauses) in [
            (PortMappingMethod.pcp, [3_000, 6_000]), (.natPMP, [250, 500, 1_000, 2_000, 4_000]),
        ] as [(PortMappingMethod, [Int64])] {
            let exchange = PortControlSubject(PortControlBytes.request, method: method)
            var now = MonotonicInstant.zero
            var directives = exchange.start(now: now)
            for pause in pauses {
                #expect(directives.last == .setTimer(now + .milliseconds(pause)))
                now = now + .milliseconds(pause)
                directives = exchange.onTimer(now: now)
            }
            #expect(directives == [.finished(.failure(.noAnswer))])
        }
    }

    @Test("a deletion is done when the router says so, whatever it grants besides")
    func deletion() {
        var request = PortControlBytes.request
        request.lifetime = 0
        let exchange = PortControlSubject(request)
        _ = exchange.start(now: .zero)
        let directives = exchange.onDatagram(
            PortControlBytes.pcp(lifetime: [0, 0, 0, 0], externalPort: [0, 0]), now: .zero)
        guard case .finished(.success(let grant)) = directives.first else {
            Issue.record("not done")
            return
        }
        #expect(grant.lifetime == 0)
    }
}

@Suite("ServerEpoch")
struct ServerEpochTests {
    @Test("a router that counts on has not lost its state; one that starts anew, or runs far off, has")
    func pcp() {
        func lost(_ epoch: UInt32, after seconds: Int64, from first: UInt32 = 10_000) -> Bool {
            let server = EpochSubject()
            #expect(!server.observe(first, by: .pcp, now: .zero))
            return server.observe(epoch, by: .pcp, now: .zero + .seconds(seconds))
        }
        #expect(!lost(10_100, after: 100) && !lost(10_000, after: 0) && !lost(9_999, after: 0))
        #expect(lost(9_990, after: 0) && lost(0, after: 100) && lost(100, after: 100))
        // A sixteenth and two seconds is what clocks may differ by.
        #expect(!lost(10_095, after: 100) && lost(10_080, after: 100) && lost(10_200, after: 100))
        #expect(!lost(13_600, after: 3_600) && lost(10_000, after: 3_600) && lost(.max, after: 3_600))
    }

    @Test("for NAT-PMP only a count that falls behind counts")
    func natPMP() {
        let server = EpochSubject()
        #expect(!server.observe(1_000, by: .natPMP, now: .zero))
        #expect(!server.observe(1_086, by: .natPMP, now: .zero + .seconds(100)))
        #expect(server.observe(1_100, by: .natPMP, now: .zero + .seconds(200)))
        #expect(!server.observe(.max, by: .natPMP, now: .zero + .seconds(201)))
        #expect(server.observe(0, by: .natPMP, now: .zero + .seconds(202)))
    }
}

@Suite("External addresses")
struct ExternalAddressTests {
    @Test(
        "addresses that nobody on the internet reaches are told apart",
        arguments: [
            ("8.8.8.8", true), ("44.7.0.2", true), ("100.63.0.1", true), ("100.64.0.1", false), ("100.127.9.9", false),
            ("10.0.0.1", false), ("172.16.0.1", false), ("172.32.0.1", true), ("192.168.1.1", false),
            ("169.254.0.1", false), ("127.0.0.1", false), ("0.0.0.0", false), ("224.0.0.1", false),
            ("255.255.255.255", false), ("192.0.2.1", false), ("198.51.100.1", false), ("203.0.113.1", false),
            ("198.18.0.1", false), ("192.0.0.1", false), ("192.88.99.1", false),
        ])
    func isPublic(_ text: String, _ expected: Bool) {
        #expect(IPAddressText.ipv4(text).map(ExternalAddressRule.isPublic) == expected)
    }
}
