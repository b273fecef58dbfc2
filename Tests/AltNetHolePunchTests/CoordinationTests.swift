// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import Testing

@testable import AltNetHolePunch

/// One coordination whose other side is the test.
struct Probe {
    var coordination: Coordination
    var now = MonotonicInstant.zero
    /// Messages that it wrote, by name or as values.
    var written: [CoordinationDecoder.Message] = []
    var directives: [Coordination.Directive] = []
    var timer: MonotonicInstant?
    private var pongs = 0
    private var decoder = CoordinationDecoder(network: .main)

    init(
        _ role: PunchRole, mapping: NATMapping = .endpointIndependent(preservesPort: true),
        abilities: PunchAbilities = [.ipv4], offered: [UInt8]? = nil, own: [[UInt8]] = [], secret: UInt8 = 1,
        allowPrivate: Bool = false
    ) {
        self.coordination = Coordination(
            Coordination.Configuration(
                role: role, network: .main, mapping: mapping, abilities: abilities,
                secret: [UInt8](repeating: secret, count: 32), offered: offered, ownAddresses: own,
                allowPrivate: allowPrivate))
        self.take(self.coordination.onConnected(now: self.now))
    }

    mutating func take(_ directives: [Coordination.Directive]) {
        for directive in directives {
            switch directive {
            case .write(let bytes):
                self.decoder.append(bytes)
                do {
                    while let message = try self.decoder.next() { self.written.append(message) }
                } catch {
                    Issue.record("it writes nonsense: \(error)")
                }
            case .setTimer(let instant): self.timer = instant
            default: self.directives.append(directive)
            }
        }
    }

    mutating func bytes(_ bytes: [UInt8]) { self.take(self.coordination.onBytes(bytes, now: self.now)) }

    mutating func say(_ message: PunchMessage) {
        self.bytes(P2PMessage.frame(command: PunchMessage.command, payload: message.encoded(), network: .main))
    }

    mutating func version(services: UInt64) {
        let version = P2PVersion(
            protocolVersion: 70016, services: services, time: 0, nonce: 9, userAgent: [], startHeight: 0, relay: false)
        self.bytes(P2PMessage.version(version).encoded(for: .main))
    }

    mutating func verack() { self.bytes(P2PMessage.verack.encoded(for: .main)) }

    mutating func pass(_ duration: Duration) {
        let until = self.now + duration
        while let timer = self.timer, timer <= until {
            self.now = max(self.now, timer)
            self.timer = nil
            self.take(self.coordination.onTimer(now: self.now))
        }
        self.now = until
    }

    /// Both version messages and both hellos; then the responder has its place, and both learn their addresses.
    mutating func greet(
        mapping: NATMapping = .endpointIndependent(preservesPort: false), abilities: PunchAbilities = [.ipv4]
    ) {
        self.version(services: PunchOffer.serviceFlag)
        self.verack()
        self.say(.hello(PunchHello(mapping: mapping, abilities: abilities)))
        if self.directives.contains(.request) { self.take(self.coordination.onRequestDecision(nil, now: self.now)) }
    }

    /// What a responder says to each question about the clock: its time is the test's, in microseconds.
    mutating func answerPings(after: Duration = .milliseconds(100)) {
        while let sent = self.nextPing() {
            self.now = self.now + after
            let reading = UInt64((self.now - .zero).wholeNanoseconds / 1000)
            self.say(.pong(sent: sent, received: reading, replied: reading))
        }
    }

    /// The next question about the clock that has no answer yet.
    mutating func nextPing() -> UInt64? {
        let pings: [UInt64] = self.written.compactMap {
            if case .punch(.ping(let sent)) = $0 { sent } else { nil }
        }
        guard self.pongs < pings.count else { return nil }
        self.pongs += 1
        return pings[self.pongs - 1]
    }

    mutating func learn(_ text: String = "9.9.9.9:40000", attempt: UInt8 = 1) {
        self.take(self.coordination.onMapping(attempt: attempt, .success([endpoint(text)]), now: self.now))
    }

    mutating func tell(_ text: String = "8.8.8.8:50000", path: PunchPath = .punch, attempt: UInt8 = 1) {
        self.say(
            .endpoints(
                attempt: attempt, [PathEndpoint(path: path, endpoint: endpoint(text))],
                nonce: [UInt8](repeating: 3, count: 32)))
    }

