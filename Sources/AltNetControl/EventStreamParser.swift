// SPDX-License-Identifier: MIT

/// Reads server-sent events (WHATWG HTML, section 9.2.6), as far as altnetd sends them.
struct EventStreamParser: Sendable {
    /// The longest line that is read; altnetd's own bound on all events that it keeps.
    static let maximumLineBytes = 4 * 1024 * 1024

    struct Event: Hashable, Sendable {
        var id: UInt64?
        var name = ""
        var data = ""
    }

    struct TooLong: Error {}

    private var line: [UInt8] = []
    private var event = Event()
    private var isEmpty = true

    /// Takes the next bytes; the events that are complete with them.
    mutating func receive(_ bytes: some Sequence<UInt8>) throws(TooLong) -> [Event] {
        var events: [Event] = []
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                guard self.line.count < Self.maximumLineBytes else { throw TooLong() }
                self.line.append(byte)
                continue
            }
            if let event = self.endLine() { events.append(event) }
        }
        return events
    }

    private mutating func endLine() -> Event? {
        defer { self.line.removeAll(keepingCapacity: true) }
        if self.line.isEmpty {
            defer {
                self.event = Event()
                self.isEmpty = true
            }
            return self.isEmpty ? nil : self.event
        }
        let parts = self.line.split(separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
        var value = parts.count > 1 ? parts[1] : []
        if value.first == UInt8(ascii: " ") { value = value.dropFirst() }
        let text = String(decoding: value, as: UTF8.self)
        switch String(decoding: parts[0], as: UTF8.self) {
        case "id": self.event.id = UInt64(text)
        case "event": self.event.name = text
        case "data":
            self.event.data += text
            self.isEmpty = false
        default: break
        }
        return nil
    }
}
