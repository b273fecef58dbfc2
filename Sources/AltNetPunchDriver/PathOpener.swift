// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetHolePunch
internal import AltNetTransport

/// Carries out what one coordination wants of the network: addresses of ours, and connections from and to them.
///
/// Each attempt has a local port of its own, so that a fresh mapping is one, and so that nothing of an earlier attempt
/// stands in the way.
actor PathOpener {
    /// A connection that has proved itself.
    struct Opened: Sendable {
        let held: HeldConnection
        let success: PunchSuccess
    }

    /// What we know of our own place in the network.
    struct Place: Sendable {
        /// The IPv4 address that others see us with.
        var ipv4: [UInt8]?
        /// Our own global IPv6 address.
        var ipv6: [UInt8]?
        /// Whether our NAT keeps port numbers, and may be relied on to do so.
        var predictsPort = false
    }

    /// A local port, and what has to be kept for its mapping.
    private struct Ready: Sendable {
        let port: ReusedPort
        /// The witness's connection or the router's mapping: while it is there, so is the NAT's entry.
        let holding: (any Sendable)?
    }

    private let place: Place
    private let mappings: any MappingSource
    private let limits: SharedLimits
    private var ready: [UInt8: Ready] = [:]

    init(_ place: Place, mappings: any MappingSource, limits: SharedLimits) {
        self.place = place
        self.mappings = mappings
        self.limits = limits
    }

    /// Finds our address for an attempt.
    func learn(attempt: UInt8, _ path: PunchPath, listens: Bool) async -> Result<[ExternalEndpoint], PunchReason> {
        do throws(PunchReason) {
            let port = try Self.port(path == .ipv6 ? self.place.ipv6 : nil)
            let (endpoint, holding) = try await self.external(of: port, path, listens: listens)
            self.ready[attempt] = Ready(port: port, holding: holding)
            return .success([endpoint])
        } catch {
            return .failure(error)
        }
    }

    private func external(
        of port: ReusedPort, _ path: PunchPath, listens: Bool
    ) async throws(PunchReason) -> (ExternalEndpoint, (any Sendable)?) {
        guard listens else { return (try Self.endpoint(self.place.ipv4, 0), nil) }
        switch path {
        case .direct: return (try Self.endpoint(self.place.ipv4, port.port), nil)
        case .ipv6: return (try Self.endpoint(self.place.ipv6, port.port), nil)
        case .mapped: return try await self.mappings.mapPort(port)
        case .punch:
            if self.place.predictsPort { return (try Self.endpoint(self.place.ipv4, port.port), nil) }
            return try await self.mappings.learn(from: port)
        case .relayed: throw .local
        }
    }

    private static func port(_ ipv6: [UInt8]?) throws(PunchReason) -> ReusedPort {
        let host = ipv6.flatMap { ExternalEndpoint(address: $0, port: 0)?.host } ?? "0.0.0.0"
        do throws(SocketFailure) {
            return try ReusedPort(HostAndPort(host: host, port: 0))
        } catch {
            throw .local
        }
    }

    private static func endpoint(_ address: [UInt8]?, _ port: UInt16) throws(PunchReason) -> ExternalEndpoint {
        guard let address, let endpoint = ExternalEndpoint(address: address, port: port) else { throw .noMapping }
        return endpoint
    }

    /// Opens the connection of an attempt, and proves it.
    func open(_ plan: PunchPlan) async -> Result<Opened, PunchReason> {
        guard let ready = self.ready[plan.attempt] else { return .failure(.local) }
        if plan.dials, !self.limits.takeSyns(plan.syns, to: plan.remote) { return .failure(.synBudgetSpent) }
        let result = await Self.race(Self.tries(plan, from: ready.port), plan, keeping: ready.holding)
        switch result {
        case .success: if plan.path == .direct, !plan.dials { await self.mappings.sawInbound() }
        case .failure(let reason): await self.failed(plan, reason)
        }
        return result
    }

    /// How much later the second of two connections starts where only we connect: the first mostly stands by then where
    /// the way is short, and it is less than a round trip where the way is long.
    private static let stagger: Duration = .milliseconds(50)

    private typealias Try = (plan: SimultaneousOpen.Plan, port: ReusedPort)

    /// Where both sides connect, the SYN of one stands in for a lost one of the other. Where only we do, each lost segment
    /// of the handshake would cost the second after which the kernel sends it again (RFC 6298, section 2.1). So a second
    /// connection starts soon, from another port and with a single SYN.
    private static func tries(_ plan: PunchPlan, from port: ReusedPort) -> [Try] {
        var first = SimultaneousOpen.Plan(
            remote: HostAndPort(host: plan.remote.host, port: plan.remote.port), at: plan.isDoor ? .now : plan.at,
            deadline: plan.deadline, dials: plan.dials, listens: plan.listens, acceptsAnyPort: plan.isDoor,
            rhythm: plan.isDense ? .dense : .spread, synBudget: plan.syns)
        guard !plan.listens, plan.syns > 1, let other = try? ReusedPort(HostAndPort(host: port.address.host, port: 0))
        else { return [(first, port)] }
        var second = first
        second.at = first.at + Self.stagger
        second.synBudget = 1
        first.synBudget -= 1
        return [(first, port), (second, other)]
    }

    /// The first connection that proves itself, or why the last that failed did. The other side takes one, and we do not
    /// know which: the last segment of a handshake may be lost as well.
    private static func race(
        _ tries: [Try], _ plan: PunchPlan, keeping holding: (any Sendable)?
    ) async -> Result<Opened, PunchReason> {
        await withTaskGroup { group in
            for each in tries { group.addTask { await Self.open(each, plan, keeping: holding) } }
            var outcome = Result<Opened, PunchReason>.failure(.local)
            for await result in group {
                switch (outcome, result) {
                case (.success, .success(let late)): late.held.connection.abort()
                case (.success, .failure): break
                case (.failure, _): outcome = result
                }
                if case .success = outcome { group.cancelAll() }
            }
            return outcome
        }
    }

    private static func open(
        _ each: Try, _ plan: PunchPlan, keeping holding: (any Sendable)?
    ) async -> Result<Opened, PunchReason> {
        let inbox = EventInbox()
        let opened: SimultaneousOpen.Opened
        do throws(SimultaneousOpen.Failure) {
            opened = try await SimultaneousOpen.run(each.plan, from: each.port) { inbox.receive($0) }
        } catch {
            return .failure(Self.reason(error.reason))
        }
        do throws(PunchReason) {
            // The router lets a connection through as long as it has the mapping. A witness is not needed any longer.
            let connection: any LinkConnection =
                if plan.path == .mapped, let holding {
                    KeepingConnection(opened.connection, keeping: holding)
                } else {
                    opened.connection
                }
            let (held, roundTrip) = try await HeldConnection(connection: connection, inbox: inbox).prove(plan.proof)
            let peer = opened.connection.socket.flatMap { ExternalEndpoint($0.description) } ?? plan.remote
            return .success(
                Opened(held: held, success: PunchSuccess(peer: peer, stoodAt: opened.at, roundTrip: roundTrip)))
        } catch {
            return .failure(error)
        }
    }

    /// On these paths the address that we told is the one that the check found, and the other side hangs up when it sees
    /// another; or the check found that our NAT would let it in.
    private func failed(_ plan: PunchPlan, _ reason: PunchReason) async {
        guard plan.path == .direct || plan.path == .mapped || plan.isDoor else { return }
        switch reason {
        case .timedOut, .refused, .proofFailed, .proofLate:
            await self.mappings.doubt(
                floor: plan.role == .initiator ? CheckSchedule.floor : CheckSchedule.strangersFloor)
        default: break
        }
    }

    private static func reason(_ reason: SimultaneousOpen.Failure.Reason) -> PunchReason {
        switch reason {
        case .refused: .refused
        case .noAnswer: .timedOut
        case .cancelled: .peerFailed
        case .invalidPlan, .tooManyAtOnce, .system, .inUse: .local
        }
    }

    /// An attempt is over: its port and its mapping are not needed any more.
    func release(attempt: UInt8) {
        self.ready[attempt] = nil
    }
}

/// What tells us our address outside.
protocol MappingSource: Sendable {
    /// Makes a connection from the port to somebody who tells what it looks like from outside.
    func learn(from port: ReusedPort) async throws(PunchReason) -> (ExternalEndpoint, (any Sendable)?)
    /// What was found of our NAT may be so no more.
    func doubt(floor: Duration) async
    /// Somebody came in from outside without our having called.
    func sawInbound() async
    /// Has the router map the port.
    func mapPort(_ port: ReusedPort) async throws(PunchReason) -> (ExternalEndpoint, (any Sendable)?)
}
