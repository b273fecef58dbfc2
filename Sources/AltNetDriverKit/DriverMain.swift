// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetDriverProtocol
internal import AsyncAlgorithms
internal import Dispatch
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Glibc
public import Logging

/// The main function of every driver: reads the start line, attaches, answers pings, and ends when it should.
public enum DriverMain {
    /// How many commands may wait for the driver. The orchestrator keeps within a few per link, so more means that the
    /// driver does not keep up, and it is better restarted than grown.
    static let maximumWaitingCommands = 4096

    /// Runs a driver until the orchestrator stops it, and exits the process.
    ///
    /// - Parameters:
    ///   - software: name and version, for people.
    ///   - make: builds the driver from its start line; a ``DriverSetupError`` ends the process with status 78.
    public static func run<Instance: Driver>(
        software: String, _ make: @Sendable (DriverStart) throws -> Instance
    ) async -> Never {
        Self.answerHelp(software: software)
        LoggingSystem.bootstrap { _ in PlainLogHandler() }
        signal(SIGPIPE, SIG_IGN)
        // An interrupt at the terminal reaches the whole process group; the orchestrator decides when we stop.
        signal(SIGINT, SIG_IGN)
        guard let line = readLine(), let start = DriverStart(line: line) else {
            Self.fail("the first line on standard input must be the JSON that altnetd writes", restartHelps: false)
        }
        guard start.version == DriverProtocol.version else {
            Self.fail(
                "altnetd speaks driver protocol \(start.version), this driver \(DriverProtocol.version)",
                restartHelps: false)
        }
        do {
            let driver = try make(start)
            Self.exitAtEndOfInput()
            try await Self.attach(driver, start: start, software: software)
            exit(0)
        } catch let error as DriverSetupError {
            Self.fail(error.description, restartHelps: false)
        } catch let error as RPCError {
            Self.fail("altnetd ended the connection: \(error.code): \(error.message)", restartHelps: true)
        } catch {
            Self.fail("\(error)", restartHelps: true)
        }
    }

    private static func attach(_ driver: some Driver, start: DriverStart, software: String) async throws {
        let events = AsyncChannel<DriverEvent>()
        let (commands, continuation) = AsyncStream.makeStream(
            of: DriverCommand.self, bufferingPolicy: .bufferingOldest(Self.maximumWaitingCommands))
        let connection = OrchestratorConnection(commands: commands) { await events.send($0) }
        let hello = DriverEvent.hello(
            DriverHello(
                name: start.name, secret: start.secret, software: software, capabilities: driver.capabilities,
                identity: driver.identity))
        let transport = try HTTP2ClientTransport.Posix(
            target: .unixDomainSocket(path: start.socket), transportSecurity: .plaintext,
            config: .defaults {
                $0.http2.maxFrameSize = DriverProtocol.frameSize
                $0.http2.targetWindowSize = DriverProtocol.windowSize
            })
        var options = CallOptions.defaults
        options.maxRequestMessageBytes = DriverProtocol.maximumMessageSize
        options.maxResponseMessageBytes = DriverProtocol.maximumMessageSize
        let callOptions = options
        try await withGRPCClient(transport: transport) { client in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    // The stop reaches us either here or through the end of the commands.
                    defer { continuation.finish() }
                    let orchestrator = ProtobufOrchestrator.Client(wrapping: client)
                    try await orchestrator.attach(options: callOptions) { writer in
                        try await writer.write(hello.protobuf)
                        for await event in events { try await writer.write(event.protobuf) }
                    } onResponse: { response in
                        for try await message in response.messages {
                            switch try DriverCommand(message) {
                            case .welcome: break
                            case .stop: return
                            case .ping(let number): await events.send(.pong(number))
                            case let command:
                                guard case .enqueued = continuation.yield(command) else {
                                    throw DriverProtocolError("the driver does not keep up with its commands")
                                }
                            }
                        }
                    }
                }
                group.addTask {
                    try await driver.run(connection)
                    events.finish()
                }
                // Whichever ends first ends the other: a stop ends the commands, a failure throws.
                try await group.next()
                events.finish()
                continuation.finish()
                group.cancelAll()
            }
        }
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
