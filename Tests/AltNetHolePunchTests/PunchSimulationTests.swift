// SPDX-License-Identifier: MIT

import AltNetBase
import Foundation
import Testing

@testable import AltNetHolePunch

/// The kinds of networks that a node may be behind.
enum Place: String, CaseIterable {
    case open, preservingDrop, preservingReset, independentDrop, independentReset, doubleDrop, doubleReset,
        firewallDrop,
        firewallReset, dependentDrop, dependentReset, looseDrop, restrictedReset

    var number: Int { Self.allCases.firstIndex(of: self) ?? 0 }

    var isDependent: Bool { self == .dependentDrop || self == .dependentReset }
    /// Lets in whoever it has sent something to.
    var isLoose: Bool { self == .looseDrop || self == .restrictedReset }

    func side(_ role: PunchRole) -> PunchWorld.Side {
        let external: [UInt8] = role == .initiator ? [81, 1, 1, 1] : [82, 2, 2, 2]
        let unsolicited: SimulatedNAT.Unsolicited = self.rawValue.hasSuffix("Reset") ? .reset : .drop
        func box(
            _ mapping: SimulatedNAT.Mapping, _ filtering: SimulatedNAT.Filtering = .addressAndPort
        ) -> SimulatedNAT {
            SimulatedNAT(mapping, unsolicited, filtering: filtering, external: external)
        }
        var side = PunchWorld.Side()
        switch self {
        case .open:
            side.mapping = .open
            side.abilities.insert(.direct)
        case .preservingDrop, .preservingReset:
            side.mapping = .endpointIndependent(preservesPort: true)
            side.ipv4 = [box(.preserving)]
        case .independentDrop, .independentReset:
            side.mapping = .endpointIndependent(preservesPort: false)
            side.ipv4 = [box(.endpointIndependent)]
        case .doubleDrop, .doubleReset:
            side.mapping = .endpointIndependent(preservesPort: false)
            side.ipv4 = [
                SimulatedNAT(.preserving, unsolicited, external: [100, 64, 0, role.rawValue]),
                box(.endpointIndependent),
            ]
        case .firewallDrop, .firewallReset:
            // Its own address, and nobody gets in: no NAT, and not open.
            side.mapping = .endpointIndependent(preservesPort: true)
            side.ipv4 = [box(.none)]
        case .dependentDrop, .dependentReset:
            side.mapping = .endpointDependent
            side.ipv4 = [box(.endpointDependent)]
        case .looseDrop, .restrictedReset:
            side.mapping = .endpointIndependent(preservesPort: false)
            side.abilities.insert(.filtersLoosely)
            side.ipv4 = [box(.endpointIndependent, self == .looseDrop ? .endpointIndependent : .address)]
        }
        return side
    }
}

@Suite("Simulated networks")
struct PunchSimulationTests {
    /// What a path over an anonymous network looks like, and a home line.
    private func conditions(_ random: inout SeededRandom, oneWay: ClosedRange<Int>) -> PunchWorld.Conditions {
        var conditions = PunchWorld.Conditions()
        conditions.oneWay = .milliseconds(Int.random(in: oneWay, using: &random))
        conditions.directJitter = conditions.oneWay / 10
        conditions.loss = 0.01
        conditions.coordinationLoss = 0.01
        conditions.coordinationOneWay = .milliseconds(Int.random(in: 20...400, using: &random))
        conditions.coordinationJitter = .milliseconds(60)
        conditions.asymmetry = .milliseconds(Int.random(in: 0...20, using: &random))
        return conditions
    }

    /// What holds of every run, whatever comes of it.
    private func expectOrder(_ world: PunchWorld) {
        for node in [world[.initiator], world[.responder]] {
            #expect(node.outcomes.count == 1)
            #expect(node.isClosed || node.isRelaying)
            #expect(node.synsOfAttempt.values.allSatisfy { $0 <= PunchPlan.synBudget })
            #expect(node.plans.allSatisfy { $0.at <= node.local(world.now) + Coordination.maximumLead })
        }
    }

