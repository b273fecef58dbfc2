// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Crypto
import Testing

@testable import AltNetLibp2p

@Suite("The encrypted channel")
struct SecureChannelTests {
    /// A listener that is called by a hand-made Noise initiator with this payload.
    static func listener(hearing payload: (NoiseEntropy) throws -> [UInt8]) throws -> NoiseError? {
        let entropy = try ConnectionPair.entropy(1)
        var initiator = NoiseXX(isInitiator: true, staticKey: entropy.staticKey, ephemeralKey: entropy.ephemeralKey)
        var channel = SecureChannel(
            isInitiator: false, key: try ConnectionPair.key(2), expected: nil, muxers: [],
            entropy: try ConnectionPair.entropy(2))
        func framed(_ message: [UInt8]) -> [UInt8] {
            var bytes: [UInt8] = []
            bytes.appendBigEndian(UInt16(message.count))
            return bytes + message
        }
        var output: [UInt8] = []
        let first = framed(try initiator.write([]))
        do throws(NoiseError) {
            _ = try channel.onBytes(first[...], output: &output)
        } catch { return error }
        _ = try initiator.read(Array(output.dropFirst(2)))
        let last = framed(try initiator.write(try payload(entropy)))
        do throws(NoiseError) {
            _ = try channel.onBytes(last[...], output: &output)
        } catch { return error }
        return nil
    }

    @Test("A payload that is signed for the channel's key is accepted")
    func genuine() throws {
        let error = try Self.listener { entropy in
            try NoisePayload(
                key: try ConnectionPair.key(1), staticKey: Array(entropy.staticKey.publicKey.rawRepresentation),
                muxers: ["/yamux/1.0.0"]
            ).bytes
        }
        #expect(error == nil)
    }

    @Test("A signature over another key, as somebody in the middle would have, is refused")
    func otherKey() throws {
        let error = try Self.listener { _ in
            try NoisePayload(key: try ConnectionPair.key(1), staticKey: [UInt8](repeating: 5, count: 32), muxers: [])
                .bytes
        }
        #expect(error == .badIdentitySignature)
    }

    @Test("Another identity's key beside a signature is refused")
    func otherIdentity() throws {
        let error = try Self.listener { entropy in
            let staticKey = Array(entropy.staticKey.publicKey.rawRepresentation)
            let payload = try NoisePayload(key: try ConnectionPair.key(1), staticKey: staticKey, muxers: [])
            var writer = ProtobufWriter()
            writer.bytes(1, try ConnectionPair.key(3).publicKey.protobuf)
            writer.bytes(2, payload.signature)
            return writer.encoded
        }
        #expect(error == .badIdentitySignature)
    }

    @Test("A payload without key, without signature, or that is none is refused by name")
    func incomplete() throws {
        #expect(try Self.listener { _ in [] } == .badIdentityKey)
        #expect(try Self.listener { _ in [0xff, 0xff] } == .badPayload)
        let key = try ConnectionPair.key(1).publicKey.protobuf
        let withoutSignature = try Self.listener { _ in
            var writer = ProtobufWriter()
            writer.bytes(1, key)
            return writer.encoded
        }
        #expect(withoutSignature == .badIdentitySignature)
        let numbers = try Self.listener { _ in
            var writer = ProtobufWriter()
            writer.varint(1, 5)
            return writer.encoded
        }
        #expect(numbers == .badPayload)
    }

    @Test("More multiplexers than anybody has are refused")
    func manyMuxers() throws {
        let error = try Self.listener { entropy in
            try NoisePayload(
                key: try ConnectionPair.key(1), staticKey: Array(entropy.staticKey.publicKey.rawRepresentation),
                muxers: [String](repeating: "/x", count: 17)
            ).bytes
        }
        #expect(error == .badPayload)
    }

    @Test("A frame of the handshake that is too long is refused before it has come")
    func longHandshake() throws {
        var channel = SecureChannel(
            isInitiator: false, key: try ConnectionPair.key(2), expected: nil, muxers: [],
            entropy: try ConnectionPair.entropy(2))
        var output: [UInt8] = []
        #expect(throws: NoiseError.handshakeTooLong(8_193)) {
            _ = try channel.onBytes([0x20, 0x01][...], output: &output)
        }
    }

    @Test("Payloads of any size arrive, cut into frames of at most 65,535 bytes")
    func sizes() throws {
        var channels = [true, false].map { isInitiator in
            try? SecureChannel(
                isInitiator: isInitiator, key: ConnectionPair.key(isInitiator ? 1 : 2), expected: nil, muxers: [],
                entropy: ConnectionPair.entropy(isInitiator ? 1 : 2))
        }.compactMap { $0 }
        var wires: [[UInt8]] = [[], []]
        try channels[0].start(&wires[0])
        while !(wires[0].isEmpty && wires[1].isEmpty) {
            for side in 0..<2 {
                let bytes = wires[side]
                wires[side] = []
                _ = try channels[1 - side].onBytes(bytes[...], output: &wires[1 - side])
            }
        }
        for count in [1, 2, 65_518, 65_519, 65_520, 131_038, 131_039, 200_000] {
            let sent = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
            var sealed: [UInt8] = []
            try channels[0].seal(sent, into: &sealed)
            #expect(sealed.count == count + (count + 65_518) / 65_519 * 18)
            var received: [UInt8] = []
            for event in try channels[1].onBytes(sealed[...], output: &wires[1]) {
                if case .plaintext(let bytes) = event { received += bytes }
            }
            #expect(received == sent)
        }
    }

    @Test("Frames that are repeated, left out or swapped are refused")
    func order() throws {
        var cipher = NoiseCipher(key: .init(data: [UInt8](repeating: 1, count: 32)))
        var other = NoiseCipher(key: .init(data: [UInt8](repeating: 1, count: 32)))
        var first: [UInt8] = []
        var second: [UInt8] = []
        try cipher.seal([1], into: &first)
        try cipher.seal([2], into: &second)
        var early = other
        #expect(throws: NoiseError.badTag) { try early.open(second) }
        #expect(try other.open(first) == [1])
        var again = other
        #expect(throws: NoiseError.badTag) { try again.open(first) }
        #expect(try other.open(second) == [2])
        #expect(throws: NoiseError.tooShort(15)) { try other.open([UInt8](repeating: 0, count: 15)) }
    }

    @Test("The private keys of a connection appear in no text")
    func redacted() throws {
        let entropy = try ConnectionPair.entropy(1)
        #expect("\(entropy)" == "<private>" && String(reflecting: entropy) == "<private>")
    }
}
