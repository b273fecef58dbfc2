// SPDX-License-Identifier: MIT

public import AltNetBase

/// Finds out what kind of NAT we are behind, by asking several nodes where they see us.
///
/// All witnesses are asked from one local port, and those that answer from a second one, too. A NAT that maps
/// endpoint-independently (RFC 4787, section 4.1) shows the same outside address and port to all of them. Witnesses may
/// lie: of 2f + 1 in different network groups, f that agree on whatever they like make no difference, as long as they
/// do not know what the others saw.
///
/// A value without I/O: the caller opens the connections that ``Directive/probe(_:)`` names, and tells what came of
/// them.
public struct NATCheck: Sendable {
    /// The most witnesses to choose from; more are not looked at.
    public static let maximumWitnesses = 64
    /// How many witnesses of each family are asked, if there are as many: two of five may lie.
    public static let wantedWitnesses = 5
    /// The most connections of one check and family: five witnesses, twice each, and six that do not answer.
    public static let maximumProbes = 16
    /// How long a check may take. A probe has less than half of it.
    public static let maximumDuration: Duration = .seconds(25)
    /// How long one probe may take: two SYNs, and a round trip through a slow network.
    public static let probeDuration: Duration = .seconds(8)

    /// One of our local ports. The caller binds one for each value that it is told.
    public struct LocalPort: Hashable, Sendable {
        public let isIPv4: Bool
        /// 0 or 1.
        public let index: Int
    }

    /// A connection to a witness.
    public struct Probe: Hashable, Sendable {
        public let id: Int
        public let witness: NATWitness
        public let port: LocalPort
        /// Whether the witness should be asked for a connection back, and a listener stand at the local port.
        public let asksBack: Bool
    }

    public enum Directive: Hashable, Sendable {
        case probe(Probe)
        /// Call ``NATCheck/onTimer(now:)`` then.
        case setTimer(MonotonicInstant)
        /// The last directive. Probes under way MUST be called off.
        case finished(NATVerdict)
    }

    public struct Configuration: Hashable, Sendable {
        /// How many witnesses of different network groups must answer before there is a result; at least 2, of which
        /// none may lie. Three allow for one liar.
        public var minimumWitnesses: Int
        /// Whether private addresses are fine: in a lab, in tests.
        public var allowPrivate: Bool
        /// Whether the caller has seen connections from outside come in at ports like those of the check.
        public var inboundSeen: Bool
        /// Whether it has seen some come in elsewhere over IPv4: at a port that a firewall may let in, and no other.
        public var inboundElsewhere: Bool
        /// The outside address that the local router says it has, if it told.
        public var routerAddress: [UInt8]?
        /// The order in which witnesses are asked.
        public var seed: UInt64

        public init(
            minimumWitnesses: Int = 3, allowPrivate: Bool = false, inboundSeen: Bool = false,
            inboundElsewhere: Bool = false, routerAddress: [UInt8]? = nil, seed: UInt64
        ) {
            self.minimumWitnesses = max(2, minimumWitnesses)
            self.allowPrivate = allowPrivate
            self.inboundSeen = inboundSeen
            self.inboundElsewhere = inboundElsewhere
            self.routerAddress = routerAddress
            self.seed = seed
        }
    }

    /// The probes of one family of addresses.
    private struct Family {
        let isIPv4: Bool
        /// Witnesses that were not asked yet.
        var waiting: [NATWitness]
        var count = 0
    }

    public let configuration: Configuration
    private var families: [Family] = []
    private var running: [Int: Probe] = [:]
    private var nextID = 0
    private var observations: [NATObservation] = []
    private var silent: [NATSilence] = []
    private var deadline: MonotonicInstant?
    private var isFinished = false

    /// - Parameter witnesses: addresses that are not to be connected to are left out, and told as silent.
    public init(_ configuration: Configuration, witnesses: [NATWitness]) {
        self.configuration = configuration
        var random = SeededRandom(seed: configuration.seed)
        var usable: [NATWitness] = []
        for witness in witnesses.prefix(Self.maximumWitnesses) {
            // Ports below 1024 are fine: the operator or the node's own peers name the witness, not a stranger.
            if let refusal = witness.endpoint.refusedHost(allowPrivate: configuration.allowPrivate) {
                self.silent.append(NATSilence(witness: witness.name, reason: "not asked: \(refusal)"))
            } else {
                usable.append(witness)
            }
        }
        usable.shuffle(using: &random)
        for isIPv4 in [true, false] {
            let waiting = usable.filter { $0.endpoint.isIPv4 == isIPv4 }
            if !waiting.isEmpty { self.families.append(Family(isIPv4: isIPv4, waiting: waiting)) }
        }
    }

    // MARK: - Inputs

