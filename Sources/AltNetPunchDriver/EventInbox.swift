// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetTransport
internal import Synchronization

/// Gives what a connection brings to whoever has the connection now: first who coordinates or proves, then a link.
///
/// What comes while nobody has it waits here: at most what one ``LinkConnection/readMore()`` brought, and the end.
final class EventInbox: Sendable {
    typealias Receiver = @Sendable (StreamConnection.Event) -> Void

    private struct State {
        var receiver: Receiver?
        var waiting: [StreamConnection.Event] = []
    }

    private let state = Mutex(State())

    func receive(_ event: StreamConnection.Event) {
        self.state.withLock { state in
            // Inside the lock, so that nothing overtakes what waited. Receivers only queue.
            if let receiver = state.receiver { receiver(event) } else { state.waiting.append(event) }
        }
    }

    /// Gives everything from here on to `receiver`, which MUST NOT call back.
    ///
    /// - Parameter first: bytes that an earlier receiver had too many.
    func attach(first: [UInt8] = [], _ receiver: @escaping Receiver) {
        self.state.withLock { state in
            if !first.isEmpty { receiver(.bytes(first)) }
            for event in state.waiting { receiver(event) }
            state.waiting = []
            state.receiver = receiver
        }
    }

    /// Keeps what comes until the next one attaches.
    func detach() {
        self.state.withLock { $0.receiver = nil }
    }
}
