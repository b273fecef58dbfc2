// SPDX-License-Identifier: MIT

internal import AltNetDriverProtocol
internal import AsyncAlgorithms
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Synchronization

/// Why a driver is attached no longer.
public enum DriverEnding: Hashable, Sendable {
    /// The orchestrator said Stop: it goes, or does not want the driver any more.
    case stopped
    /// The connection is gone, or never stood, for the reason.
    case lost(String)
}

/// One attachment of a driver: from Hello to the end of the stream. Answers pings.
enum DriverAttachment {
    /// How many commands may wait for the driver. The orchestrator keeps within a few per link, so more means that the
    /// driver does not keep up, and it is better restarted than grown.
    static let maximumWaitingCommands = 4096

    /// Runs a driver until either side ends the attachment, or the task is cancelled.
    ///
    /// - Throws: what the driver throws, and a `CancellationError`.
    static func run(
        _ driver: some Driver, start: DriverStart, software: String
    ) async throws -> DriverEnding {
        let ending = Mutex(DriverEnding.lost("the driver ended by itself"))
        do {
            try await Self.attach(driver, start: start, software: software) { end in ending.withLock { $0 = end } }
        } catch let error as RPCError {
            try Task.checkCancellation()
            return .lost(Self.sentence(error))
        }
        try Task.checkCancellation()
        return ending.withLock { $0 }
    }

    private static func sentence(_ error: RPCError) -> String {
        "altnetd ended the connection: \(error.code): \(error.message)"
    }

    private static func attach(
        _ driver: some Driver, start: DriverStart, software: String, onEnd: @escaping @Sendable (DriverEnding) -> Void
    ) async throws {
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
        // An orchestrator that is not there is not waited for: the next one has another socket, or another secret.
        options.waitForReady = false
        let callOptions = options
        try await withGRPCClient(transport: transport) { client in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    // The stop reaches us either here or through the end of the commands.
                    defer { continuation.finish() }
                    let orchestrator = ProtobufOrchestrator.Client(wrapping: client)
                    do {
                        try await orchestrator.attach(options: callOptions) { writer in
                            try await writer.write(hello.protobuf)
                            for await event in events { try await writer.write(event.protobuf) }
                        } onResponse: { response in
                            for try await message in response.messages {
                                switch try DriverCommand(message) {
                                case .welcome: break
                                case .stop: return onEnd(.stopped)
                                case .ping(let number): await events.send(.pong(number))
                                case let command:
                                    guard case .enqueued = continuation.yield(command) else {
                                        throw DriverProtocolError("the driver does not keep up with its commands")
                                    }
                                }
                            }
                            onEnd(.lost("altnetd ended the connection"))
                        }
                    } catch let error as RPCError where !Task.isCancelled {
                        // Told before the commands end: the driver may then be gone before this error is heard.
                        onEnd(.lost(Self.sentence(error)))
                        throw error
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
}
