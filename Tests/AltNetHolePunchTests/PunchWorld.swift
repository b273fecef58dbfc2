// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin

@testable import AltNetHolePunch

/// Two nodes, the NATs in front of them, a coordination connection and a network between them: time is invented, and a
/// seed decides everything that is left to chance.
struct PunchWorld {
    struct Side {
        var mapping = NATMapping.unknown
        var abilities: PunchAbilities = [.ipv4]
        /// From the host outwards.
        var ipv4: [SimulatedNAT] = []
        var ipv6: [SimulatedNAT] = []
        var offered = OfferedAddresses()
        /// What it says instead of its addresses.
        var lie: [ExternalEndpoint]?
        var mappingFails = false
    }

    struct Conditions {
        var oneWay: Duration = .milliseconds(50)
        var directJitter: Duration = .zero
        var loss = 0.0
        var coordinationOneWay: Duration = .milliseconds(100)
        var coordinationJitter: Duration = .zero
        var coordinationLoss = 0.0
        /// How much longer the way from the responder to the initiator is: nobody can measure that.
        var asymmetry: Duration = .zero
        var allowPrivate = false
    }

    /// One side while it runs.
    final class Node {
        let side: Side
        let role: PunchRole
        var coordination: Coordination
        var limits: PunchLimits
        var ipv4: [SimulatedNAT]
        var ipv6: [SimulatedNAT]
        let clockOffset: Int64
        let clockRate: Double
        var timer: Int64?
        var isClosed = false
        var lastArrival: Int64 = 0
        var locals: [UInt8: ExternalEndpoint] = [:]
        var nextPort: UInt16
        var opening: SimulatedOpening?
        var abandoned: Set<UInt8> = []
        var outcomes: [PunchOutcome] = []
        var raw: [UInt8] = []
        var isRelaying = false
        var learnt = 0
        var plans: [PunchPlan] = []
        /// Segments with SYN that left the host, by where they went.
        var syns: [ExternalEndpoint: Int] = [:]
        var synsOfAttempt: [UInt8: Int] = [:]
        var firstSYNAt: [UInt8: Int64] = [:]
        var disconnect: PunchFailure??

        init(_ side: Side, role: PunchRole, random: inout SeededRandom, allowPrivate: Bool) {
            self.side = side
            self.role = role
            self.ipv4 = side.ipv4
            self.ipv6 = side.ipv6
            self.clockOffset = .random(in: 0...Int64(1e15), using: &random)
            self.clockRate = 1 + Double.random(in: -50e-6...50e-6, using: &random)
            self.nextPort = .random(in: 30_000...50_000, using: &random)
            self.limits = PunchLimits(now: .zero)
            self.coordination = Coordination(
                Coordination.Configuration(
                    role: role, network: .main, mapping: side.mapping, abilities: side.abilities,
                    secret: random.bytes(32), offered: side.offered, allowPrivate: allowPrivate))
        }

        func local(_ time: Int64) -> MonotonicInstant {
            MonotonicInstant(nanoseconds: self.clockOffset + Int64(Double(time) * self.clockRate))
        }

        func time(_ instant: MonotonicInstant) -> Int64 {
            Int64(Double(instant.nanoseconds - self.clockOffset) / self.clockRate) + 1
        }

        var outcome: PunchOutcome? { self.outcomes.first }

        func host(ipv6: Bool) -> [UInt8] {
            let number: UInt8 = self.role == .initiator ? 1 : 2
            if ipv6 { return [0x2a, number] + [UInt8](repeating: 0, count: 13) + [1] }
            return self.ipv4.isEmpty || self.ipv4.allSatisfy { $0.mapping == .none }
                ? [60 + number, 1, 2, 3] : [192, 168, number, 2]
        }
    }

    enum Event {
        case timer(PunchRole)
        case arrive(PunchRole, [UInt8])
        case closed(PunchRole)
        case mapping(PunchRole, UInt8, Result<[ExternalEndpoint], PunchReason>)
        case attempt(PunchRole, UInt8)
        case segment(PunchRole, Segment, ipv6: Bool)
        case retransmit(PunchRole, UInt8, sequence: Int)
        /// The second connection of a side that alone connects; as `PathOpener` has it.
        case second(PunchRole, UInt8)
        /// A SYN that is there for our own NAT alone.
        case knock(PunchRole, UInt8)
        case deadline(PunchRole, UInt8)
        case proofDeadline(PunchRole, UInt8)
    }

