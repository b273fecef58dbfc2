// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetConfiguration
internal import AltNetControl
internal import AltNetDriverHost
internal import AltNetDriverProtocol
internal import AltNetHeaderChain
internal import AltNetHeaderSync
internal import AltNetNode
internal import AltNetObjects
internal import AltNetWatchdog
internal import AltNetWeb

/// Of what there have been how many incidents.
struct IncidentCount: Hashable, Sendable {
    let kind: Incident.Kind
    let severity: Incident.Severity
}

/// Telling those who look on: event streams, alerts, and whoever asks whether it is safe.
extension Orchestrator {
    func publish(_ incident: Incident, _ change: ControlEvent.Change) {
        self.events.publish(.incident(.init(change: change, incident: IncidentReport(incident))))
    }

    func publishNode() {
        self.events.publish(.node(self.nodeReport))
    }

    func publish(_ link: Link, _ change: ControlEvent.Change) {
        self.events.publish(.link(.init(change: change, link: self.report(link))))
    }

    /// Tells how a driver is now; one that is gone is no news.
    func publishDriver(_ name: String) async {
        guard let found = await self.host?.statuses.first(where: { $0.specification.name == name }) else { return }
        var report = DriverReport(found.specification, found.status, restarts: found.restarts)
        report.listening = self.listening(of: name)
        self.events.publish(.driver(report))
    }

    /// Tells those who asked to be told by alerts, if the policy alerts of this kind at all.
    func tell(_ incident: Incident, _ change: ControlEvent.Change) {
        guard self.parts.policy.policy.table[incident.kind]?.contains(.alert) == true else { return }
        self.parts.tell(incident, change)
    }

    /// Whether a payment system may rely on what the node says.
    var safeReport: SafeReport {
        var reasons = self.watchdog.open.filter(Self.isUnsafe).map(\.explanation)
        if let node = self.parts.node {
            switch self.node.state?.reach {
            case .reachable: break
            case nil: reasons.append("\(node.description) has not answered yet")
            case .unreachable(let why), .refused(let why), .wrongNetwork(let why): reasons.append(why)
            }
            if self.node.state?.isSyncing == true { reasons.append("the node is still downloading the chain") }
        }
        if !self.links.values.contains(where: self.isLevel) {
            reasons.append("no link has shown the best chain, so that nothing confirms what the node says")
        }
        return SafeReport(safe: reasons.isEmpty, reasons: reasons)
    }

    /// What is critical; and of the node already that a single proven block is missing, because whoever asks is about to
    /// act on what the node says.
    private static func isUnsafe(_ incident: Incident) -> Bool {
        switch incident.kind {
        case .nodeBehind, .withheldBlock, .invalidBranch: incident.subject == .node || incident.severity == .critical
        default: incident.severity == .critical
        }
    }

    /// Whether a link that the operator asked for has shown our best tip, or is within the grace of it.
    private func isLevel(_ link: Link) -> Bool {
        guard !link.description.target.isEmpty, let missing = self.sync.missing(of: link.id) else { return false }
        return missing.count == 0
            || self.proven.proof(of: missing.firstHeight).at + self.parts.watchdog.grace > .system
    }

    var nodeReport: NodeReport {
        guard let node = self.parts.node else {
            return NodeReport(kind: "none", description: "no node; the embedded header chain", reach: "none")
        }
        let kind = self.parts.nodeSettings.kind.rawValue
        guard let state = self.node.state else {
            return NodeReport(kind: kind, description: node.description, reach: "unreachable")
        }
        var report = NodeReport(kind: kind, description: node.description, reach: "reachable")
        switch state.reach {
        case .reachable: break
        case .unreachable(let why): (report.reach, report.reason) = ("unreachable", why)
        case .refused(let why): (report.reach, report.reason) = ("refused", why)
        case .wrongNetwork(let why): (report.reach, report.reason) = ("wrong-network", why)
        }
        report.isSyncing = state.isSyncing
        report.blocks = state.blocks
        report.headers = state.headers
        report.bestBlock = state.bestBlock?.description
        report.version = state.version.isEmpty ? nil : state.version
        report.inboundPeers = state.peers.count(where: \.isInbound)
        report.outboundPeers = state.peers.count - report.inboundPeers
        report.followedBy = state.followedBy.isEmpty ? nil : state.followedBy
        report.allow = self.parts.nodeSettings.allow.map(\.rawValue).sorted()
        report.missingBlocks = self.nodeMissing?.count
        return report
    }

    /// The last blocks of the best chain, newest first.
    func blockReports(_ limit: Int) -> [BlockReport] {
        let chain = self.sync.chain
        let lowest = chain.tipHeight - min(chain.tipHeight - chain.startHeight, UInt32(max(limit, 1)) - 1)
        return (lowest...chain.tipHeight).reversed().compactMap { height in
            guard let node = chain.best(at: height) else { return nil }
            let proof = self.proven.proof(of: height)
            return BlockReport(
                height: height, hash: chain.hash(of: node).description,
                time: Timestamp(WallClockTime(seconds: Int64(chain.time(of: node)))), provenAt: Timestamp(proof.at),
                provenBy: proof.by)
        }
    }
}

extension IncidentReport {
    init(_ incident: Incident) {
        self.init(
            id: incident.id, kind: incident.kind.rawValue, severity: incident.severity.rawValue,
            subject: incident.subject.name, explanation: incident.explanation,
            behind: incident.behind.map {
                Behind(
                    blocks: $0.blocks, firstMissingHeight: $0.firstMissing.height,
                    firstMissingHash: $0.firstMissing.hash.description, provenBy: $0.provenBy.name)
            },
            measures: incident.measures.map { Measure(name: $0.name, value: $0.value, unit: $0.unit) },
            actions: incident.actions.map {
                Action(at: Timestamp($0.at), action: $0.action, outcome: $0.outcome.rawValue, detail: $0.detail)
            },
            since: Timestamp(incident.since), opened: Timestamp(incident.opened), updated: Timestamp(incident.updated),
            closed: incident.closed.map(Timestamp.init), ending: incident.ending?.rawValue)
    }
}
