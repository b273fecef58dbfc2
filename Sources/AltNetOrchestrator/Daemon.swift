// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
public import AltNetConfiguration
internal import AltNetControl
internal import AltNetDriverHost
internal import AltNetDriverProtocol
public import AltNetHeaderChain
internal import AltNetHeaderSync
internal import AltNetObjects
internal import AltNetStore
internal import AltNetWatchdog
internal import Glibc
internal import HTTPTypes
public import Logging
public import ServiceLifecycle

/// `altnetd`: puts the parts together, runs them until it is told to stop, and stops them in order.
public struct Daemon: Service, CustomStringConvertible {
    /// Why the daemon does not start or has to stop, in one sentence for the operator.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String

        init(_ description: String) {
            self.description = description
        }
    }

    private let configuration: DaemonConfiguration
    private let programDirectory: String
    private let logger: Logger
    private let started = WallClockTime.system
    private let directory: DataDirectory
    private let runtimeDirectory: DataDirectory
    private let orchestrator: Orchestrator
    private let splicer: Splicer
    private let host: DriverHost
    private let fatal: AsyncStream<StoreError>

    /// Takes the data directory's lock and loads what is stored.
    ///
    /// - Parameter programDirectory: where drivers with a bare name are looked for first.
    public init(_ configuration: DaemonConfiguration, programDirectory: String, logger: Logger) throws {
        self.configuration = configuration
        self.programDirectory = programDirectory
        self.logger = logger
        self.directory = try DataDirectory(path: configuration.networkDirectory)
        // Locked as well: two daemons of different networks would take each other's sockets away.
        self.runtimeDirectory = try DataDirectory(path: configuration.runtimeDirectory)
        let began = MonotonicInstant.system
        var chain = HeaderChain(
            network: configuration.network, start: configuration.chain.start, salt: UInt64.random(in: 0...UInt64.max))
        let store = try HeaderStore(in: self.directory, loadingInto: &chain)
        logger.info(
            "headers loaded",
            metadata: [
                "height": "\(chain.tipHeight)", "headers": "\(chain.count)",
                "seconds": "\((MonotonicInstant.system - began).inSeconds)",
            ])
        var sync = HeaderSync.Configuration(network: configuration.network)
        sync.minimumWork = configuration.chain.minimumWork
        sync.requestTimeout = configuration.sync.requestTimeout
        sync.behindProbeInterval = configuration.sync.behindProbe
        sync.idleProbeInterval = configuration.sync.idleProbe
        let (fatal, continuation) = AsyncStream.makeStream(of: StoreError.self)
        self.fatal = fatal
        self.orchestrator = try Orchestrator(
            chain: chain, store: store, incidents: try IncidentStore(in: self.directory),
            parts: Orchestrator.Parts(
                sync: sync,
                watchdog: Watchdog.Configuration(
                    grace: configuration.watchdog.grace, expectedInterval: configuration.watchdog.expectedInterval),
                policy: configuration.policy, node: nil, nodeSettings: configuration.node,
                seed: UInt64.random(in: 0...UInt64.max)),
            logger: logger, onFatal: { continuation.yield($0) })
        self.splicer = Splicer(configuration.splice, logger: logger)
        self.host = DriverHost(
            socketPath: configuration.driversSocket, network: configuration.network.rawValue,
            software: "altnetd \(AltNetVersion.current)",
            delegate: SpliceRouter(orchestrator: self.orchestrator, splicer: self.splicer), logger: logger)
    }

    /// A short name: the life cycle's log messages hold it, and the configuration is nothing for a log.
    public var description: String { "altnetd" }

    public func run() async throws {
        await self.orchestrator.setHost(self.host)
        await self.splicer.start(host: self.host)
        let control = ControlServer(
            socketPath: self.configuration.controlSocket, orchestrator: self.orchestrator, operations: self,
            logger: Self.quiet(self.logger))
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.host.run { try await self.attachConfigured() } }
                group.addTask {
                    try await control.run { self.logger.info("ready", metadata: ["control": "\(control.socketPath)"]) }
                    // It stops by itself when it hears that we do; the drivers still have to stop in order.
                    for await _ in AsyncStream<Never>(Never.self, { _ in }) {}
                }
                group.addTask {
                    for await error in self.fatal { throw error }
                }
                group.addTask {
                    try? await gracefulShutdown()
                    self.logger.info("stopping")
                    await self.splicer.stop()
                    await self.host.detachAll()
                }
                // The first to end, by shutdown or by failure, ends all.
                defer { group.cancelAll() }
                try await group.next()
            }
        } catch let error as StoreError {
            await self.splicer.stop()
            await self.host.detachAll()
            await self.orchestrator.stop()
            throw error
        }
        await self.orchestrator.stop()
        self.logger.info("stopped")
    }

    private func attachConfigured() async throws {
        for driver in self.configuration.drivers where driver.isEnabled {
            do {
                try await self.attach(driver)
            } catch {
                self.logger.error("driver not attached", metadata: ["driver": "\(driver.name)", "reason": "\(error)"])
            }
        }
    }

    private func attach(_ driver: DaemonConfiguration.Driver) async throws {
        let dataDirectory = self.directory.file("drivers/\(driver.name)")
        try DataDirectory.create(self.directory.file("drivers"))
        try DataDirectory.create(dataDirectory)
        try await self.host.attach(
            DriverSpecification(
                name: driver.name, program: try self.find(driver.program),
                settings: driver.settings.mapValues(\.handedOn), traffic: driver.traffic,
                messagesPerSecond: driver.messagesPerSecond, bytesPerSecond: driver.bytesPerSecond,
                dataDirectory: dataDirectory))
    }

    /// The path of a driver's program: as it is, beside the daemon, or from `PATH`.
    private func find(_ program: String) throws -> String {
        guard !program.contains("/") else { return program }
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        let directories = [self.programDirectory] + path.split(separator: ":").map(String.init)
        guard let directory = directories.first(where: { access("\($0)/\(program)", X_OK) == 0 }) else {
            throw DriverHostError(
                "the program \(program) is neither in \(self.programDirectory) nor in PATH")
        }
        return "\(directory)/\(program)"
    }

    /// The web server's own messages are of no use to the operator.
    private static func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .warning)
        return logger
    }
}