    private(set) var now: Int64 = 0
    var random: SeededRandom
    let conditions: Conditions
    private let initiator: Node
    private let responder: Node
    private var events: [(at: Int64, order: Int, event: Event)] = []
    private var order = 0
    private var tries = 0

    init(initiator: Side, responder: Side, _ conditions: Conditions, seed: UInt64) {
        self.random = SeededRandom(seed: seed)
        self.conditions = conditions
        var random = self.random
        self.initiator = Node(initiator, role: .initiator, random: &random, allowPrivate: conditions.allowPrivate)
        self.responder = Node(responder, role: .responder, random: &random, allowPrivate: conditions.allowPrivate)
        self.random = random
    }

    subscript(_ role: PunchRole) -> Node { role == .initiator ? self.initiator : self.responder }

    /// Runs until nothing is left to happen.
    mutating func run() {
        for role in [PunchRole.responder, .initiator] {
            let node = self[role]
            self.carryOut(node.coordination.onConnected(now: node.local(self.now)), for: node)
        }
        var steps = 0
        while let next = self.events.indices.min(by: {
            (self.events[$0].at, self.events[$0].order) < (self.events[$1].at, self.events[$1].order)
        }), steps < 20_000 {
            steps += 1
            let (at, _, event) = self.events.remove(at: next)
            self.now = max(self.now, at)
            self.handle(event)
        }
    }

    private mutating func schedule(_ at: Int64, _ event: Event) {
        self.order += 1
        self.events.append((max(at, self.now), self.order, event))
    }

    // MARK: - The coordination connection

    private mutating func handle(_ event: Event) {
        switch event {
        case .timer(let role):
            let node = self[role]
            guard let timer = node.timer, self.now >= timer, !node.isClosed else { return }
            node.timer = nil
            self.carryOut(node.coordination.onTimer(now: node.local(self.now)), for: node)
        case .arrive(let role, let bytes):
            let node = self[role]
            guard !node.isClosed else { return }
            // Cut anywhere.
            let cut = Int.random(in: 0...bytes.count, using: &self.random)
            for part in [bytes.prefix(cut), bytes.dropFirst(cut)] where !part.isEmpty && !node.isClosed {
                self.carryOut(node.coordination.onBytes(Array(part), now: node.local(self.now)), for: node)
            }
        case .closed(let role):
            let node = self[role]
            guard !node.isClosed else { return }
            node.isClosed = true
            self.carryOut(node.coordination.onClosed(now: node.local(self.now)), for: node)
        case .mapping(let role, let attempt, let result):
            let node = self[role]
            guard !node.isClosed else { return }
            let directives = node.coordination.onMapping(attempt: attempt, result, now: node.local(self.now))
            self.carryOut(directives, for: node)
        default: self.handleSegment(event)
        }
    }

    private mutating func carryOut(_ directives: [Coordination.Directive], for node: Node) {
        for directive in directives {
            switch directive {
            case .write(let bytes): self.send(bytes, from: node)
            case .setTimer(let instant):
                node.timer = node.time(instant)
                self.schedule(node.time(instant), .timer(node.role))
            case .request:
                let refusal = node.limits.request(
                    at: .direct(host: "a", port: 1), now: node.local(self.now))
                self.carryOut(
                    node.coordination.onRequestDecision(refusal, now: node.local(self.now)), for: node)
            case .learnMapping(let attempt, let path, let listens):
                self.learn(attempt: attempt, path: path, listens: listens, for: node)
            case .open(let plan): self.open(plan, for: node)
            case .abandon(let attempt):
                node.abandoned.insert(attempt)
                if node.opening?.plan.attempt == attempt { node.opening = nil }
            case .relay: node.isRelaying = true
            case .raw(let bytes): node.raw += bytes
            case .finished(let outcome): node.outcomes.append(outcome)
            case .disconnect(let failure):
                node.disconnect = .some(failure)
                node.isClosed = true
                self.schedule(max(self[node.role.other].lastArrival, self.now), .closed(node.role.other))
            }
        }
    }

