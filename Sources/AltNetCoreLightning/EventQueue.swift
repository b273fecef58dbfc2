// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightningAttachment
internal import Synchronization

/// What waits between lightningd, which must never wait for us, and the driver, which may be slow.
///
/// When it is full, what comes is dropped and counted. A lost connect or disconnect is repaired: the reader is told to
/// list the peers anew. No peer can fill it alone, so one that floods us costs the others nothing.
final class EventQueue: Sendable {
    /// The most events. A large node's peers all connect within a minute of its start.
    static let maximumEvents = 8_192
    /// The most bytes of messages: the shares of eight peers that fill theirs.
    static let maximumBytes = 64 << 20
    /// The most messages of one peer; onion messages, whose senders nobody knows, have one share together.
    static let maximumEventsPerPeer = 1_024
    /// The most bytes of one peer's messages: two answers of the greatest length (4,000,006 bytes each).
    static let maximumBytesPerPeer = 8 << 20
    /// Losses are said at most this often.
    static let reportInterval = Duration.seconds(60)

    enum Item: Hashable, Sendable {
        case event(PluginEvent)
        /// Events of connections were lost before this: list the peers.
        case list
    }

    private struct Share {
        var events = 0
        var bytes = 0
    }

    private struct State {
        var isOpen = false
        var isFinished = false
        var items: [PluginEvent] = []
        var head = 0
        var bytes = 0
        var shares: [NodeID?: Share] = [:]
        /// How many events were taken out since the start.
        var taken = 0
        /// A list is due when so many were taken: behind what was older than the loss, or the list would be older.
        var listAt: Int?
        var dropped = 0
        var said: MonotonicInstant?
        var reader: CheckedContinuation<Item?, Never>?
    }

    private let state = Mutex(State())

    /// Begins to keep events; before, and after ``close()``, they are discarded without being counted.
    ///
    /// The first item is ``Item/list``, so that the reader learns who is connected.
    func open() {
        self.state.withLock { state in
            state.isOpen = true
            state.listAt = state.taken
        }
    }

    /// Has the reader list the peers behind what waits now. For the reader itself: one that waits is not woken.
    func listAgain() {
        self.state.withLock { $0.listAt = $0.taken + $0.items.count - $0.head }
    }

    /// Discards what waits, and what comes; the reader gets `nil`.
    func close() {
        let reader = self.state.withLock { state -> CheckedContinuation<Item?, Never>? in
            state.isOpen = false
            state.taken += state.items.count - state.head
            state.items = []
            state.head = 0
            state.bytes = 0
            state.shares = [:]
            return Self.takeReader(&state)
        }
        reader?.resume(returning: nil)
    }

    /// Nothing more will come: the reader gets `nil` when it has read what waits.
    func finish() {
        let reader = self.state.withLock { state -> CheckedContinuation<Item?, Never>? in
            state.isFinished = true
            return Self.takeReader(&state)
        }
        reader?.resume(returning: nil)
    }

    /// Whether nothing more will come.
    var isFinished: Bool { self.state.withLock { $0.isFinished } }

    /// Adds an event, or drops it.
    ///
    /// - Returns: how many were dropped since it was last said, when it is time to say so again.
    func offer(_ event: PluginEvent, now: MonotonicInstant) -> Int? {
        let (reader, report) = self.state.withLock { state -> (CheckedContinuation<Item?, Never>?, Int?) in
            guard state.isOpen, !state.isFinished else { return (nil, nil) }
            if let reader = Self.takeReader(&state) { return (reader, nil) }
            guard Self.hasRoom(state, for: event) else {
                if event.concernsConnections { state.listAt = state.taken + state.items.count - state.head }
                state.dropped += 1
                if let said = state.said, now - said < Self.reportInterval { return (nil, nil) }
                state.said = now
                defer { state.dropped = 0 }
                return (nil, state.dropped)
            }
            state.items.append(event)
            Self.count(event, 1, &state)
            return (nil, nil)
        }
        reader?.resume(returning: .event(event))
        return report
    }

    /// The next event; waits for one. `nil` when the queue is closed or finished, or the task is cancelled. One reader
    /// at a time.
    func next() async -> Item? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let item = self.state.withLock { state -> Item?? in
                    if Task.isCancelled || !state.isOpen { return .some(nil) }
                    if let listAt = state.listAt, state.taken >= listAt {
                        state.listAt = nil
                        return .some(.list)
                    }
                    if let event = Self.takeFirst(&state) { return .event(event) }
                    if state.isFinished { return .some(nil) }
                    state.reader = continuation
                    return nil
                }
                if let item { continuation.resume(returning: item) }
            }
        } onCancel: {
            self.state.withLock { Self.takeReader(&$0) }?.resume(returning: nil)
        }
    }

    private static func hasRoom(_ state: State, for event: PluginEvent) -> Bool {
        guard state.items.count - state.head < Self.maximumEvents else { return false }
        guard !event.concernsConnections else { return true }
        let share = state.shares[event.sender] ?? Share()
        return state.bytes + event.size <= Self.maximumBytes && share.events < Self.maximumEventsPerPeer
            && share.bytes + event.size <= Self.maximumBytesPerPeer
    }

    /// Counts an event in (1) or out (-1).
    private static func count(_ event: PluginEvent, _ sign: Int, _ state: inout State) {
        guard !event.concernsConnections else { return }
        state.bytes += sign * event.size
        var share = state.shares[event.sender] ?? Share()
        share.events += sign
        share.bytes += sign * event.size
        state.shares[event.sender] = share.events == 0 ? nil : share
    }

    private static func takeReader(_ state: inout State) -> CheckedContinuation<Item?, Never>? {
        defer { state.reader = nil }
        return state.reader
    }

    private static func takeFirst(_ state: inout State) -> PluginEvent? {
        guard state.head < state.items.count else { return nil }
        let event = state.items[state.head]
        state.head += 1
        state.taken += 1
        Self.count(event, -1, &state)
        // Moving what is left costs as much as what was taken, so on average nothing.
        if state.head == state.items.count || state.head > Self.maximumEvents / 2 {
            state.items.removeFirst(state.head)
            state.head = 0
        }
        return event
    }
}

extension PluginEvent {
    /// The bytes that it brings.
    var size: Int {
        switch self {
        case .connected, .disconnected, .channelsChanged: 0
        case .message(_, let message): message.count
        case .onionMessage(let delivery):
            delivery.fields.values.reduce(delivery.replyPath?.count ?? 0) { $0 + $1.count }
        }
    }

    /// Whose message it is; `nil` for onion messages.
    var sender: NodeID? {
        switch self {
        case .connected(let peer), .disconnected(let peer), .channelsChanged(let peer), .message(let peer, _): peer
        case .onionMessage: nil
        }
    }

    /// Whether losing it makes our picture of the peers wrong.
    var concernsConnections: Bool {
        switch self {
        case .connected, .disconnected, .channelsChanged: true
        case .message, .onionMessage: false
        }
    }
}
