// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetKeys
import AltNetLightningRelay
import Testing

@Suite("DirectedMessages in a simulated network")
struct DirectedMessagesSimulationTests {
    /// Whether an outcome is what this message could only have, not another's.
    private func isOwn(_ outcome: RelayWorld.Outcome?, node: Int, payload: [UInt8]) -> Bool {
        switch outcome {
        case .replied(let contents): contents == RelayWorld.answer(of: node, to: payload)
        case .failed(.timedOut), .failed(.neighbourClosed): true
        case .failed(.reported(_, let code)): code == .temporaryNodeFailure || code == .unknownNextPeer
        case .failed(.unreadableOnion), .failed(.unreadableReply), nil: false
        }
    }

    private func payload(_ node: Int, _ id: UInt64) -> [UInt8] {
        [UInt8(node)] + (0..<8).map { UInt8(truncatingIfNeeded: id >> (8 * $0)) }
    }

    @Test("with loss, restarts and lost connections, each message has one end, and it is its own", arguments: 0..<10)
    func chaos(_ hundred: Int) throws {
        for seed in (UInt64(hundred) * 100)..<(UInt64(hundred) * 100 + 100) {
            var world = RelayWorld(nodes: 6, seed: seed)
            world.connect(1, 4)
            world.loss = Int.random(in: 0...20, using: &world.random)
            var asked: [(node: Int, id: UInt64, last: Int)] = []
            for id in 0..<4 {
                let paths = [[1, 2, 3, 4, 5], [1, 4, 5], [1, 2], [4, 3, 2], [3, 4, 1, 2], [1, 2, 3]]
                let path = try #require(paths.randomElement(using: &world.random))
                let origin = path[0] == 1 ? 0 : path[0] == 4 ? 5 : 2
                try world.originate(origin, id: UInt64(id), path: path, payload: self.payload(origin, UInt64(id)))
                asked.append((origin, UInt64(id), path[path.count - 1]))
                world.run(for: .milliseconds(Int64.random(in: 0...300, using: &world.random)))
                if Int.random(in: 0..<4, using: &world.random) == 0 {
                    world.restart(Int.random(in: 2...3, using: &world.random))
                }
            }
            world.run(for: .seconds(31))
            let ends = asked.map { world.outcomes[$0.node]?[$0.id] }
            for (asked, end) in zip(asked, ends) where end != nil || asked.node != 2 {
                let payload = self.payload(asked.node, asked.id)
                #expect(self.isOwn(end, node: asked.last, payload: payload), "seed \(seed)")
            }
            world.run(for: .seconds(61))
            #expect(world.nodes.allSatisfy { $0.held.forwards == 0 && $0.held.deliveries == 0 }, "seed \(seed)")
            #expect(world.nodes.allSatisfy { $0.held.originated == 0 && $0.deadline == nil }, "seed \(seed)")
        }
    }

    @Test("a hundred messages at a time over three hops each get their own answer")
    func hundredAtATime() throws {
        var limits = RelayLimits()
        (limits.burst, limits.perSecond) = (400, 400)
        var world = RelayWorld(nodes: 5, seed: 7, limits: limits)
        for id in 0..<100 {
            try world.originate(0, id: UInt64(id), path: [1, 2, 3, 4], payload: self.payload(0, UInt64(id)))
            try world.originate(4, id: UInt64(id), path: [3, 2, 1, 0], payload: self.payload(4, UInt64(id)))
        }
        world.run(for: .seconds(25))
        for id in 0..<UInt64(100) {
            #expect(world.outcomes[0]?[id] == .replied(RelayWorld.answer(of: 4, to: self.payload(0, id))))
            #expect(world.outcomes[4]?[id] == .replied(RelayWorld.answer(of: 0, to: self.payload(4, id))))
        }
    }

    @Test("a hundred messages at a time over a middle node that dies and comes back: nobody gets another's answer")
    func hundredAndARestart() throws {
        var limits = RelayLimits()
        (limits.burst, limits.perSecond) = (400, 400)
        var world = RelayWorld(nodes: 5, seed: 8, limits: limits)
        world.loss = 5
        for id in 0..<100 {
            try world.originate(0, id: UInt64(id), path: [1, 2, 3, 4], payload: self.payload(0, UInt64(id)))
        }
        world.run(for: .milliseconds(600))
        world.restart(2)
        for id in 100..<200 {
            try world.originate(0, id: UInt64(id), path: [1, 2, 3, 4], payload: self.payload(0, UInt64(id)))
        }
        world.run(for: .seconds(31))
        var answered = 0
        for id in 0..<UInt64(200) {
            let outcome = world.outcomes[0]?[id]
            #expect(self.isOwn(outcome, node: 4, payload: self.payload(0, id)))
            if id >= 100, case .replied? = outcome { answered += 1 }
        }
        // Eight passages, of which each loses one in twenty: two thirds arrive.
        #expect((45...85).contains(answered))
    }

