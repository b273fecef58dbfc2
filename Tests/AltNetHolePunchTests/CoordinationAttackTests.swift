// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetHolePunch

@Suite("Attacks on the coordination")
struct CoordinationAttackTests {
    @Test("whoever stops in the middle is gone at the deadline of that step, and never later than after 30 seconds")
    func halfOpen() {
        /// The steps after which the other side falls silent.
        let steps: [(CoordinationStep, Duration, (inout Probe) -> Void)] = [
            (.handshake, Coordination.handshakeTimeout, { _ in }),
            (.handshake, Coordination.handshakeTimeout, { $0.version(services: 0) }),
            (
                .handshake, Coordination.handshakeTimeout,
                {
                    $0.version(services: 0)
                    $0.verack()
                }
            ),
            (
                .decision, Coordination.decisionTimeout,
                {
                    $0.version(services: 0)
                    $0.verack()
                    $0.say(.hello(PunchHello(mapping: .open, abilities: [.ipv4])))
                }
            ),
            (
                .agreement, Coordination.agreementTimeout,
                {
                    $0.greet()
                    $0.learn()
                }
            ),
            (
                .agreement, Coordination.agreementTimeout,
                {
                    $0.greet()
                    $0.learn()
                    $0.tell()
                }
            ),
            // Our own shell answers nothing, and then the other side nothing.
            (.result, Coordination.mappingTimeout + Coordination.resultTimeout, { $0.greet() }),
            (
                .result, Coordination.resultTimeout,
                {
                    $0.greet()
                    $0.take($0.coordination.onMapping(attempt: 1, .failure(.noMapping), now: $0.now))
                }
            ),
        ]
        for (step, after, act) in steps {
            var probe = Probe(.responder)
            act(&probe)
            probe.pass(after - .milliseconds(1))
            #expect(probe.failure == nil, "\(step)")
            probe.pass(.milliseconds(2))
            #expect(probe.failure == .timedOut(step))
            #expect(probe.isClosed)
            #expect(after <= Coordination.wholeTimeout)
        }
    }

    @Test("an attempt whose connection nobody reports ends by itself")
    func silentShell() {
        var probe = Probe(.responder)
        probe.agree(lead: 0)
        probe.pass(PunchPlan.connectTimeout + PunchPlan.proofTimeout + Coordination.openingGrace)
        #expect(probe.results == [.timedOut])
        #expect(probe.count(.abandon(attempt: 1)) == 1)
    }

    @Test("a byte a second keeps nobody's place longer than the handshake may take")
    func slowLoris() {
        var probe = Probe(.responder)
        let version = P2PVersion(
            protocolVersion: 70016, services: 0, time: 0, nonce: 9, userAgent: Array(repeating: 65, count: 200),
            startHeight: 0, relay: false)
        for byte in P2PMessage.version(version).encoded(for: .main) where !probe.isClosed {
            probe.bytes([byte])
            probe.pass(.seconds(1))
        }
        #expect(probe.failure == .timedOut(.handshake))
        #expect(probe.now - .zero <= Coordination.handshakeTimeout + .seconds(1))
    }

    @Test("what belongs to a Bitcoin node is ignored sixteen times and then ends it")
    func ignored() {
        var probe = Probe(.responder)
        probe.version(services: 1033)
        for message in [P2PMessage.wtxidrelay, .sendaddrv2] { probe.bytes(message.encoded(for: .main)) }
        probe.verack()
        for message in [P2PMessage.sendheaders, .getaddr, .ping(1), .feefilter(1000)] {
            probe.bytes(message.encoded(for: .main))
        }
        #expect(probe.failure == nil)
        #expect(probe.written.count == 2, "nothing is answered")
        for _ in 0..<11 { probe.bytes(P2PMessage.ping(7).encoded(for: .main)) }
        #expect(probe.failure == .violation(.tooManyIgnored))
    }

    @Test("messages without end, questions about the clock among them, end it")
    func tooMany() {
        var probe = Probe(.responder)
        probe.greet()
        for number in 0..<200 where !probe.isClosed { probe.say(.ping(sent: UInt64(number))) }
        #expect(probe.failure == .violation(.tooManyMessages))
        #expect(probe.written.count <= Coordination.maximumMessages + 4)
    }

