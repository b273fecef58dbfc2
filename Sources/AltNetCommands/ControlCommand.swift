// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetConfiguration
internal import AltNetControl
public import ArgumentParser
internal import FoundationEssentials

/// The command line of `altnet`.
public struct ControlCommand: AsyncParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "altnet",
        abstract: "Looks at and commands a running altnetd, and works on files of headers.",
        discussion: """
            Every command answers --json with one JSON value for programs, and ends with a status other than 0 when it \
            fails. A daemon is found by the same settings that it was started with: --network and --data-directory.
            """,
        version: "altnet \(AltNetVersion.current)",
        subcommands: [
            StatusCommand.self, NodeCommand.self, LinksCommand.self, TipsCommand.self, IncidentsCommand.self,
            AlertsCommand.self, SplicesCommand.self,
            DriversCommand.self, DashboardCommand.self, TopCommand.self, DriverCommand.self, LinkCommand.self,
            MessageCommand.self, AlternativeAddressCommand.self, PeersCommand.self, PunchCommand.self, NATCommand.self,
            DHTCommand.self,
            RecordCommand.self,
            HeadersCommand.self, RegtestCommand.self, ReplayCommand.self, DoctorCommand.self,
        ])

    public init() {}
}

/// What every command that talks to a daemon takes.
struct DaemonOptions: ParsableArguments {
    @OptionGroup var settings: SettingOptions

    @Flag(help: "Print one JSON value for programs.")
    var json = false

    func client() throws -> ControlClient {
        ControlClient(socketPath: try self.settings.load().controlSocket)
    }

    /// Asks the daemon, and prints what it answers.
    func show<Report: Encodable>(
        _ ask: (ControlClient) async throws -> Report, as text: (Report) -> String
    ) async throws {
        let report: Report
        do {
            report = try await ask(try self.client())
        } catch let error as ControlError {
            throw Failure.exit(error.description)
        }
        print(self.json ? try JSONText.of(report) : text(report))
    }
}

/// JSON as `--json` prints it.
enum JSONText {
    static func of(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}

/// A table for people: columns as wide as they need to be.
enum TextTable {
    static func of(_ header: [String], _ rows: [[String]], empty: String) -> String {
        guard !rows.isEmpty else { return empty }
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = column == row.count - 1 ? 0 : widths[column] - cell.count + 2
                line += cell + String(repeating: " ", count: padding)
            }
            return line
        }.joined(separator: "\n")
    }
}