    /// How many runs a pair has; `ALTNET_TEST_SEEDS` asks for more.
    private static let seeds = ProcessInfo.processInfo.environment["ALTNET_TEST_SEEDS"].flatMap { Int($0) } ?? 100

    private static func connection(_ node: PunchWorld.Node) -> PunchPath? {
        guard case .connected(let path, _)? = node.outcome?.ending else { return nil }
        return path
    }

    @Test(
        "every possible pair connects in 99 of 100 runs, at the first attempt and within three round trips",
        arguments: Place.allCases)
    func everyPair(_ initiator: Place) {
        var all = (runs: 0, inTime: 0)
        for responder in Place.allCases {
            let path: PunchPath = initiator == .open || responder == .open ? .direct : .punch
            let isPossible =
                path == .direct || !initiator.isDependent && !responder.isDependent
                || initiator.isDependent && responder.isLoose || initiator.isLoose && responder.isDependent
            let runs = isPossible ? Self.seeds : 5
            var connected = 0
            var inTime = 0
            for run in 0..<UInt64(runs) {
                let seed = UInt64(initiator.number * 11 + responder.number) * 1000 + run
                var random = SeededRandom(seed: seed)
                let conditions = self.conditions(&random, oneWay: 20...100)
                var world = PunchWorld(
                    initiator: initiator.side(.initiator), responder: responder.side(.responder), conditions, seed: seed
                )
                world.run()
                self.expectOrder(world)
                let (own, peer) = (world[.initiator], world[.responder])
                guard isPossible else {
                    let impossible = PunchFailure.impossible(own: own.side.mapping, peer: peer.side.mapping)
                    #expect(own.outcome?.ending == .failed(impossible))
                    #expect(own.learnt + peer.learnt == 0 && own.syns.isEmpty && peer.syns.isEmpty)
                    continue
                }
                guard Self.connection(own) == path, Self.connection(peer) == path else { continue }
                connected += 1
                let opening = own.outcome?.opening ?? .seconds(1)
                if own.outcome?.attempts.count == 1, opening <= conditions.oneWay * 6 { inTime += 1 }
            }
            guard isPossible else { continue }
            #expect(connected >= runs * 99 / 100, "\(initiator) to \(responder)")
            // Of a hundred runs two may be late by chance; of a row's, no more than one in a hundred.
            #expect(inTime >= runs * 98 / 100, "\(initiator) to \(responder)")
            all = (all.runs + runs, all.inTime + inTime)
            print("\(initiator) to \(responder), \(path): \(inTime) of \(runs) in time")
        }
        #expect(all.inTime * 100 >= all.runs * 99)
    }

    @Test("where the way is shorter than the clocks are apart, NATs that drop and NATs that reset still connect")
    func shortWays() {
        let places: [Place] = [.preservingDrop, .independentReset, .doubleReset, .firewallReset]
        var failures: [String: Int] = [:]
        for initiator in places {
            for responder in places {
                for run in 0..<UInt64(100) {
                    let seed = UInt64(initiator.number * 11 + responder.number) * 1000 + run + 500_000
                    var random = SeededRandom(seed: seed)
                    var conditions = self.conditions(&random, oneWay: 2...20)
                    conditions.asymmetry = .milliseconds(Int.random(in: 0...40, using: &random))
                    var world = PunchWorld(
                        initiator: initiator.side(.initiator), responder: responder.side(.responder), conditions,
                        seed: seed)
                    world.run()
                    self.expectOrder(world)
                    if Self.connection(world[.initiator]) != .punch || Self.connection(world[.responder]) != .punch {
                        failures["\(initiator) to \(responder)", default: 0] += 1
                    }
                }
            }
        }
        #expect(failures.values.allSatisfy { $0 <= 1 }, "\(failures)")
    }

