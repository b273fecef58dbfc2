// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetLightning
import AltNetObjects
import Testing

@Suite("Bodies of requests, answers and announcements")
struct BitcoinBodyTests {
    static let hash = Network.main.chainHash
    static let address = NodeAddress(lastSeen: 1, services: 9, networkID: 1, address: [203, 0, 113, 5], port: 8333)
    static let headers = ObjectRequest.headers(locator: [hash, .zero], stop: hash, heightHint: 700_000, limit: 10)

    static let requests: [ObjectRequest] = [
        headers, .filterHeaders(type: 0, start: 5, stop: hash), .filters(type: 1, start: .max, stop: hash),
        .block(hash), .transaction(hash), .addresses(limit: 1000),
    ]

    static let answers: [(ObjectRequest, ObjectAnswer)] = [
        (headers, .headers([])), (headers, .headers(Network.main.genesis.bytes)),
        (.filterHeaders(type: 0, start: 0, stop: hash), .objects(.filterHeaders, [Array(repeating: 1, count: 32)])),
        (.filters(type: 0, start: 0, stop: hash), .objects(.filters, [[1], Array(repeating: 2, count: 300)])),
        (.block(hash), .objects(.blocks, [Array(repeating: 3, count: 4_000_000)])),
        (.transaction(hash), .objects(.transactions, [Array(repeating: 4, count: 60)])),
        (.addresses(limit: 2), .addresses([address, address])), (.addresses(limit: 2), .addresses([])),
        (.block(hash), .refused(.notFound)), (.block(hash), .refused(.unsupported)), (.block(hash), .refused(.busy)),
        (.block(hash), .refused(.invalid)), (.block(hash), .refused(.unavailable)),
    ]

    static let announcements: [ObjectAnnouncement] = [
        .tip(header: Network.main.genesis, height: 0), .transaction(Array(repeating: 5, count: 400_000)),
        .addresses([address]), .addresses(Array(repeating: address, count: 1000)),
    ]

