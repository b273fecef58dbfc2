// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetHolePunch

@Suite("Endpoints")
struct EndpointTests {
    @Test("addresses with ports are read strictly and written in one form")
    func texts() {
        #expect(ExternalEndpoint("192.0.2.1:8333")?.description == "192.0.2.1:8333")
        #expect(ExternalEndpoint("[2001:DB8:0::1]:8333")?.description == "[2001:db8::1]:8333")
        // One host has one form.
        #expect(ExternalEndpoint("[::ffff:192.0.2.1]:1")?.description == "192.0.2.1:1")
        for text in [
            "", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:-1", "192.0.2.1:+1", "2001:db8::1:8333",
            "[192.0.2.1]:8333", "example.org:8333", "192.0.2.01:1", "192.0.2.1:0x1",
        ] {
            #expect(ExternalEndpoint(text) == nil, "\(text)")
        }
        #expect(ExternalEndpoint(address: [1, 2, 3], port: 1) == nil)
    }

    @Test("addresses without ports are read as strictly, one of each family at most")
    func hosts() throws {
        #expect(ExternalEndpoint(host: "192.0.2.1")?.description == "192.0.2.1:0")
        #expect(ExternalEndpoint(host: "2001:DB8::1")?.description == "[2001:db8::1]:0")
        #expect(ExternalEndpoint(host: "::ffff:192.0.2.1") == ExternalEndpoint(host: "192.0.2.1"))
        for text in [
            "", "192.0.2.1:0", "[2001:db8::1]", "[2001:db8::1]:0", "192.0.2.01", "2001:db8::1%eth0", "a.example",
        ] {
            #expect(ExternalEndpoint(host: text) == nil, "\(text)")
            #expect(throws: OfferedAddressesError.noAddress(text)) { try OfferedAddresses(hosts: ["192.0.2.1", text]) }
        }
        let both = try OfferedAddresses(hosts: ["2001:db8::1", "192.0.2.1"])
        #expect(both.hosts == ["192.0.2.1", "2001:db8::1"])
        #expect(both.networkGroups == [endpoint("192.0.2.1:0").networkGroup, endpoint("[2001:db8::1]:0").networkGroup])
        #expect(try OfferedAddresses([endpoint("192.0.2.1:5")]) == OfferedAddresses(hosts: ["192.0.2.1"]))
        #expect(try OfferedAddresses(hosts: []).isEmpty)
        #expect(throws: OfferedAddressesError.twoOfOneFamily(isIPv4: true)) {
            try OfferedAddresses(hosts: ["192.0.2.1", "::ffff:192.0.2.2"])
        }
        #expect(throws: OfferedAddressesError.twoOfOneFamily(isIPv4: false)) {
            try OfferedAddresses(hosts: ["2001:db8::1", "2001:db8::1"])
        }
    }

    @Test(
        "addresses that a peer must not make us call are refused by name",
        arguments: [
            ("8.8.8.8:80", .lowPort), ("8.8.8.8:1023", .lowPort), ("8.8.8.8:0", .lowPort),
            ("0.0.0.0:9000", .unspecified),
            ("0.1.2.3:9000", .unspecified), ("127.1.2.3:9000", .loopback), ("10.0.0.1:9000", .private),
            ("172.16.0.1:9000", .private), ("172.31.255.255:9000", .private), ("192.168.1.1:9000", .private),
            ("100.64.0.1:9000", .private), ("100.127.0.1:9000", .private), ("169.254.1.1:9000", .linkLocal),
            ("192.0.2.1:9000", .documentation), ("198.51.100.1:9000", .documentation),
            ("203.0.113.1:9000", .documentation), ("192.0.0.8:9000", .reserved), ("192.88.99.1:9000", .reserved),
            ("198.18.0.1:9000", .reserved), ("198.19.0.1:9000", .reserved), ("224.0.0.1:9000", .multicast),
            ("239.255.255.255:9000", .multicast), ("240.0.0.1:9000", .reserved), ("255.255.255.255:9000", .reserved),
            ("[::]:9000", .unspecified), ("[::1]:9000", .loopback), ("[::2]:9000", .reserved),
            ("[fe80::1]:9000", .linkLocal), ("[fc00::1]:9000", .private), ("[fdff::1]:9000", .private),
            ("[ff02::1]:9000", .multicast), ("[2001:db8::1]:9000", .documentation), ("[3fff::1]:9000", .documentation),
            ("[2001::1]:9000", .reserved), ("[2002:7f00:1::]:9000", .reserved), ("[2001:20::1]:9000", .reserved),
            ("[64:ff9b::1.2.3.4]:9000", .reserved), ("[4000::1]:9000", .reserved), ("[::ffff:10.0.0.1]:9000", .private),
            ("[fec0::1]:9000", .reserved),
        ] as [(String, TargetRefusal)])
    func refused(_ text: String, _ refusal: TargetRefusal) {
        #expect(endpoint(text).refusedTarget(allowPrivate: false) == refusal)
        let lab = endpoint(text).refusedTarget(allowPrivate: true)
        #expect(lab == (refusal.isLiftedInLabs ? nil : refusal))
    }

    @Test(
        "ordinary addresses are fine",
        arguments: [
            "8.8.8.8:1024", "172.15.0.1:9000", "172.32.0.1:9000", "100.63.0.1:9000", "100.128.0.1:9000",
            "1.1.1.1:65535",
            "[2a00:1450::1]:9000", "[2001:4860::1]:9000", "[2001:200::1]:9000", "[3fff:1000::1]:9000",
        ])
    func allowed(_ text: String) {
        #expect(endpoint(text).refusedTarget(allowPrivate: false) == nil)
    }

    @Test("coordination endpoints are read and written")
    func coordination() throws {
        // A service that many know; the checksum in the name is Tor's.
        let onion = "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion:8333"
        let i2p = String(repeating: "a", count: 52) + ".b32.i2p"
        for text in [onion, i2p, "direct:127.0.0.1:9000", "direct:[::1]:9000", "direct:lab-1.example:1"] {
            #expect(try CoordinationEndpoint(text).description == text)
        }
        #expect(try CoordinationEndpoint(onion.uppercased().replacing("ONION", with: "onion")).description == onion)
        #expect(try CoordinationEndpoint(onion).isAnnounced)
        #expect(try !CoordinationEndpoint("direct:127.0.0.1:9000").isAnnounced)
    }

    @Test(
        "a text that is no endpoint is refused with the reason",
        arguments: [
            ("", .unknownForm), ("example.org:8333", .unknownForm), ("192.0.2.1:8333", .unknownForm),
            ("expyuzz4wqqyqhjn.onion:8333", .badOnion),
            ("educkduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion:1", .badOnion),
            ("duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczae.onion:1", .badOnion),
            ("duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion", .badPort),
            ("duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion:0", .badPort),
            ("duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion:65536", .badPort),
            ("abc.b32.i2p", .badI2P), ("direct:", .badPort), ("direct:host", .badPort), ("direct::1", .badHost),
            ("direct:a b:1", .badHost), ("direct:[zz]:1", .badHost), ("direct:host:99999", .badPort),
            ("direct:" + String(repeating: "a", count: 300) + ":1", .unknownForm),
        ] as [(String, CoordinationEndpointError)])
    func notCoordination(_ text: String, _ error: CoordinationEndpointError) {
        #expect(throws: error) { try CoordinationEndpoint(text) }
    }
}

