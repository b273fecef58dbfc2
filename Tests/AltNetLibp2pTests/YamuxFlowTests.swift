// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetLibp2p

/// Two Yamux machines with a pipe between them, and a model that knows what every stream must have brought.
private struct FlowWorld {
    struct Direction {
        var sent: [UInt8] = []
        var received: [UInt8] = []
        /// Received and not consumed.
        var unread = 0
        var isBusy = false
        var hasEnded = false
        var sawEnd = false
    }

    struct ModelStream {
        /// The handle on each side; the listener's comes with the opening.
        var ids: [Libp2pStreamID?]
        /// What travels from side 0 to side 1, and back.
        var directions = [Direction(), Direction()]
        var isReset = false
    }

    /// What is sent is cut out of this.
    static let noise: [UInt8] = {
        var random = SeededRandom(seed: 1)
        return random.bytes(100_000)
    }()

    var sides = [
        Yamux(isClient: true, limits: YamuxLimits(), now: .zero),
        Yamux(isClient: false, limits: YamuxLimits(), now: .zero),
    ]
    var pipes: [[UInt8]] = [[], []]
    var streams: [UInt32: ModelStream] = [:]
    var random: SeededRandom
    var now = MonotonicInstant.zero

    init(seed: UInt64) {
        self.random = SeededRandom(seed: seed)
    }

    mutating func collect() {
        for side in 0..<2 {
            self.pipes[side] += self.sides[side].output
            self.sides[side].output = []
        }
    }

    mutating func take(_ events: [Yamux.Event], side: Int) throws {
        for event in events {
            switch event {
            case .opened(let id): self.streams[id.number]?.ids[side] = id
            case .data(let id, let bytes):
                self.streams[id.number]?.directions[1 - side].received += bytes
                self.streams[id.number]?.directions[1 - side].unread += bytes.count
                let unread = try #require(self.streams[id.number]).directions[1 - side].unread
                #expect(unread <= YamuxLimits.initialWindow, "a reader that does not read is sent one window at most")
            case .ended(let id): self.streams[id.number]?.directions[1 - side].sawEnd = true
            case .reset(let id, _): self.streams[id.number]?.isReset = true
            case .writable(let id): self.streams[id.number]?.directions[side].isBusy = false
            case .pong, .goAway: Issue.record("nobody asked for this")
            }
        }
    }

    /// Moves up to `limit` bytes out of one pipe.
    mutating func deliver(from side: Int, limit: Int) throws {
        let piece = self.pipes[side].prefix(limit)
        self.pipes[side].removeFirst(piece.count)
        try self.take(self.sides[1 - side].onBytes(piece, now: self.now), side: 1 - side)
        self.collect()
    }

    mutating func step() throws {
        let side = Int.random(in: 0..<2, using: &self.random)
        self.now = self.now + .milliseconds(20)
        switch Int.random(in: 0..<100, using: &self.random) {
        case 0..<8:
            guard self.streams.count < 40, let id = self.sides[side].open() else { return }
            self.streams[id.number] = ModelStream(ids: side == 0 ? [id, nil] : [nil, id])
        case 8..<35:
            guard let number = self.streams.keys.sorted().randomElement(using: &self.random),
                let id = self.streams[number]?.ids[side], var direction = self.streams[number]?.directions[side],
                !direction.isBusy, !direction.hasEnded, self.streams[number]?.isReset == false
            else { return }
            let count = Int.random(in: 1...90_000, using: &self.random)
            let offset = Int.random(in: 0...10_000, using: &self.random)
            let bytes = Self.noise[offset..<(offset + count)]
            direction.sent += bytes
            direction.isBusy = true
            self.streams[number]?.directions[side] = direction
            try self.take(self.sides[side].send(bytes, on: id), side: side)
        case 35..<60:
            guard let number = self.streams.keys.sorted().randomElement(using: &self.random),
                let id = self.streams[number]?.ids[side],
                let unread = self.streams[number]?.directions[1 - side].unread,
                unread > 0
            else { return }
            let count = Int.random(in: 1...unread, using: &self.random)
            self.streams[number]?.directions[1 - side].unread -= count
            self.sides[side].consumed(count, on: id)
        case 60..<63:
            guard let number = self.streams.keys.sorted().randomElement(using: &self.random),
                let id = self.streams[number]?.ids[side]
            else { return }
            self.streams[number]?.directions[side].hasEnded = true
            self.sides[side].end(id)
        case 63:
            guard let number = self.streams.keys.sorted().randomElement(using: &self.random),
                let id = self.streams[number]?.ids[side]
            else { return }
            self.streams[number]?.isReset = true
            self.sides[side].reset(id)
        default: try self.deliver(from: side, limit: Int.random(in: 1...100_000, using: &self.random))
        }
        self.collect()
    }

    /// Everybody reads, and everything ends.
    mutating func settle() throws {
        while true {
            var hasMoved = false
            for side in 0..<2 {
                while !self.pipes[side].isEmpty {
                    try self.deliver(from: side, limit: 65_536)
                    hasMoved = true
                }
                for (number, stream) in self.streams {
                    guard let id = stream.ids[side] else { continue }
                    let unread = stream.directions[1 - side].unread
                    if unread > 0 {
                        self.streams[number]?.directions[1 - side].unread = 0
                        self.sides[side].consumed(unread, on: id)
                        hasMoved = true
                    }
                    if !stream.directions[side].hasEnded {
                        self.streams[number]?.directions[side].hasEnded = true
                        self.sides[side].end(id)
                        hasMoved = true
                    }
                }
                self.collect()
                if !self.pipes[side].isEmpty { hasMoved = true }
            }
            if !hasMoved { return }
        }
    }
}

@Suite("Yamux: flow control against a naive model")
struct YamuxFlowTests {
    @Test("Every byte arrives once and in order, and no reader is sent more than a window", arguments: 0..<20)
    func property(seed: UInt64) throws {
        var world = FlowWorld(seed: seed)
        for _ in 0..<1_000 { try world.step() }
        try world.settle()
        for (number, stream) in world.streams {
            for direction in stream.directions {
                if stream.isReset {
                    #expect(direction.sent.starts(with: direction.received), "seed \(seed), stream \(number)")
                } else {
                    #expect(direction.sent == direction.received, "seed \(seed), stream \(number)")
                    #expect(direction.sawEnd, "seed \(seed), stream \(number)")
                }
            }
        }
        #expect(world.sides[0].count == 0 && world.sides[1].count == 0, "seed \(seed)")
        #expect(world.sides[0].unread == 0 && world.sides[1].unread == 0, "seed \(seed)")
    }

    @Test("Garbage never crashes it, whatever comes first", arguments: 0..<100)
    func garbage(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var server = Yamux(isClient: false, limits: YamuxLimits(), now: .zero)
        do {
            for _ in 0..<200 {
                var frame = YamuxTests.frame(
                    [.data, .windowUpdate, .ping, .goAway].randomElement(using: &random) ?? .data,
                    YamuxHeader.Flags(rawValue: UInt16.random(in: 0...15, using: &random)),
                    stream: UInt32.random(in: 0...9, using: &random), length: Int.random(in: 0...40, using: &random))
                if Int.random(in: 0..<4, using: &random) == 0 {
                    frame[Int.random(in: 0..<12, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
                }
                _ = try server.onBytes(frame[...], now: .zero)
            }
        } catch {
            #expect(!error.description.isEmpty)
        }
        #expect(server.count <= 5)
    }
}
