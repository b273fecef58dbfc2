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
/// A driver that somebody else starts has no process here:
///
///     attach ──▶ waiting ──Hello──▶ attached ──ends──▶ waiting …
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

    struct Supervised {
        let specification: DriverSpecification
        var status: DriverStatus = .starting
        /// Restarts since it was attached.
        var restarts = 0
        /// What the running process has to show; a new one for each start, or for each run of ours when somebody else
        /// starts it. Empty when there is nobody to show it.
        var secret = ""
        var supervisor: Task<Void, Never>?
        var process: Task<DriverProcess.Ending, Never>?
        var attachment: Attachment?
        /// The rule that the running process broke; says more than the way in which it then ended.
        var fault: String?
    }

    /// A driver that said Hello, until its stream ends.
    struct Attachment {
        let id: UInt64
        let outbox: DriverOutbox
        /// The process that it belongs to: the next one must not pay for it.
        let process: Task<DriverProcess.Ending, Never>?
        var session: DriverSession
        var lastPong: MonotonicInstant
        /// Who waits for its end.
        var onEnd: [CheckedContinuation<Void, Never>] = []
        /// Who waits for the result of an operation.
        var operations: [UInt64: OperationWaiter] = [:]
    }

    let socketPath: String
    let network: String
    /// The kinds of object that drivers may ask for on behalf of their remotes.
    let serves: Set<ObjectKind>
    let software: String
    let delegate: any DriverHostDelegate
    let logger: Logger
    /// How long an operation may take; tests are less patient.
    let operationDeadline: Duration
    var drivers: [String: Supervised] = [:]
    var nextAttachment: UInt64 = 1
    var nextOperation: UInt64 = 1

    /// - Parameters:
    ///   - socketPath: the Unix socket that drivers connect to, in a directory that only the owner can enter.
    ///   - software: what we call ourselves towards drivers.
    public init(
        socketPath: String, network: String, serves: Set<ObjectKind> = [.headers], software: String,
        delegate: any DriverHostDelegate, logger: Logger, operationDeadline: Duration = OperationRules.deadline
    ) {
        self.socketPath = socketPath
        self.network = network
        self.serves = serves
        self.software = software
        self.delegate = delegate
        self.logger = logger
        self.operationDeadline = operationDeadline
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

    /// Starts a driver and keeps it running, or waits for one that somebody else starts.
    public func attach(_ specification: DriverSpecification) throws(DriverHostError) {
        let name = specification.name
        if case .failed = self.drivers[name]?.status { self.drivers[name] = nil }
        guard self.drivers[name] == nil else { throw DriverHostError("a driver named \(name) is attached already") }
        guard self.drivers.count < Self.maximumDrivers else {
            throw DriverHostError("\(Self.maximumDrivers) drivers are attached already, which is the most there may be")
        }
        guard let program = specification.program else { return try self.expect(specification) }
        var status = stat()
        guard stat(program, &status) == 0, status.st_mode & S_IFMT == S_IFREG, access(program, X_OK) == 0 else {
            throw DriverHostError("\(program) is not a program that can be started")
        }
        self.drivers[name] = Supervised(specification: specification)
        self.drivers[name]?.supervisor = Task { await self.supervise(specification, program: program) }
    }

    /// Stops a driver and forgets it. Returns when its process is gone, or its stream where the process is not ours.
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
        case .drop, .refuseStream, .refuseOperation: return ObjectRefusalNow(command, .unavailable)
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
        case .drop, .refuse, .refuseOperation:
            onWritten()
            return nil
        }
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
