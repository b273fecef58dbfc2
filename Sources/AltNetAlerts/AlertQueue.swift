// SPDX-License-Identifier: MIT

/// Messages that wait for a sink, oldest first, with a bound and a rule for what goes when there is no room.
///
/// - A waiting update is replaced by a newer update of the same incident, and by its closing: the newer message says
///   everything that the older one said.
/// - When the queue is full, the oldest message of the lowest rank goes: tests and updates of warnings, then updates of
///   what is critical, then the opening and closing of warnings, then the opening and closing of what is critical.
public struct AlertQueue: Hashable, Sendable {
    /// The most messages that wait for one sink: a day of trouble, some hundreds of kilobytes.
    public static let capacity = 256

    /// What became of messages when one came in.
    public struct Change: Hashable, Sendable {
        /// Waiting updates that the new message makes superfluous. Nothing is lost with them.
        public var superseded: [AlertMessage] = []
        /// What had to go for lack of room; it may be the new message itself.
        public var dropped: AlertMessage?
    }

    public private(set) var waiting: [AlertMessage] = []
    private let capacity: Int

    public init(capacity: Int = Self.capacity) {
        self.capacity = max(1, capacity)
    }

    /// Takes a message in. One that waits already, by its name, changes nothing.
    public mutating func add(_ message: AlertMessage) -> Change {
        var change = Change()
        guard !self.waiting.contains(where: { $0.id == message.id }) else { return change }
        if message.event == .updated || message.event == .closed {
            let isSuperseded = { (other: AlertMessage) in
                other.event == .updated && other.thread == message.thread && other.number <= message.number
            }
            change.superseded = self.waiting.filter(isSuperseded)
            self.waiting.removeAll(where: isSuperseded)
        }
        self.waiting.append(message)
        guard self.waiting.count > self.capacity else { return change }
        let lowest = self.waiting.map(Self.rank).min()
        guard let index = self.waiting.firstIndex(where: { Self.rank($0) == lowest }) else { return change }
        change.dropped = self.waiting.remove(at: index)
        return change
    }

    /// Takes the oldest messages out, at most as many as asked for.
    public mutating func takeFirst(_ count: Int) -> [AlertMessage] {
        let taken = Array(self.waiting.prefix(max(0, count)))
        self.waiting.removeFirst(taken.count)
        return taken
    }

    /// Puts messages back that were taken out and could not be delivered: they are the oldest.
    public mutating func putBack(_ messages: [AlertMessage]) -> [Change] {
        let later = self.waiting
        self.waiting = []
        return (messages + later).map { self.add($0) }
    }

    /// How much a message is worth when there is no room for all; the least goes first.
    static func rank(_ message: AlertMessage) -> Int {
        switch (message.event, message.severity) {
        case (.test, _), (.updated, .warning): 0
        case (.updated, .critical): 1
        case (.opened, .warning), (.closed, .warning): 2
        case (.opened, .critical), (.closed, .critical): 3
        }
    }
}
