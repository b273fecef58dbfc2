// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetHolePunch
import Testing

/// A NAT that a check is played against.
private enum WitnessedNAT: Hashable, CaseIterable {
    case none
    case preserving, translating
    case dependent
    /// A port for each other end, and an address, too.
    case pooled
    /// One local port is kept for all, the next is not.
    case moody
}

/// Plays witnesses of which some lie, behind one kind of NAT, and some are silent.
private struct World {
    static let own: [UInt8] = [198, 18, 5, 6]

    var nat: WitnessedNAT
    var seed: UInt64
    /// Witnesses that lie, by their number. They agree with each other, and know everything but what others see.
    var liars: Set<Int> = []
    var silent: Set<Int> = []
    var isReachable = false
    /// Whether witnesses try to connect back at all.
    var areWilling = true
    /// Whether the network loses all connections back to the first port.
    var losesFirst = false
    var inboundSeen = false
    var inboundElsewhere = false

    func witnesses(_ count: Int, sameGroup: Bool = false) -> [NATWitness] {
        (0..<count).compactMap { number in
            let address: [UInt8] = sameGroup ? [5, 5, 0, UInt8(number + 1)] : [UInt8(20 + number), 7, 0, 1]
            return ExternalEndpoint(address: address, port: 8333).map { NATWitness(name: "w\(number)", endpoint: $0) }
        }
    }

    static func number(of witness: NATWitness) -> Int { Int(witness.name.dropFirst()) ?? -1 }

    func local(_ port: NATCheck.LocalPort) -> ExternalEndpoint {
        let address = self.nat == .none ? [5, 9, 9, 9] : [192, 168, 1, 20] as [UInt8]
        return ExternalEndpoint(address: address, port: 40_000 + UInt16(port.index)) ?? Self.nowhere
    }

    /// Never used: all addresses here have four bytes.
    private static var nowhere: ExternalEndpoint { preconditionFailure("an address of the wrong length") }

    /// What an honest witness says.
    func truth(_ probe: NATCheck.Probe) -> ExternalEndpoint {
        let local = self.local(probe.port)
        let number = UInt16(Self.number(of: probe.witness))
        let each = 50_000 + number * 16 + UInt16(probe.port.index)
        let (address, port): ([UInt8], UInt16) =
            switch self.nat {
            case .none: (local.address, local.port)
            case .preserving: ([5, 9, 9, 9], local.port)
            case .translating: ([5, 9, 9, 9], local.port + 7)
            case .dependent: ([5, 9, 9, 9], each)
            case .pooled: ([5, 9, 9, UInt8(number)], local.port)
            case .moody: ([5, 9, 9, 9], probe.port.index == 0 ? local.port : each)
            }
        return ExternalEndpoint(address: address, port: port) ?? Self.nowhere
    }

    private func reachedBack(_ probe: NATCheck.Probe) -> Bool? {
        guard self.areWilling, probe.asksBack else { return nil }
        return self.isReachable && !(self.losesFirst && probe.port.index == 0)
    }

    /// Plays a check to its end, answers in random order.
    func play(_ witnesses: [NATWitness], minimum: Int = 3) -> NATVerdict? {
        var random = SeededRandom(seed: self.seed)
        var check = NATCheck(
            NATCheck.Configuration(
                minimumWitnesses: minimum, inboundSeen: self.inboundSeen, inboundElsewhere: self.inboundElsewhere,
                seed: self.seed), witnesses: witnesses)
        // Liars agree on one fake for each local port, or each says something of its own.
        let agree = Bool.random(using: &random)
        func lie(_ probe: NATCheck.Probe) -> ExternalEndpoint {
            let number = agree ? 0 : UInt8(Self.number(of: probe.witness))
            return ExternalEndpoint(address: [6, 6, 6, number], port: 1000 + UInt16(probe.port.index))
                ?? Self.nowhere
        }
        var directives = check.start(now: .zero)
        var open: [NATCheck.Probe] = []
        var verdict: NATVerdict?
        var count = 0
        while true {
            for directive in directives {
                switch directive {
                case .probe(let probe):
                    open.append(probe)
                    count += 1
                case .setTimer: break
                case .finished(let found):
                    #expect(verdict == nil, "finished twice")
                    verdict = found
                }
            }
            guard !open.isEmpty else { break }
            let probe = open.remove(at: Int.random(in: open.indices, using: &random))
            let number = Self.number(of: probe.witness)
            if self.silent.contains(number) {
                directives = check.onSilence(id: probe.id, reason: "no answer")
            } else {
                directives = check.onAnswer(
                    id: probe.id, seen: self.liars.contains(number) ? lie(probe) : self.truth(probe),
                    local: self.local(probe.port), latency: .milliseconds(20),
                    reachedBack: self.reachedBack(probe),
                    at: WallClockTime(seconds: 1_800_000_000))
            }
        }
        #expect(count <= max(NATCheck.maximumProbes, 2 * minimum))
        return verdict
    }
}

