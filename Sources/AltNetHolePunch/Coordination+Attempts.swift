// SPDX-License-Identifier: MIT

internal import AltNetBase

extension Coordination {
    // MARK: - Beginning

    mutating func beginNextAttempt(now: MonotonicInstant) {
        guard !self.paths.isEmpty, let peer = self.peerHello, !self.mustRelayNow(now: now) else {
            return self.endAttempts(now: now)
        }
        let path = self.paths.removeFirst()
        let number = UInt8(clamping: self.attempts.count + 1)
        let (initiator, responder) = self.isInitiator ? (self.hello, peer) : (peer, self.hello)
        let door = PunchPaths.door(path, initiator: initiator, responder: responder)
        let listener = door ?? PunchPaths.listener(path, initiator: initiator, responder: responder)
        let (role, isDoor) = (self.configuration.role, door == self.configuration.role)
        let attempt = PunchAttempt(
            number: number, path: path, dials: isDoor || listener != role, listens: listener == nil || listener == role,
            isDoor: isDoor, nonce: self.derived("nonce", number))
        self.attempt = attempt
        self.begin(.attempt, .mapping, within: Self.mappingTimeout, now: now)
        self.directives.append(.learnMapping(attempt: number, path, listens: attempt.tellsPort))
        // The clock is agreed on while both learn their addresses, which takes as long.
        if self.isInitiator {
            self.attempt?.pingsLeft = number == 1 ? ClockAgreement.rounds : ClockAgreement.laterRounds
            if !self.agreement.isWaiting { self.ping(now: now) }
        }
    }

    /// Whether another attempt would leave no time for the relayed connection. Only the initiator decides; the
    /// responder learns it from the wish.
    private func mustRelayNow(now: MonotonicInstant) -> Bool {
        guard self.isInitiator, let peer = self.peerHello, PunchPaths.allowRelay(self.hello, peer) else { return false }
        return now - self.startedAt > Self.latestAttempt
    }

    private mutating func ping(now: MonotonicInstant) {
        self.attempt?.pingsLeft -= 1
        let reading = self.clock.reading(at: now)
        self.agreement.asked(reading: reading, now: now)
        self.send(.ping(sent: reading))
    }

    mutating func onPong(
        sent: UInt64, received: UInt64, replied: UInt64, now: MonotonicInstant
    ) throws(CoordinationViolation) {
        guard self.isInitiator, self.agreement.isWaiting else { throw .unexpected("pong") }
        guard self.agreement.answered(reading: sent, received: received, replied: replied, now: now) else {
            throw .impossibleClock
        }
        guard self.stage == .attempt, let attempt = self.attempt, !attempt.isOver, attempt.plan == nil else { return }
        if attempt.pingsLeft > 0 { self.ping(now: now) }
        self.goIfReady(now: now)
    }

    // MARK: - Addresses

    mutating func onOwnEndpoints(_ endpoints: [ExternalEndpoint], now: MonotonicInstant) {
        guard let attempt = self.attempt else { return }
        let usable = endpoints.filter { $0.isIPv4 == (attempt.path != .ipv6) && ($0.port > 0 || !attempt.tellsPort) }
        guard !usable.isEmpty else { return self.failAttempt(.noMapping, now: now) }
        self.attempt?.own = Array(usable.prefix(PunchMessage.maximumEndpoints))
        self.begin(.attempt, .agreement, within: Self.agreementTimeout, now: now)
        self.tellOwnEndpoints()
        self.goIfReady(now: now)
    }

    /// Who asks shows its address first: the responder's is for those who have told theirs.
    private mutating func tellOwnEndpoints() {
        guard let attempt = self.attempt, let own = attempt.own, !attempt.hasToldOwn,
            self.isInitiator || attempt.remote != nil
        else { return }
        self.attempt?.hasToldOwn = true
        self.send(
            .endpoints(
                attempt: attempt.number, own.map { PathEndpoint(path: attempt.path, endpoint: $0) },
                nonce: attempt.nonce))
    }

