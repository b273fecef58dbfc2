// SPDX-License-Identifier: MIT

internal import AltNetConfiguration
internal import ArgumentParser

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Checks the set-up, and says what to mend.",
        discussion: """
            Changes nothing. Each line is ok, warn or FAIL; the status is 1 when anything has failed. Run it as the user \
            of the daemon: what that user cannot read, the daemon cannot either.
            """)

    @OptionGroup var settings: SettingOptions

    @Flag(help: "Print one JSON value for programs.")
    var json = false

    func run() async throws {
        let gatherer: DoctorGatherer
        do {
            gatherer = DoctorGatherer(try self.settings.read(), file: self.settings.fileInUse)
        } catch let error as ConfigurationError {
            gatherer = DoctorGatherer(broken: error.description)
        }
        let findings = DoctorChecks.all(await gatherer.situation())
        print(self.json ? try JSONText.of(findings) : findings.map(\.line).joined(separator: "\n"))
        if findings.contains(where: { $0.verdict == .fail }) { throw ExitCode(1) }
    }
}
