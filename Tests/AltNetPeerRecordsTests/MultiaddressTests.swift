// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Testing

@Suite("Multiaddrs")
struct MultiaddressTests {
    static let peers = [
        "12D3KooWCryG7Mon9orvQxcS1rYZjotPgpwoJNHHKcLLfE4Hf5mV", MultiaddressVectors.base58,
    ]

    @Test("go-multiaddr's texts and bytes are the same addresses", arguments: MultiaddressVectors.both)
    func both(text: String, digits: String) throws {
        let address = try Multiaddress(text: text)
        #expect(address.bytes == hex(digits))
        #expect(try Multiaddress(bytes: hex(digits)).description == text)
    }

    @Test("go-multiaddr's good texts are read and printed", arguments: MultiaddressVectors.good)
    func good(text: String) throws {
        let address = try Multiaddress(text: text)
        #expect(address.description == text)
        #expect(try Multiaddress(bytes: address.bytes) == address)
        #expect(try Multiaddress(address.components) == address)
    }

    @Test("other ways of writing an address lead to the usual one", arguments: MultiaddressVectors.otherwise)
    func otherwise(text: String, usual: String) throws {
        #expect(try Multiaddress(text: text).description == usual)
    }

    @Test("go-multiaddr's bad texts are refused", arguments: MultiaddressVectors.bad)
    func bad(text: String) {
        #expect(throws: MultiaddressError.self) { try Multiaddress(text: text) }
    }

