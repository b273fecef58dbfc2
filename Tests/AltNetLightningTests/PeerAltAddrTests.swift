// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetLightning
import Foundation
import Testing

/// A test vector of docs/protocol/alternative-addresses.md.
struct AltAddrVector: Sendable, CustomTestStringConvertible {
    let name: String
    let bytes: [UInt8]
    let verb: String
    let detail: String

    var testDescription: String { self.name }

    /// All of them, as they stand in the document.
    static let all: [AltAddrVector] = {
        let file = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "docs/protocol/alternative-addresses.md")
        guard let document = try? String(contentsOf: file, encoding: .utf8),
            let start = document.range(of: "# Test vectors\n"),
            let block = document[start.upperBound...].split(separator: "```").dropFirst().first
        else { return [] }
        return block.split(separator: "# ").dropFirst().map { text in
            var lines = text.split(separator: "\n")
            let name = String(lines.removeFirst())
            let result = lines.removeLast().split(separator: " ", maxSplits: 1)
            return AltAddrVector(
                name: name, bytes: Hex.decode(lines.joined().filter { $0 != " " }) ?? [], verb: String(result[0]),
                detail: result.count > 1 ? String(result[1]) : "")
        }
    }()
}

@Suite("PeerAltAddr")
struct PeerAltAddrTests {
    @Test("the document's vectors are read and written as it says", arguments: AltAddrVector.all)
    func vectors(_ vector: AltAddrVector) throws {
        #expect(Array(vector.bytes.prefix(2)) == [0, 209])
        let body = vector.bytes.dropFirst(2)
        switch vector.verb {
        case "sent", "read":
            let message = try PeerAltAddr(body: body)
            let address = try #require(try message.reading())
            #expect(address.text == vector.detail)
            #expect(try LightningAddress(text: vector.detail) == address)
            #expect(try LightningAddress(descriptor: address.descriptor) == address)
            guard vector.verb == "sent" else { break }
            #expect(message.encoded == vector.bytes)
            #expect(try PeerAltAddr(channelID: message.channelID, address: address).encoded == vector.bytes)
        case "clears":
            let message = try PeerAltAddr(body: body)
            #expect(try message.reading() == nil)
            #expect(try PeerAltAddr(channelID: message.channelID, address: nil).encoded == vector.bytes)
        case "refused":
            let sentence: String
            do {
                _ = try PeerAltAddr(body: body).reading()
                sentence = "nothing"
            } catch {
                sentence = "\(error)"
            }
            #expect(sentence == vector.detail)
        default: Issue.record("a vector with the result \(vector.verb)")
        }
    }

    @Test("the document has its vectors, of every kind")
    func hasVectors() {
        #expect(AltAddrVector.all.count >= 20)
        #expect(Set(AltAddrVector.all.map(\.verb)) == ["sent", "read", "clears", "refused"])
    }

    @Test("every message that is cut off anywhere is refused")
    func cutOff() throws {
        let whole = try #require(AltAddrVector.all.first).bytes.dropFirst(2)
        for length in 0..<whole.count {
            #expect(throws: PeerAltAddrError.truncated) { try PeerAltAddr(body: whole.prefix(length)) }
        }
    }

    @Test("a channel's identity of another size or of zeros cannot be sent")
    func channels() {
        #expect(throws: PeerAltAddrError.badChannelID(bytes: 31)) {
            try PeerAltAddr(channelID: Array(repeating: 1, count: 31), address: nil)
        }
        #expect(throws: PeerAltAddrError.zeroChannelID) {
            try PeerAltAddr(channelID: Array(repeating: 0, count: 32), address: nil)
        }
    }

    @Test("no description shows the address or any part of it")
    func redacted() throws {
        let address = try LightningAddress(text: "203.0.114.77:23456")
        let message = try PeerAltAddr(channelID: Array(repeating: 7, count: 32), address: address)
        var texts = ["\(address)", "\(message)", String(reflecting: address), String(reflecting: message)]
        texts.append("\([address: message])")
        texts.append("\((address, Optional(message)))")
        for value in [address as Any, message as Any] {
            var dumped = ""
            dump(value, to: &dumped)
            texts.append(dumped)
        }
        for text in texts {
            #expect(!text.contains("203") && !text.contains("23456") && !text.contains("77"), "\(text)")
        }
    }
}
