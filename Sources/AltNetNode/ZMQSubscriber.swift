// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import CZeroMQ
internal import Dispatch
internal import Glibc
internal import Synchronization

/// Listens to Bitcoin Core's ZMQ publisher `hashblock`.
///
/// Nothing that comes over it is believed: anybody may publish, so a message only makes us ask the node. libzmq
/// connects again by itself.
final class ZMQSubscriber: Sendable {
    /// A part of a message is at most a hash; libzmq drops a publisher that sends more than this many bytes in one.
    static let maximumMessageLength: Int64 = 1024
    /// Messages that wait inside libzmq: one is enough to make us look, and libzmq drops the others.
    static let maximumWaitingMessages: Int32 = 16
    /// The longest endpoint.
    static let maximumEndpointLength = 255

    let endpoint: String
    /// A block came, or the connection was made or lost.
    let wakeup = Wakeup()
    private let connected = Mutex(false)
    private let closed = Mutex(false)
    private let context: Handle

    /// libzmq's handles may be used by several threads when they are contexts, and by one when they are sockets.
    private struct Handle: @unchecked Sendable {
        let pointer: UnsafeMutableRawPointer
    }

    /// Whether the publisher is there.
    var isConnected: Bool { self.connected.withLock { $0 } }

    /// Begins to connect. Throws ``NodeError/refused(_:)`` when the endpoint is none.
    init(endpoint: String) throws(NodeError) {
        guard endpoint.hasPrefix("tcp://") || endpoint.hasPrefix("ipc://"),
            endpoint.utf8.count <= Self.maximumEndpointLength, endpoint.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else {
            throw .refused("\(UntrustedText(endpoint)) is no ZMQ endpoint; write tcp://HOST:PORT, as zmqpubhashblock")
        }
        guard let context = zmq_ctx_new() else { throw Self.failure("start") }
        self.endpoint = endpoint
        self.context = Handle(pointer: context)
        do throws(NodeError) {
            try self.start()
        } catch {
            self.closed.withLock { $0 = true }
            zmq_ctx_term(context)
            throw error
        }
    }

    deinit {
        self.close()
    }

    /// Ends the connection; the thread goes away by itself. May be called again.
    func close() {
        let wasClosed = self.closed.withLock { closed in
            defer { closed = true }
            return closed
        }
        // Every call on the context's sockets now fails with ETERM, which ends the thread, and the thread the context.
        if !wasClosed { zmq_ctx_shutdown(self.context.pointer) }
    }

    private func start() throws(NodeError) {
        guard let socket = zmq_socket(self.context.pointer, ZMQ_SUB) else { throw Self.failure("make a socket for") }
        guard let monitor = zmq_socket(self.context.pointer, ZMQ_PAIR) else {
            zmq_close(socket)
            throw Self.failure("make a socket for")
        }
        do throws(NodeError) {
            try Self.configure(socket, monitor, endpoint: self.endpoint)
        } catch {
            zmq_close(socket)
            zmq_close(monitor)
            throw error
        }
        let handles = (context: self.context, socket: Handle(pointer: socket), monitor: Handle(pointer: monitor))
        // A thread of its own: it blocks until the context is shut down.
        DispatchQueue(label: "org.altnet.zmq").async { [weak self] in
            while Self.poll(handles.socket.pointer, handles.monitor.pointer, self: { self }) {}
            zmq_close(handles.socket.pointer)
            zmq_close(handles.monitor.pointer)
            while zmq_ctx_term(handles.context.pointer) != 0, zmq_errno() == EINTR {}
        }
    }

    private static func configure(
        _ socket: UnsafeMutableRawPointer, _ monitor: UnsafeMutableRawPointer, endpoint: String
    ) throws(NodeError) {
        let numbers: [(Int32, Int32)] = [
            (ZMQ_LINGER, 0), (ZMQ_RCVHWM, Self.maximumWaitingMessages), (ZMQ_IPV6, 1),
            // Milliseconds: attempts to connect, and a peer that vanished without a word.
            (ZMQ_RECONNECT_IVL, 500), (ZMQ_RECONNECT_IVL_MAX, 10_000),
            (ZMQ_HEARTBEAT_IVL, 10_000), (ZMQ_HEARTBEAT_TIMEOUT, 30_000),
        ]
        for (option, value) in numbers {
            guard withUnsafeBytes(of: value, { zmq_setsockopt(socket, option, $0.baseAddress, $0.count) }) == 0 else {
                throw Self.failure("set up")
            }
        }
        let length = Self.maximumMessageLength
        let events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED
        guard withUnsafeBytes(of: length, { zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, $0.baseAddress, $0.count) }) == 0,
            zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "hashblock", 9) == 0,
            zmq_socket_monitor(socket, "inproc://monitor", events) == 0,
            zmq_connect(monitor, "inproc://monitor") == 0
        else { throw Self.failure("set up") }
        guard zmq_connect(socket, endpoint) == 0 else {
            throw .refused("the ZMQ endpoint \(endpoint) cannot be used: \(String(cString: zmq_strerror(zmq_errno())))")
        }
    }

    /// Waits for something and deals with it; `false` once the context is shut down.
    private static func poll(
        _ socket: UnsafeMutableRawPointer, _ monitor: UnsafeMutableRawPointer, self owner: () -> ZMQSubscriber?
    ) -> Bool {
        var items = [
            zmq_pollitem_t(socket: socket, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0),
            zmq_pollitem_t(socket: monitor, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0),
        ]
        guard zmq_poll(&items, Int32(items.count), -1) >= 0 else { return zmq_errno() != ETERM }
        if items[1].revents != 0, let parts = Self.receive(monitor), let event = parts.first, event.count >= 2 {
            let number = Int32(event[0]) | Int32(event[1]) << 8
            owner()?.changed(isConnected: number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        }
        if items[0].revents != 0, let parts = Self.receive(socket), parts.count == 3,
            parts[0] == Array("hashblock".utf8), parts[1].count == 32
        {
            owner()?.wakeup.wake()
        }
        return true
    }

    private func changed(isConnected: Bool) {
        self.connected.withLock { $0 = isConnected }
        // Blocks may have come while nobody listened, and whoever follows must choose another way.
        self.wakeup.wake()
    }

    /// The parts of the next message, the first three of them; `nil` when there is none.
    private static func receive(_ socket: UnsafeMutableRawPointer) -> [[UInt8]]? {
        var parts: [[UInt8]] = []
        var message = zmq_msg_t()
        zmq_msg_init(&message)
        defer { zmq_msg_close(&message) }
        repeat {
            let count = zmq_msg_recv(&message, socket, ZMQ_DONTWAIT)
            guard count >= 0 else { return nil }
            if parts.count < 3 {
                parts.append(Array(UnsafeRawBufferPointer(start: zmq_msg_data(&message), count: Int(count))))
            }
        } while zmq_msg_more(&message) != 0
        return parts
    }

    private static func failure(_ verb: String) -> NodeError {
        .refused("cannot \(verb) ZMQ: \(String(cString: zmq_strerror(zmq_errno())))")
    }
}
