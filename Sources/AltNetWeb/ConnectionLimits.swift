// SPDX-License-Identifier: MIT

internal import AltNetControl
internal import HTTPTypes
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes
internal import NIOHTTPTypesHTTP1

/// Closes a connection that takes too long to ask, to send or to read: so slow clients cannot hold connections.
final class ConnectionLimits: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// From the end of an answer, or the beginning of the connection, to the end of the next request's headers.
    static let headTime = TimeAmount(ControlInterface.idleTime)
    /// From a request's headers to the end of its body: 4 MB of headers at 1 Mbit/s.
    static let bodyTime = TimeAmount.seconds(30)
    /// A client whose system takes nothing for so long reads nothing.
    static let writeTime = TimeAmount.seconds(20)
    /// To read the answer to a request whose body we did not want: closing at once would make the client's system throw
    /// the answer away.
    static let lingerTime = TimeAmount.seconds(2)
    /// All headers of a request: a token, a cookie and what browsers add fit many times.
    static let maximumHeadBytes = 16 * 1024
    static let maximumHeaders = 100

    private var headTimer: Scheduled<Void>?
    private var bodyTimer: Scheduled<Void>?
    private var writeTimer: Scheduled<Void>?
    /// Requests whose headers came and whose answers have not ended.
    private var unanswered = 0
    private var isInBody = false
    private var isEventStream = false
    private var closesAfterAnswer = false

    private func close(_ context: ChannelHandlerContext, in time: TimeAmount) -> Scheduled<Void> {
        context.eventLoop.assumeIsolated().scheduleTask(in: time) { context.close(promise: nil) }
    }

    func handlerAdded(context: ChannelHandlerContext) {
        // The version is known in front of the codec only.
        let pipeline = context.pipeline.syncOperations
        if let codec = try? pipeline.handler(type: HTTP1ToHTTPServerCodec.self) {
            try? pipeline.addHandler(OldVersions { self.closesAfterAnswer = true }, position: .before(codec))
        }
        self.headTimer = self.close(context, in: Self.headTime)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        for timer in [self.headTimer, self.bodyTimer, self.writeTimer] { timer?.cancel() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head:
            self.unanswered += 1
            self.isInBody = true
            self.headTimer?.cancel()
            self.bodyTimer?.cancel()
            self.bodyTimer = self.close(context, in: Self.bodyTime)
        case .body: break
        case .end:
            self.isInBody = false
            self.bodyTimer?.cancel()
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var isEnd = false
        switch self.unwrapOutboundIn(data) {
        case .head(let head):
            self.isEventStream = head.headerFields[.contentType] == EventStream.contentType
            if head.headerFields[.connection] == "close" { self.closesAfterAnswer = true }
        case .body: break
        case .end:
            isEnd = true
            self.isEventStream = false
            self.unanswered -= 1
        }
        context.write(data, promise: promise)
        guard isEnd else { return }
        if self.closesAfterAnswer, !self.isInBody {
            context.flush()
            context.close(promise: nil)
        } else if self.isInBody {
            self.bodyTimer?.cancel()
            self.bodyTimer = self.close(context, in: Self.lingerTime)
        } else if self.unanswered == 0 {
            self.headTimer?.cancel()
            self.headTimer = self.close(context, in: Self.headTime)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.writeTimer?.cancel()
        self.writeTimer = context.channel.isWritable ? nil : self.close(context, in: Self.writeTime)
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // Who half-closes after a request may still read a whole answer; nobody half-closes to read events for ever.
        if case ChannelEvent.inputClosed? = event as? ChannelEvent, self.isEventStream {
            context.close(promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }
}

/// Notices clients of HTTP/1.0, such as `ab`: they wait for the end of the connection (RFC 9112, section 9.3), which
/// the server behind us would keep open.
final class OldVersions: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart

    private let onOldVersion: () -> Void

    init(onOldVersion: @escaping () -> Void) {
        self.onOldVersion = onOldVersion
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head(let head) = self.unwrapInboundIn(data), head.version.major == 1, head.version.minor == 0 {
            self.onOldVersion()
        }
        context.fireChannelRead(data)
    }
}
