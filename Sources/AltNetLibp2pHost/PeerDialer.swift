// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetDialing
public import AltNetPeerRecords
internal import AltNetTransport

/// No connection to a peer came about. The text is for the operator.
public struct PeerUnreachable: Error, Sendable, CustomStringConvertible {
    /// Reasons of single attempts that are kept, the last ones: enough to see what is wrong.
    public static let maximumReasons = 8

    public let peer: PeerID
    public let failure: DialFailure
    /// What went wrong with the last attempts, each with its address.
    public let reasons: [String]
    /// Whether an attempt failed because of the remote, and not of a limit here.
    var wasTriedInEarnest = false

    /// Whether it says something about the peer: one without an address is as unreachable as one that does not answer.
    var isOfPeer: Bool { self.wasTriedInEarnest || self.failure == .noAddress }

    public var description: String {
        "cannot connect to \(self.peer): \(self.failure)"
            + (self.reasons.isEmpty ? "" : " (\(self.reasons.joined(separator: "; ")))")
    }
}

/// Opens connections to peers as ``Dialing`` decides.
///
/// A link belongs to all who were given it. Whoever closes one MUST see to it that ``onEnded(_:)`` is called, by which it
/// is given to nobody any more.
public actor PeerDialer<Link: AnyObject & Sendable> {
    /// How links are made and looked at.
    public struct Operations: Sendable {
        /// Connects to the peer at the address, behind which those sources stand; returns when the peer has proved who it is. MUST end soon when it is
        /// cancelled, and close what it has opened when it throws.
        public var open: @Sendable (PeerID, Multiaddress, AddressSources) async throws -> Link
        /// Closes a link that nobody was given.
        public var close: @Sendable (Link) -> Void
        /// Whether the link can still be used.
        public var isOpen: @Sendable (Link) -> Bool
        /// Whose fault it was that `open` threw.
        public var blame: @Sendable (any Error) -> Dialing.AttemptFailure
        /// Called when `open` is cancelled because it took too long, and not because nobody wants the link.
        public var onTooSlow: @Sendable (PeerID, Multiaddress) -> Void

        public init(
            open: @escaping @Sendable (PeerID, Multiaddress, AddressSources) async throws -> Link,
            close: @escaping @Sendable (Link) -> Void, isOpen: @escaping @Sendable (Link) -> Bool,
            blame: @escaping @Sendable (any Error) -> Dialing.AttemptFailure,
            onTooSlow: @escaping @Sendable (PeerID, Multiaddress) -> Void
        ) {
            self.open = open
            self.close = close
            self.isOpen = isOpen
            self.blame = blame
            self.onTooSlow = onTooSlow
        }
    }

    private struct Waiting {
        let peer: PeerID
        let continuation: CheckedContinuation<Link, any Error>
    }

    private struct Attempt {
        let peer: PeerID
        let address: Multiaddress
        let task: Task<Void, Never>
    }

    private struct Standing {
        let peer: PeerID
        let link: Link
    }

    private let operations: Operations
    private var machine: Dialing
    private var lastRequest: UInt64 = 0
    private var waiting: [Dialing.RequestID: Waiting] = [:]
    /// Until `open` has returned, also after the attempt was closed.
    private var attempts: [Dialing.AttemptID: Attempt] = [:]
    private var standing: [Dialing.AttemptID: Standing] = [:]
    private var names: [ObjectIdentifier: Dialing.AttemptID] = [:]
    /// Of peers for which somebody waits.
    private var reasons: [PeerID: [String]] = [:]
    /// Of these, peers that have failed themselves.
    private var failing: Set<PeerID> = []
    private var timer: Task<Void, Never>?
    private var isShutDown = false

    /// - `seed`: from the system, so that nobody can foresee when an address is tried again.
    public init(_ settings: Dialing.Settings = Dialing.Settings(), seed: UInt64, operations: Operations) {
        self.machine = Dialing(settings, random: SeededRandom(seed: seed))
        self.operations = operations
    }

    deinit {
        self.timer?.cancel()
    }

    // MARK: - Callers

    /// A connection that the policy allows: one that stands, or a new one. Cancelling the last caller who wants it breaks
    /// off what is under way.
    ///
    /// - Throws: ``PeerUnreachable``, or `CancellationError`.
    public func connection(
        to peer: PeerID, policy: DialPolicy, candidates: [DialCandidate], ignoresBackOff: Bool = false
    ) async throws -> Link {
        try Task.checkCancellation()
        guard !self.isShutDown else { throw CancellationError() }
        self.dropEnded()
        self.lastRequest += 1
        let id = Dialing.RequestID(self.lastRequest)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                self.waiting[id] = Waiting(peer: peer, continuation: continuation)
                self.carryOut(
                    self.machine.onRequest(
                        id, peer: peer, policy: policy, candidates: candidates, ignoresBackOff: ignoresBackOff,
                        now: .now))
            }
        } onCancel: {
            // Runs after the request was made: nothing above gives the actor away.
            Task { await self.cancel(id) }
        }
    }

    /// A connection that stands and that the policy allows.
    public func standing(with peer: PeerID, policy: DialPolicy) -> Link? {
        self.dropEnded()
        return self.machine.standing(with: peer, policy).flatMap { self.standing[$0]?.link }
    }

    /// Whether somebody waits for the peer: only then do further addresses matter.
    public func isDialling(_ peer: PeerID) -> Bool { self.waiting.values.contains { $0.peer == peer } }

    /// More is known of the peer's addresses: what is under way takes them in.
    public func add(_ candidates: [DialCandidate], of peer: PeerID) {
        self.carryOut(self.machine.onCandidates(peer, candidates, now: .now))
    }

    /// The peer store was asked again, and knows these addresses of the peer and no others.
    public func replaceStored(_ candidates: [DialCandidate], of peer: PeerID) {
        self.carryOut(self.machine.onStored(peer, candidates, now: .now))
    }

    /// Whether it matters what the peer store knows of the peer: somebody waits for it, or a link stands.
    public func cares(about peer: PeerID) -> Bool {
        self.isDialling(peer) || self.standing.values.contains { $0.peer == peer }
    }

    /// A link stands that was not asked for here, such as one that the peer opened.
    public func onOpened(_ link: Link, with peer: PeerID, _ candidate: DialCandidate) {
        guard !self.isShutDown, self.operations.isOpen(link), self.names[ObjectIdentifier(link)] == nil else { return }
        let (attempt, directives) = self.machine.onOpened(peer, candidate, now: .now)
        self.keep(link, with: peer, as: attempt)
        self.carryOut(directives)
    }

    /// A link has ended.
    public func onEnded(_ link: Link) {
        if let attempt = self.names[ObjectIdentifier(link)] { self.end(attempt) }
    }

    /// Breaks off what is under way, and waits until it has ended. Links that were given to somebody stay open.
    public func shutdown() async {
        self.isShutDown = true
        self.timer?.cancel()
        for id in Array(self.waiting.keys) { self.cancel(id) }
        for attempt in Array(self.attempts.values) { await attempt.task.value }
    }

    // MARK: - Directives

    private func cancel(_ id: Dialing.RequestID) {
        guard let waiting = self.waiting.removeValue(forKey: id) else { return }
        self.carryOut(self.machine.onCancel(id, now: .now))
        self.forgetReasons(of: waiting.peer)
        waiting.continuation.resume(throwing: CancellationError())
    }

    private func carryOut(_ directives: [Dialing.Directive]) {
        for directive in directives {
            switch directive {
            case .open(let attempt, let peer, let address): self.open(attempt, peer, address)
            case .close(let attempt, let reason): self.close(attempt, reason)
            case .succeeded(let request, let attempt): self.succeed(request, attempt)
            case .failed(let request, let failure):
                guard let waiting = self.waiting.removeValue(forKey: request) else { continue }
                var error = PeerUnreachable(
                    peer: waiting.peer, failure: failure, reasons: self.reasons[waiting.peer] ?? [])
                error.wasTriedInEarnest = self.failing.contains(waiting.peer)
                self.forgetReasons(of: waiting.peer)
                waiting.continuation.resume(throwing: error)
            case .setTimer(let time): self.setTimer(time)
            }
        }
    }

    private func open(_ attempt: Dialing.AttemptID, _ peer: PeerID, _ address: Multiaddress) {
        let open = self.operations.open
        let sources = self.machine.sources(of: attempt)
        let task = Task {
            do {
                let link = try await open(peer, address, sources)
                self.connected(attempt, peer, link)
            } catch {
                self.failed(attempt, peer, address, error)
            }
        }
        self.attempts[attempt] = Attempt(peer: peer, address: address, task: task)
    }

    private func connected(_ attempt: Dialing.AttemptID, _ peer: PeerID, _ link: Link) {
        self.attempts[attempt] = nil
        // Before the machine is asked: it may say that the link is to be closed.
        self.keep(link, with: peer, as: attempt)
        self.carryOut(self.machine.onConnected(attempt, now: .now))
        // It may have ended before anybody knew of it here.
        if !self.operations.isOpen(link) { self.end(attempt) }
    }

    private func failed(
        _ attempt: Dialing.AttemptID, _ peer: PeerID, _ address: Multiaddress, _ error: any Error
    ) {
        self.attempts[attempt] = nil
        if !(error is CancellationError) { self.note("\(address): \(error)", about: peer) }
        let blame = self.operations.blame(error)
        if blame == .remote, self.isDialling(peer) { self.failing.insert(peer) }
        self.carryOut(self.machine.onFailed(attempt, blame, now: .now))
    }

    private func close(_ attempt: Dialing.AttemptID, _ reason: Dialing.CloseReason) {
        if let standing = self.standing.removeValue(forKey: attempt) {
            self.names[ObjectIdentifier(standing.link)] = nil
            self.operations.close(standing.link)
        } else if let attempt = self.attempts[attempt] {
            attempt.task.cancel()
            guard reason == .tooSlow else { return }
            self.note("\(attempt.address): no answer in time", about: attempt.peer)
            if self.isDialling(attempt.peer) { self.failing.insert(attempt.peer) }
            self.operations.onTooSlow(attempt.peer, attempt.address)
        }
    }

    private func succeed(_ request: Dialing.RequestID, _ attempt: Dialing.AttemptID) {
        guard let waiting = self.waiting.removeValue(forKey: request) else { return }
        self.forgetReasons(of: waiting.peer)
        guard let link = self.standing[attempt]?.link else {
            preconditionFailure("the machine gives what was opened and not closed")
        }
        waiting.continuation.resume(returning: link)
    }

    private func setTimer(_ time: MonotonicInstant) {
        self.timer?.cancel()
        guard !self.isShutDown else { return }
        self.timer = Task { [weak self] in
            try? await Task.sleep(for: max(.zero, time - .now))
            if !Task.isCancelled { await self?.onTimer() }
        }
    }

    private func onTimer() {
        self.carryOut(self.machine.onTimer(now: .now))
    }

    // MARK: - Links

    private func keep(_ link: Link, with peer: PeerID, as attempt: Dialing.AttemptID) {
        self.standing[attempt] = Standing(peer: peer, link: link)
        self.names[ObjectIdentifier(link)] = attempt
    }

    private func end(_ attempt: Dialing.AttemptID) {
        guard let standing = self.standing.removeValue(forKey: attempt) else { return }
        self.names[ObjectIdentifier(standing.link)] = nil
        self.machine.onClosed(attempt)
    }

    /// Links of which nobody has said yet that they ended.
    private func dropEnded() {
        for (attempt, standing) in self.standing where !self.operations.isOpen(standing.link) { self.end(attempt) }
    }

    private func note(_ reason: String, about peer: PeerID) {
        guard self.isDialling(peer) else { return }
        self.reasons[peer, default: []].append(reason)
        if self.reasons[peer, default: []].count > PeerUnreachable.maximumReasons { self.reasons[peer]?.removeFirst() }
    }

    private func forgetReasons(of peer: PeerID) {
        guard !self.isDialling(peer) else { return }
        self.reasons[peer] = nil
        self.failing.remove(peer)
    }
}
