// SPDX-License-Identifier: MIT

internal import Glibc
public import NIOCore
public import NIOPosix

/// A host and a port, as people write them.
public struct HostAndPort: Hashable, Sendable, CustomStringConvertible {
    public let host: String
    public let port: UInt16

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Reads `host:port`, `[ipv6]:port`, or either without a port when there is a default.
    public init?(_ text: String, defaultPort: UInt16? = nil) {
        let host: Substring
        let rest: Substring
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<end]
            rest = text[text.index(after: end)...]
        } else {
            let colon = text.firstIndex(of: ":") ?? text.endIndex
            host = text[..<colon]
            rest = text[colon...]
            // More than one colon without brackets is an IPv6 address that lacks them.
            guard rest.dropFirst().firstIndex(of: ":") == nil else { return nil }
        }
        guard !host.isEmpty, host.utf8.count <= Self.maximumHostLength,
            host.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else { return nil }
        if rest.isEmpty {
            guard let defaultPort else { return nil }
            self.init(host: String(host), port: defaultPort)
        } else {
            guard rest.hasPrefix(":"), let port = UInt16(rest.dropFirst()) else { return nil }
            self.init(host: String(host), port: port)
        }
    }

    /// The longest domain name (RFC 1035, section 2.3.4).
    static let maximumHostLength = 253

    public var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }
}

/// Makes and accepts TCP connections. No protocol decisions are taken here.
public struct StreamNetwork: Sendable {
    /// How long one attempt to connect may take, proxy included.
    static let connectTimeout: TimeAmount = .seconds(30)

    private let group: MultiThreadedEventLoopGroup

    public init(group: MultiThreadedEventLoopGroup = .singleton) {
        self.group = group
    }

    /// Connects to a remote, directly or through a SOCKS5 proxy (RFC 1928), which then also resolves the name.
    ///
    /// There is no way around a proxy that is given: when it fails, the connection fails.
    ///
    /// - Parameters:
    ///   - credentials: for the proxy; see ``ProxyCredentials``.
    ///   - allows: asked for each IP address that the name leads to, without a port; those that it refuses are not
    ///     connected to. Without one, and through a proxy, all are.
    ///   - onEvent: see ``StreamConnection``.
    public func connect(
        to remote: HostAndPort, proxy: HostAndPort?, credentials: ProxyCredentials? = nil,
        allows: (@Sendable (String) -> Bool)? = nil,
        onEvent: @escaping @Sendable (StreamConnection.Event) -> Void
    ) async throws -> StreamConnection {
        let bootstrap = ClientBootstrap(group: self.group)
            .connectTimeout(Self.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.autoRead, value: false)
        guard let proxy else {
            let resolver = allows.map { CheckedResolver(on: self.group.next(), allows: $0) }
            let channel = try await bootstrap.resolver(resolver).connect(host: remote.host, port: Int(remote.port))
                .get()
            return try await Self.connection(on: channel, remote: remote.description, onEvent: onEvent)
        }
        let channel = try await bootstrap.connect(host: proxy.host, port: Int(proxy.port)).get()
        do {
            let first = try await Self.negotiate(on: channel, remote: remote, credentials)
            return try await Self.connection(on: channel, remote: remote.description, first: first, onEvent: onEvent)
        } catch {
            channel.close(promise: nil)
            throw error
        }
    }

    /// Accepts connections at an address until the returned listener is closed.
    ///
    /// - Parameters:
    ///   - onEvent: makes the receiver of a new connection's events.
    ///   - onConnection: called for each connection.
    public func listen(
        on local: HostAndPort,
        makeReceiver:
            @escaping @Sendable () -> (
                onEvent: @Sendable (StreamConnection.Event) -> Void, onConnection: @Sendable (StreamConnection) -> Void
            )
    ) async throws -> StreamListener {
        StreamListener(
            channel: try await self.bootstrap(makeReceiver).bind(host: local.host, port: Int(local.port)).get())
    }

