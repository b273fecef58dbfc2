// SPDX-License-Identifier: MIT

internal import AltNetKeys
internal import AltNetLightningAttachment
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// A connection with lightningd's RPC socket, on which any number of tasks make calls at the same time.
///
/// lightningd begins calls in the order in which they come and answers each when it is done. A connection that has
/// ended does not come back.
final class NodeConnection: Sendable {
    /// The most calls that wait for an answer, and so, with the longest message in each, 32 MiB that wait to be written.
    static let maximumCalls = 256
    /// A Unix socket answers at once or not at all.
    private static let connectTimeout = TimeAmount.seconds(10)

    private typealias Outcome = Result<NodeAnswer, AttachmentError>

    private struct State {
        var framer = JSONFramer()
        var nextID = 1
        var waiting: [Int: CheckedContinuation<Outcome, Never>] = [:]
        var ended: AttachmentError?
    }

    private let state = Mutex(State())
    private let channel: any Channel
    private let onEnd: @Sendable () -> Void

    private init(channel: any Channel, onEnd: @escaping @Sendable () -> Void) {
        self.channel = channel
        self.onEnd = onEnd
    }

    deinit {
        self.channel.close(promise: nil)
    }

    /// Connects.
    ///
    /// - Parameters:
    ///   - path: the socket.
    ///   - onEnd: called once when the connection has ended, by either side.
    static func connect(
        path: String, onEnd: @escaping @Sendable () -> Void
    ) async throws(AttachmentError) -> NodeConnection {
        do {
            let bootstrap = ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connectTimeout(Self.connectTimeout)
            let channel = try await bootstrap.connect(unixDomainSocketPath: path).get()
            let connection = NodeConnection(channel: channel, onEnd: onEnd)
            let handler = AnswerHandler(connection)
            try await channel.pipeline.addHandler(handler).get()
            // Its end before the handler was there was seen by nobody.
            guard channel.isActive else { throw ChannelError.alreadyClosed }
            return connection
        } catch {
            throw .unreachable("its RPC socket does not accept us: \(error)")
        }
    }

    /// Makes a call and waits for its answer.
    ///
    /// - Parameter peer: whom the call is about, for what its errors mean.
    func call<Parameters, Answer>(
        _ call: NodeCall<Parameters, Answer>, peer: NodeID? = nil
    ) async throws(AttachmentError) -> Answer {
        let id = self.state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        let request = call.encode(id: id)
        let timer = Mutex<Scheduled<Void>?>(nil)
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Outcome, Never>) in
                let refusal = self.state.withLock { state -> AttachmentError? in
                    if let ended = state.ended { return ended }
                    if Task.isCancelled { return .unreachable("the call was given up") }
                    guard state.waiting.count < Self.maximumCalls else { return .busy(limit: Self.maximumCalls) }
                    state.waiting[id] = continuation
                    // Within the lock, so that requests are written in the order of their numbers.
                    self.channel.writeAndFlush(ByteBuffer(bytes: request), promise: nil)
                    return nil
                }
                if let refusal {
                    continuation.resume(returning: .failure(refusal))
                } else {
                    let scheduled = self.channel.eventLoop.scheduleTask(in: TimeAmount(call.timeout)) {
                        self.settle(id, .failure(.timedOut(call.timeout)))
                    }
                    timer.withLock { $0 = scheduled }
                }
            }
        } onCancel: {
            self.settle(id, .failure(.unreachable("the call was given up")))
        }
        timer.withLock { $0?.cancel() }
        return try outcome.get().result(of: call, peer: peer)
    }

    /// Why the connection has ended; `nil` while it has not.
    var endReason: AttachmentError? { self.state.withLock { $0.ended } }

    /// Ends the connection.
    func close() {
        self.channel.close(promise: nil)
    }

    private func settle(_ id: Int, _ outcome: Outcome) {
        // An answer that comes after its time, or after its caller went away, finds nobody.
        self.state.withLock { $0.waiting.removeValue(forKey: id) }?.resume(returning: outcome)
    }

    fileprivate func onBytes(_ buffer: ByteBuffer) {
        let objects: [[UInt8]]
        do {
            objects = try self.state.withLock { try $0.framer.onBytes(buffer.readableBytesView) }
        } catch {
            self.end(.nonsense("\(error)"))
            return
        }
        for object in objects {
            guard let answer = NodeAnswer(object) else {
                self.end(.nonsense("an answer is not JSON"))
                return
            }
            guard let id = answer.id else {
                // Notifications (progress of a call) have no identifier; neither has the complaint that a request
                // cannot be read, after which lightningd closes the connection.
                continue
            }
            self.settle(id, .success(answer))
        }
    }

    fileprivate func end(_ error: AttachmentError) {
        let waiting = self.state.withLock { state -> [CheckedContinuation<Outcome, Never>]? in
            guard state.ended == nil else { return nil }
            state.ended = error
            defer { state.waiting = [:] }
            return Array(state.waiting.values)
        }
        guard let waiting else { return }
        for continuation in waiting { continuation.resume(returning: .failure(error)) }
        self.channel.close(promise: nil)
        self.onEnd()
    }
}

/// Hands what lightningd writes to the connection.
private final class AnswerHandler: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer

    /// Weak, because the connection holds the channel, and the channel this.
    private weak let connection: NodeConnection?

    init(_ connection: NodeConnection) {
        self.connection = connection
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.connection?.onBytes(self.unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.connection?.end(.unreachable("it closed the connection"))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.connection?.end(.unreachable("\(error)"))
    }
}
