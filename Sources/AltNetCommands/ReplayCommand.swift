// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
public import AltNetReplay
internal import AltNetWatchdog
public import ArgumentParser
internal import Glibc

struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Runs recorded observations through the watchdog, with the time of the recording.",
        discussion: """
            A file is a recording of a daemon (JSON lines), or has the arrival times of blocks at one node (lines of \
            height,hash,milliseconds). Several files of arrival times are watched links of one daemon. docs/watchdog.md \
            describes both forms, and what the replay makes up for files without headers. Each run of a recorded daemon is \
            replayed with the configuration that it had.

            With --inject, each arrival file is the node of an operator, and the attack is begun at random moments of \
            it: --inject silence, slow-feed or minority-branch.
            """)

    @Argument(help: "Recordings and files of arrival times.", completion: .file())
    var files: [String]

    @Option(help: ArgumentHelp("The file of arrival times that is the operator's node.", valueName: "file"))
    var node: String?

    @Option(help: "How long a proven header may be missing, in seconds. (default: as recorded, else 30)")
    var grace: Int?

    @Option(help: ArgumentHelp("Eclipse the node in this way instead.", valueName: "attack"))
    var inject: Injection.Attack?

    @Flag(help: "With --inject: an honest link stands beside the node.")
    var besideHonestLink = false

    @Option(help: "With --inject: how many attacks.")
    var moments = 1000

    @Option(help: "With --inject: where the random numbers begin.")
    var seed: UInt64 = 1

    @Flag(help: "Print one JSON value for programs.")
    var json = false

    func validate() throws {
        guard (0...86_400).contains(self.grace ?? 0) else { throw ValidationError("--grace must be from 0 to 86400") }
        guard (1...Injection.maximumMoments).contains(self.moments) else {
            throw ValidationError("--moments must be from 1 to \(Injection.maximumMoments)")
        }
    }

    func run() async throws {
        var configuration = Watchdog.Configuration()
        if let grace = self.grace { configuration.grace = .seconds(grace) }
        do {
            let files = try self.files.map {
                Replay.File(
                    name: Self.name($0), bytes: try InputFile.read($0, atMost: Replay.File.maximumLength))
            }
            if let attack = self.inject {
                let injection = try Injection(files: files, configuration: configuration)
                let outcomes = injection.run(
                    attack, moments: self.moments, seed: self.seed, besideHonestLink: self.besideHonestLink)
                let report = InjectionReport(
                    attack, besideHonestLink: self.besideHonestLink, seed: self.seed, outcomes: outcomes)
                print(self.json ? try JSONText.of(report) : Self.text(report))
                return
            }
            let script = try Replay.script(of: files, node: self.node.map(Self.name))
            let incidents = Replay.incidents(
                in: script, configuration: configuration, grace: self.grace.map { .seconds($0) })
            let report = ReplayReport(files: files.map(\.name), script: script, incidents: incidents)
            print(self.json ? try JSONText.of(report) : Self.text(report))
        } catch let problem as InputFile.Problem {
            throw Failure.exit(problem.description, status: EX_NOINPUT)
        } catch let error as ReplayError {
            throw Failure.exit(error.description, status: EX_DATAERR)
        }
    }

    /// A file's name without its folders: what the link is called.
    private static func name(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }

    private static func time(_ seconds: Int64) -> String {
        Timestamp(WallClockTime(seconds: seconds)).description
    }

    private static func text(_ report: ReplayReport) -> String {
        var lines = report.incidents.map {
            "\(Self.time($0.opened))  \($0.severity.padded(9)) \($0.kind): \($0.explanation)"
        }
        let more = report.critical + report.warning - report.incidents.count
        if more > 0 { lines.append("… and \(more) more") }
        lines += [
            "lines      \(report.lines) in \(report.files.count) files, \(Self.time(report.from)) to "
                + Self.time(report.to),
            "runs       \(report.episodes)",
            "critical   \(report.critical)",
            "warning    \(report.warning)",
        ]
        lines += report.kinds.sorted { $0.key < $1.key }.map { "           \($0.value) \($0.key)" }
        lines += report.torn.map { "torn       \($0); it is left out" }
        return lines.joined(separator: "\n")
    }

    private static func text(_ report: InjectionReport) -> String {
        func times(_ times: InjectionReport.Times?) -> String {
            guard let times else { return "" }
            func hours(_ seconds: Double) -> String { "\((seconds / 36).rounded() / 100) h" }
            return ": half within \(hours(times.median)), nine of ten within \(hours(times.ninetyPercent)), all within "
                + hours(times.maximum)
        }
        return """
            attack     \(report.attack), \(report.besideHonestLink ? "one honest link beside" : "the node alone")
            moments    \(report.moments), seed \(report.seed)
            noticed    \(report.noticed)\(times(report.secondsToNotice))
            critical   \(report.critical)\(times(report.secondsToCritical))
            first by   \(report.noticedBy.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", "))
            """
    }
}

extension Injection.Attack: ExpressibleByArgument {}

extension String {
    fileprivate func padded(_ width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - self.count))
    }
}
