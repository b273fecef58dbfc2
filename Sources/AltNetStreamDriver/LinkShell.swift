// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetObjects
internal import AltNetTransport
internal import Synchronization

/// Carries out what one session directs: the only place where a session meets a socket, a clock and the orchestrator.
struct LinkShell<Session: LinkSession>: Sendable {
    /// What reaches a session, in the order in which it came.
    enum Input: Sendable {
        case connection(StreamConnection.Event)
        case timer
        case request(id: UInt64, ObjectRequest)
        case answer(id: UInt64, ObjectAnswer)
        case announcement(ObjectAnnouncement)
        /// The ``StreamInbox`` has something.
        case streams
        /// The ``MessageInbox`` has something.
        case messages
        case close(DisconnectReason)
    }

    /// What the session wants the rest of the driver to know.
    enum Output: Sendable {
        case established(LinkPeer)
        case request(id: UInt64, ObjectRequest)
        case answer(id: UInt64, ObjectAnswer)
        case announcement(ObjectAnnouncement)
        case stream(StreamID, StreamMessage)
        case message([UInt8])
    }

    /// How many inputs may wait for a session. Bytes wait in the socket, and requests and answers are few by the
    /// driver protocol, so a longer queue means that the remote has stopped reading.
    static var maximumWaitingInputs: Int { 256 }
    /// A remote that takes no bytes for this long is given up.
    static var writeDeadline: Duration { .seconds(60) }

    let connection: any LinkConnection
    let inputs: AsyncStream<Input>
    let continuation: AsyncStream<Input>.Continuation
    let streams: StreamInbox
    let messages: MessageInbox
    let output: @Sendable (Output) async -> Void

    /// Runs the session to its end, and says why it ended.
    func run(_ session: inout Session) async -> DisconnectReason {
        var timer: LinkTimer?
        defer {
            timer?.cancel()
            self.connection.close()
        }
        var directives = session.onConnected(now: .now)
        // Whether nothing is being read, because the session has no room for more.
        var isPaused = true
        var iterator = self.inputs.makeAsyncIterator()
        while true {
            for directive in directives {
                switch directive {
                case .write(let bytes):
                    if let failure = await self.write(bytes) { return failure }
                case .setTimer(let moment):
                    timer?.cancel()
                    timer = self.connection.schedule(at: moment) { self.continuation.deliver(.timer) }
                case .established(let peer): await self.output(.established(peer))
                case .request(let id, let request): await self.output(.request(id: id, request))
                case .answer(let id, let answer): await self.output(.answer(id: id, answer))
                case .announcement(let announcement): await self.output(.announcement(announcement))
                case .stream(let id, let message): await self.output(.stream(id, message))
                case .message(let message): await self.output(.message(message))
                case .disconnect(let reason): return reason
                case .abort(let reason):
                    self.connection.abort()
                    return reason
                }
            }
            if isPaused, session.takesBytes {
                isPaused = false
                self.connection.readMore()
            }
            guard let input = await iterator.next() else {
                guard !Task.isCancelled else { return DisconnectReason(.requested, "the target was removed") }
                return DisconnectReason(.limitExceeded, "the remote takes nothing while more and more waits for it")
            }
            switch input {
            case .connection(.bytes(let bytes)):
                directives = session.onBytes(bytes, now: .now)
                isPaused = !session.takesBytes
                if !isPaused { self.connection.readMore() }
            case .connection(.closed(let how)): return DisconnectReason(.closed, UntrustedText(how).description)
            case .timer: directives = session.onTimer(now: .now)
            case .request(let id, let request): directives = session.onRequest(id: id, request, now: .now)
            case .answer(let id, let answer): directives = session.onAnswer(id: id, answer, now: .now)
            case .announcement(let announcement): directives = session.onAnnouncement(announcement, now: .now)
            case .streams:
                // One thing at a time, and then behind whatever else came meanwhile: objects go first.
                guard let (id, message) = self.streams.next({ self.continuation.deliver(.streams) }) else {
                    directives = []
                    continue
                }
                directives = session.onStream(id, message, now: .now)
            case .messages:
                directives = self.messages.takeAll().flatMap { session.onMessage($0, now: .now) }
            case .close(let reason): return reason
            }
        }
    }

