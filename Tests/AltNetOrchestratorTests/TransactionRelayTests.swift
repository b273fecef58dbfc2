// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetHeaderSync
import Testing

@testable import AltNetOrchestrator

@Suite("Which transactions of remotes reach the node")
struct TransactionRelayTests {
    /// By reference: the expectation macros do not take mutating calls.
    private final class Relay {
        var relay = TransactionRelay(now: .zero)
        var now = MonotonicInstant.zero

        func take(_ bytes: [UInt8], _ link: UInt64 = 1) -> TransactionRelay.Outcome? {
            self.relay.onTransaction(bytes, over: LinkID(link), now: self.now)
        }

        /// Hands out all that waits; how many that were.
        func drain(_ outcome: TransactionRelay.Outcome = .accepted, isFinal: Bool = true) -> Int {
            var count = 0
            while let next = self.relay.next() {
                self.relay.onOutcome(outcome, of: next, isFinal: isFinal)
                count += 1
            }
            return count
        }

        func count(_ outcome: TransactionRelay.Outcome) -> UInt64 { self.relay.counts[outcome] ?? 0 }
    }

    /// A transaction with a witness.
    private static func transaction(_ number: Int, witness: UInt8 = 1) -> [UInt8] {
        var bytes: [UInt8] = [2, 0, 0, 0, 0, 1, 1] + [UInt8](repeating: 7, count: 32)
        for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
        bytes += [0, 0xff, 0xff, 0xff, 0xff, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
        return bytes + [1, 1, witness, 0, 0, 0, 0]
    }

    @Test("each waits once, in the order in which they came")
    func order() {
        let relay = Relay()
        for number in 0..<5 { #expect(relay.take(Self.transaction(number)) == nil) }
        #expect(relay.take(Self.transaction(2)) == .duplicate)
        for number in 0..<5 { #expect(relay.relay.next()?.bytes == Self.transaction(number)) }
        #expect(relay.relay.next() == nil)
    }

    @Test("a copy with spoiled witnesses does not keep the true one out")
    func spoiled() {
        let relay = Relay()
        #expect(relay.take(Self.transaction(1, witness: 9)) == nil)
        #expect(relay.take(Self.transaction(1, witness: 1)) == nil)
    }

    @Test("what is no transaction goes no further, and is counted")
    func malformed() {
        let relay = Relay()
        #expect(relay.take([]) == .malformed)
        #expect(relay.take([UInt8](repeating: 0, count: 100)) == .malformed)
        #expect(relay.count(.malformed) == 2)
    }

    @Test("a link has a burst and a rate, and leaves the others theirs")
    func linkRate() {
        let relay = Relay()
        var number = 0
        func passes(_ link: UInt64) -> Bool {
            number += 1
            defer { _ = relay.drain() }
            return relay.take(Self.transaction(number), link) == nil
        }
        for _ in 0..<TransactionRelay.linkBurst { #expect(passes(1)) }
        #expect(!passes(1))
        relay.now = relay.now + .seconds(1)
        #expect(passes(1))
        #expect(!passes(1))
        #expect(passes(2))
        #expect(relay.count(.limited) == 2)
    }

    @Test("all links together have a rate, however many there are")
    func rate() {
        let relay = Relay()
        var passed = 0
        for second in 0..<10 {
            for link in 0..<100 {
                if relay.take(Self.transaction(second * 100 + link), UInt64(link)) == nil { passed += 1 }
                _ = relay.drain()
            }
            relay.now = relay.now + .seconds(1)
        }
        #expect(passed == TransactionRelay.burst + 9 * TransactionRelay.perSecond)
    }

    @Test("while the node is slow only so many wait, and none that was turned away counts as seen")
    func waiting() {
        let relay = Relay()
        for number in 0..<TransactionRelay.maximumWaiting {
            #expect(relay.take(Self.transaction(number), UInt64(number)) == nil)
            relay.now = relay.now + .seconds(1)
        }
        #expect(relay.take(Self.transaction(100), 100) == .busy)
        #expect(relay.drain() == TransactionRelay.maximumWaiting)
        #expect(relay.take(Self.transaction(100), 100) == nil)
    }

    @Test("what may end otherwise another time may come again, what may not may not")
    func again() {
        let relay = Relay()
        #expect(relay.take(Self.transaction(1)) == nil)
        _ = relay.drain(.failed, isFinal: false)
        #expect(relay.take(Self.transaction(1)) == nil)
        _ = relay.drain(.rejected)
        #expect(relay.take(Self.transaction(1)) == .duplicate)
        #expect(relay.count(.failed) == 1 && relay.count(.rejected) == 1)
    }

    @Test("so many are remembered, and the oldest is forgotten first")
    func memory() {
        let relay = Relay()
        func take(_ number: Int) -> TransactionRelay.Outcome? {
            defer {
                _ = relay.drain()
                relay.now = relay.now + .seconds(1)
            }
            return relay.take(Self.transaction(number))
        }
        for number in 0..<TransactionRelay.maximumRemembered { #expect(take(number) == nil) }
        #expect(take(0) == .duplicate)
        #expect(take(-1) == nil)
        #expect(take(0) == nil)
        #expect(take(2) == .duplicate)
        #expect(take(TransactionRelay.maximumRemembered - 1) == .duplicate)
    }
}
