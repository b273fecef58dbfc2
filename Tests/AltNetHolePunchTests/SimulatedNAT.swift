// SPDX-License-Identifier: MIT

import AltNetBase

@testable import AltNetHolePunch

/// A TCP segment as NATs and hosts see it. Sequence numbers are reduced to the number of the try that they belong to.
struct Segment: Hashable {
    enum Kind: Hashable {
        case syn
        /// Acknowledges the SYN of a try.
        case synAck(of: Int)
        case ack
        case data([UInt8])
        /// In answer to the SYN of a try, or `nil` for one that ends a connection.
        case reset(of: Int?)
    }

    var source: ExternalEndpoint
    var destination: ExternalEndpoint
    var kind: Kind
    /// The sender's try.
    var sequence: Int
}

/// A home router, a provider's NAT, or a firewall: RFC 4787's words, and Linux's way to forget a connection whose only
/// answer was a reset.
struct SimulatedNAT {
    enum Mapping: Hashable {
        /// A firewall only.
        case none
        case preserving, endpointIndependent, endpointDependent
    }

    enum Unsolicited: Hashable {
        case drop, reset
    }

    /// RFC 4787, section 5: what has to be sent to before something comes in from there.
    enum Filtering: Hashable {
        case addressAndPort, address, endpointIndependent
    }

    let mapping: Mapping
    let unsolicited: Unsolicited
    let filtering: Filtering
    let external: [UInt8]
    private var nextPort: UInt16
    private var ports: [[ExternalEndpoint]: UInt16] = [:]
    private var inside: [UInt16: ExternalEndpoint] = [:]
    /// Which answers are let in, and whether anything but a reset has come so far.
    private var flows: [[ExternalEndpoint]: Bool] = [:]
    /// Outside addresses to which something was sent, by the port that sent it; a reset makes nobody forget them.
    private var acquainted: [ExternalEndpoint: Set<[UInt8]>] = [:]
    /// Ports that are mapped for all, as by PCP.
    private var forwarded: Set<UInt16> = []

    init(
        _ mapping: Mapping, _ unsolicited: Unsolicited, filtering: Filtering = .addressAndPort, external: [UInt8],
        firstPort: UInt16 = 20_000
    ) {
        self.mapping = mapping
        self.filtering = filtering
        self.unsolicited = unsolicited
        self.external = external
        self.nextPort = firstPort
    }

    /// The external form of a segment that leaves.
    mutating func leave(_ segment: Segment) -> Segment {
        var out = segment
        if self.mapping != .none {
            let key =
                self.mapping == .endpointDependent ? [segment.source, segment.destination] : [segment.source]
            let port = self.ports[key] ?? self.allocate(for: segment.source)
            self.ports[key] = port
            self.inside[port] = segment.source
            out.source = Self.endpoint(self.external, port)
        }
        if case .reset = segment.kind { return out }
        self.acquainted[out.source, default: []].insert(out.destination.address)
        self.flows[[out.source, out.destination]] = self.flows[[out.source, out.destination]] ?? false
        return out
    }

    private mutating func allocate(for source: ExternalEndpoint) -> UInt16 {
        if self.mapping == .preserving { return source.port }
        self.nextPort += 7
        return self.nextPort
    }

    mutating func forward(_ source: ExternalEndpoint) -> ExternalEndpoint {
        let port = self.ports[[source]] ?? self.allocate(for: source)
        self.ports[[source]] = port
        self.inside[port] = source
        self.forwarded.insert(port)
        return Self.endpoint(self.external, port)
    }

    enum Entry {
        case pass(Segment)
        case drop
        case answer(Segment)
    }

    /// What becomes of a segment from outside.
    mutating func enter(_ segment: Segment) -> Entry {
        var into = segment
        if self.mapping != .none, let host = self.inside[segment.destination.port] { into.destination = host }
        let flow = [segment.destination, segment.source]
        let isKnown = self.mapping == .none || self.inside[segment.destination.port] != nil
        let letsIn: Bool =
            switch self.filtering {
            case .addressAndPort: false
            case .address: self.acquainted[segment.destination]?.contains(segment.source.address) ?? false
            case .endpointIndependent: true
            }
        if isKnown, letsIn || self.forwarded.contains(segment.destination.port) {
            self.flows[flow] = self.flows[flow] ?? false
            return .pass(into)
        }
        guard isKnown, let hasAnswer = self.flows[flow] else {
            guard self.unsolicited == .reset, case .syn = segment.kind else { return .drop }
            return .answer(
                Segment(
                    source: segment.destination, destination: segment.source, kind: .reset(of: segment.sequence),
                    sequence: 0))
        }
        if case .reset = segment.kind {
            if !hasAnswer { self.flows[flow] = nil }
        } else {
            self.flows[flow] = true
        }
        return .pass(into)
    }

    static func endpoint(_ address: [UInt8], _ port: UInt16) -> ExternalEndpoint {
        guard let endpoint = ExternalEndpoint(address: address, port: port) else {
            preconditionFailure("\(address.count) bytes are no address")
        }
        return endpoint
    }
}

/// How a host opens: the kernel's part and that of `SimultaneousOpen`, which tries again after a reset.
struct SimulatedOpening {
    enum State: Hashable {
        case idle, synSent, synReceived, established, over
    }

    let plan: PunchPlan
    let local: ExternalEndpoint
    /// The other end: the plan's, with the port from which the other side came where only that side dials.
    var remote: ExternalEndpoint
    var state = State.idle
    var sequence = 0
    var peerSequence = 0
    var syns = 0
    var refusals = 0
    var tryBegan: Int64 = 0
    var wasAccepted = false
    var proof: PunchProof
    var stoodAt: Int64?

    init(plan: PunchPlan, local: ExternalEndpoint) {
        self.plan = plan
        self.local = local
        self.remote = plan.remote
        self.proof = plan.proof
    }

    var left: Int { self.plan.syns - self.syns }

    /// Nanoseconds from the SYN that was reset to the next one; as `OpeningTries` has it.
    mutating func spacing(roundTrip: Int64) -> Int64 {
        let unit = max(roundTrip, 5_000_000)
        self.refusals += 1
        guard self.refusals > 1 else { return unit }
        guard self.plan.isDense else { return min(unit * 5, 1_000_000_000) }
        if self.left == 1 { return unit + 700_000_000 }
        return self.refusals == 2 ? unit + min(unit * 15, 600_000_000) : unit
    }
}
