// SPDX-License-Identifier: MIT

internal import AltNetAlerts
internal import AltNetBase
internal import AltNetBitcoin
public import AltNetConfiguration
internal import AltNetControl
internal import AltNetDriverHost
internal import AltNetDriverProtocol
public import AltNetHeaderChain
internal import AltNetHeaderSync
internal import AltNetNode
internal import AltNetObjects
internal import AltNetPeerStore
internal import AltNetStore
internal import AltNetWatchdog
internal import AltNetWeb
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

    let configuration: DaemonConfiguration
    let programDirectory: String
    private let logger: Logger
    let started = WallClockTime.system
    let directory: DataDirectory
    let runtimeDirectory: DataDirectory
    let orchestrator: Orchestrator
    let splicer: Splicer
    let peers: PeerService
    let punching: PunchService
    let alerts: AlertDispatcher
    let host: DriverHost
    private let fatal: AsyncStream<StoreError>
    private let notification = ServiceNotification.system

    /// Takes the data directory's lock and loads what is stored.
    ///
    /// - Parameter programDirectory: where drivers with a bare name are looked for first.
    public static func make(
        _ configuration: DaemonConfiguration, programDirectory: String, logger: Logger
    ) async throws -> Daemon {
        let directory = try DataDirectory(path: configuration.networkDirectory)
        let node = try await Self.openNode(configuration, in: directory, logger: logger)
        return try Daemon(
            configuration, programDirectory: programDirectory, directory: directory, node: node, logger: logger)
    }

    private init(
        _ configuration: DaemonConfiguration, programDirectory: String, directory: consuming DataDirectory,
        node: (any NodeInterface)?, logger: Logger
    ) throws {
        self.configuration = configuration
        self.programDirectory = programDirectory
        self.logger = logger
        self.directory = directory
        // Locked as well: two daemons of different networks would take each other's sockets away.
        self.runtimeDirectory = try DataDirectory(path: configuration.runtimeDirectory)
        let events = EventHub()
        let alerts = try Self.openAlerts(configuration, in: self.directory, events: events, logger: logger)
        self.alerts = alerts
        do {
            self.peers = try PeerService(
                configuration.peers, chain: configuration.network.chainHash, directory: self.directory.path,
                logger: logger)
        } catch {
            throw Failure(error.description)
        }
        let splicer = Splicer(configuration.splice, logger: logger)
        self.splicer = splicer
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
        var splicedPeers: (@Sendable () async -> [String])?
        if !configuration.splice.ports.isEmpty { splicedPeers = { await splicer.usableAddresses } }
        let watchdog = Watchdog.Configuration(
            grace: configuration.watchdog.grace, expectedInterval: configuration.watchdog.expectedInterval)
        self.orchestrator = try Orchestrator(
            chain: chain, store: store, incidents: try IncidentStore(in: self.directory),
            parts: Orchestrator.Parts(
                sync: sync,
                watchdog: watchdog,
                events: events, policy: configuration.policy, node: node, nodeSettings: configuration.node,
                tell: { [alerts, network = configuration.network.rawValue] incident, change in
                    alerts.send(AlertMessage(incident, change, node: Self.hostName, network: network))
                },
                splicedPeers: splicedPeers,
                recorder: configuration.watchdog.records
                    ? ObservationRecorder(
                        path: self.directory.file("observations.jsonl"), configuration: watchdog,
                        network: configuration.network, logger: logger) : nil,
                seed: UInt64.random(in: 0...UInt64.max)),
            logger: logger, onFatal: { continuation.yield($0) })
        self.punching = PunchService(
            configuration.punch, allowPrivate: configuration.punchesPrivately, splicer: splicer, node: node,
            nodePeers: { [orchestrator] in await orchestrator.nodeOutboundPeers }, logger: logger)
        self.host = DriverHost(
            socketPath: configuration.driversSocket, network: configuration.network.rawValue,
            // Blocks are the node's.
            serves: node == nil ? [.headers, .peerRecords] : [.headers, .blocks, .peerRecords],
            software: "altnetd \(AltNetVersion.current)",
            delegate: SpliceRouter(
                orchestrator: self.orchestrator, splicer: self.splicer, peers: self.peers, punching: self.punching),
            logger: logger)
    }

    /// A short name: the life cycle's log messages hold it, and the configuration is nothing for a log.
    public var description: String { "altnetd" }

    public func run() async throws {
        await self.orchestrator.setHost(self.host)
        await self.splicer.start(host: self.host)
        await self.peers.setHost(self.host)
        await self.punching.setHost(self.host)
        let delivery = Task { await self.alerts.run() }
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.host.run { try await self.attachConfigured() } }
                group.addTask {
                    try await self.serve()
                    // It stops by itself when it hears that we do; the drivers still have to stop in order.
                    for await _ in AsyncStream<Never>(Never.self, { _ in }) {}
                }
                group.addTask {
                    await self.orchestrator.followNode()
                    // Without a node, or when it is followed no longer because we stop, the others go on.
                    for await _ in AsyncStream<Never>(Never.self, { _ in }) {}
                }
                group.addTask { await self.peers.run() }
                group.addTask { await self.punching.run() }
                group.addTask {
                    for await error in self.fatal { throw error }
                }
                if self.notification.watchdogInterval != nil {
                    // Asks the orchestrator: when that no longer answers, the daemon is of no use.
                    group.addTask { await self.notification.keepAlive { await self.statusLine() } }
                }
                group.addTask {
                    try? await gracefulShutdown()
                    self.logger.info("stopping")
                    self.notification.send(.stopping)
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
            await self.end(delivery)
            throw error
        }
        await self.end(delivery)
        self.logger.info("stopped")
    }

    /// The state in one line, for `systemctl status`.
    private func statusLine() async -> String {
        let status = await DaemonOperations(daemon: self).status()
        return "height \(status.chain.height), \(status.links) links (\(status.linksBehind) behind), "
            + "\(status.openIncidents) open incidents"
    }

    /// Serves the control interface.
    private func serve() async throws {
        let http = self.configuration.http
        do {
            try await self.serve(on: http.listen)
        } catch let error as WebServerError where !http.isRequired {
            // Nobody asked for this port: to watch without a dashboard is better than not to watch.
            self.logger.warning("no HTTP", metadata: ["reason": "\(error)"])
            try await self.serve(on: nil)
        }
    }

    private func serve(on address: String?) async throws {
        let web = WebServer(
            WebConfiguration(
                socketPath: self.configuration.controlSocket,
                listen: try address.map { text throws in try LoopbackAddress(text) },
                tokenDirectory: self.runtimeDirectory.path,
                metricsWithoutToken: self.configuration.http.metricsWithoutToken),
            operations: DaemonOperations(daemon: self), events: self.orchestrator.events,
            logger: Self.quiet(self.logger))
        try await web.run { dashboard in
            var metadata: Logger.Metadata = ["control": "\(self.configuration.controlSocket)"]
            if let dashboard { metadata["dashboard"] = "\(dashboard)" }
            self.logger.info("ready", metadata: metadata)
            self.notification.send(.ready)
        }
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

    func attach(_ driver: DaemonConfiguration.Driver) async throws {
        let dataDirectory = self.directory.file("drivers/\(driver.name)")
        try DataDirectory.create(self.directory.file("drivers"))
        try DataDirectory.create(dataDirectory)
        try await self.host.attach(
            DriverSpecification(
                name: driver.name, program: try driver.program.map(self.find),
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

    private static func openAlerts(
        _ configuration: DaemonConfiguration, in directory: borrowing DataDirectory, events: EventHub, logger: Logger
    ) throws -> AlertDispatcher {
        do {
            return try AlertDispatcher(
                sinks: try configuration.alerts.map { alert throws(AlertError) in try AlertSink(alert) },
                node: Self.hostName, network: configuration.network.rawValue,
                path: directory.file("alerts.sqlite"), logger: logger,
                onDelivery: { events.publish(.alert(AlertReport($0))) })
        } catch {
            throw Failure("\(error)")
        }
    }

    private static func openNode(
        _ configuration: DaemonConfiguration, in directory: borrowing DataDirectory, logger: Logger
    ) async throws -> (any NodeInterface)? {
        do {
            return try await configuration.node.open(
                network: configuration.network, in: directory,
                probe: ("/proc/self/exe", ["--probe-kernel", configuration.node.library ?? ""]), logger: logger)
        } catch {
            throw Failure("\(error)")
        }
    }

    /// Ends the orchestrator, and gives what it said last a moment to arrive.
    private func end(_ delivery: Task<Void, Never>) async {
        await self.orchestrator.stop()
        await self.orchestrator.parts.node?.close()
        await self.alerts.drain(within: Self.lastWords)
        delivery.cancel()
        await delivery.value
    }

    /// How long alerts may take when the daemon stops. What has not arrived by then is sent after the next start.
    private static let lastWords: Duration = .seconds(2)

    /// How alerts call this machine.
    private static var hostName: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "altnet" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The web server's own messages are of no use to the operator.
    private static func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .warning)
        return logger
    }
}

extension DaemonConfiguration {
    /// Whether a driver of hole punching connects to addresses of private networks: in labs and tests.
    var punchesPrivately: Bool {
        self.drivers.contains { $0.isEnabled && $0.settings["allow_private_addresses"] == .flag(true) }
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