    @Test("requests survive their encoding", arguments: requests)
    func requestRoundTrip(_ request: ObjectRequest) throws {
        #expect(request.lightningDefect == nil)
        let body = request.lightningBody
        #expect(try ObjectRequest(lightningKind: request.kind.lightningNumber, body: body[...]) == request)
        for length in 0..<body.count {
            #expect(throws: BitcoinBodyError.self, "cut to \(length)") {
                // A locator may be cut between two hashes: then it is another request.
                if case .headers = request, length == body.count - 32 { throw BitcoinBodyError.wrongKind(0) }
                _ = try ObjectRequest(lightningKind: request.kind.lightningNumber, body: body.prefix(length))
            }
        }
        #expect(throws: BitcoinBodyError.self) {
            try ObjectRequest(lightningKind: request.kind.lightningNumber, body: body + [0])
        }
    }

    @Test("answers survive their encoding and stay within what the request allows", arguments: answers)
    func answerRoundTrip(_ request: ObjectRequest, _ answer: ObjectAnswer) throws {
        let body = answer.lightningBody(answering: request)
        #expect(body.count <= request.maximumLightningAnswer)
        #expect(try ObjectAnswer(lightningBody: body, answering: request) == answer)
    }

    @Test("announcements survive their encoding", arguments: announcements)
    func announcementRoundTrip(_ announcement: ObjectAnnouncement) throws {
        let body = try #require(announcement.lightningBody)
        #expect(body.count <= BitcoinOverLightning.maximumAnnouncementLength)
        #expect(try ObjectAnnouncement(lightningBody: body) == announcement)
    }

    @Test("requests beyond the limits have a defect and are refused when they come")
    func requestLimits() throws {
        let wrong: [ObjectRequest] = [
            .headers(locator: [], stop: .zero, heightHint: 0, limit: 1),
            .headers(locator: Array(repeating: Self.hash, count: 102), stop: .zero, heightHint: 0, limit: 1),
            .headers(locator: [Self.hash], stop: .zero, heightHint: 0, limit: 0),
            .headers(locator: [Self.hash], stop: .zero, heightHint: 0, limit: 8193), .addresses(limit: 0),
            .addresses(limit: 1001),
        ]
        for request in wrong {
            #expect(request.lightningDefect != nil)
            let error = #expect(throws: BitcoinBodyError.self) {
                try ObjectRequest(lightningKind: request.kind.lightningNumber, body: request.lightningBody[...])
            }
            guard case .outOfRange = error else {
                Issue.record("\(String(describing: error)) for \(request)")
                continue
            }
        }
    }

    @Test("kinds without a meaning as a request are left to others")
    func unknownKinds() throws {
        for kind: UInt8 in [0, 7, 8, 255] {
            #expect(try ObjectRequest(lightningKind: kind, body: [1, 2, 3]) == nil)
        }
        for kind: UInt8 in [0, 1, 2, 3, 4, 8, 255] { #expect(try ObjectAnnouncement(lightningBody: [kind, 1]) == nil) }
    }

    @Test("an answer never leaves the limits: it is cut, or becomes a refusal")
    func answersAreCut() throws {
        let genesis = Network.regtest.genesis
        var next = genesis
        next.previous = genesis.hash
        let headers = genesis.bytes + next.bytes
        let one = ObjectRequest.headers(locator: [Self.hash], stop: .zero, heightHint: 0, limit: 1)
        #expect(try Self.carried(.headers(headers), answering: one) == .headers(genesis.bytes))
        let filters = ObjectRequest.filters(type: 0, start: 0, stop: Self.hash)
        let long = Array(repeating: UInt8(1), count: 1_500_000)
        #expect(
            try Self.carried(.objects(.filters, [long, long, long]), answering: filters)
                == .objects(.filters, [long, long])
        )
        let block = ObjectRequest.block(Self.hash)
        let refused = ObjectAnswer.refused(.unavailable)
        #expect(
            try Self.carried(.objects(.blocks, [Array(repeating: 0, count: 4_000_001)]), answering: block) == refused
        )
        #expect(try Self.carried(.objects(.transactions, [long]), answering: block) == refused)
        #expect(try Self.carried(.headers(headers), answering: block) == refused)
        #expect(try Self.carried(.objects(.blocks, []), answering: block) == .refused(.notFound))
        #expect(
            try Self.carried(.addresses([Self.address, Self.address]), answering: .addresses(limit: 1))
                == .addresses([Self.address])
        )
    }

    @Test("announcements beyond the limits are not sent")
    func announcementLimits() {
        #expect(ObjectAnnouncement.transaction(Array(repeating: 0, count: 400_001)).lightningBody == nil)
        #expect(ObjectAnnouncement.transaction(Array(repeating: 0, count: 59)).lightningBody == nil)
        #expect(ObjectAnnouncement.addresses([]).lightningBody == nil)
    }

    @Test("answers that are not what was asked for are refused")
    func wrongAnswers() throws {
        let block = ObjectRequest.block(Self.hash)
        let wrong: [(ObjectRequest, [UInt8])] = [
            (block, []), (block, [0]), (block, [0, 1, 2]), (block, [4]), (block, [1]), (block, [9, 1]),
            (block, [4, 79] + Array(repeating: 0, count: 79)), (block, [4, 80] + Array(repeating: 0, count: 79)),
            (block, [4, 0xfd, 0, 80] + Array(repeating: 0, count: 80)),
            (block, [4, 80] + Array(repeating: 0, count: 80) + [80]),
            (block, [4, 0xff] + Array(repeating: 0xff, count: 8)),
            (.filterHeaders(type: 0, start: 0, stop: Self.hash), [2, 31] + Array(repeating: 0, count: 31)),
            (.addresses(limit: 1), [6, 1]), (Self.headers, [1, 1]),
        ]
        for (request, body) in wrong {
            #expect(throws: BitcoinBodyError.self, "\(Hex.encode(body.prefix(8)))") {
                try ObjectAnswer(lightningBody: body, answering: request)
            }
        }
        #expect(try ObjectAnswer(lightningBody: [0, 77], answering: block) == .refused(.unavailable))
    }

    @Test("random changes to any body are read or refused, never worse")
    func mutations() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededRandom(seed: seed)
        let bodies = Self.answers.filter { if case .block = $0.0 { false } else { true } }
            .map { ($0.0, $0.1.lightningBody(answering: $0.0)) }
        for _ in 0..<20_000 {
            guard let (request, original) = bodies.randomElement(using: &random), !original.isEmpty else { continue }
            var body = original
            body[Int.random(in: body.indices, using: &random)] = .random(in: .min ... .max, using: &random)
            if Bool.random(using: &random) { body.removeLast(Int.random(in: 0..<body.count, using: &random)) }
            if let answer = try? ObjectAnswer(lightningBody: body, answering: request), answer != .refused(.unavailable)
            {
                #expect(answer.lightningBody(answering: request) == body, "seed \(seed)")
            }
            _ = try? ObjectAnnouncement(lightningBody: body)
            _ = try? ObjectRequest(lightningKind: body[0], body: body.dropFirst())
        }
    }

    private static func carried(_ answer: ObjectAnswer, answering request: ObjectRequest) throws -> ObjectAnswer {
        let body = answer.lightningBody(answering: request)
        #expect(body.count <= request.maximumLightningAnswer)
        return try ObjectAnswer(lightningBody: body, answering: request)
    }
}
