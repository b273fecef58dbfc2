// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetHolePunch

@Suite("PunchMessage")
struct PunchMessageTests {
    /// The messages of `docs/protocol/hole-punching.md`, "Examples", byte by byte.
    static let vectors: [(PunchMessage, String)] = [
        (
            .hello(
                PunchHello(
                    mapping: .endpointIndependent(preservesPort: true), abilities: [.ipv4, .ipv6, .relay])),
            "01 01 03 1300"
        ),
        (.hello(PunchHello(mapping: .unknown, abilities: [])), "01 01 00 0000"),
        (.ping(sent: 0x0102_0304_0506_0708), "02 0807060504030201"),
        (.pong(sent: 1, received: 2, replied: 3), "03 0100000000000000 0200000000000000 0300000000000000"),
        (
            .endpoints(
                attempt: 1,
                [
                    PathEndpoint(path: .punch, endpoint: endpoint("203.0.113.24:50000")),
                    PathEndpoint(path: .ipv6, endpoint: endpoint("[2001:db8::1]:8333")),
                ],
                nonce: [UInt8](repeating: 0xaa, count: 32)),
            "04 01" + String(repeating: "aa", count: 32) + "02"
                + "04 01 cb007118 c350" + "02 02 20010db8000000000000000000000001 208d"
        ),
        (
            .endpoints(attempt: 5, [], nonce: [UInt8](repeating: 0, count: 32)),
            "04 05" + String(repeating: "00", count: 33)
        ),
        (.go(attempt: 2, path: .punch, moment: 1_000_000), "05 02 04 40420f0000000000"),
        (.result(attempt: 1, nil), "06 01 00"),
        (.result(attempt: 1, .timedOut), "06 01 05"),
        (.result(attempt: 4, .other(77)), "06 04 4d"),
        (.relay, "07"),
        (.relayAccepted, "08"),
        (.refuse(.busy), "09 01"),
        (.refuse(.other(200)), "09 c8"),
    ]

    @Test("every message has the bytes that the document gives", arguments: 0..<vectors.count)
    func bytes(_ index: Int) throws {
        let (message, text) = Self.vectors[index]
        let bytes = try #require(Hex.decode(text.filter { $0 != " " }))
        #expect(message.encoded() == bytes)
        #expect(try PunchMessage(payload: bytes) == message)
    }

    @Test("no message may be cut off, and none but hello may go on", arguments: 0..<vectors.count)
    func cutOrLong(_ index: Int) throws {
        let (message, _) = Self.vectors[index]
        let bytes = message.encoded()
        for length in 0..<bytes.count {
            #expect(throws: PunchMessageError.truncated) { try PunchMessage(payload: Array(bytes.prefix(length))) }
        }
        if case .hello = message {
            #expect(try PunchMessage(payload: bytes + [1, 2, 3]) == message)
        } else {
            #expect(throws: PunchMessageError.trailingBytes(3)) { try PunchMessage(payload: bytes + [1, 2, 3]) }
        }
    }

    @Test(
        "what breaks the format is refused by name",
        arguments: [
            ("00", .unknownKind(0)), ("0a", .unknownKind(10)), ("ff", .unknownKind(255)),
            ("01 00 01 0000", .badVersion), ("01 01 05 0000", .unknownMapping(5)),
            ("05 01 00 0000000000000000", .unknownPath(0)), ("05 01 06 0000000000000000", .unknownPath(6)),
            ("04 01 \(String(repeating: "00", count: 32)) 07", .tooManyEndpoints(7)),
            ("04 01 \(String(repeating: "00", count: 32)) 01 04 03 01020304 0000", .unknownFamily(3)),
            (
                "04 01 \(String(repeating: "00", count: 32)) 01 04 02 00000000000000000000ffff01020304 0000",
                .mappedAddress
            ),
            (String(repeating: "01", count: 513), .tooLong(513)),
        ] as [(String, PunchMessageError)])
    func malformed(_ text: String, _ error: PunchMessageError) throws {
        let bytes = try #require(Hex.decode(text.filter { $0 != " " }))
        #expect(throws: error) { try PunchMessage(payload: bytes) }
    }

    @Test("whatever is written is read again, and random bytes never do harm")
    func roundTrips() throws {
        var random = SeededRandom(seed: 1)
        for _ in 0..<5_000 {
            let message = Self.random(&random)
            let bytes = message.encoded()
            #expect(bytes.count <= PunchMessage.maximumLength)
            #expect(try PunchMessage(payload: bytes) == message)
            var damaged = bytes
            damaged[Int.random(in: 0..<damaged.count, using: &random)] ^= UInt8.random(in: 1...255, using: &random)
            // Either it is refused, or it is another message with exactly one form.
            if let other = try? PunchMessage(payload: damaged), case .hello = other {
            } else if let other = try? PunchMessage(
                payload: damaged)
            {
                #expect(other.encoded() == damaged)
            }
        }
    }

    private static func random(_ random: inout SeededRandom) -> PunchMessage {
        func number() -> UInt64 { .random(in: .min ... .max, using: &random) }
        let attempt = UInt8.random(in: 0...255, using: &random)
        switch Int.random(in: 0..<9, using: &random) {
        case 0:
            return .hello(
                PunchHello(
                    version: .random(in: 1...255, using: &random),
                    mapping: NATMapping(code: .random(in: 0...4, using: &random)) ?? .unknown,
                    abilities: PunchAbilities(rawValue: .random(in: 0...65535, using: &random))))
        case 1: return .ping(sent: number())
        case 2: return .pong(sent: number(), received: number(), replied: number())
        case 3:
            let endpoints = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                // A first byte other than zero: no IPv4 address in IPv6's clothes.
                let address = [7] + random.bytes(Bool.random(using: &random) ? 3 : 15)
                return PathEndpoint(
                    path: PunchPath.allCases.randomElement(using: &random) ?? .punch,
                    endpoint: ExternalEndpoint(address: address, port: .random(in: 0...65535, using: &random))
                        ?? endpoint("1.2.3.4:5"))
            }
            return .endpoints(attempt: attempt, endpoints, nonce: random.bytes(32))
        case 4:
            return .go(
                attempt: attempt, path: PunchPath.allCases.randomElement(using: &random) ?? .punch, moment: number())
        case 5:
            let code = UInt8.random(in: 0...255, using: &random)
            return .result(attempt: attempt, code == 0 ? nil : PunchReason(code: code))
        case 6: return .relay
        case 7: return .relayAccepted
        default: return .refuse(PunchRefusal(code: .random(in: 0...255, using: &random)))
        }
    }

    @Test("every reason and refusal has a number of its own and a sentence of its own")
    func numbers() {
        #expect(PunchReason.named.map(\.code) == Array(1...11))
        #expect(PunchRefusal.named.map(\.code) == Array(1...6))
        #expect(Set(PunchReason.named.map(\.description)).count == PunchReason.named.count)
        #expect(Set(PunchRefusal.named.map(\.description)).count == PunchRefusal.named.count)
        for code in UInt8(1)...255 {
            #expect(PunchReason(code: code).code == code)
            #expect(PunchRefusal(code: code).code == code)
        }
    }
}

/// An endpoint from its text; tests write only such texts as can be read.
func endpoint(_ text: String) -> ExternalEndpoint {
    guard let endpoint = ExternalEndpoint(text) else { preconditionFailure("\(text) is no endpoint") }
    return endpoint
}
