// SPDX-License-Identifier: MIT

internal import AltNetControl
internal import ArgumentParser

struct DashboardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dashboard", abstract: "Prints an address that logs a browser in to the dashboard.",
        discussion: """
            The address is good once, and for two minutes. Whoever opens it can look at everything; with --control also \
            change things, until logged out or for twelve hours.
            """)

    @OptionGroup var daemon: DaemonOptions

    @Flag(help: "Let the browser change things too.")
    var control = false

    func run() async throws {
        try await self.daemon.show({ try await $0.login(self.control ? .full : .readOnly) }) { $0.url }
    }
}
