// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import NIOCore
import NIOPosix
import Testing

/// Answers whatever comes with an empty list, keeps the connection, and remembers when the client closed it.
private final class PatientServer: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let answered = Shared<ContinuousClock.Instant?>(nil)
    let closed = Shared<ContinuousClock.Instant?>(nil)

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
        self.answered.change { $0 = ContinuousClock.now }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.closed.change { $0 = ContinuousClock.now }
    }
}

@Suite("Connections of ControlClient", .timeLimit(.minutes(5)))
struct IdleConnectionTests {
    @Test("are closed by the client well before the daemon does, so that no request meets the end of its connection")
    func idle() async throws {
        let server = PatientServer()
        let path = TemporaryDirectory.make() + "/control.sock"
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in channel.pipeline.addHandler(server) }
            .bind(unixDomainSocketPath: path).get()
        #expect(try await ControlClient(socketPath: path).links().isEmpty)
        try await Condition.wait("the client closes its connection") { server.closed.value != nil }
        let (answered, closed) = (try #require(server.answered.value), try #require(server.closed.value))
        #expect(closed - answered < ControlInterface.idleTime)
        try await listener.close()
    }
}
