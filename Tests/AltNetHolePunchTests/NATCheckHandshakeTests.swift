// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetHolePunch
import Testing

@Suite("NATQuestion and NATAnswer")
struct NATCheckHandshakeTests {
    static let time = WallClockTime(seconds: 1_800_000_000)
    static let seen = ExternalEndpoint("5.9.9.9:41000")

    private func question(asksBack: Bool = true) -> NATQuestion {
        NATQuestion(network: .main, nonce: 77, time: Self.time, userAgent: "/AltNet:1/", asksBack: asksBack)
    }

    private func answer(_ remote: String = "5.9.9.9:41000") throws -> NATAnswer {
        NATAnswer(
            network: .main, remote: try #require(ExternalEndpoint(remote)), nonce: 88, time: Self.time,
            userAgent: "/AltNet:1/")
    }

    /// What each side writes for the other.
    private func written(_ directives: [NATAnswer.Directive]) -> [UInt8] {
        directives.flatMap { if case .write(let bytes) = $0 { bytes } else { [UInt8]() } }
    }

    private func written(_ directives: [NATQuestion.Directive]) -> [UInt8] {
        directives.flatMap { if case .write(let bytes) = $0 { bytes } else { [UInt8]() } }
    }

    @Test("the asker learns where it is seen, and both are done after one message each", arguments: [true, false])
    func both(asksBack: Bool) throws {
        var question = self.question(asksBack: asksBack)
        var answer = try self.answer()
        let replies = answer.onBytes(self.written(question.onConnected()))
        let backs = replies.compactMap { if case .reachBack(let bytes) = $0 { bytes } else { nil } }
        #expect(backs.count == (asksBack ? 1 : 0))
        // In two pieces, as a network might cut it.
        let bytes = self.written(replies)
        #expect(question.onBytes(Array(bytes.prefix(100))).isEmpty)
        let end = question.onBytes(Array(bytes.dropFirst(100)))
        #expect(end.last == .told(try #require(Self.seen), reachesBack: asksBack))
        #expect(answer.onBytes(self.written(end)) == [.disconnect])
        #expect(answer.onBytes([1]).isEmpty)
        // The connection back is known by the asker's number, however it is cut, and no other is.
        guard let back = backs.first else { return }
        #expect(question.isBack(back) == true)
        #expect(question.isBack(Array(back.prefix(50))) == nil)
        #expect(question.isBack(bytes) == false)
        #expect(question.isBack(Array("GET / HTTP/1.1\r\n\r\n".utf8)) == false)
    }

    @Test("a node that is asked by a node without hole punching is not asked for a connection back")
    func core() throws {
        var question = self.question()
        _ = question.onConnected()
        // As Bitcoin Core answers.
        let version = P2PVersion(
            protocolVersion: 70016, services: 0x0c09, time: 1_800_000_000, nonce: 5,
            userAgent: Array("/Satoshi:31.0.0/".utf8), startHeight: 900_000, relay: true,
            receiver: try #require(P2PAddressField(address: [5, 9, 9, 9], port: 41000)))
        let told = question.onBytes(P2PMessage.version(version).encoded(for: .main))
        #expect(told.last == .told(try #require(Self.seen), reachesBack: false))
    }

    @Test("witnesses that tell nothing are named with the reason")
    func nothing() {
        for (message, network, reason) in [
            (P2PMessage.version(Self.version()), Network.main, "it does not tell where it sees us"),
            (.version(Self.version(nonce: 77)), .main, "it is this node itself"),
            (.version(Self.version()), .regtest, "it does not speak Bitcoin's protocol, or is of another network"),
        ] {
            var question = self.question()
            _ = question.onConnected()
            #expect(question.onBytes(message.encoded(for: network)) == [.failed(reason)])
            #expect(question.onBytes([0]).isEmpty)
        }
        var chatty = self.question()
        let pings = (0..<9).flatMap { P2PMessage.ping($0).encoded(for: .main) }
        #expect(chatty.onBytes(pings) == [.failed("no version message")])
        var long = self.question()
        let block = P2PMessage.frame(command: "version", payload: [UInt8](repeating: 0, count: 2000), network: .main)
        #expect(long.onBytes(block) == [.failed("it does not keep to Bitcoin's protocol")])
    }

    static func version(nonce: UInt64 = 5) -> P2PVersion {
        P2PVersion(
            protocolVersion: 70016, services: 0, time: 0, nonce: nonce, userAgent: [], startHeight: 0, relay: false)
    }

    @Test("the answering side connects back once, to the port that it saw, and never to the ports of services")
    func back() throws {
        let asking = self.written(
            {
                var question = self.question(); return question.onConnected()
            }())
        var low = try self.answer("5.9.9.9:443")
        #expect(!low.onBytes(asking).contains { if case .reachBack = $0 { true } else { false } })
        var twice = try self.answer()
        let replies = twice.onBytes(asking + asking)
        #expect(replies.count { if case .reachBack = $0 { true } else { false } } == 1)
        #expect(replies.count { if case .write = $0 { true } else { false } } == 1)
        var flood = try self.answer()
        let pings = (0..<9).flatMap { P2PMessage.ping($0).encoded(for: .main) }
        #expect(flood.onBytes(pings) == [.disconnect])
        var foreign = try self.answer()
        #expect(foreign.onBytes([1, 2, 3, 4]) == [.disconnect])
    }

    @Test("limits hold for each network group, in all, and at a time, and time frees them")
    func limits() {
        var limits = NATAnswerLimits()
        var now = MonotonicInstant.zero
        for _ in 0..<NATAnswerLimits.maximumPerGroup {
            #expect(
                {
                    let isTaken = limits.begin(group: "1.2", now: now); limits.ended(); return isTaken
                }())
        }
        let ninth = limits.begin(group: "1.2", now: now)
        #expect(!ninth)
        var taken = 0
        for group in 0..<1_000 where limits.begin(group: "g\(group)", now: now) { taken += 1 }
        #expect(taken == NATAnswerLimits.maximumAtOnce)
        for _ in 0..<taken { limits.ended() }
        for group in 0..<10_000 where limits.begin(group: "h\(group)", now: now) {
            limits.ended()
            taken += 1
        }
        #expect(taken + NATAnswerLimits.maximumPerGroup == NATAnswerLimits.maximumInAll)
        now = now + NATAnswerLimits.window
        let again = limits.begin(group: "1.2", now: now)
        #expect(again)
    }

    @Test("few connections back are made at a time, and checks go on without them")
    func backLimits() {
        var limits = NATAnswerLimits()
        for _ in 0..<NATAnswerLimits.maximumBackAtOnce {
            let granted = limits.beginBack()
            #expect(granted)
        }
        let refused = limits.beginBack()
        #expect(!refused)
        let answered = limits.begin(group: "1.2", now: .zero)
        #expect(answered)
        limits.endedBack()
        let again = limits.beginBack()
        #expect(again)
    }
}
