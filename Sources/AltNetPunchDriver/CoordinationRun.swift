// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetHolePunch
internal import AltNetTransport

/// Runs one coordination on its connection: the only place where ``Coordination`` meets sockets and clocks.
actor CoordinationRun {
    private enum Input: Sendable {
        case event(StreamConnection.Event)
        case timer
        case mapping(UInt8, Result<[ExternalEndpoint], PunchReason>)
        case opened(UInt8, Result<PathOpener.Opened, PunchReason>)
        case close(PunchRefusal)
    }

    /// A side that takes no bytes for so long is given up. Messages are small: they wait only for a circuit.
    private static let writeDeadline: Duration = .seconds(10)
    /// Up to so much later the responder says its first word. What a machine does at the same moment on its other
    /// connections then says less about whose the endpoint is. The time of all later answers is measured by the
    /// initiator, who has to agree on a moment with us, so they are not delayed.
    static let firstAnswerDelay: Range<Double> = 0..<0.4

    private let held: HeldConnection
    private let opener: PathOpener
    /// The responder: whether there is a place for one more; ``PunchLimits`` decides.
    private let decide: @Sendable () async -> PunchRefusal?
    /// The other side has said its first word.
    private let onFirstWord: @Sendable () async -> Void
    /// Takes the connection when it stands; `nil` when there is none.
    private let onEnd: @Sendable (PunchOutcome, HeldConnection?) async -> Void
    private var coordination: Coordination
    private let role: PunchRole
    private let inputs: AsyncStream<Input>
    private let continuation: AsyncStream<Input>.Continuation
    private var tasks: [UInt8: [Task<Void, Never>]] = [:]
    private var opened: [UInt8: HeldConnection] = [:]
    private var timer: LinkTimer?
    private var hasAnswered = false
    private var isRelaying = false
    private var rest: [UInt8] = []

    init(
        _ held: HeldConnection, _ configuration: Coordination.Configuration, opener: PathOpener,
        decide: @escaping @Sendable () async -> PunchRefusal? = { nil },
        onFirstWord: @escaping @Sendable () async -> Void = {},
        onEnd: @escaping @Sendable (PunchOutcome, HeldConnection?) async -> Void
    ) {
        self.held = held
        self.opener = opener
        self.decide = decide
        self.onFirstWord = onFirstWord
        self.onEnd = onEnd
        self.role = configuration.role
        self.coordination = Coordination(configuration)
        // Everything in it is an answer to something of ours, a reading that we asked for, or a timer.
        (self.inputs, self.continuation) = AsyncStream.makeStream()
    }

    /// Runs to the end of the coordination connection, or until it has become the link.
    func run() async {
        let continuation = self.continuation
        self.held.attach { continuation.yield(.event($0)) }
        var isOver = await self.carryOut(self.coordination.onConnected(now: .now))
        self.held.connection.readMore()
        var iterator = self.inputs.makeAsyncIterator()
        while !isOver, let input = await iterator.next() {
            isOver = await self.take(input)
        }
        if !isOver, !self.isRelaying {
            // The driver stops.
            _ = await self.carryOut(self.coordination.close(.stopping, now: .now))
        }
        await self.finish()
        guard !self.isRelaying else { return }
        self.held.connection.close()
    }

    /// Ends the coordination, and says why.
    nonisolated func close(_ refusal: PunchRefusal) {
        self.continuation.yield(.close(refusal))
    }

    private func take(_ input: Input) async -> Bool {
        switch input {
        case .event(.bytes(let bytes)):
            let isOver = await self.carryOut(self.coordination.onBytes(bytes, now: .now))
            if !isOver { self.held.connection.readMore() }
            return isOver
        case .close(let refusal):
            _ = await self.carryOut(self.coordination.close(refusal, now: .now))
            return true
        case .event(.closed): return await self.carryOut(self.coordination.onClosed(now: .now))
        case .timer: return await self.carryOut(self.coordination.onTimer(now: .now))
        case .mapping(let attempt, let result):
            return await self.carryOut(self.coordination.onMapping(attempt: attempt, result, now: .now))
        case .opened(let attempt, let result):
            if case .success(let opened) = result {
                guard self.tasks[attempt] != nil else {
                    opened.held.connection.abort()
                    return false
                }
                self.opened[attempt] = opened.held
            }
            return await self.carryOut(
                self.coordination.onPunched(attempt: attempt, result.map(\.success), now: .now))
        }
    }

    /// Whether the coordination is over.
    private func carryOut(_ directives: [Coordination.Directive]) async -> Bool {
        var outcome: PunchOutcome?
        var isOver = false
        for directive in directives {
            switch directive {
            case .write(let bytes): await self.write(bytes)
            case .setTimer(let moment):
                let continuation = self.continuation
                self.timer?.cancel()
                self.timer = self.held.connection.schedule(at: moment) { continuation.yield(.timer) }
            case .request:
                let refusal = await self.decide()
                if await self.carryOut(self.coordination.onRequestDecision(refusal, now: .now)) { return true }
            case .learnMapping(let attempt, let path, let listens):
                self.start(attempt) { [opener, continuation] in
                    continuation.yield(
                        .mapping(attempt, await opener.learn(attempt: attempt, path, listens: listens)))
                }
            case .open(let plan):
                self.start(plan.attempt) { [opener, continuation] in
                    let result = await opener.open(plan)
                    if case .enqueued = continuation.yield(.opened(plan.attempt, result)) { return }
                    // The coordination is over: nobody else has the connection.
                    result.abort()
                }
            case .abandon(let attempt): await self.abandon(attempt)
            case .relay: self.isRelaying = true
            case .raw(let bytes): self.rest += bytes
            case .finished(let result): outcome = result
            case .disconnect: isOver = true
            }
        }
        if self.isRelaying { isOver = true }
        if let outcome { await self.end(outcome) }
        return isOver
    }

    private func end(_ outcome: PunchOutcome) async {
        guard case .connected(let path, _) = outcome.ending else { return await self.onEnd(outcome, nil) }
        guard path != .relayed else { return await self.onEnd(outcome, await self.relayed()) }
        let attempt = outcome.attempts.last { $0.path == path && $0.own == nil }?.number
        await self.onEnd(outcome, attempt.flatMap { self.opened.removeValue(forKey: $0) })
    }

    /// The coordination connection as a link: everything that came after the agreement belongs to it.
    private func relayed() async -> HeldConnection {
        self.held.inbox.detach()
        self.continuation.finish()
        var held = HeldConnection(connection: self.held.connection, inbox: self.held.inbox, rest: self.rest)
        for await input in self.inputs {
            switch input {
            case .event(.bytes(let bytes)): held.rest += bytes
            case .event(.closed(let how)): self.held.inbox.receive(.closed(how))
            case .opened(_, let result): result.abort()
            case .timer, .mapping, .close: break
            }
        }
        return held
    }

    private func start(_ attempt: UInt8, _ body: @escaping @Sendable () async -> Void) {
        self.tasks[attempt, default: []].append(Task(operation: body))
    }

    private func abandon(_ attempt: UInt8) async {
        for task in self.tasks.removeValue(forKey: attempt) ?? [] { task.cancel() }
        self.opened.removeValue(forKey: attempt)?.connection.abort()
        await self.opener.release(attempt: attempt)
    }

    /// Leaves nothing behind that nobody has: neither what was opened nor what is on its way here.
    private func finish() async {
        self.timer?.cancel()
        self.continuation.finish()
        for await case .opened(_, let result) in self.inputs { result.abort() }
        for task in self.tasks.values.joined() { task.cancel() }
        for held in self.opened.values { held.connection.abort() }
        self.tasks = [:]
        self.opened = [:]
    }

    private func write(_ bytes: [UInt8]) async {
        if self.role == .responder, !self.hasAnswered {
            await self.onFirstWord()
            try? await Task.sleep(for: .seconds(Double.random(in: Self.firstAnswerDelay)))
        }
        self.hasAnswered = true
        let connection = self.held.connection
        let deadline = connection.schedule(at: .now + Self.writeDeadline) { connection.abort() }
        defer { deadline.cancel() }
        // A failure shows itself as the end of the connection.
        try? await connection.write(bytes)
    }
}

extension Result<PathOpener.Opened, PunchReason> {
    /// Ends a connection that has come too late.
    fileprivate func abort() {
        if case .success(let opened) = self { opened.held.connection.abort() }
    }
}
