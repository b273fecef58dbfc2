// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetDriverProtocol
import AltNetObjects
import Testing

@testable import AltNetDriverHost

@Suite("What a driver may say and hear")
struct DriverSessionTests {
    private static let capabilities = DriverCapabilities(
        requests: [.headers, .blocks], serves: [.headers, .blocks], announces: [.tips], direction: .both,
        latency: .seconds, bandwidth: .kilobytes, cost: .free, exposure: .none)
    private static let link = DriverLink(1)
    private static let wanted = ObjectRequest.headers(locator: [], stop: .zero, heightHint: 0, limit: 1)

    /// A session by reference: the expectation macros do not take mutating calls.
    private final class Attached {
        var session: DriverSession

        init(traffic: Set<ObjectKind>, capabilities: DriverCapabilities = DriverSessionTests.capabilities) {
            self.session = DriverSession(capabilities: capabilities, traffic: traffic)
        }

        func onEvent(_ event: DriverEvent) throws -> DriverSession.Verdict { try self.session.onEvent(event) }
        func onCommand(_ command: DriverCommand) -> DriverSession.Verdict { self.session.onCommand(command) }
    }

    /// A token bucket by reference, with a clock.
    private final class Budget {
        var bucket = AltNetDriverHost.TokenBucket(perSecond: 10, now: .zero)
        var now = MonotonicInstant.zero

        func take(_ amount: Int) -> Duration { self.bucket.take(amount, now: self.now) }
        func takeOne() -> Bool { self.bucket.takeOne(now: self.now) }
    }

    private static func session(traffic: Set<ObjectKind> = Set(ObjectKind.allCases)) throws -> Attached {
        let session = Attached(traffic: traffic)
        #expect(try session.onEvent(.linkOpened(Self.link, Self.description)) == .pass)
        return session
    }

    private static let description = DriverLinkDescription(
        target: "a", remote: "a",
        peer: LinkPeer(identity: "", agent: UntrustedText(""), claimedHeight: nil, serves: [.headers]))

