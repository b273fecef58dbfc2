// SPDX-License-Identifier: MIT

internal import AltNetDriverProtocol
internal import Synchronization

/// What waits to be said to a driver. Never blocks the orchestrator; a driver that lets it fill up is cut off.
final class DriverOutbox: Sendable {
    /// The most that may wait, in bytes: one full answer over each of fifty links.
    static let maximumBytes = 32 * 1024 * 1024
    /// The most messages that may wait.
    static let maximumMessages = 4096

    let commands: AsyncStream<DriverCommand>
    private let continuation: AsyncStream<DriverCommand>.Continuation
    private let waitingBytes = Atomic<Int>(0)

    init() {
        (self.commands, self.continuation) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingOldest(Self.maximumMessages))
    }

    /// Queues a message; `false` when there is no room, and then the outbox is closed.
    func send(_ command: DriverCommand) -> Bool {
        let weight = command.weight
        let (_, waiting) = self.waitingBytes.add(weight, ordering: .relaxed)
        guard waiting <= Self.maximumBytes, case .enqueued = self.continuation.yield(command) else {
            self.continuation.finish()
            return false
        }
        return true
    }

    /// A message was written to the stream.
    func written(_ command: DriverCommand) {
        self.waitingBytes.subtract(command.weight, ordering: .relaxed)
    }

    func close() {
        self.continuation.finish()
    }
}
