// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import Testing

@testable import AltNetOnion

@Suite("OnionPacket")
struct OnionPacketTests {
    // MARK: - Properties

    @Test("random routes with random payloads, in packets of all sizes: every hop finds its own, in order")
    func roundTrip() throws {
        var random = SeededRandom(seed: 11)
        for _ in 0..<300 {
            let size =
                [1300, 1300, 1300, 400, 35, 5000, OnionPacket.largePayloadsSize].randomElement(using: &random)
                ?? 1300
            var lengths: [Int] = []
            var left = size
            while left >= 35, lengths.isEmpty || Int.random(in: 0..<12, using: &random) > 0 {
                let length = Int.random(in: 2...max(2, min(left - 35, 700)), using: &random)
                guard OnionPacket.size(ofPayload: length) <= left else { break }
                lengths.append(length)
                left -= OnionPacket.size(ofPayload: length)
            }
            let associatedData = Bool.random(using: &random) ? random.bytes(32) : []
            let route = try TestRoute(payloads: lengths, associatedData: associatedData, using: &random)
            let (packet, secrets) = try route.build(size: size)
            let peeled = try route.peel(packet)
            #expect(peeled.map(\.payload) == route.hops.map(\.payload))
            #expect(peeled.map(\.secret) == secrets)
            #expect(peeled.last?.next == nil)
            let packets = [packet] + peeled.compactMap(\.next)
            #expect(packets.count == lengths.count)
            // Of one size everywhere, and without anything in common.
            #expect(packets.allSatisfy { $0.bytes.count == size + 66 })
            #expect(Set(packets.map(\.publicKey)).count == packets.count)
            #expect(Set(packets.map(\.hopPayloads)).count == packets.count)
            #expect(try packets.allSatisfy { try OnionPacket(bytes: $0.bytes) == $0 })
        }
    }

