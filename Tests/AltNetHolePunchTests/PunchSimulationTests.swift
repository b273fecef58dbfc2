// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetHolePunch

/// The kinds of networks that a node may be behind.
enum Place: String, CaseIterable {
    case open, preservingDrop, preservingReset, independentDrop, independentReset, doubleDrop, doubleReset,
        firewallDrop,
        firewallReset, dependentDrop, dependentReset

    var isDependent: Bool { self == .dependentDrop || self == .dependentReset }

    func side(_ role: PunchRole) -> PunchWorld.Side {
        let external: [UInt8] = role == .initiator ? [81, 1, 1, 1] : [82, 2, 2, 2]
        let unsolicited: SimulatedNAT.Unsolicited = self.rawValue.hasSuffix("Reset") ? .reset : .drop
        func box(_ mapping: SimulatedNAT.Mapping) -> SimulatedNAT {
            SimulatedNAT(mapping, unsolicited, external: external)
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
        }
        return side
    }
}

@Suite("Simulated networks")
struct PunchSimulationTests {
    @Test(
        "every pair that can be punched connects in 99 of 100 runs, with 100 ms one way and 1 % of loss, in three round trips",
        arguments: Place.allCases)
    func everyPair(_ initiator: Place) {
        for responder in Place.allCases {
            let isPossible =
                !(initiator.isDependent || responder.isDependent) || initiator == .open || responder == .open
            var connected = 0
            var inTime = 0
            let runs = 100
            for seed in 0..<UInt64(runs) {
                var random = SeededRandom(seed: seed &* 7919 &+ 13)
                var conditions = PunchWorld.Conditions()
                conditions.oneWay = .milliseconds(Int.random(in: 20...100, using: &random))
                conditions.directJitter = conditions.oneWay / 10
                conditions.loss = 0.01
                conditions.coordinationOneWay = .milliseconds(Int.random(in: 20...400, using: &random))
                conditions.coordinationJitter = .milliseconds(60)
                conditions.asymmetry = .milliseconds(Int.random(in: 0...20, using: &random))
                var world = PunchWorld(
                    initiator: initiator.side(.initiator), responder: responder.side(.responder), conditions, seed: seed
                )
                world.run()
                let (own, peer) = (world[.initiator], world[.responder])
                #expect(own.outcomes.count == 1 && peer.outcomes.count == 1)
                #expect(own.isClosed && peer.isClosed)
                #expect(own.syns.values.allSatisfy { $0 <= PunchLimits.maximumSYNs })
                guard isPossible else {
                    #expect(
                        own.outcome?.ending
                            == .failed(.impossible(own: own.side.mapping, peer: peer.side.mapping)))
                    #expect(own.learnt == 0 && peer.learnt == 0 && own.syns.isEmpty && peer.syns.isEmpty)
                    continue
                }
                guard case .connected? = own.outcome?.ending, case .connected? = peer.outcome?.ending else { continue }
                connected += 1
                let roundTrip = conditions.oneWay * 2
                if own.outcome?.attempts.count == 1, let opening = own.outcome?.opening, opening <= roundTrip * 3 {
                    inTime += 1
                }
            }
            if isPossible {
                #expect(connected >= runs * 99 / 100, "\(initiator) to \(responder): \(connected)")
                #expect(inTime >= runs * 99 / 100, "\(initiator) to \(responder): \(inTime) in time")
            }
            print("\(initiator) \(responder) \(connected) \(inTime)")
        }
    }
}
