// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetDriverProtocol
public import AltNetObjects
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Glibc
public import Logging

/// Starts drivers, supervises them, and speaks the driver protocol with them.
///
///     attach ──▶ starting ──Hello──▶ attached ──ends──▶ restarting ──pause──▶ starting …
///                    │                                      ▲
///                    └──── ends, hangs, says nonsense ──────┘        status 78 ──▶ failed
///
/// A driver that crashes, hangs, floods or lies costs its own process and nothing else.
public actor DriverHost {
    /// The pauses between restarts: doubling, from one second to a minute.
    static let firstPause: Duration = .seconds(1)
    static let longestPause: Duration = .seconds(60)
    /// A driver that ran this long has recovered: the pauses begin anew.
    static let healthyAfter: Duration = .seconds(60)
    /// The most drivers at once. There are a dozen media; more is a mistake in a script.
    public static let maximumDrivers = 64

    private struct Supervised {
        let specification: DriverSpecification
        var status: DriverStatus = .starting
        /// Restarts since it was attached.
        var restarts = 0
        /// What the running process has to show; a new one for each start.
        var secret = ""
        var supervisor: Task<Void, Never>?
        var process: Task<DriverProcess.Ending, Never>?
        var attachment: Attachment?
        /// The rule that the running process broke; says more than the way in which it then ended.
        var fault: String?
    }

    /// A driver that said Hello, until its stream ends.
    private struct Attachment {
        let id: UInt64
        let outbox: DriverOutbox
        /// The process that it belongs to: the next one must not pay for it.
        let process: Task<DriverProcess.Ending, Never>?
        var session: DriverSession
        var lastPong: MonotonicInstant
    }

    private let socketPath: String
    private let network: String
    /// The kinds of object that drivers may ask for on behalf of their remotes.
    private let serves: Set<ObjectKind>
    private let software: String
    private let delegate: any DriverHostDelegate
    private let logger: Logger
    private var drivers: [String: Supervised] = [:]
    private var nextAttachment: UInt64 = 1

    /// - Parameters:
    ///   - socketPath: the Unix socket that drivers connect to, in a directory that only the owner can enter.
    ///   - software: what we call ourselves towards drivers.
    public init(
        socketPath: String, network: String, serves: Set<ObjectKind> = [.headers], software: String,
        delegate: any DriverHostDelegate, logger: Logger
    ) {
        self.socketPath = socketPath
        self.network = network
        self.serves = serves
        self.software = software
        self.delegate = delegate
        self.logger = logger
    }

    /// Serves drivers until the task is cancelled; then stops them all. Calls `onReady` when drivers can connect.
    public func run(onReady: @Sendable @escaping () async throws -> Void) async throws {
        unlink(self.socketPath)
        var configuration = HTTP2ServerTransport.Posix.Config.defaults
        configuration.rpc.maxRequestPayloadSize = DriverProtocol.maximumMessageSize
        configuration.http2.maxFrameSize = DriverProtocol.frameSize
        configuration.http2.targetWindowSize = DriverProtocol.windowSize
        let server = GRPCServer(
            transport: .http2NIOPosix(
                address: .unixDomainSocket(path: self.socketPath), transportSecurity: .plaintext,
                config: configuration),
            services: [DriverService(host: self)])
        defer { unlink(self.socketPath) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.serve() }
            _ = try await server.listeningAddress
            chmod(self.socketPath, 0o600)
            try await onReady()
            // Ends when the server does, or when we are cancelled.
            do {
                try await group.next()
            } catch is CancellationError {}
            group.cancelAll()
        }
    }

    /// What every driver is doing, by name.
    public var statuses: [(specification: DriverSpecification, status: DriverStatus, restarts: Int)] {
        self.drivers.values.map { ($0.specification, $0.status, $0.restarts) }
            .sorted { $0.0.name < $1.0.name }
    }

    /// Starts a driver and keeps it running.
    public func attach(_ specification: DriverSpecification) throws(DriverHostError) {
        let name = specification.name
        if case .failed = self.drivers[name]?.status { self.drivers[name] = nil }
        guard self.drivers[name] == nil else { throw DriverHostError("a driver named \(name) is attached already") }
        guard self.drivers.count < Self.maximumDrivers else {
            throw DriverHostError("\(Self.maximumDrivers) drivers are attached already, which is the most there may be")
        }
        var status = stat()
        guard stat(specification.program, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            access(specification.program, X_OK) == 0
        else {
            throw DriverHostError("\(specification.program) is not a program that can be started")
        }
        self.drivers[name] = Supervised(specification: specification)
        self.drivers[name]?.supervisor = Task { await self.supervise(specification) }
    }

    /// Stops a driver and forgets it. Returns when its process is gone.
    public func detach(_ name: String) async throws(DriverHostError) {
        guard let driver = self.drivers[name] else { throw DriverHostError("there is no driver named \(name)") }
        await self.stop(driver)
        self.drivers[name] = nil
    }

    /// Stops all drivers, at the same time.
    public func detachAll() async {
        let drivers = self.drivers
        await withTaskGroup(of: Void.self) { group in
            for driver in drivers.values { group.addTask { await self.stop(driver) } }
        }
        self.drivers = [:]
    }

    /// Says something to a driver. What it must not hear is dropped; a request that it cannot carry is refused at once.
    ///
    /// - Returns: the refusal of a request that does not go out.
    @discardableResult
    public func send(_ command: DriverCommand, to name: String) -> ObjectRefusalNow? {
        guard var attachment = self.drivers[name]?.attachment else { return ObjectRefusalNow(command, .unavailable) }
        // Taken out while it changes, so that its tables are not copied.
        self.drivers[name]?.attachment = nil
        let verdict = attachment.session.onCommand(command)
        self.drivers[name]?.attachment = attachment
        switch verdict {
        case .pass:
            if !attachment.outbox.send(command) { self.end(name, because: "it does not read what it is sent") }
            return nil
        case .drop, .refuseStream: return ObjectRefusalNow(command, .unavailable)
        case .refuse(_, _, let refusal): return ObjectRefusalNow(command, refusal)
        }
    }

    /// Says something about a stream to a driver. What is about a stream that is gone is dropped.
    ///
    /// - Parameter onWritten: called when the driver may hear the next thing about this stream: this one has been
    ///   written, or was dropped. Never called when the driver's stream ends before.
    /// - Returns: why a stream that was to be opened is not.
    public func send(
        _ message: StreamMessage, of id: StreamID, over link: DriverLink, to name: String,
        onWritten: @escaping @Sendable () -> Void
    ) -> StreamRefusal? {
        guard var attachment = self.drivers[name]?.attachment else { return .unavailable }
        let command = DriverCommand.stream(link, id, message)
        // Taken out while it changes, so that its tables are not copied.
        self.drivers[name]?.attachment = nil
        let verdict = attachment.session.onCommand(command)
        self.drivers[name]?.attachment = attachment
        switch verdict {
        case .pass:
            guard attachment.outbox.send(command, onWritten: onWritten) else {
                self.end(name, because: "it does not read what it is sent")
                return .unavailable
            }
            return nil
        case .refuseStream(_, _, let refusal): return refusal
        case .drop, .refuse:
            onWritten()
            return nil
        }
    }

    // MARK: - Processes

    private func supervise(_ specification: DriverSpecification) async {
        let name = specification.name
        var logger = self.logger
        logger[metadataKey: "driver"] = "\(name)"
        var pause = Self.firstPause
        while !Task.isCancelled, self.drivers[name] != nil {
            let secret = Self.newSecret()
            let start = DriverStart(
                name: name, socket: self.socketPath, secret: secret, network: self.network,
                dataDirectory: specification.dataDirectory, settings: specification.settings, serves: self.serves)
            self.drivers[name]?.secret = secret
            self.drivers[name]?.fault = nil
            self.drivers[name]?.status = .starting
            let began = MonotonicInstant.system
            let driverLogger = logger
            let process = Task {
                await DriverProcess.run(program: specification.program, start: start, logger: driverLogger)
            }
            self.drivers[name]?.process = process
            let helloDeadline = Task {
                try await Task.sleep(for: DriverProtocol.helloDeadline)
                self.checkHello(name, secret: secret)
            }
            let ending = await process.value
            helloDeadline.cancel()
            self.drivers[name]?.secret = ""
            if let attachment = self.drivers[name]?.attachment {
                // What is still in its stream is of nobody any more.
                await self.leave(Ticket(name, attachment.id, attachment.outbox), reason: "its process ended")
            }
            guard self.drivers[name]?.status != .stopping, !Task.isCancelled else { return }
            let (ended, restartHelps) = Self.explain(ending)
            let reason = self.drivers[name]?.fault ?? ended
            guard restartHelps else {
                logger.error("driver failed", metadata: ["reason": "\(reason)"])
                self.drivers[name]?.status = .failed(reason: reason)
                return
            }
            if MonotonicInstant.system - began > Self.healthyAfter { pause = Self.firstPause }
            logger.warning("driver ended", metadata: ["reason": "\(reason)", "restart in": "\(pause)"])
            self.drivers[name]?.status = .restarting(reason: reason, pause: pause)
            self.drivers[name]?.restarts += 1
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, Self.longestPause)
        }
    }

    private func checkHello(_ name: String, secret: String) {
        guard let driver = self.drivers[name], driver.secret == secret, driver.attachment == nil else { return }
        self.drivers[name]?.fault = driver.fault ?? "it said no Hello within \(DriverProtocol.helloDeadline)"
        driver.process?.cancel()
    }

    private func stop(_ driver: Supervised) async {
        let name = driver.specification.name
        self.drivers[name]?.status = .stopping
        _ = driver.attachment?.outbox.send(.stop)
        let deadline = Task {
            try await Task.sleep(for: DriverProtocol.stopDeadline)
            driver.process?.cancel()
        }
        if driver.attachment == nil { driver.process?.cancel() }
        _ = await driver.process?.value
        deadline.cancel()
        driver.supervisor?.cancel()
        await driver.supervisor?.value
    }

    private static func explain(_ ending: DriverProcess.Ending) -> (reason: String, restartHelps: Bool) {
        switch ending {
        case .exited(DriverProtocol.configurationErrorStatus, let lastWords):
            (lastWords.isEmpty ? "its settings are wrong" : lastWords, false)
        case .exited(let status, let lastWords):
            (
                lastWords.isEmpty ? "it ended with status \(status)" : "it ended with status \(status): \(lastWords)",
                true
            )
        case .killed(let signal, let lastWords):
            (
                lastWords.isEmpty
                    ? "signal \(signal) ended it" : "signal \(signal) ended it; it last said: \(lastWords)", true
            )
        case .notStarted(let reason): ("it could not be started: \(reason)", true)
        }
    }

    private static func newSecret() -> String {
        var generator = SystemRandomNumberGenerator()
        return Hex.encode((0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    // MARK: - Streams

    /// A driver said Hello: checks it, and gives its stream what it needs.
    func admit(_ hello: DriverHello) async throws(RPCError) -> Ticket {
        guard hello.protocolVersion == DriverProtocol.version else {
            throw RPCError(
                code: .failedPrecondition,
                message: "protocol version \(hello.protocolVersion), this orchestrator speaks \(DriverProtocol.version)"
            )
        }
        guard let driver = self.drivers[hello.name], !driver.secret.isEmpty,
            Self.isEqual(driver.secret, hello.secret)
        else { throw RPCError(code: .unauthenticated, message: "name or secret is wrong") }
        guard driver.attachment == nil else {
            throw RPCError(code: .alreadyExists, message: "a driver of that name is attached")
        }
        let traffic = driver.specification.traffic ?? Set(ObjectKind.allCases)
        let outbox = DriverOutbox()
        let ticket = Ticket(hello.name, self.nextAttachment, outbox)
        self.nextAttachment += 1
        self.drivers[hello.name]?.attachment = Attachment(
            id: ticket.attachment, outbox: outbox, process: driver.process,
            session: DriverSession(capabilities: hello.capabilities, traffic: traffic), lastPong: .system)
        self.drivers[hello.name]?.status = .attached(
            software: hello.software, identity: hello.identity, hello.capabilities)
        _ = outbox.send(.welcome(software: self.software))
        await self.delegate.driverAttached(
            hello.name, capabilities: hello.capabilities, identity: hello.identity)
        return ticket
    }

    /// What the stream of an attached driver names itself with. One that is no longer attached is ignored.
    struct Ticket: Sendable {
        let driver: String
        let attachment: UInt64
        let outbox: DriverOutbox

        init(_ driver: String, _ attachment: UInt64, _ outbox: DriverOutbox) {
            self.driver = driver
            self.attachment = attachment
            self.outbox = outbox
        }
    }

    private func attachment(of ticket: Ticket) -> Attachment? {
        self.drivers[ticket.driver]?.attachment.flatMap { $0.id == ticket.attachment ? $0 : nil }
    }

    /// The budget of an attached driver.
    func budget(of name: String) -> (messages: TokenBucket, bytes: TokenBucket) {
        let specification = self.drivers[name]?.specification
        return (
            TokenBucket(perSecond: specification?.messagesPerSecond ?? 1, now: .system),
            TokenBucket(perSecond: specification?.bytesPerSecond ?? 1, now: .system)
        )
    }

    /// An attached driver said something.
    func on(_ event: DriverEvent, from ticket: Ticket) async throws(RPCError) {
        guard var attachment = self.attachment(of: ticket) else { return }
        let name = ticket.driver
        // Taken out while it changes, so that its tables are not copied.
        self.drivers[name]?.attachment = nil
        let verdict: DriverSession.Verdict
        do throws(DriverProtocolError) {
            defer { self.drivers[name]?.attachment = attachment }
            if case .pong = event { attachment.lastPong = .system }
            verdict = try attachment.session.onEvent(event)
        } catch {
            throw RPCError(code: .invalidArgument, message: error.description)
        }
        switch verdict {
        case .drop: break
        case .refuse(let link, let id, let refusal):
            _ = attachment.outbox.send(.answer(link, id: id, .refused(refusal)))
        case .refuseStream(let link, let id, let refusal):
            _ = attachment.outbox.send(.stream(link, id, .refused(refusal)))
        case .pass:
            if case .pong = event { return }
            await self.delegate.driver(name, said: event)
        }
    }

    /// Pings a driver, or ends it when it has not answered for too long.
    func ping(_ ticket: Ticket, number: UInt64) {
        guard let attachment = self.attachment(of: ticket) else { return }
        guard MonotonicInstant.system - attachment.lastPong < DriverProtocol.pongDeadline else {
            return self.end(ticket.driver, because: "it answered no ping for \(DriverProtocol.pongDeadline)")
        }
        _ = attachment.outbox.send(.ping(number))
    }

    /// A driver's stream ended.
    func leave(_ ticket: Ticket, reason: String) async {
        guard let attachment = self.attachment(of: ticket) else { return }
        let name = ticket.driver
        attachment.outbox.close()
        self.drivers[name]?.attachment = nil
        if case .attached = self.drivers[name]?.status { self.drivers[name]?.status = .starting }
        await self.delegate.driverDetached(name, reason: self.drivers[name]?.fault ?? reason)
        // A process without a stream is of no use; one that stops by itself is left to it.
        if self.drivers[name]?.status != .stopping {
            Task {
                try await Task.sleep(for: DriverProtocol.stopDeadline)
                attachment.process?.cancel()
            }
        }
    }

    /// A driver's stream is about to be ended because it broke a rule.
    func note(fault: String, of name: String) {
        self.drivers[name]?.fault = fault
    }

    private func end(_ name: String, because reason: String) {
        guard let attachment = self.drivers[name]?.attachment else { return }
        self.drivers[name]?.fault = reason
        attachment.outbox.close()
        attachment.process?.cancel()
    }

    /// Compares in a time that does not depend on where two secrets differ.
    private static func isEqual(_ left: String, _ right: String) -> Bool {
        let left = Array(left.utf8)
        let right = Array(right.utf8)
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

/// The refusal of a request that was not sent.
public struct ObjectRefusalNow: Hashable, Sendable {
    public let link: DriverLink
    public let id: UInt64
    public let refusal: ObjectRefusal

    init?(_ command: DriverCommand, _ refusal: ObjectRefusal) {
        guard case .request(let link, let id, _) = command else { return nil }
        self.link = link
        self.id = id
        self.refusal = refusal
    }
}
