// SPDX-License-Identifier: MIT

internal import AltNetControl
internal import ArgumentParser
internal import Glibc

struct IncidentsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "incidents", abstract: "What the watchdog found: list, show with proof, verify.",
        discussion: "Without a subcommand it lists. docs/watchdog.md explains each kind of incident.",
        subcommands: [ListIncidentsCommand.self, ShowIncidentCommand.self, VerifyEvidenceCommand.self],
        defaultSubcommand: ListIncidentsCommand.self)
}

struct ListIncidentsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "The latest incidents, newest first.")

    @OptionGroup var daemon: DaemonOptions

    @Option(help: "The most incidents to print.")
    var limit = 20

    @Flag(help: "Only those that have not ended.")
    var open = false

    func validate() throws {
        guard (1...ControlInterface.maximumIncidents).contains(self.limit) else {
            throw ValidationError("--limit must be from 1 to \(ControlInterface.maximumIncidents)")
        }
    }

    func run() async throws {
        try await self.daemon.show({ try await $0.incidents(limit: self.limit, onlyOpen: self.open) }) { incidents in
            incidents.isEmpty
                ? "no incidents\(self.open ? " are open" : "")"
                : incidents.map(IncidentText.line).joined(separator: "\n")
        }
    }
}

struct ShowIncidentCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "One incident: what was found, what was done; and its proof as a file.")

    @Argument(help: "The number that `altnet incidents` shows.")
    var id: Int64

    @Option(
        help: ArgumentHelp(
            "Write the proof here, for `altnet incidents verify` on any machine.", valueName: "file"),
        completion: .file())
    var evidence: String?

    @OptionGroup var daemon: DaemonOptions

    func run() async throws {
        if let evidence {
            let bytes: [UInt8]
            do {
                bytes = try await self.daemon.client().evidence(of: self.id)
            } catch let error as ControlError {
                throw Failure.exit(error.description)
            }
            try Self.write(bytes, to: evidence)
        }
        try await self.daemon.show({ try await $0.incident(self.id) }) { incident in
            var lines = [IncidentText.line(incident)]
            for measure in incident.measures {
                lines.append("   \(measure.name): \(measure.value) \(measure.unit)")
            }
            if let behind = incident.behind {
                lines.append("   first missing block \(behind.firstMissingHash), brought by \(behind.provenBy)")
            }
            for action in incident.actions {
                lines.append("   \(action.at)  \(action.action) \(action.outcome): \(action.detail)")
            }
            if let evidence { lines.append("   the proof is in \(evidence); check it with `altnet incidents verify`") }
            return lines.joined(separator: "\n")
        }
    }
}

extension ShowIncidentCommand {
    /// Writes a new file that only its owner can read: it names the operator's links.
    private static func write(_ bytes: [UInt8], to path: String) throws {
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            let reason = errno == EEXIST ? "there is such a file already" : String(cString: strerror(errno))
            throw Failure.exit("\(path) cannot be written: \(reason)")
        }
        defer { close(descriptor) }
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
            throw Failure.exit("\(path) cannot be written: \(String(cString: strerror(errno)))")
        }
    }
}

enum IncidentText {
    static func line(_ incident: IncidentReport) -> String {
        let state = incident.closed == nil ? "OPEN" : "closed"
        let ending = incident.ending.map { " (\($0))" } ?? ""
        return """
            \(incident.id)  \(state)  \(incident.severity)  \(incident.kind)
               \(incident.explanation)
               since \(incident.since), reported \(incident.opened)\
            \(incident.closed.map { ", closed \($0)\(ending)" } ?? "")
            """
    }
}

struct NodeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "node", abstract: "The operator's own node, and whether the daemon thinks it is safe.")

    @OptionGroup var daemon: DaemonOptions

    struct Report: Encodable {
        var node: NodeReport
        var safe: SafeReport
    }

    func run() async throws {
        try await self.daemon.show({ Report(node: try await $0.node(), safe: try await $0.safe()) }) { report in
            let node = report.node
            var lines = [node.description, "state      \(node.reach)\(node.reason.map { ": \($0)" } ?? "")"]
            if let blocks = node.blocks {
                let behind = node.missingBlocks.map { $0 == 0 ? ", level" : ", \($0) behind" } ?? ""
                lines.append("blocks     \(blocks) of \(node.headers ?? blocks) headers\(behind)")
            }
            if node.isSyncing { lines.append("           still downloading the chain") }
            if let version = node.version { lines.append("software   \(version)") }
            if let followed = node.followedBy { lines.append("followed   by \(followed)") }
            if node.reach == "reachable" {
                lines.append("peers      \(node.outboundPeers) outbound, \(node.inboundPeers) inbound")
            }
            lines.append("may change \(node.allow.isEmpty ? "nothing" : node.allow.joined(separator: ", "))")
            lines.append(report.safe.safe ? "safe       yes" : "safe       NO")
            lines += report.safe.reasons.map { "           \($0)" }
            return lines.joined(separator: "\n")
        }
    }
}

struct AlertsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "alerts", abstract: "Who was told of incidents, newest first; and tests.",
        subcommands: [ListAlertsCommand.self, TestAlertCommand.self], defaultSubcommand: ListAlertsCommand.self)
}

struct ListAlertsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "The latest deliveries and failures, newest first.")

    @OptionGroup var daemon: DaemonOptions

    func run() async throws {
        try await self.daemon.show({ try await $0.alerts(limit: 50) }) { alerts in
            TextTable.of(
                ["AT", "SINK", "INCIDENT", "OUTCOME", "ATTEMPT", "DETAIL"],
                alerts.map {
                    ["\($0.at)", $0.sink, "\($0.incident)", $0.outcome, "\($0.attempt)", $0.detail]
                }, empty: "no alerts were sent since the daemon started")
        }
    }
}

struct TestAlertCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Sends a test alert to one sink, and says what became of it.")

    @Argument(help: "The name of the sink: NAME of [alerts.NAME].")
    var sink: String

    @OptionGroup var daemon: DaemonOptions

    func run() async throws {
        try await self.daemon.show({ try await $0.sendTestAlert(to: self.sink) }) {
            "\($0.sink): \($0.outcome)\($0.detail.isEmpty ? "" : ": \($0.detail)")"
        }
    }
}
