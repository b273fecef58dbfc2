// SPDX-License-Identifier: MIT

public import AltNetDriverProtocol
public import AltNetPeerRecords

/// The peer store of the orchestrator, as a driver sees it. Only for drivers whose capabilities name peers.
///
/// Asks no more at a time than the driver protocol allows; the rest waits its turn.
public actor OrchestratorBook: PeerBook {
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
    public static let timeLimit: Duration = .seconds(30)

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

    public init(_ orchestrator: OrchestratorConnection) {
        self.init { await orchestrator.send($0) }
    }

    /// - Parameter send: takes questions and news; the answers come back through ``heard(_:)``.
    public init(limit: Duration = OrchestratorBook.timeLimit, send: @escaping @Sendable (DriverEvent) async -> Void) {
        self.limit = limit
        self.send = send
    }

    /// Why there is no answer.
    public struct Unanswered: Error, CustomStringConvertible {
        public let description: String
    }

    // MARK: - PeerBook

    public func known(_ peers: [PeerID]) async throws -> [KnownPeer] {
        var known: [KnownPeer] = []
        for some in Self.questions(peers) { known += try await self.knownOnce(some) }
        return known
    }

    public func signedPeerRecords(of peers: [PeerID], to network: LocalNetwork?) async throws -> [PeerHandout] {
        var handouts: [PeerHandout] = []
        for some in Self.questions(peers) { handouts += try await self.handoutOnce(some, to: network) }
        return handouts
    }

    /// What is known of those peers' Bitcoin and Lightning nodes; those of which nothing is known are missing.
    public func nodes(of peers: [PeerID]) async throws -> [KnownPeer] {
        var known: [KnownPeer] = []
        for some in Self.questions(peers) { known += try await self.nodesOnce(some) }
        return known
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
        case .answer(.handouts), .answer(.nodes), .outcomes:
            throw Unanswered(description: "altnetd answered something else")
        }
    }

    private func handoutOnce(_ peers: [PeerID], to network: LocalNetwork?) async throws -> [PeerHandout] {
        switch try await self.ask({ .peerQuestion(id: $0, .handout(peers, to: network)) }) {
        case .answer(.handouts(let handouts)): return handouts
        case .answer(.failed(let sentence)): throw Unanswered(description: sentence)
        case .answer(.known), .answer(.nodes), .outcomes:
            throw Unanswered(description: "altnetd answered something else")
        }
    }

    private func nodesOnce(_ peers: [PeerID]) async throws -> [KnownPeer] {
        switch try await self.ask({ .peerQuestion(id: $0, .nodes(peers)) }) {
        case .answer(.nodes(let known)): return known
        case .answer(.failed(let sentence)): throw Unanswered(description: sentence)
        case .answer(.known), .answer(.handouts), .outcomes:
            throw Unanswered(description: "altnetd answered something else")
        }
    }

    public func learn(_ news: [PeerNews]) async throws -> [NewsOutcome] {
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

    /// Takes the answers; other commands are passed over.
    public func heard(_ command: DriverCommand) {
        switch command {
        case .peerOutcomes(let id, let outcomes): self.resume(id, .outcomes(outcomes))
        case .peerAnswer(let id, let answer): self.resume(id, .answer(answer))
        default: break
        }
    }

    /// Nobody answers any more.
    public func close() {
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
