// SPDX-License-Identifier: MIT

public import AltNetBase
internal import Glibc
public import NIOCore
internal import NIOPosix

/// A connection as a session's shell sees it: bytes in when asked for, bytes out with back-pressure, timers.
public protocol LinkConnection: Sendable {
    /// Where the other side is, for people.
    var remote: String { get }
    /// Asks for the next bytes.
    func readMore()
    /// Sends bytes; returns when they are on their way.
    func write(_ bytes: [UInt8]) async throws
    /// Calls back at a moment.
    func schedule(at moment: MonotonicInstant, _ body: @escaping @Sendable () -> Void) -> LinkTimer
    func close()
    /// Closes as if nothing had ever been behind the connection.
    func abort()
}

/// A call that can be called off.
public struct LinkTimer: Sendable {
    private let task: Scheduled<Void>

    /// Calls `body` on an event loop at a moment.
    init(on loop: any EventLoop, at moment: MonotonicInstant, _ body: @escaping @Sendable () -> Void) {
        self.task = loop.scheduleTask(deadline: .uptimeNanoseconds(UInt64(max(0, moment.nanoseconds))), body)
    }

    public func cancel() {
        self.task.cancel()
    }
}

/// One TCP connection, reduced to what a session's shell needs: bytes in one at a time, bytes out with back-pressure.
///
/// Nothing is read ahead: the next bytes are taken from the socket when ``readMore()`` is called, so a session that is
/// slow makes its remote wait, not our memory grow.
public final class StreamConnection: LinkConnection {
    /// What happens on a connection.
    public enum Event: Sendable {
        case bytes([UInt8])
        /// The other side closed, or the network did; the text says how.
        case closed(String)
    }

    /// Where the other side is, for people.
    public let remote: String
    /// The other end of the socket, which is a proxy's where one stands between; `nil` when it has none.
    public let socket: HostAndPort?
    private let channel: any Channel

    /// Installs itself on a channel whose `autoRead` is off. MUST be called on the channel's event loop.
    ///
    /// - Parameters:
    ///   - onEvent: called on the event loop; MUST NOT block.
    ///   - onActive: called when a channel that is being accepted can be read from: a ``readMore()`` before is lost.
    init(
        channel: any Channel, remote: String, onEvent: @escaping @Sendable (Event) -> Void,
        onActive: @escaping @Sendable (StreamConnection) -> Void = { _ in }
    ) throws {
        self.channel = channel
        self.remote = remote
        self.socket = channel.remoteAddress.flatMap(HostAndPort.init)
        try channel.pipeline.syncOperations.addHandler(EventHandler(onEvent) { onActive(self) })
    }

    /// Asks for the next bytes.
    public func readMore() {
        self.channel.read()
    }

    /// Sends bytes; returns when the socket has taken them.
    public func write(_ bytes: [UInt8]) async throws {
        try await self.channel.writeAndFlush(self.channel.allocator.buffer(bytes: bytes)).get()
    }

    /// Sends bytes after all that was given to this method before, from whichever thread, and does not wait.
    ///
    /// - Parameter onTaken: called on the event loop when the socket has taken the bytes, or never will.
    public func enqueue(_ bytes: [UInt8], onTaken: @escaping @Sendable () -> Void) {
        let channel = self.channel
        // Also on the event loop itself: a write there would overtake what other threads have handed over before.
        channel.eventLoop.execute {
            channel.writeAndFlush(channel.allocator.buffer(bytes: bytes)).whenComplete { _ in onTaken() }
        }
    }

    /// Closes after all that was given to ``enqueue(_:onTaken:)`` before, and calls nothing back before it returns.
    ///
    /// - Parameter abort: see ``abort()``.
    public func enqueueClose(abort: Bool = false) {
        self.channel.eventLoop.execute {
            if abort { self.abort() } else { self.close() }
        }
    }

    /// Calls back at a moment, unless the connection's event loop is gone.
    public func schedule(at moment: MonotonicInstant, _ body: @escaping @Sendable () -> Void) -> LinkTimer {
        LinkTimer(on: self.channel.eventLoop, at: moment, body)
    }

    public func close() {
        self.channel.close(promise: nil)
    }

    /// Closes with a reset instead of an orderly end, and forgets what was not sent yet.
    public func abort() {
        // A linger time of zero is how the socket interface says so.
        let isSet = (self.channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
        guard let isSet else { return self.close() }
        isSet.whenComplete { _ in self.channel.close(promise: nil) }
    }

    private final class EventHandler: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        private let onEvent: @Sendable (Event) -> Void
        private let onActive: @Sendable () -> Void

        init(_ onEvent: @escaping @Sendable (Event) -> Void, onActive: @escaping @Sendable () -> Void) {
            self.onEvent = onEvent
            self.onActive = onActive
        }

        func channelActive(context: ChannelHandlerContext) {
            self.onActive()
            context.fireChannelActive()
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let buffer = self.unwrapInboundIn(data)
            self.onEvent(.bytes(Array(buffer.readableBytesView)))
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.onEvent(.closed("the other side closed the connection"))
            context.fireChannelInactive()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            self.onEvent(.closed(NetworkFailure.describe(error)))
            context.close(promise: nil)
        }
    }
}

extension MonotonicInstant {
    /// The system's monotonic clock, the same that event loops schedule by.
    public static var now: MonotonicInstant {
        MonotonicInstant(nanoseconds: Int64(clamping: NIODeadline.now().uptimeNanoseconds))
    }
}