    /// The same at a port that connections of ours share. Of several listeners at one port, any one may get a connection.
    public func listen(
        at port: ReusedPort,
        makeReceiver:
            @escaping @Sendable () -> (
                onEvent: @Sendable (StreamConnection.Event) -> Void, onConnection: @Sendable (StreamConnection) -> Void
            )
    ) async throws -> StreamListener {
        let socket = try OwnedSocket.sharing(port.endpoint)
        return StreamListener(channel: try await self.bootstrap(makeReceiver).withBoundSocket(socket.release()).get())
    }

    private func bootstrap(
        _ makeReceiver:
            @escaping @Sendable () -> (
                onEvent: @Sendable (StreamConnection.Event) -> Void, onConnection: @Sendable (StreamConnection) -> Void
            )
    ) -> ServerBootstrap {
        ServerBootstrap(group: self.group)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let receiver = makeReceiver()
                    let remote = channel.remoteAddress.flatMap(HostAndPort.init)?.description ?? "unknown"
                    _ = try StreamConnection(
                        channel: channel, remote: remote, onEvent: receiver.onEvent, onActive: receiver.onConnection)
                }
            }
    }

    /// Turns a channel that stands into a connection.
    ///
    /// - Parameter first: bytes of the other side that came already.
    static func connection(
        on channel: any Channel, remote: String, first: [UInt8] = [],
        onEvent: @escaping @Sendable (StreamConnection.Event) -> Void
    ) async throws -> StreamConnection {
        try await channel.eventLoop.submit {
            let connection = try StreamConnection(channel: channel, remote: remote, onEvent: onEvent)
            guard channel.isActive else { throw ChannelError.ioOnClosedChannel }
            if !first.isEmpty { onEvent(.bytes(first)) }
            return connection
        }.get()
    }

    /// Speaks SOCKS5 until the proxy has connected us; bytes of the other side that came with its last word.
    private static func negotiate(
        on channel: any Channel, remote: HostAndPort, _ credentials: ProxyCredentials?
    ) async throws -> [UInt8] {
        let handshake = try SOCKS5Handshake(to: remote, credentials: credentials)
        let done = channel.eventLoop.makePromise(of: [UInt8].self)
        let deadline = channel.eventLoop.scheduleTask(in: Self.connectTimeout) {
            done.fail(ChannelError.connectTimeout(Self.connectTimeout))
        }
        defer { deadline.cancel() }
        do {
            try await channel.eventLoop.submit {
                try channel.pipeline.syncOperations.addHandler(SOCKS5Handler(handshake, done: done))
            }.get()
        } catch {
            done.fail(error)
        }
        return try await done.futureResult.get()
    }
}

/// What went wrong with a connection, in words for people instead of a library's.
public enum NetworkFailure {
    public static func describe(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let first = error.connectionErrors.first { return Self.describe(first.error) }
            if let refused = (error.dnsAError as? NameRefused) ?? (error.dnsAAAAError as? NameRefused) {
                return refused.description
            }
            if error.dnsAError != nil || error.dnsAAAAError != nil {
                return "the name \(error.host) cannot be resolved"
            }
            return "\(error.host) cannot be reached"
        case let error as IOError: return String(cString: strerror(error.errnoCode))
        case ChannelError.connectTimeout: return "no answer in time"
        case ChannelError.eof: return "the proxy closed the connection"
        default: return "\(error)"
        }
    }

    /// The same for addresses that are nobody else's business: no word about where the connection was to lead.
    public static func describeWithoutAddress(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            return error.connectionErrors.first.map { Self.describeWithoutAddress($0.error) }
                ?? "the name cannot be resolved"
        case is IOError, is SOCKS5Failure, ChannelError.connectTimeout, ChannelError.eof: return Self.describe(error)
        default: return "the connection failed"
        }
    }
}

/// Accepts connections.
public struct StreamListener: Sendable {
    let channel: any Channel

    /// The address that it listens on, with the port that the system chose for port 0.
    public var address: HostAndPort? { self.channel.localAddress.flatMap(HostAndPort.init) }

    public func close() async {
        try? await self.channel.close()
    }
}

extension HostAndPort {
    init?(_ address: SocketAddress) {
        guard let host = address.ipAddress, let port = address.port, let number = UInt16(exactly: port) else {
            return nil
        }
        self.init(host: host, port: number)
    }
}