    mutating func onPeerEndpoints(
        attempt number: UInt8, _ endpoints: [PathEndpoint], nonce: [UInt8], now: MonotonicInstant
    ) throws(CoordinationViolation) {
        guard self.stage == .attempt, let attempt = self.attempt, attempt.number == number, attempt.peerNonce == nil,
            attempt.peerResult == nil
        else { throw .unexpected("an address") }
        self.attempt?.peerNonce = nonce
        // Our attempt may be over while the other side's addresses were on their way.
        guard !attempt.isOver else { return }
        switch self.choose(among: endpoints, for: attempt) {
        case .success(let remote):
            self.attempt?.remote = remote
            if remote.isIPv4 { self.peerIPv4 = remote.address }
            self.tellOwnEndpoints()
            self.goIfReady(now: now)
        case .failure(let reason): self.failAttempt(reason, now: now)
        }
    }

    /// The first of the other side's addresses that we may have to do with.
    private func choose(
        among endpoints: [PathEndpoint], for attempt: PunchAttempt
    ) -> Result<ExternalEndpoint, PunchReason> {
        let ours = endpoints.filter { $0.path == attempt.path && $0.endpoint.isIPv4 == (attempt.path != .ipv6) }
        guard !ours.isEmpty else { return .failure(.noMapping) }
        let allowPrivate = self.configuration.allowPrivate
        let allowed = ours.map(\.endpoint).filter { endpoint in
            guard self.isSameHost(endpoint), !self.isOwn(endpoint) else { return false }
            return attempt.dials
                ? endpoint.refusedTarget(allowPrivate: allowPrivate) == nil
                : endpoint.refusedHost(allowPrivate: allowPrivate) == nil
        }
        guard !allowed.isEmpty else { return .failure(.targetRefused) }
        guard let remote = allowed.first(where: self.configuration.offered.admits) else {
            return .failure(.notTheOffered)
        }
        return .success(remote)
    }

    /// Whether an address may belong to whoever told the earlier ones: a host has one IPv4 address, so that one
    /// coordination cannot make us connect to several.
    private func isSameHost(_ endpoint: ExternalEndpoint) -> Bool {
        !endpoint.isIPv4 || self.peerIPv4 == nil || self.peerIPv4 == endpoint.address
    }

    /// Whether an address is ours, or of our IPv6 /64. In a lab, both sides may share an address that means something
    /// in one network only.
    private func isOwn(_ endpoint: ExternalEndpoint) -> Bool {
        if self.configuration.allowPrivate, endpoint.refusedHost(allowPrivate: false) != nil { return false }
        let length = endpoint.isIPv4 ? 4 : 8
        return self.configuration.ownAddresses.contains { own in
            own.count == endpoint.address.count && own.prefix(length) == endpoint.address.prefix(length)
        }
    }

    // MARK: - The moment

    private mutating func goIfReady(now: MonotonicInstant) {
        guard self.isInitiator, let attempt = self.attempt, attempt.plan == nil, !attempt.isOver, attempt.hasToldOwn,
            attempt.remote != nil, attempt.pingsLeft == 0, !self.agreement.isWaiting,
            self.agreement.samples >= ClockAgreement.minimumSamples
        else { return }
        let at = now + self.agreement.lead
        guard let moment = self.agreement.reading(at: at) else { return }
        guard self.hasSYNs(for: attempt) else { return self.failAttempt(.synBudgetSpent, now: now) }
        self.send(.go(attempt: attempt.number, path: attempt.path, moment: moment))
        self.open(at: at, now: now)
    }

    mutating func onGo(
        attempt number: UInt8, path: PunchPath, moment: UInt64, now: MonotonicInstant
    ) throws(CoordinationViolation) {
        guard !self.isInitiator, self.stage == .attempt, let attempt = self.attempt, attempt.number == number,
            attempt.path == path, attempt.plan == nil, attempt.peerResult == nil
        else { throw .unexpected("the moment") }
        // Our failure and the other side's moment have crossed.
        guard !attempt.isOver else { return }
        guard attempt.hasToldOwn, attempt.remote != nil else { throw .unexpected("the moment") }
        let lead = self.clock.lead(of: moment, at: now)
        guard lead <= Self.maximumLead else { throw .momentTooFar }
        guard lead >= .zero - Self.maximumLateness else { return self.failAttempt(.late, now: now) }
        guard self.hasSYNs(for: attempt) else { return self.failAttempt(.synBudgetSpent, now: now) }
        self.open(at: now + max(.zero, lead), now: now)
    }

    /// Whether the attempt may send its SYNs, after those of the attempts before it.
    private func hasSYNs(for attempt: PunchAttempt) -> Bool {
        !attempt.dials || self.plannedSYNs + attempt.syns <= Self.maximumSYNs
    }

