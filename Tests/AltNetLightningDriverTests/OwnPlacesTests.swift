// SPDX-License-Identifier: MIT

import AltNetAlternativeAddresses
import AltNetDriverProtocol
import AltNetLightning
import AltNetTransport
import Testing

@testable import AltNetLightningDriver

@Suite("Own places")
struct OwnPlacesTests {
    private let own = OwnHosts(interfaces: [
        .ipv4([127, 0, 0, 1]), .ipv4([203, 0, 113, 5]), .ipv6([UInt8](repeating: 0, count: 15) + [1]),
        .ipv6([0x20, 1] + [UInt8](repeating: 0, count: 13) + [7]),
    ])

    private func address(_ text: String) throws -> LightningAddress { try LightningAddress(text: text) }

    @Test("the system knows its own loopback address")
    func interfaces() {
        #expect(OwnHosts.read().interfaces.contains(.ipv4([127, 0, 0, 1])))
    }

    @Test("a listener for all interfaces is reached at the addresses of all of them, at its port")
    func listeners() throws {
        func texts(_ listeners: String...) -> Set<String> {
            Set(self.own.addresses(of: listeners.compactMap { HostAndPort($0) }).map(\.text))
        }
        #expect(texts("0.0.0.0:5") == ["0.0.0.0:5", "127.0.0.1:5", "203.0.113.5:5"])
        #expect(
            texts("[::]:5") == [
                "0.0.0.0:5", "[::]:5", "127.0.0.1:5", "203.0.113.5:5", "[::1]:5", "[2001::7]:5",
            ])
        #expect(texts("10.0.0.5:5", "Node.example.org:6") == ["10.0.0.5:5", "node.example.org:6"])
        #expect(texts("0.0.0.0:0").isEmpty)
    }

    @Test("both sides of private listeners are our own, at every port of a range")
    func privateListeners() throws {
        var settings = DriverSettings([
            "alt_addr_peers": .text(AlternativeSettingsTests.key),
            "alt_listen": .texts(["0.0.0.0:20000-20100", "10.0.0.5:7", "[::]:9"]),
            "alt_announce": .texts(["a.example.org:65435-65535", "192.0.2.1:8", "192.0.2.2:9"]),
        ])
        let places = try AlternativeSettings(&settings).ownPlaces(self.own)
        for text in [
            "127.0.0.1:20000", "203.0.113.5:20100", "a.example.org:65435", "a.example.org:65535", "10.0.0.5:7",
            "192.0.2.1:8", "[2001::7]:9", "127.0.0.1:9", "192.0.2.2:9",
        ] {
            let address = try self.address(text)
            #expect(places.contains { $0.contains(address) }, "\(text)")
        }
        for text in [
            "127.0.0.1:20101", "127.0.0.1:19999", "[2001::7]:20000", "a.example.org:65434", "10.0.0.5:8",
            "192.0.2.1:7", "127.0.0.1:7",
        ] {
            let address = try self.address(text)
            #expect(!places.contains { $0.contains(address) }, "\(text)")
        }
    }
}