    @Test("what the operator does not let it carry neither goes out nor comes in")
    func traffic() throws {
        let session = try Self.session(traffic: [.blocks])
        #expect(session.onCommand(.request(Self.link, id: 1, Self.wanted)) == .refuse(Self.link, id: 1, .unsupported))
        #expect(session.onCommand(.request(Self.link, id: 2, .block(.zero))) == .pass)
        #expect(
            try session.onEvent(.request(Self.link, id: 1, Self.wanted)) == .refuse(Self.link, id: 1, .unsupported))
        let tip = ObjectAnnouncement.tip(header: Network.regtest.genesis, height: 0)
        #expect(try session.onEvent(.announcement(Self.link, tip)) == .drop)
        #expect(session.onCommand(.announcement(.all, tip)) == .drop)
    }

    @Test("an answer passes once, and only to a request")
    func answers() throws {
        let session = try Self.session()
        #expect(try session.onEvent(.answer(Self.link, id: 7, .headers([]))) == .drop)
        #expect(session.onCommand(.request(Self.link, id: 7, Self.wanted)) == .pass)
        #expect(try session.onEvent(.answer(Self.link, id: 7, .headers([]))) == .pass)
        #expect(try session.onEvent(.answer(Self.link, id: 7, .headers([]))) == .drop)
    }

    @Test("more unanswered requests than allowed are refused, in both directions")
    func openRequests() throws {
        let session = try Self.session()
        for id in 0..<UInt64(DriverProtocol.maximumOpenRequests) {
            #expect(session.onCommand(.request(Self.link, id: id, Self.wanted)) == .pass)
            #expect(try session.onEvent(.request(Self.link, id: id, Self.wanted)) == .pass)
        }
        #expect(session.onCommand(.request(Self.link, id: 99, Self.wanted)) == .refuse(Self.link, id: 99, .busy))
        #expect(try session.onEvent(.request(Self.link, id: 99, Self.wanted)) == .refuse(Self.link, id: 99, .busy))
        #expect(session.onCommand(.answer(Self.link, id: 0, .headers([]))) == .pass)
        #expect(try session.onEvent(.request(Self.link, id: 99, Self.wanted)) == .pass)
    }

    @Test("what names a link that is gone is ignored, because both sides speak at once")
    func closedLink() throws {
        let session = try Self.session()
        #expect(try session.onEvent(.linkClosed(Self.link, DisconnectReason(.closed, ""))) == .pass)
        #expect(try session.onEvent(.linkClosed(Self.link, DisconnectReason(.closed, ""))) == .drop)
        #expect(try session.onEvent(.request(Self.link, id: 1, Self.wanted)) == .drop)
        #expect(session.onCommand(.request(Self.link, id: 1, Self.wanted)) == .drop)
    }

    @Test("what its capabilities do not name breaks the protocol")
    func capabilities() throws {
        let session = try Self.session()
        #expect(throws: DriverProtocolError.self) {
            try session.onEvent(.request(Self.link, id: 1, .addresses(limit: 1)))
        }
        #expect(throws: DriverProtocolError.self) { try session.onEvent(.announcement(Self.link, .transaction([]))) }
        #expect(throws: DriverProtocolError.self) { try session.onEvent(.linkOpened(Self.link, Self.description)) }
    }

    @Test("a budget lets a second's worth through at once, and then its rate")
    func budget() {
        let budget = Budget()
        for _ in 0..<10 { #expect(budget.take(1) == .zero) }
        #expect(budget.take(5) == .milliseconds(500))
        budget.now = budget.now + .milliseconds(500)
        #expect(budget.take(0) == .zero)
        #expect(!budget.takeOne())
        budget.now = budget.now + .seconds(3600)
        for _ in 0..<10 { #expect(budget.takeOne()) }
        #expect(!budget.takeOne())
    }

    // MARK: - Streams

    private static let stream = StreamID(.us, 0)

    /// An attached driver whose links carry streams, with links 1 to `links`; the remote of link 1 takes none.
    private static func streaming(links: UInt64 = 2) throws -> Attached {
        var capabilities = Self.capabilities
        capabilities.streams = true
        let session = Attached(traffic: Set(ObjectKind.allCases), capabilities: capabilities)
        for number in 1...links {
            var description = Self.description
            description.peer.takesStreams = number > 1
            #expect(try session.onEvent(.linkOpened(DriverLink(number), description)) == .pass)
        }
        return session
    }

    @Test("a driver without the capability neither brings streams nor gets any")
    func withoutStreams() throws {
        let session = try Self.session()
        #expect(
            session.onCommand(.stream(Self.link, Self.stream, .open(.bitcoinP2P)))
                == .refuseStream(Self.link, Self.stream, .unsupported))
        #expect(throws: DriverProtocolError.self) {
            try session.onEvent(.stream(Self.link, StreamID(.remote, 0), .open(.bitcoinP2P)))
        }
        var description = Self.description
        description.peer.takesStreams = true
        #expect(throws: DriverProtocolError.self) { try session.onEvent(.linkOpened(DriverLink(2), description)) }
    }

    @Test("streams are opened over links that are open and whose remotes take them")
    func openStreams() throws {
        let session = try Self.streaming()
        let open = StreamMessage.open(.bitcoinP2P)
        for (link, refusal) in [(DriverLink(1), StreamRefusal.unsupported), (DriverLink(9), .unavailable)] {
            #expect(session.onCommand(.stream(link, Self.stream, open)) == .refuseStream(link, Self.stream, refusal))
        }
        #expect(session.onCommand(.stream(DriverLink(2), Self.stream, open)) == .pass)
        #expect(try session.onEvent(.stream(DriverLink(2), Self.stream, .opened)) == .pass)
        #expect(try session.onEvent(.stream(DriverLink(1), StreamID(.remote, 0), open)) == .pass)
        #expect(try session.onEvent(.linkClosed(DriverLink(2), DisconnectReason(.closed, ""))) == .pass)
        #expect(session.onCommand(.stream(DriverLink(2), Self.stream, .data([1]))) == .drop)
        #expect(try session.onEvent(.stream(DriverLink(2), Self.stream, .data([1]))) == .drop)
    }

    @Test("a driver that sends a stream more than its credit breaks the protocol; we never do")
    func credit() throws {
        let session = try Self.streaming()
        let link = DriverLink(2)
        #expect(session.onCommand(.stream(link, Self.stream, .open(.bitcoinP2P))) == .pass)
        #expect(try session.onEvent(.stream(link, Self.stream, .opened)) == .pass)
        let piece = StreamMessage.data([UInt8](repeating: 0, count: StreamLimits.maximumPiece))
        for _ in 0..<(StreamLimits.window / StreamLimits.maximumPiece) {
            #expect(try session.onEvent(.stream(link, Self.stream, piece)) == .pass)
            #expect(session.onCommand(.stream(link, Self.stream, piece)) == .pass)
        }
        #expect(session.onCommand(.stream(link, Self.stream, .data([1]))) == .drop)
        #expect(throws: DriverProtocolError.self) { try session.onEvent(.stream(link, Self.stream, .data([1]))) }
        #expect(throws: DriverProtocolError.self) {
            try session.onEvent(.stream(link, StreamID(.us, 7), .data([1])))
        }
    }

    @Test("all links of a driver together have a bounded number of streams")
    func allStreams() throws {
        let session = try Self.streaming(links: 20)
        let open = StreamMessage.open(.bitcoinP2P)
        var passed = 0
        for link in UInt64(2)...20 {
            for index in UInt32(0)..<8 {
                let verdict = try session.onEvent(.stream(DriverLink(link), StreamID(.remote, index), open))
                if verdict == .pass { passed += 1 }
                #expect(
                    verdict == .pass || verdict == .refuseStream(DriverLink(link), StreamID(.remote, index), .busy))
            }
        }
        #expect(passed == DriverProtocol.maximumStreams)
    }
}
