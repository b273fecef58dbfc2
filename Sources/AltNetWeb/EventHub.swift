// SPDX-License-Identifier: MIT

public import AltNetControl
internal import FoundationEssentials
internal import Synchronization

/// Where the daemon says what happens, and event streams hear of it.
///
/// Saying never waits. There are no queues per reader: each reads on in one ``EventRing`` at its own pace, and one that
/// falls out of it is told so.
public final class EventHub: Sendable {
    /// Event streams at once on one listener: some screens and their tabs, far below what would cost memory.
    static let maximumReaders = 64

    private struct State {
        var ring: EventRing
        var readers: [UInt64: AsyncStream<Void>.Continuation] = [:]
        var nextReader: UInt64 = 0
        var isFinished = false
    }

    private let state: Mutex<State>

    public convenience init() {
        // A million events a second would be needed to run into the numbers of the next start; below 2^53 until the
        // year 2255, so that scripts in browsers read them exactly.
        self.init(after: UInt64(max(0, Date().timeIntervalSince1970)) * 1_000_000)
    }

    init(after lastID: UInt64) {
        self.state = Mutex(State(ring: EventRing(after: lastID)))
    }

    /// Tells all event streams. Never waits; may be called from anywhere.
    public func publish(_ event: ControlEvent) {
        // Reports are values of ours and always encode; what could not be encoded could not be shown either.
        guard let data = try? JSON.text(event.data) else { return }
        let readers = self.state.withLock { state in
            state.ring.append(name: event.name.rawValue, data: data)
            return Array(state.readers.values)
        }
        for reader in readers { reader.yield() }
    }

    /// Wakes all readers, which then send a sign of life.
    func beat() {
        for reader in self.state.withLock({ Array($0.readers.values) }) { reader.yield() }
    }

    /// Ends all event streams, and lets none begin.
    func finish() {
        let readers = self.state.withLock { state in
            state.isFinished = true
            return Array(state.readers.values)
        }
        for reader in readers { reader.finish() }
    }

    /// The number of the latest event.
    var lastID: UInt64 { self.state.withLock { $0.ring.lastID } }

    /// A stream that is woken at once and at each event; `nil` once the hub has finished.
    func subscribe() -> (wakes: AsyncStream<Void>, id: UInt64)? {
        // One waiting wake is as good as many: the reader reads all that there is.
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        continuation.yield()
        return self.state.withLock { state in
            guard !state.isFinished else { return nil }
            state.nextReader += 1
            state.readers[state.nextReader] = continuation
            return (stream, state.nextReader)
        }
    }

    /// Ends the stream of that number.
    func unsubscribe(_ id: UInt64) {
        self.state.withLock { $0.readers.removeValue(forKey: id) }?.finish()
    }

    var readers: Int { self.state.withLock { $0.readers.count } }

    func read(after id: UInt64, limit: Int) -> EventRing.Reading {
        self.state.withLock { $0.ring.read(after: id, limit: limit) }
    }
}

/// JSON as the interface says it: keys in order, so that equal values are equal texts.
enum JSON {
    static func bytes(_ value: any Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(value)
    }

    static func text(_ value: any Encodable) throws -> String {
        String(decoding: try Self.bytes(value), as: UTF8.self)
    }
}
