// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
public import AltNetControl
internal import AltNetDriverHost
internal import AltNetDriverProtocol
public import AltNetHeaderChain
internal import AltNetHeaderSync
internal import AltNetNode
internal import AltNetObjects
internal import AltNetStore
internal import AltNetWatchdog
internal import AltNetWeb
internal import HTTPTypes

extension ChainReport {
    /// What there is to say of a chain.
    public init(_ chain: HeaderChain) {
        self.init(
            startHeight: chain.startHeight, height: chain.tipHeight, tip: chain.hash(of: chain.tip).description,
            tipTime: Timestamp(WallClockTime(seconds: Int64(chain.time(of: chain.tip)))),
            work: chain.work(of: chain.tip).description, headers: chain.count)
    }
}

extension ImportReport {
    /// What became of headers that were handed in.
    public init(added: UInt32, rejection: HeaderRejection?, chain: HeaderChain) {
        var explanation = rejection?.description
        if let rejection, rejection.position == 0, case .notConnected(_, let found) = rejection.rule {
            explanation =
                "the first header builds on \(found), which is not in this store; the store starts at height \(chain.startHeight)"
        }
        self.init(added: added, chain: ChainReport(chain), rejection: explanation, rule: rejection?.rule.name)
    }
}

extension Orchestrator {
    var chainReport: ChainReport { ChainReport(self.sync.chain) }

    var linksBehind: Int {
        self.links.keys.count { (self.sync.missing(of: $0)?.count ?? 0) > 0 }
    }

    var linkReports: [LinkReport] {
        var reports = self.links.values.sorted { $0.id < $1.id }.map(self.report)
        for (driver, state) in self.driverStates.sorted(by: { $0.key < $1.key }) {
            for (target, failure) in state.failures.sorted(by: { $0.key < $1.key }) {
                var report = LinkReport(driver: driver, state: "unreachable")
                report.target = target
                report.reason = failure.reason.description
                report.since = Timestamp(failure.at)
                reports.append(report)
            }
        }
        return reports
    }

    func report(_ link: Link) -> LinkReport {
        var report = LinkReport(driver: link.driver, state: "open")
        report.id = link.id.number
        report.target = link.description.target.isEmpty ? nil : link.description.target
        report.remote = link.description.remote
        report.identity = link.description.peer.identity.isEmpty ? nil : link.description.peer.identity
        report.agent = link.description.peer.agent.description
        report.exposure = self.exposure(of: link)
        report.since = Timestamp(link.since)
        report.claimedHeight = link.description.peer.claimedHeight
        if let view = self.sync.view(of: link.id) {
            report.tipHeight = view.tip.map(self.sync.chain.height)
            report.tip = view.tip.map { self.sync.chain.hash(of: $0).description }
            report.presyncHeight = view.presyncHeight
            report.isLowWork = view.isLowWork
        }
        if let missing = self.sync.missing(of: link.id) {
            report.missingBlocks = missing.count
            if missing.count > 0 {
                // Nobody was behind before there was a link to be behind on.
                report.missingSince = Timestamp(max(self.proven.proof(of: missing.firstHeight).at, link.since))
            }
        }
        report.latenessSeconds = self.watchdog.lateness(of: link.subject)?.inSeconds
        report.latencyMilliseconds = self.latencies[link.id].map { $0.inSeconds * 1000 }
        report.clockOffsetSeconds = link.clockOffset?.inSeconds
        report.networkGroup = self.facts(of: link).networkGroup
        return report
    }

    /// What a link reveals: its own word where it has one, and its driver's otherwise.
    func exposure(of link: Link) -> String? {
        link.description.exposure?.rawValue ?? self.driverStates[link.driver]?.exposure
    }

    var tipReports: [TipReport] {
        let chain = self.sync.chain
        var followers: [HeaderNode: [String]] = [chain.tip: ["self"]]
        if let tip = self.node.state?.bestBlock.flatMap(chain.find) { followers[tip, default: []].append("node") }
        for link in self.links.values.sorted(by: { $0.id < $1.id }) {
            guard let tip = self.sync.view(of: link.id)?.tip else { continue }
            followers[tip, default: []].append(link.subject.name)
        }
        return followers.sorted { chain.work(of: $0.key) > chain.work(of: $1.key) }.map { tip, names in
            TipReport(
                height: chain.height(of: tip), hash: chain.hash(of: tip).description,
                work: chain.work(of: tip).description, isBest: tip == chain.tip,
                forkHeight: chain.height(of: chain.fork(of: tip)), followers: names)
        }
    }

    func incidentReports(_ limit: Int, onlyOpen: Bool) throws(StoreError) -> [IncidentReport] {
        guard onlyOpen else { return try self.incidents.latest(limit).map(IncidentReport.init) }
        return self.watchdog.open.reversed().prefix(limit).map(IncidentReport.init)
    }

    func incident(_ id: Int64) throws(StoreError) -> Incident? { try self.incidents.one(id) }

    var counters: ControlCounters {
        ControlCounters(
            incidents: self.incidentCounts.map { entry in
                ControlCounters.Incidents(
                    kind: entry.key.kind.rawValue, severity: entry.key.severity.rawValue, count: entry.value)
            },
            transactions: TransactionRelay.Outcome.allCases.map { outcome in
                ControlCounters.Transactions(
                    outcome: outcome.rawValue, count: self.transactions.counts[outcome] ?? 0)
            })
    }

    func importReport(_ headers: [UInt8]) async throws(StoreError) -> ImportReport {
        let (added, rejection) = try await self.importHeaders(headers)
        return ImportReport(added: added, rejection: rejection, chain: self.sync.chain)
    }

    /// What a driver's links say beside its process.
    func listening(of driver: String) -> [String] { self.driverStates[driver]?.listening ?? [] }

    /// All in one answer, so that its numbers belong together.
    func statusReport(
        software: String, network: String, processID: Int32, started: WallClockTime, dataDirectory: String,
        drivers: Int
    ) -> StatusReport {
        StatusReport(
            software: software, network: network, processID: processID, started: Timestamp(started),
            dataDirectory: dataDirectory, chain: self.chainReport, links: self.links.count,
            linksBehind: self.linksBehind, drivers: drivers, openIncidents: self.openIncidents,
            storeFailure: self.storeFailure?.description)
    }
}

extension Orchestrator {
    /// Raw headers of the best chain from a height on; none above the tip.
    func exportHeaders(from height: UInt32, count: UInt32) throws -> [UInt8] {
        let chain = self.sync.chain
        guard height >= chain.startHeight else {
            throw ControlRefusal(
                .badRequest, "the chain starts at \(chain.startHeight), there is no header \(height)")
        }
        let end = min(UInt64(height) + UInt64(count), UInt64(chain.tipHeight) + 1)
        guard UInt64(height) < end else { return [] }
        return try self.headers(height..<UInt32(end))
    }
}
