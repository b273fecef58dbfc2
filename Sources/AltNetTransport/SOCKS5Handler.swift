// SPDX-License-Identifier: MIT

internal import NIOCore

/// Speaks SOCKS5 on a channel whose `autoRead` is off, then leaves.
final class SOCKS5Handler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var handshake: SOCKS5Handshake
    /// The other side's first bytes, if they came with the proxy's last word.
    private let done: EventLoopPromise<[UInt8]>

    init(_ handshake: SOCKS5Handshake, done: EventLoopPromise<[UInt8]>) {
        self.handshake = handshake
        self.done = done
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.send(self.handshake.greeting, context)
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do throws(SOCKS5Failure) {
            self.send(try self.handshake.receive(Array(self.unwrapInboundIn(data).readableBytesView)), context)
        } catch {
            return self.fail(error, context)
        }
        guard self.handshake.isConnected else { return context.read() }
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
        self.done.succeed(self.handshake.takeRest())
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(error, context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.done.fail(ChannelError.eof)
        context.fireChannelInactive()
    }

    private func send(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        guard !bytes.isEmpty else { return }
        context.writeAndFlush(self.wrapOutboundOut(context.channel.allocator.buffer(bytes: bytes)), promise: nil)
    }

    private func fail(_ error: any Error, _ context: ChannelHandlerContext) {
        self.done.fail(error)
        context.close(promise: nil)
    }
}
