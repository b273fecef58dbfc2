// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKademlia
import AltNetPeerRecords
import Testing

@Suite struct KademliaMessageTests {
    private static let first = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"
    private static let second = "16Uiu2HAm5hPxT7s3TA2f4b4YjAPzS7yLRSgdj87ysDZ6NAXMiRuY"

    @Test(arguments: [
        Vectors.findNodeRequest, Vectors.findNodeAnswer, Vectors.putValue, Vectors.getValueAnswer, Vectors.addProvider,
        Vectors.ping,
    ])
    func messagesOfPyLibp2pAreReadAndWrittenByteForByte(vector: [UInt8]) throws {
        let message = try KademliaMessage(decoding: vector)
        #expect(message.encoded == vector)
        #expect(message.omissions == .init())
    }

    @Test func aRequestOfPyLibp2pSaysWhatItMeans() throws {
        let message = try KademliaMessage(decoding: Vectors.findNodeRequest)
        #expect(message.kind == .findNode)
        #expect(try PeerID(bytes: message.key).description == Self.second)
        let record = try CertifiedPeerRecord(verifying: try #require(message.senderRecord))
        #expect(record.record.peer.description == Self.first)
        #expect(record.record.sequence == 1_700_000_000_000_000_000)
    }

    @Test func anAnswerOfPyLibp2pHasRecordsThatVerify() throws {
        let message = try KademliaMessage(decoding: Vectors.findNodeAnswer)
        #expect(message.closerPeers.map(\.id.description) == [Self.second, Self.first])
        #expect(message.closerPeers.map(\.connection) == [.connected, .notConnected])
        let record = try CertifiedPeerRecord(verifying: try #require(message.closerPeers[0].signedRecord))
        #expect(record.record.addresses.map(\.description) == ["/ip4/198.51.100.9/tcp/4002"])
        #expect(record.record.addresses == message.closerPeers[0].addresses)
        #expect(message.closerPeers[1].signedRecord == nil)
    }

    @Test func aRecordPutByPyLibp2pIsRightUnderItsKeyOnly() throws {
        let record = try #require(try KademliaMessage(decoding: Vectors.putValue).record)
        #expect(KademliaValueKey(record.key) == .peerRecord(try PeerID(text: Self.first)))
        try KademliaValue.check(record.value, for: record.key)
        let other = KademliaValueKey.peerRecord(try PeerID(text: Self.second))
        #expect(throws: KademliaValueError.recordOfAnother(try PeerID(text: Self.first))) {
            try KademliaValue.check(record.value, for: other.bytes)
        }
        var forged = record.value
        forged[forged.count - 1] ^= 1
        #expect(throws: KademliaValueError.self) { try KademliaValue.check(forged, for: record.key) }
        #expect(throws: KademliaValueError.unknownNamespace) {
            try KademliaValue.check(record.value, for: Array("/ipns/k51".utf8))
        }
    }

    @Test func aPublicKeyIsRightUnderItsOwnIdInBothForms() throws {
        let key = try #require(PeerPrivateKey.ed25519(seed: (0..<32).map { $0 })).publicKey
        let peer = PeerID(key)
        #expect(peer.description == Self.first)
        let raw = KademliaValueKey.publicKey(peer).bytes
        let hexadecimal = Array("/pk/\(Hex.encode(peer.bytes))".utf8)
        for name in [raw, hexadecimal] {
            #expect(KademliaValueKey(name) == .publicKey(peer))
            try KademliaValue.check(key.protobuf, for: name)
        }
        let other = KademliaValueKey.publicKey(try PeerID(text: Self.second)).bytes
        #expect(throws: KademliaValueError.notTheKey) { try KademliaValue.check(key.protobuf, for: other) }
        #expect(KademliaValueKey(Array("/pk/\(Hex.encode(peer.bytes).uppercased())".utf8)) == nil)
        #expect(KademliaValueKey(Array("/pk/".utf8)) == nil)
        #expect(KademliaValueKey(Array("/altnet-record/".utf8)) == nil)
    }

    @Test func unknownFieldsAreSkippedWhereverTheyAre() throws {
        var peer = ProtobufWriter()
        peer.bytes(1, try PeerID(text: Self.first).bytes)
        peer.varint(3, 77)
        peer.string(99, "later")
        var writer = ProtobufWriter()
        writer.varint(1, 4)
        writer.varint(10, 3)
        writer.bytes(8, peer.encoded)
        writer.bytes(12, [1, 2, 3])
        let message = try KademliaMessage(decoding: writer.encoded)
        #expect(message.kind == .findNode)
        #expect(message.closerPeers.map(\.id.description) == [Self.first])
        #expect(message.closerPeers[0].connection == .notConnected)
    }

    @Test func whatIsNoPeerAndNoAddressIsLeftOutAndCounted() throws {
        let id = try PeerID(text: Self.first)
        let address = try Multiaddress(text: "/ip4/192.0.2.1/tcp/1")
        var good = ProtobufWriter()
        good.bytes(1, id.bytes)
        good.bytes(2, [0xff, 0xff])
        good.bytes(2, address.bytes)
        var bad = ProtobufWriter()
        bad.bytes(1, [1, 2, 3])
        var writer = ProtobufWriter()
        writer.varint(1, 4)
        writer.bytes(8, bad.encoded)
        writer.bytes(8, [])
        writer.bytes(8, good.encoded)
        let message = try KademliaMessage(decoding: writer.encoded)
        #expect(message.closerPeers == [.init(id: id, addresses: [address])])
        #expect(message.omissions.peers == 2)
        #expect(message.omissions.addresses == 1)
    }

