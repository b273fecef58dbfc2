// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetWatchdog

@Suite("Silence and slow blocks")
struct TimeTests {
    private let a = Subject("bitcoin a:8333")
    private static let configuration = Watchdog.Configuration(grace: .seconds(30))

    @Test(
        "warns of silence at 92 minutes and is critical at 184, with the probabilities, and closes with the next block")
    func silence() throws {
        var world = World(Self.configuration)
        let root = world.begin(links: [self.a])
        let tip = world.extend(root, by: self.a)
        let warn = Chance.silence(of: 1e-3, interval: .seconds(600), rate: 0.75)
        #expect(abs(warn.inSeconds - 5526.2) < 0.1)
        world.wait(warn - .milliseconds(1))
        #expect(world.open.isEmpty)
        world.wait(.milliseconds(1))
        let incident = try #require(world.open(.staleTip).first)
        #expect(incident.severity == .warning && incident.subject == .chain && incident.since == World.at(0))
        #expect(incident.explanation.contains("for 1 hour 32 minutes, since block 1001"))
        #expect(incident.measures.first { $0.name == "probability" }.map { abs($0.value - 1e-4) < 1e-6 } == true)
        let critical = Chance.silence(of: 1e-6, interval: .seconds(600), rate: 0.75)
        world.wait(critical - warn - .milliseconds(1))
        #expect(world.open(.staleTip).first?.severity == .warning)
        world.wait(.milliseconds(1))
        #expect(world.open(.staleTip).first?.severity == .critical)
        _ = world.extend(tip, by: self.a)
        #expect(world.open(.staleTip).isEmpty)
        #expect(world.incidents[1]?.ending == .over)
    }

    @Test("does not count before anybody listened, nor while the machine slept")
    func start() {
        var world = World(Self.configuration)
        let (header, point) = World.root
        world.see(.proved(header, point, by: .chain))
        world.see(.best(point))
        world.wait(.seconds(100_000))
        #expect(world.open.isEmpty)
        world.open(self.a, shows: point)
        world.wait(.seconds(5000))
        #expect(world.open.isEmpty)
        // The process did not run for a day: the timer comes a day late.
        world.now = world.now + .seconds(86_400)
        world.take(world.watchdog.onTimer(now: world.now))
        #expect(world.open.isEmpty)
        world.wait(.seconds(5526))
        #expect(world.open.isEmpty)
        world.wait(.seconds(1))
        #expect(world.open.map(\.kind) == [.staleTip])
    }

    @Test("says nothing where no interval is expected")
    func off() {
        var world = World()
        _ = world.begin(links: [self.a])
        world.wait(.seconds(1_000_000))
        #expect(world.open.isEmpty)
    }

    /// Blocks with exponential gaps; which incidents about time were opened.
    private func run(seed: UInt64, rate: Double, blocks: Int) -> (world: World, opened: [Incident]) {
        var random = SeededRandom(seed: seed)
        var world = World(Self.configuration)
        var tip = world.begin(links: [self.a])
        for _ in 0..<blocks {
            let gap = -Chance.logarithm(Double.random(in: 1e-12..<1, using: &random)) * 600 / rate
            world.wait(.milliseconds(Int64(gap * 1000)))
            tip = world.extend(tip, by: self.a)
        }
        return (world, world.incidents.values.filter { $0.kind == .slowBlocks || $0.kind == .staleTip })
    }

    @Test("raises nothing critical over a year of honest blocks", arguments: [1, 2, 3] as [UInt64])
    func honest(seed: UInt64) {
        let opened = self.run(seed: seed, rate: 1, blocks: 4000).opened
        #expect(!opened.contains { $0.severity == .critical }, "seed \(seed)")
        #expect(opened.count < 5, "seed \(seed)")
    }

    @Test("notices a feed at a third of the rate within a day", arguments: 1...10 as ClosedRange<UInt64>)
    func slow(seed: UInt64) {
        let opened = self.run(seed: seed, rate: 1 / 3.0, blocks: 48).opened
        #expect(opened.contains { $0.kind == .slowBlocks && $0.severity == .critical }, "seed \(seed)")
    }

    @Test("names a tip ahead of our clock, a step back at a boundary, and an easier target that times do not justify")
    func implausible() throws {
        var world = World(Self.configuration)
        var tip = world.begin(links: [self.a])
        tip = world.extend(tip, by: self.a, time: world.now.seconds + 5399)
        #expect(world.open.isEmpty)
        tip = world.extend(tip, by: self.a, time: world.now.seconds + 5400)
        #expect(world.open(.implausibleTime).first?.explanation.contains("1 hour 30 minutes ahead") == true)
        tip = world.extend(tip, by: self.a)
        #expect(world.open(.implausibleTime).isEmpty)
        while tip.height < 2015 {
            world.wait(.seconds(600))
            tip = world.extend(tip, by: self.a)
        }
        tip = world.extend(tip, by: self.a, time: world.now.seconds - 7200)
        #expect(world.open(.implausibleTime).isEmpty)
    }
}
