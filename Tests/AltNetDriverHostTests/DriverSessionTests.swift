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

        init(traffic: Set<ObjectKind>) {
            self.session = DriverSession(capabilities: DriverSessionTests.capabilities, traffic: traffic)
        }

        func onEvent(_ event: DriverEvent) throws -> DriverSession.Verdict { try self.session.onEvent(event) }
        func onCommand(_ command: DriverCommand) -> DriverSession.Verdict { self.session.onCommand(command) }
    }

    /// A token bucket by reference, with a clock.
    private final class Budget {
        var bucket = TokenBucket(perSecond: 10, now: .zero)
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
}