    @Test func badMessagesAreRefusedByName() throws {
        func refusal(_ build: (inout ProtobufWriter) -> Void) -> KademliaMessageError? {
            var writer = ProtobufWriter()
            build(&writer)
            do throws(KademliaMessageError) {
                _ = try KademliaMessage(decoding: writer.encoded)
                return nil
            } catch {
                return error
            }
        }
        #expect(refusal { $0.varint(1, 6) } == .unknownKind(6))
        #expect(refusal { $0.bytes(1, [4]) } == .wrongType("type"))
        #expect(refusal { $0.varint(2, 4) } == .wrongType("key"))
        #expect(refusal { $0.bytes(2, Array(repeating: 1, count: 129)) } == .tooLong("key", 129))
        #expect(refusal { $0.bytes(2, Array(repeating: 1, count: 128)) } == nil)
        #expect(
            refusal {
                $0.bytes(2, [1])
                $0.bytes(2, [1])
            } == .repeated("key"))
        #expect(refusal { $0.varint(8, 1) } == .wrongType("peers"))
        #expect(refusal { $0.bytes(11, Array(repeating: 1, count: 8_193)) } == .tooLong("senderRecord", 8_193))
        #expect(refusal { $0.bytes(8, [0x0b]) } == .malformed(.wireType(3)))
        #expect(refusal { $0.bytes(8, [0x0a, 0x20, 1]) } == .malformed(.truncated))
        #expect(refusal { $0.bytes(20, Array(repeating: 0, count: KademliaMessage.maximumSize)) } != nil)
        for length in 1..<Vectors.putValue.count {
            // Cut anywhere, a message is refused, or is one in which fields are missing; it never traps.
            _ = try? KademliaMessage(decoding: Vectors.putValue.prefix(length))
        }
    }

    @Test func whatIsMoreThanWeTakeIsLeftOutAndTheRestCounts() throws {
        var random = SeededRandom(seed: 6)
        let address = try Multiaddress(text: "/ip4/192.0.2.1/tcp/1")
        let many = Array(repeating: address, count: KademliaMessage.maximumAddresses + 20)
        let large = Array(repeating: 1 as UInt8, count: SignedEnvelope.maximumSize + 1)
        var peers = (0..<(KademliaMessage.maximumPeers + 30)).map { _ in KademliaMessage.Peer(id: randomPeer(&random)) }
        peers[0].addresses = many
        peers[1].signedRecord = large
        peers[1].addresses = [address]
        let message = KademliaMessage(kind: .getProviders, key: [1], closerPeers: Array(peers[5...]), providers: peers)
        var frames = KademliaFrames()
        frames.append(message.framed)
        let read = try #require(try frames.next())
        #expect(read.providers.map(\.id) == peers.prefix(KademliaMessage.maximumPeers).map(\.id))
        #expect(read.closerPeers.count == KademliaMessage.maximumPeers)
        #expect(read.providers[0].addresses.count == KademliaMessage.maximumAddresses)
        #expect(read.providers[1].signedRecord == nil)
        #expect(read.providers[1].addresses == [address])
        #expect(read.omissions.excess == 20 + 1 + 30 + 25)
        // An id that is longer than any is no id.
        var writer = ProtobufWriter()
        writer.bytes(1, Array(repeating: 1, count: KademliaMessage.maximumKeySize + 1))
        var answer = ProtobufWriter()
        answer.bytes(8, writer.encoded)
        #expect(try KademliaMessage(decoding: answer.encoded).omissions.peers == 1)
    }

    @Test func randomBytesNeverTrapAndWhatIsReadIsWrittenAlike() throws {
        var random = SeededRandom(seed: 5)
        for _ in 0..<5_000 {
            var bytes = Vectors.findNodeAnswer
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            guard let message = try? KademliaMessage(decoding: bytes) else { continue }
            var again = try KademliaMessage(decoding: message.encoded)
            again.omissions = message.omissions
            #expect(again == message)
        }
    }

    @Test func streamsAreCutIntoMessagesHoweverTheyArrive() throws {
        var random = SeededRandom(seed: 9)
        let messages = try [Vectors.findNodeAnswer, Vectors.ping, Vectors.putValue].map {
            try KademliaMessage(decoding: $0)
        }
        for _ in 0..<200 {
            var rest = messages.flatMap(\.framed)[...]
            var frames = KademliaFrames()
            var read: [KademliaMessage] = []
            while !rest.isEmpty {
                let count = Int.random(in: 1...400, using: &random)
                frames.append(rest.prefix(count))
                rest = rest.dropFirst(count)
                while let message = try frames.next() { read.append(message) }
            }
            #expect(read == messages)
            #expect(frames.isBetweenMessages)
        }
    }

    @Test func anAnnouncedLengthAboveTheLimitIsRefusedBeforeAnythingIsKept() {
        var frames = KademliaFrames()
        frames.append(UnsignedVarint.encoded(UInt64(KademliaMessage.maximumSize) + 1))
        #expect(throws: KademliaMessageError.tooLarge(KademliaMessage.maximumSize + 1)) { try frames.next() }
        frames = KademliaFrames()
        frames.append([0x80, 0x00])
        #expect(throws: KademliaMessageError.malformed(.varint(.notMinimal))) { try frames.next() }
    }
}