extension Daemon: ControlServer.Operations {
    func status() async -> StatusReport {
        await self.orchestrator.statusReport(
            software: "altnetd \(AltNetVersion.current)", network: self.configuration.network.rawValue,
            processID: getpid(), started: self.started, dataDirectory: self.directory.path,
            drivers: await self.host.statuses.count)
    }

    func splices() async -> [SpliceReport] { await self.splicer.reports }

    func drivers() async -> [DriverReport] {
        var reports: [DriverReport] = []
        for (specification, status, restarts) in await self.host.statuses {
            var report = DriverReport(specification, status, restarts: restarts)
            report.listening = await self.orchestrator.listening(of: specification.name)
            reports.append(report)
        }
        return reports
    }

    func attach(_ request: AttachRequest) async throws -> DriverReport {
        var keys = request.settings
        keys["program"] = request.program
        let driver = try self.parse(request.name, keys)
        try await self.attach(driver)
        guard let report = await self.drivers().first(where: { $0.name == request.name }) else {
            throw DriverHostError("the driver \(request.name) was detached at the same time")
        }
        return report
    }

    /// Reads the settings of one driver by the rules of the configuration file.
    private func parse(_ name: String, _ keys: [String: String]) throws -> DaemonConfiguration.Driver {
        var flags = [
            "network": self.configuration.network.rawValue, "data_directory": self.configuration.dataDirectory,
            "runtime_directory": self.configuration.runtimeDirectory, "drivers.\(name).enabled": "true",
        ]
        for (key, value) in keys { flags["drivers.\(name).\(key)"] = value }
        do {
            let parsed = try DaemonConfiguration.parse("", flags: flags)
            guard let driver = parsed.drivers.first(where: { $0.name == name }) else {
                throw ControlServer.Refusal(.badRequest, "\(name) is no name for a driver")
            }
            return driver
        } catch let error as ConfigurationError {
            throw ControlServer.Refusal(.badRequest, error.sentence)
        }
    }

    func detach(_ driver: String) async throws {
        try await self.host.detach(driver)
    }

    func openTarget(_ target: String, driver: String) async throws {
        let program = try await self.requireAttached(driver)
        // The drivers of ours have one form of target each: a slip of the finger is told at once.
        if program.hasSuffix("/altnet-bitcoin") || program.hasSuffix("/altnet-lightning") {
            _ = try self.parse(driver, ["program": program, "connect": target])
        }
        await self.host.send(.openTarget(target), to: driver)
    }

    func closeTarget(_ target: String, driver: String) async throws {
        _ = try await self.requireAttached(driver)
        await self.host.send(.closeTarget(target), to: driver)
        await self.orchestrator.forgetTarget(target, driver: driver)
    }

    /// The program of a driver that works.
    private func requireAttached(_ driver: String) async throws -> String {
        guard let found = await self.host.statuses.first(where: { $0.specification.name == driver }) else {
            throw DriverHostError("there is no driver named \(driver)")
        }
        guard case .attached = found.status else { throw DriverHostError("the driver \(driver) is not attached yet") }
        return found.specification.program
    }
}

extension DriverReport {
    init(_ specification: DriverSpecification, _ status: DriverStatus, restarts: Int) {
        self.init(
            name: specification.name, program: specification.program, state: "", restarts: restarts,
            messagesPerSecond: specification.messagesPerSecond, bytesPerSecond: specification.bytesPerSecond)
        self.traffic = specification.traffic.map { $0.map(\.rawValue).sorted() }
        switch status {
        case .starting: self.state = "starting"
        case .stopping: self.state = "stopping"
        case .failed(let reason):
            self.state = "failed"
            self.reason = reason
        case .restarting(let reason, let pause):
            self.state = "restarting"
            self.reason = "\(reason) (again in \(pause.components.seconds) s)"
        case .attached(let software, let identity, let capabilities):
            self.state = "attached"
            self.software = software
            self.identity = identity.isEmpty ? nil : identity
            self.requests = capabilities.requests.map(\.rawValue).sorted()
            self.serves = capabilities.serves.map(\.rawValue).sorted()
            self.announces = capabilities.announces.map(\.rawValue).sorted()
            self.direction = capabilities.direction.rawValue
            self.latency = capabilities.latency.rawValue
            self.bandwidth = capabilities.bandwidth.rawValue
            self.cost = capabilities.cost.rawValue
            self.exposure = capabilities.exposure.rawValue
        }
    }
}

extension DaemonConfiguration.DriverSetting {
    var handedOn: SettingValue {
        switch self {
        case .text(let text): .text(text)
        case .texts(let texts): .texts(texts)
        case .number(let number): .number(number)
        case .flag(let flag): .flag(flag)
        }
    }
}

extension DaemonConfiguration.Chain {
    /// Where the header chain begins.
    public var start: HeaderChainStart {
        self.startHeight == 0 ? .genesis : .trusted(height: self.startHeight, header: self.startHeader)
    }
}
