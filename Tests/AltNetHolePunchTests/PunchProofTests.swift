// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetHolePunch

@Suite("PunchProof")
struct PunchProofTests {
    private let responderNonce = [UInt8](repeating: 0xaa, count: 32)
    private let initiatorNonce = [UInt8](repeating: 0xbb, count: 32)

    private func proof(_ role: PunchRole, attempt: UInt8 = 1) -> PunchProof {
        PunchProof(
            role: role, attempt: attempt, initiatorNonce: self.initiatorNonce, responderNonce: self.responderNonce)
    }

    @Test("both proofs are what HMAC-SHA256 of another implementation gives")
    func vectors() {
        // Python: hmac.new(sha256(b"altnet-holepunch" + a + b), bytes([role, attempt]), sha256)
        #expect(
            Hex.encode(self.proof(.initiator).send)
                == "886ecc156444b565814f0271ed60c6ff57664714436415d0da33126cea3ef395")
        #expect(
            Hex.encode(self.proof(.responder).send)
                == "62b8a93f3402e5ebcd595beec4fc6546ed9daaaa1e82efcbbd2e2e7d6331edf8")
        #expect(
            Hex.encode(self.proof(.initiator, attempt: 2).send)
                == "c97766487355d5195f6b5e3a1e84610f5b3bf7d097b830d0292909d6e6c4ed4e")
    }

    @Test("the initiator speaks first, the responder answers, and what follows is Bitcoin's, however it is cut")
    func exchange() {
        for cut in 0...36 {
            var initiator = self.proof(.initiator)
            var responder = self.proof(.responder)
            #expect(responder.opening.isEmpty)
            #expect(initiator.opening == initiator.send)
            let stream = initiator.opening + [1, 2, 3, 4]
            var verdict = responder.onBytes(Array(stream.prefix(cut)))
            var rest: [UInt8] = []
            if case .incomplete = verdict {
                verdict = responder.onBytes(Array(stream.dropFirst(cut)))
            } else {
                rest = Array(stream.dropFirst(cut))
            }
            guard case .proved(let answer, let first) = verdict else {
                Issue.record("not proved (\(cut))")
                continue
            }
            #expect(first + rest == [1, 2, 3, 4])
            #expect(initiator.onBytes(answer) == .proved(write: [], rest: []))
        }
    }

    @Test("any wrong byte, the own proof, another attempt's and another connection's are refused")
    func wrong() {
        let right = self.proof(.initiator).send
        for index in right.indices {
            var bytes = right
            bytes[index] ^= 1
            var responder = self.proof(.responder)
            #expect(responder.onBytes(bytes) == .wrong)
        }
        for bytes in [self.proof(.responder).send, self.proof(.initiator, attempt: 2).send] {
            var responder = self.proof(.responder)
            #expect(responder.onBytes(bytes) == .wrong)
        }
        var other = PunchProof(
            role: .responder, attempt: 1, initiatorNonce: self.initiatorNonce,
            responderNonce: [UInt8](repeating: 0xac, count: 32))
        #expect(other.onBytes(right) == .wrong)
    }
}

@Suite("Session clock")
struct SessionClockTests {
    @Test("the answer with the shortest round trip tells the time, to half of what the two ways differ")
    func agreement() {
        var random = SeededRandom(seed: 4)
        for _ in 0..<2_000 {
            let offset = Int64.random(in: 0...Int64(1e15), using: &random)
            let there = SessionClock(
                start: .random(in: .min ... .max, using: &random), origin: MonotonicInstant(nanoseconds: offset))
            var agreement = ClockAgreement()
            var now: Int64 = 0
            var shortest: (roundTrip: Int64, difference: Int64) = (.max, 0)
            for round in 0..<ClockAgreement.rounds {
                #expect(agreement.samples == round)
                let (out, held, back) = (
                    Int64.random(in: 0...300_000_000, using: &random), Int64.random(in: 0...50_000_000, using: &random),
                    Int64.random(in: 0...300_000_000, using: &random)
                )
                agreement.asked(reading: UInt64(round), now: MonotonicInstant(nanoseconds: now))
                let received = there.reading(at: MonotonicInstant(nanoseconds: offset + now + out))
                let replied = there.reading(at: MonotonicInstant(nanoseconds: offset + now + out + held))
                now += out + held + back
                let isTrue = agreement.answered(
                    reading: UInt64(round), received: received, replied: replied,
                    now: MonotonicInstant(nanoseconds: now))
                #expect(isTrue)
                if out + back < shortest.roundTrip { shortest = (out + back, abs(out - back)) }
            }
            let moment = MonotonicInstant(nanoseconds: now + 1_000_000_000)
            let reading = agreement.reading(at: moment) ?? 0
            let error = there.lead(of: reading, at: MonotonicInstant(nanoseconds: offset + now + 1_000_000_000))
            #expect(abs(error.wholeNanoseconds) <= shortest.difference / 2 + 3_000)
            #expect(agreement.lead <= ClockAgreement.maximumLead)
            #expect(agreement.lead < Coordination.maximumLead)
        }
    }

    @Test("answers that cannot be are refused, and none of them moves the clock")
    func lies() {
        let start = MonotonicInstant(nanoseconds: 1_000)
        let later = start + .milliseconds(100)
        for (reading, received, replied) in [
            (8, 0, 0),  // No such question.
            (7, 10, 9),  // Left before it came.
            (7, 0, 200_000),  // Held for longer than it took.
            (7, 0, UInt64.max),  // Left before it came, by a microsecond.
        ] as [(UInt64, UInt64, UInt64)] {
            var agreement = ClockAgreement()
            agreement.asked(reading: 7, now: start)
            let isTrue = agreement.answered(reading: reading, received: received, replied: replied, now: later)
            #expect(!isTrue)
            #expect(agreement.samples == 0 && agreement.reading(at: later) == nil)
        }
        var agreement = ClockAgreement()
        let unasked = agreement.answered(reading: 7, received: 0, replied: 0, now: later)
        #expect(!unasked)
    }

    @Test("a reading and its moment belong together over the whole range, also where the number starts again")
    func wrap() {
        let origin = MonotonicInstant(nanoseconds: 5)
        let clock = SessionClock(start: UInt64.max - 10, origin: origin)
        let reading = clock.reading(at: origin + .microseconds(20))
        #expect(reading == 9)
        #expect(clock.lead(of: reading, at: origin) == .microseconds(20))
        #expect(clock.lead(of: clock.reading(at: origin), at: origin + .microseconds(20)) == .microseconds(-20))
    }
}