    @Test("what is longer than any message is refused at its header, before it is read")
    func tooLong() {
        for (command, length) in [("hpunch", 513), ("version", 600), ("block", 4_000_000)] {
            var probe = Probe(.responder)
            let frame = P2PMessage.frame(
                command: command, payload: [UInt8](repeating: 0, count: length), network: .main)
            probe.bytes(Array(frame.prefix(24)))
            #expect(probe.failure == .violation(.messageTooLong(length)))
        }
    }

    @Test("another network, another protocol and a damaged message are refused by name")
    func nonsense() {
        var foreign = Probe(.responder)
        foreign.bytes(P2PMessage.verack.encoded(for: .testnet4))
        #expect(foreign.failure == .violation(.wrongMagic))
        var web = Probe(.responder)
        web.bytes(Array("GET / HTTP/1.1\r\n\r\n".utf8))
        #expect(web.failure == .violation(.wrongMagic))
        var damaged = Probe(.responder)
        var bytes = P2PMessage.frame(command: "hpunch", payload: [7], network: .main)
        bytes[24] = 8
        damaged.bytes(bytes)
        #expect(damaged.failure == .violation(.wrongChecksum))
        var short = Probe(.responder)
        short.bytes(P2PMessage.frame(command: "version", payload: [1, 2], network: .main))
        #expect(short.failure == .violation(.malformedVersion))
        var unknown = Probe(.responder)
        unknown.version(services: 0)
        unknown.verack()
        unknown.bytes(P2PMessage.frame(command: "hpunch", payload: [99], network: .main))
        #expect(unknown.failure == .violation(.malformed(.unknownKind(99))))
    }

    @Test("every message out of its turn ends it")
    func outOfTurn() {
        let hello = PunchMessage.hello(PunchHello(mapping: .open, abilities: [.ipv4]))
        let endpoints = PunchMessage.endpoints(
            attempt: 1, [PathEndpoint(path: .punch, endpoint: endpoint("8.8.8.8:9000"))],
            nonce: [UInt8](repeating: 0, count: 32))
        let messages: [PunchMessage] = [
            .pong(sent: 1, received: 1, replied: 1), endpoints, .go(attempt: 1, path: .punch, moment: 0),
            .result(attempt: 1, nil), .relay, .relayAccepted, .ping(sent: 1),
        ]
        for message in messages {
            var early = Probe(.responder)
            early.version(services: 0)
            early.say(message)
            #expect(early.failure == .violation(.unexpected("a coordination message before verack")))
            var beforeHello = Probe(.responder)
            beforeHello.version(services: 0)
            beforeHello.verack()
            beforeHello.say(message)
            guard case .violation(.unexpected)? = beforeHello.failure else {
                Issue.record("\(message) is taken before hello")
                continue
            }
        }
        // In the attempt: another attempt's, another path's, twice, and what only the other role says.
        let inAttempt: [[PunchMessage]] = [
            [hello], [endpoints, endpoints], [.endpoints(attempt: 2, [], nonce: [UInt8](repeating: 0, count: 32))],
            [.go(attempt: 1, path: .punch, moment: 0)], [endpoints, .go(attempt: 2, path: .punch, moment: 0)],
            [endpoints, .go(attempt: 1, path: .direct, moment: 0)], [.result(attempt: 9, .timedOut)],
            [.result(attempt: 1, nil)], [.relayAccepted], [.pong(sent: 1, received: 1, replied: 1)],
        ]
        for messages in inAttempt {
            var probe = Probe(.responder)
            probe.greet()
            for message in messages where !probe.isClosed { probe.say(message) }
            guard case .violation(.unexpected)? = probe.failure else {
                Issue.record("\(messages) is taken")
                continue
            }
            #expect(probe.plan == nil)
        }
        var initiator = Probe(.initiator)
        initiator.greet()
        initiator.say(.go(attempt: 1, path: .punch, moment: 0))
        #expect(initiator.failure == .violation(.unexpected("the moment")))
        for second in [P2PMessage.verack.encoded(for: .main)] {
            var probe = Probe(.responder)
            probe.greet()
            probe.bytes(second)
            #expect(probe.failure == .violation(.unexpected("verack")))
        }
    }

