// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import Testing

@testable import AltNetOnion

@Suite("Blinded paths and onion messages")
struct BlindedPathTests {
    private static func keys(_ count: Int, _ random: inout SeededRandom) throws -> [NodePrivateKey] {
        try (0..<count).map { _ in try TestRoute.key(using: &random) }
    }

    /// A path over nodes, in which each is told the next, and the last an identifier.
    private static func path(
        _ keys: [NodePrivateKey], id: [UInt8], _ random: inout SeededRandom
    ) throws -> BlindedPath {
        var data = keys.dropFirst().map { EncryptedRecipientData(nextNode: $0.publicKey) }
        data.append(EncryptedRecipientData(pathID: id))
        let encoded = EncryptedRecipientData.encodings(ofOneLength: data)
        return try BlindedPath(
            zip(keys, encoded).map { ($0.publicKey, $1) }, sessionKey: try TestRoute.key(using: &random))
    }

    /// Carries a message as the nodes would, and gives what the last one finds.
    private static func deliver(
        _ message: OutgoingOnionMessage, _ keys: [NodePrivateKey], _ random: inout SeededRandom
    ) throws -> (payload: OnionMessagePayload, data: EncryptedRecipientData, onionSize: Int) {
        var packet = try message.packet(sessionKey: try TestRoute.key(using: &random))
        var (node, pathKey) = (message.firstNode, message.pathKey)
        let size = packet.bytes.count
        for (index, key) in keys.enumerated() {
            #expect(node == key.publicKey)
            #expect(packet.bytes.count == size)
            #expect(message.hops[index].node == (try RouteBlinding.blindedKey(key, pathKey: pathKey).publicKey))
            let peeled = try packet.peel(key: key, pathKey: pathKey)
            let payload = try OnionMessagePayload(decoding: peeled.payload)
            let (bytes, nextKey) = try RouteBlinding.unblind(
                try #require(payload.encryptedRecipientData), key: key, pathKey: pathKey)
            let data = try EncryptedRecipientData(decoding: bytes)
            guard let next = peeled.next else {
                #expect(index == keys.count - 1)
                return (payload, data, size)
            }
            #expect(payload == OnionMessagePayload(encryptedRecipientData: payload.encryptedRecipientData))
            packet = next
            node = try #require(data.nextNode)
            pathKey = data.nextPathKeyOverride ?? nextKey
        }
        throw OnionError.emptyPath
    }

    @Test("messages along real nodes, into blinded tails and along blinded tails alone arrive, small and large")
    func delivery() throws {
        var random = SeededRandom(seed: 41)
        for (front, back, bytes) in [
            (1, 0, 10), (2, 0, 10), (5, 0, 500), (7, 0, 30_000), (0, 1, 10), (0, 3, 10), (1, 1, 10), (2, 3, 400),
            (4, 4, 31_000),
        ] {
            let keys = try Self.keys(front + back, &random)
            let tail = back == 0 ? nil : try Self.path(Array(keys.suffix(back)), id: [1, 2, 3, 4], &random)
            let way = try Self.path(try Self.keys(3, &random), id: [9], &random)
            let payload = OnionMessagePayload(replyPath: way, fields: [65: random.bytes(bytes)])
            let message = try OutgoingOnionMessage(
                path: keys.prefix(front).map(\.publicKey), tail: tail, payload: payload,
                pathSecret: try TestRoute.key(using: &random))
            #expect(message.hops.count == front + back)
            let (found, data, size) = try Self.deliver(message, keys, &random)
            #expect(found.fields == payload.fields)
            #expect(found.replyPath == way)
            #expect(data.pathID == (back == 0 ? nil : [1, 2, 3, 4]))
            #expect(size == (message.size <= 1300 ? 1366 : 32_834))
            #expect(size == 1366 || bytes > 1000)
        }
    }

    @Test("a message that not even the large onion holds is refused by name, and one without a way as well")
    func tooLarge() throws {
        var random = SeededRandom(seed: 42)
        let key = try TestRoute.key(using: &random)
        for (length, fits) in [(32_700, true), (32_768, false), (65_535, false)] {
            let message = try OutgoingOnionMessage(
                path: [key.publicKey], payload: OnionMessagePayload(fields: [65: random.bytes(length)]), pathSecret: key
            )
            let error = refusal { () throws(OnionError) in _ = try message.packet(sessionKey: key) }
            #expect(error == (fits ? nil : .tooLong(bytes: message.size, limit: 32_768)))
        }
        let error = refusal { () throws(OnionError) in
            _ = try OutgoingOnionMessage(path: [], payload: OnionMessagePayload(), pathSecret: key)
        }
        #expect(error == .emptyPath)
    }

    @Test("a path that begins at ourselves is used from the next node on")
    func ourselves() throws {
        var random = SeededRandom(seed: 43)
        let keys = try Self.keys(3, &random)
        let path = try Self.path(keys, id: [7], &random)
        let rest = try #require(try path.afterFirstNode(key: keys[0]))
        #expect(rest.firstNode == keys[1].publicKey)
        #expect(rest.hops == Array(path.hops.dropFirst()))
        let last = try #require(try rest.afterFirstNode(key: keys[1]))
        let message = try OutgoingOnionMessage(
            path: [], tail: rest, payload: OnionMessagePayload(fields: [65: [1]]), pathSecret: keys[0])
        #expect(try Self.deliver(message, Array(keys.dropFirst()), &random).data.pathID == [7])
        #expect(try last.afterFirstNode(key: keys[2]) == nil)
        let stranger = refusal { () throws(OnionError) in _ = try path.afterFirstNode(key: keys[1]) }
        #expect(stranger == .badEncryptedData)
        // A switch of path keys is followed.
        let tail = try Self.path([keys[2]], id: [8], &random)
        let data = EncryptedRecipientData(nextNode: keys[2].publicKey, nextPathKeyOverride: tail.firstPathKey)
        let switching = try BlindedPath(
            [(keys[0].publicKey, data.encoded), (keys[2].publicKey, [])], sessionKey: keys[1])
        #expect(try switching.afterFirstNode(key: keys[0])?.firstPathKey == tail.firstPathKey)
        let nameless = try BlindedPath([(keys[0].publicKey, []), (keys[1].publicKey, [])], sessionKey: keys[2])
        let error = refusal { () throws(OnionError) in _ = try nameless.afterFirstNode(key: keys[0]) }
        #expect(error == .badPayload(EncryptedRecipientData.noNextNode))
    }

    @Test("paths have a wire form, and bytes that are none are refused by name")
    func wire() throws {
        var random = SeededRandom(seed: 44)
        for count in [1, 2, 255] {
            let path = try Self.path(try Self.keys(count, &random), id: random.bytes(32), &random)
            #expect(try BlindedPath(decoding: path.bytes) == path)
        }
        let bytes = try Self.path(try Self.keys(2, &random), id: [1], &random).bytes
        for length in 0..<bytes.count {
            let error = refusal { () throws(OnionError) in _ = try BlindedPath(decoding: bytes.prefix(length)) }
            #expect(error == .badPayload("a blinded path is cut off, or bytes follow it"))
        }
        func error(_ change: (inout [UInt8]) -> Void) -> OnionError? {
            var changed = bytes
            change(&changed)
            return refusal { () throws(OnionError) in _ = try BlindedPath(decoding: changed) }
        }
        #expect(error { $0.append(0) } == .badPayload("a blinded path is cut off, or bytes follow it"))
        #expect(error { $0[0] = 4 } == .badKey)
        #expect(error { $0[33] = 4 } == .badKey)
        #expect(error { $0[67] = 4 } == .badKey)
        #expect(error { $0.replaceSubrange(66..., with: [0]) } == .emptyPath)
        for kind: UInt8 in [0, 1] {
            #expect(error { $0[0] = kind } == .badPayload("a blinded path begins at a channel instead of a node"))
        }
    }

    @Test("paths without nodes, with too many, and with too much data are refused by name")
    func cannotMake() throws {
        var random = SeededRandom(seed: 45)
        let key = try TestRoute.key(using: &random)
        func error(_ hops: [(node: NodeID, data: [UInt8])]) -> OnionError? {
            refusal { () throws(OnionError) in _ = try BlindedPath(hops, sessionKey: key) }
        }
        #expect(error([]) == .emptyPath)
        let hop: (node: NodeID, data: [UInt8]) = (key.publicKey, [])
        #expect(error(Array(repeating: hop, count: 256)) == .tooManyHops(256, limit: 255))
        let large = [UInt8](repeating: 0, count: 65_520)
        #expect(error([(key.publicKey, large)]) == .tooLong(bytes: 65_536, limit: 65_535))
        #expect(error([(key.publicKey, Array(large.dropFirst()))]) == nil)
    }

    @Test("data with a changed bit, for another node or with another path key do not decrypt")
    func unblindRefusals() throws {
        var random = SeededRandom(seed: 46)
        let keys = try Self.keys(2, &random)
        let path = try Self.path(keys, id: [1, 2], &random)
        let data = path.hops[0].encryptedRecipientData
        func error(_ data: [UInt8], _ key: NodePrivateKey, _ pathKey: NodeID) -> OnionError? {
            refusal { () throws(OnionError) in _ = try RouteBlinding.unblind(data, key: key, pathKey: pathKey) }
        }
        #expect(error(data, keys[0], path.firstPathKey) == nil)
        for index in data.indices {
            var changed = data
            changed[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            #expect(error(changed, keys[0], path.firstPathKey) == .badEncryptedData)
        }
        for length in 0..<data.count {
            #expect(error(Array(data.prefix(length)), keys[0], path.firstPathKey) == .badEncryptedData)
        }
        #expect(error(data, keys[1], path.firstPathKey) == .badEncryptedData)
        #expect(error(data, keys[0], keys[1].publicKey) == .badEncryptedData)
    }
}
