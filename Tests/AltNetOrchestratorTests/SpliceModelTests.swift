// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetObjects
import Testing

@testable import AltNetOrchestrator

/// Two ends of a stream and the hops between them, driven at random and compared with what a pipe would do.
@Suite("Two ends of a stream and the hops between them")
struct SpliceModelTests {
    /// What a node does at one end: what it still has to say, what it heard, how its socket stands.
    private struct Node {
        var stream: SpliceStream
        var toSend: [UInt8]
        var heard: [UInt8] = []
        var isReading = false
        var writing: [UInt8]?
        var hasHeardEnd = false
        var isClosed = false
        var isFinished = false
        var waitsForSent = false
    }

    /// 0 opens, 1 accepts. Two queues in each direction with a ledger between them: a driver's and the wire's.
    private struct Model {
        var nodes: [Node]
        var ledgers = [StreamLedger(), StreamLedger()]
        var hops: [[StreamQueue]] = [[StreamQueue(), StreamQueue()], [StreamQueue(), StreamQueue()]]
        var random: SeededRandom
        /// The most bytes that were anywhere between the sockets, per direction.
        var most = [0, 0]
        static let id = StreamID(.us, 0)

        init(seed: UInt64, sizes: [Int]) {
            self.random = SeededRandom(seed: seed)
            var generator = SeededRandom(seed: seed &+ 1000)
            self.nodes = [SpliceStream(opening: .bitcoinP2P), .accepting].enumerated().map { index, stream in
                Node(
                    stream: stream, toSend: (0..<sizes[index]).map { _ in UInt8.random(in: 0...255, using: &generator) }
                )
            }
        }

        mutating func carryOut(_ directives: [SpliceStream.Directive], _ side: Int) {
            for directive in directives {
                switch directive {
                case .read:
                    #expect(!self.nodes[side].isReading, "one read at a time")
                    self.nodes[side].isReading = true
                case .write(let bytes):
                    #expect(self.nodes[side].writing == nil, "one write at a time")
                    self.nodes[side].writing = bytes
                case .endOutput: self.nodes[side].hasHeardEnd = true
                case .send(let message):
                    #expect(!self.nodes[side].waitsForSent, "one message at a time")
                    self.nodes[side].waitsForSent = true
                    self.hops[side][0].add(message, of: Self.id)
                case .setTimer: break
                case .close: self.nodes[side].isClosed = true
                case .finished: self.nodes[side].isFinished = true
                }
            }
        }

        /// Does one thing that can happen now; `false` when nothing can.
        mutating func step() throws -> Bool {
            var steps: [(inout Model) throws -> Void] = []
            for side in 0...1 {
                if self.nodes[side].waitsForSent {
                    steps.append { model in
                        model.nodes[side].waitsForSent = false
                        model.carryOut(model.nodes[side].stream.onSent(), side)
                    }
                }
                if self.nodes[side].isReading, !self.nodes[side].isClosed { steps.append { try $0.read(side) } }
                if let bytes = self.nodes[side].writing, !self.nodes[side].isClosed {
                    steps.append { model in
                        model.nodes[side].heard += bytes
                        model.nodes[side].writing = nil
                        model.carryOut(model.nodes[side].stream.onWritten(), side)
                    }
                }
                if !self.hops[side][0].isEmpty { steps.append { try $0.pass(side) } }
                if !self.hops[side][1].isEmpty { steps.append { try $0.deliver(side) } }
            }
            guard let step = steps.randomElement(using: &self.random) else { return false }
            try step(&self)
            for side in 0...1 {
                let other = self.nodes[1 - side]
                let between =
                    self.hops[side].reduce(0) { $0 + $1.waitingBytes } + (other.writing?.count ?? 0)
                self.most[side] = max(self.most[side], between)
            }
            return true
        }

