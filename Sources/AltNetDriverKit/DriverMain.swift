// SPDX-License-Identifier: MIT

public import AltNetDriverProtocol
internal import Dispatch
internal import Glibc
public import Logging

/// The main function of every driver: reads the start line, attaches, answers pings, and ends when it should.
public enum DriverMain {
    /// Runs a driver until the orchestrator stops it, and exits the process.
    ///
    /// - Parameters:
    ///   - software: name and version, for people.
    ///   - make: builds the driver from its start line; a ``DriverSetupError`` ends the process with status 78.
    public static func run<Instance: Driver>(
        software: String, _ make: @Sendable (DriverStart) async throws -> Instance
    ) async -> Never {
        Self.answerHelp(software: software)
        LoggingSystem.bootstrap { _ in PlainLogHandler() }
        signal(SIGPIPE, SIG_IGN)
        // An interrupt at the terminal reaches the whole process group; the orchestrator decides when we stop.
        signal(SIGINT, SIG_IGN)
        guard let line = readLine(), let start = DriverStart(line: line) else {
            Self.fail("the first line on standard input must be the JSON that altnetd writes", restartHelps: false)
        }
        do {
            let driver = try await Self.make(start, make)
            Self.exitAtEndOfInput()
            switch try await DriverAttachment.run(driver, start: start, software: software) {
            case .stopped: exit(0)
            case .lost(let reason): Self.fail(reason, restartHelps: true)
            }
        } catch let error as DriverSetupError {
            Self.fail(error.description, restartHelps: false)
        } catch {
            Self.fail("\(error)", restartHelps: true)
        }
    }

    /// The driver of a start line that this version understands.
    static func make<Instance: Driver>(
        _ start: DriverStart, _ make: @Sendable (DriverStart) async throws -> Instance
    ) async throws -> Instance {
        guard start.version == DriverProtocol.version else {
            throw DriverSetupError(
                "altnetd speaks driver protocol \(start.version), this driver \(DriverProtocol.version)")
        }
        return try await make(start)
    }

    /// Ends the process when the orchestrator closes our standard input, as its own end does.
    private static func exitAtEndOfInput() {
        DispatchQueue(label: "standard input").async {
            while readLine() != nil {}
            exit(0)
        }
    }

    private static func answerHelp(software: String) {
        guard let argument = CommandLine.arguments.dropFirst().first else { return }
        switch argument {
        case "--version":
            print(software)
        default:
            print(
                """
                \(software)

                This is a driver of AltNet. altnetd starts it and tells it on standard input what to do, so there is
                nothing to say on its command line. Configure it in altnet.toml under [drivers], or attach it to a
                running daemon:

                  altnet driver attach NAME --program /path/to/driver

                OPTIONS: --version  --help
                """)
        }
        exit(argument == "--version" || argument == "--help" || argument == "-h" ? 0 : 64)
    }

    private static func fail(_ sentence: String, restartHelps: Bool) -> Never {
        let line = Array((sentence + "\n").utf8)
        _ = write(STDERR_FILENO, line, line.count)
        exit(restartHelps ? 1 : DriverProtocol.configurationErrorStatus)
    }
}
