// SPDX-License-Identifier: MIT

internal import AltNetAlerts
internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetConfiguration
internal import AltNetControl
internal import AltNetDriverHost
internal import AltNetDriverProtocol
internal import AltNetObjects
internal import AltNetReplay
internal import AltNetStore
internal import AltNetWeb
internal import Glibc

/// What the control interface asks of the daemon.
struct DaemonOperations: ControlOperations {
    let daemon: Daemon

    func status() async -> StatusReport {
        await self.daemon.orchestrator.statusReport(
            software: "altnetd \(AltNetVersion.current)", network: self.daemon.configuration.network.rawValue,
            processID: getpid(), started: self.daemon.started, dataDirectory: self.daemon.directory.path,
            drivers: await self.daemon.host.statuses.count)
    }

    func links() async -> [LinkReport] { await self.daemon.orchestrator.linkReports }

    func tips() async -> [TipReport] { await self.daemon.orchestrator.tipReports }

    func splices() async -> [SpliceReport] { await self.daemon.splicer.reports }

    func node() async -> NodeReport { await self.daemon.orchestrator.nodeReport }

    func safe() async -> SafeReport { await self.daemon.orchestrator.safeReport }

    func alerts(limit: Int) async -> [AlertReport] {
        await self.daemon.alerts.recent.prefix(limit).map(AlertReport.init)
    }

    func blocks(limit: Int) async -> [BlockReport] { await self.daemon.orchestrator.blockReports(limit) }

    func counters() async -> ControlCounters {
        var counters = await self.daemon.orchestrator.counters
        for sink in await self.daemon.alerts.counters {
            counters.alerts.append(
                ControlCounters.Alerts(sink: sink.sink, outcome: "delivered", count: UInt64(sink.delivered)))
            counters.alerts.append(ControlCounters.Alerts(sink: sink.sink, outcome: "lost", count: UInt64(sink.lost)))
        }
        return counters
    }

    func health() async -> HealthReport {
        guard await self.daemon.orchestrator.storeFailure == nil else {
            return HealthReport(ok: false, reason: "headers cannot be stored")
        }
        return HealthReport(ok: true)
    }

    func ready() async -> HealthReport {
        let isAttached = await self.daemon.host.statuses.contains { driver in
            if case .attached = driver.status { true } else { false }
        }
        guard isAttached else { return HealthReport(ok: false, reason: "no driver is attached") }
        return await self.health()
    }

    func incidents(limit: Int, onlyOpen: Bool) async throws(ControlRefusal) -> [IncidentReport] {
        try await Self.refusing { try await self.daemon.orchestrator.incidentReports(limit, onlyOpen: onlyOpen) }
    }

    func incident(_ id: Int64) async throws(ControlRefusal) -> IncidentReport? {
        try await Self.refusing { try await self.daemon.orchestrator.incident(id).map(IncidentReport.init) }
    }

    func evidence(of id: Int64) async throws(ControlRefusal) -> [UInt8]? {
        try await Self.refusing { () async throws -> [UInt8]? in
            guard let incident = try await self.daemon.orchestrator.incident(id) else { return nil }
            return try EvidenceFile(
                network: self.daemon.configuration.network, exportedAt: .system, incident: incident
            ).encoded()
        }
    }

    func sendTestAlert(to sink: String) async throws(ControlRefusal) -> AlertReport {
        do throws(AlertError) {
            return AlertReport(try await self.daemon.alerts.sendTest(to: sink))
        } catch {
            throw ControlRefusal(.conflict, error.description)
        }
    }

    func exportHeaders(from height: UInt32, count: UInt32) async throws(ControlRefusal) -> [UInt8] {
        try await Self.refusing { try await self.daemon.orchestrator.exportHeaders(from: height, count: count) }
    }

    func importHeaders(_ headers: [UInt8]) async throws(ControlRefusal) -> ImportReport {
        try await Self.refusing { try await self.daemon.orchestrator.importReport(headers) }
    }

    func drivers() async -> [DriverReport] {
        var reports: [DriverReport] = []
        for (specification, status, restarts) in await self.daemon.host.statuses {
            var report = DriverReport(specification, status, restarts: restarts)
            report.listening = await self.daemon.orchestrator.listening(of: specification.name)
            reports.append(report)
        }
        return reports
    }

