// SPDX-License-Identifier: MIT

internal import AltNetDriverKit
internal import AltNetDriverProtocol
internal import AltNetPeerRecords

/// The peer store of the orchestrator, as the host in this process sees it.
///
/// Asks no more at a time than the driver protocol allows; the rest waits its turn.
actor OrchestratorBook: PeerBook {
    /// The most questions and messages of news that wait for their turn: some seconds of a busy DHT. More is refused.
    private static let maximumWaiting = 1_000

    private enum Reply: Sendable {
        case outcomes([NewsOutcome])
        case answer(PeerAnswer)
    }

    private let orchestrator: OrchestratorConnection
    private var nextID: UInt64 = 1
    private var open: [UInt64: CheckedContinuation<Reply, any Error>] = [:]
    private var waiting: [CheckedContinuation<Void, any Error>] = []
    /// Turns that are taken: questions and news count together, so that each stays within its own limit.
    private var turns = 0
    private var isClosed = false

    init(_ orchestrator: OrchestratorConnection) {
        self.orchestrator = orchestrator
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
        for continuation in self.open.values { continuation.resume(throwing: error) }
        for continuation in self.waiting { continuation.resume(throwing: error) }
        self.open = [:]
        self.waiting = []
    }

    // MARK: - Turns

    private func ask(_ event: (UInt64) -> DriverEvent) async throws -> Reply {
        try await self.takeTurn()
        defer { self.giveTurn() }
        // Closing may have come while we waited.
        guard !self.isClosed else { throw Unanswered(description: "the driver stops") }
        let id = self.nextID
        self.nextID += 1
        let message = event(id)
        return try await withCheckedThrowingContinuation { continuation in
            self.open[id] = continuation
            Task { await self.orchestrator.send(message) }
        }
    }

    private func resume(_ id: UInt64, _ reply: Reply) {
        self.open.removeValue(forKey: id)?.resume(returning: reply)
    }

    private func takeTurn() async throws {
        guard !self.isClosed else { throw Unanswered(description: "the driver stops") }
        guard self.turns >= PeerMessageRules.maximumOpen else {
            self.turns += 1
            return
        }
        guard self.waiting.count < Self.maximumWaiting else {
            throw Unanswered(description: "more questions about peers are waiting than altnetd answers")
        }
        // Whoever gives its turn hands it on.
        try await withCheckedThrowingContinuation { self.waiting.append($0) }
    }

    private func giveTurn() {
        if self.waiting.isEmpty { self.turns -= 1 } else { self.waiting.removeFirst().resume() }
    }
}
