// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetTransport
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// A UDP socket towards the router. What anybody else sends never comes in.
final class RouterSocket: Sendable {
    private let channel: any Channel
    private let router: SocketAddress

    /// - Parameters:
    ///   - isMulticast: for a search, whose answers come from a port that is not known beforehand; otherwise the socket
    ///     is connected, so that the kernel keeps others out and tells when nobody listens.
    ///   - onDatagram: called on an event loop; MUST NOT block.
    ///   - onRefusal: called when the router has nobody at that port.
    static func open(
        to gateway: [UInt8], port: UInt16, isMulticast: Bool, maximumSize: Int,
        onDatagram: @escaping @Sendable ([UInt8]) -> Void, onRefusal: @escaping @Sendable () -> Void
    ) async throws -> RouterSocket {
        let router = try SocketAddress(ipAddress: IPAddressText.text(ipv4: gateway), port: Int(port))
        let handler = Handler(
            source: gateway, maximumSize: maximumSize, onDatagram: onDatagram, onRefusal: onRefusal)
        let bootstrap = DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: maximumSize + 1))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler) }
            }
        guard isMulticast else {
            return RouterSocket(channel: try await bootstrap.connect(to: router).get(), router: router)
        }
        // Linux sends multicasts by the interface whose address the socket is bound to.
        let client = try await Self.clientAddress(towards: gateway)
        let channel = try await bootstrap.bind(host: IPAddressText.text(ipv4: client), port: 0).get()
        return RouterSocket(channel: channel, router: router)
    }

    /// Our own address on the way to the router: four bytes.
    static func clientAddress(towards gateway: [UInt8]) async throws -> [UInt8] {
        // Connecting a UDP socket sends nothing; it only looks up the route.
        let channel = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: IPAddressText.text(ipv4: gateway), port: Int(PCPRequest.port)).get()
        defer { channel.close(promise: nil) }
        guard let text = channel.localAddress?.ipAddress, let address = IPAddressText.ipv4(text) else {
            throw PortMappingError.unreachable("this machine has no IPv4 address towards the router")
        }
        return address
    }

    private init(channel: any Channel, router: SocketAddress) {
        self.channel = channel
        self.router = router
    }

    /// Sends a datagram: to the router, or to the group of a search.
    func send(_ bytes: [UInt8], toGroup group: (address: [UInt8], port: UInt16)? = nil) {
        var remote = self.router
        if let group {
            guard
                let address = try? SocketAddress(
                    ipAddress: IPAddressText.text(ipv4: group.address), port: Int(group.port))
            else { return }
            remote = address
        }
        let envelope = AddressedEnvelope(remoteAddress: remote, data: self.channel.allocator.buffer(bytes: bytes))
        // Datagrams get lost anyhow: the machine behind sends again.
        self.channel.writeAndFlush(envelope, promise: nil)
    }

    func schedule(at moment: MonotonicInstant, _ body: @escaping @Sendable () -> Void) -> Scheduled<Void> {
        self.channel.eventLoop.scheduleTask(
            deadline: .uptimeNanoseconds(UInt64(max(0, moment.nanoseconds))), body)
    }

    func close() { self.channel.close(promise: nil) }

    private final class Handler: ChannelInboundHandler, Sendable {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>

        private let source: [UInt8]
        private let maximumSize: Int
        private let onDatagram: @Sendable ([UInt8]) -> Void
        private let onRefusal: @Sendable () -> Void

        init(
            source: [UInt8], maximumSize: Int, onDatagram: @escaping @Sendable ([UInt8]) -> Void,
            onRefusal: @escaping @Sendable () -> Void
        ) {
            self.source = source
            self.maximumSize = maximumSize
            self.onDatagram = onDatagram
            self.onRefusal = onRefusal
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = self.unwrapInboundIn(data)
            guard let text = envelope.remoteAddress.ipAddress, IPAddressText.ipv4(text) == self.source,
                envelope.data.readableBytes <= self.maximumSize
            else { return }
            self.onDatagram(Array(envelope.data.readableBytesView))
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            self.onRefusal()
        }
    }
}

/// One HTTP exchange with the router: connects, sends, reads the answer within bounds.
enum RouterHTTP {
    static func exchange(
        _ request: [UInt8], with url: GatewayURL
    ) async -> Result<HTTPReply, PortMappingError> {
        let inbox = Inbox()
        let remote = HostAndPort(host: IPAddressText.text(ipv4: url.address), port: url.port)
        do {
            let connection = try await StreamNetwork().connect(to: remote, proxy: nil) { inbox.receive($0) }
            defer { connection.close() }
            inbox.attach(connection)
            let timer = connection.schedule(at: .now + UPnPExchange.replyDeadline) { inbox.finish(.failure(.noAnswer)) }
            defer { timer.cancel() }
            connection.enqueue(request) {}
            connection.readMore()
            return await withTaskCancellationHandler {
                await withCheckedContinuation { inbox.wait($0) }
            } onCancel: {
                inbox.finish(.failure(.closed))
            }
        } catch {
            return .failure(.unreachable(NetworkFailure.describe(error)))
        }
    }

    private final class Inbox: Sendable {
        typealias Answer = Result<HTTPReply, PortMappingError>

        private struct State {
            var reader = HTTPReplyReader()
            var connection: StreamConnection?
            var answer: Answer?
            var waiting: CheckedContinuation<Answer, Never>?
        }

        private let state = Mutex(State())

        func attach(_ connection: StreamConnection) { self.state.withLock { $0.connection = connection } }

        func receive(_ event: StreamConnection.Event) {
            let (answer, connection) = self.state.withLock { state -> (Answer?, StreamConnection?) in
                guard state.answer == nil else { return (nil, nil) }
                do throws(PortMappingError) {
                    switch event {
                    case .bytes(let bytes):
                        return (try state.reader.append(bytes).map { .success($0) }, state.connection)
                    case .closed: return (.success(try state.reader.end()), nil)
                    }
                } catch {
                    return (.failure(error), nil)
                }
            }
            if let answer { self.finish(answer) } else { connection?.readMore() }
        }

        func finish(_ answer: Answer) {
            let waiting = self.state.withLock { state in
                guard state.answer == nil else { return nil as CheckedContinuation<Answer, Never>? }
                state.answer = answer
                state.connection = nil
                defer { state.waiting = nil }
                return state.waiting
            }
            waiting?.resume(returning: answer)
        }

        func wait(_ continuation: CheckedContinuation<Answer, Never>) {
            let answer = self.state.withLock { state in
                if state.answer == nil { state.waiting = continuation }
                return state.answer
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }
}
