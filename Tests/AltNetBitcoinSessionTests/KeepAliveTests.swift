// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetObjects
import Testing

@testable import AltNetBitcoinSession

@Suite("Pings and floods")
struct KeepAliveTests {
    @Test("asks every two minutes whether the other side is there")
    func ping() {
        var script = SessionScript.established()
        #expect(script.wait(.seconds(119)).isQuiet)
        var nonces: Set<UInt64> = []
        for _ in 0..<5 {
            let outcome = script.wait(.seconds(121))
            guard case .ping(let nonce)? = outcome.written.first else { return #expect(Bool(false), "no ping") }
            nonces.insert(nonce)
            #expect(script.receive(.pong(nonce)).isQuiet)
        }
        #expect(nonces.count == 5)
        #expect(!nonces.contains(0))
    }

    @Test("ends five minutes after a ping without its pong")
    func noPong() {
        var script = SessionScript.established()
        #expect(script.wait(.seconds(120)).commands == ["ping"])
        #expect(script.wait(.seconds(299)).isQuiet)
        #expect(script.wait(.seconds(1)).end?.code == .timedOut)
    }

    @Test("ignores pongs that answer nothing")
    func strangePong() {
        var script = SessionScript.established()
        #expect(script.receive(.pong(1)).isQuiet)
        _ = script.wait(.seconds(120))
        #expect(script.receive(.pong(1)).isQuiet)
        #expect(script.wait(.seconds(300)).end?.code == .timedOut)
    }

    @Test("answers pings, but not without end")
    func pingFlood() {
        var script = SessionScript.established()
        for nonce in 0..<60 { #expect(script.receive(.ping(UInt64(nonce))).written == [.pong(UInt64(nonce))]) }
        #expect(script.receive(.ping(60)).end?.code == .limitExceeded)
    }

    @Test("endures a ping per second for an hour")
    func patientPings() {
        var script = SessionScript.established()
        for second in 0..<3600 {
            let outcome = script.receive(.ping(UInt64(second)))
            #expect(outcome.end == nil)
            for message in script.wait(.seconds(1)).written {
                if case .ping(let nonce) = message { _ = script.receive(.pong(nonce)) }
            }
        }
    }

    /// Messages that an honest node sends sometimes and a flood all the time.
    @Test(
        "ends a flood of what nobody asked for",
        arguments: [
            P2PMessage.inv([]), .addr([]), .feefilter(1), .sendheaders, .sendcmpct(highBandwidth: false, version: 2),
            .unknown(command: "x", size: 0), .headers([]), .notfound([]), .pong(1), .getaddr, .tx([]), .verack,
        ]
    )
    func messageFlood(message: P2PMessage) {
        var script = SessionScript.established()
        let burst = Int(BitcoinPeerLimits.unneededMessages.burst)
        for _ in 0..<burst { #expect(script.receive(message).end == nil) }
        #expect(script.receive(message).end?.code == .limitExceeded)
    }

    @Test("ends a flood of bytes")
    func byteFlood() {
        var script = SessionScript.established()
        let big = P2PMessage.unknown(command: "x", size: 4_000_000)
        #expect(script.receive(big).isQuiet)
        #expect(script.receive(big).isQuiet)
        #expect(script.receive(big).end?.code == .limitExceeded)
    }

    @Test("ends a flood before the handshake too")
    func strangersFlood() {
        var script = SessionScript(direction: .inbound)
        _ = script.connect()
        var end: DisconnectReason?
        for _ in 0...1000 where end == nil { end = script.receive(.verack).end }
        #expect(end?.code == .limitExceeded)
    }

    @Test("forgives at the rate it names")
    func tokenBucket() {
        var bucket = AltNetBitcoinSession.TokenBucket((burst: 2, perSecond: 0.5))
        var now = MonotonicInstant.zero
        #expect(bucket.take(now: now) == true)
        #expect(bucket.take(now: now) == true)
        #expect(bucket.take(now: now) == false)
        now = now + .seconds(2)
        #expect(bucket.take(now: now) == true)
        #expect(bucket.take(now: now) == false)
        now = now + .seconds(3600)
        #expect(bucket.takeSome(of: 5, now: now) == 2)
        #expect(bucket.takeSome(of: 5, now: now) == 0)
    }
}
