// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetLightning
import Foundation
import Glibc
import Testing

@Suite("LightningAddress")
struct LightningAddressTests {
    static let torProject = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"

    /// What the C library makes of a text; it is the naive model for IP addresses.
    static func system(_ family: Int32, _ text: String) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: family == AF_INET ? 4 : 16)
        return inet_pton(family, text, &bytes) == 1 ? bytes : nil
    }

    static func system(_ family: Int32, _ bytes: [UInt8]) -> String {
        var buffer = [CChar](repeating: 0, count: 64)
        inet_ntop(family, bytes, &buffer, 64)
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    @Test("the first byte alone says whether it is a descriptor or text, and no input is both", arguments: 0...255)
    func noAmbiguity(_ first: Int) throws {
        let first = UInt8(first)
        var random = SeededRandom(seed: UInt64(first))
        for _ in 0..<300 {
            let rest = random.bytes(Int.random(in: 0...40, using: &random))
            let bytes = [first] + rest
            let asText = try? LightningAddress(text: String(decoding: bytes, as: UTF8.self))
            let asDescriptor = try? LightningAddress(descriptor: bytes)
            #expect(asText == nil || asDescriptor == nil, "\(bytes)")
            // Neither reader takes what the rule gives to the other.
            if (0x21...0x7e).contains(first) { #expect(asDescriptor == nil) } else { #expect(asText == nil) }
            #expect((try? LightningAddress(decoding: bytes)) == asText ?? asDescriptor)
        }
        // Texts and descriptors that are right, begun with another byte.
        for text in ["198.51.100.7:9735", "[2001:db8::1]:9735", "node.example.org:1", "\(Self.torProject):80"] {
            let address = try LightningAddress(text: text)
            var descriptor = address.descriptor
            let type = descriptor[0]
            descriptor[0] = first
            #expect(((try? LightningAddress(decoding: descriptor)) == address) == (first == type))
            let changed = [first] + Array(text.utf8)
            if !(0x21...0x7e).contains(first) {
                #expect((try? LightningAddress(text: String(decoding: changed, as: UTF8.self))) == nil)
            }
        }
    }

    @Test("what is read can be written, in both forms, and is the same again", arguments: 1...8 as ClosedRange<UInt64>)
    func roundTrip(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<500 {
            let port = UInt16.random(in: 1...UInt16.max, using: &random)
            var descriptor: [UInt8] =
                switch Int.random(in: 0..<2, using: &random) {
                case 0: [1] + random.bytes(4)
                // Many zeros, so that runs of them are met.
                default: [2] + random.bytes(16).map { $0 < 160 ? 0 : $0 }
                }
            descriptor.appendBigEndian(port)
            let address = try LightningAddress(decoding: descriptor)
            #expect(address.descriptor == descriptor)
            #expect(try LightningAddress(decoding: Array(address.text.utf8)) == address)
            #expect(address.port == port)
        }
    }

    @Test("IP addresses are read as the C library reads them", arguments: 1...8 as ClosedRange<UInt64>)
    func texts(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<3000 {
            let bytes = random.bytes(16).map { $0 < 150 ? 0 : $0 }
            var text = Self.system(AF_INET6, bytes)
            // The C library writes some addresses with an IPv4 part where RFC 5952 does not, so only read ones compare.
            let read = try LightningAddress(text: "[\(text)]:1")
            #expect(read.descriptor.dropFirst().prefix(16) == bytes[...], "\(text)")
            // Now spoil it.
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = text.index(text.startIndex, offsetBy: Int.random(in: 0..<text.count, using: &random))
                switch Int.random(in: 0..<3, using: &random) {
                case 0: text.insert(":", at: index)
                case 1 where text.count > 1: text.remove(at: index)
                default: text.insert(["0", "f", ".", "g", "1"].randomElement(using: &random) ?? "0", at: index)
                }
            }
            let ours = (try? LightningAddress(text: "[\(text)]:1")).map { Array($0.descriptor.dropFirst().prefix(16)) }
            #expect(ours == Self.system(AF_INET6, text), "\(text)")
        }
        for _ in 0..<3000 {
            let parts = (0..<Int.random(in: 3...5, using: &random)).map { _ in
                ["0", "1", "01", "255", "256", "9", "", "a", "007", "100"].randomElement(using: &random) ?? ""
            }
            let text = parts.joined(separator: ".")
            let address = try? LightningAddress(text: "\(text):1")
            if let system = Self.system(AF_INET, text) {
                #expect(address?.descriptor.dropFirst().prefix(4) == system[...], "\(text)")
            } else {
                #expect(address?.descriptor.first != 1, "\(text)")
            }
        }
    }

    @Test(
        "IPv6 addresses are written as RFC 5952 says",
        arguments: [
            ("2001:0db8:0000:0000:0000:0000:0002:0001", "2001:db8::2:1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("0:0:0:0:0:0:0:0", "::"),
            ("::1", "::1"), ("1::", "1::"), ("::FFFF:1.2.3.4", "::ffff:1.2.3.4"), ("::ffff:102:304", "::ffff:1.2.3.4"),
        ])
    func canonical(_ text: String, _ canonical: String) throws {
        #expect(try LightningAddress(text: "[\(text)]:9").text == "[\(canonical)]:9")
    }

    @Test(
        "texts that are no address are refused by name",
        arguments: [
            (":9735", LightningAddressError.badName), ("a:b:1", .badIPv6), ("[::1:1", .badIPv6),
            ("[::1%eth0]:1", .badIPv6),
            ("::1:1", .badIPv6), ("host", .notHostAndPort), ("host:", .notHostAndPort), ("host:+1", .notHostAndPort),
            ("host:65536", .notHostAndPort), ("host:000001", .notHostAndPort), ("host:0", .zeroPort),
            ("-a.pl:1", .badName),
            ("a..pl:1", .badName), ("a.pl.:1", .badName), ("ä.pl:1", .badName), ("10.1:1", .badName),
            ("127.1:1", .badName),
            ("0x7f.0x1:1", .badName), ("2130706433:1", .badName), ("a b.pl:1", .badName), ("a/b.pl:1", .badName),
            ("expyuzz4wqqyqhjn.onion:1", .torV2), ("short.onion:1", .badOnion), ("", .notHostAndPort),
            ("3gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:1", .badOnion),
            ("www.2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:1", .badOnion),
        ])
    func badTexts(_ text: String, _ error: LightningAddressError) {
        #expect(throws: error) { try LightningAddress(text: text) }
    }

    @Test("a name in a descriptor obeys the same rules as one in a text")
    func names() throws {
        func descriptor(_ name: String) -> [UInt8] { [5, UInt8(name.utf8.count)] + Array(name.utf8) + [0, 1] }
        let long = (0..<3).map { _ in String(repeating: "a", count: 63) }.joined(separator: ".") + "."
        let longest = long + String(repeating: "b", count: 251 - 192)
        #expect(try LightningAddress(decoding: descriptor(longest)).descriptor.count == 255)
        #expect(throws: LightningAddressError.tooLong(256)) {
            try LightningAddress(decoding: descriptor(longest + "b"))
        }
        for name in ["", "10.1", "a.onion", "a\u{0}b.pl", "1.2.3.4", "[::1]", "a:1", ".a", "a."] {
            #expect(throws: LightningAddressError.self, "\(name)") {
                try LightningAddress(descriptor: descriptor(name))
            }
        }
        #expect(try LightningAddress(descriptor: descriptor("A_b-3.Pl")).hostText == "a_b-3.pl")
    }

    @Test("an onion service's name and bytes belong together")
    func onions() throws {
        let address = try LightningAddress(text: "\(Self.torProject.uppercased()):80")
        #expect(address.hostText == Self.torProject)
        #expect(address.descriptor.count == 38)
        for index in 1...35 {
            var wrong = address.descriptor
            wrong[index] ^= 1
            #expect(throws: LightningAddressError.self) { try LightningAddress(descriptor: wrong) }
        }
    }

    @Test(
        "addresses that lead into somebody's own network, or nowhere, are known",
        arguments: [
            ("0.0.0.0", true), ("10.255.0.1", true), ("100.63.255.255", false), ("100.64.0.0", true),
            ("100.128.0.0", false),
            ("127.3.2.1", true), ("169.254.1.1", true), ("172.15.255.255", false), ("172.16.0.0", true),
            ("172.31.255.255", true), ("172.32.0.0", false), ("192.168.1.1", true), ("192.169.0.0", false),
            ("198.17.255.255", false), ("198.19.0.0", true), ("203.0.113.9", true), ("203.0.114.0", false),
            ("223.255.255.255", false), ("224.0.0.1", true), ("255.255.255.255", true), ("8.8.8.8", false),
            ("[::]", true),
            ("[::1]", true), ("[fc00::1]", true), ("[fdff::1]", true), ("[fe80::1]", true), ("[ff02::1]", true),
            ("[2001:db8::1]", true), ("[2001:4860::1]", false), ("[2a00::1]", false), ("[3fff:0fff::1]", true),
            ("[3fff:1000::1]", false), ("[::ffff:10.0.0.1]", true), ("[::ffff:8.8.8.8]", false), ("[::10.0.0.1]", true),
            ("[64:ff9b::10.0.0.1]", true), ("[64:ff9b::8.8.8.8]", false), ("[2002:a00:1::]", true),
            ("[2002:808:808::]", false),
            ("localhost", true), ("router", true), ("a.local", true), ("x.home.arpa", true),
            ("node.example.org", false),
            ("localhost.pl", false), (Self.torProject, false),
        ])
    func privateRanges(_ host: String, _ isPrivate: Bool) throws {
        #expect(try LightningAddress(text: "\(host):9735").isPrivate == isPrivate)
    }
}
