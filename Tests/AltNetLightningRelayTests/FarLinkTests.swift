// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetLightning
import AltNetObjects
import Testing

@testable import AltNetLightningRelay

@Suite("FarLinkSession and FarServerSession")
struct FarLinkTests {
    private static func answers(_ world: FarWorld, _ link: Int = 0) -> [UInt64: ObjectAnswer] {
        var answers: [UInt64: ObjectAnswer] = [:]
        for case .answer(let id, let answer) in world.said[link] {
            #expect(answers[id] == nil)
            answers[id] = answer
        }
        return answers
    }

    private static func transactions(_ world: FarWorld) -> [[UInt8]] {
        world.served.compactMap { if case .announcement(.transaction(let bytes)) = $0 { bytes } else { nil } }
    }

    /// A block that differs from hash to hash and from place to place.
    private static func block(_ hash: BlockHash, length: Int) -> [UInt8] {
        var block = [UInt8](repeating: hash.bytes[0], count: length)
        for place in stride(from: 0, to: length, by: 97) { block[place] = UInt8(truncatingIfNeeded: place / 97) }
        return block
    }

    private static func hash(_ number: UInt8) -> BlockHash {
        BlockHash(bytes: Array(repeating: number, count: 32)) ?? .zero
    }

    @Test("the link stands when the far node answers the first ping, and says what it serves and nothing else")
    func established() {
        var world = FarWorld(links: 1, seed: 1)
        world.connect()
        world.run(for: .seconds(5))
        let peer = LinkPeer(
            identity: "02", agent: UntrustedText(""), claimedHeight: nil, serves: [.headers, .blocks, .addresses])
        #expect(world.said[0] == [.established(peer)])
        #expect(
            world.served == [
                .established(LinkPeer(identity: "", agent: UntrustedText(""), claimedHeight: nil, serves: []))
            ])
        // From then on it is asked every minute.
        world.run(for: .seconds(600))
        #expect(world.said[0].count == 1)
        #expect((9...11).contains(world.messages))
    }

    @Test("a far node that answers no ping is given up after the third, at the start and later")
    func unreachable() {
        var world = FarWorld(links: 1, seed: 1)
        world.loss = 100
        world.connect()
        world.run(for: .seconds(79))
        #expect(world.said[0].isEmpty)
        world.run(for: .seconds(2))
        #expect(world.said[0] == [.disconnect(DisconnectReason(.unreachable, "no answer to 3 pings"))])
        #expect(world.messages == 3)

        world = FarWorld(links: 1, seed: 1)
        world.connect()
        world.run(for: .seconds(5))
        world.loss = 100
        world.run(for: .seconds(300))
        #expect(world.said[0].last == .disconnect(DisconnectReason(.timedOut, "no answer to 3 pings")))
    }

    @Test("a far node on another chain is left")
    func otherChain() {
        var configuration = FarWorld.server
        configuration.network = .signet
        var world = FarWorld(links: 1, seed: 1, server: configuration)
        world.connect()
        world.run(for: .seconds(5))
        #expect(
            world.said[0] == [.disconnect(DisconnectReason(.wrongNetwork, "the far node is not on regtest"))])
    }

    @Test(
        "blocks of any length arrive whole while messages get lost",
        arguments: [80, 65_444, 65_500, 400_000, 4_000_000])
    func blocks(_ length: Int) {
        var world = FarWorld(links: 1, seed: UInt64(length))
        world.objects = { request in
            guard case .block(let hash) = request else { return .refused(.invalid) }
            return .objects(.blocks, [Self.block(hash, length: length)])
        }
        world.connect()
        world.run(for: .seconds(20))
        world.loss = 5
        world.request(0, id: 7, .block(Self.hash(9)))
        world.run(for: .seconds(200))
        #expect(Self.answers(world)[7] == .objects(.blocks, [Self.block(Self.hash(9), length: length)]))
        // Whatever was asked again, the node behind was asked once or twice.
        let asked = world.served.count { if case .request = $0 { true } else { false } }
        #expect(asked <= 2)
    }

    @Test("many askers at once each get what they asked for, whatever gets lost", arguments: 0..<20)
    func crowd(_ seed: Int) {
        var world = FarWorld(links: 12, seed: UInt64(seed))
        world.objects = { request in
            guard case .block(let hash) = request else { return .refused(.notFound) }
            return .objects(.blocks, [Self.block(hash, length: 80 + Int(hash.bytes[0]) * 1000)])
        }
        world.connect()
        world.run(for: .seconds(5))
        world.loss = 10
        for link in 0..<12 {
            for id in 0..<6 { world.request(link, id: UInt64(id), .block(Self.hash(UInt8(link * 6 + id)))) }
        }
        world.run(for: .seconds(400))
        var served = 0
        for link in 0..<12 {
            let answers = Self.answers(world, link)
            let isEstablished = world.said[link].contains { if case .established = $0 { true } else { false } }
            #expect(isEstablished)
            #expect(answers.count == 6)
            for (id, answer) in answers {
                let hash = Self.hash(UInt8(link * 6 + Int(id)))
                let block = Self.block(hash, length: 80 + Int(hash.bytes[0]) * 1000)
                #expect(
                    [.objects(.blocks, [block]), .refused(.busy), .refused(.unavailable)].contains(answer))
                if case .objects = answer { served += 1 }
            }
        }
        #expect(served > 0)
    }

    @Test("headers are asked for with a locator and a limit that fit, and come in one answer")
    func headers() throws {
        var world = FarWorld(links: 1, seed: 1)
        let locator = (0..<101).map { Self.hash(UInt8($0)) }
        world.objects = { _ in .headers([]) }
        world.connect()
        world.run(for: .seconds(5))
        world.request(0, id: 1, .headers(locator: locator, stop: .zero, heightHint: 5, limit: 8192))
        world.run(for: .seconds(5))
        #expect(Self.answers(world)[1] == .headers([]))
        guard case .request(_, .headers(let asked, _, let height, let limit))? = world.served.last else {
            Issue.record("nothing was asked")
            return
        }
        #expect(asked.count == 29 && asked.first == locator.first && asked.last == locator.last)
        #expect(height == 0 && limit == 1334)
    }

    @Test("what is not served, makes no sense or comes too early is refused at once, and too much as busy")
    func refusals() {
        var world = FarWorld(links: 1, seed: 1)
        world.request(0, id: 1, .block(.zero))
        world.connect()
        world.run(for: .seconds(5))
        world.request(0, id: 2, .transaction(.zero))
        world.request(0, id: 3, .addresses(limit: 0))
        for id in 10..<27 { world.request(0, id: UInt64(id), .block(Self.hash(UInt8(id)))) }
        #expect(Self.answers(world)[1] == .refused(.unavailable))
        #expect(Self.answers(world)[2] == .refused(.unsupported))
        #expect(Self.answers(world)[3] == .refused(.invalid))
        #expect(Self.answers(world)[26] == .refused(.busy))
        world.run(for: .seconds(60))
        #expect((10..<26).allSatisfy { Self.answers(world)[$0] == .refused(.notFound) })
        // Nobody asks the askers.
        #expect(
            world.server.onRequest(id: 1, .block(.zero), now: world.now) == [
                .answer(id: 1, .refused(.unsupported))
            ])
    }

    @Test("a path without room for an answer is refused and not tried")
    func noRoom() {
        var configuration = FarWorld.link
        configuration.longestAnswer = 60
        var world = FarWorld(links: 1, seed: 1, link: configuration)
        world.connect()
        world.run(for: .seconds(5))
        world.request(0, id: 1, .block(.zero))
        #expect(Self.answers(world)[1] == .refused(.unsupported))
    }

    @Test("a request whose messages all get lost is answered as unavailable")
    func lost() {
        var world = FarWorld(links: 1, seed: 1)
        world.connect()
        world.run(for: .seconds(5))
        world.loss = 100
        world.request(0, id: 1, .block(.zero))
        world.run(for: .seconds(59))
        #expect(Self.answers(world).isEmpty)
        world.run(for: .seconds(2))
        #expect(Self.answers(world)[1] == .refused(.unavailable))
        #expect(world.links[0].lost >= 1 && world.links[0].resent == 2)
    }

    @Test(
        "transactions of any length are handed over once, while messages get lost", arguments: [60, 967, 968, 50_000])
    func handingOver(_ length: Int) {
        var world = FarWorld(links: 1, seed: UInt64(length))
        world.connect()
        world.run(for: .seconds(5))
        world.loss = 3
        let transaction = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        world.announce(0, .transaction(transaction))
        // Tips and addresses say something about us, and a transaction that waits already is not sent twice.
        world.announce(0, .transaction(transaction))
        world.announce(0, .addresses([]))
        world.run(for: .seconds(280))
        #expect(Self.transactions(world) == [transaction])
        #expect(world.links[0].heldBytes == 0 && world.server.heldBytes == 0)
    }

    @Test("a reported loss counts for one attempt, and what is underway is waited for")
    func reportedLosses() throws {
        var session = FarLinkSession(FarWorld.link, seed: 3)
        func frames(_ directives: [LinkDirective]) -> [[UInt8]] {
            directives.compactMap { if case .write(let bytes) = $0 { bytes } else { nil } }
        }
        let start = MonotonicInstant.zero
        let ping = try RelayFrame(decoding: try #require(frames(session.onConnected(now: start)).first))
        let pong = RelayFrame(ping.requestID, .pong(chain: Network.regtest.chainHash, serves: [.blocks]))
        _ = session.onBytes(pong.encoded, now: start)
        let asked = try #require(frames(session.onRequest(id: 1, .block(.zero), now: start)).first)
        // Too late after 20 seconds, so it is sent again; only then the first attempt is reported.
        #expect(frames(session.onTimer(now: start + .seconds(20))) == [asked])
        #expect(session.onBytes(RelayFrame.lost(asked), now: start + .seconds(21)).isEmpty)
        #expect(frames(session.onTimer(now: start + .seconds(30))).isEmpty)
        // The second as well: after a pause, the third attempt. More reports change nothing.
        _ = session.onBytes(RelayFrame.lost(asked), now: start + .seconds(31))
        #expect(session.onBytes(RelayFrame.lost(asked), now: start + .seconds(31)).isEmpty)
        #expect(frames(session.onTimer(now: start + .seconds(35))).isEmpty)
        #expect(frames(session.onTimer(now: start + .seconds(36))) == [asked])
        // Losses of what nobody sent change nothing either.
        let other = RelayFrame(7, .ping).encoded
        #expect(session.onBytes(RelayFrame.lost(other), now: start + .seconds(37)).isEmpty)
        let end = session.onBytes(RelayFrame.lost(asked), now: start + .seconds(38))
        #expect(end.contains(.answer(id: 1, .refused(.unavailable))))
        #expect(session.lost == 1 && session.resent == 2 && session.openMessages == 0)
    }

    @Test("an answer that is not what was asked for ends the link")
    func violations() {
        for wrong in [
            RelayFrame.Content.textTaken, .objectAnswer(total: 9, offset: 1, part: [1]),
            .objectAnswer(total: 70_000, offset: 0, part: Array(repeating: 4, count: 255)),
            .objectAnswer(total: 3, offset: 0, part: [4, 1, 1]),
            .objectAnswer(total: 2, offset: 0, part: [2, 1]),
        ] {
            var session = FarLinkSession(FarWorld.link, seed: 3)
            func frame(_ directives: [LinkDirective]) throws -> RelayFrame {
                for case .write(let bytes) in directives { return try RelayFrame(decoding: bytes) }
                throw RelayFrameError.unknownKind(0)
            }
            do {
                let ping = try frame(session.onConnected(now: .zero))
                let pong = RelayFrame(
                    ping.requestID, .pong(chain: Network.regtest.chainHash, serves: [.blocks]))
                _ = session.onBytes(pong.encoded, now: .zero)
                let asked = try frame(session.onRequest(id: 1, .block(.zero), now: .zero))
                // Answers to questions that nobody asked change nothing.
                let unasked = RelayFrame(asked.requestID ^ 1, wrong)
                #expect(session.onBytes(unasked.encoded, now: .zero).isEmpty)
                let directives = session.onBytes(RelayFrame(asked.requestID, wrong).encoded, now: .zero)
                #expect(directives.first == .answer(id: 1, .refused(.unavailable)))
                guard case .disconnect(let reason)? = directives.last else {
                    Issue.record("still connected after \(wrong)")
                    continue
                }
                #expect(reason.code == .protocolViolation)
                #expect(session.onTimer(now: .zero).isEmpty)
            } catch {
                Issue.record(error)
            }
        }
    }
}
