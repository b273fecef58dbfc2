// SPDX-License-Identifier: MIT

internal import AltNetControl
internal import ArgumentParser

struct SplicesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "splices", abstract: "Every loopback port that leads to another node over a link.")

    @OptionGroup var daemon: DaemonOptions

    func run() async throws {
        try await self.daemon.show({ try await $0.splices() }) { splices in
            TextTable.of(
                ["SPLICE", "LISTENING", "DRIVER", "TARGET", "OPEN", "IN", "OUT", "PROBLEM"],
                splices.map { splice in
                    [
                        splice.name, splice.listening ?? "-", splice.driver, splice.target ?? "any",
                        "\(splice.connections)", "\(splice.bytesIn)", "\(splice.bytesOut)", splice.reason ?? "",
                    ]
                }, empty: "no splices; name them in the configuration under [splice]")
        }
    }
}
