// SPDX-License-Identifier: MIT

/// The latest events, numbered. A reader holds nothing but the number of the last event that it has.
struct EventRing: Sendable {
    /// Enough for a browser that sleeps for some minutes while many links change.
    static let maximumEvents = 1_024
    /// With all links' reports in it an event has some hundred bytes; a long explanation may have some thousand.
    static let maximumBytes = 2 * 1024 * 1024

    struct Event: Hashable, Sendable {
        let id: UInt64
        let name: String
        /// One line of JSON.
        let data: String
    }

    /// What a reader gets.
    enum Reading: Hashable, Sendable {
        /// The next events, none when there are none yet.
        case events([Event])
        /// Some that it lacks are gone: it has to ask for everything again, and goes on after this number.
        case lost(resumeAfter: UInt64)
    }

    private(set) var events: [Event] = []
    private(set) var bytes = 0
    private(set) var lastID: UInt64

    /// - Parameter lastID: the numbers begin after it; above all that an earlier run of the daemon can have given.
    init(after lastID: UInt64) {
        self.lastID = lastID
    }

    mutating func append(name: String, data: String) {
        self.lastID += 1
        self.events.append(Event(id: self.lastID, name: name, data: data))
        self.bytes += data.utf8.count
        var surplus = max(0, self.events.count - Self.maximumEvents)
        var left = self.bytes - self.events.prefix(surplus).reduce(0) { $0 + $1.data.utf8.count }
        while left > Self.maximumBytes, surplus < self.events.count {
            left -= self.events[surplus].data.utf8.count
            surplus += 1
        }
        self.events.removeFirst(surplus)
        self.bytes = left
    }

    /// At most `limit` events after a number. One that this run has not given is from another run: what came between is
    /// unknown.
    func read(after id: UInt64, limit: Int) -> Reading {
        let first = self.events.first?.id ?? self.lastID + 1
        guard id <= self.lastID, id + 1 >= first else { return .lost(resumeAfter: self.lastID) }
        return .events(Array(self.events.dropFirst(Int(id + 1 - first)).prefix(limit)))
    }
}
