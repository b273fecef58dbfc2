// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetLightning
import AltNetLightningRelay
import AltNetOnion
import Foundation
import Testing

/// The vectors of docs/protocol/directed-messages.md, read from that document: it says nothing that is not checked.
@Suite("The vectors of directed messages")
struct DirectedMessageVectorTests {
    private let vectors: [String: [UInt8]]

    init() throws {
        let document = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../docs/protocol/directed-messages.md")
        let text = try String(contentsOf: document, encoding: .utf8)
        let blocks = text.components(separatedBy: "# Test vectors").last?.components(separatedBy: "```") ?? []
        // Every other piece is a block; its first line is a name, the others are digits.
        var vectors: [String: [UInt8]] = [:]
        for (index, block) in blocks.enumerated() where index % 2 == 1 {
            let lines = block.split(separator: "\n")
            let name = try #require(lines.first.map(String.init))
            vectors[name] = try #require(Hex.decode(lines.dropFirst().joined().filter { $0 != " " }))
        }
        self.vectors = vectors
    }

    private func bytes(_ name: String) throws -> [UInt8] { try #require(self.vectors[name], "no vector \(name)") }

    private func key(_ name: String) throws -> NodePrivateKey {
        try #require(NodePrivateKey(bytes: try self.bytes("private key of \(name)")))
    }

    /// Gives the numbers of the document where random ones are asked for.
    private struct Fixed: RandomNumberGenerator {
        var bytes: [UInt8]

        mutating func next() -> UInt64 {
            defer { self.bytes.removeFirst(8) }
            return self.bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    @Test("the onion, its forwards and the reply")
    func roundTrip() throws {
        let keys = [try self.key("B"), try self.key("C"), try self.key("D")]
        let path = keys.map(\.publicKey)
        #expect(path.map(\.bytes) == [try self.bytes("node B"), try self.bytes("node C"), try self.bytes("node D")])
        let me = RelayWorld.keys[0].publicKey
        var origin = DirectedMessages(key: RelayWorld.keys[0])
        var nodes = keys.map { DirectedMessages(key: $0) }
        var fixed = Fixed(bytes: try self.bytes("session key"))
        var system = SystemRandomNumberGenerator()

        var directives = try origin.originate(
            id: 1, path: path, payload: try self.bytes("message"), now: .zero, canSend: { _ in .ready }, using: &fixed)
        #expect(directives == [.send(try self.bytes("directed, A to B"), to: path[0])])
        for index in 0..<3 {
            guard case .send(let bytes, path[index])? = directives.first else { throw DirectedMessagesTests.Missing() }
            let message = try DirectedMessage(body: bytes.dropFirst(2))
            #expect(message.encoded == bytes)
            let hash = try OnionPacket(bytes: message.onion).sha256
            #expect(hash == (try self.bytes("SHA-256 of the onion for \(["B", "C", "D"][index])")))
            directives = nodes[index].onMessage(
                message, from: index == 0 ? me : path[index - 1], now: .zero, canSend: { _ in .ready }, using: &system)
        }
        #expect(directives == [.deliver(handle: 0, payload: try self.bytes("message"), neighbour: path[1])])

        directives = nodes[2].answer(0, try self.bytes("answer"), now: .zero)
        #expect(directives == [.send(try self.bytes("directed_reply, D to C"), to: path[1])])
        directives = nodes[1].onReply(try self.reply("D to C"), from: path[2], now: .zero)
        #expect(directives == [.send(try self.bytes("directed_reply, C to B"), to: path[0])])
        directives = nodes[0].onReply(try self.reply("C to B"), from: path[1], now: .zero)
        #expect(directives == [.send(try self.bytes("directed_reply, B to A"), to: me)])
        directives = origin.onReply(try self.reply("B to A"), from: path[0], now: .zero)
        #expect(directives == [.replied(id: 1, try self.bytes("answer"))])
    }

    private func reply(_ hop: String) throws -> DirectedReply {
        let bytes = try self.bytes("directed_reply, \(hop)")
        let reply = try DirectedReply(body: bytes.dropFirst(2))
        #expect(reply.encoded == bytes)
        return reply
    }

    @Test("failures: no such neighbour, and an onion that D could not read")
    func failures() throws {
        let keys = [try self.key("B"), try self.key("C")]
        let path = keys.map(\.publicKey) + [try self.key("D").publicKey]
        let me = RelayWorld.keys[0].publicKey
        for (isAbsent, name) in [(true, "unknown_next_peer"), (false, "invalid_onion_hmac")] {
            var origin = DirectedMessages(key: RelayWorld.keys[0])
            var nodes = keys.map { DirectedMessages(key: $0) }
            var fixed = Fixed(bytes: try self.bytes("session key"))
            var system = SystemRandomNumberGenerator()
            var directives = try origin.originate(
                id: 1, path: path, payload: try self.bytes("message"), now: .zero, canSend: { _ in .ready },
                using: &fixed)
            for index in 0..<2 {
                guard case .send(let bytes, _)? = directives.first else { throw DirectedMessagesTests.Missing() }
                directives = nodes[index].onMessage(
                    try DirectedMessage(body: bytes.dropFirst(2)), from: index == 0 ? me : path[0], now: .zero,
                    canSend: { isAbsent && $0 == path[2] ? .absent : .ready }, using: &system)
            }
            if !isAbsent {
                directives = nodes[1].onReply(
                    try self.reply("D to C: \(name)"), from: path[2], now: .zero)
            }
            #expect(directives == [.send(try self.bytes("directed_reply, C to B: \(name)"), to: path[0])])
            directives = nodes[0].onReply(try self.reply("C to B: \(name)"), from: path[1], now: .zero)
            guard case .send(let bytes, me)? = directives.first else { throw DirectedMessagesTests.Missing() }
            if isAbsent { #expect(bytes == (try self.bytes("directed_reply, B to A: \(name)"))) }
            directives = origin.onReply(try DirectedReply(body: bytes.dropFirst(2)), from: path[0], now: .zero)
            #expect(
                directives == [
                    .failed(
                        id: 1,
                        isAbsent ? .reported(node: 1, .unknownNextPeer) : .unreadableOnion(node: 2, .invalidOnionHMAC))
                ])
        }
    }
}
