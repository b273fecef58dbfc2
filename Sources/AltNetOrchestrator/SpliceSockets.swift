// SPDX-License-Identifier: MIT

internal import AltNetObjects
internal import AltNetTransport
internal import NIOCore
internal import NIOPosix

/// The TCP connections with nodes of the operator, made so that ``SpliceConnection`` decides what is read and when.
enum SpliceSockets {
    /// What the system buffers in each direction of a socket, in bytes. With the system's own choice of several
    /// megabytes, a node that stops reading would be noticed late; and when the node closes, all that the system still
    /// has for us comes at once.
    static let socketBuffer: ChannelOptions.Types.SocketOption.Value = 128 * 1024
    /// How long a connection to the operator's own node may take: it is on this machine or near it.
    static let connectTimeout: TimeAmount = .seconds(5)
    /// Connections that the system accepts before we do.
    private static let backlog: Int32 = 16
    /// What a read takes at once: a piece of a stream.
    private static let allocator = FixedSizeRecvByteBufferAllocator(capacity: StreamLimits.maximumPiece)

    /// Accepts connections at an address; `onAccepted` is called on the connection's event loop.
    static func listen(
        at address: HostAndPort, onAccepted: @escaping @Sendable (SpliceConnection) -> Void
    ) async throws -> any Channel {
        try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.backlog, value: Self.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // Before it accepts: the window that TCP offers is agreed upon in the handshake.
            .serverChannelOption(.socketOption(.so_rcvbuf), value: Self.socketBuffer)
            .childChannelOption(.socketOption(.so_sndbuf), value: Self.socketBuffer)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.recvAllocator, value: Self.allocator)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    _ = try SpliceConnection(
                        channel: channel, SpliceStream(opening: .bitcoinP2P), onActive: onAccepted)
                }
            }
            .bind(host: address.host, port: Int(address.port)).get()
    }

    /// Connects to the operator's own node.
    static func connect(to address: HostAndPort) async throws -> SpliceConnection {
        let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .connectTimeout(Self.connectTimeout)
            .channelOption(.socketOption(.so_rcvbuf), value: Self.socketBuffer)
            .channelOption(.socketOption(.so_sndbuf), value: Self.socketBuffer)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.autoRead, value: false)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: Self.allocator)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(host: address.host, port: Int(address.port)).get()
        return try await channel.eventLoop.submit {
            let connection = try SpliceConnection(channel: channel, .accepting)
            guard channel.isActive else { throw ChannelError.ioOnClosedChannel }
            return connection
        }.get()
    }
}
