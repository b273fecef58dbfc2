// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightning
import AltNetLightningSession
import AltNetNoise
import AltNetObjects
import Testing

@Suite("LightningSession: requests, answers and announcements")
struct LightningSessionObjectsTests {
    static let block = ObjectRequest.block(Network.regtest.chainHash)
    static let tip = ObjectAnnouncement.tip(header: Network.regtest.genesis, height: 0)

    static func message(_ id: UInt64, _ request: ObjectRequest) -> LightningMessage {
        .bitcoin(.request(id: id, kind: request.kind.lightningNumber, body: request.lightningBody[...]))
    }

    static func refusal(_ id: UInt64, _ reason: ObjectRefusal) -> LightningMessage {
        .bitcoin(.answer(id: id, remaining: 0, part: ObjectAnswer.lightningRefusal(reason)[...]))
    }

    // MARK: - What we ask

    @Test("a request carries a number of its own, and its answer the caller's")
    func numbers() throws {
        var peer = try RawPeer.open()
        _ = peer.request(777, Self.block)
        #expect(peer.received == [Self.message(0, Self.block)])
        #expect(peer.send(Self.refusal(0, .notFound)).answers == [777: .refused(.notFound)])
    }

    @Test("requests that make no sense or that the peer does not serve are refused at once")
    func refusedAtOnce() throws {
        var peer = try RawPeer.open(serves: [.headers])
        #expect(peer.request(1, Self.block).answers == [1: .refused(.unsupported)])
        let empty = ObjectRequest.headers(locator: [], stop: .zero, heightHint: 0, limit: 1)
        #expect(peer.request(2, empty).answers == [2: .refused(.invalid)])
        #expect(peer.received.isEmpty)
    }