@Suite("PunchPaths")
struct PunchPathTests {
    static let mappings: [NATMapping] = [
        .open, .endpointIndependent(preservesPort: true), .endpointIndependent(preservesPort: false),
        .endpointDependent, .unknown,
    ]

    @Test("both sides find the same paths, and these are the ones that a table of the rules gives")
    func exhaustive() {
        for initiatorBits in UInt16(0)..<64 {
            for responderBits in UInt16(0)..<64 {
                for one in Self.mappings {
                    for other in Self.mappings {
                        let initiator = PunchHello(mapping: one, abilities: .init(rawValue: initiatorBits))
                        let responder = PunchHello(mapping: other, abilities: .init(rawValue: responderBits))
                        let paths = PunchPaths.attempts(initiator: initiator, responder: responder)
                        let either = initiatorBits | responderBits
                        let ipv4 = initiatorBits & responderBits & 1 != 0
                        var expected: [PunchPath] = []
                        if ipv4, either & 4 != 0 { expected.append(.direct) }
                        if initiatorBits & responderBits & 2 != 0 { expected.append(.ipv6) }
                        if ipv4, either & 8 != 0 { expected.append(.mapped) }
                        let isDependent = [one == .endpointDependent, other == .endpointDependent]
                        let isDoor = [
                            initiatorBits & 32 != 0 && Self.mappings[1...2].contains(one) && isDependent[1],
                            responderBits & 32 != 0 && Self.mappings[1...2].contains(other) && isDependent[0],
                        ]
                        if ipv4, isDependent == [false, false] || isDoor.contains(true) {
                            expected += [.punch, .punch]
                        }
                        #expect(
                            PunchPaths.door(.punch, initiator: initiator, responder: responder)
                                == (isDoor[0] ? .initiator : isDoor[1] ? .responder : nil))
                        #expect(PunchPaths.door(.ipv6, initiator: initiator, responder: responder) == nil)
                        #expect(paths == expected)
                        #expect(paths == paths.sorted())
                        for path in [PunchPath.direct, .mapped] where paths.contains(path) {
                            let bit: UInt16 = path == .direct ? 4 : 8
                            #expect(
                                PunchPaths.listener(path, initiator: initiator, responder: responder)
                                    == (responderBits & bit != 0 ? .responder : .initiator))
                        }
                        #expect(
                            PunchPaths.allowRelay(initiator, responder) == (initiatorBits & responderBits & 16 != 0))
                    }
                }
            }
        }
    }

    @Test("the numbers of NAT kinds on the wire are read as they are written")
    func codes() {
        for mapping in Self.mappings { #expect(NATMapping(code: mapping.code) == mapping) }
        #expect(NATMapping(code: 5) == nil)
    }
}
