// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetHolePunch

@Suite("PunchOffer")
struct PunchOfferTests {
    private static let key = (0..<32).map { UInt8($0) }

    @Test("both encodings have the bytes that the document gives")
    func bytes() throws {
        let offer = try #require(
            PunchOffer(endpoint: .onion(publicKey: Self.key, port: 8333), clearnet: [9, 8, 7, 6]))
        let entries = offer.encodings(time: 1_700_000_000)
        #expect(entries.count == 2)
        let message = P2PMessage.addrv2(entries).payload
        let hex =
            "02"  // Two entries.
            + "00f15365" + "fe00000008" + "04" + "20" + Hex.encode(Self.key) + "208d"
            + "00f15365" + "fe00000008" + "f0" + "27" + "01" + "04" + Hex.encode(Self.key) + "01" + "09080706" + "208d"
        #expect(Hex.encode(message) == hex)
        guard case .addrv2(let read) = try P2PMessage(command: "addrv2", payload: message) else {
            Issue.record("no addresses")
            return
        }
        #expect(read == entries)
        #expect(read.allSatisfy(PunchOffer.isOffer))
        #expect(PunchOffer(read[0]) == PunchOffer(endpoint: offer.endpoint, clearnet: nil))
        #expect(PunchOffer(read[1]) == offer)
    }

    @Test("what is written is read again, for both anonymous networks and both families")
    func roundTrips() throws {
        var random = SeededRandom(seed: 9)
        for _ in 0..<500 {
            let key = random.bytes(32)
            let endpoint: CoordinationEndpoint =
                Bool.random(using: &random)
                ? .onion(publicKey: key, port: .random(in: 1...65535, using: &random)) : .i2p(hash: key)
            let clearnet: [UInt8]? = [nil, [8] + random.bytes(3), [0x2a] + random.bytes(15)].randomElement(
                using: &random)!
            let offer = try #require(PunchOffer(endpoint: endpoint, clearnet: clearnet))
            let entries = offer.encodings(time: 7)
            #expect(entries.last.flatMap { PunchOffer($0) } == offer)
            #expect(entries.allSatisfy { $0.lastSeen == 7 && $0.address.count <= NodeAddress.maximumAddressLength })
        }
        #expect(PunchOffer(endpoint: .direct(host: "a", port: 1), clearnet: nil) == nil)
        #expect(PunchOffer(endpoint: .i2p(hash: Self.key), clearnet: [1, 2, 3]) == nil)
    }

    @Test("an endpoint is announced once alone and once with an address of each family")
    func families() throws {
        let endpoint = CoordinationEndpoint.onion(publicKey: Self.key, port: 8333)
        let both = addresses(["9.8.7.6", "2a00:1450::1"])
        let read = PunchOffer.encodings(of: endpoint, at: both, time: 7).map { PunchOffer($0) }
        #expect(
            read == [
                PunchOffer(endpoint: endpoint, clearnet: nil), PunchOffer(endpoint: endpoint, clearnet: [9, 8, 7, 6]),
                PunchOffer(
                    endpoint: endpoint, clearnet: [0x2a, 0, 0x14, 0x50] + [UInt8](repeating: 0, count: 11) + [1]),
            ])
        #expect(PunchOffer.encodings(of: endpoint, at: OfferedAddresses(), time: 7).count == 1)
        #expect(PunchOffer.encodings(of: .direct(host: "a", port: 1), at: both, time: 7).isEmpty)
    }

    @Test("what an address that was not the offered one says of the offers of it")
    func lies() throws {
        func lies(_ hosts: [String], _ path: PunchPath?) -> [String] {
            let candidate = PunchCandidate(
                endpoint: .onion(publicKey: Self.key, port: 8333), addresses: addresses(hosts))
            return candidate.lies(on: path).compactMap {
                $0.clearnet.flatMap { ExternalEndpoint(address: $0, port: 0)?.host }
            }
        }
        let both = ["9.8.7.6", "2a00:1450::1"]
        #expect(lies(both, .ipv6) == ["2a00:1450::1"])
        for path in [PunchPath.direct, .mapped, .punch] { #expect(lies(both, path) == ["9.8.7.6"]) }
        #expect(lies(both, nil) == both)
        // The other side has an address of a family that nobody named.
        #expect(lies(["9.8.7.6"], .ipv6) == ["9.8.7.6"])
        #expect(lies(["2a00:1450::1"], .punch) == ["2a00:1450::1"])
    }

    @Test("malformed entries are no offers, and still count as such for those who keep addresses")
    func malformed() {
        func entry(_ networkID: UInt8, _ address: [UInt8], port: UInt16 = 1, services: UInt64 = PunchOffer.serviceFlag)
            -> NodeAddress
        {
            NodeAddress(lastSeen: 0, services: services, networkID: networkID, address: address, port: port)
        }
        let good = [1, 4] + Self.key + [1, 9, 8, 7, 6]
        #expect(PunchOffer(entry(0xf0, good)) != nil)
        let bad: [NodeAddress] = [
            entry(0xf0, []), entry(0xf0, [2] + good.dropFirst()), entry(0xf0, Array(good.dropLast())),
            entry(0xf0, good + [0]), entry(0xf0, [1, 6] + good.dropFirst(2)), entry(0xf0, good, port: 0),
            entry(0xf0, [1, 5] + good.dropFirst(2), port: 1), entry(0xf0, [1, 4] + Self.key + [3, 9, 8, 7, 6]),
            entry(0xf0, [1, 4] + Self.key + [1, 10, 0, 0, 1]), entry(0xf0, [1, 4] + Self.key + [1, 127, 0, 0, 1]),
            entry(
                0xf0,
                [1, 4] + Self.key + [2] + [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 9, 8, 7, 6]),
            entry(1, [9, 8, 7, 6]), entry(4, Self.key, port: 0), entry(5, Self.key, port: 1),
            entry(4, Array(Self.key.dropLast())),
        ]
        for one in bad {
            #expect(PunchOffer.isOffer(one))
            #expect(PunchOffer(one) == nil, "\(one)")
        }
        #expect(!PunchOffer.isOffer(entry(4, Self.key, services: 1)))
        #expect(PunchOffer(entry(0xf0, [1, 4] + Self.key + [1, 10, 0, 0, 1]), allowPrivate: true) != nil)
    }
}
