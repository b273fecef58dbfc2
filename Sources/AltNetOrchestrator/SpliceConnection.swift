// SPDX-License-Identifier: MIT

internal import AltNetObjects
internal import AltNetTransport
internal import NIOCore
internal import Synchronization

/// A TCP connection with the node on this machine that belongs to one end of a stream: carries out what
/// ``SpliceStream`` directs.
final class SpliceConnection: Sendable {
    /// Says a message to the other end, and calls back when the next one may follow.
    typealias Send = @Sendable (StreamMessage, @escaping @Sendable () -> Void) -> Void

    private struct State {
        var stream: SpliceStream
        var timer: Scheduled<Void>?
        var send: Send = { _, _ in }
        var onFinished: @Sendable () -> Void = {}
    }

    private let channel: any Channel
    private let state: Mutex<State>

    /// Takes over a channel of ``SpliceSockets``. MUST be called on the channel's event loop.
    ///
    /// - Parameter onActive: called when a channel that is being accepted can be read from.
    init(
        channel: any Channel, _ stream: SpliceStream,
        onActive: @escaping @Sendable (SpliceConnection) -> Void = { _ in }
    ) throws {
        self.channel = channel
        self.state = Mutex(State(stream: stream))
        try channel.pipeline.syncOperations.addHandler(Handler(self, onActive))
    }

    /// Gives the stream its place: from now on it speaks.
    ///
    /// - Parameter onFinished: called once, when the stream is gone on both sides.
    func start(send: @escaping Send, onFinished: @escaping @Sendable () -> Void) {
        self.perform {
            $0.send = send
            $0.onFinished = onFinished
            return $0.stream.onStart()
        }
    }

    func onMessage(_ message: StreamMessage) { self.perform { $0.stream.onMessage(message) } }
    func onLinkClosed() { self.perform { $0.stream.onLinkClosed() } }
    func cancel() { self.perform { $0.stream.onCancel() } }

    /// Closes a connection that got no place.
    func drop() { self.channel.close(promise: nil) }

    /// How much went through, why it ended, and why it was refused.
    var stream: SpliceStream { self.state.withLock { $0.stream } }

    private func perform(_ input: (inout State) -> [SpliceStream.Directive]) {
        let (directives, send, onFinished) = self.state.withLock { state in
            let directives = input(&state)
            return (directives, state.send, state.onFinished)
        }
        // Outside the lock, because some of them call back at once. Their order is safe: there is at most one read, one
        // write and one message at a time, and the next one is directed when the last has been reported.
        for directive in directives {
            switch directive {
            case .read: self.channel.read()
            case .write(let bytes):
                self.channel.writeAndFlush(self.channel.allocator.buffer(bytes: bytes)).whenComplete { result in
                    if case .success = result { self.perform { $0.stream.onWritten() } }
                    // After a failure the channel closes, and says so.
                }
            case .endOutput: self.channel.close(mode: .output, promise: nil)
            case .send(let message): send(message) { self.perform { $0.stream.onSent() } }
            case .setTimer(let duration): self.setTimer(duration)
            case .close: self.channel.close(promise: nil)
            case .finished:
                self.state.withLock { $0.timer?.cancel() }
                onFinished()
            }
        }
    }

    private func setTimer(_ duration: Duration) {
        let timer = self.channel.eventLoop.scheduleTask(in: TimeAmount(duration)) {
            self.perform { $0.stream.onTimer() }
        }
        self.state.withLock { state in
            state.timer?.cancel()
            state.timer = timer
        }
    }

    private final class Handler: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        private let connection: SpliceConnection
        private let onActive: @Sendable (SpliceConnection) -> Void

        init(_ connection: SpliceConnection, _ onActive: @escaping @Sendable (SpliceConnection) -> Void) {
            self.connection = connection
            self.onActive = onActive
        }

        func channelActive(context: ChannelHandlerContext) {
            self.onActive(self.connection)
            context.fireChannelActive()
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = Array(self.unwrapInboundIn(data).readableBytesView)
            self.connection.perform { $0.stream.onBytes(bytes) }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case ChannelEvent.inputClosed = event { self.connection.perform { $0.stream.onEndOfInput() } }
            context.fireUserInboundEventTriggered(event)
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.connection.perform { $0.stream.onClosed(nil) }
            context.fireChannelInactive()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            let failure = NetworkFailure.describe(error)
            self.connection.perform { $0.stream.onClosed(failure) }
            context.close(promise: nil)
        }
    }
}