    private mutating func send(_ bytes: [UInt8], from node: Node) {
        let other = self[node.role.other]
        var delay = self.conditions.coordinationOneWay + self.chance(self.conditions.coordinationJitter)
        if node.role == .responder { delay += self.conditions.asymmetry }
        // Nothing is lost for good: TCP sends it again after a round trip and 200 ms.
        if Double.random(in: 0..<1, using: &self.random) < self.conditions.coordinationLoss {
            delay += self.conditions.coordinationOneWay * 2 + .milliseconds(200)
        }
        // A stream keeps its order: what is late holds up what follows.
        other.lastArrival = max(other.lastArrival, self.now + delay.wholeNanoseconds)
        self.schedule(other.lastArrival, .arrive(other.role, bytes))
    }

    private mutating func chance(_ jitter: Duration) -> Duration {
        .nanoseconds(jitter == .zero ? 0 : Int64.random(in: 0...jitter.wholeNanoseconds, using: &self.random))
    }

    // MARK: - Addresses

    private mutating func learn(attempt: UInt8, path: PunchPath, listens: Bool, for node: Node) {
        node.learnt += 1
        let isIPv6 = path == .ipv6
        node.nextPort += 1
        let local = SimulatedNAT.endpoint(node.host(ipv6: isIPv6), node.nextPort)
        node.locals[attempt] = local
        let delay = Int64.random(in: 5_000_000...300_000_000, using: &self.random)
        guard !node.side.mappingFails else {
            return self.schedule(self.now + delay, .mapping(node.role, attempt, .failure(.noMapping)))
        }
        if let lie = node.side.lie {
            return self.schedule(self.now + delay, .mapping(node.role, attempt, .success(lie)))
        }
        let external: ExternalEndpoint
        if path == .mapped, listens {
            external = node.ipv4.indices.reduce(local) { node.ipv4[$1].forward($0) }
        } else {
            // What a witness sees.
            let witness = SimulatedNAT.endpoint(
                isIPv6 ? [0x26] + [UInt8](repeating: 1, count: 15) : [9, 9, 9, 9], 8333)
            external =
                Self.leave(
                    Segment(source: local, destination: witness, kind: .syn, sequence: 0), node, ipv6: isIPv6
                ).source
        }
        let told = listens ? external : SimulatedNAT.endpoint(external.address, 0)
        self.schedule(self.now + delay, .mapping(node.role, attempt, .success([told])))
    }

    // MARK: - TCP

    private mutating func open(_ plan: PunchPlan, for node: Node) {
        node.plans.append(plan)
        let now = node.local(self.now)
        guard !plan.dials || node.limits.takeSYNs(PunchPlan.synBudget, to: plan.remote, now: now),
            let local = node.locals[plan.attempt]
        else {
            return self.carryOut(
                node.coordination.onPunched(attempt: plan.attempt, .failure(.synBudgetSpent), now: now), for: node)
        }
        node.opening = SimulatedOpening(plan: plan, local: local)
        if plan.isDoor {
            for delay in [0, 1_000_000_000] as [Int64] {
                self.schedule(self.now + delay, .knock(node.role, plan.attempt))
            }
        } else if plan.dials {
            self.schedule(node.time(plan.at), .attempt(node.role, plan.attempt))
        }
        self.schedule(node.time(plan.deadline), .deadline(node.role, plan.attempt))
    }

    private mutating func handleSegment(_ event: Event) {
        switch event {
        case .attempt(let role, let attempt): self.beginTry(self[role], attempt)
        case .retransmit(let role, let attempt, let sequence): self.retransmit(self[role], attempt, sequence)
        case .second(let role, let attempt): self.connectAgain(self[role], attempt)
        case .knock(let role, let attempt):
            guard let opening = self[role].opening, opening.plan.attempt == attempt, opening.state == .idle else {
                return
            }
            self.tries += 1
            self[role].opening?.sequence = self.tries
            self.sendSYN(self[role])
        case .deadline(let role, let attempt):
            guard let opening = self[role].opening, opening.plan.attempt == attempt, opening.state != .established
            else { return }
            self.give(
                self[role], attempt, .failure(opening.refusals > 0 && opening.state == .over ? .refused : .timedOut))
        case .proofDeadline(let role, let attempt):
            guard self[role].opening?.plan.attempt == attempt else { return }
            self.give(self[role], attempt, .failure(.proofLate))
        case .segment(let role, let segment, let ipv6): self.receive(segment, at: self[role], ipv6: ipv6)
        default: break
        }
    }

