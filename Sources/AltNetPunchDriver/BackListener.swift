// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetHolePunch
internal import AltNetTransport
internal import Synchronization

/// Waits at a local port for the connections that witnesses were asked for, while a check lasts.
final class BackListener: Sendable {
    /// Connections that are looked at in the life of one listener: one for each witness, and some of strangers.
    private static let maximumConnections = 32
    /// Bytes of one connection that are looked at: a `version` message with the longest user agent.
    private static let maximumBytes = 512
    /// How long a connection may take to say who it is.
    private static let patience: Duration = .seconds(5)
    /// How long a witness has for its connection, from its answer on: one SYN, which it gives a second, and a slow network.
    static let wait: Duration = .seconds(3)

    private struct State {
        var questions: [Int: NATQuestion] = [:]
        var reached: Set<Int> = []
        var waiting: [Int: AsyncStream<Void>.Continuation] = [:]
        var connections = 0
    }

    private let state = Mutex(State())

    /// Listens until the returned listener is closed.
    func listen(at port: ReusedPort) async throws -> StreamListener {
        try await StreamNetwork().listen(at: port) {
            let (events, continuation) = AsyncStream.makeStream(
                of: StreamConnection.Event.self, bufferingPolicy: .bufferingOldest(Self.maximumBytes))
            return (
                onEvent: { continuation.yield($0) },
                onConnection: { connection in
                    guard self.takesOne() else { return connection.abort() }
                    Task { await self.read(connection, events, continuation) }
                }
            )
        }
    }

    /// Lets the witness of a question be known when it comes.
    func expect(_ question: NATQuestion, id: Int) {
        self.state.withLock { $0.questions[id] = question }
    }

    /// Whether the witness of a question has come, now or soon.
    func hasCome(_ id: Int) async -> Bool {
        let (arrivals, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingOldest(1))
        let isThere = self.state.withLock { state in
            state.waiting[id] = continuation
            return state.reached.contains(id)
        }
        guard !isThere else { return true }
        return await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                for await _ in arrivals { return true }
                return false
            }
            group.addTask {
                try? await Task.sleep(for: Self.wait)
                return false
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
    }

    private func takesOne() -> Bool {
        self.state.withLock { state in
            state.connections += 1
            return state.connections <= Self.maximumConnections
        }
    }

    private func read(
        _ connection: StreamConnection, _ events: AsyncStream<StreamConnection.Event>,
        _ continuation: AsyncStream<StreamConnection.Event>.Continuation
    ) async {
        let timer = connection.schedule(at: .now + Self.patience) { continuation.finish() }
        defer {
            timer.cancel()
            connection.close()
        }
        var bytes: [UInt8] = []
        connection.readMore()
        for await event in events {
            guard case .bytes(let more) = event else { return }
            bytes += more
            if self.recognise(bytes) || bytes.count > Self.maximumBytes { return }
            connection.readMore()
        }
    }

    /// Whether these first bytes are a witness's, or nobody's that is expected.
    private func recognise(_ bytes: [UInt8]) -> Bool {
        self.state.withLock { state in
            var isUndecided = false
            for (id, question) in state.questions {
                switch question.isBack(bytes) {
                case true?:
                    state.reached.insert(id)
                    state.waiting[id]?.yield()
                    return true
                case false?: break
                case nil: isUndecided = true
                }
            }
            return !isUndecided
        }
    }
}
