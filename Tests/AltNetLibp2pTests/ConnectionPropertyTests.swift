// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Testing

@testable import AltNetLibp2p

/// Two whole connections, on which a seed opens, writes, reads, ends and resets, while bytes arrive in pieces of any size.
private struct ConnectionWorld {
    struct Flow {
        var sent: [UInt8] = []
        var received: [UInt8] = []
        var unread = 0
        var isBusy = false
        var hasEnded = false
        var sawEnd = false
    }

    struct Stream {
        /// Who opened it.
        let opener: Int
        var flows = [Flow(), Flow()]
        var isOpen = [false, false]
        var isReset = false
    }

    var pair: ConnectionPair
    var random: SeededRandom
    /// By Yamux's number, which both sides share.
    var streams: [UInt32: Stream] = [:]
    var ids: [[UInt32: Libp2pStreamID]] = [[:], [:]]
    var read = [0, 0]

    init(seed: UInt64) throws {
        self.random = SeededRandom(seed: seed)
        self.pair = try ConnectionPair(expecting: try ConnectionPair.key(2).peerID) { _, configuration in
            configuration.limits.yamux.openings = YamuxLimits.Rate(burst: 10_000, perSecond: 10_000)
        }
        self.pair.settle()
    }

    /// Takes note of what the ends have said since the last time.
    mutating func note() {
        for side in 0..<2 {
            for directive in self.pair.log[side][self.read[side]...] {
                switch directive {
                case .opened(let id, let name), .accepted(let id, let name):
                    #expect(name == ConnectionPair.echo)
                    self.streams[id.number]?.isOpen[side] = true
                    self.ids[side][id.number] = id
                case .data(let id, let bytes):
                    self.streams[id.number]?.flows[1 - side].received += bytes
                    self.streams[id.number]?.flows[1 - side].unread += bytes.count
                case .ended(let id): self.streams[id.number]?.flows[1 - side].sawEnd = true
                case .reset(let id, _), .refused(let id, _): self.streams[id.number]?.isReset = true
                case .writable(let id): self.streams[id.number]?.flows[side].isBusy = false
                case .closed(let reason): Issue.record("closed: \(reason)")
                case .write, .secured, .established, .alive, .setTimer: break
                }
            }
            self.read[side] = self.pair.log[side].count
        }
    }

    mutating func step() throws {
        let side = Int.random(in: 0..<2, using: &self.random)
        guard let which = ConnectionPair.Side(rawValue: side) else { return }
        let number = self.streams.keys.sorted().randomElement(using: &self.random)
        let stream = number.flatMap { self.streams[$0] }
        let id = number.flatMap { self.ids[side][$0] }
        switch Int.random(in: 0..<20, using: &self.random) {
        case 0:
            guard self.streams.count < 30 else { break }
            let names = Bool.random(using: &self.random) ? [ConnectionPair.echo] : ["/no/1", ConnectionPair.echo]
            let id = try self.pair.open(names, which)
            self.streams[id.number] = Stream(opener: side)
        case 1...5:
            guard let number, let id, let stream, stream.isOpen[side], !stream.isReset, !stream.flows[side].isBusy,
                !stream.flows[side].hasEnded
            else { break }
            let bytes = self.random.bytes(Int.random(in: 1...4_000, using: &self.random))
            self.streams[number]?.flows[side].sent += bytes
            self.streams[number]?.flows[side].isBusy = true
            self.pair.send(bytes, on: id, which)
        case 6...9:
            guard let number, let id, let unread = stream?.flows[1 - side].unread, unread > 0 else { break }
            self.streams[number]?.flows[1 - side].unread = 0
            self.pair.carryOut(self.pair.ends[side].consumed(unread, on: id, now: self.pair.now), which)
        case 10:
            guard let number, let id, let stream, stream.isOpen[side], !stream.isReset else { break }
            self.streams[number]?.flows[side].hasEnded = true
            self.pair.carryOut(self.pair.ends[side].closeWrite(id, now: self.pair.now), which)
        case 11:
            guard let number, let id, Int.random(in: 0..<8, using: &self.random) == 0 else { break }
            self.streams[number]?.isReset = true
            self.pair.carryOut(self.pair.ends[side].reset(id, now: self.pair.now), which)
        default: self.pair.deliver(from: which, limit: Int.random(in: 1...5_000, using: &self.random))
        }
        self.note()
    }

    mutating func finish() {
        for _ in 0..<100 {
            self.pair.settle()
            self.note()
            for side in 0..<2 {
                guard let which = ConnectionPair.Side(rawValue: side) else { continue }
                for (number, id) in self.ids[side] {
                    let unread = self.streams[number]?.flows[1 - side].unread ?? 0
                    self.streams[number]?.flows[1 - side].unread = 0
                    self.pair.carryOut(self.pair.ends[side].consumed(unread, on: id, now: self.pair.now), which)
                    self.streams[number]?.flows[side].hasEnded = true
                    self.pair.carryOut(self.pair.ends[side].closeWrite(id, now: self.pair.now), which)
                }
            }
            self.note()
        }
    }
}

@Suite("Libp2pConnection: whatever a seed does")
struct ConnectionPropertyTests {
    @Test("Every stream brings what was written, in order, and all are gone in the end", arguments: 0..<20)
    func property(seed: UInt64) throws {
        var world = try ConnectionWorld(seed: seed)
        for _ in 0..<800 { try world.step() }
        world.finish()
        #expect(!world.streams.isEmpty)
        for (number, stream) in world.streams {
            for flow in stream.flows {
                if stream.isReset {
                    #expect(flow.sent.starts(with: flow.received), "seed \(seed), stream \(number)")
                } else {
                    #expect(flow.sent == flow.received && flow.sawEnd, "seed \(seed), stream \(number)")
                }
            }
        }
        #expect(world.pair.ends[0].streamCount == 0 && world.pair.ends[1].streamCount == 0, "seed \(seed)")
        #expect(world.pair.ends[0].streams.isEmpty && world.pair.ends[1].streams.isEmpty, "seed \(seed)")
    }
}