    @Test("the moment is the same for both, up to half of what the ways over the coordination link differ")
    func skew() {
        for seed in UInt64(0)..<1_000 {
            var random = SeededRandom(seed: seed)
            var conditions = self.conditions(&random, oneWay: 20...100)
            conditions.loss = 0
            conditions.coordinationJitter = .milliseconds(Int.random(in: 0...200, using: &random))
            var world = PunchWorld(
                initiator: Place.preservingDrop.side(.initiator), responder: Place.independentDrop.side(.responder),
                conditions, seed: seed)
            world.run()
            guard let one = world[.initiator].firstSYNAt[1], let other = world[.responder].firstSYNAt[1],
                let roundTrip = world[.initiator].outcome?.coordinationRoundTrip
            else {
                Issue.record("nobody sent a SYN (\(seed))")
                continue
            }
            // The shortest round trip is known; what is not is how it is shared between there and back.
            let unknown = roundTrip - (conditions.coordinationOneWay * 2 + conditions.asymmetry) + conditions.asymmetry
            #expect(Duration.nanoseconds(abs(one - other)) <= unknown / 2 + .milliseconds(1), "\(seed)")
        }
    }

    @Test("each way is tried in its turn, and the coordination link itself is the last")
    func fallbacks() {
        func run(
            _ own: PunchAbilities, _ peer: PunchAbilities, initiator: Place = .preservingDrop,
            responder: Place = .preservingDrop,
            _ change: (inout PunchWorld.Side, inout PunchWorld.Side) -> Void = { _, _ in }
        ) -> PunchWorld {
            var one = initiator.side(.initiator)
            var other = responder.side(.responder)
            one.abilities.formUnion(own)
            other.abilities.formUnion(peer)
            change(&one, &other)
            var world = PunchWorld(initiator: one, responder: other, .init(), seed: 1)
            world.run()
            self.expectOrder(world)
            return world
        }
        func paths(_ world: PunchWorld) -> [PunchPath] { world[.initiator].outcome?.attempts.map(\.path) ?? [] }
        let all: PunchAbilities = [.ipv6, .mapped, .relay]
        #expect(Self.connection(run(all, all)[.initiator]) == .ipv6)
        #expect(Self.connection(run([.mapped], [.mapped])[.responder]) == .mapped)
        #expect(Self.connection(run([.mapped], [], responder: .dependentReset)[.responder]) == .mapped)
        #expect(Self.connection(run([], [.mapped], initiator: .dependentDrop)[.initiator]) == .mapped)
        #expect(Self.connection(run([], [], initiator: .open)[.initiator]) == .direct)
        // Nobody learns an address: everything is tried once, and then the link is what stands already.
        let relayed = run(all, all, { one, _ in one.mappingFails = true })
        #expect(paths(relayed) == [.ipv6, .mapped, .punch])
        #expect(Self.connection(relayed[.initiator]) == .relayed && Self.connection(relayed[.responder]) == .relayed)
        #expect(relayed[.initiator].isRelaying && relayed[.responder].isRelaying)
        let impossible = run([.relay], [.relay], initiator: .dependentDrop, responder: .dependentDrop)
        #expect(Self.connection(impossible[.initiator]) == .relayed && paths(impossible).isEmpty)
        // Without relaying, both say why.
        let failed = run([.relay], [], { _, other in other.mappingFails = true })
        #expect(failed[.initiator].outcome?.ending == .failed(.attemptsFailed(.noMapping)))
        #expect(failed[.responder].outcome?.ending == .failed(.attemptsFailed(.noMapping)))
        #expect(failed[.initiator].outcome?.attempts.first?.peer == .noMapping)
        #expect(failed[.responder].outcome?.attempts.first?.own == .noMapping)
    }

