// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import Crypto
import Testing

@testable import AltNetOnion

@Suite("BOLT 4's vectors for blinded routes and onion messages")
struct BlindingVectorTests {
    // MARK: - route-blinding-test.json

    @Test("a path of four nodes, joined from two, has every key and byte of the vector")
    func route() throws {
        let vector = try Vectors.read("route-blinding-test", as: RouteBlindingVector.self)
        let hops = vector.generate.hops
        // Dave and Eve are Eve's path; Bob and Carol are Bob's, and Carol is told to switch keys.
        var made: [BlindedPath.Hop] = []
        for part in [hops.prefix(2), hops.suffix(2)] {
            let sessionKey = try Vectors.key(try #require(part.first?.sessionKey))
            let path = try BlindedPath(
                part.map { (try Vectors.node($0.nodeId), try Vectors.bytes($0.encodedTlvs)) }, sessionKey: sessionKey)
            made += path.hops
            if part.first?.alias == "Bob" {
                #expect(path.firstNode.description == vector.route.firstNodeId)
                #expect(path.firstPathKey.description == vector.route.firstPathKey)
            }
            var pathKey = sessionKey
            for hop in part {
                #expect(Hex.encode(pathKey.secretBytes) == hop.pathPrivkey)
                #expect(pathKey.publicKey.description == hop.pathKey)
                let secret = OnionSecret(try #require(pathKey.sharedSecret(with: try Vectors.node(hop.nodeId))))
                #expect(Hex.encode(secret.bytes) == hop.sharedSecret)
                #expect(secret.key(.rho).hex == hop.rho)
                pathKey = try #require(pathKey.multiplied(by: secret.blindingFactor(of: pathKey.publicKey.bytes)))
            }
        }
        for ((hop, generated), routed) in zip(zip(made, hops), vector.route.hops) {
            #expect(hop.blindedNode.description == generated.blindedNodeId)
            #expect(hop.blindedNode.description == routed.blindedNodeId)
            #expect(Hex.encode(hop.encryptedRecipientData) == generated.encryptedData)
            #expect(Hex.encode(hop.encryptedRecipientData) == routed.encryptedData)
        }
        #expect(made.count == 4 && vector.route.hops.count == 4)
    }

    @Test("every node of that path finds its data and the next key")
    func unblind() throws {
        let vector = try Vectors.read("route-blinding-test", as: RouteBlindingVector.self)
        for (hop, routed) in zip(vector.unblind.hops, vector.route.hops) {
            let key = try Vectors.key(hop.nodePrivkey)
            let pathKey = try Vectors.node(hop.pathKey)
            let blinded = try RouteBlinding.blindedKey(key, pathKey: pathKey)
            #expect(Hex.encode(blinded.secretBytes) == hop.blindedPrivkey)
            #expect(blinded.publicKey.description == routed.blindedNodeId)
            let (data, next) = try RouteBlinding.unblind(
                try Vectors.bytes(routed.encryptedData), key: key, pathKey: pathKey)
            #expect(Hex.encode(data) == hop.decryptedData)
            #expect(next.description == hop.nextPathKey)
            let decoded = try EncryptedRecipientData(decoding: data)
            #expect(decoded.nextPathKeyOverride?.description == hop.nextPathKeyOverride)
            #expect(decoded.encoded == data)
        }
    }

    @Test("the data in that path have the fields of the vector")
    func data() throws {
        let vector = try Vectors.read("route-blinding-test", as: RouteBlindingVector.self)
        for hop in vector.generate.hops {
            let data = try EncryptedRecipientData(decoding: try Vectors.bytes(hop.encodedTlvs))
            #expect(data.padding.map(Hex.encode) == hop.tlvs.padding)
            #expect(data.shortChannelID.map { "0x0x\($0)" } == hop.tlvs.shortChannelId)
            #expect(data.pathID.map(Hex.encode) == hop.tlvs.pathId)
            #expect(data.nextPathKeyOverride?.description == hop.tlvs.nextPathKeyOverride)
            #expect(data.others[561].map(Hex.encode) == hop.tlvs.unknownTag561)
            #expect(data.others[65535].map(Hex.encode) == hop.tlvs.unknownTag65535)
            let features = try #require(hop.tlvs.allowedFeatures?.features)
            // Bit 0 is the lowest of the last byte (BOLT 9).
            let field: [UInt8] = (data.allowedFeatures ?? []).reversed()
            let bits = (0..<field.count * 8).filter { field[$0 / 8] >> UInt8($0 % 8) & 1 == 1 }
            #expect(data.allowedFeatures != nil && bits == features)
        }
    }

    // MARK: - blinded-onion-message-onion-test.json

    @Test("the onion message, joined to the path of its recipient, is made byte by byte")
    func message() throws {
        let vector = try Vectors.read("blinded-onion-message-onion-test", as: OnionMessageVector.self)
        let nodes = try vector.decrypt.hops.map { try Vectors.key($0.privkey).publicKey }
        let hops = vector.generate.hops
        // Dave's path from Bob, and Alice in front of it.
        let tail = try BlindedPath(
            zip(nodes, hops).dropFirst().map { ($0, try Vectors.bytes($1.encryptedDataTlv)) },
            sessionKey: try Vectors.key(hops[1].pathKeySecret))
        let hello = try Vectors.bytes(vector.onionmessage.unknownTag1)
        let message = try OutgoingOnionMessage(
            path: [nodes[0]], tail: tail, payload: OnionMessagePayload(fields: [1: hello]),
            pathSecret: try Vectors.key(hops[0].pathKeySecret))
        #expect(message.firstNode.description == vector.route.firstNodeId)
        #expect(message.pathKey.description == vector.route.firstPathKey)
        #expect(message.hops.map(\.node.description) == vector.route.hops.map(\.blindedNodeId))
        for (hop, routed) in zip(message.hops, vector.route.hops) {
            let payload = try OnionMessagePayload(decoding: hop.payload)
            #expect(payload.encryptedRecipientData.map(Hex.encode) == routed.encryptedRecipientData)
            #expect(payload.encoded == hop.payload)
        }
        let packet = try message.packet(sessionKey: try Vectors.key(vector.generate.sessionKey))
        #expect(Hex.encode(packet.bytes) == vector.onionmessage.onionMessagePacket)
    }

    @Test("the keys on that path are those of the vector")
    func keys() throws {
        let vector = try Vectors.read("blinded-onion-message-onion-test", as: OnionMessageVector.self)
        for ((hop, routed), decrypted) in zip(zip(vector.generate.hops, vector.route.hops), vector.decrypt.hops) {
            let pathKey = try Vectors.key(hop.pathKeySecret)
            let node = try Vectors.key(decrypted.privkey).publicKey
            let secret = OnionSecret(try #require(pathKey.sharedSecret(with: node)))
            #expect(pathKey.publicKey.description == hop.pathKey)
            #expect(Hex.encode(secret.bytes) == hop.ss)
            #expect(secret.key(.blindedNode).hex == hop.blindingKey)
            #expect(RouteBlinding.blindedNode(node, secret: secret)?.description == hop.blindedNodeId)
            #expect(hop.blindedNodeId == routed.blindedNodeId)
            let factor = secret.blindingFactor(of: pathKey.publicKey.bytes)
            #expect(factor.hex == hop.factor)
            #expect(pathKey.multiplied(by: factor).map { Hex.encode($0.secretBytes) + "01" } == hop.nextE)
            #expect(secret.key(.rho).hex == hop.rho)
            let sealed = RouteBlinding.seal(try Vectors.bytes(hop.encryptedDataTlv), secret: secret)
            #expect(Hex.encode(sealed) == hop.encryptedRecipientData)
        }
    }

    @Test("the data on that path are encoded as in the vector")
    func encodings() throws {
        let vector = try Vectors.read("blinded-onion-message-onion-test", as: OnionMessageVector.self)
        for hop in vector.generate.hops {
            var data = EncryptedRecipientData(
                nextNode: try hop.tlvs.nextNodeId.map(Vectors.node), pathID: try hop.tlvs.pathId.map(Vectors.bytes),
                nextPathKeyOverride: try hop.tlvs.nextPathKeyOverride.map(Vectors.node))
            data.padding = try hop.tlvs.padding.map(Vectors.bytes)
            data.others[561] = try hop.tlvs.unknownTag561.map(Vectors.bytes)
            data.others[65535] = try hop.tlvs.unknownTag65535.map(Vectors.bytes)
            #expect(Hex.encode(data.encoded) == hop.encryptedDataTlv)
            #expect(try EncryptedRecipientData(decoding: data.encoded) == data)
            if let secret = hop.tlvs.pathKeyOverrideSecret {
                #expect(try Vectors.key(secret).publicKey == data.nextPathKeyOverride)
            }
        }
    }

    @Test("the message is forwarded byte by byte, and read at its end")
    func decrypt() throws {
        let vector = try Vectors.read("blinded-onion-message-onion-test", as: OnionMessageVector.self)
        for (index, hop) in vector.decrypt.hops.enumerated() {
            let wire = try Vectors.bytes(hop.onionMessage)
            #expect(wire.prefix(2) == [2, 1])
            let pathKey = try #require(NodeID(bytes: wire[2..<35]))
            let key = try Vectors.key(hop.privkey)
            let peeled = try OnionPacket(bytes: wire[37...]).peel(key: key, pathKey: pathKey)
            let payload = try OnionMessagePayload(decoding: peeled.payload)
            let (bytes, nextKey) = try RouteBlinding.unblind(
                try #require(payload.encryptedRecipientData), key: key, pathKey: pathKey)
            let data = try EncryptedRecipientData(decoding: bytes)
            #expect(data.nextNode?.description == hop.nextNodeId)
            if index + 1 < vector.decrypt.hops.count {
                let next = try #require(peeled.next)
                let sent =
                    [2, 1] + (data.nextPathKeyOverride ?? nextKey).bytes + [0x05, 0x56] + next.bytes
                #expect(Hex.encode(sent) == vector.decrypt.hops[index + 1].onionMessage)
                #expect(payload.fields.isEmpty)
            } else {
                #expect(peeled.next == nil)
                #expect(payload.fields.mapValues(Hex.encode) == [1: try #require(hop.tlvs?.unknownTag1)])
                #expect(payload.encryptedRecipientData.map(Hex.encode) == hop.tlvs?.encryptedRecipientData)
            }
        }
    }
}

extension SymmetricKey {
    /// For comparing with a vector.
    var hex: String { self.withUnsafeBytes { Hex.encode(Array($0)) } }
}
