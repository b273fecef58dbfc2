// SPDX-License-Identifier: MIT

internal import AltNetControl
internal import ArgumentParser

struct DriverCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "driver", abstract: "Attaches drivers to a running daemon, and detaches them.",
        subcommands: [Attach.self, Detach.self])

    struct Attach: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Starts a driver and keeps it running until it is detached.",
            discussion: """
                altnet driver attach tor --program altnet-bitcoin --setting proxy=127.0.0.1:9050 --setting \
                    connect=203.0.113.5:8333
                altnet driver attach usb --program ./driver.py --setting settings.file=/media/usb/headers
                """)

        @Argument(help: "A name for it: a-z, 0-9, - and _.")
        var name: String

        @Option(help: "Its program: a path, or a name to find beside altnetd or in PATH. Default: altnet-NAME.")
        var program: String?

        @Option(
            name: .customLong("setting"),
            help: ArgumentHelp("A setting of the driver as in [drivers.NAME]. Repeatable.", valueName: "name=value"))
        var assignments: [String] = []

        @OptionGroup var daemon: DaemonOptions

        func run() async throws {
            var settings: [String: String] = [:]
            for assignment in self.assignments {
                let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                guard parts.count == 2 else { throw ValidationError("--setting \(assignment): expected name=value") }
                settings[String(parts[0])] = String(parts[1])
            }
            let request = AttachRequest(name: self.name, program: self.program, settings: settings)
            try await self.daemon.show({ try await $0.attach(request) }, as: DriverText.of)
        }
    }

    struct Detach: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stops a driver; its links close. Returns when its process is gone.")

        @Argument(help: "The driver's name.")
        var name: String

        @OptionGroup var daemon: DaemonOptions

        func run() async throws {
            try await self.daemon.show({ client in
                try await client.detach(self.name)
                return ["detached": self.name]
            }) { _ in "\(self.name) detached" }
        }
    }
}

struct LinkCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "link", abstract: "Gives drivers remotes to connect to, and takes them away.",
        subcommands: [Open.self, Close.self])

    struct Target: ParsableArguments {
        @Argument(help: "The driver's name.")
        var driver: String

        @Argument(help: "The remote: host:port for bitcoin, pubkey@host:port for lightning.")
        var target: String

        @OptionGroup var daemon: DaemonOptions
    }

    struct Open: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Connects to a remote and stays connected, until it is closed or the daemon stops.")

        @OptionGroup var target: Target

        func run() async throws {
            try await self.target.daemon.show({ client in
                try await client.openTarget(self.target.target, driver: self.target.driver)
                return ["target": self.target.target]
            }) { _ in "\(self.target.driver) connects to \(self.target.target); see `altnet links`" }
        }
    }

    struct Close: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Closes the link to a remote, and does not connect again.")

        @OptionGroup var target: Target

        func run() async throws {
            try await self.target.daemon.show({ client in
                try await client.closeTarget(self.target.target, driver: self.target.driver)
                return ["target": self.target.target]
            }) { _ in "\(self.target.driver) leaves \(self.target.target)" }
        }
    }
}
