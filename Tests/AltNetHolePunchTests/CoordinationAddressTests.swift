// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetHolePunch

@Suite("Addresses in a coordination")
struct CoordinationAddressTests {
    @Test("the responder tells its address only to those who have told theirs")
    func askerFirst() {
        var probe = Probe(.responder)
        probe.greet()
        probe.learn()
        #expect(!probe.written.contains { if case .punch(.endpoints) = $0 { true } else { false } })
        probe.tell()
        guard case .punch(.endpoints(1, let told, let nonce))? = probe.written.last else {
            Issue.record("no address told")
            return
        }
        #expect(told == [PathEndpoint(path: .punch, endpoint: endpoint("9.9.9.9:40000"))])
        #expect(nonce.count == 32)
    }

    @Test(
        "an address that is never connected to ends the path, and is not connected to",
        arguments: ["10.0.0.1:9000", "127.0.0.1:9000", "8.8.8.8:25", "224.0.0.1:9000", "203.0.113.9:9000"])
    func forbiddenTarget(_ text: String) {
        for role in [PunchRole.initiator, .responder] {
            var probe = Probe(role)
            probe.greet()
            probe.learn()
            probe.tell(text)
            #expect(probe.results == [.targetRefused])
            probe.say(.result(attempt: 1, .peerFailed))
            #expect(probe.plan == nil)
            #expect(probe.failure == .attemptsFailed(.targetRefused))
            #expect(probe.outcome?.attempts.count == 1, "fresh mappings would not help")
        }
    }