    @Test("a byte that is changed anywhere is noticed by the node that gets it, by name")
    func changes() throws {
        var random = SeededRandom(seed: 12)
        let route = try TestRoute(payloads: [33, 33, 500], associatedData: random.bytes(8), using: &random)
        var packet = try route.build().packet
        for key in route.keys {
            let bytes = packet.bytes
            for index in bytes.indices {
                var changed = bytes
                changed[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                let error = refusal { () throws(OnionError) in
                    _ = try OnionPacket(bytes: changed).peel(key: key, associatedData: route.associatedData)
                }
                switch index {
                case 0: #expect(error == .unknownVersion(changed[0]))
                // Other bytes may be another point, and then the code does not fit.
                case 1..<34: #expect(error == (NodeID(bytes: changed[1..<34]) == nil ? .badKey : .badHMAC))
                default: #expect(error == .badHMAC)
                }
            }
            guard let next = try packet.peel(key: key, associatedData: route.associatedData).next else { break }
            packet = next
        }
    }

    @Test("every bit of the version, the key and the code counts")
    func bits() throws {
        var random = SeededRandom(seed: 13)
        let route = try TestRoute(payloads: [33, 2], using: &random)
        let bytes = try route.build().packet.bytes
        for index in Array(0..<36) + Array(1330..<1366) {
            for bit in 0..<8 {
                var changed = bytes
                changed[index] ^= 1 << bit
                #expect(refusal { () throws(OnionError) in _ = try route.peel(try OnionPacket(bytes: changed)) } != nil)
            }
        }
    }

    @Test("the last hop cannot tell the length of the route: it sees random bytes behind its payload")
    func filler() throws {
        var random = SeededRandom(seed: 14)
        for count in [1, 2, 10, 19] {
            let route = try TestRoute(payloads: Array(repeating: 33, count: count), using: &random)
            let peeled = try route.peel(try route.build().packet)
            let secret = try #require(peeled.last?.secret)
            var arrived = try route.build().packet
            for step in peeled.dropLast() { arrived = try #require(step.next) }
            let plain = Keystream.apply(secret.key(.rho), to: arrived.hopPayloads)
            let behind = plain.dropFirst(66)
            // A run of eight equal bytes is there in one of 2^45 random strings of this length.
            let hasRun = behind.indices.dropLast(8).contains { index in
                behind[index..<index + 8].allSatisfy { $0 == behind[index] }
            }
            #expect(!hasRun)
        }
    }

    // MARK: - Refusals when building

    @Test(
        "as many hops fit as the table says, and one more is refused by name",
        arguments: [
            (2, 37), (18, 25), (32, 20), (33, 19), (64, 13), (100, 9), (252, 4), (253, 4), (400, 2), (615, 2),
            (1265, 1),
        ])
    func table(_ length: Int, _ count: Int) throws {
        var random = SeededRandom(seed: 15)
        #expect(OnionPacket.maximumHops(payload: length) == count)
        let fits = try TestRoute(payloads: Array(repeating: length, count: count), using: &random)
        #expect(try fits.peel(fits.build().packet).map(\.payload) == fits.hops.map(\.payload))
        let long = try TestRoute(payloads: Array(repeating: length, count: count + 1), using: &random)
        let needed = (count + 1) * (length + 32 + (length < 253 ? 1 : 3))
        let expected = length == 2 ? OnionError.tooManyHops(38, limit: 37) : .tooLong(bytes: needed, limit: 1300)
        #expect(refusal { () throws(OnionError) in _ = try long.build() } == expected)
    }

    @Test("a route that misses the end by one byte is refused, and one that reaches it is not")
    func exact() throws {
        var random = SeededRandom(seed: 16)
        let fits = try TestRoute(payloads: [33, 33, 1300 - 132 - 35], using: &random)
        #expect(try fits.peel(fits.build().packet).map(\.payload) == fits.hops.map(\.payload))
        let long = try TestRoute(payloads: [33, 33, 1300 - 132 - 34], using: &random)
        #expect(
            refusal { () throws(OnionError) in _ = try long.build() } == .tooLong(bytes: 1301, limit: 1300))
    }

    @Test("empty routes, reserved payload lengths and impossible packet sizes are refused by name")
    func cannotBuild() throws {
        var random = SeededRandom(seed: 17)
        let empty = try TestRoute(payloads: [], using: &random)
        #expect(refusal { () throws(OnionError) in _ = try empty.build() } == .emptyPath)
        for length in [0, 1] {
            for payloads in [[length], [length, 33], [33, length]] {
                let route = try TestRoute(payloads: payloads, using: &random)
                #expect(
                    refusal { () throws(OnionError) in _ = try route.build() } == .badPayload(OnionPacket.reserved))
            }
        }
        let route = try TestRoute(payloads: [33], using: &random)
        for size in [-1, 0, OnionPacket.maximumSize - 65, Int.max] {
            #expect(refusal { () throws(OnionError) in _ = try route.build(size: size) } == .badLength(size))
        }
        #expect(
            refusal { () throws(OnionError) in _ = try route.build(size: 65) } == .tooLong(bytes: 66, limit: 65))
        #expect(refusal { () throws(OnionError) in _ = try route.build(size: OnionPacket.maximumSize - 66) } == nil)
    }

    // MARK: - Refusals when peeling

    @Test("lengths that no packet has, and other versions of any length, are refused by name")
    func lengths() {
        for length in [0, 1, 34, 66, OnionPacket.maximumSize + 1] {
            let bytes = [UInt8](repeating: 0, count: length)
            #expect(refusal { () throws(OnionError) in _ = try OnionPacket(bytes: bytes) } == .badLength(length))
        }
        for (version, length) in [(UInt8(1), 1366), (255, 1366), (1, 1), (2, 100_000)] {
            let bytes = [version] + [UInt8](repeating: 2, count: length - 1)
            #expect(
                refusal { () throws(OnionError) in _ = try OnionPacket(bytes: bytes) } == .unknownVersion(version))
        }
    }

    @Test("another key, other associated data and another path key do not open a packet")
    func strangers() throws {
        var random = SeededRandom(seed: 18)
        let route = try TestRoute(payloads: [33, 33], associatedData: [1, 2, 3], using: &random)
        let packet = try route.build().packet
        let key = route.keys[0]
        let other = try TestRoute.key(using: &random)
        let peels: [(NodePrivateKey, [UInt8], NodeID?)] = [
            (other, [1, 2, 3], nil), (route.keys[1], [1, 2, 3], nil), (key, [], nil), (key, [1, 2], nil),
            (key, [1, 2, 3, 4], nil), (key, [1, 2, 3], other.publicKey),
        ]
        for (key, data, pathKey) in peels {
            let error = refusal { () throws(OnionError) in
                _ = try packet.peel(key: key, associatedData: data, pathKey: pathKey)
            }
            #expect(error == .badHMAC)
        }
        #expect(try packet.peel(key: key, associatedData: [1, 2, 3]).payload == route.hops[0].payload)
    }

    @Test("bytes that are no point are refused before anything else is done with the packet")
    func noPoint() throws {
        var random = SeededRandom(seed: 23)
        let route = try TestRoute(payloads: [33], using: &random)
        let bytes = try route.build().packet.bytes
        let notOnCurve = [2] + [UInt8](repeating: 0xff, count: 32)
        for key in [notOnCurve, [UInt8](repeating: 0, count: 33), [4] + bytes[2..<34]] {
            let packet = try OnionPacket(bytes: bytes[..<1] + key + bytes[34...])
            #expect(refusal { () throws(OnionError) in _ = try route.peel(packet) } == .badKey)
        }
    }

    /// A packet with a valid code around any plain payloads: what only a sender can make who breaks the rules.
    private static func packet(_ plain: [UInt8], for key: NodePrivateKey, size: Int = 1300) throws -> OnionPacket {
        var random = SeededRandom(seed: 19)
        let session = try TestRoute.key(using: &random)
        let secret = OnionSecret(try #require(session.sharedSecret(with: key.publicKey)))
        let padded = plain + [UInt8](repeating: 7, count: size - plain.count)
        let payloads = Keystream.apply(secret.key(.rho), to: padded)
        return OnionPacket(
            publicKey: session.publicKey.bytes, hopPayloads: payloads,
            hmac: OnionPacket.code(of: payloads, associatedData: [], key: secret.key(.mu)))
    }

    @Test(
        "payloads that a valid code covers and that break the rules are refused by name",
        arguments: [
            ([0x00], OnionPacket.reserved), ([0x01, 0x05], OnionPacket.reserved),
            // 1,266 + 3 + 32 is one byte more than there is; so are 1,267 to 2,600 and lengths beyond.
            ([0xfd, 0x04, 0xf2], OnionPacket.beyond), ([0xfd, 0x05, 0x14], OnionPacket.beyond),
            ([0xfd, 0x0a, 0x00], OnionPacket.beyond), ([0xfd, 0xff, 0xff], OnionPacket.beyond),
            ([0xfe, 0xff, 0xff, 0xff, 0xff], OnionPacket.beyond),
            ([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], OnionPacket.beyond),
            ([0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], OnionPacket.beyond),
            ([0xfd, 0x00, 0xfc], OnionPacket.notMinimal), ([0xfe, 0x00, 0x00, 0xff, 0xff], OnionPacket.notMinimal),
            ([0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10], OnionPacket.notMinimal),
        ] as [([UInt8], String)])
    func badPayloads(_ front: [UInt8], _ reason: String) throws {
        var random = SeededRandom(seed: 20)
        let key = try TestRoute.key(using: &random)
        let packet = try Self.packet(front, for: key)
        #expect(refusal { () throws(OnionError) in _ = try packet.peel(key: key) } == .badPayload(reason))
    }

    @Test("whatever a valid code covers is refused, or read as its length says")
    func anything() throws {
        var random = SeededRandom(seed: 24)
        let key = try TestRoute.key(using: &random)
        for _ in 0..<500 {
            let markers: [UInt8] = [UInt8(truncatingIfNeeded: random.next()), 0xfd, 0xfe, 0xff]
            let marker = markers.randomElement(using: &random) ?? 0
            let plain = [marker, UInt8.random(in: 0...6, using: &random)] + random.bytes(1298)
            let packet = try Self.packet(plain, for: key)
            let (length, start): (Int, Int) =
                switch marker {
                case 0..<2: (-1, 0)
                case 2..<0xfd: (Int(marker), 1)
                case 0xfd: (Int(plain[1]) << 8 | Int(plain[2]), 3)
                // Four or eight random bytes: either much too long, or longer than necessary.
                default: (-1, 0)
                }
            let isValid = length >= (start == 3 ? 0xfd : 2) && start + length + 32 <= 1300
            do throws(OnionError) {
                let peeled = try packet.peel(key: key)
                #expect(isValid && peeled.payload == Array(plain[start..<start + length]))
                #expect(peeled.next?.hmac == Array(plain[(start + length)...].prefix(32)))
            } catch {
                #expect(!isValid)
            }
        }
    }

    @Test("a payload that fills the packet to its last byte is taken")
    func fullPayload() throws {
        var random = SeededRandom(seed: 21)
        let key = try TestRoute.key(using: &random)
        let packet = try Self.packet([0xfd, 0x04, 0xf1], for: key)
        let peeled = try packet.peel(key: key)
        #expect(peeled.payload.count == 1265)
        #expect(peeled.next?.hmac == [UInt8](repeating: 7, count: 32))
    }

    @Test("packets too small for any payload are refused", arguments: [1, 2, 10, 34])
    func tiny(_ size: Int) throws {
        var random = SeededRandom(seed: 22)
        let key = try TestRoute.key(using: &random)
        let packet = try Self.packet(Array([2, 0, 0].prefix(size)), for: key, size: size)
        #expect(refusal { () throws(OnionError) in _ = try packet.peel(key: key) } == .badPayload(OnionPacket.beyond))
    }

    // MARK: - Secrets

    @Test("a secret has 32 bytes and never shows them")
    func redaction() throws {
        #expect(OnionSecret(bytes: [UInt8](repeating: 1, count: 31)) == nil)
        #expect(OnionSecret(bytes: [UInt8](repeating: 1, count: 33)) == nil)
        let secret = try #require(OnionSecret(bytes: [UInt8](repeating: 0x11, count: 32)))
        var dumped = ""
        dump(secret, to: &dumped)
        for text in ["\(secret)", String(reflecting: secret), dumped, "\([secret])"] {
            #expect(!text.contains("1111") && !text.contains("17, 17"))
        }
    }
}
