// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLibp2p
internal import AltNetTransport
internal import Synchronization

extension LinkCore {
    /// Opens a stream and waits for its protocol.
    func open(protocols: [String]) async throws -> (Libp2pStreamID, String) {
        let opening = Mutex<Libp2pStreamID?>(nil)
        let name = try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<String, any Error>) in
                self.locked { state in
                    guard state.failure == nil else {
                        return state.wake(continuation, .failure(StreamRefusal.notConnected))
                    }
                    guard !Task.isCancelled else { return state.wake(continuation, .failure(CancellationError())) }
                    do throws(StreamRefusal) {
                        let (id, directives) = try state.machine.open(protocols: protocols, now: .now)
                        state.openers[id] = continuation
                        opening.withLock { $0 = id }
                        self.perform(directives, &state)
                    } catch {
                        state.wake(continuation, .failure(error))
                    }
                }
            }
        } onCancel: {
            self.run { state in
                guard let id = opening.withLock({ $0 }), let opener = state.openers.removeValue(forKey: id) else {
                    return []
                }
                state.wake(opener, .failure(CancellationError()))
                return state.machine.reset(id, now: .now)
            }
        }
        guard let id = opening.withLock({ $0 }) else { throw StreamRefusal.notConnected }
        return (id, name)
    }

    /// The next bytes; `nil` at the end.
    func read(_ id: Libp2pStreamID) async throws -> [UInt8]? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<[UInt8]?, any Error>) in
                self.locked { state in
                    guard state.streams[id] != nil else {
                        return state.wake(continuation, .failure(StreamReset.byUs))
                    }
                    if let failure = state.streams[id]?.failure { return state.wake(continuation, .failure(failure)) }
                    guard !Task.isCancelled else { return state.wake(continuation, .failure(CancellationError())) }
                    // Where it is; see `deliver`.
                    if let chunk = state.streams[id]?.take() {
                        state.wake(continuation, .success(chunk))
                        guard state.failure == nil else { return }
                        self.perform(state.machine.consumed(chunk.count, on: id, now: .now), &state)
                    } else if state.streams[id]?.isEnded == true {
                        state.wake(continuation, .success(nil))
                    } else {
                        precondition(state.streams[id]?.reader == nil, "one reader at a time")
                        state.streams[id]?.reader = continuation
                    }
                }
            }
        } onCancel: {
            self.locked { state in
                state.wake(state.streams[id]?.reader, .failure(CancellationError()))
                state.streams[id]?.reader = nil
            }
        }
    }

    /// Sends a piece, and waits until it is on its way.
    func write(_ piece: [UInt8], to id: Libp2pStreamID) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                self.locked { state in
                    guard let stream = state.streams[id], !stream.isWriteEnded else {
                        return state.wake(continuation, .failure(StreamReset.byUs))
                    }
                    if let failure = stream.failure { return state.wake(continuation, .failure(failure)) }
                    guard !Task.isCancelled else { return state.wake(continuation, .failure(CancellationError())) }
                    precondition(stream.writer == nil, "one writer at a time")
                    state.streams[id]?.writer = continuation
                    guard state.queued < Self.congestion else {
                        return state.parked.append(Parked(stream: id, bytes: piece))
                    }
                    self.perform(state.machine.send(piece, on: id, now: .now), &state)
                }
            }
        } onCancel: {
            // A piece of which a part may be on its way cannot be taken back: the stream is of no use any more.
            self.run { state in
                guard let writer = state.streams[id]?.writer else { return [] }
                state.streams[id]?.writer = nil
                state.streams[id]?.failure = .byUs
                state.parked.removeAll { $0.stream == id }
                state.wake(writer, .failure(CancellationError()))
                return state.machine.reset(id, now: .now)
            }
        }
    }

    func closeWrite(_ id: Libp2pStreamID) {
        self.run { state in
            guard let stream = state.streams[id], stream.failure == nil, !stream.isWriteEnded else { return [] }
            state.streams[id]?.isWriteEnded = true
            return state.machine.closeWrite(id, now: .now)
        }
    }

    func reset(_ id: Libp2pStreamID) {
        self.run { state in
            guard let stream = state.streams[id], stream.failure == nil else { return [] }
            state.parked.removeAll { $0.stream == id }
            state.wake(stream.reader, .failure(StreamReset.byUs))
            state.wake(stream.writer, .failure(StreamReset.byUs))
            state.streams[id]?.reader = nil
            state.streams[id]?.writer = nil
            state.streams[id]?.chunks = []
            state.streams[id]?.head = 0
            state.streams[id]?.failure = .byUs
            return state.machine.reset(id, now: .now)
        }
    }

    /// Nobody holds the stream any more. One that we have ended properly is drained, so that what we sent arrives; any
    /// other is reset.
    func abandon(_ id: Libp2pStreamID) {
        self.locked { state in
            guard let stream = state.streams[id] else { return }
            guard state.failure == nil, stream.failure == nil else { return state.streams[id] = nil }
            if stream.isWriteEnded, !stream.isEnded {
                let unread = stream.chunks[stream.head...].reduce(0) { $0 + $1.count }
                state.streams[id]?.chunks = []
                state.streams[id]?.head = 0
                state.streams[id]?.drain = Self.maximumDrained
                self.perform(state.machine.consumed(unread, on: id, now: .now), &state)
                _ = state.connection?.schedule(at: .now + Self.drainTime) { [weak self] in self?.endDrain(id) }
            } else {
                // Also frees what nobody has read of a stream that both sides have ended.
                state.streams[id] = nil
                self.perform(state.machine.reset(id, now: .now), &state)
            }
        }
    }

    private func endDrain(_ id: Libp2pStreamID) {
        self.run { state in
            guard state.streams.removeValue(forKey: id) != nil else { return [] }
            return state.machine.reset(id, now: .now)
        }
    }
}
