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
        let (opened, inbox): (SimultaneousOpen.Opened, EventInbox)
        do throws(SimultaneousOpen.Failure) {
            let fresh = try await Self.connect(plan, from: ready.port)
            (opened, inbox) = (fresh.opened, fresh.inbox)
        } catch {
            let reason = Self.reason(error.reason)
            await self.failed(plan, reason)
            return .failure(reason)
        }
        do throws(PunchReason) {
            // The router lets a connection through as long as it has the mapping. A witness is not needed any longer.
            let connection: any LinkConnection =
                if plan.path == .mapped, let mapping = ready.holding {
                    KeepingConnection(opened.connection, keeping: mapping)
                } else {
                    opened.connection
                }
            let (held, roundTrip) = try await HeldConnection(connection: connection, inbox: inbox).prove(plan.proof)
            if plan.path == .direct, !plan.dials { await self.mappings.sawInbound() }
            let peer = opened.connection.socket.flatMap { ExternalEndpoint($0.description) } ?? plan.remote
            return .success(
                Opened(held: held, success: PunchSuccess(peer: peer, stoodAt: opened.at, roundTrip: roundTrip)))
        } catch {
            await self.failed(plan, error)
            return .failure(error)
        }
    }

    /// How much later the second of two connections starts where only we connect: the first mostly stands by then where
    /// the way is short, and it is less than a round trip where the way is long.
    private static let stagger: Duration = .milliseconds(50)

    /// Where both sides connect, the SYN of one stands in for a lost one of the other. Where only we do, a lost segment
    /// would cost the second after which the kernel sends it again (RFC 6298, section 2.1). So a second connection starts
    /// soon, from another port and with a single SYN; the first one that stands remains, and the other is closed.
    private static func connect(
        _ plan: PunchPlan, from port: ReusedPort
    ) async throws(SimultaneousOpen.Failure) -> Fresh {
        var opening = SimultaneousOpen.Plan(
            remote: HostAndPort(host: plan.remote.host, port: plan.remote.port), at: plan.at, deadline: plan.deadline,
            dials: plan.dials, listens: plan.listens, rhythm: plan.isDense ? .dense : .spread, synBudget: plan.syns)
        guard !plan.listens, plan.syns > 1, let other = try? ReusedPort(HostAndPort(host: port.address.host, port: 0))
        else { return try await Self.connect(opening, from: port).get() }
        var second = opening
        second.at = opening.at + Self.stagger
        second.synBudget = 1
        opening.synBudget -= 1
        return try await Self.race([(opening, port), (second, other)]).get()
    }

    /// The first connection that stands, or what the last that failed says.
    private static func race(
        _ plans: [(SimultaneousOpen.Plan, ReusedPort)]
    ) async -> Result<Fresh, SimultaneousOpen.Failure> {
        await withTaskGroup(of: Result<Fresh, SimultaneousOpen.Failure>.self) { group in
            for (plan, port) in plans { group.addTask { await Self.connect(plan, from: port) } }
            var outcome = Result<Fresh, SimultaneousOpen.Failure>.failure(.cancelled)
            for await result in group {
                switch (outcome, result) {
                case (.success, .success(let late)): late.opened.connection.abort()
                case (.success, .failure): break
                case (.failure, _): outcome = result
                }
                if case .success = outcome { group.cancelAll() }
            }
            return outcome
        }
    }

    /// A connection that stands, and what it has said.
    private struct Fresh {
        let opened: SimultaneousOpen.Opened
        let inbox: EventInbox
    }

    private static func connect(
        _ plan: SimultaneousOpen.Plan, from port: ReusedPort
    ) async -> Result<Fresh, SimultaneousOpen.Failure> {
        let inbox = EventInbox()
        do throws(SimultaneousOpen.Failure) {
            let opened = try await SimultaneousOpen.run(plan, from: port) { inbox.receive($0) }
            return .success(Fresh(opened: opened, inbox: inbox))
        } catch {
            return .failure(error)
        }
    }

    /// On these paths the address that we told is the one that the check found, and the other side hangs up when it sees
    /// another.
    private func failed(_ plan: PunchPlan, _ reason: PunchReason) async {
        guard plan.path == .direct || plan.path == .mapped else { return }
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
