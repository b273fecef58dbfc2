// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import Testing

@testable import AltNetOnion

@Suite("OnionReply")
struct OnionReplyTests {
    private static func reply(
        _ contents: [UInt8], from hop: Int, _ secrets: [OnionSecret], minimumLength: Int = 256
    ) -> [UInt8] {
        let made = OnionReply.make(contents, secret: secrets[hop], minimumLength: minimumLength)
        return secrets[..<hop].reversed().reduce(made) { OnionReply.wrap($0, secret: $1) }
    }

    private static func secrets(_ count: Int, _ random: inout SeededRandom) throws -> [OnionSecret] {
        try (0..<count).map { _ in try #require(OnionSecret(bytes: random.bytes(32))) }
    }

    @Test("a reply from any hop of a route of any length opens, and names the hop")
    func roundTrip() throws {
        var random = SeededRandom(seed: 31)
        for count in [1, 2, 3, 5, 19, 27, 28, 37] {
            let route = try TestRoute(payloads: Array(repeating: 2, count: count), using: &random)
            let (packet, secrets) = try route.build()
            // As the nodes have them.
            let peeled = try route.peel(packet).map(\.secret)
            for hop in 0..<count {
                let contents = random.bytes(Int.random(in: 0...400, using: &random))
                let opened = try OnionReply.open(Self.reply(contents, from: hop, peeled), secrets: secrets)
                #expect(opened.hop == hop)
                #expect(opened.contents == contents)
            }
        }
    }

    @Test("short contents are padded to one length, and long ones are carried up to the limit")
    func sizes() throws {
        var random = SeededRandom(seed: 32)
        let secrets = try Self.secrets(3, &random)
        for (length, minimum, size) in [
            (0, 256, 292), (1, 256, 292), (256, 256, 292), (257, 256, 293), (0, 0, 36), (10, 1000, 1036),
            (OnionReply.maximumLength, 256, 65_499), (5, OnionReply.maximumLength, 65_499),
        ] {
            let contents = random.bytes(length)
            let reply = Self.reply(contents, from: 2, secrets, minimumLength: minimum)
            #expect(reply.count == size)
            let opened = try OnionReply.open(reply, secrets: secrets)
            #expect(opened.hop == 2 && opened.contents == contents)
        }
    }

    @Test("a changed bit anywhere, a wrong order of secrets, and a stranger's reply are refused by name")
    func refusals() throws {
        var random = SeededRandom(seed: 33)
        let secrets = try Self.secrets(4, &random)
        let reply = Self.reply([1, 2, 3], from: 3, secrets)
        for index in reply.indices {
            var changed = reply
            changed[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            #expect(refusal { () throws(OnionError) in _ = try OnionReply.open(changed, secrets: secrets) } == .badHMAC)
        }
        for wrong in [Array(secrets.reversed()), Array(secrets.dropLast()), Array(secrets.dropFirst()), []] {
            #expect(refusal { () throws(OnionError) in _ = try OnionReply.open(reply, secrets: wrong) } == .badHMAC)
        }
        let cut = Array(reply.dropLast())
        #expect(refusal { () throws(OnionError) in _ = try OnionReply.open(cut, secrets: secrets) } == .badHMAC)
        for length in [0, 1, 35, OnionReply.overhead + OnionReply.maximumLength + 1] {
            let bytes = random.bytes(length)
            #expect(
                refusal { () throws(OnionError) in _ = try OnionReply.open(bytes, secrets: secrets) }
                    == .badLength(length))
        }
    }

    @Test("lengths that do not fit, under a valid code, are refused by name")
    func lengths() throws {
        var random = SeededRandom(seed: 34)
        let secrets = try Self.secrets(2, &random)
        for plain: [UInt8] in [
            [0, 1, 0, 0], [0xff, 0xff, 0, 0], [0, 0, 0, 1], [0, 0, 0xff, 0xff], [0, 0, 0, 0, 0], [0, 3, 1, 0, 0],
        ] {
            let bytes = OnionReply.sealed(plain, secret: secrets[1])
            let reply = OnionReply.wrap(bytes, secret: secrets[0])
            let error = refusal { () throws(OnionError) in _ = try OnionReply.open(reply, secrets: secrets) }
            guard case .badPayload = error else {
                Issue.record("\(plain) gave \(String(describing: error))")
                continue
            }
        }
    }

    @Test("the hop that a reply stands in for when a route is short is never named as its sender")
    func standIn() throws {
        var random = SeededRandom(seed: 35)
        let secrets = try Self.secrets(1, &random)
        let standIn = try #require(OnionSecret(bytes: [UInt8](repeating: 0, count: 32)))
        let reply = OnionReply.wrap(OnionReply.make([1], secret: standIn), secret: secrets[0])
        #expect(refusal { () throws(OnionError) in _ = try OnionReply.open(reply, secrets: secrets) } == .badHMAC)
    }
}
