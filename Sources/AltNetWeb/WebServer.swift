// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
internal import FoundationEssentials
internal import Glibc
internal import Hummingbird
internal import HummingbirdCore
public import Logging
internal import NIOCore
internal import ServiceLifecycle
internal import Synchronization

/// The control interface: HTTP with JSON on a Unix socket that only the owner can use, and on a loopback port for
/// browsers and other programs, which have to show a token.
public struct WebServer: Sendable {
    private let configuration: WebConfiguration
    private let service: ControlService
    private let logger: Logger

    /// - Parameter events: what `GET /v1/events` tells. The daemon publishes there.
    public init(
        _ configuration: WebConfiguration, operations: any ControlOperations, events: EventHub, logger: Logger
    ) {
        self.configuration = configuration
        self.logger = logger
        self.service = ControlService(
            operations: operations, events: events, unix: Listener(.unix), tcp: Listener(.tcp),
            configuration: configuration, bound: BoundAddress(), logger: logger)
    }

    /// Serves until the task is cancelled or the service group around it shuts down.
    ///
    /// - Parameter onReady: called once both listeners can be used, with the dashboard's address, if there is one.
    /// - Throws: ``WebServerError`` when a listener cannot be opened.
    public func run(onReady: @Sendable @escaping (String?) async -> Void) async throws {
        let tokens = try self.configuration.listen.map { _ throws(WebServerError) in
            try AccessTokens(in: self.configuration.tokenDirectory)
        }
        defer { tokens?.remove() }
        let (tcpReady, tcpIsReady) = AsyncStream.makeStream(of: Void.self)
        try await withGracefulShutdownHandler {
            try await withThrowingTaskGroup(of: Void.self) { group in
                if let listen = self.configuration.listen, let tokens {
                    group.addTask {
                        try await self.serveLoopback(listen, tokens: tokens) { tcpIsReady.finish() }
                    }
                } else {
                    tcpIsReady.finish()
                }
                group.addTask {
                    // Last, so that whoever sees the socket can use both.
                    for await _ in tcpReady {}
                    try Task.checkCancellation()
                    try await self.serveSocket { await onReady(self.service.url) }
                }
                group.addTask {
                    while true {
                        try await Task.sleep(for: EventStream.beat)
                        self.service.events.beat()
                    }
                }
                defer { group.cancelAll() }
                try await group.next()
            }
        } onGracefulShutdown: {
            // Event streams would never end by themselves, and the listeners wait for their connections.
            self.service.events.finish()
        }
    }

    private func serveSocket(onReady: @Sendable @escaping () async -> Void) async throws {
        let path = self.configuration.socketPath
        unlink(path)
        defer { unlink(path) }
        try await self.application(self.service.unix, address: .unixDomainSocket(path: path)) { _ in
            chmod(path, 0o600)
            await onReady()
        }.run()
    }

    private func serveLoopback(
        _ address: LoopbackAddress, tokens: AccessTokens, onReady: @Sendable @escaping () async -> Void
    ) async throws {
        let application = self.application(
            self.service.tcp, address: .hostname(address.host, port: Int(address.port))
        ) { channel in
            let port = channel.localAddress?.port.flatMap { UInt16(exactly: $0) } ?? address.port
            let bound = LoopbackAddress(host: address.host, port: port)
            self.service.tcp.open(AccessControl(bound, tokens: tokens, now: .system))
            self.service.bound.set(bound)
            await onReady()
        }
        do {
            try await application.run()
        } catch let error as IOError {
            let reason =
                switch error.errnoCode {
                case EADDRINUSE: "another program, or another altnetd, listens there"
                case EACCES: "the system allows it to root only; choose a port above 1023"
                default: String(cString: strerror(error.errnoCode))
                }
            throw WebServerError(
                "cannot serve HTTP at \(address): \(reason); set `listen` in [http] to another port, "
                    + "or to \"\" for no HTTP")
        }
    }

    private func application(
        _ listener: Listener, address: BindAddress, onReady: @Sendable @escaping (any Channel) async -> Void
    ) -> Application<ControlResponder> {
        Application(
            responder: ControlResponder(service: self.service, listener: listener),
            server: .http1(
                configuration: HTTP1Channel.Configuration(
                    additionalChannelHandlers: [ConnectionLimits()],
                    httpDecoderConfiguration: HTTP1Channel.Configuration.DecoderConfiguration(
                        maxHeaderFieldSize: ConnectionLimits.maximumHeadBytes,
                        maxHeaderListSize: ConnectionLimits.maximumHeadBytes,
                        maxHeaderFieldCount: ConnectionLimits.maximumHeaders))),
            configuration: ApplicationConfiguration(
                address: address, serverName: nil, backlog: Listener.backlog,
                availableConnectionsDelegate: MaximumAvailableConnections(
                    Listener.maximumConnections, logger: self.logger)),
            onServerRunning: onReady, logger: self.logger)
    }
}

/// The address that TCP listens at, once it does: the system may have chosen the port.
final class BoundAddress: Sendable {
    private let address = Mutex<LoopbackAddress?>(nil)

    var value: LoopbackAddress? { self.address.withLock { $0 } }

    func set(_ address: LoopbackAddress) {
        self.address.withLock { $0 = address }
    }
}

extension MonotonicInstant {
    private static let epoch = ContinuousClock.now
    static var system: Self { Self(nanoseconds: (ContinuousClock.now - Self.epoch).wholeNanoseconds) }
}

extension WallClockTime {
    static var system: Self { Self(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }
}
