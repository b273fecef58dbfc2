// SPDX-License-Identifier: MIT

internal import Synchronization

/// Lets a few callers in at a time; some wait in order, and further ones are turned away.
final class CallGate: Sendable {
    /// Too many wait already.
    struct Full: Error {}

    private struct State {
        var free: Int
        var nextID: UInt64 = 0
        var waiting: [(id: UInt64, continuation: CheckedContinuation<Void, any Error>)] = []
    }

    private let maximumWaiting: Int
    private let state: Mutex<State>

    init(inside: Int, waiting: Int) {
        self.maximumWaiting = waiting
        self.state = Mutex(State(free: inside))
    }

    /// Does the work once there is room. Throws ``Full``, or `CancellationError` when cancelled while waiting.
    func pass<Value: Sendable>(_ work: () async throws -> Value) async throws -> Value {
        try await self.enter()
        defer { self.leave() }
        return try await work()
    }

    private func enter() async throws {
        let id = self.state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let outcome: Result<Void, any Error>? = self.state.withLock { state in
                    // The handler below may have run before we got here, and finds nothing to do then.
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if state.free > 0 {
                        state.free -= 1
                        return .success(())
                    }
                    guard state.waiting.count < self.maximumWaiting else { return .failure(Full()) }
                    state.waiting.append((id, continuation))
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let continuation = self.state.withLock { state -> CheckedContinuation<Void, any Error>? in
                state.waiting.firstIndex { $0.id == id }.map { state.waiting.remove(at: $0).continuation }
            }
            continuation?.resume(throwing: CancellationError())
        }
    }

    private func leave() {
        let next = self.state.withLock { state -> CheckedContinuation<Void, any Error>? in
            guard !state.waiting.isEmpty else {
                state.free += 1
                return nil
            }
            return state.waiting.removeFirst().continuation
        }
        next?.resume()
    }
}
