// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetPeerRecords
internal import Dispatch
internal import Synchronization

/// A peer store as hosts see it: calls wait without holding up others, and news that comes at the same time is written in
/// one transaction.
///
/// Nobody has to wait for a full queue: what would not fit is refused at once, by name.
public final class StoredPeerBook: PeerBook {
    /// The most pieces of news that wait to be written: a second's work of the store. More is refused.
    public static let maximumWaiting = 8_000
    /// The most questions that wait to be answered: each takes a few milliseconds at worst.
    public static let maximumQuestions = 1_000

    private struct Waiting {
        let news: [PeerNews]
        let answer: CheckedContinuation<[NewsOutcome], any Error>
    }

    private struct State {
        /// In the order in which it came.
        var news: [Waiting] = []
        var waiting = 0
        var questions = 0
    }

    private let store: any PeerStoring
    private let now: @Sendable () -> WallClockTime
    private let state = Mutex(State())
    /// SQLite waits for the disk, so that it gets a thread of its own.
    private let queue = DispatchQueue(label: "altnet.peers")

    /// - Parameter now: the calendar's clock.
    public init(store: any PeerStoring, now: @escaping @Sendable () -> WallClockTime) {
        self.store = store
        self.now = now
    }

    /// Pieces of news that were not written yet.
    var waiting: Int { self.state.withLock { $0.waiting } }

    // MARK: - PeerBook

    public func known(_ peers: [PeerID]) async throws -> [KnownPeer] {
        try await self.ask { store, now in try store.known(peers, now: now) }
    }

    public func signedPeerRecords(of peers: [PeerID], to network: LocalNetwork?) async throws -> [PeerHandout] {
        try await self.ask { store, now in try store.signedPeerRecords(of: peers, to: network, now: now) }
    }

    public func learn(_ news: [PeerNews]) async throws -> [NewsOutcome] {
        guard !news.isEmpty else { return [] }
        guard news.count <= PeerBookLimits.maximumNews else {
            throw PeerStoreError(
                .tooMuch, "\(news.count) pieces of news at once are more than \(PeerBookLimits.maximumNews)")
        }
        return try await withCheckedThrowingContinuation { continuation in
            let isFirst: Bool? = self.state.withLock { state in
                guard state.waiting + news.count <= Self.maximumWaiting else { return nil }
                state.waiting += news.count
                state.news.append(Waiting(news: news, answer: continuation))
                return state.news.count == 1
            }
            switch isFirst {
            case nil:
                let refusal = PeerNewsRefusal(.overloaded, "more news of peers is waiting than the store takes in")
                continuation.resume(returning: Array(repeating: .refused(refusal), count: news.count))
            // Whoever comes while the queue works on something else joins.
            case true?: self.queue.async { self.write() }
            case false?: break
            }
        }
    }

    // MARK: - For the operator

    /// Runs a call on the store's own thread, after what came before it.
    public func ask<Answer: Sendable>(
        _ question: @escaping @Sendable (any PeerStoring, WallClockTime) throws -> Answer
    ) async throws -> Answer {
        let isIn = self.state.withLock { state in
            guard state.questions < Self.maximumQuestions else { return false }
            state.questions += 1
            return true
        }
        guard isIn else {
            throw PeerStoreError(.overloaded, "more questions about peers are waiting than the store can answer")
        }
        return try await withCheckedThrowingContinuation { continuation in
            self.queue.async {
                let answer = Result { try question(self.store, self.now()) }
                self.state.withLock { $0.questions -= 1 }
                continuation.resume(with: answer)
            }
        }
    }

    // MARK: - On the queue

    /// Takes what waits, in transactions of at most ``PeerBookLimits/maximumNews``.
    private func write() {
        let waiting = self.state.withLock { state in
            defer { state.news = [] }
            return state.news
        }
        var rest = waiting[...]
        while !rest.isEmpty {
            var size = 0
            let batch = rest.prefix { item in
                size += item.news.count
                return size <= PeerBookLimits.maximumNews
            }
            rest = rest.dropFirst(batch.count)
            self.write(Array(batch))
        }
    }

    private func write(_ batch: [Waiting]) {
        let result = Result { try self.store.learn(batch.flatMap(\.news), now: self.now()) }
        self.state.withLock { $0.waiting -= batch.reduce(0) { $0 + $1.news.count } }
        switch result {
        case .success(let outcomes):
            var rest = outcomes[...]
            for item in batch {
                item.answer.resume(returning: Array(rest.prefix(item.news.count)))
                rest = rest.dropFirst(item.news.count)
            }
        case .failure(let error):
            for item in batch { item.answer.resume(throwing: error) }
        }
    }
}
