// SPDX-License-Identifier: MIT

internal import Synchronization

/// Lets so many in at once; the others wait in the order in which they came, or are turned away.
///
/// Who waits is a connection, and those are counted: the queue is as long as the listener's connections at most.
final class Turnstile: Sendable {
    /// Being inside. Whoever holds it is; letting go of the last reference is leaving.
    final class Pass: Sendable {
        private let turnstile: Turnstile

        fileprivate init(_ turnstile: Turnstile) {
            self.turnstile = turnstile
        }

        deinit {
            self.turnstile.leave()
        }
    }

    private struct State {
        var free: Int
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state: Mutex<State>

    init(_ places: Int) {
        self.state = Mutex(State(free: places))
    }

    /// A place, or `nil` when there is none now.
    func tryEnter() -> Pass? {
        let isIn = self.state.withLock { state in
            guard state.free > 0 else { return false }
            state.free -= 1
            return true
        }
        return isIn ? Pass(self) : nil
    }

    /// A place, when one is free. Who waits comes in even when it is cancelled meanwhile: nobody stays inside for long.
    func enter() async -> Pass {
        await withCheckedContinuation { continuation in
            let isIn = self.state.withLock { state in
                guard state.free == 0 else {
                    state.free -= 1
                    return true
                }
                state.waiting.append(continuation)
                return false
            }
            if isIn { continuation.resume() }
        }
        return Pass(self)
    }

    private func leave() {
        let next: CheckedContinuation<Void, Never>? = self.state.withLock { state in
            guard !state.waiting.isEmpty else {
                state.free += 1
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}
