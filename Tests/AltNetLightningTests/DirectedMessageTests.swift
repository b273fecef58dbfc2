// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetLightning
import Testing

@Suite("DirectedMessage, DirectedReply and OnionMessage")
struct DirectedMessageTests {
    private let onion = (0..<1366).map { UInt8(truncatingIfNeeded: $0) }

    @Test("directed is its type and an onion of 1,366 bytes, and what follows is an extension")
    func directed() throws {
        let message = try #require(DirectedMessage(onion: self.onion))
        #expect(message.encoded == [0x01, 0x81] + self.onion)
        #expect(try DirectedMessage(body: self.onion) == message)
        #expect(try DirectedMessage(body: self.onion + [1, 2, 3]) == message)
        #expect(throws: LightningMessageError.malformed(type: 385, .truncated(needed: 1366, available: 1365))) {
            try DirectedMessage(body: self.onion.dropLast())
        }
        #expect(DirectedMessage(onion: self.onion + [1]) == nil)
    }

    @Test("directed_reply is its type, a hash, a length and as many bytes")
    func reply() throws {
        let hash = [UInt8](repeating: 7, count: 32)
        let message = try #require(DirectedReply(onionHash: hash, reply: [0xc0, 0x05]))
        #expect(message.encoded == [0x01, 0x82] + hash + [0, 2, 0xc0, 0x05])
        #expect(try DirectedReply(body: message.encoded.dropFirst(2)) == message)
        #expect(try DirectedReply(body: message.encoded.dropFirst(2) + [9]) == message)
        #expect(throws: LightningMessageError.malformed(type: 386, .truncated(needed: 2, available: 1))) {
            try DirectedReply(body: message.encoded.dropFirst(2).dropLast())
        }
        #expect(throws: LightningMessageError.malformed(type: 386, .truncated(needed: 32, available: 31))) {
            try DirectedReply(body: hash.dropLast())
        }
        let longest = try #require(DirectedReply(onionHash: hash, reply: Array(repeating: 1, count: 65499)))
        #expect(longest.encoded.count == 65535)
        #expect(try DirectedReply(body: longest.encoded.dropFirst(2)) == longest)
        #expect(DirectedReply(onionHash: hash, reply: Array(repeating: 1, count: 65500)) == nil)
        #expect(DirectedReply(onionHash: hash + [1], reply: []) == nil)
        #expect(throws: LightningMessageError.malformed(type: 386, .tooLong(length: 65500, limit: 65499))) {
            try DirectedReply(body: hash + [0xff, 0xdc] + Array(repeating: 1, count: 65500))
        }
    }

    @Test("onion_message is its type, a path key, a length and as many bytes")
    func onionMessage() throws {
        let key = [UInt8](repeating: 2, count: 33)
        let message = try #require(OnionMessage(pathKey: key, onion: [1, 2, 3]))
        #expect(message.encoded == [0x02, 0x01] + key + [0, 3, 1, 2, 3])
        #expect(try OnionMessage(body: message.encoded.dropFirst(2)) == message)
        #expect(throws: LightningMessageError.malformed(type: 513, .truncated(needed: 3, available: 2))) {
            try OnionMessage(body: message.encoded.dropFirst(2).dropLast())
        }
        let longest = try #require(OnionMessage(pathKey: key, onion: Array(repeating: 1, count: 65498)))
        #expect(longest.encoded.count == 65535)
        #expect(OnionMessage(pathKey: key, onion: Array(repeating: 1, count: 65499)) == nil)
        #expect(OnionMessage(pathKey: Array(key.dropLast()), onion: []) == nil)
    }
}
