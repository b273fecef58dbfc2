// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetLibp2p
internal import AltNetPeerRecords
internal import AltNetTransport
internal import Synchronization

/// One socket with its ``Libp2pConnection``: the only place where the machine meets bytes, a clock and readers that wait.
///
/// Everything happens under one lock, in the order of the machine's directives; nothing under the lock waits. What is
/// the host's business leaves through ``events``. Tasks that wait are resumed when the lock is free again: resuming takes
/// a lock of the task, and whoever cancels the task holds that one while it waits for ours.
final class LinkCore: Sendable {
    enum Event: Sendable {
        case secured(PeerID, PeerPublicKey)
        case established
        case accepted(Libp2pStreamID, protocolName: String)
        /// Always the last.
        case closed(LinkFailure)
    }

    /// Bytes that wait for the socket before streams have to wait, too.
    static let congestion = 128 * 1_024
    /// Bytes that wait for the socket before the connection is given up. Streams wait long before; what is left are
    /// answers to a remote that asks and does not read.
    static let maximumQueued = 1_024 * 1_024
    /// How long the other side may take to end a stream that nobody reads any more.
    static let drainTime: Duration = .seconds(30)
    /// Bytes that are read and dropped of such a stream.
    static let maximumDrained = 256 * 1_024
    /// Bytes up to which small pieces that nobody has read yet are put together: each piece costs some dozen bytes beside
    /// what is in it, and the other side chooses how small they are.
    static let chunkSize = 16 * 1_024

    struct StreamState {
        var chunks: [[UInt8]] = []
        /// The first of `chunks` that has not been read.
        var head = 0
        var isEnded = false
        var isWriteEnded = false
        var failure: StreamReset?
        var reader: CheckedContinuation<[UInt8]?, any Error>?
        var writer: CheckedContinuation<Void, any Error>?
        /// `nil` while somebody may read; otherwise how many bytes may still be dropped.
        var drain: Int?

        /// Puts bytes behind those that nobody has read yet.
        mutating func keep(_ bytes: [UInt8]) {
            let last = self.chunks.count - 1
            if last >= self.head, self.chunks[last].count + bytes.count <= LinkCore.chunkSize {
                self.chunks[last] += bytes
            } else {
                self.chunks.append(bytes)
            }
        }

        /// Takes the first piece that nobody has read yet.
        mutating func take() -> [UInt8]? {
            guard self.head < self.chunks.count else { return nil }
            var chunk: [UInt8] = []
            swap(&chunk, &self.chunks[self.head])
            self.head += 1
            // Now and then, so that each piece is moved once on average, and what was read is not kept.
            if self.head * 2 >= self.chunks.count {
                self.chunks.removeFirst(self.head)
                self.head = 0
            }
            return chunk
        }
    }

    /// A piece that waits for the socket to take what was written before.
    struct Parked {
        let stream: Libp2pStreamID
        let bytes: [UInt8]
    }

    struct State {
        var machine: Libp2pConnection
        var connection: StreamConnection?
        /// The other end of the socket.
        var socket: Multiaddress?
        var streams: [Libp2pStreamID: StreamState] = [:]
        /// Who waits for the protocol of a stream that it opened.
        var openers: [Libp2pStreamID: CheckedContinuation<String, any Error>] = [:]
        var timer: LinkTimer?
        var queued = 0
        /// When the socket last took something; looked at while something is queued.
        var lastTaken = MonotonicInstant.zero
        var isWatched = false
        var parked: [Parked] = []
        var failure: LinkFailure?
        /// What is done when the lock is free again.
        var wakeUps: [@Sendable () -> Void] = []

        /// Resumes a task when the lock is free again.
        mutating func wake<Value: Sendable, Failure: Error>(
            _ waiting: CheckedContinuation<Value, Failure>?, _ result: Result<Value, Failure>
        ) {
            guard let waiting else { return }
            self.wakeUps.append { waiting.resume(with: result) }
        }
    }

    let role: Libp2pConnection.Role
    /// How long the other side may take no bytes while some wait for it.
    private let writeTimeout: Duration
    let events: AsyncStream<Event>
    private let continuation: AsyncStream<Event>.Continuation
    private let state: Mutex<State>
    private let lastHeardNanoseconds = Atomic(MonotonicInstant.now.nanoseconds)

