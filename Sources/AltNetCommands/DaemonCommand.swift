// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetConfiguration
internal import AltNetNode
internal import AltNetOrchestrator
internal import AltNetStore
public import ArgumentParser
internal import Glibc
internal import Logging
internal import ServiceLifecycle
internal import UnixSignals

/// The command line of `altnetd`.
public struct DaemonCommand: AsyncParsableCommand {
    public static let configuration = CommandConfiguration(
        commandName: "altnetd",
        abstract: "Keeps a Bitcoin node connected to the real network, and notices when a path lies or stalls.",
        discussion: """
            Without any option it follows the main network with its own header chain, watches the node at \
            127.0.0.1:8333, and starts a Lightning driver that you can give links to with `altnet link open`.

            Options on the command line outrank the environment (ALTNET_NETWORK, ALTNET_DRIVERS_BITCOIN_CONNECT, …), \
            which outranks the configuration file. docs/configuration.md explains every setting.
            """,
        version: "altnetd \(AltNetVersion.current)")

    @OptionGroup var settings: SettingOptions

    @Option(name: .customLong("log-level"), help: "trace, debug, info, notice, warning or error.")
    var logLevel: String?

    @Option(
        name: .customLong("probe-kernel"),
        help: ArgumentHelp("Tries a libbitcoinkernel and ends: it may crash without harm.", visibility: .hidden))
    var probedKernel: String?

    public init() {}

    public func run() async throws {
        if let probedKernel {
            throw ExitCode(KernelProbe.main(path: probedKernel.isEmpty ? nil : probedKernel))
        }
        signal(SIGPIPE, SIG_IGN)
        // A file that may not grow is an error like a full disk, not the end.
        signal(SIGXFSZ, SIG_IGN)
        // What a node follows is its owner's business: whatever we or our drivers create, others cannot read.
        umask(0o077)
        var flags: [String: String] = [:]
        if let logLevel { flags["log_level"] = logLevel }
        let configuration = try self.settings.load(adding: flags)
        let level = Logger.Level(rawValue: configuration.logLevel.rawValue) ?? .info
        LoggingSystem.bootstrap { label in
            var handler = StreamLogHandler.standardError(label: label)
            handler.logLevel = level
            return handler
        }
        let logger = Logger(label: "altnetd")
        let daemon: Daemon
        do {
            daemon = try await Daemon.make(configuration, programDirectory: Self.programDirectory, logger: logger)
        } catch let error as StoreError {
            throw Failure.exit(error.description, status: 1)
        } catch let error as Daemon.Failure {
            throw Failure.exit(error.description, status: EX_CONFIG)
        }
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: daemon, successTerminationBehavior: .gracefullyShutdownGroup)],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        do {
            try await group.run()
        } catch {
            throw Failure.exit("altnetd stops: \(error)", status: 1)
        }
    }

    /// Where this program lies.
    private static var programDirectory: String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        let path = String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
    }
}

/// Where the configuration comes from; the same for the daemon and for the command line that talks to it.
struct SettingOptions: ParsableArguments {
    @Option(
        name: [.customShort("c"), .customLong("config")],
        help: "The configuration file. Default: altnet.toml in ~/.config/altnet or /etc/altnet, if there is one.")
    var file: String?

    @Option(help: "main, testnet3, testnet4, signet or regtest.")
    var network: String?

    @Option(name: .customLong("data-directory"), help: "Where everything is kept, one directory for each network.")
    var dataDirectory: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "Any setting by its name, for example drivers.bitcoin.connect=127.0.0.1:8333. Repeatable.",
            valueName: "name=value"))
    var assignments: [String] = []

    func load(adding extra: [String: String] = [:]) throws -> DaemonConfiguration {
        do {
            return try self.read(adding: extra)
        } catch let error as ConfigurationError {
            throw Failure.exit("\(error)", status: EX_CONFIG)
        }
    }

    /// The file that settings come from, besides the environment and the command line; `nil` when there is none.
    var fileInUse: String? { DaemonConfiguration.fileInUse(self.file, environment: Self.environment) }

    /// The same as ``load(adding:)`` with the mistake as an error: a `ConfigurationError`.
    func read(adding extra: [String: String] = [:]) throws -> DaemonConfiguration {
        var flags = extra
        if let network { flags["network"] = network }
        if let dataDirectory { flags["data_directory"] = dataDirectory }
        for assignment in self.assignments {
            let parts = assignment.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else {
                throw ValidationError("--set \(assignment): expected name=value")
            }
            flags[String(parts[0])] = String(parts[1])
        }
        return try DaemonConfiguration.load(file: self.file, environment: Self.environment, flags: flags)
    }

    private static var environment: [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let variable = entry.pointee {
            let parts = String(cString: variable).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { variables[String(parts[0])] = String(parts[1]) }
            entry += 1
        }
        return variables
    }
}

/// An end with a sentence for the operator and a status for scripts.
enum Failure {
    static func exit(_ sentence: String, status: Int32 = 1) -> ExitCode {
        let line = Array(("error: " + sentence + "\n").utf8)
        _ = write(STDERR_FILENO, line, line.count)
        return ExitCode(status)
    }
}
