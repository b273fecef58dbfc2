// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetKeys
import AltNetLightningRelay
import AltNetObjects
import Testing

@Suite("A far link over directed messages")
struct FarChainTests {
    /// Headers that follow each other and the genesis block; nobody mined them.
    private static let headers: [UInt8] = {
        var headers: [UInt8] = []
        var previous = Network.regtest.chainHash
        for number in 0..<3000 {
            var header: [UInt8] = [0, 0, 0, 32] + previous.bytes
            header += Array(repeating: UInt8(truncatingIfNeeded: number), count: 32)
            header.appendLittleEndian(UInt32(1_600_000_000 + number * 600))
            header.appendLittleEndian(UInt32(0x207f_ffff))
            header.appendLittleEndian(UInt32(number))
            previous = header.withUnsafeBytes { BlockHeader(unaligned: $0) }.hash
            headers += header
        }
        return headers
    }()

    /// What a node with these headers and any block answers.
    private static func answer(_ request: ObjectRequest) -> ObjectAnswer {
        switch request {
        case .headers(let locator, _, _, let limit):
            let known = (0..<3000).first { index in
                Self.headers[(index * 80)..<(index * 80 + 80)].withUnsafeBytes {
                    locator.first == BlockHeader(unaligned: $0).hash
                }
            }
            let start = (known.map { $0 + 1 } ?? 0) * 80
            return .headers(Array(Self.headers[start...].prefix(Int(limit) * 80)))
        case .block(let hash): return .objects(.blocks, [Array(repeating: hash.bytes[0], count: 200_000)])
        default: return .refused(.unsupported)
        }
    }

    private static func answers(_ world: RelayWorld) -> [UInt64: ObjectAnswer] {
        var answers: [UInt64: ObjectAnswer] = [:]
        for case .answer(let id, let answer) in world.farSaid { answers[id] = answer }
        return answers
    }

    @Test("all headers and a block come from a node four hops away, and a transaction goes there")
    func everything() throws {
        var world = RelayWorld(nodes: 5, seed: 2)
        world.objects = Self.answer
        world.openFarLink([1, 2, 3, 4])
        world.run(for: .seconds(10))
        guard case .established(let peer)? = world.farSaid.first else {
            Issue.record("not established")
            return
        }
        #expect(peer.identity == world.id(4).description && peer.serves == [.headers, .blocks])
        var headers: [UInt8] = []
        for id in 0..<4 {
            let last =
                headers.isEmpty
                ? Network.regtest.chainHash
                : headers.suffix(80).withUnsafeBytes { BlockHeader(unaligned: $0) }.hash
            world.requestFar(id: UInt64(id), .headers(locator: [last], stop: .zero, heightHint: 7, limit: 8192))
            world.run(for: .seconds(10))
            guard case .headers(let more)? = Self.answers(world)[UInt64(id)] else { continue }
            headers += more
        }
        #expect(headers == Self.headers)
        world.requestFar(id: 9, .block(.zero))
        let transaction = [UInt8](repeating: 3, count: 5000)
        world.announceFar(.transaction(transaction))
        world.run(for: .seconds(60))
        #expect(Self.answers(world)[9] == .objects(.blocks, [Array(repeating: 0, count: 200_000)]))
        #expect(world.announced == [.transaction(transaction)])
        // Nobody on the way was told what was in the messages.
        #expect(world.delivered.allSatisfy { $0.node == 4 })
    }

    @Test("a path that breaks is noticed within seconds, and one that heals is used again")
    func broken() throws {
        var world = RelayWorld(nodes: 4, seed: 2)
        world.objects = Self.answer
        world.openFarLink([1, 2, 3])
        world.run(for: .seconds(10))
        // What comes back after three seconds is found by the third attempt.
        world.disconnect(1, 2)
        world.requestFar(id: 1, .block(.zero))
        world.run(for: .seconds(3))
        world.connect(1, 2)
        world.run(for: .seconds(7))
        #expect(Self.answers(world)[1] == .objects(.blocks, [Array(repeating: 0, count: 200_000)]))
        // What does not is given up after six.
        world.disconnect(1, 2)
        world.requestFar(id: 2, .block(.zero))
        world.run(for: .seconds(5))
        #expect(Self.answers(world)[2] == nil)
        world.run(for: .seconds(4))
        #expect(Self.answers(world)[2] == .refused(.unavailable))
        // The next ping finds the same, and so do two more.
        world.run(for: .seconds(85))
        #expect(world.farSaid.last == .disconnect(DisconnectReason(.timedOut, "no answer to 3 pings")))

        world = RelayWorld(nodes: 4, seed: 2)
        world.disconnect(0, 1)
        world.openFarLink([1, 2, 3])
        world.run(for: .seconds(21))
        #expect(world.farSaid.last == .disconnect(DisconnectReason(.unreachable, "no answer to 3 pings")))
    }

    @Test("with loss and a middle node that dies every ten seconds, no answer is another's", arguments: 0..<5)
    func restarts(_ seed: Int) throws {
        var world = RelayWorld(nodes: 5, seed: UInt64(seed))
        world.objects = Self.answer
        world.openFarLink([1, 2, 3, 4])
        world.run(for: .seconds(10))
        world.loss = 2
        var asked: [UInt64: BlockHash] = [:]
        for round in 0..<10 {
            let hash = try #require(BlockHash(bytes: Array(repeating: UInt8(round + 1), count: 32)))
            asked[UInt64(round)] = hash
            world.requestFar(id: UInt64(round), .block(hash))
            world.run(for: .seconds(9))
            world.restart(2)
            world.run(for: .seconds(1))
        }
        world.run(for: .seconds(200))
        let answers = Self.answers(world)
        var complete = 0
        for (id, hash) in asked {
            let block = ObjectAnswer.objects(.blocks, [Array(repeating: hash.bytes[0], count: 200_000)])
            #expect([block, .refused(.unavailable), .refused(.busy)].contains(answers[id]))
            if answers[id] == block { complete += 1 }
        }
        // Each message has three attempts, of which a restart takes one at most.
        #expect(complete >= 8)
    }
}