    /// Writes, and gives up on a remote that does not read.
    private func write(_ bytes: [UInt8]) async -> DisconnectReason? {
        let deadline = self.connection.schedule(at: .now + Self.writeDeadline) { self.connection.close() }
        defer { deadline.cancel() }
        do {
            try await self.connection.write(bytes)
            return nil
        } catch {
            return DisconnectReason(.closed, UntrustedText("writing failed: \(error)").description)
        }
    }
}

/// What our side says about a link's streams and the session has not heard yet. Bytes wait here while the remote takes
/// none: at most a window for each stream, because the ends keep their credit.
final class StreamInbox: Sendable {
    private struct State {
        var queue = StreamQueue()
        /// Whether a ``LinkShell/Input/streams`` waits for the session.
        var isAnnounced = false
    }

    /// The most bytes that may wait: full windows of all streams that a link may have.
    static let maximumBytes = 2 * StreamLimits.maximumPerLink * StreamLimits.window
    /// The most streams that may wait: several times as many as a link may have, because those that are gone already
    /// still have to say so.
    static let maximumStreams = 8 * StreamLimits.maximumPerLink

    private let state = Mutex(State())

    /// Queues a message, and calls `announce` unless the session knows that there is something; `false` when there is
    /// no room for it.
    func add(_ message: StreamMessage, of id: StreamID, announce: () -> Void) -> Bool {
        let (isNew, hasRoom) = self.state.withLock { state in
            state.queue.add(message, of: id)
            defer { state.isAnnounced = true }
            let hasRoom =
                state.queue.waitingBytes <= Self.maximumBytes && state.queue.count <= Self.maximumStreams
            return (!state.isAnnounced, hasRoom)
        }
        if isNew { announce() }
        return hasRoom
    }

    /// Takes the next message, and calls `announce` when more wait.
    func next(_ announce: () -> Void) -> (id: StreamID, message: StreamMessage)? {
        let (next, isMore) = self.state.withLock { state in
            let next = state.queue.next()
            state.isAnnounced = !state.queue.isEmpty
            return (next, state.isAnnounced)
        }
        if isMore { announce() }
        return next
    }
}

/// Messages of the driver's own for a link's remote that the session has not taken yet.
final class MessageInbox: Sendable {
    private struct State {
        var waiting: [[UInt8]] = []
        var bytes = 0
    }

    /// The most messages that may wait: as many as may come at once from one side of the driver. They are unreliable by
    /// nature; a remote that does not read must not cost more.
    static let maximumWaiting = 256
    /// The most bytes that may wait: 64 of the longest replies.
    static let maximumBytes = 64 * 65_535

    private let state = Mutex(State())

    /// Whether another message would find room.
    var hasRoom: Bool { self.state.withLock { Self.hasRoom($0) } }

    /// Queues a message, and calls `announce` if none waited; `false` when there is no room for it.
    func add(_ message: [UInt8], announce: () -> Void) -> Bool {
        let (isFirst, hasRoom) = self.state.withLock { state in
            guard Self.hasRoom(state) else { return (false, false) }
            state.waiting.append(message)
            state.bytes += message.count
            return (state.waiting.count == 1, true)
        }
        if isFirst { announce() }
        return hasRoom
    }

    /// Takes what waits.
    func takeAll() -> [[UInt8]] {
        self.state.withLock { state in
            defer { state = State() }
            return state.waiting
        }
    }

    private static func hasRoom(_ state: State) -> Bool {
        state.waiting.count < Self.maximumWaiting && state.bytes < Self.maximumBytes
    }
}

extension AsyncStream.Continuation where Element: Sendable {
    /// Queues an input, or ends the queue when it is full: to lose one would leave a session with half a message.
    func deliver(_ input: Element) {
        if case .dropped = self.yield(input) { self.finish() }
    }
}
