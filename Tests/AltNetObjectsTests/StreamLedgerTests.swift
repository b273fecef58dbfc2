// SPDX-License-Identifier: MIT

import AltNetObjects
import Testing

@Suite("StreamLedger")
struct StreamLedgerTests {
    /// A ledger by reference: the expectation macros do not take mutating calls.
    private final class Hop {
        var ledger = StreamLedger()

        @discardableResult
        func say(
            _ message: StreamMessage, _ id: StreamID = StreamLedgerTests.id, from side: StreamSide, hasRoom: Bool = true
        ) throws -> StreamLedger.Verdict {
            try self.ledger.onMessage(message, of: id, from: side, hasRoom: hasRoom)
        }

        static func open() throws -> Hop {
            let hop = Hop()
            try hop.say(.open(.bitcoinP2P), from: .us)
            try hop.say(.opened, from: .remote)
            return hop
        }
    }

    private static let id = StreamID(.us, 0)
    private static let piece = [UInt8](repeating: 7, count: StreamLimits.maximumPiece)

    @Test("a window of bytes passes and not one more, in each direction by itself")
    func window() throws {
        let hop = try Hop.open()
        for side in [StreamSide.us, .remote] {
            for _ in 0..<(StreamLimits.window / StreamLimits.maximumPiece) {
                #expect(try hop.say(.data(Self.piece), from: side) == .pass)
            }
            #expect(throws: StreamViolation.self) { try hop.say(.data([1]), from: side) }
        }
        #expect(try hop.say(.credit(10), from: .remote) == .pass)
        #expect(try hop.say(.data([UInt8](repeating: 0, count: 10)), from: .us) == .pass)
        #expect(throws: StreamViolation.self) { try hop.say(.data([1]), from: .us) }
        #expect(throws: StreamViolation.self) { try hop.say(.data([1]), from: .remote) }
    }

    @Test("credit is given back, never given")
    func credit() throws {
        let hop = try Hop.open()
        #expect(throws: StreamViolation.self) { try hop.say(.credit(1), from: .remote) }
        try hop.say(.data([1, 2, 3]), from: .us)
        #expect(throws: StreamViolation.self) { try hop.say(.credit(4), from: .remote) }
        #expect(throws: StreamViolation.self) { try hop.say(.credit(1), from: .us) }
        #expect(throws: StreamViolation.self) { try hop.say(.credit(0), from: .remote) }
        #expect(throws: StreamViolation.self) { try hop.say(.credit(.max), from: .remote) }
        #expect(try hop.say(.credit(3), from: .remote) == .pass)
    }

    @Test("each direction ends by itself, and the stream with the second one")
    func ends() throws {
        let hop = try Hop.open()
        #expect(try hop.say(.end, from: .us) == .pass)
        #expect(throws: StreamViolation.self) { try hop.say(.data([1]), from: .us) }
        #expect(throws: StreamViolation.self) { try hop.say(.end, from: .us) }
        #expect(try hop.say(.data([1]), from: .remote) == .pass)
        #expect(try hop.say(.credit(1), from: .us) == .pass)
        #expect(try hop.say(.end, from: .remote) == .pass)
        #expect(hop.ledger.count == 0)
        #expect(try hop.say(.credit(1), from: .remote) == .ignore)
        #expect(try hop.say(.reset(.closed), from: .us) == .ignore)
    }

    @Test(
        "what comes about a stream that was reset or refused is ignored",
        arguments: [StreamMessage.data([1]), .credit(1), .end, .reset(.closed), .opened, .refused(.busy)])
    func gone(_ message: StreamMessage) throws {
        let reset = try Hop.open()
        #expect(try reset.say(.reset(.closed), from: .remote) == .pass)
        #expect(try reset.say(message, from: .us) == .ignore)
        let refused = Hop()
        try refused.say(.open(.bitcoinP2P), from: .us)
        try refused.say(.refused(.busy), from: .remote)
        #expect(try refused.say(message, from: .us) == .ignore)
    }

    @Test(
        "nothing but a reset may come before the answer, and nothing at all about a stream that was never opened",
        arguments: [StreamMessage.data([1]), .credit(1), .end])
    func early(_ message: StreamMessage) throws {
        let hop = Hop()
        for side in [StreamSide.us, .remote] {
            #expect(throws: StreamViolation.self) { try hop.say(message, from: side) }
        }
        try hop.say(.open(.bitcoinP2P), from: .us)
        for side in [StreamSide.us, .remote] {
            #expect(throws: StreamViolation.self) { try hop.say(message, from: side) }
        }
        #expect(try hop.say(.reset(.timedOut), from: .us) == .pass)
    }

    @Test("only the other side answers, and once")
    func answers() throws {
        let hop = Hop()
        try hop.say(.open(.bitcoinP2P), from: .us)
        #expect(throws: StreamViolation.self) { try hop.say(.opened, from: .us) }
        #expect(try hop.say(.opened, from: .remote) == .pass)
        #expect(throws: StreamViolation.self) { try hop.say(.opened, from: .remote) }
        #expect(throws: StreamViolation.self) { try hop.say(.refused(.busy), from: .remote) }
    }

    @Test("each side counts its own streams, upwards")
    func numbers() throws {
        let hop = Hop()
        #expect(throws: StreamViolation.self) { try hop.say(.open(.bitcoinP2P), StreamID(.remote, 0), from: .us) }
        #expect(try hop.say(.open(.bitcoinP2P), StreamID(.us, 5), from: .us) == .pass)
        #expect(try hop.say(.open(.bitcoinP2P), StreamID(.remote, 5), from: .remote) == .pass)
        for index in [0, 4, 5] as [UInt32] {
            #expect(throws: StreamViolation.self) { try hop.say(.open(.bitcoinP2P), StreamID(.us, index), from: .us) }
        }
        let last = StreamID.maximumIndex
        #expect(throws: StreamViolation.self) { try hop.say(.open(.bitcoinP2P), StreamID(.us, last + 1), from: .us) }
        #expect(try hop.say(.open(.bitcoinP2P), StreamID(.us, last), from: .us) == .pass)
        for side in [StreamSide.us, .remote] {
            for id in [StreamID(.us, 0), StreamID(.remote, last), StreamID(.us, last)] {
                #expect(StreamID(number: id.number(even: side), even: side) == id)
            }
        }
    }

    @Test("a stream too many is refused, and there is room again when one is gone")
    func room() throws {
        let hop = Hop()
        let most = UInt32(StreamLimits.maximumPerLink)
        for index in 0..<most { #expect(try hop.say(.open(.bitcoinP2P), StreamID(.us, index), from: .us) == .pass) }
        #expect(try hop.say(.open(.bitcoinP2P), StreamID(.us, most), from: .us) == .refuse(.busy))
        #expect(try hop.say(.open(.bitcoinP2P), StreamID(.remote, 0), from: .remote) == .pass)
        #expect(try hop.say(.reset(.cancelled), StreamID(.us, 3), from: .remote) == .pass)
        #expect(try hop.say(.open(.bitcoinP2P), StreamID(.us, most + 1), from: .us) == .pass)
        #expect(
            try hop.say(.open(.bitcoinP2P), StreamID(.remote, 1), from: .remote, hasRoom: false) == .refuse(.busy))
    }

    @Test("pieces are neither empty nor too long")
    func pieces() throws {
        let hop = try Hop.open()
        #expect(throws: StreamViolation.self) { try hop.say(.data([]), from: .us) }
        #expect(throws: StreamViolation.self) { try hop.say(.data(Self.piece + [1]), from: .us) }
    }
}