    @Test("no more requests are open than the limits allow, in number and in bytes")
    func openRequests() throws {
        var peer = try RawPeer.open()
        let addresses = ObjectRequest.addresses(limit: 1)
        for id: UInt64 in 0..<8 { #expect(peer.request(id, addresses).answers.isEmpty) }
        #expect(peer.request(8, addresses).answers == [8: .refused(.busy)])
        _ = peer.send(Self.refusal(0, .notFound))
        #expect(peer.request(9, addresses).answers.isEmpty)

        var blocks = try RawPeer.open()
        for id: UInt64 in 0..<4 { #expect(blocks.request(id, Self.block).answers.isEmpty) }
        #expect(blocks.request(4, Self.block).answers == [4: .refused(.busy)])
    }

    @Test("we ask no faster than the protocol allows")
    func requestRate() throws {
        var peer = try RawPeer.open()
        var busy = 0
        for id: UInt64 in 0..<300 {
            if peer.request(id, Self.block).answers == [id: .refused(.busy)] {
                busy += 1
            } else {
                _ = peer.send(Self.refusal(id, .notFound))
            }
        }
        #expect(busy == 300 - 256)
    }

    @Test("a request without an answer is given up, and a late answer is ignored")
    func timeout() throws {
        var peer = try RawPeer.open()
        _ = peer.request(5, Self.block)
        var directives: [LinkDirective] = []
        for _ in 0..<6 {
            directives += peer.advance(by: .seconds(10))
            peer.send(.other(type: 4001))
        }
        #expect(directives.answers == [5: .refused(.unavailable)])
        #expect(peer.send(.bitcoin(.answer(id: 0, remaining: 1, part: [4]))).isEmpty)
        #expect(peer.send(.bitcoin(.answer(id: 0, remaining: 0, part: [4]))).isEmpty)
        // The end of the late answer has come: what follows was never asked for.
        let again = peer.send(.bitcoin(.answer(id: 0, remaining: 0, part: [4])))
        #expect(again.disconnect?.code == .protocolViolation)
    }

    @Test("an answer may be slow as long as it goes on, within ten time-outs")
    func slowAnswer() throws {
        var peer = try RawPeer.open()
        _ = peer.request(5, Self.block)
        var remaining: UInt32 = 100
        for _ in 0..<11 {
            let directives = peer.advance(by: .seconds(50))
            #expect(directives.answers.isEmpty)
            remaining -= 1
            #expect(peer.send(.bitcoin(.answer(id: 0, remaining: remaining, part: [4]))).disconnect == nil)
            if !peer.received.isEmpty { peer.send(.pong(length: 16)) }
            peer.received.removeAll()
        }
        #expect(peer.advance(by: .seconds(50)).answers == [5: .refused(.unavailable)])
        #expect(peer.session.heldBytes == 0)
    }

    @Test(
        "answers that were not asked for, do not fit or make no sense end the connection",
        arguments: [
            BitcoinMessage.answer(id: 1, remaining: 0, part: [0, 1]), .answer(id: .max, remaining: 5, part: [0]),
            .answer(id: 0, remaining: 0, part: []), .answer(id: 0, remaining: .max, part: [4]),
            .answer(id: 0, remaining: 4_000_006, part: [4]), .answer(id: 0, remaining: 0, part: [1]),
            .answer(id: 0, remaining: 0, part: [4, 3, 1, 2, 3]), .answer(id: 0, remaining: 0, part: [0]),
        ]
    )
    func wrongAnswers(_ message: BitcoinMessage) throws {
        var peer = try RawPeer.open()
        _ = peer.request(12, Self.block)
        let directives = peer.send(.bitcoin(message))
        #expect(directives.disconnect?.code == .protocolViolation)
        #expect(directives.answers[12] != nil)
        guard case .warning? = peer.received.last else {
            Issue.record("no warning came")
            return
        }
    }

    @Test("more headers than asked for end the connection")
    func tooManyHeaders() throws {
        var peer = try RawPeer.open()
        let hash = Network.regtest.chainHash
        _ = peer.request(1, .headers(locator: [hash], stop: .zero, heightHint: 0, limit: 2))
        let more = ObjectRequest.headers(locator: [hash], stop: .zero, heightHint: 0, limit: 3)
        let body = ObjectAnswer.headers(LightningSessionTests.headers(3)).lightningBody(answering: more)
        #expect(
            peer.send(.bitcoin(.answer(id: 0, remaining: 0, part: body[...]))).disconnect?.code == .protocolViolation
        )
    }

    @Test("parts of different answers may be mixed, parts of one may not be missing")
    func parts() throws {
        var peer = try RawPeer.open()
        _ = peer.request(1, Self.block)
        _ = peer.request(2, Self.block)
        let objects = ObjectAnswer.objects(.blocks, [Array(repeating: 9, count: 150_000)])
        let first = BitcoinMessage.answer(id: 0, body: objects.lightningBody(answering: Self.block))
        let second = BitcoinMessage.answer(id: 1, body: objects.lightningBody(answering: Self.block))
        var directives: [LinkDirective] = []
        for (one, other) in zip(first, second) { directives += peer.send(.bitcoin(one)) + peer.send(.bitcoin(other)) }
        #expect(directives.answers == [1: objects, 2: objects])

        _ = peer.request(3, Self.block)
        let third = BitcoinMessage.answer(id: 2, body: objects.lightningBody(answering: Self.block))
        #expect(peer.send(.bitcoin(third[0])).disconnect == nil)
        #expect(peer.send(.bitcoin(third[2])).disconnect?.code == .protocolViolation)
    }

    // MARK: - What we are asked

    @Test("requests reach the caller, and answers the peer")
    func serving() throws {
        var peer = try RawPeer.open()
        #expect(peer.send(Self.message(99, Self.block)).requests == [99: Self.block])
        _ = peer.answer(99, .refused(.notFound))
        #expect(peer.received == [Self.refusal(99, .notFound)])
        #expect(peer.answer(99, .refused(.notFound)).isEmpty)
        // The number is free again.
        #expect(peer.send(Self.message(99, Self.block)).requests == [99: Self.block])
    }

    @Test("kinds that we do not serve or know are refused without asking the caller")
    func notServed() throws {
        var peer = try RawPeer.open(makeConfiguration(0x31, serves: [.headers]))
        #expect(peer.send(Self.message(1, Self.block)).requests.isEmpty)
        #expect(peer.send(.bitcoin(.request(id: 2, kind: 77, body: [1]))).requests.isEmpty)
        #expect(peer.received == [Self.refusal(1, .unsupported), Self.refusal(2, .unsupported)])
    }

    @Test("the ninth open request is answered with busy")
    func busy() throws {
        var peer = try RawPeer.open()
        for id: UInt64 in 0..<8 { #expect(peer.send(Self.message(id, Self.block)).requests.count == 1) }
        #expect(peer.send(Self.message(8, Self.block)).requests.isEmpty)
        #expect(peer.received == [Self.refusal(8, .busy)])
    }

    @Test("a flood of requests ends the connection")
    func requestFlood() throws {
        var peer = try RawPeer.open()
        var sent = 0
        var reason: DisconnectReason?
        while reason == nil, sent < 2000 {
            reason = peer.send(Self.message(UInt64(sent), Self.block)).disconnect
            sent += 1
        }
        #expect(reason?.code == .limitExceeded)
        #expect(sent == 513)
    }

    @Test("a request that our side never answers is refused in the end")
    func unansweredRequest() throws {
        var peer = try RawPeer.open()
        _ = peer.send(Self.message(3, Self.block))
        for _ in 0..<3 {
            _ = peer.advance(by: .seconds(20))
            peer.send(.other(type: 4001))
        }
        #expect(peer.received.contains(Self.refusal(3, .unavailable)))
        #expect(peer.answer(3, .refused(.notFound)).isEmpty)
    }

    @Test(
        "requests that make no sense end the connection",
        arguments: [
            BitcoinMessage.request(id: 1, kind: 1, body: []), .request(id: 1, kind: 4, body: [1]),
            .request(id: 1, kind: 4, body: Array(repeating: 0, count: 33)[...]),
            .request(id: 1, kind: 6, body: [0, 0, 0, 0]), .request(id: 1, kind: 6, body: [0, 0, 255, 255]),
            .request(id: 1, kind: 1, body: Array(repeating: 0, count: 40)[...]),
        ]
    )
    func wrongRequests(_ message: BitcoinMessage) throws {
        var peer = try RawPeer.open()
        #expect(peer.send(.bitcoin(message)).disconnect?.code == .protocolViolation)
    }

    @Test("a request number that is still open ends the connection")
    func reusedNumber() throws {
        var peer = try RawPeer.open()
        _ = peer.send(Self.message(3, Self.block))
        #expect(peer.send(Self.message(3, Self.block)).disconnect?.code == .protocolViolation)
    }

    // MARK: - Announcements

    @Test("announcements are sent no faster than the protocol allows")
    func announcing() throws {
        var peer = try RawPeer.open()
        for _ in 0..<100 { _ = peer.announce(Self.tip) }
        #expect(peer.received.count == 32)
        _ = peer.advance(by: .seconds(2))
        for _ in 0..<100 { _ = peer.announce(Self.tip) }
        #expect(peer.received.count == 34)
    }

    @Test("a flood of announcements ends the connection")
    func announcementFlood() throws {
        var peer = try RawPeer.open()
        let body = try #require(Self.tip.lightningBody)
        for _ in 0..<64 {
            #expect(peer.send(.bitcoin(.announcement(remaining: 0, part: body[...]))).announcements == [Self.tip])
        }
        let last = peer.send(.bitcoin(.announcement(remaining: 0, part: body[...])))
        #expect(last.disconnect?.code == .limitExceeded)
    }

    @Test("announcements of unknown kind are ignored")
    func unknownAnnouncement() throws {
        var peer = try RawPeer.open()
        #expect(peer.send(.bitcoin(.announcement(remaining: 0, part: [200, 1, 2]))).isEmpty)
    }

    @Test(
        "announcements that make no sense or are too long end the connection",
        arguments: [
            BitcoinMessage.announcement(remaining: 0, part: []), .announcement(remaining: 0, part: [7, 1]),
            .announcement(remaining: 400_001, part: [5]), .announcement(remaining: 0, part: [5, 1, 2]),
            .announcement(remaining: 0, part: [6, 1]),
        ]
    )
    func wrongAnnouncements(_ message: BitcoinMessage) throws {
        var peer = try RawPeer.open()
        #expect(peer.send(.bitcoin(message)).disconnect?.code == .protocolViolation)
    }

    // MARK: - Nonsense

    @Test("whatever a peer sends, the session holds no more than its limits and ends with a reason")
    func mutations() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededRandom(seed: seed)
        var (ended, survived) = (0, 0)
        for round in 0..<300 {
            var peer = try RawPeer.open()
            for id: UInt64 in 0..<3 { _ = peer.request(id, Self.block) }
            var isOpen = true
            var answers = Self.answers()
            for step in 0..<60 where isOpen {
                var message = try Self.message(step: UInt64(step), &answers, &random)
                let mutations = round.isMultiple(of: 3) ? 0 : Int.random(in: 0..<30, using: &random) / 29
                for _ in 0..<mutations { Self.mutate(&message, &random) }
                let directives = peer.send(plain: message)
                #expect(
                    peer.session.heldBytes <= 3 * BitcoinOverLightning.maximumAnswerLength + 400_001,
                    "seed \(seed)"
                )
                if Int.random(in: 0..<10, using: &random) == 0 { _ = peer.advance(by: .seconds(7)) }
                if let reason = directives.disconnect {
                    let codes: [DisconnectReason.Code] = [.protocolViolation, .limitExceeded, .remoteError]
                    #expect(codes.contains(reason.code), "seed \(seed): \(reason)")
                    isOpen = false
                }
                for (id, _) in directives.requests { _ = peer.answer(id, .refused(.notFound)) }
            }
            if isOpen { survived += 1 } else { ended += 1 }
        }
        #expect(ended > 50 && survived > 50, "seed \(seed)")
        print("mutated conversations: \(ended) ended, \(survived) went on")
    }