        private mutating func read(_ side: Int) throws {
            self.nodes[side].isReading = false
            guard !self.nodes[side].toSend.isEmpty else {
                return self.carryOut(self.nodes[side].stream.onEndOfInput(), side)
            }
            let count = min(
                Int.random(in: 1...StreamLimits.maximumPiece, using: &self.random), self.nodes[side].toSend.count)
            let bytes = Array(self.nodes[side].toSend.prefix(count))
            self.nodes[side].toSend.removeFirst(count)
            self.carryOut(self.nodes[side].stream.onBytes(bytes), side)
        }

        /// From the near driver onto the wire.
        private mutating func pass(_ side: Int) throws {
            guard let (id, message) = self.hops[side][0].next() else { return }
            let verdict = try self.ledgers[0].onMessage(message, of: id, from: side == 0 ? .us : .remote)
            if verdict == .pass { self.hops[side][1].add(message, of: id) }
        }

        /// From the wire to the other end.
        private mutating func deliver(_ side: Int) throws {
            guard let (id, message) = self.hops[side][1].next() else { return }
            let verdict = try self.ledgers[1].onMessage(message, of: id, from: side == 0 ? .us : .remote)
            guard verdict == .pass else { return }
            if case .open = message { return self.carryOut(self.nodes[1].stream.onStart(), 1) }
            self.carryOut(self.nodes[1 - side].stream.onMessage(message), 1 - side)
        }
    }

    @Test(
        "every byte arrives once and in order, both ends see the end, and no hop ever breaks a rule",
        arguments: UInt64(1)...12)
    func pipe(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let sizes = (0...1).map { _ in
            Int.random(in: 0...(Bool.random(using: &random) ? 1000 : 600_000), using: &random)
        }
        var model = Model(seed: seed, sizes: sizes)
        let said = model.nodes.map(\.toSend)
        model.carryOut(model.nodes[0].stream.onStart(), 0)
        while try model.step() {}
        for side in 0...1 {
            #expect(model.nodes[1 - side].heard == said[side])
            #expect(model.nodes[side].hasHeardEnd)
            #expect(model.nodes[side].isFinished)
            #expect(model.nodes[side].stream.ending == nil)
            #expect(model.most[side] <= StreamLimits.window)
            #expect(model.nodes[side].stream.traffic.sent == UInt64(said[side].count))
            #expect(model.nodes[side].stream.traffic.received == UInt64(said[1 - side].count))
        }
        for ledger in model.ledgers { #expect(ledger.count == 0) }
    }

    @Test("a reader that stops stops the writer within the window", arguments: UInt64(1)...3)
    func stoppedReader(seed: UInt64) throws {
        var model = Model(seed: seed, sizes: [600_000, 0])
        model.carryOut(model.nodes[0].stream.onStart(), 0)
        // The accepting node's socket takes nothing: its writes never complete.
        while try model.step() {
            if let bytes = model.nodes[1].writing {
                model.nodes[1].writing = nil
                model.nodes[1].heard += bytes
            }
        }
        let left = model.nodes[0].toSend.count
        #expect(600_000 - left <= StreamLimits.window + StreamLimits.maximumPiece)
        #expect(model.nodes[1].heard.count <= StreamLimits.window)
        #expect(!model.nodes[0].isFinished)
    }

    @Test(
        "wherever a socket breaks, both ends finish and what arrived is a beginning of what was said",
        arguments: UInt64(1)...30)
    func broken(seed: UInt64) throws {
        var model = Model(seed: seed, sizes: [60_000, 40_000])
        let said = model.nodes.map(\.toSend)
        model.carryOut(model.nodes[0].stream.onStart(), 0)
        let side = Int(seed % 2)
        for _ in 0..<Int.random(in: 5...150, using: &model.random) { _ = try model.step() }
        model.nodes[side].isClosed = true
        model.carryOut(model.nodes[side].stream.onClosed("it broke"), side)
        while try model.step() {}
        for index in 0...1 {
            #expect(said[1 - index].starts(with: model.nodes[index].heard))
            #expect(model.nodes[index].isFinished)
        }
        for ledger in model.ledgers { #expect(ledger.count == 0) }
    }
}
