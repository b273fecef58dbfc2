// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetNoise
import Testing

@Suite("SendCipher and ReceiveCipher (BOLT 8)")
struct TransportCipherTests {
    static let vectors: [Int: String] = [
        0: "cf2b30ddf0cf3f80e7c35a6e6730b59fe802473180f396d88a8fb0db8cbcf25d2f214cf9ea1d95",
        1: "72887022101f0b6753e0c7de21657d35a4cb2a1f5cde2650528bbc8f837d0f0d7ad833b1a256a1",
        500: "178cb9d7387190fa34db9c2d50027d21793c9bc2d40b1e14dcf30ebeeeb220f48364f7a4c68bf8",
        501: "1b186c57d44eb6de4c057c49940d79bb838a145cb528d6e8fd26dbe50a60ca2c104b56b60e45bd",
        1000: "4a2f3cc3b5e78ddb83dcb426d9863d9d9a723b0337c89dd0b005d89f8d3c05c52b76b29b740f09",
        1001: "2ecd8c8a5629d0d02ab457a0fdd0f7b90a192cd46be5ecb6ca570bfc5e268338b1a16cf4ef2d36",
    ]

    @Test("transport-message test: messages 0, 1, 500, 501, 1000 and 1001 across two key rotations")
    func messageVectors() throws {
        var (initiator, responder) = try NoiseVectors.transports()
        let hello = Array("hello".utf8)
        for index in 0...1001 {
            var output: [UInt8] = []
            try initiator.send.seal(hello, into: &output)
            if let expected = Self.vectors[index] { #expect(Hex.encode(output) == expected) }
            responder.receive.append(output)
            #expect(try responder.receive.next() == hello)
            #expect(try responder.receive.next() == nil)
        }
    }

    @Test(
        "both directions carry messages of every notable length",
        arguments: [0, 1, 2, 15, 16, 17, 4096, 65534, 65535]
    )
    func lengths(_ length: Int) throws {
        var (initiator, responder) = try NoiseVectors.transports()
        let message = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var output: [UInt8] = []
        try responder.send.seal(message, into: &output)
        #expect(output.count == length + SendCipher.overhead)
        initiator.receive.append(output)
        #expect(try initiator.receive.next() == message)
    }

    @Test("a message longer than 65535 bytes is not sent")
    func tooLong() throws {
        var (initiator, _) = try NoiseVectors.transports()
        var output: [UInt8] = []
        #expect(throws: NoiseError.messageTooLong(65536)) {
            try initiator.send.seal(Array(repeating: 0, count: 65536), into: &output)
        }
        #expect(output.isEmpty)
    }

    @Test("messages arrive whole, however the bytes are cut")
    func randomCuts() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededRandom(seed: seed)
        var (initiator, responder) = try NoiseVectors.transports()
        var sent: [[UInt8]] = []
        var stream: [UInt8] = []
        for _ in 0..<300 {
            let length = Int.random(in: 0...(Bool.random(using: &random) ? 20 : 3000), using: &random)
            let message = (0..<length).map { _ in UInt8.random(in: .min ... .max, using: &random) }
            sent.append(message)
            try initiator.send.seal(message, into: &stream)
        }
        var received: [[UInt8]] = []
        var rest = stream[...]
        while !rest.isEmpty {
            let chunk = rest.prefix(Int.random(in: 1...4000, using: &random))
            rest = rest.dropFirst(chunk.count)
            responder.receive.append(Array(chunk))
            while let message = try responder.receive.next() { received.append(message) }
            #expect(responder.receive.bufferedBytes <= 65535 + SendCipher.overhead)
        }
        #expect(received == sent, "seed \(seed)")
    }

    @Test("a changed byte anywhere in a message is refused")
    func tampering() throws {
        let (initiator, responder) = try NoiseVectors.transports()
        var stream: [UInt8] = []
        var sender = initiator.send
        try sender.seal(Array("hello".utf8), into: &stream)
        for index in stream.indices {
            var receiver = responder.receive
            var changed = stream
            changed[index] ^= 1
            receiver.append(changed)
            let expected: NoiseError = index < 18 ? .badLengthMAC : .badMessageMAC
            #expect(throws: expected) { try receiver.next() }
        }
    }

    @Test("a message sent twice or out of order is refused")
    func replay() throws {
        var (initiator, responder) = try NoiseVectors.transports()
        var (first, second): ([UInt8], [UInt8]) = ([], [])
        try initiator.send.seal([1], into: &first)
        try initiator.send.seal([2], into: &second)
        var skipped = responder.receive
        skipped.append(second)
        #expect(throws: NoiseError.badLengthMAC) { try skipped.next() }
        responder.receive.append(first + first)
        #expect(try responder.receive.next() == [1])
        #expect(throws: NoiseError.badLengthMAC) { try responder.receive.next() }
    }
}