    /// A responder's clock, as its answer tells it.
    mutating func readClock() -> UInt64 {
        self.say(.ping(sent: 1))
        guard case .punch(.pong(_, let received, _))? = self.written.last else { return 0 }
        return received
    }

    var outcome: PunchOutcome? {
        self.directives.compactMap { if case .finished(let outcome) = $0 { outcome } else { nil } }.first
    }

    var failure: PunchFailure? {
        if case .failed(let failure)? = self.outcome?.ending { failure } else { nil }
    }

    var plan: PunchPlan? {
        self.directives.compactMap { if case .open(let plan) = $0 { plan } else { nil } }.last
    }

    var isClosed: Bool {
        if case .disconnect? = self.directives.last { true } else { false }
    }

    var results: [PunchReason?] {
        self.written.compactMap { if case .punch(.result(_, let reason)) = $0 { .some(reason) } else { nil } }
    }

    func count(_ directive: Coordination.Directive) -> Int { self.directives.count { $0 == directive } }
}

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

    // MARK: - Addresses

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
            var probe = Probe(.initiator, offered: [8, 8, 8, 8])
            probe.greet()
            probe.learn()
            probe.answerPings()
            probe.tell(text)
            #expect((probe.plan != nil) == isRight)
            if !isRight { #expect(probe.results == [.notTheOffered]) }
        }
        // An address of the other family cannot be compared.
        var probe = Probe(.initiator, abilities: [.ipv6], offered: [8, 8, 8, 8])
        probe.greet(abilities: [.ipv6])
        probe.learn("[2a00::1]:9000")
        probe.answerPings()
        probe.tell("[2a00::2]:9000", path: .ipv6)
        #expect(probe.results == [.notTheOffered])
    }

    @Test("an initiator that chose an address takes no relayed connection, which shows none")
    func noRelayForOffered() {
        for offered in [nil, [8, 8, 8, 8] as [UInt8]] {
            var probe = Probe(.initiator, abilities: [.ipv4, .relay], offered: offered)
            probe.greet(abilities: [.ipv4, .relay])
            let hellos = probe.written.compactMap { if case .punch(.hello(let hello)) = $0 { hello } else { nil } }
            #expect(hellos.first?.abilities.contains(.relay) == (offered == nil))
            probe.take(probe.coordination.onMapping(attempt: 1, .failure(.noMapping), now: probe.now))
            probe.say(.result(attempt: 1, .peerFailed))
            #expect(probe.written.contains(.punch(.relay)) == (offered == nil))
            probe.say(.relayAccepted)
            #expect((probe.outcome?.ending == .connected(.relayed, peer: nil)) == (offered == nil))
            if offered != nil { #expect(probe.failure == .attemptsFailed(.noMapping)) }
        }
        // Not even where nothing else was possible, and after an address in another network group.
        var impossible = Probe(.initiator, abilities: [.ipv4, .relay], offered: [8, 8, 8, 8])
        impossible.greet(mapping: .endpointDependent, abilities: [.ipv4, .relay])
        #expect(impossible.failure != nil && !impossible.written.contains(.punch(.relay)))
        var elsewhere = Probe(.initiator, abilities: [.ipv4, .relay], offered: [8, 8, 8, 8])
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
            probe.greet()
            probe.learn()
            probe.tell()
            let clock = probe.readClock()
            probe.say(.go(attempt: 1, path: .punch, moment: clock + 1000))
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

    // MARK: - The moment

    @Test("both open at the moment in the responder's clock, at most five seconds ahead, at least one second ago")
    func moment() {
        for (lead, ending) in [
            (Int64(300_000), "plan"), (5_000_000, "plan"), (5_000_001, "violation"), (Int64.max / 2000, "violation"),
            (0, "plan"),
            (-1_000_000, "plan"), (-1_000_001, "late"), (Int64.min / 2000, "late"),
        ] {
            var probe = Probe(.responder)
            probe.greet()
            probe.learn()
            probe.tell()
            let clock = probe.readClock()
            probe.say(.go(attempt: 1, path: .punch, moment: clock &+ UInt64(bitPattern: lead)))
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
            #expect(lead >= .milliseconds(milliseconds / 2 + 50) && lead < Coordination.maximumLead)
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
        probe.greet()
        probe.learn()
        probe.tell()
        let clock = probe.readClock()
        probe.say(.go(attempt: 1, path: .punch, moment: clock + 1000))
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