    @Test("what was said on one connection is worth nothing on the next")
    func replay() {
        var proofs: Set<PunchProof> = []
        for secret in UInt8(1)...10 {
            var probe = Probe(.responder, secret: secret)
            // The recorded messages of an initiator, its nonce among them.
            probe.agree()
            if let proof = probe.plan?.proof { proofs.insert(proof) }
        }
        #expect(proofs.count == 10)
        #expect(Set(proofs.map(\.expect)).count == 10)
    }

    @Test("random bytes and damaged conversations never do harm")
    func fuzz() {
        var random = SeededRandom(seed: 12)
        for _ in 0..<3_000 {
            var probe = Probe(Bool.random(using: &random) ? .responder : .initiator, abilities: [.ipv4, .ipv6, .relay])
            for _ in 0..<12 where !probe.isClosed {
                switch Int.random(in: 0..<10, using: &random) {
                case 0: probe.version(services: PunchOffer.serviceFlag)
                case 1: probe.verack()
                case 2: probe.greet(abilities: [.ipv4, .ipv6, .relay])
                case 3: probe.learn(attempt: .random(in: 1...2, using: &random))
                case 4: probe.tell(attempt: .random(in: 1...2, using: &random))
                case 5: probe.answerPings()
                case 6:
                    probe.say(.go(attempt: 1, path: .ipv6, moment: .random(in: .min ... .max, using: &random)))
                case 7: probe.say(.result(attempt: 1, Bool.random(using: &random) ? .timedOut : nil))
                case 8:
                    let payload = random.bytes(Int.random(in: 0...60, using: &random))
                    probe.bytes(P2PMessage.frame(command: "hpunch", payload: payload, network: .main))
                default: probe.pass(.milliseconds(Int.random(in: 1...9000, using: &random)))
                }
            }
            probe.pass(.seconds(60))
            let isLink = probe.outcome?.ending == .connected(.relayed, peer: nil)
            #expect(probe.isClosed || isLink)
            #expect(probe.directives.count { if case .finished = $0 { true } else { false } } == 1)
        }
    }
}

@Suite("PunchLimits")
struct PunchLimitsTests {
    private let onion = CoordinationEndpoint.onion(publicKey: [UInt8](repeating: 1, count: 32), port: 1)
    private let i2p = CoordinationEndpoint.i2p(hash: [UInt8](repeating: 2, count: 32))

    @Test("ten thousand requests a minute are refused but for eight, and for one each quarter of a minute after that")
    func flood() {
        var limits = PunchLimits(now: .zero)
        var granted = 0
        for request in 0..<10_000 {
            let now = MonotonicInstant.zero + .milliseconds(request * 6)
            let endpoint = request.isMultiple(of: 2) ? self.onion : self.i2p
            if limits.request(at: endpoint, now: now) == nil {
                granted += 1
                limits.requestEnded()
            }
        }
        #expect(granted <= PunchLimits.requestBurst + 4)
        #expect(granted >= PunchLimits.requestBurst)
    }