    init(_ configuration: Libp2pConnection.Configuration, entropy: NoiseEntropy, writeTimeout: Duration) {
        self.role = configuration.role
        self.writeTimeout = writeTimeout
        // Bounded by the machine: two for the handshake, one for the end, and one for each stream, of which so many may
        // be opened a second and no more.
        (self.events, self.continuation) = AsyncStream.makeStream()
        self.state = Mutex(State(machine: Libp2pConnection(configuration, entropy: entropy, now: .now)))
    }

    /// The other end of the socket; `nil` before there is one.
    var socket: Multiaddress? { self.locked { $0.socket } }

    /// When something came last. Without the lock: the host asks while it holds its own.
    var lastHeard: MonotonicInstant {
        MonotonicInstant(nanoseconds: self.lastHeardNanoseconds.load(ordering: .relaxed))
    }

    /// Takes the lock, and then wakes up who has to be.
    func locked<Value: Sendable, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        let (result, wakeUps) = self.state.withLock { state -> (Result<Value, Failure>, [@Sendable () -> Void]) in
            let result = Result { () throws(Failure) in try body(&state) }
            defer { state.wakeUps = [] }
            return (result, state.wakeUps)
        }
        for wakeUp in wakeUps { wakeUp() }
        return try result.get()
    }

    // MARK: The socket

    /// Takes over a connection.
    func start(on connection: StreamConnection) {
        self.locked { state in
            guard state.failure == nil else { return connection.enqueueClose() }
            state.connection = connection
            state.socket = connection.socket.flatMap { SocketTarget.multiaddress($0) }
            self.perform(state.machine.start(now: .now), &state)
        }
        connection.readMore()
    }

    /// What the socket says; called on its event loop.
    func onSocket(_ event: StreamConnection.Event) {
        switch event {
        case .bytes(let bytes):
            self.lastHeardNanoseconds.store(MonotonicInstant.now.nanoseconds, ordering: .relaxed)
            let connection = self.locked { state -> StreamConnection? in
                guard state.failure == nil else { return nil }
                self.perform(state.machine.onBytes(bytes, now: .now), &state)
                return state.connection
            }
            connection?.readMore()
        case .closed(let reason):
            // Expected, when it has said so before.
            self.locked { self.end($0.machine.isLeaving ? .connection(.goneAway(code: 0)) : .network(reason), &$0) }
        }
    }

    /// Ends the connection in good order.
    func close(_ reason: LinkFailure = .connection(.requested)) {
        self.locked { state in
            guard state.failure == nil else { return }
            for case .write(let bytes) in state.machine.close(now: .now) { self.write(bytes, &state) }
            self.end(reason, &state)
        }
    }

    /// Runs the machine, then does what it says.
    func run<Failure: Error>(
        _ body: (inout State) throws(Failure) -> [Libp2pConnection.Directive]
    ) throws(Failure) {
        try self.locked { (state) throws(Failure) in
            guard state.failure == nil else { return }
            self.perform(try body(&state), &state)
        }
    }

    func perform(_ directives: [Libp2pConnection.Directive], _ state: inout State) {
        var queue = directives[...]
        while let directive = queue.popFirst() {
            switch directive {
            case .write(let bytes): self.write(bytes, &state)
            case .setTimer(let moment):
                state.timer?.cancel()
                state.timer = state.connection?.schedule(at: moment) { [weak self] in
                    self?.run { $0.machine.onTimer(now: .now) }
                }
            case .secured(let peer, let key): self.continuation.yield(.secured(peer, key))
            case .established: self.continuation.yield(.established)
            case .alive: break
            case .opened(let id, let name):
                state.streams[id] = StreamState()
                state.wake(state.openers.removeValue(forKey: id), .success(name))
            case .accepted(let id, let name):
                state.streams[id] = StreamState()
                self.continuation.yield(.accepted(id, protocolName: name))
            case .refused(let id, let reason):
                state.wake(state.openers.removeValue(forKey: id), .failure(reason))
            case .data(let id, let bytes): queue += self.deliver(bytes, to: id, &state)
            case .ended(let id): self.onEnd(id, &state)
            case .reset(let id, let reason): self.onReset(id, reason, &state)
            case .writable(let id):
                state.wake(state.streams[id]?.writer, .success(()))
                state.streams[id]?.writer = nil
            case .closed(let reason): self.end(.connection(reason), &state)
            }
        }
    }

    private func write(_ bytes: [UInt8], _ state: inout State) {
        guard state.failure == nil, let connection = state.connection else { return }
        state.queued += bytes.count
        guard state.queued <= Self.maximumQueued else { return self.end(.takesNothing, &state) }
        let count = bytes.count
        if state.queued == count { state.lastTaken = .now }
        self.watch(&state)
        connection.enqueue(bytes) { [weak self] in self?.onTaken(count) }
    }

    /// Looks again when the other side has had its time.
    private func watch(_ state: inout State) {
        guard !state.isWatched, let connection = state.connection else { return }
        state.isWatched = true
        _ = connection.schedule(at: state.lastTaken + self.writeTimeout) { [weak self] in self?.checkProgress() }
    }

    private func checkProgress() {
        self.locked { state in
            state.isWatched = false
            guard state.failure == nil, state.queued > 0 else { return }
            if MonotonicInstant.now < state.lastTaken + self.writeTimeout {
                self.watch(&state)
            } else {
                self.end(.takesNothing, &state)
            }
        }
    }

    private func onTaken(_ count: Int) {
        self.locked { state in
            state.queued -= count
            state.lastTaken = .now
            while state.failure == nil, state.queued < Self.congestion, !state.parked.isEmpty {
                let next = state.parked.removeFirst()
                self.perform(state.machine.send(next.bytes, on: next.stream, now: .now), &state)
            }
        }
    }

    private func end(_ reason: LinkFailure, _ state: inout State) {
        guard state.failure == nil else { return }
        state.failure = reason
        state.timer?.cancel()
        state.timer = nil
        state.parked = []
        for id in Array(state.streams.keys) { self.onReset(id, .connectionClosed, &state) }
        for opener in state.openers.values { state.wake(opener, .failure(StreamReset.connectionClosed)) }
        state.openers = [:]
        state.connection?.enqueueClose(abort: reason == .takesNothing)
        self.continuation.yield(.closed(reason))
        self.continuation.finish()
    }

    // MARK: Streams

    /// Gives bytes to who waits for them, or keeps them.
    private func deliver(
        _ bytes: [UInt8], to id: Libp2pStreamID, _ state: inout State
    ) -> [Libp2pConnection.Directive] {
        guard state.streams[id] != nil else { return [] }
        if let room = state.streams[id]?.drain {
            guard bytes.count <= room else {
                state.streams[id] = nil
                return state.machine.reset(id, now: .now)
            }
            state.streams[id]?.drain = room - bytes.count
            return state.machine.consumed(bytes.count, on: id, now: .now)
        }
        if let reader = state.streams[id]?.reader {
            state.streams[id]?.reader = nil
            state.wake(reader, .success(bytes))
            return state.machine.consumed(bytes.count, on: id, now: .now)
        }
        // Where it is: a copy of the stream would make this one copy all that is unread, for each frame.
        state.streams[id]?.keep(bytes)
        return []
    }

    private func onEnd(_ id: Libp2pStreamID, _ state: inout State) {
        state.streams[id]?.isEnded = true
        state.wake(state.streams[id]?.reader, .success(nil))
        state.streams[id]?.reader = nil
        if state.streams[id]?.drain != nil { state.streams[id] = nil }
    }

    private func onReset(_ id: Libp2pStreamID, _ reason: StreamReset, _ state: inout State) {
        guard var stream = state.streams[id] else { return }
        state.parked.removeAll { $0.stream == id }
        state.wake(stream.reader, .failure(reason))
        state.wake(stream.writer, .failure(reason))
        stream.reader = nil
        stream.writer = nil
        stream.chunks = []
        stream.head = 0
        stream.failure = reason
        state.streams[id] = stream.drain == nil ? stream : nil
    }
}
