// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetOnion
import Testing

/// A route of made-up nodes, with all that is needed to build and to peel along it.
struct TestRoute {
    let keys: [NodePrivateKey]
    let hops: [OnionHop]
    let sessionKey: NodePrivateKey
    let associatedData: [UInt8]

    /// A route with payloads of these lengths.
    init(
        payloads lengths: [Int], associatedData: [UInt8] = [], using random: inout SeededRandom
    ) throws {
        self.keys = try lengths.map { _ in try Self.key(using: &random) }
        self.hops = zip(self.keys, lengths).map { OnionHop($0.publicKey, random.bytes($1)) }
        self.sessionKey = try Self.key(using: &random)
        self.associatedData = associatedData
    }

    static func key(using random: inout SeededRandom) throws -> NodePrivateKey {
        try #require(NodePrivateKey(bytes: random.bytes(32)))
    }

    func build(size: Int = OnionPacket.standardPayloadsSize) throws(OnionError) -> (
        packet: OnionPacket, secrets: [OnionSecret]
    ) {
        try OnionPacket.build(
            self.hops, sessionKey: self.sessionKey, associatedData: self.associatedData, hopPayloadsSize: size)
    }

    /// What each node finds, first one first, until a packet does not open.
    func peel(_ packet: OnionPacket) throws(OnionError) -> [PeeledOnion] {
        var found: [PeeledOnion] = []
        var next: OnionPacket? = packet
        for key in self.keys {
            guard let packet = next else { break }
            let peeled = try packet.peel(key: key, associatedData: self.associatedData)
            found.append(peeled)
            next = peeled.next
        }
        return found
    }
}

/// The error that a closure throws, or `nil`.
func refusal(_ body: () throws(OnionError) -> Void) -> OnionError? {
    do throws(OnionError) {
        try body()
        return nil
    } catch {
        return error
    }
}