@Suite("NATCheck: what witnesses come to")
struct NATCheckTests {
    @Test("honest witnesses show each kind of NAT", arguments: WitnessedNAT.allCases)
    private func kinds(nat: WitnessedNAT) throws {
        let world = World(nat: nat, seed: 7)
        let verdict = try #require(world.play(world.witnesses(6)))
        let finding = try #require(verdict.ipv4)
        switch nat {
        case .none:
            #expect(verdict.mapping == .endpointIndependent(preservesPort: true))
            #expect(finding.isOwnAddress)
            #expect(finding.reason.contains("firewall"))
        case .preserving: #expect(verdict.mapping == .endpointIndependent(preservesPort: true))
        case .translating: #expect(verdict.mapping == .endpointIndependent(preservesPort: false))
        case .dependent:
            #expect(verdict.mapping == .endpointDependent)
            #expect(verdict.external.map(\.host) == ["5.9.9.9"])
        case .pooled:
            #expect(verdict.mapping == .endpointDependent)
            #expect(verdict.external.isEmpty)
            #expect(finding.reason.contains("address changes"))
        case .moody:
            #expect(verdict.mapping == .unknown)
            #expect(finding.reason.contains("not deterministic"))
            #expect(finding.confidence == 0)
        }
        if nat != .moody { #expect(finding.confidence > 0.9) }
        #expect(verdict.evidence.count == 10)
        #expect(finding.toleratedLiars == 2)
        #expect(finding.dissenters.isEmpty)
        #expect(finding.filtering == nil)
    }

    /// The property that more than two witnesses are for.
    @Test("f liars among 2f + 1 witnesses never change the verdict", arguments: 0..<400)
    func liars(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let tolerated = Int.random(in: 1...2, using: &random)
        let nat = try #require(
            [WitnessedNAT.none, .preserving, .translating, .dependent].randomElement(using: &random))
        var world = World(nat: nat, seed: seed)
        let witnesses = world.witnesses(2 * tolerated + 1)
        let honest = try #require(world.play(witnesses))
        let liars = Int.random(in: 0...tolerated, using: &random)
        world.liars = Set(Array(0..<witnesses.count).shuffled(using: &random).prefix(liars))
        let verdict = try #require(world.play(witnesses))
        #expect(verdict.mapping == honest.mapping, "\(nat), liars \(world.liars)")
        #expect(verdict.external == honest.external)
        #expect(verdict.mapping != .unknown)
        #expect(verdict.confidence <= honest.confidence)
        if nat != .dependent { #expect(Set(verdict.ipv4?.dissenters.map(\.name) ?? []).count == liars) }
    }

    @Test("more liars than that make it unknown or a lie, but never more certain than the truth", arguments: 0..<100)
    func tooManyLiars(seed: UInt64) throws {
        var world = World(nat: .preserving, seed: seed)
        let witnesses = world.witnesses(5)
        let honest = try #require(world.play(witnesses))
        world.liars = [0, 1, 2]
        let verdict = try #require(world.play(witnesses))
        #expect(verdict.confidence < honest.confidence)
        #expect(verdict.confidence <= 0.6)
    }

    @Test("too few witnesses, or all of one network group, are no result, and the reason says so")
    func tooFew() throws {
        var world = World(nat: .preserving, seed: 1)
        let two = try #require(world.play(world.witnesses(2)))
        #expect(two.mapping == .unknown)
        #expect(two.reason == "only 2 of 3 witnesses in different network groups answered")
        #expect(two.evidence.count == 4)
        let grouped = try #require(world.play(world.witnesses(9, sameGroup: true)))
        #expect(grouped.mapping == .unknown)
        #expect(grouped.reason.hasPrefix("only 1 of 3"))
        #expect(world.play([])?.reason == "there is no witness to ask")
        world.silent = [0, 1, 2, 3]
        let silent = try #require(world.play(world.witnesses(6)))
        #expect(silent.mapping == .unknown)
        #expect(silent.silent.count == 4)
        // With a lower demand two are enough, but none of them may lie.
        world.silent = []
        let enough = try #require(world.play(world.witnesses(2), minimum: 2))
        #expect(enough.mapping == .endpointIndependent(preservesPort: true))
        #expect(enough.ipv4?.toleratedLiars == 0)
    }

    @Test("silent witnesses are replaced by others while there are some", arguments: 0..<50)
    func replaced(seed: UInt64) throws {
        var world = World(nat: .translating, seed: seed)
        world.silent = [1, 4, 6]
        let verdict = try #require(world.play(world.witnesses(8)))
        #expect(verdict.mapping == .endpointIndependent(preservesPort: false))
        #expect(verdict.ipv4?.toleratedLiars == 2)
        #expect(verdict.evidence.filter { $0.portIndex == 0 }.count == 5)
    }

    @Test("two camps of witnesses contradict each other, and that is what the verdict says")
    func camps() throws {
        var world = World(nat: .preserving, seed: 3)
        world.liars = [0, 1]
        // Any seed in which the liars agree.
        let verdicts = (0..<20).compactMap { seed -> NATVerdict? in
            world.seed = UInt64(seed)
            return world.play(world.witnesses(4))
        }
        #expect(verdicts.allSatisfy { $0.mapping == .unknown })
        #expect(verdicts.contains { $0.reason.contains("contradict") })
    }

    @Test("open needs an own address and somebody who came in from outside")
    func open() throws {
        var world = World(nat: .none, seed: 5)
        world.isReachable = true
        let verdict = try #require(world.play(world.witnesses(5)))
        #expect(verdict.mapping == .open)
        #expect(verdict.ipv4?.filtering == "endpoint-independent")
        #expect(verdict.evidence.allSatisfy { $0.portIndex == 0 || $0.reachedBack == nil }, "once is enough")
        // Who did not get through is asked once more.
        world.losesFirst = true
        #expect(world.play(world.witnesses(5))?.mapping == .open)
        world.losesFirst = false
        // A dial-back through a NAT shows how it filters, but does not make it open.
        world.nat = .preserving
        let behind = try #require(world.play(world.witnesses(5)))
        #expect(behind.mapping == .endpointIndependent(preservesPort: true))
        #expect(behind.ipv4?.filtering == "endpoint-independent or address-dependent")
        #expect(behind.ipv4?.filtersLoosely == true)
        // What the caller has seen come in may have come through a port that was forwarded by hand.
        world.isReachable = false
        world.inboundSeen = true
        let forwarded = try #require(world.play(world.witnesses(5)))
        #expect(forwarded.ipv4?.isReachable == true && forwarded.ipv4?.filtersLoosely == false)
        #expect(forwarded.ipv4?.filtering == nil)
    }

    @Test("who came in at another port counts, unless a witness tried one like ours in vain")
    func inboundElsewhere() throws {
        var world = World(nat: .none, seed: 5)
        world.inboundElsewhere = true
        let firewall = try #require(world.play(world.witnesses(5)))
        #expect(firewall.mapping == .endpointIndependent(preservesPort: true))
        #expect(firewall.ipv4?.isReachable == true && firewall.ipv4?.filtersLoosely == false)
        world.areWilling = false
        let verdict = try #require(world.play(world.witnesses(5)))
        #expect(verdict.mapping == .open)
        // Behind a NAT it says that some port is forwarded, and nothing of the others.
        world.nat = .translating
        let behind = try #require(world.play(world.witnesses(5)))
        #expect(behind.mapping == .endpointIndependent(preservesPort: false))
        #expect(behind.ipv4?.isReachable == true && behind.ipv4?.filtering == nil)
    }

    @Test("the deadline ends the check with what is there, and late answers change nothing")
    func deadline() throws {
        let world = World(nat: .preserving, seed: 1)
        var check = NATCheck(NATCheck.Configuration(seed: 1), witnesses: world.witnesses(5))
        let directives = check.start(now: .zero)
        let probes = directives.compactMap { if case .probe(let probe) = $0 { probe } else { nil } }
        #expect(probes.count == 5)
        #expect(directives.contains(.setTimer(.zero + NATCheck.maximumDuration)))
        for probe in probes.prefix(3) {
            _ = check.onAnswer(
                id: probe.id, seen: world.truth(probe), local: world.local(probe.port), latency: .zero,
                reachedBack: false, at: WallClockTime(seconds: 0))
        }
        #expect(check.onTimer(now: .zero + .seconds(24)).isEmpty)
        guard case .finished(let verdict)? = check.onTimer(now: .zero + .seconds(25)).first else {
            return #expect(Bool(false), "not finished")
        }
        // Nobody answered on the second port, so nobody knows whether the first was kept by chance.
        #expect(verdict.mapping == .endpointIndependent(preservesPort: false))
        #expect(verdict.confidence < 0.8)
        #expect(verdict.silent.count == 5)
        #expect(check.onTimer(now: .zero + .seconds(26)).isEmpty)
        #expect(check.onSilence(id: probes[4].id, reason: "").isEmpty)
    }

    @Test("a provider's NAT is recognised by the router's own address, and by addresses that only providers use")
    func carrier() throws {
        let world = World(nat: .preserving, seed: 1)
        for (router, expected) in [([5, 9, 9, 9], false), ([100, 70, 1, 1], true), (nil, false)] as [([UInt8]?, Bool)] {
            var check = NATCheck(
                NATCheck.Configuration(routerAddress: router, seed: 1), witnesses: world.witnesses(3))
            var directives = check.start(now: .zero)
            while let index = directives.firstIndex(where: { if case .probe = $0 { true } else { false } }),
                case .probe(let probe) = directives.remove(at: index)
            {
                directives += check.onAnswer(
                    id: probe.id, seen: world.truth(probe), local: world.local(probe.port), latency: .zero,
                    reachedBack: false, at: WallClockTime(seconds: 0))
            }
            guard case .finished(let verdict)? = directives.last else { return #expect(Bool(false)) }
            #expect(verdict.ipv4?.isBehindCarrierNAT == expected)
        }
    }

    @Test("both families are checked for themselves, and private witnesses are not asked")
    func families() throws {
        let names = [
            "20.1.0.1:8333", "21.1.0.1:8333", "22.1.0.1:8333", "[2a01:4f8::1]:8333", "[2a02:4f8::1]:8333",
            "[2600:1::1]:8333", "192.168.1.1:8333",
        ]
        let witnesses = names.compactMap { name in
            ExternalEndpoint(name).map { NATWitness(name: name, endpoint: $0) }
        }
        var check = NATCheck(NATCheck.Configuration(inboundSeen: true, seed: 1), witnesses: witnesses)
        var directives = check.start(now: .zero)
        let six = try #require(ExternalEndpoint("[2a03:1::5]:41000"))
        let four = try #require(ExternalEndpoint("5.9.9.9:5000"))
        while let index = directives.firstIndex(where: { if case .probe = $0 { true } else { false } }),
            case .probe(let probe) = directives.remove(at: index)
        {
            #expect(probe.witness.name != "192.168.1.1:8333")
            let isSix = !probe.port.isIPv4
            directives += check.onAnswer(
                id: probe.id, seen: isSix ? six : four,
                local: isSix ? six : try #require(ExternalEndpoint("10.0.0.2:1")),
                latency: .zero, reachedBack: false, at: WallClockTime(seconds: 0))
        }
        guard case .finished(let verdict)? = directives.last else { return #expect(Bool(false)) }
        #expect(verdict.ipv6?.mapping == .open)
        #expect(verdict.ipv4?.mapping == .endpointIndependent(preservesPort: false))
        #expect(verdict.mapping == verdict.ipv4?.mapping)
        #expect(verdict.external.map(\.host) == ["5.9.9.9", "2a03:1::5"])
        #expect(verdict.silent.map(\.reason) == ["not asked: the address is private"])
    }
}