    /// Asks the first witnesses.
    public mutating func start(now: MonotonicInstant) -> [Directive] {
        guard self.deadline == nil else { return [] }
        self.deadline = now + Self.maximumDuration
        var directives: [Directive] = [.setTimer(now + Self.maximumDuration)]
        for index in self.families.indices { directives += self.askMore(in: index) }
        return directives + self.finishIfDone()
    }

    /// A witness said where it sees us.
    ///
    /// - Parameters:
    ///   - local: our end of the connection.
    ///   - reachedBack: whether it opened a connection to what it saw; `nil` where it makes none.
    public mutating func onAnswer(
        id: Int, seen: ExternalEndpoint, local: ExternalEndpoint, latency: Duration, reachedBack: Bool?,
        at: WallClockTime
    ) -> [Directive] {
        guard let probe = self.running.removeValue(forKey: id) else { return [] }
        self.observations.append(
            NATObservation(
                witness: probe.witness, group: self.group(of: probe.witness), seen: seen, local: local,
                portIndex: probe.port.index, latency: latency, at: at, reachedBack: reachedBack))
        var directives: [Directive] = []
        if probe.port.index == 0 {
            // A connection back is one SYN, which may have been lost: another chance.
            directives += self.probe(probe.witness, portIndex: 1, asksBack: reachedBack == false)
        }
        return directives + self.finishIfDone()
    }

    /// A witness told nothing.
    ///
    /// - Parameter reason: one sentence for the operator.
    public mutating func onSilence(id: Int, reason: String) -> [Directive] {
        guard let probe = self.running.removeValue(forKey: id) else { return [] }
        self.silent.append(NATSilence(witness: probe.witness.name, reason: reason))
        guard let index = self.families.firstIndex(where: { $0.isIPv4 == probe.port.isIPv4 }) else { return [] }
        return self.askMore(in: index) + self.finishIfDone()
    }

    public mutating func onTimer(now: MonotonicInstant) -> [Directive] {
        guard let deadline = self.deadline, now >= deadline, !self.isFinished else { return [] }
        for probe in self.running.values.sorted(by: { $0.id < $1.id }) {
            self.silent.append(NATSilence(witness: probe.witness.name, reason: "no answer in time"))
        }
        self.running = [:]
        return self.finish()
    }

    // MARK: - Whom to ask

    private func group(of witness: NATWitness) -> String {
        witness.group(allowPrivate: self.configuration.allowPrivate)
    }

    /// Asks witnesses until enough of different groups have answered or are being asked.
    private mutating func askMore(in index: Int) -> [Directive] {
        let isIPv4 = self.families[index].isIPv4
        var groups = Set(
            self.observations.filter { $0.witness.endpoint.isIPv4 == isIPv4 && $0.portIndex == 0 }.map(\.group))
        groups.formUnion(
            self.running.values.filter { $0.port == LocalPort(isIPv4: isIPv4, index: 0) }.map {
                self.group(of: $0.witness)
            })
        let wanted = max(Self.wantedWitnesses, self.configuration.minimumWitnesses)
        var directives: [Directive] = []
        while groups.count < wanted,
            let next = self.families[index].waiting.firstIndex(where: { !groups.contains(self.group(of: $0)) })
        {
            let witness = self.families[index].waiting.remove(at: next)
            let asked = self.probe(witness, portIndex: 0, asksBack: true)
            guard !asked.isEmpty else { break }
            groups.insert(self.group(of: witness))
            directives += asked
        }
        return directives
    }

    private mutating func probe(_ witness: NATWitness, portIndex: Int, asksBack: Bool) -> [Directive] {
        let isIPv4 = witness.endpoint.isIPv4
        guard let index = self.families.firstIndex(where: { $0.isIPv4 == isIPv4 }),
            self.families[index].count < max(Self.maximumProbes, 2 * self.configuration.minimumWitnesses)
        else { return [] }
        self.families[index].count += 1
        let probe = Probe(
            id: self.nextID, witness: witness, port: LocalPort(isIPv4: isIPv4, index: portIndex),
            asksBack: asksBack)
        self.nextID += 1
        self.running[probe.id] = probe
        return [.probe(probe)]
    }

    // MARK: - The end

    private mutating func finishIfDone() -> [Directive] {
        self.running.isEmpty && !self.isFinished ? self.finish() : []
    }

    private mutating func finish() -> [Directive] {
        self.isFinished = true
        var verdict = NATVerdict(evidence: self.observations, silent: self.silent)
        for family in self.families {
            var configuration = self.configuration
            configuration.inboundElsewhere = family.isIPv4 && configuration.inboundElsewhere
            let judgement = NATJudgement(
                self.observations.filter { $0.witness.endpoint.isIPv4 == family.isIPv4 }, configuration)
            if family.isIPv4 { verdict.ipv4 = judgement.finding } else { verdict.ipv6 = judgement.finding }
        }
        return [.finished(verdict)]
    }
}
