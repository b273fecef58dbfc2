// SPDX-License-Identifier: MIT

internal import AltNetReplay
internal import AltNetWatchdog
internal import ArgumentParser
internal import Glibc

/// `altnet incidents verify FILE`.
struct VerifyEvidenceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Checks the exported proof of an incident, without a daemon.",
        discussion: """
            Says what the headers prove by themselves, and what rests on the word of the daemon that wrote the file. The \
            first line is PROVEN when headers that are dear to make show what is claimed, and CONSISTENT when nothing \
            contradicts it, and it rests on the daemon's word. The status is 0 for both, 1 when something contradicts, \
            and 65 when the file is no evidence file.
            """)

    @Argument(help: "A file of `altnet incidents show ID --evidence FILE`.", completion: .file())
    var file: String

    @Flag(help: "Print one JSON value for programs.")
    var json = false

    struct Report: Encodable {
        struct Problem: Encodable {
            var name: String
            var explanation: String
        }

        /// Nothing contradicts what the file says.
        var valid: Bool
        /// Headers that are dear to make show what is claimed.
        var proves: Bool
        var summary: String?
        var kind: String?
        var subject: String?
        var problem: Problem?
        var proven: [String]
        var claimed: [String]
        var notes: [String]
    }

    func run() async throws {
        let bytes: [UInt8]
        do {
            bytes = try InputFile.read(self.file, atMost: EvidenceFile.maximumLength)
        } catch let problem as InputFile.Problem {
            throw Failure.exit(problem.description, status: EX_NOINPUT)
        }
        var report = Report(valid: false, proves: false, proven: [], claimed: [], notes: [])
        var status: Int32 = 0
        do throws(EvidenceError) {
            let file = try EvidenceFile(bytes)
            report.kind = file.incident.kind.rawValue
            report.subject = file.incident.subject.name
            let verification = try file.verify()
            report.valid = true
            report.proves = verification.proves
            report.summary = verification.summary
            report.proven = verification.proven
            report.claimed = verification.claimed
            report.notes = verification.notes
        } catch {
            report.problem = Report.Problem(name: error.name.rawValue, explanation: error.description)
            status = error.name.isAboutTheFile ? EX_DATAERR : 1
        }
        print(self.json ? try JSONText.of(report) : Self.text(report))
        guard status == 0 else { throw ExitCode(status) }
    }

    private static func text(_ report: Report) -> String {
        if let problem = report.problem { return "INVALID  \(problem.name): \(problem.explanation)" }
        var lines = [
            report.summary ?? "", "The claim: \(report.kind ?? "") of \(report.subject ?? "")", "",
            "Proven by the headers themselves:",
        ]
        lines += (report.proven.isEmpty ? ["nothing"] : report.proven).map { "  - \($0)" }
        lines += ["", "On the word of the daemon that wrote the file:"] + report.claimed.map { "  - \($0)" }
        if !report.notes.isEmpty { lines += ["", "Not checked:"] + report.notes.map { "  - \($0)" } }
        return lines.joined(separator: "\n")
    }
}
