// SPDX-License-Identifier: MIT

internal import AltNetBase

/// What observations of one family of addresses come to.
struct NATJudgement {
    /// What the witnesses of one local port say together.
    enum Port: Hashable {
        case tooFew
        /// More of them than may lie agree.
        case same(ExternalEndpoint, dissenters: [NATWitness])
        /// No more than may lie agree, and these are the ones that do.
        case different(dissenters: [NATWitness])
        /// Neither: groups of witnesses agree among themselves, which only liars, or too many of them, do.
        case contradictory
    }

    let finding: NATFinding

    init(_ observations: [NATObservation], _ configuration: NATCheck.Configuration) {
        let minimum = configuration.minimumWitnesses
        let first = observations.filter { $0.portIndex == 0 }
        let second = observations.filter { $0.portIndex == 1 }
        let ports = [Self.judge(first, minimum: minimum), Self.judge(second, minimum: minimum)]
        var finding = NATFinding(
            mapping: .unknown, confidence: 0, external: Self.external(of: first), isOwnAddress: false,
            isReachable: configuration.inboundSeen, filtersLoosely: false, isBehindCarrierNAT: false,
            toleratedLiars: Self.tolerated(first.count), dissenters: [], reason: "")
        // One voice is enough to know that somebody came in: the caller has checked that it was the witness.
        finding.filtersLoosely = observations.contains { $0.reachedBack == true }
        finding.isReachable = finding.isReachable || finding.filtersLoosely || configuration.inboundElsewhere
        switch (ports[0], ports[1]) {
        case (.tooFew, _):
            finding.reason =
                "only \(first.count) of \(minimum) witnesses in different network groups answered"
        case (.contradictory, _), (_, .contradictory):
            finding.reason = "the witnesses contradict each other: too many of them lie, or the NAT has no rule"
        case (.same, .different), (.different, .same):
            finding.reason =
                "the NAT treats one local port in another way than the next: it is not deterministic (RFC 4787, "
                + "section 8)"
        case (.different(let dissenters), let other):
            finding.dissenters = dissenters
            finding.mapping = .endpointDependent
            finding.reason =
                finding.external.isEmpty
                ? "even the outside address changes with the other end (RFC 4787, section 4.1)"
                : "the outside port changes with the other end"
            finding.confidence = Self.confidence(
                first.count, fitting: first.count - dissenters.count, confirmed: other != .tooFew)
        case (.same(let one, let dissenters), let other):
            finding.dissenters = dissenters
            finding.confidence = Self.confidence(
                first.count, fitting: first.count - dissenters.count, confirmed: other != .tooFew)
            Self.describe(one, other, observations, configuration, &finding)
        }
        self.finding = finding
    }

    /// One outside address and port for all witnesses.
    private static func describe(
        _ one: ExternalEndpoint, _ other: Port, _ observations: [NATObservation],
        _ configuration: NATCheck.Configuration, _ finding: inout NATFinding
    ) {
        if let refusal = one.refusedHost(allowPrivate: configuration.allowPrivate) {
            finding.reason = "the witnesses say that we are \(one.host), but \(refusal)"
            finding.confidence = 0
            return
        }
        let locals = observations.filter { $0.portIndex == 0 }.map(\.local)
        finding.isOwnAddress = locals.contains(one)
        finding.isBehindCarrierNAT =
            !finding.isOwnAddress
            && (configuration.routerAddress.map { $0 != one.address } ?? locals.contains(where: \.isSharedAddress))
        // A single port that is kept may be chance, or the NAT's politeness while the number happens to be free.
        let isFirstKept = locals.contains { $0.port == one.port }
        let isSecondKept =
            if case .same(let two, _) = other {
                observations.contains { $0.portIndex == 1 && $0.local.port == two.port }
            } else {
                false
            }
        let preserves = isFirstKept && isSecondKept
        // What came in at some port is believed of all ports, unless a witness tried one of them in vain.
        let isOpen =
            configuration.inboundSeen || finding.filtersLoosely
            || configuration.inboundElsewhere && !observations.contains { $0.reachedBack == false }
        if finding.isOwnAddress, isOpen {
            finding.mapping = .open
            finding.reason = "the outside address is this machine's own, and connections from outside come in"
        } else {
            finding.mapping = .endpointIndependent(preservesPort: preserves)
            finding.reason =
                finding.isOwnAddress
                ? "the outside address is this machine's own, but nothing came in from outside: a firewall may be in "
                    + "the way"
                : "all witnesses see the same outside address and port" + (preserves ? ", which is the local one" : "")
        }
    }

    // MARK: - Votes

    /// How many of `count` witnesses may lie.
    static func tolerated(_ count: Int) -> Int { max(0, (count - 1) / 2) }

    /// The two truths are told apart so: with one mapping for all, the honest witnesses agree, and they are more than
    /// those that may lie. With a mapping for each, the honest ones all differ, so that only liars agree, with each
    /// other.
    static func judge(_ observations: [NATObservation], minimum: Int) -> Port {
        let count = observations.count
        guard count >= minimum else { return .tooFew }
        var voices: [ExternalEndpoint: Int] = [:]
        for observation in observations { voices[observation.seen, default: 0] += 1 }
        let liars = Self.tolerated(count)
        if let (seen, number) = voices.max(by: { $0.value < $1.value }), number >= count - liars {
            return .same(seen, dissenters: observations.filter { $0.seen != seen }.map(\.witness))
        }
        let agreeing = observations.filter { voices[$0.seen, default: 0] > 1 }.map(\.witness)
        return agreeing.count <= liars ? .different(dissenters: agreeing) : .contradictory
    }

    /// The addresses that more witnesses report than may lie.
    private static func external(of observations: [NATObservation]) -> [ExternalEndpoint] {
        var voices: [[UInt8]: Int] = [:]
        for observation in observations { voices[observation.seen.address, default: 0] += 1 }
        let liars = Self.tolerated(observations.count)
        return voices.filter { $0.value > liars }.keys.compactMap { ExternalEndpoint(address: $0, port: 0) }
    }

    private static func confidence(_ count: Int, fitting: Int, confirmed: Bool) -> Double {
        // 2 to the power of −count, without a library.
        let doubt = 1 / Double(1 << min(count, 30))
        return Double(fitting) / Double(max(1, count)) * (1 - doubt) * (confirmed ? 1 : 0.8)
    }
}

extension ExternalEndpoint {
    /// 100.64.0.0/10, which providers use behind their own NATs (RFC 6598).
    fileprivate var isSharedAddress: Bool {
        self.isIPv4 && self.address[0] == 100 && (64...127).contains(self.address[1])
    }
}
