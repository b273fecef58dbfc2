// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetObjects
import Testing

@testable import AltNetLightningRelay

@Suite("RelayFrame")
struct RelayFrameTests {
    /// The frames of docs/protocol/objects-over-messages.md.
    static let vectors: [(frame: RelayFrame, hex: String)] = [
        (RelayFrame(0x0102_0304_0506_0708, .ping), "00010102030405060708"),
        (
            RelayFrame(
                0x0102_0304_0506_0708, .pong(chain: Network.regtest.chainHash, serves: [.headers, .blocks])),
            "0002010203040506070806226e46111a0b59caaf126043eb5bbf28c34f3a5e332a1fc7b2b73cf188910f12"
        ),
        (RelayFrame(1, .text(Array("hello".utf8))), "0003000000000000000168656c6c6f"),
        (RelayFrame(1, .textTaken), "00040000000000000001"),
        (
            RelayFrame(2, .objectRequest(kind: 4, offset: 65445, room: 65445, body: Array(repeating: 0xab, count: 32))),
            "00050000000000000002040000ffa5ffa5" + String(repeating: "ab", count: 32)
        ),
        (
            RelayFrame(2, .objectAnswer(total: 2, offset: 0, part: [0, 1])),
            "000600000000000000020000000200000000" + "0001"
        ),
        (
            RelayFrame(
                3, .transactionPart(transfer: Array(repeating: 0x11, count: 16), total: 61, offset: 60, part: [7])),
            "00070000000000000003" + String(repeating: "11", count: 16) + "0000003d0000003c07"
        ),
        (RelayFrame(3, .transactionHeld(60)), "000800000000000000030000003c"),
        (RelayFrame(3, .transactionAccepted), "00090000000000000003"),
        (RelayFrame(3, .transactionRefused(.busy)), "000a000000000000000303"),
    ]

    @Test("the frames of the document", arguments: 0..<10)
    func vectors(_ index: Int) throws {
        let (frame, hex) = Self.vectors[index]
        #expect(Hex.encode(frame.encoded) == hex)
        #expect(try RelayFrame(decoding: frame.encoded) == frame)
    }

    @Test("a frame that is cut off anywhere is another frame or none, and never the same", arguments: 0..<10)
    func truncation(_ index: Int) throws {
        let (frame, _) = Self.vectors[index]
        for length in 0..<frame.encoded.count {
            let decoded = try? RelayFrame(decoding: Array(frame.encoded[..<length]))
            #expect(decoded != frame)
            if let decoded { #expect(decoded.encoded.count == length) }
        }
    }

    @Test("other versions, unknown kinds, impossible parts and bytes that are left are refused")
    func refusals() {
        func decode(_ hex: String) throws { _ = try RelayFrame(decoding: Hex.decode(hex) ?? []) }
        #expect(throws: RelayFrameError.unknownVersion(1)) { try decode("01010000000000000001") }
        #expect(throws: RelayFrameError.unknownKind(11)) { try decode("000b0000000000000001") }
        #expect(throws: RelayFrameError.malformed(.trailingBytes(1))) { try decode("0001000000000000000100") }
        #expect(throws: RelayFrameError.outOfRange("a request has room for nothing")) {
            try decode("0005000000000000000204" + "00000000" + "0000")
        }
        #expect(throws: RelayFrameError.outOfRange("no answer has a byte 4000006")) {
            try decode("0005000000000000000204" + "003d0906" + "0001")
        }
        #expect(throws: RelayFrameError.outOfRange("a part brings nothing")) {
            try decode("00060000000000000002" + "00000001" + "00000000")
        }
        #expect(throws: RelayFrameError.outOfRange("a part ends at byte 3 of 2")) {
            try decode("00060000000000000002" + "00000002" + "00000001" + "0102")
        }
        #expect(throws: RelayFrameError.outOfRange("the whole has 4000007 bytes, and 4000006 are allowed")) {
            try decode("00060000000000000002" + "003d0907" + "00000000" + "01")
        }
        #expect(throws: RelayFrameError.outOfRange("the whole has 400001 bytes, and 400000 are allowed")) {
            try decode("00070000000000000003" + String(repeating: "11", count: 16) + "00061a81" + "00000000" + "01")
        }
    }

    @Test("a frame that a driver makes for its own session is no frame of the network", arguments: 0..<10)
    func local(_ index: Int) {
        let frame = Self.vectors[index].frame
        let lost = RelayFrame.lost(frame.encoded)
        #expect(RelayFrame.isLocal(lost) && !RelayFrame.isLocal(frame.encoded) && !RelayFrame.isLocal([]))
        #expect(throws: RelayFrameError.unknownVersion(255)) { try RelayFrame(decoding: lost) }
        #expect(RelayFrame.lostNumber(lost) == frame.requestID)
        #expect(RelayFrame.lostNumber(frame.encoded) == nil && RelayFrame.lostNumber(lost + [0]) == nil)
    }

    @Test("no bytes crash the decoder, and what it reads it writes again")
    func garbage() throws {
        var random = SeededRandom(seed: 1)
        for _ in 0..<20_000 {
            var bytes = random.bytes(Int.random(in: 0...80, using: &random))
            if bytes.count > 2, Bool.random(using: &random) {
                bytes[0] = 0
                bytes[1] = UInt8.random(in: 0...11, using: &random)
            }
            guard let frame = try? RelayFrame(decoding: bytes) else { continue }
            #expect(try RelayFrame(decoding: frame.encoded) == frame)
        }
    }
}
