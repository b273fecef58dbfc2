// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetObjects
import Testing

@Suite("StreamQueue")
struct StreamQueueTests {
    private static let (first, second) = (StreamID(.us, 0), StreamID(.remote, 0))

    private static func all(of queue: StreamQueue) -> [(StreamID, StreamMessage)] {
        var queue = queue
        var messages: [(StreamID, StreamMessage)] = []
        while let next = queue.next() { messages.append((next.id, next.message)) }
        #expect(queue.isEmpty)
        #expect(queue.waitingBytes == 0)
        return messages
    }

    @Test("small pieces run together, credits are added up, and the end comes last")
    func together() {
        var queue = StreamQueue()
        queue.add(.opened, of: Self.first)
        for byte in UInt8(0)..<100 {
            queue.add(.data([byte]), of: Self.first)
            queue.add(.credit(2), of: Self.first)
        }
        queue.add(.end, of: Self.first)
        #expect(queue.waitingBytes == 100)
        #expect(Self.all(of: queue).map(\.1) == [.opened, .credit(200), .data(Array(0..<100)), .end])
    }

    @Test("a reset drops what it makes void, and nothing before it")
    func reset() {
        var queue = StreamQueue()
        queue.add(.open(.bitcoinP2P), of: Self.first)
        queue.add(.data([1]), of: Self.first)
        queue.add(.end, of: Self.first)
        queue.add(.reset(.closed), of: Self.first)
        #expect(Self.all(of: queue).map(\.1) == [.open(.bitcoinP2P), .reset(.closed)])
    }

    @Test("streams take turns, so that a long one does not keep a short one waiting")
    func turns() {
        var queue = StreamQueue()
        queue.add(.data([UInt8](repeating: 1, count: 3 * StreamLimits.maximumPiece)), of: Self.first)
        queue.add(.data([2]), of: Self.second)
        #expect(Self.all(of: queue).map(\.0) == [Self.first, Self.second, Self.first, Self.first])
    }

    @Test("bytes come out complete and in order, whatever the sizes", arguments: UInt64(1)...20)
    func model(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var queue = StreamQueue()
        var (given, taken): ([StreamID: [UInt8]], [StreamID: [UInt8]]) = ([:], [:])
        for _ in 0..<400 {
            let id = Bool.random(using: &random) ? Self.first : Self.second
            if Bool.random(using: &random) {
                let count = Int.random(in: 1...(Bool.random(using: &random) ? 10 : 40_000), using: &random)
                let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
                queue.add(.data(bytes), of: id)
                given[id, default: []] += bytes
            } else if let next = queue.next() {
                guard case .data(let bytes) = next.message else {
                    Issue.record("\(next.message) was never given")
                    return
                }
                #expect((1...StreamLimits.maximumPiece).contains(bytes.count))
                taken[next.id, default: []] += bytes
            }
            let waiting = given.values.reduce(0) { $0 + $1.count } - taken.values.reduce(0) { $0 + $1.count }
            #expect(queue.waitingBytes == waiting)
        }
        for (id, message) in Self.all(of: queue) {
            if case .data(let bytes) = message { taken[id, default: []] += bytes }
        }
        #expect(given == taken)
    }
}
