// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import Crypto
import Testing

@testable import AltNetOnion

@Suite("BOLT 4's vectors for onions and failures")
struct OnionVectorTests {
    @Test("the packet is built byte by byte, and every hop finds its payload")
    func onion() throws {
        let vector = try Vectors.read("onion-test", as: OnionVector.self)
        let associatedData = try Vectors.bytes(vector.generate.associatedData)
        let hops = try vector.hops()
        let (packet, secrets) = try OnionPacket.build(
            hops, sessionKey: try Vectors.key(vector.generate.sessionKey), associatedData: associatedData)
        #expect(packet.bytes.count == OnionPacket.standardSize)
        #expect(Hex.encode(packet.bytes) == vector.onion)

        var next: OnionPacket? = try OnionPacket(bytes: try Vectors.bytes(vector.onion))
        for (index, privateKey) in vector.decode.enumerated() {
            let arrived = try #require(next)
            #expect(arrived.bytes.count == OnionPacket.standardSize)
            let peeled = try arrived.peel(key: try Vectors.key(privateKey), associatedData: associatedData)
            #expect(peeled.payload == hops[index].payload)
            #expect(peeled.secret == secrets[index])
            next = peeled.next
        }
        #expect(next == nil)
    }

    @Test("a failure is made, wrapped by every hop, and opened by the sender, with every key on the way")
    func failure() throws {
        let vector = try Vectors.read("onion-error-test", as: ErrorVector.self)
        let nodes = try vector.generate.hops.map { try Vectors.node($0.pubkey) }
        let (_, secrets) = try OnionPacket.build(
            nodes.map { OnionHop($0, [0, 0]) }, sessionKey: try Vectors.key(vector.generate.sessionKey))
        for (secret, hop) in zip(secrets, vector.generate.hops) {
            #expect(Hex.encode(secret.bytes) == hop.hopSharedSecret)
            #expect(Self.hex(secret, .ammag) == hop.ammagKey)
            if let um = hop.umKey { #expect(Self.hex(secret, .um) == um) }
        }
        let sender = try #require(secrets.last)
        let contents = try Vectors.bytes(vector.generate.failureMessage)
        let made = OnionReply.make(contents, secret: sender)
        // One layer less is what the vector calls the payload, behind its authentication code.
        let plain = OnionReply.wrap(made, secret: sender).dropFirst(32)
        #expect(Hex.encode(plain) == vector.generate.hops.last?.payload)
        let arrived = secrets.dropLast().reversed().reduce(made) { OnionReply.wrap($0, secret: $1) }
        #expect(Hex.encode(arrived) == vector.errorpacket)
        let opened = try OnionReply.open(arrived, secrets: secrets)
        #expect(opened.hop == 4)
        #expect(opened.contents == contents)
    }

    private static func hex(_ secret: OnionSecret, _ purpose: OnionSecret.Purpose) -> String {
        secret.key(purpose).withUnsafeBytes { Hex.encode(Array($0)) }
    }
}
