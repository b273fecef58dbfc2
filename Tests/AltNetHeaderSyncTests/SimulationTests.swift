// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetHeaderChain
import AltNetObjects
import HeaderTestSupport
import Testing

@testable import AltNetHeaderSync

/// Whole networks: honest and other peers, latency, loss, cut lines, new blocks and reorganisations.
@Suite("HeaderSync in a simulated network")
struct SimulationTests {
    /// What a peer of the simulation is.
    private enum Role: CaseIterable {
        case honest, withholding, lying, silent, busy, flooding, dripping, forked, garbled, mad
    }

    private struct World {
        var simulation: Simulation
        var roles: [UInt64: Role] = [:]
        /// The chain of the honest, as it becomes.
        var best: PeerChain
        let lowWork: PeerChain
    }

    private static func world(seed: UInt64, using generator: inout SeededRandom) -> World {
        let isLarge = seed % 8 == 0
        let length = isLarge ? 3000 : Int.random(in: 250...700, using: &generator)
        // Without a minimum all chains are kept while ours is short.
        let minimumWork = Bool.random(using: &generator) ? 0 : UInt64(length) * 2 * 7 / 10
        let best = SharedChains.long.prefix(length)
        var world = World(
            simulation: Simulation(seed: seed, minimumWork: minimumWork), best: best,
            lowWork: SharedChains.long.forked(at: 0, length / 2, salt: 77))
        for number in 1...UInt64.random(in: 3...9, using: &generator) {
            let role = number == 1 ? .honest : Role.allCases.randomElement(using: &generator) ?? .honest
            world.roles[number] = role
            var peer = SimulatedPeer(best, pieceSize: isLarge ? 2000 : Int.random(in: 20...400, using: &generator))
            switch role {
            case .honest: break
            case .withholding: peer.chain = best.prefix(length - Int.random(in: 1...length, using: &generator))
            case .lying:
                let good = best.prefix(Int.random(in: 0...length, using: &generator))
                let bad = HeaderMiner.header(on: good.last.hash, time: good.last.time + 1, version: 3)
                peer.chain = PeerChain(Array(good.headers[..<good.count]) + [bad])
            case .silent: peer.manner = .silent
            case .busy: peer.manner = .busy
            case .garbled: peer.manner = .garbled
            case .mad: peer.manner = .mad(seed: seed)
            case .flooding: peer.chain = world.lowWork
            case .dripping: peer.pieceSize = 1
            case .forked:
                let fork = length - Int.random(in: 20...60, using: &generator)
                peer.chain = best.forked(at: fork, Int.random(in: 1...15, using: &generator), salt: number)
            }
            var line = Simulation.Line(latency: 0.01...Double.random(in: 0.05...3, using: &generator))
            if Int.random(in: 0..<3, using: &generator) == 0 {
                line.loss = Double.random(in: 0...0.2, using: &generator)
            }
            world.simulation.schedule(after: Double.random(in: 0...30, using: &generator)) {
                $0.open(number, peer, line: line)
            }
            if Int.random(in: 0..<4, using: &generator) == 0 {
                let until = Double.random(in: 1...300, using: &generator)
                world.simulation.schedule(after: Double.random(in: 31...60, using: &generator)) {
                    $0.lines[LinkID(number)]?.cutUntil = $0.now + .seconds(until)
                }
            }
        }
        return world
    }

    /// New blocks and reorganisations of the honest, each of whom hears of them a little later.
    private static func live(_ world: inout World, using generator: inout SeededRandom) {
        var moment = 40.0
        for number in 0..<Int.random(in: 1...8, using: &generator) {
            moment += Double.random(in: 0...120, using: &generator)
            let depth = Int.random(in: 0..<3, using: &generator) == 0 ? Int.random(in: 1...30, using: &generator) : 0
            let best = world.best.forked(
                at: world.best.count - depth, depth + Int.random(in: 1...2, using: &generator),
                salt: UInt64(number) + 500)
            world.best = best
            for (peer, role) in world.roles.sorted(by: { $0.key < $1.key }) where role == .honest || role == .dripping {
                let tells = Bool.random(using: &generator)
                world.simulation.schedule(after: moment + Double.random(in: 0...20, using: &generator)) { simulation in
                    guard (simulation.peers[LinkID(peer)]?.chain.count ?? 0) < best.count else { return }
                    simulation.peers[LinkID(peer)]?.chain = best
                    if tells { simulation.announce(LinkID(peer)) }
                }
            }
        }
    }

    @Test("converges to the best honest chain, and knows where everybody stands", arguments: 0..<12 as Range<UInt64>)
    func converges(group: UInt64) throws {
        for seed in group * 6..<(group + 1) * 6 {
            var generator = SeededRandom(seed: seed)
            var world = Self.world(seed: seed, using: &generator)
            Self.live(&world, using: &generator)
            world.simulation.run(seconds: 4000)
            try world.simulation.expectTip(world.best.tip)
            let floods = Set(world.lowWork.hashes)
            let keepsFloods = world.simulation.sync.configuration.minimumWork == .zero
            for node in 0..<world.simulation.sync.chain.count where !keepsFloods {
                #expect(
                    !floods.contains(world.simulation.sync.chain.hash(of: HeaderNode(UInt32(node)))), "seed \(seed)")
            }
            for (number, role) in world.roles {
                let reason = world.simulation.disconnected[LinkID(number)]?.code
                #expect(
                    world.simulation.requests(to: number, inLast: 1200)
                        <= (role == .flooding || role == .mad ? 400 : 125),
                    "seed \(seed): \(role)")
                switch role {
                case .honest, .withholding, .dripping, .forked:
                    #expect(reason == nil, "seed \(seed): \(role)")
                    try world.simulation.expectExactView(number)
                case .lying: #expect(reason == .invalidHeaders, "seed \(seed)")
                case .garbled: #expect(reason == .protocolViolation, "seed \(seed)")
                case .silent, .busy:
                    #expect(reason == nil && world.simulation.sync.missing(of: LinkID(number)) == nil, "seed \(seed)")
                case .flooding: #expect(reason == nil, "seed \(seed)")
                case .mad: break  // Whatever becomes of it: nobody else must be the worse for it.
                }
            }
        }
    }
}