    private mutating func give(_ node: Node, _ attempt: UInt8, _ result: Result<PunchSuccess, PunchReason>) {
        node.opening = nil
        guard !node.isClosed else { return }
        let directives = node.coordination.onPunched(attempt: attempt, result, now: node.local(self.now))
        self.carryOut(directives, for: node)
    }

    private mutating func beginTry(_ node: Node, _ attempt: UInt8) {
        guard var opening = node.opening, opening.plan.attempt == attempt, [.idle, .over].contains(opening.state)
        else { return }
        self.tries += 1
        opening.state = .synSent
        opening.sequence = self.tries
        opening.tryBegan = self.now
        node.opening = opening
        if node.firstSYNAt[attempt] == nil {
            node.firstSYNAt[attempt] = self.now
            if !opening.plan.listens { self.schedule(self.now + 50_000_000, .second(node.role, attempt)) }
        }
        self.sendSYN(node)
        self.schedule(self.now + 1_000_000_000, .retransmit(node.role, attempt, sequence: opening.sequence))
    }

    private mutating func sendSYN(_ node: Node) {
        guard let opening = node.opening else { return }
        node.opening?.syns += 1
        node.syns[opening.plan.remote, default: 0] += 1
        node.synsOfAttempt[opening.plan.attempt, default: 0] += 1
        self.transmit(.syn, node)
    }

    private mutating func retransmit(_ node: Node, _ attempt: UInt8, _ sequence: Int) {
        guard let opening = node.opening, opening.plan.attempt == attempt, opening.sequence == sequence else { return }
        switch opening.state {
        case .synSent where opening.left > 0:
            self.sendSYN(node)
            self.schedule(self.now + 1_000_000_000, .retransmit(node.role, attempt, sequence: sequence))
        case .synReceived:
            self.transmit(.synAck(of: opening.peerSequence), node)
            self.schedule(self.now + 1_000_000_000, .retransmit(node.role, attempt, sequence: sequence))
        default: break
        }
    }

    /// The connection is not told from the first one: what counts here is that its segments are others.
    private mutating func connectAgain(_ node: Node, _ attempt: UInt8) {
        guard let opening = node.opening, opening.plan.attempt == attempt, opening.state == .synSent else { return }
        self.sendSYN(node)
    }

    private mutating func transmit(_ kind: Segment.Kind, _ node: Node) {
        guard let opening = node.opening else { return }
        self.transmit(
            Segment(source: opening.local, destination: opening.remote, kind: kind, sequence: opening.sequence),
            from: node)
    }

    private mutating func transmit(_ segment: Segment, from node: Node) {
        let ipv6 = !segment.source.isIPv4
        var delay = self.conditions.oneWay + self.chance(self.conditions.directJitter)
        if Double.random(in: 0..<1, using: &self.random) < self.conditions.loss {
            // Data is sent again, as often as needed; everything else is lost.
            guard case .data = segment.kind else { return _ = Self.leave(segment, node, ipv6: ipv6) }
            delay += .milliseconds(200) + self.conditions.oneWay * 2
        }
        let outside = Self.leave(segment, node, ipv6: ipv6)
        self.schedule(
            self.now + delay.wholeNanoseconds, .segment(node.role.other, outside, ipv6: ipv6))
    }

    private static func leave(_ segment: Segment, _ node: Node, ipv6: Bool) -> Segment {
        var segment = segment
        if ipv6 {
            for index in node.ipv6.indices { segment = node.ipv6[index].leave(segment) }
        } else {
            for index in node.ipv4.indices { segment = node.ipv4[index].leave(segment) }
        }
        return segment
    }

    private mutating func receive(_ segment: Segment, at node: Node, ipv6: Bool) {
        var segment = segment
        let count = ipv6 ? node.ipv6.count : node.ipv4.count
        // From the outermost box inwards.
        for index in (0..<count).reversed() {
            let entry = ipv6 ? node.ipv6[index].enter(segment) : node.ipv4[index].enter(segment)
            switch entry {
            case .pass(let inner): segment = inner
            case .drop: return
            case .answer(let answer):
                var outside = answer
                for outer in (index + 1)..<max(count, index + 1) {
                    outside = ipv6 ? node.ipv6[outer].leave(outside) : node.ipv4[outer].leave(outside)
                }
                let at = self.now + self.conditions.oneWay.wholeNanoseconds
                return self.schedule(at, .segment(node.role.other, outside, ipv6: ipv6))
            }
        }
        self.deliver(segment, to: node)
    }

