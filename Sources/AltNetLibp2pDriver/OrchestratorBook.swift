// SPDX-License-Identifier: MIT

internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetPeerRecords

/// The peer store of the orchestrator, as the host in this process sees it.
///
/// Asks no more at a time than the driver protocol allows; the rest waits its turn.
actor OrchestratorBook: PeerBook {
    /// The most questions and messages of news that wait for their turn: some seconds of a busy DHT. More is refused.
    static let maximumWaiting = 1_000

    private enum Reply: Sendable {
        case outcomes([NewsOutcome])
        case answer(PeerAnswer)
    }

    /// Somebody who waits, for an answer or for a turn.
    private struct Waiting<Value: Sendable> {
        let id: UInt64
        let continuation: CheckedContinuation<Value, any Error>
    }

    /// How long an answer may take, the wait for a turn included: the store answers in milliseconds, and a search has
    /// other peers to ask meanwhile.
    static let timeLimit: Duration = .seconds(30)

    private let send: @Sendable (DriverEvent) async -> Void
    private let limit: Duration
    private var nextID: UInt64 = 1
    /// Questions and news without an answer, each of which holds a turn; `nil` when nobody waits for it any more.
    private var open: [UInt64: CheckedContinuation<Reply, any Error>?] = [:]
    private var waiting: [Waiting<Void>] = []
    /// Turns that are taken: questions and news count together, so that each stays within its own limit. One is given
    /// back when its answer comes, also when nobody waits for it any more: until then it counts with the orchestrator.
    private var turns = 0
    private var isClosed = false

    init(_ orchestrator: OrchestratorConnection) {
        self.init { await orchestrator.send($0) }
    }

    init(limit: Duration = OrchestratorBook.timeLimit, send: @escaping @Sendable (DriverEvent) async -> Void) {
        self.limit = limit
        self.send = send
    }

    /// Why there is no answer.
    struct Unanswered: Error, CustomStringConvertible {
        let description: String
    }

    // MARK: - PeerBook

    func known(_ peers: [PeerID]) async throws -> [KnownPeer] {
        var known: [KnownPeer] = []
        for some in Self.questions(peers) { known += try await self.knownOnce(some) }
        return known
    }

    func handout(_ peers: [PeerID], to network: LocalNetwork?) async throws -> [PeerHandout] {
        var handouts: [PeerHandout] = []
        for some in Self.questions(peers) { handouts += try await self.handoutOnce(some, to: network) }
        return handouts
    }

    /// Peers in as many questions as the driver protocol wants.
    private static func questions(_ peers: [PeerID]) -> [[PeerID]] {
        stride(from: 0, to: peers.count, by: PeerMessageRules.maximumPeers).map {
            Array(peers[$0..<min($0 + PeerMessageRules.maximumPeers, peers.count)])
        }
    }

    private func knownOnce(_ peers: [PeerID]) async throws -> [KnownPeer] {
        switch try await self.ask({ .peerQuestion(id: $0, .known(peers)) }) {
        case .answer(.known(let known)): return known
        case .answer(.failed(let sentence)): throw Unanswered(description: sentence)
        case .answer(.handouts), .outcomes: throw Unanswered(description: "altnetd answered something else")
        }
    }

    private func handoutOnce(_ peers: [PeerID], to network: LocalNetwork?) async throws -> [PeerHandout] {
        switch try await self.ask({ .peerQuestion(id: $0, .handout(peers, to: network)) }) {
        case .answer(.handouts(let handouts)): return handouts
        case .answer(.failed(let sentence)): throw Unanswered(description: sentence)
        case .answer(.known), .outcomes: throw Unanswered(description: "altnetd answered something else")
        }
    }

    func learn(_ news: [PeerNews]) async throws -> [NewsOutcome] {
        var outcomes: [NewsOutcome] = []
        var rest = news[...]
        while !rest.isEmpty {
            let some = Array(rest.prefix(PeerMessageRules.maximumNews))
            rest = rest.dropFirst(some.count)
            guard case .outcomes(let part) = try await self.ask({ .peerNews(id: $0, some) }), part.count == some.count
            else { throw Unanswered(description: "altnetd answered something else") }
            outcomes += part
        }
        return outcomes
    }

    // MARK: - What the orchestrator says

    func heard(_ command: DriverCommand) {
        switch command {
        case .peerOutcomes(let id, let outcomes): self.resume(id, .outcomes(outcomes))
        case .peerAnswer(let id, let answer): self.resume(id, .answer(answer))
        default: break
        }
    }

    /// Nobody answers any more.
    func close() {
        self.isClosed = true
        let error = Unanswered(description: "the driver stops")
        for continuation in self.open.values { continuation?.resume(throwing: error) }
        for waiting in self.waiting { waiting.continuation.resume(throwing: error) }
        self.open = [:]
        self.waiting = []
    }

    // MARK: - Turns

    private func ask(_ event: (UInt64) -> DriverEvent) async throws -> Reply {
        let id = self.nextID
        self.nextID += 1
        let deadline = ContinuousClock.now + self.limit
        let late = Unanswered(description: "altnetd has not answered within \(self.limit)")
        let timer = Task {
            try await Task.sleep(until: deadline, clock: .continuous)
            self.giveUp(id, late)
        }
        defer { timer.cancel() }
        let message = event(id)
        return try await withTaskCancellationHandler {
            try await self.takeTurn(id)
            do {
                // Each of these may have come while we waited.
                guard !self.isClosed else { throw Unanswered(description: "the driver stops") }
                guard ContinuousClock.now < deadline else { throw late }
                try Task.checkCancellation()
            } catch {
                self.giveTurn()
                throw error
            }
            return try await withCheckedThrowingContinuation { continuation in
                self.open[id] = .some(continuation)
                Task { await self.send(message) }
            }
        } onCancel: {
            Task { await self.giveUp(id, CancellationError()) }
        }
    }

    /// Nobody waits for that answer any more.
    private func giveUp(_ id: UInt64, _ error: any Error) {
        if let index = self.waiting.firstIndex(where: { $0.id == id }) {
            self.waiting.remove(at: index).continuation.resume(throwing: error)
        } else if case .some(.some(let continuation)) = self.open[id] {
            self.open[id] = .some(nil)
            continuation.resume(throwing: error)
        }
    }

    private func resume(_ id: UInt64, _ reply: Reply) {
        guard let continuation = self.open.removeValue(forKey: id) else { return }
        self.giveTurn()
        continuation?.resume(returning: reply)
    }

    private func takeTurn(_ id: UInt64) async throws {
        try Task.checkCancellation()
        guard !self.isClosed else { throw Unanswered(description: "the driver stops") }
        guard self.turns >= PeerMessageRules.maximumOpen else {
            self.turns += 1
            return
        }
        guard self.waiting.count < Self.maximumWaiting else {
            throw Unanswered(description: "more questions about peers are waiting than altnetd answers")
        }
        // Whoever gives its turn hands it on.
        try await withCheckedThrowingContinuation {
            self.waiting.append(Waiting(id: id, continuation: $0))
        }
    }

    private func giveTurn() {
        if self.waiting.isEmpty { self.turns -= 1 } else { self.waiting.removeFirst().continuation.resume() }
    }
}