    func attach(_ request: AttachRequest) async throws(ControlRefusal) -> DriverReport {
        var keys = request.settings
        keys["program"] = request.program
        let driver = try self.parse(request.name, keys)
        try await Self.refusing { try await self.daemon.attach(driver) }
        guard let report = await self.drivers().first(where: { $0.name == request.name }) else {
            throw ControlRefusal(.conflict, "the driver \(request.name) was detached at the same time")
        }
        return report
    }

    func detach(_ driver: String) async throws(ControlRefusal) {
        try await Self.refusing { try await self.daemon.host.detach(driver) }
    }

    func openTarget(_ target: String, driver: String) async throws(ControlRefusal) {
        guard target.utf8.count <= DriverProtocol.maximumTargetLength else {
            throw ControlRefusal(
                .badRequest, "a target of more than \(DriverProtocol.maximumTargetLength) bytes is too long")
        }
        let program = try await self.requireAttached(driver)
        // The drivers of ours have one form of target each: a slip of the finger is told at once.
        if let program, program.hasSuffix("/altnet-bitcoin") || program.hasSuffix("/altnet-lightning") {
            _ = try self.parse(driver, ["program": program, "connect": target])
        }
        await self.daemon.host.send(.openTarget(target), to: driver)
    }

    func closeTarget(_ target: String, driver: String) async throws(ControlRefusal) {
        _ = try await self.requireAttached(driver)
        await self.daemon.host.send(.closeTarget(target), to: driver)
        await self.daemon.orchestrator.forgetTarget(target, driver: driver)
    }

    func perform(_ operation: String, _ question: [UInt8], by driver: String) async throws(ControlRefusal) -> [UInt8] {
        do throws(OperationError) {
            return try await self.daemon.host.perform(operation, question, by: driver)
        } catch {
            throw ControlRefusal(error)
        }
    }

    /// The program of a driver that works; `nil` for one that somebody else started.
    private func requireAttached(_ driver: String) async throws(ControlRefusal) -> String? {
        guard let found = await self.daemon.host.statuses.first(where: { $0.specification.name == driver }) else {
            throw ControlRefusal(.conflict, "there is no driver named \(driver)")
        }
        guard case .attached = found.status else {
            throw ControlRefusal(.conflict, "the driver \(driver) is not attached yet")
        }
        return found.specification.program
    }

    /// Reads the settings of one driver by the rules of the configuration file.
    private func parse(
        _ name: String, _ keys: [String: String]
    ) throws(ControlRefusal) -> DaemonConfiguration.Driver {
        do throws(ConfigurationError) {
            if let driver = try self.daemon.configuration.driver(name, flags: keys) { return driver }
        } catch {
            throw ControlRefusal(.badRequest, error.sentence)
        }
        throw ControlRefusal(.badRequest, "\(name) is no name for a driver")
    }

    /// Gives the errors of the daemon's parts the status that they have for whoever asked.
    private static func refusing<Value: Sendable>(
        _ work: () async throws -> Value
    ) async throws(ControlRefusal) -> Value {
        do {
            return try await work()
        } catch let error as ControlRefusal {
            throw error
        } catch let error as DriverHostError {
            throw ControlRefusal(.conflict, error.description)
        } catch let error as StoreError {
            throw ControlRefusal(.insufficientStorage, error.description)
        } catch {
            throw ControlRefusal(.internalError, "\(error)")
        }
    }
}

extension DriverReport {
    init(_ specification: DriverSpecification, _ status: DriverStatus, restarts: Int) {
        self.init(
            name: specification.name, program: specification.program, state: "", restarts: restarts,
            messagesPerSecond: specification.messagesPerSecond, bytesPerSecond: specification.bytesPerSecond)
        if specification.program == nil { self.startFile = specification.startFile }
        self.traffic = specification.traffic.map { $0.map(\.rawValue).sorted() }
        switch status {
        case .starting: self.state = "starting"
        case .waiting(let reason):
            self.state = "waiting"
            self.reason = reason
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
            self.operations = capabilities.operations
        }
    }
}