    @Test("refusals have their names")
    func names() {
        let cases: [(String, MultiaddressError)] = [
            ("", .empty), ("/", .empty), ("ip4/1.2.3.4", .badText), ("//", .empty), ("/ip4", .badText),
            ("/ip4//tcp/1", .badValue("ip4")), ("/ip4/1.2.3.4//tcp/1", .badText),
            ("/hello/1", .unknownProtocol("hello")),
            ("/IP4/1.2.3.4", .unknownProtocol("IP4")), ("/ip4/1.2.3.256", .badValue("ip4")),
            ("/ip4/01.2.3.4", .badValue("ip4")), ("/ip6/1.2.3.4", .badValue("ip6")), ("/tcp/080", .badValue("tcp")),
            ("/tcp/+80", .badValue("tcp")), ("/tcp/٣", .badValue("tcp")), ("/dns/a b", .badValue("dns")),
            ("/dns/a\u{202e}b", .badValue("dns")), ("/dns/a\u{7}", .badValue("dns")),
            ("/dns/\(String(repeating: "a", count: 254))", .badValue("dns")), ("/http-path/%4", .badValue("http-path")),
            ("/http-path/%zz", .badValue("http-path")), ("/unix//", .badValue("unix")),
            // Digits that say more than their bytes.
            ("/garlic32/\(MultiaddressVectors.garlic32)zwassw", .badValue("garlic32")),
            ("/p2p/\(Self.peers[0])/p2p/\(Self.peers[0])", .cyclic),
            ("/p2p/\(Self.peers[0])/p2p-circuit/p2p/\(Self.peers[0])", .cyclic),
            ("/p2p-circuit/p2p-circuit", .cyclic), (String(repeating: "/udt", count: 21), .tooDeep),
            ("/" + String(repeating: "a", count: 4_096), .tooLong(4_097)),
            ("/unknown-0x4/00", .badText), ("/unknown-0x", .badText), ("/unknown-0x+5/00", .badText),
            ("/unknown-0x8000000000000000/00", .badText), ("/unknown-0x1234/0", .badText),
        ]
        for (text, error) in cases { #expect(throws: error, "\(text)") { try Multiaddress(text: text) } }
    }

    @Test("bytes that are no address are refused by name")
    func badBytes() {
        let cases: [(String, MultiaddressError)] = [
            ("", .empty), ("04", .truncated), ("047f0000", .truncated), ("06", .truncated), ("91", .truncated),
            ("8400" + "7f000001", .varint(.notMinimal)), ("ffffffffffffffffff01", .varint(.tooLong)),
            // A length that is not minimal, too long, or a number that no memory has.
            ("35830061626306", .varint(.notMinimal)), ("3505616263", .truncated),
            ("35ffffffffffffffff7f", .truncated), ("3500", .badValue("dns")),
            // Invalid UTF-8, an overlong slash, a slash, a line break, and half a surrogate pair.
            ("3502c328", .badValue("dns")), ("3502c0af", .badValue("dns")), ("3503612f62", .badValue("dns")),
            ("3503610a62", .badValue("dns")), ("3503eda080", .badValue("dns")), ("2a02c328", .badValue("ip6zone")),
            ("c10302c328", .badValue("sni")), ("9003032fc328", .badValue("unix")), ("9003026162", .badValue("unix")),
            ("900303" + "2f612f", .badValue("unix")), ("900302" + "2f61" + "060050", .badValue("unix")),
            ("a50300", .badValue("p2p")), ("a503021220", .badValue("p2p")),
            ("e10300", .badValue("http-path")), ("d20300", .badValue("certhash")),
            ("d203020120", .badValue("certhash")),
            ("2b81", .badValue("ipcidr")), ("bf0300", .badValue("garlic32")), ("be0300", .badValue("garlic64")),
            ("bd03" + String(repeating: "11", count: 35) + "0000", .badValue("onion3")),
            (String(repeating: "a202a202", count: 1), .cyclic), (String(repeating: "ad02", count: 21), .tooDeep),
            (String(repeating: "060050", count: 342), .tooLong(1_026)),
        ]
        for (digits, error) in cases {
            #expect(throws: error, "\(digits)") { try Multiaddress(bytes: hex(digits)) }
        }
    }

    @Test("an address of the greatest depth and one of the greatest size are taken")
    func bounds() throws {
        let deep = try Multiaddress(text: String(repeating: "/udt", count: Multiaddress.maximumComponents))
        #expect(deep.components.count == Multiaddress.maximumComponents)
        #expect(throws: MultiaddressError.tooDeep) { try deep.appending(deep) }
        let large = [UInt8](repeating: 0xaa, count: Multiaddress.maximumSize - 3)
        var bytes = UnsignedVarint.encoded(481) + UnsignedVarint.encoded(UInt64(large.count - 1)) + large.dropLast()
        #expect(bytes.count == Multiaddress.maximumSize)
        let address = try Multiaddress(bytes: bytes)
        #expect(try Multiaddress(text: address.description) == address)
        bytes.append(0)
        #expect(throws: MultiaddressError.tooLong(1_025)) { try Multiaddress(bytes: bytes) }
    }

    @Test("what follows an unknown code is kept, printed and read again")
    func unknown() throws {
        for (digits, text) in [
            ("0401020304fe0f0102", "/ip4/1.2.3.4/unknown-0x7fe/0102"), ("fe0f", "/unknown-0x7fe"),
            ("890608", "/unknown-0x309/08"), ("ffffffffffffffff7fff", "/unknown-0x7fffffffffffffff/ff"),
        ] {
            let address = try Multiaddress(bytes: hex(digits))
            #expect(address.description == text)
            #expect(try Multiaddress(text: text).bytes == hex(digits))
            #expect(try Multiaddress(address.components) == address)
            #expect(address.endpoint == nil)
            #expect(address.peerID == nil)
        }
        let bare = try Multiaddress(bytes: hex("fe0f"))
        #expect(bare.reach == .nowhere)
        #expect(bare.networkGroup == "")
        #expect(!bare.isRelayed)
    }

    @Test("a part of a wrong size is not passed off as the next one")
    func wrongSize() {
        #expect(throws: MultiaddressError.badValue("ip4")) {
            try Multiaddress([.init(.ip4, [1, 2, 3]), .init(.tcp, [4, 6])])
        }
        #expect(throws: MultiaddressError.badValue("tls")) { try Multiaddress([.init(.tls, [6, 0, 80])]) }
    }

    @Test("an accent behind a slash stays an accent")
    func graphemes() throws {
        for name in ["\u{308}a", "e\u{301}", "köln.de", "日本"] {
            let text = "/dns/\(name)/tcp/1"
            let address = try Multiaddress(text: text)
            #expect(address.components.map(\.value) == [Array(name.utf8), [0, 1]])
            #expect(Array(address.description.utf8) == Array(text.utf8))
        }
    }

    @Test("an HTTP path is escaped as the specification says, and a plus is a plus")
    func httpPath() throws {
        for (path, text) in [
            ("user", "user"), ("api/v0/login", "api%2Fv0%2Flogin"), ("tmp/foo/../bar", "tmp%2Ffoo%2F..%2Fbar"),
            ("a%20space", "a%2520space"), ("a%2Fslash", "a%252Fslash"), ("a+b c", "a%2Bb%20c"),
        ] {
            let address = try Multiaddress([.init(.httpPath, Array(path.utf8))])
            #expect(address.description == "/http-path/\(text)")
            #expect(try Multiaddress(text: "/http-path/\(text)") == address)
        }
        #expect(try Multiaddress(text: "/http-path/a+b").components.first?.value == Array("a+b".utf8))
        #expect(try Multiaddress(text: "/http-path/a%2fb") == Multiaddress(text: "/http-path/a%2Fb"))
    }

