// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetLightning
import AltNetObjects
import Foundation
import Testing

@Suite("BitcoinMessage and PartAssembler")
struct BitcoinMessageTests {
    @Test(
        "a body of any length is cut and put together again",
        arguments: [1, 65520, 65521, 65522, 131_042, 4_000_006]
    )
    func cutting(_ length: Int) throws {
        let body = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        var assembler = PartAssembler(limit: length)
        var whole: [UInt8]?
        for message in BitcoinMessage.answer(id: 3, body: body) {
            #expect(whole == nil)
            let encoded = LightningMessage.bitcoin(message).encoded
            #expect(encoded.count <= 65535)
            guard case .bitcoin(.answer(3, let remaining, let part)) = try LightningMessage(decoding: encoded) else {
                Issue.record("not an answer")
                return
            }
            whole = try assembler.add(part, remaining: remaining)
        }
        #expect(whole == body)
    }

    @Test("announcements are cut at their own size")
    func announcements() {
        let messages = BitcoinMessage.announcement(body: Array(repeating: 1, count: 65530))
        #expect(messages.count == 2)
        #expect(messages.map { LightningMessage.bitcoin($0).encoded.count } == [65535, 7])
    }

    @Test("parts that do not follow each other, bring nothing or claim too much are refused")
    func wrongParts() throws {
        var assembler = PartAssembler(limit: 100)
        #expect(throws: PartError.tooLong(length: 101, limit: 100)) { try assembler.add([1], remaining: 100) }
        #expect(throws: PartError.tooLong(length: 4_294_967_296, limit: 100)) {
            try assembler.add([1], remaining: .max)
        }
        #expect(throws: PartError.empty) { try assembler.add([], remaining: 9) }
        #expect(assembler.count == 0)
        #expect(try assembler.add([1, 2], remaining: 98) == nil)
        #expect(throws: PartError.notConsecutive(expected: 98, found: 97)) { try assembler.add([3], remaining: 96) }
        #expect(throws: PartError.notConsecutive(expected: 98, found: 100)) {
            try assembler.add([3, 4], remaining: 98)
        }
        #expect(throws: PartError.empty) { try assembler.add([], remaining: 98) }
        #expect(assembler.count == 2)
    }

    // MARK: - The vectors of docs/protocol/bitcoin-over-lightning.md

    static let genesisHash = "06226e46111a0b59caaf126043eb5bbf28c34f3a5e332a1fc7b2b73cf188910f"
    static let first =
        "0000002006226e46111a0b59caaf126043eb5bbf28c34f3a5e332a1fc7b2b73cf188910f8eb02c209f563037b3341568ae3d0096"
        + "92a53f276eb8684d1a09b29dc95479a516e6494dffff7f2000000000"
    static let second =
        "000000206bf1a2be62066424c22660ac17ff79567242d70d9751aba4cab13ee6bc569e470c636ded568d95de559e58099d4b8b01"
        + "de5165f895a24b35dad37989a06be9846ee8494dffff7f2001000000"

    @Test("the init message of the document")
    func initVector() throws {
        let message = InitMessage(
            features: LightningFeatures([BitcoinOverLightning.featureBit]),
            networks: [Network.regtest.chainHash],
            servedObjects: [.headers, .blocks]
        )
        try Self.expect(
            .initialization(message),
            "0010" + "0000" + "0038" + "20" + String(repeating: "00", count: 55) + "0120" + Self.genesisHash
                + "fe0006c7f1" + "01" + "12"
        )
    }

    @Test("the request of the document")
    func requestVector() throws {
        let request = ObjectRequest.headers(
            locator: [Network.regtest.chainHash],
            stop: .zero,
            heightHint: 0,
            limit: 8192
        )
        try Self.expect(
            .bitcoin(.request(id: 7, kind: request.kind.lightningNumber, body: request.lightningBody[...])),
            "ad71" + "0000000000000007" + "01" + "00000000" + "00002000" + String(repeating: "00", count: 32)
                + Self.genesisHash
        )
    }

    @Test("the answers of the document")
    func answerVectors() throws {
        let request = ObjectRequest.headers(
            locator: [Network.regtest.chainHash],
            stop: .zero,
            heightHint: 0,
            limit: 8192
        )
        let headers = try #require(Hex.decode(Self.first + Self.second))
        let answer = BitcoinMessage.answer(id: 7, body: ObjectAnswer.headers(headers).lightningBody(answering: request))
        #expect(answer.count == 1)
        try Self.expect(
            .bitcoin(try #require(answer.first)),
            "ad73" + "0000000000000007" + "00000000" + "01" + Self.first + "00"
                + "0c636ded568d95de559e58099d4b8b01de5165f895a24b35dad37989a06be984" + "0258" + "01000000"
        )
        let refusal = BitcoinMessage.answer(id: 7, body: ObjectAnswer.lightningRefusal(.notFound))
        try Self.expect(.bitcoin(try #require(refusal.first)), "ad73" + "0000000000000007" + "00000000" + "00" + "01")
    }

    @Test("the announcement of the document")
    func announcementVector() throws {
        let header = try #require(BlockHeader(bytes: Hex.decode(Self.second) ?? []))
        let body = try #require(ObjectAnnouncement.tip(header: header, height: 2).lightningBody)
        let message = try #require(BitcoinMessage.announcement(body: body).first)
        try Self.expect(.bitcoin(message), "ad75" + "00000000" + "07" + "00000002" + Self.second)
    }

    @Test("the streams of the document")
    func streamVectors() throws {
        let message = InitMessage(
            features: LightningFeatures([BitcoinOverLightning.featureBit]),
            networks: [Network.regtest.chainHash],
            servedObjects: [.headers, .blocks],
            takesStreams: true
        )
        try Self.expect(
            .initialization(message),
            "0010" + "0000" + "0038" + "20" + String(repeating: "00", count: 55) + "0120" + Self.genesisHash
                + "fe0006c7f1" + "02" + "0112"
        )
        let id = "00000002"
        try Self.expect(.stream(number: 2, .open(.bitcoinP2P)), "ad77" + id + "01")
        try Self.expect(.stream(number: 2, .opened), "ad79" + id + "00")
        try Self.expect(.stream(number: 2, .refused(.notAccepted)), "ad79" + id + "01")
        try Self.expect(.stream(number: 2, .data([0xfa, 0xbf, 0xb5, 0xda])), "ad7b" + id + "fabfb5da")
        try Self.expect(.stream(number: 2, .credit(65536)), "ad7d" + id + "00010000")
        try Self.expect(.stream(number: 2, .end), "ad7f" + id)
        try Self.expect(.stream(number: 2, .reset(.closed)), "ad81" + id + "01")
    }

    /// The document without white space; `nil` when the tests run without the rest of the repository.
    private static let document: String? = {
        let file = URL(fileURLWithPath: #filePath).resolvingSymlinksInPath()
        let root = file.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let page = root.appendingPathComponent("docs/protocol/bitcoin-over-lightning.md").path
        return FileManager.default.contents(atPath: page).map {
            String(decoding: $0, as: UTF8.self).filter { !$0.isWhitespace }
        }
    }()

    private static func expect(_ message: LightningMessage, _ hex: String) throws {
        if let document { #expect(document.contains(hex), "the document prints something else") }
        #expect(Hex.encode(message.encoded) == hex)
        #expect(try LightningMessage(decoding: try #require(Hex.decode(hex))) == message)
    }
}
