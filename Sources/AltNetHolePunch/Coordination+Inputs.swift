// SPDX-License-Identifier: MIT

public import AltNetBase
internal import AltNetBitcoin

extension Coordination {
    /// The coordination connection stands.
    public mutating func onConnected(now: MonotonicInstant) -> [Directive] {
        self.startedAt = now
        self.clock = SessionClock(start: self.derivedNumber("clock"), origin: now)
        self.begin(.handshake, .handshake, within: Self.handshakeTimeout, now: now)
        if self.isInitiator { self.sendVersion() }
        return self.takeDirectives()
    }

    /// The other side sent bytes, cut anywhere.
    public mutating func onBytes(_ bytes: [UInt8], now: MonotonicInstant) -> [Directive] {
        switch self.stage {
        case .closed: return []
        case .relaying: return bytes.isEmpty ? [] : [.raw(bytes)]
        default: break
        }
        self.decoder.append(bytes)
        do throws(CoordinationViolation) {
            while self.stage != .closed, self.stage != .relaying, let message = try self.decoder.next() {
                try self.onMessage(message, now: now)
            }
        } catch {
            self.fail(.violation(error), now: now)
        }
        if self.stage == .relaying, !self.decoder.rest.isEmpty { self.directives.append(.raw(self.decoder.rest)) }
        return self.takeDirectives()
    }

    /// The moment of the last ``Directive/setTimer(_:)`` has come.
    public mutating func onTimer(now: MonotonicInstant) -> [Directive] {
        self.timer = nil
        guard self.stage != .closed, self.stage != .relaying else { return [] }
        let whole = self.startedAt + Self.wholeTimeout
        if self.stage == .farewell {
            if now >= self.deadline.at { self.leave(nil) }
        } else if now >= whole {
            self.fail(.timedOut(.whole), now: now)
        } else if now >= self.deadline.at {
            self.onDeadline(now: now)
        }
        return self.takeDirectives()
    }

    /// The answer to ``Directive/request``; `nil` when there is a place.
    public mutating func onRequestDecision(_ refusal: PunchRefusal?, now: MonotonicInstant) -> [Directive] {
        guard self.stage == .decision else { return [] }
        if let refusal {
            self.refuse(refusal, now: now)
        } else {
            self.send(.hello(self.hello))
            self.beginNextAttempt(now: now)
        }
        return self.takeDirectives()
    }

    /// The answer to ``Directive/learnMapping(attempt:_:listens:)``: our addresses, the best first. An answer to an
    /// attempt that is over is ignored.
    public mutating func onMapping(
        attempt: UInt8, _ result: Result<[ExternalEndpoint], PunchReason>, now: MonotonicInstant
    ) -> [Directive] {
        guard self.stage == .attempt, let current = self.attempt, current.number == attempt, current.isLearning else {
            return []
        }
        switch result {
        case .success(let endpoints): self.onOwnEndpoints(endpoints, now: now)
        case .failure(let reason): self.failAttempt(reason, now: now)
        }
        return self.takeDirectives()
    }

    /// The answer to ``Directive/open(_:)``, after the proof. An answer to an attempt that is over is ignored; its
    /// connection must be closed.
    public mutating func onPunched(
        attempt: UInt8, _ result: Result<PunchSuccess, PunchReason>, now: MonotonicInstant
    ) -> [Directive] {
        guard self.stage == .attempt, let current = self.attempt, current.number == attempt, current.plan != nil,
            !current.isOver
        else { return [] }
        switch result {
        case .success(let success): self.onSuccess(success, now: now)
        case .failure(let reason): self.failAttempt(reason, now: now)
        }
        return self.takeDirectives()
    }

    /// The coordination connection is gone.
    public mutating func onClosed(now: MonotonicInstant) -> [Directive] {
        guard self.stage != .closed, self.stage != .relaying else { return [] }
        if self.stage == .farewell {
            self.leave(nil)
        } else {
            self.fail(self.failureOfAttempts ?? .closed, now: now)
        }
        return self.takeDirectives()
    }

    /// We want to stop: the driver ends, or the keys change.
    public mutating func close(_ refusal: PunchRefusal, now: MonotonicInstant) -> [Directive] {
        guard self.stage != .closed, self.stage != .relaying else { return [] }
        if self.stage == .farewell { self.leave(nil) } else { self.refuse(refusal, now: now) }
        return self.takeDirectives()
    }

    // MARK: - Ends

    /// Tells the other side why, and ends.
    mutating func refuse(_ refusal: PunchRefusal, now: MonotonicInstant) {
        if self.peerVersion != nil { self.send(.refuse(refusal)) }
        self.fail(.refused(refusal), now: now)
    }

    mutating func fail(_ failure: PunchFailure, now: MonotonicInstant) {
        if let attempt = self.attempt, attempt.success == nil {
            if !attempt.isOver { self.directives.append(.abandon(attempt: attempt.number)) }
            self.record(attempt)
        }
        self.finish(.failed(failure), now: now)
        self.leave(failure)
    }

    mutating func finish(_ ending: PunchOutcome.Ending, now: MonotonicInstant) {
        guard !self.hasFinished else { return }
        self.hasFinished = true
        let success = self.attempt?.success
        self.directives.append(
            .finished(
                PunchOutcome(
                    ending: ending, role: self.configuration.role, attempts: self.attempts,
                    ownMapping: self.configuration.mapping, peerMapping: self.peerHello?.mapping,
                    duration: now - self.startedAt, coordinationRoundTrip: self.agreement.roundTrip,
                    opening: success.flatMap { success in
                        self.attempt?.plan.map { max(.zero, success.stoodAt - $0.at) }
                    },
                    roundTrip: success?.roundTrip)))
    }

    mutating func leave(_ failure: PunchFailure?) {
        self.stage = .closed
        self.attempt = nil
        self.directives.append(.disconnect(failure))
    }

    // MARK: - Small things

    mutating func begin(_ stage: Stage, _ step: CoordinationStep, within: Duration, now: MonotonicInstant) {
        self.stage = stage
        self.deadline = (now + within, step)
    }

    mutating func send(_ message: PunchMessage) {
        self.directives.append(
            .write(
                P2PMessage.frame(
                    command: PunchMessage.command, payload: message.encoded(), network: self.configuration.network)))
    }

    /// The directives of this call, and the timer when it has moved.
    mutating func takeDirectives() -> [Directive] {
        defer { self.directives = [] }
        guard self.stage != .closed, self.stage != .relaying else { return self.directives }
        let whole = self.startedAt + Self.wholeTimeout
        let next = self.stage == .farewell ? self.deadline.at : min(self.deadline.at, whole)
        if next != self.timer {
            self.timer = next
            self.directives.append(.setTimer(next))
        }
        return self.directives
    }
}
