// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetHolePunch

@Suite("Coordination")
struct CoordinationTests {
    // MARK: - The first bytes

    @Test("the first message says nothing of the node: byte by byte the same for all, but for the nonce")
    func versionBytes() throws {
        var nonces: Set<UInt64> = []
        for secret in UInt8(1)...20 {
            for role in [PunchRole.initiator, .responder] {
                var probe = Probe(role, secret: secret)
                if role == .responder { probe.version(services: 0) }
                guard case .version(let version)? = probe.written.first else {
                    Issue.record("no version message")
                    continue
                }
                nonces.insert(version.nonce)
                var bytes: [UInt8] = []
                bytes.appendLittleEndian(Int32(70016))
                bytes.appendLittleEndian(role == .initiator ? UInt64(0) : 1 << 27)
                bytes += [UInt8](repeating: 0, count: 8 + 26 + 26)
                bytes.appendLittleEndian(version.nonce)
                bytes += [13] + Array("/holepunch:1/".utf8) + [0, 0, 0, 0, 0]
                #expect(P2PMessage.version(version).payload == bytes)
            }
        }
        #expect(nonces.count == 20, "one nonce for each connection")
    }

    @Test("a responder says nothing before it is spoken to")
    func silence() {
        let probe = Probe(.responder)
        #expect(probe.written.isEmpty)
    }

    @Test("an initiator goes no further where no coordination is offered")
    func notAnEndpoint() {
        var probe = Probe(.initiator)
        probe.version(services: 1033)
        #expect(probe.failure == .violation(.notAnEndpoint))
        #expect(probe.isClosed)
        #expect(!probe.written.contains { if case .punch = $0 { true } else { false } })
    }

    @Test("no outbound connection is made, and no address told, before a token is taken")
    func tokensFirst() {
        var probe = Probe(.responder)
        probe.version(services: 0)
        probe.verack()
        #expect(probe.count(.request) == 0, "shaking hands alone costs no token")
        probe.say(.hello(PunchHello(mapping: .open, abilities: [.ipv4])))
        #expect(probe.count(.request) == 1)
        #expect(!probe.directives.contains { if case .learnMapping = $0 { true } else { false } })
        probe.take(probe.coordination.onRequestDecision(.busy, now: probe.now))
        #expect(probe.written.last == .punch(.refuse(.busy)))
        #expect(probe.failure == .refused(.busy))
        #expect(probe.isClosed)
        #expect(!probe.directives.contains { if case .learnMapping = $0 { true } else { false } })
    }

