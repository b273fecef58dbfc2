// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetTransport
internal import Synchronization

/// One I2P stream, as a session's shell sees any connection.
public final class SAMStream: LinkConnection {
    /// The other side, by its `.b32.i2p` name.
    public var remote: String { self.peer.description }
    public let peer: I2PAddress

    private let socket: SAMSocket

    init(socket: SAMSocket, peer: I2PAddress) {
        self.socket = socket
        self.peer = peer
    }

    public func readMore() { self.socket.readMore() }

    public func write(_ bytes: [UInt8]) async throws { try await self.socket.connection.write(bytes) }

    /// See ``StreamConnection/enqueue(_:onTaken:)``.
    public func enqueue(_ bytes: [UInt8], onTaken: @escaping @Sendable () -> Void) {
        self.socket.connection.enqueue(bytes, onTaken: onTaken)
    }

    public func schedule(at moment: MonotonicInstant, _ body: @escaping @Sendable () -> Void) -> LinkTimer {
        self.socket.connection.schedule(at: moment, body)
    }

    public func close() { self.socket.connection.close() }

    public func abort() { self.socket.connection.abort() }
}

/// One socket of the bridge: a ``SAMDialogue`` on a connection, which afterwards belongs to whoever uses the stream.
final class SAMSocket: Sendable {
    typealias Receiver = @Sendable (StreamConnection.Event) -> Void

    private struct State {
        var dialogue: SAMDialogue
        /// Who waits for the next step.
        var waiting: CheckedContinuation<Result<SAMDialogue.Step, SAMError>, Never>?
        var steps: [SAMDialogue.Step] = []
        var end: SAMError?
        /// Who gets the stream's bytes once it is one.
        var receiver: Receiver?
        /// The receiver has what came before it was there: from now on bytes go to it as they come.
        var isFlushed = false
        /// The receiver was told of the end.
        var isEnded = false
    }

    let connection: StreamConnection
    private let events: Events
    private let name: String

    private init(connection: StreamConnection, events: Events, name: String) {
        self.connection = connection
        self.events = events
        self.name = name
    }

    /// Connects to the bridge and gives the command.
    static func open(_ command: SAMDialogue.Command, at bridge: SAMBridge) async throws(SAMError) -> SAMSocket {
        let dialogue = SAMDialogue(command, credentials: bridge.credentials)
        let events = Events(State(dialogue: dialogue))
        let socket: SAMSocket
        do {
            let connection = try await bridge.network.connect(to: bridge.address, proxy: nil) { events.receive($0) }
            socket = SAMSocket(connection: connection, events: events, name: command.name)
        } catch {
            throw .unreachable(NetworkFailure.describe(error))
        }
        events.attach(socket.connection)
        socket.connection.enqueue(dialogue.start()) {}
        socket.connection.readMore()
        return socket
    }

    /// Waits for the next step that is not a message to be sent.
    ///
    /// - Parameter deadline: `nil` to wait for as long as it takes.
    func next(within deadline: Duration?) async throws(SAMError) -> SAMDialogue.Step {
        let timer = deadline.map { deadline in
            let connection = self.connection
            let events = self.events
            let name = self.name
            return connection.schedule(at: .now + deadline) {
                events.fail(.timedOut(name))
                connection.close()
            }
        }
        defer { timer?.cancel() }
        let events = self.events
        let connection = self.connection
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { events.wait($0) }
        } onCancel: {
            events.fail(.closed)
            connection.close()
        }
        return try result.get()
    }

    /// Hands the stream over: what arrives from now on goes to `receiver`, when asked for.
    func handOver(to receiver: @escaping Receiver) { self.events.handOver(to: receiver) }

    func readMore() {
        guard !self.events.isFlushed else { return self.connection.readMore() }
        // On the event loop, as all other bytes: what one read has brought in several pieces stays in its order.
        let events = self.events
        let connection = self.connection
        _ = connection.schedule(at: .now) {
            if !events.flush() { connection.readMore() }
        }
    }

    /// Everything that happens on the connection.
    private final class Events: Sendable {
        private let state: Mutex<State>
        private let connection = Mutex<StreamConnection?>(nil)

        init(_ state: sending State) {
            self.state = Mutex(state)
        }

        func attach(_ connection: StreamConnection) { self.connection.withLock { $0 = connection } }

        var isFlushed: Bool { self.state.withLock { $0.isFlushed } }

        func receive(_ event: StreamConnection.Event) {
            let receiver = self.state.withLock { $0.isFlushed ? $0.receiver : nil }
            switch event {
            case .bytes(let bytes):
                if let receiver { receiver(event) } else { self.talk(bytes) }
            case .closed(let why):
                if let receiver { self.end(why, receiver) } else { self.fail(.closed) }
            }
        }

        private func talk(_ bytes: [UInt8]) {
            let result: Result<(send: [[UInt8]], isStream: Bool), SAMError> = self.state.withLock { state in
                do throws(SAMError) {
                    var send: [[UInt8]] = []
                    for step in try state.dialogue.receive(bytes) {
                        if case .send(let bytes) = step { send.append(bytes) } else { state.steps.append(step) }
                    }
                    return .success((send, state.dialogue.isStream))
                } catch {
                    return .failure(error)
                }
            }
            let connection = self.connection.withLock { $0 }
            switch result {
            case .failure(let error):
                self.fail(error)
                connection?.close()
            case .success(let (send, isStream)):
                for bytes in send { connection?.enqueue(bytes) {} }
                self.wake()
                // A stream is read when its user asks; what one read brings is all that is kept until then.
                if !isStream { connection?.readMore() }
            }
        }

        func wait(_ continuation: CheckedContinuation<Result<SAMDialogue.Step, SAMError>, Never>) {
            self.state.withLock { $0.waiting = continuation }
            self.wake()
        }

        /// Gives whoever waits what there is.
        private func wake() {
            let found = self.state.withLock {
                state -> (
                    CheckedContinuation<Result<SAMDialogue.Step, SAMError>, Never>, Result<SAMDialogue.Step, SAMError>
                )? in
                guard let waiting = state.waiting else { return nil }
                if !state.steps.isEmpty {
                    state.waiting = nil
                    return (waiting, .success(state.steps.removeFirst()))
                }
                guard let end = state.end else { return nil }
                state.waiting = nil
                return (waiting, .failure(end))
            }
            if let (waiting, result) = found { waiting.resume(returning: result) }
        }

        func fail(_ error: SAMError) {
            self.state.withLock { $0.end = $0.end ?? error }
            self.wake()
        }

        func handOver(to receiver: @escaping Receiver) { self.state.withLock { $0.receiver = receiver } }

        /// Gives the receiver what came before it was there, on the event loop.
        ///
        /// - Returns: whether there was anything.
        func flush() -> Bool {
            let (rest, isOver, receiver) = self.state.withLock { state in
                state.isFlushed = true
                return (state.dialogue.takeRest(), state.end != nil, state.receiver)
            }
            guard let receiver else { return false }
            if !rest.isEmpty { receiver(.bytes(rest)) }
            if isOver { self.end(SAMError.closed.description, receiver) }
            return !rest.isEmpty || isOver
        }

        private func end(_ why: String, _ receiver: Receiver) {
            let isFirst = self.state.withLock { state in
                defer { state.isEnded = true }
                return !state.isEnded
            }
            if isFirst { receiver(.closed(why)) }
        }
    }
}
