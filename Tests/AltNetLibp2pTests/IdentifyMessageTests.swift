// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetLibp2p
import AltNetPeerRecords
import Testing

@Suite("Identify messages")
struct IdentifyMessageTests {
    static func message() throws -> IdentifyMessage {
        var message = IdentifyMessage()
        message.publicKey = [1, 2, 3]
        message.listenAddresses = [try Multiaddress(text: "/ip4/1.2.3.4/tcp/4001")]
        message.protocols = ["/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"]
        message.observedAddress = try Multiaddress(text: "/ip4/5.6.7.8/tcp/9")
        message.protocolVersion = "ipfs/0.1.0"
        message.agentVersion = "altnet"
        message.signedPeerRecord = [9, 9]
        return message
    }

    static func read(_ bytes: [UInt8], pieces: Int = .max) throws -> IdentifyMessage {
        var reader = IdentifyReader()
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(pieces)
            try reader.onBytes(piece)
            rest = rest.dropFirst(piece.count)
        }
        return try reader.onEnd()
    }

    @Test("What is written is read again, whatever way the bytes are cut")
    func roundTrip() throws {
        let message = try Self.message()
        let framed = try #require(message.framed)
        for size in [1, 2, 7, 1_000] { #expect(try Self.read(framed, pieces: size) == message) }
    }

    @Test("The fields have the numbers of the specification")
    func numbers() throws {
        let framed = try #require(try Self.message().framed)
        #expect(
            Hex.encode(framed) == "53" + "0a03010203" + "12080401020304060fa1"
                + "1a0e2f697066732f69642f312e302e30" + "1a102f697066732f70696e672f312e302e30"
                + "22080405060708060009" + "2a0a697066732f302e312e30" + "3206616c746e6574" + "42020909")
    }

    @Test("A message that not all read has fewer plain addresses; a record is never left out")
    func commonSize() throws {
        var message = try Self.message()
        message.listenAddresses = try (1...100).map {
            try Multiaddress(text: "/dns4/\(String(repeating: "a", count: 50)).b/tcp/\($0)")
        }
        message.signedPeerRecord = [UInt8](repeating: 1, count: 3_000)
        let framed = try #require(message.framed)
        let read = try Self.read(framed)
        #expect(framed.count <= IdentifyMessage.commonSize + 2 && framed.count > IdentifyMessage.commonSize - 100)
        #expect(read.listenAddresses == Array(message.listenAddresses.prefix(read.listenAddresses.count)))
        #expect(!read.listenAddresses.isEmpty && read.signedPeerRecord == message.signedPeerRecord)
        message.signedPeerRecord = [UInt8](repeating: 1, count: 7_000)
        #expect(try Self.read(try #require(message.framed)).listenAddresses.isEmpty)
    }

    @Test("Messages of one stream are merged: lists grow, and what is single is replaced")
    func merge() throws {
        var second = IdentifyMessage()
        second.protocols = ["/c"]
        second.agentVersion = "other"
        let merged = try Self.read(try #require(try Self.message().framed) + #require(second.framed))
        #expect(merged.protocols == ["/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", "/c"])
        #expect(merged.agentVersion == "other")
        #expect(merged.signedPeerRecord == [9, 9])
    }

    @Test("A push changes what it says, and nothing else")
    func push() throws {
        var known = try Self.message()
        var push = IdentifyMessage()
        push.protocols = ["/new"]
        known.replace(with: push)
        #expect(known.protocols == ["/new"])
        #expect(known.agentVersion == "altnet" && known.listenAddresses.count == 1)
    }

    @Test("A stream that ends within a message, or brings none, is refused", arguments: [0, 1, 2, 50])
    func truncated(count: Int) throws {
        let framed = try #require(try Self.message().framed)
        #expect(throws: IdentifyError.truncated) { try Self.read(Array(framed.prefix(count))) }
    }

    @Test("A length beyond the bound is refused before the message has come")
    func tooLong() {
        #expect(throws: IdentifyError.tooLong(8_193)) { try Self.read([0x81, 0x40]) }
        #expect(throws: IdentifyError.tooLong(.max)) {
            try Self.read([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])
        }
    }

    @Test("More than ten messages, or more than 64 KiB, are refused")
    func many() throws {
        var small = IdentifyMessage()
        small.agentVersion = "x"
        let framed = try #require(small.framed)
        #expect(throws: Never.self) { try Self.read((0..<10).flatMap { _ in framed }) }
        #expect(throws: IdentifyError.tooManyMessages) { try Self.read((0..<11).flatMap { _ in framed }) }
        var large = IdentifyMessage()
        large.signedPeerRecord = [UInt8](repeating: 1, count: 8_000)
        let bytes = try #require(large.framed)
        #expect(throws: IdentifyError.self) { try Self.read((0..<9).flatMap { _ in bytes }) }
    }

    @Test("Too many addresses and protocols, and fields of the wrong type, are refused")
    func bounds() throws {
        var writer = ProtobufWriter()
        for _ in 0...IdentifyMessage.maximumProtocols { writer.string(3, "/a") }
        #expect(throws: IdentifyError.tooMany("protocols")) { try IdentifyMessage(bytes: writer.encoded[...]) }
        writer = ProtobufWriter()
        for _ in 0...IdentifyMessage.maximumAddresses { writer.bytes(2, [0xff]) }
        #expect(throws: IdentifyError.tooMany("addresses")) { try IdentifyMessage(bytes: writer.encoded[...]) }
        writer = ProtobufWriter()
        writer.varint(1, 7)
        #expect(throws: IdentifyError.badField(1)) { try IdentifyMessage(bytes: writer.encoded[...]) }
        var large = IdentifyMessage()
        large.signedPeerRecord = [UInt8](repeating: 1, count: IdentifyMessage.maximumSize)
        #expect(large.framed == nil)
    }

    @Test("An address that cannot be read is counted, and the others stay")
    func unreadable() throws {
        var writer = ProtobufWriter()
        writer.bytes(2, [4, 1])
        writer.bytes(2, try Multiaddress(text: "/ip4/1.2.3.4/tcp/1").bytes)
        let message = try IdentifyMessage(bytes: writer.encoded[...])
        #expect(message.listenAddresses.count == 1 && message.unreadableAddresses == 1)
    }

    @Test("Texts of others are made harmless")
    func texts() throws {
        var writer = ProtobufWriter()
        writer.bytes(6, [0x1b, 0x5b, 0x32, 0x4a, 0xff])
        #expect(try IdentifyMessage(bytes: writer.encoded[...]).agentVersion == "?[2J?")
    }
}
