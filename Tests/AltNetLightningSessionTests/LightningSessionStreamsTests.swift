// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetLightningSession
import AltNetNoise
import AltNetObjects
import Testing

/// In these tests the peer called: its streams have even numbers, ours odd ones.
@Suite("LightningSession: streams")
struct LightningSessionStreamsTests {
    private static let piece = [UInt8](repeating: 9, count: StreamLimits.maximumPiece)

    /// A peer that takes streams, towards a session that does.
    private static func open(takesStreams: Bool = true) throws -> RawPeer {
        var configuration = try makeConfiguration(0x31)
        configuration.takesStreams = true
        var peer = try RawPeer(configuration)
        let features = LightningFeatures([BitcoinOverLightning.featureBit])
        let message = InitMessage(features: features, servedObjects: [.headers], takesStreams: takesStreams)
        #expect(peer.send(.initialization(message)).established?.takesStreams == takesStreams)
        peer.received = []
        return peer
    }

    /// One with stream 0, which the peer opened.
    private static func withStream() throws -> RawPeer {
        var peer = try Self.open()
        #expect(peer.send(.stream(number: 0, .open(.bitcoinP2P))).streams == [.init(.remote, 0, .open(.bitcoinP2P))])
        _ = peer.say(StreamID(.remote, 0), .opened)
        #expect(peer.received == [.stream(number: 0, .opened)])
        peer.received = []
        return peer
    }

    @Test("that streams are taken stands in init")
    func announced() throws {
        for takesStreams in [true, false] {
            var configuration = try makeConfiguration(0x31, serves: [.headers])
            configuration.takesStreams = takesStreams
            let expected = InitMessage(
                features: LightningFeatures([BitcoinOverLightning.featureBit]),
                networks: [Network.regtest.chainHash], servedObjects: [.headers], takesStreams: takesStreams)
            #expect(try RawPeer(configuration).received == [.initialization(expected)])
        }
    }

    @Test("everything said about a stream goes through in both directions")
    func through() throws {
        var peer = try Self.withStream()
        let id = StreamID(.remote, 0)
        #expect(peer.send(.stream(number: 0, .data([1, 2]))).streams == [.init(.remote, 0, .data([1, 2]))])
        for message in [StreamMessage.credit(2), .data([3]), .end] { #expect(peer.say(id, message).streams.isEmpty) }
        #expect(
            peer.received
                == [.stream(number: 0, .credit(2)), .stream(number: 0, .data([3])), .stream(number: 0, .end)])
        #expect(peer.send(.stream(number: 0, .credit(1))).streams == [.init(.remote, 0, .credit(1))])
        #expect(peer.send(.stream(number: 0, .end)).streams == [.init(.remote, 0, .end)])
        #expect(peer.session.heldBytes == 0)
    }

    @Test("we open streams in odd numbers, towards a peer that takes them")
    func opening() throws {
        var peer = try Self.open()
        let id = StreamID(.us, 3)
        #expect(peer.say(id, .open(.bitcoinP2P)).streams.isEmpty)
        #expect(peer.received == [.stream(number: 7, .open(.bitcoinP2P))])
        #expect(
            peer.send(.stream(number: 7, .refused(.notAccepted))).streams == [.init(.us, 3, .refused(.notAccepted))])