    private mutating func open(at: MonotonicInstant, now: MonotonicInstant) {
        guard let attempt = self.attempt, let remote = attempt.remote, let peerNonce = attempt.peerNonce else { return }
        let plan = PunchPlan(
            attempt: attempt.number, path: attempt.path, role: self.configuration.role, remote: remote, at: at,
            deadline: at + PunchPlan.connectTimeout, dials: attempt.dials, listens: attempt.listens,
            isDoor: attempt.isDoor,
            proof: PunchProof(
                role: self.configuration.role, attempt: attempt.number,
                initiatorNonce: self.isInitiator ? attempt.nonce : peerNonce,
                responderNonce: self.isInitiator ? peerNonce : attempt.nonce))
        self.attempt?.plan = plan
        if plan.dials { self.plannedSYNs += plan.syns }
        let last = plan.deadline + PunchPlan.proofTimeout + Self.openingGrace
        self.begin(.attempt, .opening, within: last - now, now: now)
        self.directives.append(.open(plan))
    }

    // MARK: - Results

    mutating func onSuccess(_ success: PunchSuccess, now: MonotonicInstant) {
        guard let attempt = self.attempt else { return }
        self.attempt?.success = success
        if let attempt = self.attempt { self.record(attempt) }
        self.send(.result(attempt: attempt.number, nil))
        self.finish(.connected(attempt.path, peer: success.peer), now: now)
        guard attempt.peerResult == nil else { return self.leave(nil) }
        self.begin(.farewell, .result, within: Self.farewellTimeout, now: now)
    }

    mutating func failAttempt(_ reason: PunchReason, now: MonotonicInstant) {
        guard let attempt = self.attempt, !attempt.isOver else { return }
        self.attempt?.ownReason = reason
        self.send(.result(attempt: attempt.number, reason.told))
        self.directives.append(.abandon(attempt: attempt.number))
        self.begin(.attempt, .result, within: Self.resultTimeout, now: now)
        self.nextIfOver(now: now)
    }

    mutating func onPeerResult(
        attempt number: UInt8, _ reason: PunchReason?, now: MonotonicInstant
    ) throws(CoordinationViolation) {
        if self.stage == .farewell { return self.leave(nil) }
        // The responder has begun an attempt, and ended it, before it read that none follows.
        if self.stage == .relay, self.isInitiator, reason != nil { return }
        guard self.stage == .attempt, let attempt = self.attempt, attempt.number == number, attempt.peerResult == nil
        else { throw .unexpected("a result") }
        guard let reason else {
            // Nobody has a connection before the moment was agreed on.
            guard attempt.plan != nil else { throw .unexpected("a success") }
            self.attempt?.peerResult = .success
            return self.nextIfOver(now: now)
        }
        self.attempt?.peerResult = .failure(reason)
        // The other side has closed all it had: what we still try is for nobody.
        if attempt.isOver { self.nextIfOver(now: now) } else { self.failAttempt(.peerFailed, now: now) }
    }

    private mutating func nextIfOver(now: MonotonicInstant) {
        guard let attempt = self.attempt, let own = attempt.ownReason, let peer = attempt.peerResult else { return }
        self.record(attempt)
        self.attempt = nil
        switch peer {
        // The other side's connection dies with ours, and it asks for nothing more.
        case .success: self.fail(.attemptsFailed(own), now: now)
        case .failure(let reason):
            if own.isFinal || reason.isFinal { self.paths.removeAll { $0 == attempt.path } }
            self.beginNextAttempt(now: now)
        }
    }

    mutating func record(_ attempt: PunchAttempt) {
        self.attempts.append(
            PunchOutcome.Attempt(
                number: attempt.number, path: attempt.path, hasSucceeded: attempt.success != nil,
                own: attempt.ownReason, peer: attempt.peerReason))
    }

    mutating func onDeadline(now: MonotonicInstant) {
        switch self.deadline.step {
        case .mapping: self.failAttempt(.noMapping, now: now)
        case .opening: self.failAttempt(.timedOut, now: now)
        case .relay: self.fail(self.failureOfAttempts ?? self.failureWithoutPath, now: now)
        case .handshake, .decision, .agreement, .result, .whole: self.fail(.timedOut(self.deadline.step), now: now)
        }
    }
}
