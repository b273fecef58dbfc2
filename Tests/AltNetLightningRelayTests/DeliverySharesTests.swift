// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetLightning
import AltNetLightningRelay
import AltNetObjects
import Testing

@Suite("Places for messages that wait for our answers")
struct DeliverySharesTests {
    /// What nobody answers: no frame, another version, an answer, and text that is not the far link's to take.
    private static let garbage: [[UInt8]] = [
        [1, 2], RelayFrame(1, .ping).encoded.map { $0 | 0x80 }, RelayFrame(2, .textTaken).encoded,
        RelayFrame(3, .objectAnswer(total: 1, offset: 0, part: [1])).encoded, RelayFrame(4, .text([65])).encoded,
    ]

    @Test("a neighbour that sends garbage for minutes keeps no place, and a far link beside it misses nothing")
    func garbage() throws {
        // 0 asks 2 over 1; 3 is another neighbour of 2.
        var world = RelayWorld(nodes: 4, seed: 5)
        world.objects = { _ in .objects(.blocks, [Array(repeating: 7, count: 200)]) }
        world.openFarLink([1, 2])
        for second in 0..<180 {
            for number in 0..<8 {
                let payload = Self.garbage[(second + number) % Self.garbage.count]
                try world.originate(3, id: UInt64(second * 8 + number), path: [2], payload: payload)
            }
            if second % 5 == 0 { world.requestFar(id: UInt64(second), .block(.zero)) }
            world.run(for: .seconds(1))
            #expect(world.nodes[2].held.deliveries <= 2)
        }
        world.run(for: .seconds(5))
        let answered = world.farSaid.count {
            if case .answer(_, .objects(.blocks, _)) = $0 { true } else { false }
        }
        #expect(answered == 35, "the first one comes before the link stands")
        #expect(world.nodes[2].counters[.unanswered] > 1300)
        #expect(world.nodes[2].counters[.deliveriesReplaced] == 0)
    }

    @Test("a neighbour whose messages are never answered takes no place from another's")
    func unanswered() throws {
        var world = RelayWorld(nodes: 4, seed: 5)
        world.connect(3, 1)
        world.silent = [1]
        var taken = 0
        var asked = 0
        var waiting: [(handle: UInt64, payload: [UInt8], second: Int)] = []
        for second in 0..<180 {
            for number in 0..<8 {
                try world.originate(3, id: UInt64(second * 8 + number), path: [1], payload: [0, 0])
            }
            if second % 2 == 0 {
                asked += 1
                try world.originate(0, id: UInt64(second), path: [1], payload: [1, UInt8(second)])
            }
            world.run(for: .seconds(1))
            for (handle, delivery) in world.delivered.enumerated().dropFirst(taken) where delivery.payload[0] == 1 {
                waiting.append((UInt64(handle), delivery.payload, second))
            }
            taken = world.delivered.count
            // The slow application answers the honest neighbour after twenty seconds, and the other never.
            for ready in waiting.filter({ $0.second + 20 <= second }) {
                world.answer(1, handle: ready.handle, ready.payload)
            }
            waiting.removeAll { $0.second + 20 <= second }
        }
        for ready in waiting { world.answer(1, handle: ready.handle, ready.payload) }
        world.run(for: .seconds(5))
        #expect(asked == 90)
        let replied = world.outcomes[0]?.values.count { if case .replied = $0 { true } else { false } }
        #expect(replied == asked)
        #expect(world.nodes[1].counters[.deliveriesReplaced] > 900)
    }

    @Test("an onion message that is not answered keeps no place once it is forgotten")
    func onions() throws {
        var limits = RelayLimits()
        limits.deliveries = 3
        var world = OnionWorld(nodes: 3, seed: 1, limits: limits)
        for id in 0..<5 { try world.originate(0, id: UInt64(id), path: [1, 2], payload: [1, 2]) }
        try world.originate(1, id: 9, path: [2], payload: [3, 4])
        #expect(world.nodes[2].held.deliveries == 3 && world.nodes[2].counters[.deliveriesReplaced] == 3)
        for case .deliver(let handle, _, _) in world.said.map(\.directive) {
            world.nodes[2].forget(handle)
            world.nodes[2].forget(handle)
        }
        #expect(world.nodes[2].held.deliveries == 0 && world.nodes[2].counters[.unanswered] == 3)
    }

    @Test("each frame that is not answered is given back as its bare handle")
    func handles() {
        var server = FarServerSession(FarServerSession.Configuration(network: .regtest, serves: [.blocks]))
        _ = server.onConnected(now: .zero)
        for (number, frame) in Self.garbage.enumerated() {
            let handle: [UInt8] = [0, 0, 0, 0, 0, 0, 1, UInt8(number)]
            #expect(server.onBytes(handle + frame, now: .zero) == [.write(handle)])
        }
        #expect(server.onBytes([1, 2, 3], now: .zero).isEmpty)
        #expect(server.ignoredFrames == 6)
    }
}