    @Test("names stay as they were signed, in upper case too")
    func upperCase() throws {
        let address = try Multiaddress(text: "/dns4/EXAMPLE.org/tcp/1")
        #expect(address.description == "/dns4/EXAMPLE.org/tcp/1")
        #expect(address.networkGroup == "example.org")
    }

    @Test("the peer at the end is found, taken away and put there")
    func peer() throws {
        let peer = try PeerID(text: Self.peers[0])
        let address = try Multiaddress(text: "/ip4/1.2.3.4/tcp/80")
        let whole = try address.appending(peer)
        #expect(whole.description == "/ip4/1.2.3.4/tcp/80/p2p/\(peer)")
        #expect(whole.peerID == peer)
        #expect(whole.withoutPeerID == address)
        #expect(address.peerID == nil)
        #expect(address.withoutPeerID == address)
        #expect(throws: MultiaddressError.cyclic) { try whole.appending(peer) }
        let bare = try Multiaddress(text: "/p2p/\(Self.peers[1])")
        #expect(bare.peerID?.description == Self.peers[1])
        #expect(bare.withoutPeerID == bare)
        #expect(bare.reach == .nowhere)
        #expect(bare.networkGroup == Self.peers[1])
        let relayed = try whole.appending(Multiaddress(text: "/p2p-circuit"))
        #expect(relayed.isRelayed)
        #expect(relayed.peerID == nil)
        #expect(relayed.endpoint == nil)
        #expect(!whole.isRelayed)
    }
}

