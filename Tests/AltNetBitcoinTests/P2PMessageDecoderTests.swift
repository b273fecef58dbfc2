// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@Suite("P2PMessageDecoder")
struct P2PMessageDecoderTests {
    /// Everything that comes out of some pieces, and the error that ended it.
    private func decode(
        _ pieces: [[UInt8]],
        network: Network = .main
    ) -> (messages: [P2PMessage], error: P2PMessageError?) {
        var decoder = P2PMessageDecoder(network: network)
        var messages: [P2PMessage] = []
        for piece in pieces {
            decoder.append(piece)
            do throws(P2PMessageError) {
                while let received = try decoder.next() { messages.append(received.message) }
            } catch {
                return (messages, error)
            }
        }
        return (messages, nil)
    }

    /// A header as one would have to forge it.
    private func header(command: [UInt8], length: UInt32, checksum: UInt32 = 0xe2e0_f65d) -> [UInt8] {
        var bytes = Network.main.magic + command + [UInt8](repeating: 0, count: max(0, 12 - command.count))
        for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: length >> UInt32(shift))) }
        for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: checksum >> UInt32(shift))) }
        return bytes
    }

    @Test("reads all samples from one piece")
    func onePiece() {
        let (messages, error) = self.decode([P2PSamples.stream])
        #expect(messages == P2PSamples.messages)
        #expect(error == nil)
    }

    @Test("reads all samples byte by byte")
    func byteByByte() {
        let (messages, error) = self.decode(P2PSamples.stream.map { [$0] })
        #expect(messages == P2PSamples.messages)
        #expect(error == nil)
    }

    @Test("reads the same whatever the cuts", arguments: 1...50 as ClosedRange<UInt64>)
    func randomCuts(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        var rest = P2PSamples.stream[...]
        var pieces: [[UInt8]] = []
        while !rest.isEmpty {
            let count = Int.random(in: 0...Int.random(in: 1...400, using: &generator), using: &generator)
            pieces.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        let (messages, error) = self.decode(pieces)
        #expect(messages == P2PSamples.messages, "seed \(seed)")
        #expect(error == nil, "seed \(seed)")
    }

    @Test("tells the size on the wire")
    func size() throws {
        var decoder = P2PMessageDecoder(network: .main)
        decoder.append(P2PMessage.ping(1).encoded(for: .main))
        #expect(try decoder.next()?.size == 32)
        #expect(decoder.bufferedCount == 0)
    }

    @Test("refuses a foreign magic after four bytes", arguments: Network.allCases)
    func wrongMagic(network: Network) {
        let bytes = P2PMessage.verack.encoded(for: network)
        for other in Network.allCases where other != network {
            #expect(self.decode([Array(bytes[..<3])], network: other).error == nil)
            #expect(self.decode([Array(bytes[..<4])], network: other).error == .wrongMagic(network.magic))
        }
    }

    @Test("refuses a forbidden length as soon as the header is there", arguments: [4_000_001, .max] as [UInt32])
    func tooLong(length: UInt32) {
        let bytes = self.header(command: Array("block".utf8), length: length)
        #expect(self.decode([Array(bytes[..<23])]).error == nil)
        #expect(
            self.decode([bytes]).error == .payloadTooLong(command: "block", length: length, limit: 4_000_000)
        )
    }

    @Test("holds no more than what came, whatever a header declares")
    func allocation() throws {
        var decoder = P2PMessageDecoder(network: .main)
        decoder.append(self.header(command: Array("block".utf8), length: 4_000_000))
        #expect(try decoder.next() == nil)
        decoder.append([1, 2, 3])
        #expect(try decoder.next() == nil)
        #expect(decoder.bufferedCount == 3)
    }

    @Test("keeps to a lower limit where one is set")
    func lowerLimit() {
        var decoder = P2PMessageDecoder(network: .main, maximumPayloadLength: 7)
        decoder.append(P2PMessage.ping(1).encoded(for: .main))
        #expect(throws: P2PMessageError.payloadTooLong(command: "ping", length: 8, limit: 7)) { try decoder.next() }
        decoder.maximumPayloadLength = .max
        #expect(decoder.maximumPayloadLength == P2PMessageHeader.maximumPayloadLength)
    }

    @Test("refuses a checksum that does not fit")
    func wrongChecksum() {
        for index in 20..<24 {
            var bytes = P2PMessage.ping(1).encoded(for: .main)
            bytes[index] ^= 1
            #expect(self.decode([bytes]).error == .wrongChecksum(command: "ping"))
        }
        var bytes = P2PMessage.ping(1).encoded(for: .main)
        bytes[24] ^= 1
        #expect(self.decode([bytes]).error == .wrongChecksum(command: "ping"))
    }

    @Test(
        "refuses a command that is not printable ASCII filled up with zeros",
        arguments: [
            [], [0, 65], [65, 0, 65], [0x1f], [0x7f], [0x80], [65, 0xff], [10, 65],
            [UInt8](repeating: 65, count: 11) + [1],
        ] as [[UInt8]]
    )
    func malformedCommand(command: [UInt8]) {
        let field = command + [UInt8](repeating: 0, count: 12 - command.count)
        #expect(self.decode([self.header(command: command, length: 0)]).error == .malformedCommand(field))
    }

    @Test("uses all twelve bytes of a command")
    func longestCommand() {
        let bytes = self.header(command: Array("abcdefghijkl".utf8), length: 0)
        #expect(self.decode([bytes]).messages == [.unknown(command: "abcdefghijkl", size: 0)])
    }

    @Test("names the message whose payload is malformed")
    func malformedPayload() {
        let bytes = P2PMessage.frame(command: "pong", payload: [1], network: .main)
        #expect(
            self.decode([bytes]).error
                == .malformedPayload(command: "pong", .bytes(.truncated(needed: 8, available: 1)))
        )
    }

    @Test("stays failed, and delivers what came before the failure")
    func staysFailed() {
        var decoder = P2PMessageDecoder(network: .main)
        decoder.append(P2PMessage.verack.encoded(for: .main) + [0, 0, 0, 0])
        #expect(throws: Never.self) { try decoder.next() }
        for _ in 0..<3 {
            #expect(throws: P2PMessageError.wrongMagic([0, 0, 0, 0])) { try decoder.next() }
            decoder.append(P2PMessage.verack.encoded(for: .main))
            #expect(decoder.bufferedCount == 0)
        }
    }

    @Test("survives any damage and ends in a named error or goes on", arguments: 1...200 as ClosedRange<UInt64>)
    func mutations(seed: UInt64) {
        var generator = SeededRandom(seed: seed)
        var bytes = P2PSamples.stream
        for _ in 0..<Int.random(in: 1...8, using: &generator) {
            let index = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: bytes[index] = UInt8.random(in: 0...255, using: &generator)
            case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 2: bytes.remove(at: index)
            default: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: index)
            }
        }
        let cut = Int.random(in: 0...bytes.count, using: &generator)
        let whole = self.decode([bytes])
        let pieces = self.decode([Array(bytes[..<cut]), Array(bytes[cut...])])
        #expect(whole.messages == pieces.messages, "seed \(seed)")
        #expect(whole.error == pieces.error, "seed \(seed)")
        #expect(whole.messages.count <= P2PSamples.messages.count + 1, "seed \(seed)")
    }

    @Test("survives payloads of any bytes in every message", arguments: 1...100 as ClosedRange<UInt64>)
    func randomPayloads(seed: UInt64) throws {
        var generator = SeededRandom(seed: seed)
        for sample in P2PSamples.messages {
            var payload = sample.payload
            for _ in 0..<Int.random(in: 0...6, using: &generator) where !payload.isEmpty {
                payload[Int.random(in: 0..<payload.count, using: &generator)] = UInt8.random(
                    in: 0...255,
                    using: &generator
                )
            }
            payload = Array(payload.prefix(Int.random(in: 0...payload.count, using: &generator)))
            guard let message = try? P2PMessage(command: sample.command, payload: payload) else { continue }
            // What was accepted comes back the same once it has been through our own writer.
            #expect(try P2PMessage(command: message.command, payload: message.payload) == message, "seed \(seed)")
        }
    }

    @Test("takes time in proportion to the bytes, also in tiny pieces behind a large message")
    func linear() throws {
        // 2 MB in pieces of one byte: a buffer that moved its content for each piece would move 2 TB.
        let block = P2PMessage.block([UInt8](repeating: 7, count: 2_000_000)).encoded(for: .main)
        var decoder = P2PMessageDecoder(network: .main)
        var count = 0
        for byte in block {
            decoder.append([byte])
            if try decoder.next() != nil { count += 1 }
        }
        #expect(count == 1)
        // Many messages in one piece, taken one by one.
        decoder.append([UInt8]((0..<20_000).map { P2PMessage.ping($0).encoded(for: .main) }.joined()))
        while try decoder.next() != nil { count += 1 }
        #expect(count == 20_001)
    }
}