        var deaf = try Self.open(takesStreams: false)
        #expect(deaf.say(id, .open(.bitcoinP2P)).streams == [.init(.us, 3, .refused(.unsupported))])
        var old = try RawPeer.open(serves: [.headers])
        #expect(old.say(id, .open(.bitcoinP2P)).streams == [.init(.us, 3, .refused(.unsupported))])
        #expect(deaf.received.isEmpty && old.received.isEmpty)
    }

    @Test("small pieces that arrive together are handed on together, and so are credits")
    func coalescing() throws {
        var peer = try Self.withStream()
        _ = peer.say(StreamID(.remote, 0), .data([UInt8](repeating: 0, count: 100)))
        var wire: [UInt8] = []
        for byte in UInt8(0)..<100 {
            wire += peer.sealed(LightningMessage.stream(number: 0, .data([byte])).encoded)
            wire += peer.sealed(LightningMessage.stream(number: 0, .credit(1)).encoded)
        }
        #expect(
            peer.send(wire: wire).streams == [
                .init(.remote, 0, .credit(100)), .init(.remote, 0, .data(Array(0..<100))),
            ])
    }

    @Test(
        "what breaks the rules ends the connection, with a warning",
        arguments: [
            (0, StreamMessage.data([])), (0, .credit(1)), (0, .opened), (0, .open(.bitcoinP2P)), (2, .data([1])),
            (1, .opened), (1, .reset(.closed)), (1, .open(.bitcoinP2P)), (0, .credit(0)), (4, .end),
            (0, .data([UInt8](repeating: 0, count: StreamLimits.maximumPiece + 1))),
        ] as [(UInt32, StreamMessage)])
    func violations(_ number: UInt32, _ message: StreamMessage) throws {
        var peer = try Self.withStream()
        #expect(peer.send(.stream(number: number, message)).disconnect?.code == .protocolViolation)
        #expect(peer.received.contains { if case .warning = $0 { true } else { false } })
    }

    @Test("a byte beyond the credit ends the connection")
    func beyondCredit() throws {
        var peer = try Self.withStream()
        for _ in 0..<(StreamLimits.window / StreamLimits.maximumPiece) {
            #expect(peer.send(.stream(number: 0, .data(Self.piece))).disconnect == nil)
        }
        #expect(peer.send(.stream(number: 0, .data([1]))).disconnect?.code == .protocolViolation)
    }

    @Test(
        "messages that are cut off or too long end the connection",
        arguments: [44407, 44409, 44413, 44415, 44417] as [UInt16])
    func malformed(_ type: UInt16) throws {
        let whole: [UInt16: Int] = [44407: 1, 44409: 1, 44413: 4, 44415: 0, 44417: 1]
        let begin = [UInt8(type >> 8), UInt8(type & 255), 0, 0, 0]
        let length = try #require(whole[type])
        for bytes in [begin, begin + [0] + [UInt8](repeating: 1, count: length + 1)] {
            var peer = try Self.withStream()
            #expect(peer.send(plain: bytes).disconnect?.code == .protocolViolation)
        }
    }

    @Test("a ninth stream is refused as busy, and the link goes on")
    func ninth() throws {
        var peer = try Self.open()
        for index in UInt32(0)..<8 {
            #expect(peer.send(.stream(number: 2 * index, .open(.bitcoinP2P))).streams.count == 1)
        }
        #expect(peer.send(.stream(number: 16, .open(.bitcoinP2P))).isEmpty == false)
        #expect(peer.received == [.stream(number: 16, .refused(.busy))])
        #expect(peer.send(.stream(number: 16, .reset(.closed))).streams.isEmpty)
    }

    @Test("we open no faster than the protocol allows; who opens more than twice as fast is left")
    func rate() throws {
        var peer = try Self.open()
        var sent = 0
        for index in UInt32(0)..<40 {
            if peer.say(StreamID(.us, index), .open(.bitcoinP2P)).streams.isEmpty {
                sent += 1
                peer.send(.stream(number: 2 * index + 1, .refused(.busy)))
            }
        }
        #expect(sent == BitcoinOverLightning.streamOpenings.burst)
        var flood = try Self.open()
        for index in UInt32(0)..<32 {
            #expect(flood.send(.stream(number: 2 * index, .open(.bitcoinP2P))).disconnect == nil)
            flood.send(.stream(number: 2 * index, .reset(.closed)))
        }
        #expect(flood.send(.stream(number: 64, .open(.bitcoinP2P))).disconnect?.code == .limitExceeded)
    }

    @Test("a session that takes no streams refuses them, and one without the feature ignores them")
    func notTaken() throws {
        var peer = try RawPeer.open()
        #expect(peer.send(.stream(number: 0, .open(.bitcoinP2P))).streams.isEmpty)
        #expect(peer.received == [.stream(number: 0, .refused(.notAccepted))])
        var stock = try RawPeer.open(features: [])
        #expect(stock.send(.stream(number: 0, .open(.bitcoinP2P))).isEmpty)
        #expect(stock.send(.stream(number: 4, .data([1]))).isEmpty)
        #expect(stock.received.isEmpty)
    }

    @Test("what our own side says against the rules resets the stream on both sides, and no more")
    func ownViolation() throws {
        var peer = try Self.withStream()
        let id = StreamID(.remote, 0)
        let directives = peer.say(id, .credit(1))
        #expect(directives.streams == [.init(.remote, 0, .reset(.violation))])
        #expect(directives.disconnect == nil)
        #expect(peer.received == [.stream(number: 0, .reset(.violation))])
        #expect(peer.say(id, .data([1])).streams.isEmpty)
        #expect(peer.say(StreamID(.us, 9), .data([1])).isEmpty)
    }

    @Test("unknown purposes, refusals and resets are handed on as what they come nearest to")
    func unknownNumbers() throws {
        var peer = try Self.open()
        #expect(
            peer.send(plain: [0xad, 0x77, 0, 0, 0, 0, 200]).streams == [.init(.remote, 0, .open(StreamPurpose(200)))])
        #expect(peer.send(plain: [0xad, 0x81, 0, 0, 0, 0, 200]).streams == [.init(.remote, 0, .reset(.closed))])
        _ = peer.say(StreamID(.us, 0), .open(.bitcoinP2P))
        #expect(peer.send(plain: [0xad, 0x79, 0, 0, 0, 1, 200]).streams == [.init(.us, 0, .refused(.unavailable))])
    }

    @Test(
        "streams of both sides and objects share a link, whatever the network does to the bytes",
        arguments: UInt64(1)...10)
    func simulation(seed: UInt64) throws {
        var configurations = try [makeConfiguration(0x11), makeConfiguration(0x12)]
        for index in 0...1 { configurations[index].takesStreams = true }
        var link = try SimulatedLink(configurations[0], configurations[1], seed: seed)
        link.run(for: .seconds(5))
        var heard: [[StreamID: [UInt8]]] = [[:], [:]]
        var said: [[StreamID: [UInt8]]] = [[:], [:]]
        var answers = 0
        for side in 0...1 { link.say(side, StreamID(.us, 0), .open(.bitcoinP2P)) }
        link.request(0, id: 1, LightningSessionObjectsTests.block)
        link.run(for: .seconds(120)) { link, event in
            let side = event.side
            switch event.directive {
            case .stream(let id, .open): link.say(side, id, .opened)
            case .stream(let id, .opened):
                // The opener says a window, the other side answers with what it heard.
                for _ in 0..<8 {
                    let bytes = (0..<StreamLimits.maximumPiece).map { _ in
                        UInt8.random(in: 0...255, using: &link.random)
                    }
                    said[side][id, default: []] += bytes
                    link.say(side, id, .data(bytes))
                }
                link.say(side, id, .end)
            case .stream(let id, .data(let bytes)):
                heard[side][id, default: []] += bytes
                if id.opener == .remote { link.say(side, id, .data(bytes)) }
            case .stream(let id, .end) where id.opener == .remote: link.say(side, id, .end)
            case .request(let id, _):
                link.answer(side, id: id, .objects(.blocks, [[UInt8](repeating: 3, count: 1_000_000)]))
            case .answer: answers += 1
            default: break
            }
        }
        for side in 0...1 {
            #expect(heard[1 - side][StreamID(.remote, 0)] == said[side][StreamID(.us, 0)])
            #expect(heard[side][StreamID(.us, 0)] == said[side][StreamID(.us, 0)])
            #expect(said[side][StreamID(.us, 0)]?.count == StreamLimits.window)
            #expect(!link.directives(of: side).contains { if case .disconnect = $0 { true } else { false } })
        }
        #expect(answers == 1)
    }
}

/// A message about a stream, to compare with.
struct HeardStream: Hashable {
    let id: StreamID
    let message: StreamMessage

    init(_ opener: StreamSide, _ index: UInt32, _ message: StreamMessage) {
        self.id = StreamID(opener, index)
        self.message = message
    }
}

extension [LinkDirective] {
    var streams: [HeardStream] {
        self.compactMap {
            if case .stream(let id, let message) = $0 { HeardStream(id.opener, id.index, message) } else { nil }
        }
    }
}
