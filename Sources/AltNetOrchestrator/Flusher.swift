// SPDX-License-Identifier: MIT

internal import AltNetStore
internal import Dispatch
internal import Synchronization

/// Brings the header file to the disk on a thread of its own: one flush for all that was written meanwhile.
final class Flusher: Sendable {
    private struct State {
        var isRunning = false
        var waiting: [CheckedContinuation<StoreError?, Never>] = []
        var isWanted = false
    }

    private let synchronizer: HeaderStore.Synchronizer
    private let onFailure: @Sendable (StoreError) -> Void
    private let queue = DispatchQueue(label: "header store flush")
    private let state = Mutex(State())

    /// - Parameter onFailure: called when the disk refuses; what it holds is not known from then on.
    init(_ synchronizer: HeaderStore.Synchronizer, onFailure: @escaping @Sendable (StoreError) -> Void) {
        self.synchronizer = synchronizer
        self.onFailure = onFailure
    }

    /// Flushes soon, without anybody waiting.
    func requestFlush() {
        self.start { $0.isWanted = true }
    }

    /// Returns when all that was written before the call is on the disk.
    func flush() async throws(StoreError) {
        let failure = await withCheckedContinuation { continuation in
            self.start { $0.waiting.append(continuation) }
        }
        if let failure { throw failure }
    }

    private func start(_ change: (inout State) -> Void) {
        let mustStart = self.state.withLock { state in
            change(&state)
            guard !state.isRunning else { return false }
            state.isRunning = true
            return true
        }
        if mustStart { self.queue.async { self.work() } }
    }

    private func work() {
        while true {
            let waiting = self.state.withLock { state -> [CheckedContinuation<StoreError?, Never>]? in
                guard state.isWanted || !state.waiting.isEmpty else {
                    state.isRunning = false
                    return nil
                }
                defer {
                    state.isWanted = false
                    state.waiting = []
                }
                return state.waiting
            }
            guard let waiting else { return }
            var failure: StoreError?
            do throws(StoreError) { try self.synchronizer.synchronize() } catch { failure = error }
            if let failure { self.onFailure(failure) }
            for continuation in waiting { continuation.resume(returning: failure) }
        }
    }
}
