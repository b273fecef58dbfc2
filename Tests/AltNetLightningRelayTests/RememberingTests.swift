// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetOnion
import Testing

@testable import AltNetLightningRelay

@Suite("What the relay remembers")
struct RememberingTests {
    private func secret(_ number: Int) throws -> OnionSecret {
        try #require(OnionSecret(bytes: (0..<32).map { UInt8(truncatingIfNeeded: number >> ($0 % 4 * 8)) }))
    }

    @Test("the latest onions are recognised, as many as the limit says, and the oldest is forgotten first")
    func seenOnions() throws {
        var seen = SeenOnions(limit: 10)
        for number in 0..<35 {
            let isNew = seen.insert(try self.secret(number))
            #expect(isNew && seen.count == min(10, number + 1))
        }
        for number in 25..<35 {
            let isNew = seen.insert(try self.secret(number))
            #expect(!isNew)
        }
        let isNew = seen.insert(try self.secret(24))
        #expect(isNew)
        let isForgotten = seen.insert(try self.secret(25))
        #expect(isForgotten)
    }

    private func forward(_ number: Int, from neighbour: Int) throws -> RememberedForward {
        let hash = try self.secret(number).bytes
        return RememberedForward(
            sent: SentOnion(neighbour: RelayWorld.keys[0].publicKey, hash: hash),
            received: SentOnion(neighbour: RelayWorld.keys[neighbour].publicKey, hash: hash),
            secret: try self.secret(number), deadline: .zero + .seconds(number))
    }

    @Test("forwards are those of a plain list, whoever sends, answers, leaves or waits", arguments: 0..<50)
    func model(_ seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        var forwards = RememberedForwards(limit: 12)
        var model: [Int: Int] = [:]
        for number in 0..<300 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0:
                let neighbour = Int.random(in: 1...4, using: &random)
                let removed = forwards.removeAll { $0.received.neighbour == RelayWorld.keys[neighbour].publicKey }
                #expect(removed.count == model.values.count { $0 == neighbour })
                model = model.filter { $0.value != neighbour }
            case 1...3:
                guard let answered = model.keys.sorted().randomElement(using: &random) else { continue }
                let sent = try self.forward(answered, from: 1).sent
                let removed = forwards.remove(sent)
                #expect(removed?.received.neighbour == RelayWorld.keys[model[answered] ?? 0].publicKey)
                model[answered] = nil
            case 4:
                let now = MonotonicInstant.zero + .seconds(number - 60)
                let expired = forwards.expire(now: now)
                #expect(expired.count == model.keys.count { $0 <= number - 60 })
                model = model.filter { $0.key > number - 60 }
            default:
                let neighbour = [1, 1, 1, 2, 3, 4].randomElement(using: &random) ?? 1
                let isReplaced = forwards.insert(try self.forward(number, from: neighbour), using: &random)
                #expect(isReplaced == (model.count == 12))
                if isReplaced {
                    let gone = try model.keys.filter { !forwards.contains(try self.forward($0, from: 1).sent) }
                    // One is gone, and it was of a neighbour that held most.
                    let held = Dictionary(grouping: model.values) { $0 }.mapValues(\.count)
                    #expect(gone.count == 1)
                    #expect(held[model[gone.first ?? -1] ?? -1] == held.values.max())
                    for number in gone { model[number] = nil }
                }
                model[number] = neighbour
            }
            #expect(forwards.count == model.count)
            if let next = model.keys.min() {
                #expect((forwards.deadline ?? .zero) <= .zero + .seconds(next))
                #expect(forwards.deadline != nil)
            }
        }
    }
}