    @Test("an initiator goes nowhere but where the offer said")
    func notTheOffered() {
        for (text, isRight) in [("8.8.8.8:50000", true), ("8.8.4.4:50000", true), ("8.9.8.8:50000", false)] {
            var probe = Probe(.initiator, offered: ["8.8.8.8"])
            probe.greet()
            probe.learn()
            probe.answerPings()
            probe.tell(text)
            #expect((probe.plan != nil) == isRight)
            if !isRight { #expect(probe.results == [.notTheOffered]) }
        }
    }

    /// An initiator with both families, of which offers named some addresses; where it goes when the other side is at
    /// 8.8.8.8 and 2a00::2. First comes the path over IPv6, then the one over IPv4.
    private static func ways(_ offered: [String]) -> (ipv6: Bool, ipv4: Bool, results: [PunchReason?]) {
        var probe = Probe(.initiator, abilities: [.ipv4, .ipv6], offered: offered)
        probe.greet(abilities: [.ipv4, .ipv6])
        probe.learn("[2a01::1]:9000")
        probe.answerPings()
        probe.tell("[2a00::2]:9000", path: .ipv6)
        let ipv6 = probe.plan?.remote == endpoint("[2a00::2]:9000")
        if ipv6 { probe.take(probe.coordination.onPunched(attempt: 1, .failure(.timedOut), now: probe.now)) }
        probe.say(.result(attempt: 1, .timedOut))
        probe.learn(attempt: 2)
        probe.answerPings()
        probe.tell("8.8.8.8:50000", attempt: 2)
        return (ipv6, probe.plan?.remote == endpoint("8.8.8.8:50000"), probe.results)
    }

    @Test("each address is compared with the one that was offered for its family")
    func families() {
        let both = Self.ways(["8.8.4.4", "2a00:0:1::1"])
        #expect(both == (true, true, [.timedOut]))
        // The order in which they are named says nothing.
        #expect(Self.ways(["2a00:0:1::1", "8.8.4.4"]) == both)
        // A lie about one family closes this family, and leaves the other one.
        #expect(Self.ways(["8.8.4.4", "2a02::1"]) == (false, true, [.notTheOffered]))
        #expect(Self.ways(["8.9.8.8", "2a00::7"]) == (true, false, [.timedOut, .notTheOffered]))
        #expect(Self.ways(["8.9.8.8", "2a02::1"]) == (false, false, [.notTheOffered, .notTheOffered]))
        #expect(Self.ways([]) == (true, true, [.timedOut]))
    }

    @Test("an address of a family that no offer named is refused, and the other family is still tried")
    func familyNotOffered() {
        #expect(Self.ways(["8.8.8.8"]) == (false, true, [.notTheOffered]))
        #expect(Self.ways(["2a00::2"]) == (true, false, [.timedOut, .notTheOffered]))
        // An IPv4 address in IPv6's clothes is one of IPv4.
        #expect(Self.ways(["::ffff:8.8.8.8"]) == (false, true, [.notTheOffered]))
    }

    @Test("an initiator that chose an address takes no relayed connection, which shows none")
    func noRelayForOffered() {
        for offered in [[], ["8.8.8.8"]] {
            var probe = Probe(.initiator, abilities: [.ipv4, .relay], offered: offered)
            probe.greet(abilities: [.ipv4, .relay])
            let hellos = probe.written.compactMap { if case .punch(.hello(let hello)) = $0 { hello } else { nil } }
            #expect(hellos.first?.abilities.contains(.relay) == offered.isEmpty)
            probe.take(probe.coordination.onMapping(attempt: 1, .failure(.noMapping), now: probe.now))
            probe.say(.result(attempt: 1, .peerFailed))
            #expect(probe.written.contains(.punch(.relay)) == offered.isEmpty)
            probe.say(.relayAccepted)
            #expect((probe.outcome?.ending == .connected(.relayed, peer: nil)) == offered.isEmpty)
            if !offered.isEmpty { #expect(probe.failure == .attemptsFailed(.noMapping)) }
        }
        // Not even where nothing else was possible, and after an address in another network group.
        var impossible = Probe(.initiator, abilities: [.ipv4, .relay], offered: ["8.8.8.8"])
        impossible.greet(mapping: .endpointDependent, abilities: [.ipv4, .relay])
        #expect(impossible.failure != nil && !impossible.written.contains(.punch(.relay)))
        var elsewhere = Probe(.initiator, abilities: [.ipv4, .relay], offered: ["8.8.8.8"])
        elsewhere.greet(abilities: [.ipv4, .relay])
        elsewhere.learn()
        elsewhere.tell("9.8.8.8:50000")
        elsewhere.say(.result(attempt: 1, .peerFailed))
        #expect(elsewhere.failure == .attemptsFailed(.notTheOffered))
        #expect(!elsewhere.written.contains(.punch(.relay)))
    }

    @Test("nobody is connected to at an address of our own because the other side names it")
    func ownTarget() {
        let own: [[UInt8]] = [[9, 9, 9, 9], [0x2a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1], [192, 168, 1, 1]]
        for (text, allowPrivate, isTaken) in [
            ("9.9.9.9:9000", false, false), ("9.9.9.8:9000", false, true), ("9.9.9.9:9000", true, false),
            ("[2a00:0:0:1::1]:9000", false, false), ("[2a00:0:0:1::77]:9000", false, false),
            ("[2a00:0:0:2::1]:9000", false, true),
            // Both sides of a lab may be on one machine.
            ("192.168.1.1:9000", true, true),
        ] {
            let path: PunchPath = endpoint(text).isIPv4 ? .punch : .ipv6
            let ability: PunchAbilities = path == .ipv6 ? .ipv6 : .ipv4
            for role in [PunchRole.initiator, .responder] {
                var probe = Probe(role, abilities: ability, own: own, allowPrivate: allowPrivate)
                probe.greet(abilities: ability)
                probe.learn(path == .ipv6 ? "[2a00:0:0:1::1]:9000" : "9.9.9.9:40000")
                probe.tell(text, path: path)
                #expect(probe.results == (isTaken ? [] : [.targetRefused]), "\(text)")
            }
        }
    }

    @Test("one coordination makes us connect to one IPv4 host, and sends 24 SYNs in all attempts together")
    func oneHost() {
        /// A responder that dials in every attempt, and what it says of each.
        func attempts(_ targets: [(PunchPath, String)]) -> Probe {
            var probe = Probe(.responder, abilities: [.ipv4, .ipv6])
            probe.greet(abilities: [.ipv4, .ipv6, .direct, .mapped])
            for (attempt, (path, text)) in zip(UInt8(1)..., targets) {
                probe.learn(path == .ipv6 ? "[2a00::1]:9000" : "9.9.9.9:40000", attempt: attempt)
                probe.tell(text, path: path, attempt: attempt)
                if probe.results.count < Int(attempt) {
                    let clock = probe.readClock()
                    probe.say(.go(attempt: attempt, path: path, moment: clock + 1000))
                }
                probe.take(probe.coordination.onPunched(attempt: attempt, .failure(.refused), now: probe.now))
                probe.say(.result(attempt: attempt, .timedOut))
            }
            return probe
        }
        func plans(_ probe: Probe) -> [PunchPlan] {
            probe.directives.compactMap { if case .open(let plan) = $0 { plan } else { nil } }
        }
        let all = attempts([
            (.direct, "8.8.8.8:5001"), (.ipv6, "[2a01::1]:5002"), (.mapped, "8.8.8.8:5003"), (.punch, "8.8.8.8:5004"),
            (.punch, "8.8.8.8:5005"),
        ])
        #expect(plans(all).map(\.syns) == [4, 8, 4, 8])
        #expect(plans(all).map(\.syns).reduce(0, +) == Coordination.maximumSYNs)
        #expect(all.outcome?.attempts.map(\.own) == [.refused, .refused, .refused, .refused, .synBudgetSpent])
        let many = attempts([
            (.direct, "8.8.8.8:5001"), (.ipv6, "[2a01::1]:5002"), (.mapped, "8.8.8.7:5003"), (.punch, "8.8.4.4:5004"),
        ])
        #expect(Set(plans(many).map(\.remote.host)) == ["8.8.8.8", "2a01::1"])
        #expect(many.outcome?.attempts.map(\.own) == [.refused, .refused, .targetRefused, .targetRefused])
    }

    @Test("the other side is not told what answered at the address that it named, and the own report is exact")
    func coarseResults() {
        for reason in PunchReason.named {
            var probe = Probe(.responder)
            probe.agree()
            probe.take(probe.coordination.onPunched(attempt: 1, .failure(reason), now: probe.now))
            let isTelling = [.refused, .proofFailed, .proofLate].contains(reason)
            #expect(probe.results == [isTelling ? .timedOut : reason])
            probe.say(.result(attempt: 1, .timedOut))
            probe.take(probe.coordination.onClosed(now: probe.now))
            #expect(probe.outcome?.attempts.first?.own == reason)
        }
    }

    @Test("an attempt without an address of ours is over at once, on both sides")
    func noMapping() {
        for role in [PunchRole.initiator, .responder] {
            var probe = Probe(role)
            probe.greet()
            probe.take(probe.coordination.onMapping(attempt: 1, .failure(.noMapping), now: probe.now))
            #expect(probe.results == [.noMapping])
            #expect(probe.count(.abandon(attempt: 1)) == 1)
            // What the other side sent before it knew.
            probe.tell()
            #expect(probe.failure == nil)
            probe.say(.result(attempt: 1, .peerFailed))
            #expect(probe.failure == .attemptsFailed(.noMapping))
        }
    }
}
