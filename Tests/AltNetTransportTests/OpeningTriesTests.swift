// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetTransport

@Suite("OpeningTries: SYNs and their moments")
struct OpeningTriesTests {
    static func plan(
        _ rhythm: SimultaneousOpen.Rhythm, at: MonotonicInstant = .zero, synBudget: Int = 8
    ) -> SimultaneousOpen.Plan {
        SimultaneousOpen.Plan(
            remote: HostAndPort(host: "127.0.0.1", port: 1), at: at, deadline: at + .seconds(60), rhythm: rhythm,
            synBudget: synBudget)
    }

    /// The moments of all tries when each is refused after one round trip.
    static func refused(_ rhythm: SimultaneousOpen.Rhythm, at: MonotonicInstant, roundTrip: Duration)
        -> [MonotonicInstant]
    {
        var tries = OpeningTries(Self.plan(rhythm, at: at))
        var moments: [MonotonicInstant] = []
        while let next = tries.next {
            moments.append(next)
            tries.begin(now: next)
            tries.finish(.refused, retransmissions: 0, now: next + roundTrip)
        }
        return moments
    }

    @Test("whatever happens to the tries, the budget is never exceeded", arguments: 0..<200)
    func budget(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let budget = Int.random(in: 1...8, using: &random)
        let rhythm: SimultaneousOpen.Rhythm = Bool.random(using: &random) ? .dense : .spread
        var tries = OpeningTries(Self.plan(rhythm, synBudget: budget))
        var now = MonotonicInstant.zero
        var sent = 0
        var count = 0
        while let next = tries.next {
            #expect(next >= now)
            now = next
            tries.begin(now: now)
            count += 1
            guard let ends = tries.ends else { return #expect(Bool(false), "a try without an end") }
            // What the kernel does: a SYN at once and one after a second, then every second.
            let lasted = Duration.microseconds(Int64.random(in: 0...3_000_000, using: &random))
            let isCut = now + lasted >= ends
            let end = isCut ? ends : now + lasted
            let ending: OpeningTries.Ending =
                isCut ? .noAnswer : [.refused, .inUse, .refused].randomElement(using: &random) ?? .refused
            let retransmissions = Int((end - now).inSeconds)
            if ending != .inUse { sent += 1 + retransmissions }
            now = end
            tries.finish(ending, retransmissions: retransmissions, now: now)
        }
        #expect(sent <= budget)
        #expect(sent == tries.syns)
        #expect(count <= OpeningTries.maximum)
    }

    @Test("a silent remote costs the whole budget and not more time than its tries last")
    func silence() {
        var tries = OpeningTries(Self.plan(.spread, synBudget: 3))
        tries.begin(now: .zero)
        #expect(tries.ends == .zero + .milliseconds(1900))
        tries.finish(.noAnswer, retransmissions: 1, now: .zero + .milliseconds(1900))
        #expect(tries.next == .zero + .milliseconds(1900))
        tries.begin(now: .zero + .milliseconds(1900))
        // Only one SYN is left, so the try must be over before the kernel sends a second.
        #expect(tries.ends == .zero + .milliseconds(2800))
        tries.finish(.noAnswer, retransmissions: 0, now: .zero + .milliseconds(2800))
        #expect(tries.next == nil)
        #expect(tries.failure == SimultaneousOpen.Failure(reason: .noAnswer, syns: 3))
    }

    /// Both NATs answer SYNs that nobody asked for with a reset, which also closes the NAT on the way back: the hardest
    /// case. Two SYNs cross, and make a connection, when they are sent less than one way's delay apart.
    @Test(
        "a dense and a spread rhythm meet although the clocks are many round trips apart",
        arguments: [3, 5, 10, 20, 50, 100], [0, 1, 2, 3, 5, 8, 12, 17, 21, 25, 28])
    func vernier(oneWay: Int64, apart: Int64) {
        for sign in [Int64(1), -1] {
            // Just off the multiples, where windows touch.
            let offset = Duration.microseconds(sign * (apart * oneWay * 1000 - (apart == 0 ? 0 : 137)))
            // Beyond the cap of the pause the clocks need to agree better; they are compared over the same distance.
            guard oneWay <= 20 || apart <= 12 else { continue }
            let start = MonotonicInstant.zero + .seconds(100)
            let roundTrip = Duration.milliseconds(2 * oneWay)
            let dense = Self.refused(.dense, at: start, roundTrip: roundTrip)
            let spread = Self.refused(.spread, at: start + offset, roundTrip: roundTrip)
            #expect(dense.count == 8)
            #expect(spread.count == 8)
            let meets = dense.contains { one in
                spread.contains { abs((one - $0).wholeNanoseconds) < oneWay * 1_000_000 }
            }
            #expect(meets, "one way \(oneWay) ms, offset \(offset)")
        }
    }

    @Test("clocks less than three delays apart cost two round trips more at most", arguments: [5, 20, 50, 100])
    func soon(oneWay: Int64) {
        let start = MonotonicInstant.zero + .seconds(100)
        for offset in stride(from: -2.95, through: 2.95, by: 0.1) {
            let late = start + .microseconds(Int64(offset * Double(oneWay) * 1000))
            let roundTrip = Duration.milliseconds(2 * oneWay)
            let dense = Self.refused(.dense, at: start, roundTrip: roundTrip).prefix(2)
            let spread = Self.refused(.spread, at: late, roundTrip: roundTrip).prefix(2)
            let meets = dense.contains { one in
                spread.contains { abs((one - $0).wholeNanoseconds) < oneWay * 1_000_000 }
            }
            #expect(meets, "offset \(offset) × \(oneWay) ms")
        }
    }
}