    private mutating func deliver(_ segment: Segment, to node: Node) {
        guard let opening = node.opening, opening.local == segment.destination,
            opening.plan.dials && !(opening.plan.isDoor && opening.state == .idle)
                ? opening.remote == segment.source : opening.plan.remote.host == segment.source.host
        else {
            guard case .syn = segment.kind else { return }
            return self.transmit(
                Segment(
                    source: segment.destination, destination: segment.source, kind: .reset(of: segment.sequence),
                    sequence: 0),
                from: node)
        }
        func answer(_ kind: Segment.Kind) -> Segment {
            Segment(source: segment.destination, destination: segment.source, kind: kind, sequence: opening.sequence)
        }
        switch (segment.kind, opening.state) {
        case (.syn, .synSent), (.syn, .synReceived):
            node.opening?.state = .synReceived
            node.opening?.peerSequence = segment.sequence
            self.transmit(answer(.synAck(of: segment.sequence)), from: node)
        case (.syn, .idle), (.syn, .over):
            guard opening.plan.listens else { return }
            self.tries += 1
            node.opening?.state = .synReceived
            node.opening?.wasAccepted = true
            node.opening?.remote = segment.source
            node.opening?.sequence = self.tries
            node.opening?.peerSequence = segment.sequence
            self.transmit(answer(.synAck(of: segment.sequence)), from: node)
            self.schedule(
                self.now + 1_000_000_000, .retransmit(node.role, opening.plan.attempt, sequence: self.tries))
        case (.synAck(let of), .synSent), (.synAck(let of), .synReceived):
            guard of == opening.sequence else { return self.transmit(answer(.reset(of: nil)), from: node) }
            self.transmit(answer(.ack), from: node)
            self.establish(node)
        case (.ack, .synReceived): self.establish(node)
        case (.data(let bytes), .synReceived):
            self.establish(node)
            self.onData(bytes, node, answer: answer)
        case (.data(let bytes), .established): self.onData(bytes, node, answer: answer)
        case (.syn, .established), (.synAck, .established): self.transmit(answer(.ack), from: node)
        case (.reset(let of), .synSent): if of == opening.sequence { self.refused(node) }
        case (.reset, .synReceived): self.refused(node)
        default: break
        }
    }

    private mutating func refused(_ node: Node) {
        guard var opening = node.opening else { return }
        opening.state = .over
        let spacing = opening.spacing(roundTrip: self.now - opening.tryBegan)
        node.opening = opening
        guard opening.plan.dials, opening.left > 0 else { return }
        self.schedule(opening.tryBegan + spacing, .attempt(node.role, opening.plan.attempt))
    }

    private mutating func establish(_ node: Node) {
        guard let opening = node.opening, opening.state != .established else { return }
        node.opening?.state = .established
        node.opening?.stoodAt = self.now
        if !opening.proof.opening.isEmpty { self.transmit(.data(opening.proof.opening), node) }
        self.schedule(
            self.now + PunchPlan.proofTimeout.wholeNanoseconds, .proofDeadline(node.role, opening.plan.attempt))
    }

    private mutating func onData(_ bytes: [UInt8], _ node: Node, answer: (Segment.Kind) -> Segment) {
        guard var proof = node.opening?.proof, let opening = node.opening, let stood = opening.stoodAt else { return }
        let verdict = proof.onBytes(bytes)
        node.opening?.proof = proof
        switch verdict {
        case .incomplete: break
        case .wrong: self.give(node, opening.plan.attempt, .failure(.proofFailed))
        case .proved(let write, _):
            if !write.isEmpty { self.transmit(answer(.data(write)), from: node) }
            self.give(
                node, opening.plan.attempt,
                .success(
                    PunchSuccess(
                        peer: opening.remote, stoodAt: node.local(stood),
                        roundTrip: node.role == .initiator ? .nanoseconds(self.now - stood) : nil)))
        }
    }
}