    @Test("a flood of one endpoint leaves tokens to the other, and four coordinate at once")
    func fairness() {
        var limits = PunchLimits(now: .zero)
        let now = MonotonicInstant.zero
        var granted = 0
        for _ in 0..<100 where limits.request(at: self.onion, now: now) == nil {
            granted += 1
            limits.requestEnded()
        }
        #expect(granted == PunchLimits.endpointBurst)
        for _ in 0..<4 { #expect(limits.request(at: self.i2p, now: now) == nil) }
        #expect(limits.coordinations == PunchLimits.maximumCoordinations)
        let later = now + .seconds(3600)
        #expect(limits.request(at: self.onion, now: later) == .busy)
        limits.requestEnded()
        #expect(limits.request(at: self.onion, now: later) == nil)
    }

    @Test("the requests that pass are those that a naive count of tokens lets pass")
    func model() {
        var random = SeededRandom(seed: 3)
        for _ in 0..<200 {
            var limits = PunchLimits(now: .zero)
            // Whole tokens and what is gathered of the next, in seconds.
            var total = 8 * 15
            var own = 4 * 30
            var last = 0
            for second in (0..<60).map({ _ in Int.random(in: 0...900, using: &random) }).sorted() {
                total = min(8 * 15, total + second - last)
                own = min(4 * 30, own + second - last)
                last = second
                let expected = total >= 15 && own >= 30
                let now = MonotonicInstant.zero + .seconds(second)
                #expect((limits.request(at: self.onion, now: now) == nil) == expected)
                if expected {
                    total -= 15
                    own -= 30
                    limits.requestEnded()
                }
            }
        }
    }

    @Test("connections that have not asked are bounded too")
    func connections() {
        var limits = PunchLimits(now: .zero)
        for _ in 0..<PunchLimits.maximumConnections {
            let isTaken = limits.connected()
            #expect(isTaken)
        }
        let tooMany = limits.connected()
        #expect(!tooMany)
        limits.disconnected()
        let again = limits.connected()
        #expect(again)
    }

    @Test("those who say nothing push out nobody who speaks, and there is always room for one more")
    func visitors() {
        var visitors = PunchVisitors<Int>()
        let most = PunchVisitors<Int>.maximumOfEach
        var out: [Int] = []
        for visitor in 0..<10 {
            let left = [visitors.arrived(visitor), visitors.greeted(visitor)]
            out += left.compactMap { $0 }
        }
        for visitor in 100..<10_000 { if let left = visitors.arrived(visitor) { out.append(left) } }
        #expect(out == Array(100..<10_000 - most), "the oldest of the silent ones, in turn")
        #expect(visitors.count == most + 10)
        // Among those who speak, too, the oldest leaves, and none twice.
        out = []
        for visitor in 20_000..<20_000 + most {
            let left = [visitors.arrived(visitor), visitors.greeted(visitor), visitors.greeted(visitor)]
            out += left.compactMap { $0 }
        }
        #expect(out.filter { $0 < 100 } == Array(0..<10))
        #expect(visitors.count <= PunchLimits.maximumConnections - PunchLimits.maximumCoordinations)
        visitors.left(20_000)
        visitors.left(20_000)
        let pushed = [visitors.arrived(30_000), visitors.greeted(30_000)].compactMap { $0 }
        #expect(pushed.isEmpty, "where somebody has left, nobody has to")
    }

    @Test("a caller with a round trip of two seconds survives 30 new connections a second")
    func pushOut() {
        for speaks in [false, true] {
            var visitors = PunchVisitors<Int>()
            var out: Set<Int> = []
            func take(_ visitor: Int?) { if let visitor { out.insert(visitor) } }
            for visitor in 1...1_000 {
                take(visitors.arrived(visitor))
                if speaks { take(visitors.greeted(visitor)) }
            }
            // Its version message comes after one round trip, its hello after another.
            take(visitors.arrived(0))
            for step in 0..<120 {
                take(visitors.arrived(2_000 + step))
                if speaks { take(visitors.greeted(2_000 + step)) }
                if step == 60 { take(visitors.greeted(0)) }
            }
            #expect(!out.contains(0))
        }
    }

    @Test("a third party gets no more than 24 SYNs in any ten minutes, whoever names it and on whatever port")
    func thirdParty() {
        var random = SeededRandom(seed: 8)
        var limits = PunchLimits(now: .zero)
        var sent: [Int] = []
        for second in 0..<3_000 {
            let now = MonotonicInstant.zero + .seconds(second)
            let port = UInt16.random(in: 1024...65535, using: &random)
            let isAllowed = limits.takeSYNs(8, to: endpoint("8.8.8.8:\(port)"), now: now)
            let recent = sent.count { second - $0 < 600 } * 8
            #expect(isAllowed == (recent + 8 <= 24))
            if isAllowed { sent.append(second) }
            #expect(limits.syns(to: endpoint("8.8.8.8:1"), now: now) <= 24)
        }
        // One IPv6 subscriber has a /64.
        var granted = 0
        for host in 0..<100 {
            let target = endpoint("[2a00:0:0:1::\(String(host, radix: 16))]:9000")
            if limits.takeSYNs(8, to: target, now: .zero) { granted += 1 }
        }
        #expect(granted == 3)
    }

    @Test("when too many addresses are counted, no new one is connected to")
    func table() {
        var limits = PunchLimits(now: .zero)
        func target(_ number: Int) -> ExternalEndpoint { endpoint("9.\(number / 256).\(number % 256).1:9000") }
        var granted = 0
        for number in 0..<2_000 where limits.takeSYNs(8, to: target(number), now: .zero) { granted += 1 }
        #expect(granted == PunchLimits.maximumTargets)
        let later = limits.takeSYNs(8, to: target(3_000), now: .zero + PunchLimits.synWindow)
        #expect(later)
    }
}
