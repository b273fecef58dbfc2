// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// What follows from every event: who is served, who gives up, what nobody wants any more, who may begin next.
extension Dialing {
    /// Takes an attempt under way out of its dial, and the dial out of the table.
    mutating func end(_ attempt: AttemptID) -> (dial: Dial, attempt: Attempt)? {
        guard let peer = self.attemptPeers.removeValue(forKey: attempt),
            var dial = self.dials.removeValue(forKey: peer), let ended = dial.attempts.removeValue(forKey: attempt)
        else { return nil }
        return (dial, ended)
    }

    /// The dial after an attempt failed: those who counted on it want the next one now.
    mutating func failed(_ dial: Dial, _ attempt: Attempt, _ failure: AttemptFailure, now: MonotonicInstant) -> Dial {
        var dial = dial
        switch failure {
        case .remote:
            let key = DialBackOff.Key(peer: dial.peer, address: attempt.address)
            self.backOff.onFailed(key, now: now, random: &self.random)
        case .local: break
        }
        for index in dial.requests.indices where dial.allows(dial.requests[index], attempt) {
            dial.requests[index].tried.insert(attempt.address)
            dial.requests[index].wantsNextAt = min(dial.requests[index].wantsNextAt, now)
        }
        return dial
    }

    /// Gives a connection to all whose policies allow it.
    mutating func satisfy(_ dial: inout Dial, with connection: Connection) -> [Directive] {
        let satisfied = dial.requests.filter { $0.policy.allows(connection.candidate) }
        dial.requests.removeAll { $0.policy.allows(connection.candidate) }
        return satisfied.map { request in
            self.requestPeers[request.id] = nil
            return .succeeded(request: request.id, attempt: connection.attempt)
        }
    }

    /// Ends requests that are over and attempts that nobody wants, and puts the dial back if somebody still waits.
    mutating func settle(_ dial: Dial, now: MonotonicInstant) -> [Directive] {
        var dial = dial
        var directives: [Directive] = []
        for request in dial.requests {
            guard let end = self.end(of: request, in: &dial, now: now) else { continue }
            dial.requests.removeAll { $0.id == request.id }
            self.requestPeers[request.id] = nil
            directives.append(end)
        }
        for (id, attempt) in dial.attempts.sorted(by: { $0.key < $1.key })
        where !dial.requests.contains(where: { dial.allows($0, attempt) }) {
            dial.attempts[id] = nil
            self.attemptPeers[id] = nil
            directives.append(.close(attempt: id, .unwanted))
        }
        guard !dial.requests.isEmpty else {
            self.turns.removeAll { $0 == dial.peer }
            return directives
        }
        // What was under way for somebody may not be allowed any more, now that more is known of the address.
        for index in dial.requests.indices where dial.requests[index].wantsNextAt > now {
            let request = dial.requests[index]
            if !dial.attempts.values.contains(where: { dial.allows(request, $0) }) {
                dial.requests[index].wantsNextAt = now
            }
        }
        self.putBack(dial, now: now)
        return directives
    }

    private func end(of request: Request, in dial: inout Dial, now: MonotonicInstant) -> Directive? {
        if let attempt = self.standing(with: dial.peer, request.policy) {
            return .succeeded(request: request.id, attempt: attempt)
        }
        if request.deadline <= now { return .failed(request: request.id, .timedOut(tried: request.tried.count)) }
        guard !dial.attempts.values.contains(where: { dial.allows(request, $0) }),
            self.nextAddress(for: request, in: &dial, now: now) == nil
        else { return nil }
        return .failed(request: request.id, self.failure(of: request, in: &dial, now: now))
    }

    private func failure(of request: Request, in dial: inout Dial, now: MonotonicInstant) -> DialFailure {
        guard !dial.candidates.isEmpty else { return .noAddress }
        let plan = dial.plan(request.policy)
        guard !plan.isEmpty else { return .noneAllowed(known: dial.candidates.count) }
        let ends = plan.filter { !request.tried.contains($0) }.compactMap {
            self.backOffEnd($0, of: dial.peer, now: now)
        }
        guard request.tried.isEmpty, let first = ends.min() else {
            return .unreachable(tried: request.tried.count, inBackOff: ends.count)
        }
        return .inBackOff(addresses: ends.count, wait: first - now)
    }

    /// What to try next on behalf of a request, if it were its turn.
    private func nextAddress(for request: Request, in dial: inout Dial, now: MonotonicInstant) -> Multiaddress? {
        guard request.tried.count < Self.maximumAddresses else { return nil }
        let plan = dial.plan(request.policy)
        return plan.first { address in
            !request.tried.contains(address) && !dial.attempts.values.contains { $0.address == address }
                && (request.ignoresBackOff || self.backOffEnd(address, of: dial.peer, now: now) == nil)
        }
    }

    private func backOffEnd(_ address: Multiaddress, of peer: PeerID, now: MonotonicInstant) -> MonotonicInstant? {
        self.backOff.end(DialBackOff.Key(peer: peer, address: address), now: now)
    }

    // MARK: - Turns

    /// Begins attempts as long as there may be more of them: one for each peer, then one more for each, and so on.
    mutating func takeTurns(now: MonotonicInstant) -> [Directive] {
        var directives: [Directive] = []
        while self.attemptPeers.count < self.settings.attempts, !self.turns.isEmpty {
            let peer = self.turns.removeFirst()
            guard var dial = self.dials.removeValue(forKey: peer) else { continue }
            if let address = self.nextStart(in: &dial, now: now) {
                let id = self.nextAttempt()
                let attempt = Attempt(
                    address: address, startedAt: now, deadline: now + self.settings.attemptTimeout)
                dial.attempts[id] = attempt
                self.attemptPeers[id] = peer
                for index in dial.requests.indices where dial.allows(dial.requests[index], attempt) {
                    dial.requests[index].wantsNextAt = now + self.settings.stagger
                }
                directives.append(.open(attempt: id, peer, address))
            }
            self.putBack(dial, now: now)
        }
        return directives
    }

    /// Puts a dial into the table, in line if it could begin an attempt, with the time when something is due.
    private mutating func putBack(_ dial: Dial, now: MonotonicInstant) {
        var dial = dial
        var due = dial.attempts.values.map(\.deadline) + dial.requests.map(\.deadline)
        var isReady = false
        if dial.attempts.count < self.settings.attemptsPerPeer {
            for request in dial.requests where self.nextAddress(for: request, in: &dial, now: now) != nil {
                if request.wantsNextAt <= now { isReady = true } else { due.append(request.wantsNextAt) }
            }
        }
        dial.deadline = due.min()
        let isInLine = self.turns.contains(dial.peer)
        if isReady, !isInLine { self.turns.append(dial.peer) }
        if !isReady, isInLine { self.turns.removeAll { $0 == dial.peer } }
        self.dials[dial.peer] = dial
    }

    /// The address that the dial tries now: the next one of whoever has the fewest attempts under way that it could use,
    /// so that a peer's attempts are not all taken by those who came first.
    private func nextStart(in dial: inout Dial, now: MonotonicInstant) -> Multiaddress? {
        guard dial.attempts.count < self.settings.attemptsPerPeer else { return nil }
        var best: (address: Multiaddress, attempts: Int)?
        for request in dial.requests where request.wantsNextAt <= now {
            let attempts = dial.attempts.values.count { dial.allows(request, $0) }
            guard attempts < best?.attempts ?? .max,
                let address = self.nextAddress(for: request, in: &dial, now: now)
            else { continue }
            best = (address, attempts)
        }
        return best?.address
    }
}
