// SPDX-License-Identifier: MIT

internal import AltNetDriverProtocol
internal import Synchronization

/// What waits to be said to a driver. Never blocks the orchestrator; a driver that lets it fill up is cut off.
final class DriverOutbox: Sendable {
    /// The most that may wait, in bytes: one full answer over each of fifty links.
    static let maximumBytes = 32 * 1024 * 1024
    /// The most messages that may wait.
    static let maximumMessages = 4096

    struct Waiting: Sendable {
        let command: DriverCommand
        let onWritten: (@Sendable () -> Void)?
    }

    let waiting: AsyncStream<Waiting>
    private let continuation: AsyncStream<Waiting>.Continuation
    private let waitingBytes = Atomic<Int>(0)

    init() {
        (self.waiting, self.continuation) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingOldest(Self.maximumMessages))
    }

    /// Queues a message; `false` when there is no room, and then the outbox is closed. Calls `onWritten` when the
    /// message was written to the stream, and never when the stream ends before.
    func send(_ command: DriverCommand, onWritten: (@Sendable () -> Void)? = nil) -> Bool {
        let weight = command.weight
        let (_, waiting) = self.waitingBytes.add(weight, ordering: .relaxed)
        guard waiting <= Self.maximumBytes,
            case .enqueued = self.continuation.yield(Waiting(command: command, onWritten: onWritten))
        else {
            self.continuation.finish()
            return false
        }
        return true
    }

    /// A message was written to the stream.
    func written(_ waiting: Waiting) {
        self.waitingBytes.subtract(waiting.command.weight, ordering: .relaxed)
        waiting.onWritten?()
    }

    func close() {
        self.continuation.finish()
    }
}
