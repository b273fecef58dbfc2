// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

extension Coordination {
    mutating func onMessage(_ message: CoordinationDecoder.Message, now: MonotonicInstant) throws(CoordinationViolation)
    {
        self.messages += 1
        guard self.messages <= Self.maximumMessages else { throw .tooManyMessages }
        switch message {
        case .version(let version):
            guard self.peerVersion == nil else { throw .unexpected("a second version message") }
            try self.onVersion(version)
        case .verack:
            guard self.peerVersion != nil, !self.hasVerack else { throw .unexpected("verack") }
            self.hasVerack = true
        case .other:
            self.ignored += 1
            guard self.ignored <= Self.maximumIgnored else { throw .tooManyIgnored }
        case .punch(let message):
            guard self.hasVerack else { throw .unexpected("a coordination message before verack") }
            try self.onPunchMessage(message, now: now)
        }
    }

    private mutating func onVersion(_ version: P2PVersion) throws(CoordinationViolation) {
        self.peerVersion = version
        if self.isInitiator {
            guard version.services & PunchOffer.serviceFlag != 0 else { throw .notAnEndpoint }
            self.sendVerack()
            self.send(.hello(self.hello))
        } else {
            self.sendVersion()
            self.sendVerack()
        }
    }

    /// Nothing of our own: what it says is the same for every node and every connection, but for the nonce.
    mutating func sendVersion() {
        let version = P2PVersion(
            protocolVersion: P2PMessage.protocolVersion, services: self.isInitiator ? 0 : PunchOffer.serviceFlag,
            time: 0, nonce: self.derivedNumber("version"), userAgent: Self.userAgent, startHeight: 0, relay: false)
        self.directives.append(.write(P2PMessage.version(version).encoded(for: self.configuration.network)))
    }

    private mutating func sendVerack() {
        self.directives.append(.write(P2PMessage.verack.encoded(for: self.configuration.network)))
    }

    /// The same for all implementations of version 1.
    static let userAgent = Array("/holepunch:1/".utf8)

    private mutating func onPunchMessage(_ message: PunchMessage, now: MonotonicInstant) throws(CoordinationViolation) {
        switch message {
        case .hello(let hello): try self.onHello(hello, now: now)
        case .ping(let sent):
            guard self.peerHello != nil else { throw .unexpected("ping") }
            // Both times are this call's: nothing waits in between.
            let reading = self.clock.reading(at: now)
            self.send(.pong(sent: sent, received: reading, replied: reading))
        case .pong(let sent, let received, let replied):
            try self.onPong(sent: sent, received: received, replied: replied, now: now)
        case .endpoints(let attempt, let endpoints, let nonce):
            try self.onPeerEndpoints(attempt: attempt, endpoints, nonce: nonce, now: now)
        case .go(let attempt, let path, let moment):
            try self.onGo(attempt: attempt, path: path, moment: moment, now: now)
        case .result(let attempt, let reason): try self.onPeerResult(attempt: attempt, reason, now: now)
        case .relay: try self.onRelay(now: now)
        case .relayAccepted: try self.onRelayAccepted(now: now)
        case .refuse(let refusal):
            if self.stage == .farewell { self.leave(nil) } else { self.fail(.refusedByPeer(refusal), now: now) }
        }
    }

    private mutating func onHello(_ hello: PunchHello, now: MonotonicInstant) throws(CoordinationViolation) {
        guard self.stage == .handshake, self.peerHello == nil else { throw .unexpected("hello") }
        self.peerHello = hello
        let isInitiator = self.isInitiator
        self.paths = PunchPaths.attempts(
            initiator: isInitiator ? self.hello : hello, responder: isInitiator ? hello : self.hello)
        if isInitiator {
            self.beginNextAttempt(now: now)
        } else if self.paths.isEmpty, !PunchPaths.allowRelay(self.hello, hello) {
            // Before any token is taken: an asker with whom nothing works costs us nothing.
            self.send(.hello(self.hello))
            self.send(.refuse(.impossible))
            self.fail(self.failureWithoutPath, now: now)
        } else {
            self.begin(.decision, .decision, within: Self.decisionTimeout, now: now)
            self.directives.append(.request)
        }
    }

    /// Why there is nothing to try.
    var failureWithoutPath: PunchFailure {
        guard let peer = self.peerHello,
            self.hello.abilities.intersection(peer.abilities).contains(.ipv4)
        else { return .noCommonPath }
        return .impossible(own: self.hello.mapping, peer: peer.mapping)
    }

    // MARK: - The relayed connection

    /// All attempts are over, or none was possible.
    mutating func endAttempts(now: MonotonicInstant) {
        let failure = self.failureOfAttempts ?? self.failureWithoutPath
        guard let peer = self.peerHello, PunchPaths.allowRelay(self.hello, peer) else {
            // Both know all that there is to know, and both leave.
            return self.fail(failure, now: now)
        }
        self.begin(.relay, .relay, within: Self.relayTimeout, now: now)
        if self.isInitiator { self.send(.relay) }
    }

    /// What the attempts came to; `nil` when there was none.
    var failureOfAttempts: PunchFailure? {
        guard let last = self.attempts.last else { return nil }
        let own = last.own ?? .peerFailed
        return .attemptsFailed(own == .peerFailed ? last.peer ?? own : own)
    }

    private mutating func onRelay(now: MonotonicInstant) throws(CoordinationViolation) {
        guard !self.isInitiator, let peer = self.peerHello, PunchPaths.allowRelay(self.hello, peer) else {
            throw .unexpected("the wish for a relayed connection")
        }
        if self.stage == .attempt, let attempt = self.attempt, attempt.plan == nil {
            // The initiator has no time left for this attempt.
            self.directives.append(.abandon(attempt: attempt.number))
            self.attempt = nil
        } else if self.stage != .relay {
            throw .unexpected("the wish for a relayed connection")
        }
        self.send(.relayAccepted)
        self.becomeLink(now: now)
    }

    private mutating func onRelayAccepted(now: MonotonicInstant) throws(CoordinationViolation) {
        guard self.stage == .relay, self.isInitiator else { throw .unexpected("a relayed connection") }
        self.becomeLink(now: now)
    }

    private mutating func becomeLink(now: MonotonicInstant) {
        self.stage = .relaying
        self.finish(.connected(.relayed, peer: nil), now: now)
        self.directives.append(.relay)
    }
}
