// SPDX-License-Identifier: MIT

import AltNetDialing
import Testing

/// One after the other and with pauses, so that tests with real time-outs beside them are not starved.
@Suite("Dialing: simulator", .serialized)
struct SimulationTests {
    @Test(
        "no socket leaks, no policy is violated, limits hold and every request ends, in a thousand histories",
        arguments: 0..<10 as Range<UInt64>)
    func histories(_ part: UInt64) async {
        for seed in part * 100 + 1...part * 100 + 100 {
            await Task.yield()
            let actions = SimulatedDialing.actions(seed, count: 150)
            guard let violation = Self.play(seed, actions) else { continue }
            let (fewest, last) = Self.shrink(seed, actions, violation)
            Issue.record("seed \(seed): \(violation); as short as: \(last) after \(fewest)")
            return
        }
    }

    @Test("the histories have all that can happen in them")
    func coverage() async throws {
        var counts: [String: Int] = [:]
        for seed in 1...100 as ClosedRange<UInt64> {
            await Task.yield()
            var world = SimulatedDialing(seed)
            try world.play(SimulatedDialing.actions(seed, count: 150))
            counts.merge(world.counts, uniquingKeysWith: +)
        }
        let expected = [
            "opened", "succeeded", "shared", "cancelled", "answers after the end", "noAddress", "noneAllowed",
            "inBackOff", "unreachable", "timedOut", "taken back by the store",
        ]
        for name in expected { #expect(counts[name] ?? 0 >= 5, "\(name) in \(counts)") }
    }

    @Test("a history is the same each time")
    func repeatable() throws {
        for seed in 1...20 as ClosedRange<UInt64> {
            var first = SimulatedDialing(seed)
            try first.play(SimulatedDialing.actions(seed, count: 150))
            var second = SimulatedDialing(seed)
            try second.play(SimulatedDialing.actions(seed, count: 150))
            #expect(first.counts == second.counts, "seed \(seed)")
        }
    }

    private static func play(_ seed: UInt64, _ actions: [SimulatedDialing.Action]) -> String? {
        var world = SimulatedDialing(seed)
        do {
            try world.play(actions)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Leaves out what is not needed for a violation: first long pieces, in the end single actions.
    private static func shrink(
        _ seed: UInt64, _ actions: [SimulatedDialing.Action], _ violation: String
    ) -> ([SimulatedDialing.Action], String) {
        var actions = actions
        var violation = violation
        var length = actions.count / 2
        while length > 0 {
            var start = 0
            while start < actions.count {
                var fewer = actions
                fewer.removeSubrange(start..<min(start + length, actions.count))
                if let still = Self.play(seed, fewer) {
                    actions = fewer
                    violation = still
                } else {
                    start += length
                }
            }
            length /= 2
        }
        return (actions, violation)
    }
}