    @Test("messages of any contents are answered, passed on or dropped, and delivered only when they are whole")
    func garbage() throws {
        var limits = RelayLimits()
        (limits.burst, limits.perSecond) = (100_000, 100_000)
        var world = RelayWorld(nodes: 3, seed: 9, limits: limits)
        world.record = []
        try world.originate(0, id: 1, path: [1, 2], payload: [1, 2])
        let bytes = try #require(world.record?.first?.bytes)
        for _ in 0..<500 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...3, using: &world.random) {
                let place = Int.random(in: 2..<damaged.count, using: &world.random)
                damaged[place] ^= UInt8.random(in: 1...255, using: &world.random)
            }
            world.inject(damaged, from: 0, to: 1)
            var reply: [UInt8] = [0x01, 0x82]
            for _ in 0..<32 { reply.append(UInt8.random(in: 0...255, using: &world.random)) }
            let length = Int.random(in: 0...300, using: &world.random)
            reply.appendBigEndian(UInt16(length))
            world.inject(reply + Array(repeating: 7, count: length), from: 2, to: 1)
        }
        world.run(for: .seconds(30))
        #expect(world.delivered.count == 1)
        #expect(world.outcomes[0]?[1] == .replied(RelayWorld.answer(of: 2, to: [1, 2])))
        #expect(world.nodes[1].counters[.malformedOnions] == 500)
        #expect(world.nodes[1].counters[.unknownReplies] + world.nodes[1].counters[.malformedReplies] == 500)
        #expect(world.nodes[1].counters[.forwarded] == 1)
    }

    @Test("a neighbour that floods pushes out its own forwards and nobody else's")
    func flood() throws {
        var limits = RelayLimits()
        (limits.burst, limits.perSecond, limits.forwards, limits.originated) = (1000, 1000, 40, 1000)
        // Node 1 forwards; 0 and 3 ask politely, 4 floods; 2 answers slowly or not at all.
        var world = RelayWorld(nodes: 5, seed: 5, limits: limits)
        world.connect(1, 3)
        world.connect(1, 4)
        world.silent = [2]
        for id in 0..<10 {
            try world.originate(0, id: UInt64(id), path: [1, 2], payload: self.payload(0, UInt64(id)))
            try world.originate(3, id: UInt64(id), path: [1, 2], payload: self.payload(3, UInt64(id)))
        }
        world.run(for: .seconds(1))
        for id in 0..<200 {
            try world.originate(4, id: UInt64(id), path: [1, 2], payload: self.payload(4, UInt64(id)))
        }
        world.run(for: .seconds(1))
        #expect(world.nodes[1].held.forwards == 40)
        #expect(world.nodes[1].counters[.forwardsReplaced] == 180)
        // The node behind answers everything now: the polite ones get all of theirs.
        for (handle, delivery) in world.delivered.enumerated() {
            world.answer(2, handle: UInt64(handle), RelayWorld.answer(of: 2, to: delivery.payload))
        }
        world.run(for: .seconds(5))
        for id in 0..<UInt64(10) {
            #expect(world.outcomes[0]?[id] == .replied(RelayWorld.answer(of: 2, to: self.payload(0, id))))
            #expect(world.outcomes[3]?[id] == .replied(RelayWorld.answer(of: 2, to: self.payload(3, id))))
        }
        #expect(world.outcomes[4]?.count == 20)
        #expect(world.nodes[1].counters[.unknownReplies] == 180)
    }

    @Test("the rates of as many neighbours as allowed are counted, and any more are refused")
    func manyNeighbours() throws {
        var limits = RelayLimits()
        (limits.neighbours, limits.burst, limits.perSecond) = (3, 1, 1)
        var world = RelayWorld(nodes: 6, seed: 5, limits: limits)
        for node in 3...5 { world.connect(1, node) }
        for node in [0, 2, 3, 4] { try world.originate(node, id: 1, path: [1], payload: self.payload(node, 1)) }
        world.run(for: .milliseconds(300))
        #expect(world.nodes[1].counters[.rateLimited] == 1)
        #expect(world.delivered.count == 3)
        // A while later their buckets are full again, and make room.
        world.run(for: .seconds(2))
        try world.originate(5, id: 1, path: [4, 1], payload: self.payload(5, 1))
        world.run(for: .seconds(4))
        #expect(world.delivered.count == 4)
    }
}
