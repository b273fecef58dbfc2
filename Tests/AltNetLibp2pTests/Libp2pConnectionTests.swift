// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import Testing

@testable import AltNetLibp2p

@Suite("Libp2pConnection")
struct Libp2pConnectionTests {
    typealias Pair = ConnectionPair

    @Test(
        "Both sides prove who they are and can open streams, whatever way the bytes are cut", arguments: [true, false])
    func cuts(namesMuxer: Bool) throws {
        for size in [1, 2, 3, 5, 7, 11, 64, 1_000] {
            var pair = try Pair(expecting: try Pair.key(2).peerID) { side, configuration in
                // The listener names its multiplexer in any case: one side is not enough.
                if side == .dialer { configuration.namesMuxer = namesMuxer }
            }
            pair.settle(pieces: size)
            #expect(pair.secured(.dialer) == (try Pair.key(2).peerID))
            #expect(pair.secured(.listener) == (try Pair.key(1).peerID))
            #expect(pair.ends[0].isEstablished && pair.ends[1].isEstablished)
            let id = try pair.open(["/nobody/1", Pair.echo])
            pair.settle(pieces: size)
            let (far, name) = try #require(pair.accepted(.listener).first)
            #expect(name == Pair.echo)
            pair.send([1, 2, 3], on: id, .dialer)
            pair.send([4, 5], on: far, .listener)
            pair.settle(pieces: size)
            #expect(pair.data(.listener) == [1, 2, 3] && pair.data(.dialer) == [4, 5])
        }
    }

    @Test("A multiplexer that both name in the handshake saves its negotiation")
    func inlineMuxer() throws {
        func turns(_ namesMuxer: Bool) throws -> Int {
            var pair = try Pair { $1.namesMuxer = namesMuxer }
            var turns = 0
            while !pair.ends[0].isEstablished {
                pair.deliver(from: .dialer)
                pair.deliver(from: .listener)
                turns += 1
            }
            return turns
        }
        #expect(try turns(true) < turns(false))
    }

    @Test("Anybody but the expected peer is refused")
    func unexpectedPeer() throws {
        let expected = try Pair.key(9).peerID
        var pair = try Pair(expecting: expected)
        pair.settle()
        #expect(pair.failure(.dialer) == .noise(.unexpectedPeer(expected: expected, found: try Pair.key(2).peerID)))
        #expect(pair.secured(.listener) == nil)
    }

    @Test("Who does not speak libp2p is refused, and learns nothing")
    func stranger() throws {
        var pair = try Pair()
        let request = "GET / HTTP/1.1\r\nHost: " + String(repeating: "a", count: 100)
        pair.carryOut(pair.ends[1].onBytes(Array(request.utf8), now: .zero), .listener)
        #expect(pair.failure(.listener) == .negotiation(.noNewline))
        #expect(pair.wires[1].isEmpty)
    }

    @Test("A changed bit anywhere in what either side sends ends the connection, or changes nothing", arguments: 0..<60)
    func changedBits(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var pair = try Pair()
        let side: Pair.Side = Bool.random(using: &random) ? .dialer : .listener
        let position = Int.random(in: 0..<300, using: &random)
        var passed = 0
        while !(pair.wires[0].isEmpty && pair.wires[1].isEmpty) {
            let length = pair.wires[side.rawValue].count
            if (passed..<(passed + length)).contains(position) {
                pair.wires[side.rawValue][position - passed] ^= UInt8(1 << Int.random(in: 0..<8, using: &random))
            }
            passed += length
            pair.deliver(from: side)
            pair.deliver(from: side.other)
        }
        // The highest bit of a Curve25519 key does not count; any other bit ends it, or leaves it waiting for bytes that
        // a changed length promises.
        if pair.ends[0].isEstablished, pair.ends[1].isEstablished {
            #expect(pair.secured(.dialer) == (try Pair.key(2).peerID))
        } else {
            pair.wait(.seconds(31))
            #expect(pair.failure(.dialer) != nil || pair.failure(.listener) != nil, "seed \(seed)")
        }
    }

    @Test("Garbage ends a connection at once or with the handshake's time, and holds little", arguments: 0..<60)
    func garbage(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var pair = try Pair()
        let steps = Int.random(in: 0..<5, using: &random)
        for _ in 0..<steps {
            pair.deliver(from: .dialer)
            pair.deliver(from: .listener)
        }
        for _ in 0..<50 {
            let directives = pair.ends[1].onBytes(random.bytes(Int.random(in: 1...300, using: &random)), now: .zero)
            pair.carryOut(directives, .listener)
        }
        pair.wait(.seconds(120), delivering: false)
        #expect(pair.failure(.listener) != nil)
    }

    @Test("A handshake that is cut after any byte ends with its time")
    func cutHandshake() throws {
        var whole = try Pair()
        var length = 0
        while !whole.ends[1].isEstablished {
            length += whole.wires[0].count
            whole.deliver(from: .dialer)
            whole.deliver(from: .listener)
        }
        for count in stride(from: 0, to: length - 1, by: 3) {
            var pair = try Pair()
            var left = count
            while left > 0 {
                let before = pair.wires[0].count
                pair.deliver(from: .dialer, limit: left)
                left -= before - pair.wires[0].count
                pair.deliver(from: .listener)
                if before == 0 { break }
            }
            pair.wires = [[], []]
            pair.wait(.seconds(31), delivering: false)
            #expect(pair.failure(.listener) == .handshakeTimeout, "after \(count) bytes")
        }
    }