@Suite("Where multiaddrs lead")
struct EndpointTests {
    @Test("hosts, ports and transports are told apart")
    func endpoints() throws {
        let peer = "/p2p/" + MultiaddressTests.peers[0]
        let cases: [(String, Multiaddress.Host, UInt16, Multiaddress.Transport)] = [
            ("/ip4/1.2.3.4/tcp/80", .ip4([1, 2, 3, 4]), 80, .tcp), ("/ip4/1.2.3.4/udp/9", .ip4([1, 2, 3, 4]), 9, .udp),
            ("/ip4/1.2.3.4/tcp/80\(peer)", .ip4([1, 2, 3, 4]), 80, .tcp),
            ("/ip4/1.2.3.4/udp/80/quic-v1\(peer)", .ip4([1, 2, 3, 4]), 80, .quic),
            ("/dns/a.b/tcp/80/ws", .name("a.b", family: nil), 80, .ws),
            ("/dns4/a.b/tcp/80/wss", .name("a.b", family: .ip4), 80, .wss),
            ("/dns6/a.b/tcp/443/tls/ws", .name("a.b", family: .ip6), 443, .wss),
            ("/dns6/a.b/tcp/443/tls/sni/c.d/ws", .name("a.b", family: .ip6), 443, .wss),
            (
                "/ip6zone/eth0/ip6/fe80::1/tcp/1", .ip6([0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [1]), 1, .tcp
            ),
        ]
        for (text, host, port, transport) in cases {
            let endpoint = try #require(try Multiaddress(text: text).endpoint, "\(text)")
            #expect(endpoint.host == host && endpoint.port == port && endpoint.transport == transport, "\(text)")
        }
        let onion = try Multiaddress(text: "/onion3/\(MultiaddressVectors.onion3):1234\(peer)").endpoint
        #expect(onion?.port == 1234)
        #expect(onion?.host == .onion3(Base32.decode(MultiaddressVectors.onion3) ?? []))
        let garlic = try Multiaddress(text: "/garlic32/\(MultiaddressVectors.garlic32)\(peer)").endpoint
        #expect(garlic?.host == .garlic(Base32.decode(MultiaddressVectors.garlic32) ?? []))
    }

    @Test(
        "what cannot be dialled directly has no endpoint",
        arguments: [
            "/ip4/1.2.3.4", "/ip4/1.2.3.4/tcp/0", "/ip4/1.2.3.4/udp/1/quic", "/ip4/1.2.3.4/tcp/1/tls",
            "/ip4/1.2.3.4/tcp/1/tls/tls/ws", "/ip4/1.2.3.4/tcp/1/sni/a/ws", "/ip4/1.2.3.4/udp/1/ws",
            "/ip4/1.2.3.4/tcp/1/quic-v1", "/ip4/1.2.3.4/udp/1/quic-v1/webtransport", "/ip4/1.2.3.4/tcp/1/p2p-circuit",
            "/ip4/1.2.3.4/sctp/1", "/tcp/1", "/unix/a", "/dnsaddr/a.b", "/dnsaddr/a.b/tcp/1",
            "/ip6zone/a/ip4/1.2.3.4/tcp/1",
            "/ip6zone/a", "/p2p-circuit", "/ip4/1.2.3.4/tcp/1/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/1/noise",
            "/onion3/\(MultiaddressVectors.onion3):1234/ws", "/garlic32/\(MultiaddressVectors.garlic32)/tcp/1",
            "/ip4/1.2.3.4/tcp/1/p2p/\(MultiaddressVectors.base58)/ws",
            "/ip4/1.2.3.4/tcp/1/p2p/\(MultiaddressVectors.base58)/p2p-circuit",
        ])
    func none(text: String) throws {
        #expect(try Multiaddress(text: text).endpoint == nil)
    }

    @Test("reach says where an address means the same thing")
    func reach() throws {
        let cases: [(Multiaddress.Reach, [String])] = [
            (
                .loopback,
                ["/ip4/127.9.9.9", "/ip6/::1", "/ip6/::ffff:127.0.0.1", "/dns/localhost", "/dns4/a.LOCALHOST"]
            ),
            (
                .linkLocal,
                [
                    "/ip4/169.254.1.1", "/ip6/fe80::1", "/ip6/febf::1", "/ip6zone/eth0/ip6/fe80::1",
                    "/dns/printer.local",
                    "/ip6/2002:a9fe:101::1",
                ]
            ),
            (
                .privateRange,
                [
                    "/ip4/10.0.0.1", "/ip4/172.16.0.1", "/ip4/172.31.255.255", "/ip4/192.168.0.1", "/ip4/100.64.0.1",
                    "/ip4/198.18.0.1", "/ip4/192.0.0.1", "/ip6/fd00::1", "/ip6/fec0::1", "/ip6/64:ff9b::10.1.2.3",
                    "/ip6/64:ff9b:1::8.8.8.8", "/ip6/2002:a00:1::1", "/dns/router", "/dns/box.lan", "/dns/x.home.arpa",
                    // Behind a relay and behind another address, too.
                    "/ip4/8.8.8.8/tcp/1/p2p-circuit/ip4/10.0.0.1/tcp/1", "/dns/a.b/tcp/1/ip6/fd00::1/tcp/1",
                ]
            ),
            (
                .global,
                [
                    "/ip4/8.8.8.8", "/ip4/172.32.0.1", "/ip4/100.128.0.1", "/ip4/192.0.2.1", "/ip6/2001:db8::1",
                    "/ip6/2600::1", "/ip6/64:ff9b::8.8.8.8", "/ip6/::ffff:8.8.8.8", "/ip6/2002:808:808::1",
                ]
            ),
            (
                .overlay,
                [
                    "/ip6/fc00::1", "/ip6/200::1", "/ip6/3ff::1", "/onion3/\(MultiaddressVectors.onion3):1",
                    "/garlic32/\(MultiaddressVectors.garlic32)", "/dns/x.onion",
                ]
            ),
            (
                .name,
                ["/dns/example.org", "/dns6/example.org/tcp/1", "/dnsaddr/bootstrap.libp2p.io", "/dns/in-addr.arpa"]
            ),
            (
                .nowhere,
                [
                    "/ip4/0.0.0.0", "/ip4/224.0.0.1", "/ip4/255.255.255.255", "/ip6/::", "/ip6/ff02::1", "/unix/a",
                    "/tcp/1",
                ]
            ),
        ]
        for (reach, texts) in cases {
            for text in texts {
                let address = try Multiaddress(text: text)
                #expect(address.reach == reach, "\(text)")
                #expect(address.isAmbiguous == [.loopback, .linkLocal, .privateRange].contains(reach), "\(text)")
            }
        }
    }

    @Test("network groups are Bitcoin Core's")
    func groups() throws {
        for (text, group) in [
            ("/ip4/203.0.113.7/tcp/1", "203.0"), ("/ip4/10.0.0.1", "local"), ("/ip6/2001:db8::1", "2001:db8"),
            ("/ip6/::1", "local"), ("/ip6/fc00::1", "cjdns"), ("/ip6/::ffff:203.0.113.7", "203.0"),
            ("/ip6zone/eth0/ip6/fe80::1", "local"), ("/ip6/2001::1", "2001:0"),
            ("/onion3/\(MultiaddressVectors.onion3):1", "onion"), ("/garlic32/\(MultiaddressVectors.garlic32)", "i2p"),
            ("/dns/A.b/tcp/1", "a.b"), ("/dns/x.onion/tcp/1", "onion"), ("/dns/localhost/tcp/1", "local"),
            ("/dns/8.8.8.8/tcp/1", "8.8"),
        ] {
            #expect(try Multiaddress(text: text).networkGroup == group, "\(text)")
        }
    }
}
