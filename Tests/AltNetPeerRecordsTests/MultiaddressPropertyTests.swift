// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Testing

@Suite("Random multiaddrs")
struct MultiaddressPropertyTests {
    /// An address of up to six random parts.
    private static func random(_ random: inout SeededRandom) throws -> Multiaddress {
        var parts: [Multiaddress.Component] = []
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let names = ["a", "example.org", "_dnsaddr.x", "köln", "\u{308}x", "x%y", "unknown-0x5"]
            let name = Array(names[Int.random(in: 0..<names.count, using: &random)].utf8)
            let part: Multiaddress.Component =
                switch Int.random(in: 0..<16, using: &random) {
                case 0: .init(.ip4, random.bytes(4))
                case 1: .init(.ip6, random.bytes(16))
                case 2: .init(.tcp, random.bytes(2))
                case 3: .init(.udp, random.bytes(2))
                case 4: .init(.dns, name)
                case 5: .init(.dns4, name)
                case 6: .init(.ip6zone, name)
                case 7: .init(.sni, name)
                case 8: .init(.tls)
                case 9: .init(.quicV1)
                case 10: .init(.onion3, random.bytes(35) + [1, random.bytes(1)[0]])
                case 11: .init(.garlic32, random.bytes(Bool.random(using: &random) ? 32 : 35))
                case 12: .init(.httpPath, random.bytes(Int.random(in: 1...40, using: &random)))
                case 13: .init(.p2p, [0x12, 0x20] + random.bytes(32))
                case 14: .init(.wss)
                default: .init(.garlic64, random.bytes(Int.random(in: 386...400, using: &random)))
                }
            parts.append(part)
        }
        if Int.random(in: 0..<5, using: &random) == 0 {
            parts.append(.init(.unix, Array("/a/\u{308}b/ü//c".utf8)))
        }
        // Two I2P destinations are more than an address may hold.
        while parts.reduce(0, { $0 + $1.value.count + 5 }) > Multiaddress.maximumSize { parts.removeLast() }
        return try Multiaddress(parts)
    }

    @Test("bytes, text and parts of random addresses lead back to them", arguments: [1, 2, 3])
    func roundTrip(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<1_000 {
            let address = try Self.random(&random)
            #expect(try Multiaddress(bytes: address.bytes) == address)
            #expect(try Multiaddress(text: address.description) == address, "\(address)")
            #expect(try Multiaddress(address.components) == address)
            // What is asked of every address in a store ends.
            _ = (address.endpoint, address.reach, address.networkGroup, address.isRelayed, address.peerID)
            let shorter = address.withoutPeerID
            #expect(try Multiaddress(bytes: shorter.bytes) == shorter)
        }
    }

    @Test("altered bytes are refused, or are an address that leads back to the same bytes", arguments: [4, 5, 6])
    func mutations(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var taken = 0
        for _ in 0..<3_000 {
            var bytes = try Self.random(&random).bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 1: bytes.insert(random.bytes(1)[0], at: index)
                case 2: bytes.remove(at: index)
                default: bytes.removeSubrange(index...)
                }
                if bytes.isEmpty { bytes = [random.bytes(1)[0]] }
            }
            guard let address = try? Multiaddress(bytes: bytes) else { continue }
            taken += 1
            #expect(address.bytes == bytes)
            #expect(try Multiaddress(text: address.description).bytes == bytes, "\(Hex.encode(bytes))")
            #expect(try Multiaddress(address.components).bytes == bytes)
            _ = (address.endpoint, address.reach, address.networkGroup, address.withoutPeerID)
        }
        #expect(taken > 100)
    }

    @Test("random texts are refused, or are an address that prints and is read again", arguments: [7, 8])
    func texts(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let pieces = [
            "/", "ip4", "1.2.3.4", "tcp", "80", "p2p", "Qm", "unknown-0x7fe", "00", "dns", "é", "\u{308}", "unix",
            "%2F",
            "http-path", "tls", " ", "\0", "-", "+", "ip6", "::1",
        ]
        for _ in 0..<5_000 {
            let text = (0..<Int.random(in: 1...9, using: &random))
                .map { _ in "/" + pieces[Int.random(in: 0..<pieces.count, using: &random)] }.joined()
            guard let address = try? Multiaddress(text: text) else { continue }
            #expect(try Multiaddress(text: address.description) == address, "\(text)")
        }
    }
}