    @Test("over IPv6 both connect, so that firewalls on both sides let them through")
    func ipv6Firewalls() {
        for (seed, boxes) in [
            (UInt64(1), [SimulatedNAT.Unsolicited.drop, .drop]), (2, [.drop, .reset]), (3, [.reset, .drop]),
            (4, [.reset, .reset]),
        ] {
            var sides = [Place.dependentDrop.side(.initiator), Place.dependentReset.side(.responder)]
            for index in sides.indices {
                sides[index].abilities.insert(.ipv6)
                sides[index].ipv6 = [SimulatedNAT(.none, boxes[index], external: [])]
            }
            var world = PunchWorld(initiator: sides[0], responder: sides[1], .init(), seed: seed)
            world.run()
            self.expectOrder(world)
            #expect(Self.connection(world[.initiator]) == .ipv6)
            #expect(Self.connection(world[.responder]) == .ipv6)
        }
    }

    @Test("whoever names a third party makes it see sixteen SYNs at most, and no other byte")
    func lyingEndpoint() {
        let victim = endpoint("77.7.7.7:25565")
        for place in [Place.preservingDrop, .independentReset] {
            for liar in [PunchRole.initiator, .responder] {
                for seed in UInt64(0)..<50 {
                    var sides = [Place.preservingDrop.side(.initiator), place.side(.responder)]
                    sides[liar == .initiator ? 0 : 1].lie = [victim]
                    var world = PunchWorld(initiator: sides[0], responder: sides[1], .init(), seed: seed)
                    world.run()
                    self.expectOrder(world)
                    let honest = world[liar.other]
                    #expect((1...16).contains(honest.syns[victim] ?? 0))
                    #expect(Set(honest.syns.keys) == [victim])
                    #expect(Self.connection(honest) == nil)
                    #expect(honest.outcome?.attempts.count == 2)
                }
            }
        }
    }

    @Test("the tally counts each outcome once, by what it was")
    func tally() {
        var tally = PunchTally()
        for seed in UInt64(0)..<5 {
            for responder in [Place.independentDrop, .dependentDrop] {
                var world = PunchWorld(
                    initiator: Place.preservingDrop.side(.initiator), responder: responder.side(.responder), .init(),
                    seed: seed)
                world.run()
                for outcome in world[.initiator].outcomes { tally.count(outcome) }
            }
        }
        #expect(tally.attemptsToSuccess == [1: 5])
        let words = tally.counts.map {
            "\($0.key.path?.name ?? $0.key.failure) \($0.key.peerMapping?.name ?? "") \($0.value)"
        }
        #expect(Set(words) == ["punch endpoint-independent 5", "impossible endpoint-dependent 5"])
    }

    @Test("when no way works, the relayed connection comes before the time of the coordination is over")
    func relayInTime() {
        for seed in UInt64(0)..<50 {
            var conditions = PunchWorld.Conditions()
            conditions.loss = 1
            conditions.coordinationOneWay = .milliseconds(100 + Int(seed) * 10)
            conditions.coordinationJitter = .milliseconds(100)
            var sides = [Place.preservingDrop.side(.initiator), Place.independentReset.side(.responder)]
            for index in sides.indices { sides[index].abilities = [.ipv4, .ipv6, .mapped, .relay] }
            var world = PunchWorld(initiator: sides[0], responder: sides[1], conditions, seed: seed)
            world.run()
            self.expectOrder(world)
            for node in [world[.initiator], world[.responder]] {
                #expect(Self.connection(node) == .relayed)
                #expect((node.outcome?.duration ?? .seconds(99)) < Coordination.wholeTimeout)
            }
        }
    }

    @Test("when the ways are lossy beyond use, the second attempt has fresh ports, and both sides end with a reason")
    func secondAttempt() {
        var conditions = PunchWorld.Conditions()
        conditions.loss = 1
        var world = PunchWorld(
            initiator: Place.preservingDrop.side(.initiator), responder: Place.preservingReset.side(.responder),
            conditions, seed: 3)
        world.run()
        self.expectOrder(world)
        for node in [world[.initiator], world[.responder]] {
            #expect(node.outcome?.ending == .failed(.attemptsFailed(.timedOut)))
            #expect(node.outcome?.attempts.count == 2)
            #expect(Set(node.plans.map(\.remote)).count == 2)
            #expect(Set(node.plans.map(\.proof)).count == 2)
        }
    }
}
