// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetControl
import Testing

@testable import AltNetWeb

@Suite("Sessions, tokens and addresses")
struct SessionsTests {
    private let start = WallClockTime(seconds: 1_000)

    @Test("codes and sessions end in time, and there are never more than the bound")
    func bounds() {
        var sessions = Sessions()
        for number in 0..<Sessions.maximumCodes + 1 {
            _ = sessions.addCode("code \(number)", scope: .full, now: self.start)
        }
        #expect(sessions.use(code: "code 0", now: self.start) == nil)
        #expect(sessions.use(code: "code 1", now: self.start) == .full)
        #expect(sessions.use(code: "code 1", now: self.start) == nil)
        #expect(sessions.use(code: "code 2", now: self.start + Sessions.codeLifetime) == nil)

        for number in 0..<Sessions.maximumSessions + 1 {
            sessions.begin("secret \(number)", csrfToken: "", scope: .readOnly, now: self.start)
        }
        #expect(sessions.find("secret 0", now: self.start) == nil)
        #expect(sessions.find("secret 1", now: self.start)?.scope == .readOnly)
        #expect(sessions.find("secret 1", now: self.start + Sessions.lifetime) == nil)
    }

    @Test("failures are counted in bursts and earned back with time")
    func failures() {
        var budget = FailureBudget(now: .zero)
        var taken = 0
        for _ in 0..<100 where budget.take(now: .zero) { taken += 1 }
        #expect(taken == FailureBudget.burst)
        let afterOne = budget.take(now: .zero + FailureBudget.interval)
        let afterTwo = budget.take(now: .zero + FailureBudget.interval)
        #expect(afterOne && !afterTwo)
        for _ in 0..<100 where budget.take(now: .zero + .seconds(1_000_000)) { taken += 1 }
        #expect(taken == 2 * FailureBudget.burst)
    }

    @Test(
        "loopback addresses are read",
        arguments: [
            ("127.0.0.1:8430", "127.0.0.1:8430"), ("localhost:1", "127.0.0.1:1"), ("[::1]:80", "[::1]:80"),
            ("127.9.8.7:0", "127.9.8.7:0"),
        ])
    func loopback(text: String, read: String) throws {
        #expect(try LoopbackAddress(text).description == read)
    }

    @Test(
        "any other address is refused",
        arguments: [
            "0.0.0.0:8430", "192.168.0.1:80", "[::]:80", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1.evil:80",
            "127.1:80", ":80", "", "127.0.0.01:80",
        ])
    func refused(text: String) {
        #expect(throws: LoopbackAddress.Failure.self) { try LoopbackAddress(text) }
    }

    @Test("a place is given back when its pass goes, to who waits first")
    func turnstile() async {
        let turnstile = Turnstile(1)
        var pass = turnstile.tryEnter()
        #expect(pass != nil && turnstile.tryEnter() == nil)
        let waiting = Task { withExtendedLifetime(await turnstile.enter()) {} }
        pass = nil
        await waiting.value
        pass = turnstile.tryEnter()
        #expect(pass != nil)
    }
}
