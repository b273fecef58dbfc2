// SPDX-License-Identifier: MIT

public import AltNetBase
internal import NIOPosix
internal import Synchronization

/// A connection that a driver makes up itself: of messages that travel inside another connection, or that a Lightning
/// node carries for us. What is delivered is one whole message a time.
public final class MessageConnection: LinkConnection {
    /// How many messages may wait for the session; more are not taken. Room for three of the largest answers, each of
    /// which is cut into 62 messages, and below what the shell lets wait in all.
    public static let maximumWaiting = 192

    public let remote: String
    private let onEvent: @Sendable (StreamConnection.Event) -> Void
    private let onWrite: @Sendable ([UInt8]) async throws -> Void
    private let onClose: @Sendable () -> Void
    private let state = Mutex((waiting: 0, isClosed: false))

    /// - Parameters:
    ///   - onEvent: takes what ``deliver(_:)`` brings; MUST NOT block.
    ///   - onWrite: carries a message to the other side.
    ///   - onClose: called once, when either side has closed.
    public init(
        remote: String, onEvent: @escaping @Sendable (StreamConnection.Event) -> Void,
        onWrite: @escaping @Sendable ([UInt8]) async throws -> Void, onClose: @escaping @Sendable () -> Void = {}
    ) {
        self.remote = remote
        self.onEvent = onEvent
        self.onWrite = onWrite
        self.onClose = onClose
    }

    /// Hands a message of the other side to the session; `false` when too many wait for it, or it is closed.
    @discardableResult
    public func deliver(_ message: [UInt8]) -> Bool {
        let isTaken = self.state.withLock { state in
            guard !state.isClosed, state.waiting < Self.maximumWaiting else { return false }
            state.waiting += 1
            return true
        }
        if isTaken { self.onEvent(.bytes(message)) }
        return isTaken
    }

    /// The other side is gone.
    public func end(_ how: String) {
        guard self.markClosed() else { return }
        self.onEvent(.closed(how))
        self.onClose()
    }

    public func readMore() {
        // Comes once before the first message, and once after each.
        self.state.withLock { $0.waiting = max(0, $0.waiting - 1) }
    }

    public func write(_ bytes: [UInt8]) async throws {
        try await self.onWrite(bytes)
    }

    public func schedule(at moment: MonotonicInstant, _ body: @escaping @Sendable () -> Void) -> LinkTimer {
        LinkTimer(on: MultiThreadedEventLoopGroup.singleton.any(), at: moment, body)
    }

    public func close() {
        if self.markClosed() { self.onClose() }
    }

    public func abort() {
        self.close()
    }

    private func markClosed() -> Bool {
        self.state.withLock { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
    }
}