    @Test("whoever cannot be helped costs no token and learns why")
    func impossible() {
        var probe = Probe(.responder)
        probe.version(services: 0)
        probe.verack()
        probe.say(.hello(PunchHello(mapping: .endpointDependent, abilities: [.ipv4])))
        #expect(probe.count(.request) == 0)
        #expect(probe.written.last == .punch(.refuse(.impossible)))
        #expect(
            probe.failure == .impossible(own: .endpointIndependent(preservesPort: true), peer: .endpointDependent))
        var other = Probe(.initiator, abilities: [.ipv6])
        other.greet(abilities: [.ipv4])
        #expect(other.failure == .noCommonPath)
    }

    @Test("a refusal of the other side is told by its name")
    func refusedByPeer() {
        var probe = Probe(.initiator)
        probe.version(services: PunchOffer.serviceFlag)
        probe.verack()
        probe.say(.refuse(.busy))
        #expect(probe.failure == .refusedByPeer(.busy))
        #expect(probe.isClosed)
    }

    // MARK: - The moment

    @Test("both open at the moment in the responder's clock, at most five seconds ahead, at least one second ago")
    func moment() {
        for (lead, ending) in [
            (Int64(300_000), "plan"), (5_000_000, "plan"), (5_000_001, "violation"), (Int64.max / 2000, "violation"),
            (0, "plan"),
            (-1_000_000, "plan"), (-1_000_001, "late"), (Int64.min / 2000, "late"),
        ] {
            var probe = Probe(.responder)
            probe.agree(lead: lead)
            switch ending {
            case "plan":
                let plan = probe.plan
                #expect(plan?.at == probe.now + .microseconds(max(0, lead)), "\(lead)")
                #expect(plan?.remote == endpoint("8.8.8.8:50000"))
                #expect(plan?.dials == true && plan?.listens == true && plan?.isDense == false)
            case "late":
                #expect(probe.plan == nil)
                #expect(probe.results == [.late])
            default:
                #expect(probe.plan == nil)
                #expect(probe.failure == .violation(.momentTooFar))
            }
        }
    }

    @Test("the initiator's moment is ahead by what the link needs, and never further than the responder bears")
    func lead() {
        for milliseconds in [1, 100, 800, 1500] {
            var probe = Probe(.initiator)
            probe.greet()
            probe.learn()
            probe.answerPings(after: .milliseconds(milliseconds))
            probe.tell()
            let lead = (probe.plan?.at ?? .zero) - probe.now
            #expect(lead >= .milliseconds(milliseconds * 3 / 2 + 250) && lead < Coordination.maximumLead)
            guard case .punch(.go(1, .punch, let moment))? = probe.written.last else {
                Issue.record("no moment")
                continue
            }
            // The test's answers left as they came, so the clock stands in the middle of each round trip.
            let reading = UInt64(
                ((probe.plan?.at ?? .zero) - .zero + .milliseconds(milliseconds) / 2).wholeNanoseconds / 1000)
            #expect(moment.distance(to: reading).magnitude <= 2)
        }
    }

    @Test("a responder that lies about its clock cannot move the initiator's moment beyond the bound")
    func clockAttack() {
        var random = SeededRandom(seed: 11)
        for _ in 0..<300 {
            var probe = Probe(.initiator)
            probe.greet()
            probe.learn()
            probe.tell()
            while !probe.isClosed, let sent = probe.nextPing() {
                probe.now = probe.now + .milliseconds(Int.random(in: 1...300, using: &random))
                let received = UInt64.random(in: .min ... .max, using: &random)
                let held = UInt64.random(in: 0...400_000, using: &random)
                probe.say(.pong(sent: sent, received: received, replied: received &+ held))
            }
            if let plan = probe.plan {
                #expect(plan.at > probe.now && plan.at <= probe.now + ClockAgreement.maximumLead)
            } else {
                #expect(probe.failure == .violation(.impossibleClock))
            }
        }
    }

    // MARK: - Results

    @Test("a proof ends it well on both sides, and the result is told")
    func success() {
        for role in [PunchRole.initiator, .responder] {
            var probe = Probe(role)
            probe.greet()
            probe.learn()
            if role == .initiator { probe.answerPings() }
            probe.tell()
            if role == .responder {
                let clock = probe.readClock()
                probe.say(.go(attempt: 1, path: .punch, moment: clock + 100_000))
            }
            let at = probe.plan?.at ?? .zero
            probe.now = at + .milliseconds(120)
            probe.take(
                probe.coordination.onPunched(
                    attempt: 1,
                    .success(
                        PunchSuccess(
                            peer: endpoint("8.8.8.8:50000"), stoodAt: at + .milliseconds(101),
                            roundTrip: .milliseconds(100))),
                    now: probe.now))
            #expect(probe.results == [nil])
            #expect(probe.outcome?.ending == .connected(.punch, peer: endpoint("8.8.8.8:50000")))
            #expect(probe.outcome?.opening == .milliseconds(101))
            #expect(probe.outcome?.roundTrips == 2)
            #expect(!probe.isClosed, "the other side's result is waited for")
            probe.say(.result(attempt: 1, nil))
            #expect(probe.directives.last == .disconnect(nil))
        }
    }

    @Test("a failed attempt is followed by one with fresh mappings and a fresh nonce, and that by the end")
    func retry() {
        var probe = Probe(.responder)
        probe.greet()
        var nonces: Set<[UInt8]> = []
        for attempt in UInt8(1)...2 {
            probe.learn(attempt: attempt)
            probe.tell(attempt: attempt)
            for case .punch(.endpoints(attempt, _, let nonce)) in probe.written { nonces.insert(nonce) }
            let clock = probe.readClock()
            probe.say(.go(attempt: attempt, path: .punch, moment: clock + 1000))
            probe.take(probe.coordination.onPunched(attempt: attempt, .failure(.timedOut), now: probe.now))
            probe.say(.result(attempt: attempt, .refused))
        }
        #expect(nonces.count == 2)
        #expect(probe.directives.count { if case .learnMapping = $0 { true } else { false } } == 2)
        #expect(probe.failure == .attemptsFailed(.timedOut))
        #expect(probe.outcome?.attempts.map(\.peer) == [.refused, .refused])
    }

    @Test("when the other side gives up, so do we, and a late answer of the shell changes nothing")
    func peerGivesUp() {
        var probe = Probe(.responder)
        probe.agree()
        probe.say(.result(attempt: 1, .refused))
        #expect(probe.results == [.peerFailed])
        #expect(probe.count(.abandon(attempt: 1)) == 1)
        let late = PunchSuccess(peer: endpoint("8.8.8.8:50000"), stoodAt: probe.now, roundTrip: nil)
        #expect(probe.coordination.onPunched(attempt: 1, .success(late), now: probe.now).isEmpty)
        #expect(probe.directives.contains(.learnMapping(attempt: 2, .punch, listens: true)))
    }

    @Test("whoever says that nothing is left but time for a relayed connection gets it, from the first byte on")
    func relay() {
        var probe = Probe(.responder, abilities: [.ipv4, .relay])
        probe.greet(abilities: [.ipv4, .relay])
        let wish = P2PMessage.frame(command: "hpunch", payload: PunchMessage.relay.encoded(), network: .main)
        probe.bytes(wish + [1, 2, 3])
        #expect(probe.count(.abandon(attempt: 1)) == 1)
        #expect(probe.written.last == .punch(.relayAccepted))
        #expect(probe.outcome?.ending == .connected(.relayed, peer: nil))
        #expect(probe.directives.suffix(2) == [.relay, .raw([1, 2, 3])])
        probe.bytes([4])
        #expect(probe.directives.last == .raw([4]))
        var other = Probe(.responder, abilities: [.ipv4])
        other.greet(abilities: [.ipv4, .relay])
        other.bytes(wish)
        #expect(other.failure == .violation(.unexpected("the wish for a relayed connection")))
    }

    @Test("closing at any time ends it once, with a reason, and opens nothing more")
    func closing() {
        for step in 0..<5 {
            for isOurs in [true, false] {
                var probe = Probe(.responder)
                if step > 0 { probe.version(services: 0) }
                if step > 1 { probe.verack() }
                if step > 2 { probe.say(.hello(PunchHello(mapping: .open, abilities: [.ipv4]))) }
                if step > 3 { probe.take(probe.coordination.onRequestDecision(nil, now: probe.now)) }
                let directives =
                    isOurs
                    ? probe.coordination.close(.stopping, now: probe.now) : probe.coordination.onClosed(now: probe.now)
                probe.take(directives)
                #expect(probe.failure == (isOurs ? .refused(.stopping) : .closed))
                #expect(probe.isClosed)
                let learning = probe.directives.contains { if case .learnMapping = $0 { true } else { false } }
                #expect(learning == (probe.count(.abandon(attempt: 1)) == 1))
                #expect(probe.coordination.onBytes([1], now: probe.now).isEmpty)
                #expect(probe.coordination.onTimer(now: probe.now).isEmpty)
                #expect(probe.coordination.onClosed(now: probe.now).isEmpty)
            }
        }
    }
}