    /// The parts of proper answers to the first three requests.
    private static func answers() -> [BitcoinMessage] {
        let objects = ObjectAnswer.objects(.blocks, [Array(repeating: 9, count: 140_000)])
        return (0...2).flatMap { BitcoinMessage.answer(id: $0, body: objects.lightningBody(answering: block)) }
    }

    /// What a proper peer could send now.
    private static func message(
        step: UInt64,
        _ answers: inout [BitcoinMessage],
        _ random: inout SeededRandom
    ) throws -> [UInt8] {
        let message: LightningMessage
        switch Int.random(in: 0..<7, using: &random) {
        case 0 where !answers.isEmpty: message = .bitcoin(answers.removeFirst())
        case 1: message = .bitcoin(.announcement(remaining: 0, part: try #require(tip.lightningBody)[...]))
        case 2: message = .ping(pongLength: 4, paddingLength: 4)
        case 3: message = .warning(NoticeMessage("w"))
        case 4: message = .other(type: 4001)
        case 5: message = Self.message(step, .headers(locator: [.zero], stop: .zero, heightHint: 0, limit: 4))
        default: message = Self.message(step, .addresses(limit: 5))
        }
        return message.encoded
    }

    private static func mutate(_ message: inout [UInt8], _ random: inout SeededRandom) {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: message = Array(message.prefix(Int.random(in: 0...message.count, using: &random)))
        case 1 where message.count < 60_000:
            message += (0..<Int.random(in: 1...5, using: &random)).map { _ in .random(in: 0...255, using: &random) }
        default:
            for _ in 0..<Int.random(in: 1...4, using: &random) where !message.isEmpty {
                let index = Int.random(in: 0..<min(message.count, 24), using: &random)
                message[index] = .random(in: .min ... .max, using: &random)
            }
        }
    }
}