    @Test("A stream for a protocol that nobody serves is refused and gone on both sides")
    func notServed() throws {
        var pair = try Pair()
        pair.settle()
        let id = try pair.open(["/nobody/1"])
        pair.settle()
        guard case .refused(id, .negotiation(.notSupported(["/nobody/1"])))? = pair.log[0].last else {
            Issue.record("\(String(describing: pair.log[0].last))")
            return
        }
        #expect(pair.ends[0].streamCount == 0 && pair.ends[1].streamCount == 0)
    }

    @Test("A stream whose protocol is not agreed on in time is reset on the side that waits")
    func unnegotiated() throws {
        var pair = try Pair()
        pair.settle()
        let id = try pair.open([Pair.echo])
        pair.wires[0] = []
        pair.wait(.seconds(21), delivering: false)
        guard case .refused(id, .negotiationTimeout)? = pair.log[0].last else {
            Issue.record("\(String(describing: pair.log[0].last))")
            return
        }
        #expect(pair.ends[0].streamCount == 0)
    }

    @Test("A silent other side is asked, and given up when it does not answer")
    func silence() throws {
        var pair = try Pair { $1.limits.idleTimeout = nil }
        pair.settle()
        pair.wait(.seconds(600))
        #expect(pair.failure(.dialer) == nil && pair.failure(.listener) == nil)
        pair.wait(.seconds(59), delivering: false)
        #expect(pair.failure(.dialer) == nil)
        pair.wait(.seconds(61), delivering: false)
        #expect(pair.failure(.dialer) == .silent)
    }

    @Test("A connection without streams ends after its time, one with a stream does not")
    func idle() throws {
        var pair = try Pair()
        pair.settle()
        let id = try pair.open([Pair.echo])
        pair.wait(.seconds(1_000))
        #expect(pair.failure(.dialer) == nil)
        pair.carryOut(pair.ends[0].reset(id, now: pair.now), .dialer)
        pair.wait(.seconds(299))
        #expect(pair.failure(.dialer) == nil)
        pair.wait(.seconds(2))
        #expect([Libp2pFailure.idle, .goneAway(code: 0)].contains(pair.failure(.dialer)))
        #expect(pair.failure(.listener) != nil)
    }

    @Test("Whoever closes tells the other side, and no stream is left")
    func close() throws {
        var pair = try Pair()
        pair.settle()
        _ = try pair.open([Pair.echo])
        pair.settle()
        pair.carryOut(pair.ends[0].close(now: pair.now), .dialer)
        pair.settle()
        #expect(pair.failure(.dialer) == .requested)
        #expect(throws: StreamRefusal.notConnected) { try pair.open([Pair.echo]) }
        // Its stream may end first, and has not for ever.
        #expect(pair.failure(.listener) == nil)
        #expect(throws: StreamRefusal.notConnected) { try pair.open([Pair.echo], .listener) }
        pair.wait(Libp2pLimits().goAwayTimeout)
        #expect(pair.failure(.listener) == .goneAway(code: 0))
    }

    @Test("When the other side goes, streams under way end in good order, and then the connection does")
    func goingAway() throws {
        var pair = try Pair()
        pair.settle()
        let id = try pair.open([Pair.echo])
        pair.settle()
        // The listener takes no new streams; the one there is goes on.
        pair.ends[1].yamux.goAway(code: 0)
        pair.carryOut(pair.ends[1].finish(now: pair.now), .listener)
        pair.settle()
        #expect(pair.failure(.dialer) == nil && pair.ends[0].isLeaving)
        #expect(throws: StreamRefusal.notConnected) { try pair.open([Pair.echo]) }
        pair.send([1, 2, 3], on: id, .dialer)
        pair.settle()
        #expect(pair.log[1].contains { if case .data(_, [1, 2, 3]) = $0 { true } else { false } })
        pair.carryOut(pair.ends[0].reset(id, now: pair.now), .dialer)
        #expect(pair.failure(.dialer) == .goneAway(code: 0))
    }

    @Test("A breach of Yamux's rules is told to the other side and ends the connection")
    func breach() throws {
        var limits = Libp2pLimits()
        limits.yamux.openings = YamuxLimits.Rate(burst: 4, perSecond: 1)
        var pair = try Pair { side, configuration in if side == .listener { configuration.limits = limits } }
        pair.settle()
        for _ in 0..<5 { _ = try pair.open([Pair.echo]) }
        pair.settle()
        #expect(pair.failure(.listener) == .yamux(.tooManyOpenings))
        #expect(pair.failure(.dialer) == .goneAway(code: 1))
    }

    @Test("A reader that does not read stops the writer at one window")
    func backPressure() throws {
        var pair = try Pair()
        pair.settle()
        let id = try pair.open([Pair.echo])
        pair.settle()
        let before = pair.log[0].count
        pair.send([UInt8](repeating: 1, count: 2 * YamuxLimits.initialWindow), on: id, .dialer)
        pair.settle()
        let inNegotiation = 40
        #expect(abs(pair.data(.listener).count - YamuxLimits.initialWindow) < inNegotiation)
        #expect(pair.log[0].count == before, "not writable yet")
        let far = try #require(pair.accepted(.listener).first).0
        var read = 0
        while pair.data(.listener).count > read {
            let count = pair.data(.listener).count - read
            read += count
            pair.carryOut(pair.ends[1].consumed(count, on: far, now: pair.now), .listener)
            pair.settle()
        }
        #expect(read == 2 * YamuxLimits.initialWindow)
        guard case .writable(id)? = pair.log[0].last else {
            Issue.record("the writer does not hear that it may go on")
            return
        }
    }
}
