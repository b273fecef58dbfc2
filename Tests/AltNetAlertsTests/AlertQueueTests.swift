// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetAlerts

@Suite("Queue of a sink")
struct AlertQueueTests {
    @Test("a newer update replaces a waiting one of the same incident, and so does the closing")
    func superseding() {
        var queue = AlertQueue()
        _ = queue.add(Sample.message(.opened, number: 1))
        _ = queue.add(Sample.message(.updated, number: 2))
        _ = queue.add(Sample.message(.updated, incident: 18, number: 2))
        let update = queue.add(Sample.message(.updated, number: 3))
        #expect(update.superseded.map(\.number) == [2])
        let closing = queue.add(Sample.message(.closed, number: 4))
        #expect(closing.superseded.map(\.number) == [3])
        #expect(queue.waiting.map(\.event) == [.opened, .updated, .closed])
        #expect(queue.waiting.map(\.incident) == [17, 18, 17])
    }

    @Test("the same message twice waits once")
    func twice() {
        var queue = AlertQueue()
        _ = queue.add(Sample.message())
        _ = queue.add(Sample.message())
        #expect(queue.waiting.count == 1)
    }

    @Test("what is opened, closed or critical goes only when nothing less is left", arguments: 0..<40 as Range<UInt64>)
    func overflow(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let capacity = Int.random(in: 1...12, using: &random)
        var queue = AlertQueue(capacity: capacity)
        // The naive model: everything that came, with what was replaced or dropped taken out by the written rule.
        var model: [AlertMessage] = []
        for number in 0..<200 {
            let message = Sample.message(
                [.opened, .updated, .updated, .closed, .test].randomElement(using: &random) ?? .test,
                incident: Int64.random(in: 1...8, using: &random), number: Int64(number),
                severity: Bool.random(using: &random) ? .critical : .warning)
            let change = queue.add(message)
            if message.event == .updated || message.event == .closed {
                model.removeAll { $0.event == .updated && $0.incident == message.incident }
            }
            model.append(message)
            if model.count > capacity {
                let order: [(AlertMessage) -> Bool] = [
                    { $0.event == .test || $0.event == .updated && $0.severity == .warning },
                    { $0.event == .updated },
                    { $0.severity == .warning },
                    { _ in true },
                ]
                let victim = order.lazy.compactMap { isLess in model.first(where: isLess) }.first
                #expect(change.dropped == victim, "seed \(seed)")
                model.removeAll { $0 == victim }
            } else {
                #expect(change.dropped == nil, "seed \(seed)")
            }
            #expect(queue.waiting == model, "seed \(seed)")
            #expect(queue.waiting.count <= capacity)
        }
    }

    @Test("what is put back is the oldest again, and outdated updates do not come back")
    func puttingBack() {
        var queue = AlertQueue()
        _ = queue.add(Sample.message(.opened, number: 1))
        _ = queue.add(Sample.message(.updated, number: 2))
        let taken = queue.takeFirst(2)
        _ = queue.add(Sample.message(.updated, number: 3))
        let changes = queue.putBack(taken)
        #expect(queue.waiting.map(\.number) == [1, 3])
        #expect(changes.flatMap(\.superseded).map(\.number) == [2])
    }
}
