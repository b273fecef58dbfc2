// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetObjects
import Testing

@testable import AltNetOrchestrator

@Suite("SpliceStream")
struct SpliceStreamTests {
    /// One end by reference: the expectation macros do not take mutating calls.
    private final class End {
        var stream: SpliceStream

        init(_ stream: SpliceStream) { self.stream = stream }

        func callAsFunction(_ input: (inout SpliceStream) -> [SpliceStream.Directive]) -> [SpliceStream.Directive] {
            input(&self.stream)
        }

        /// One that stands, with a read in progress.
        static func open() -> End {
            let end = End(.accepting)
            #expect(end { $0.onStart() } == [.send(.opened), .read])
            #expect(end { $0.onSent() } == [])
            return end
        }
    }

    private static let half = Array(repeating: UInt8(1), count: StreamLimits.maximumPiece)

    @Test("the opener says nothing before the answer, whatever its socket brought")
    func opening() {
        let end = End(SpliceStream(opening: .bitcoinP2P))
        #expect(end { $0.onBytes([1]) } == [])
        #expect(
            end { $0.onStart() } == [.send(.open(.bitcoinP2P)), .setTimer(SpliceStream.openingPatience)])
        #expect(end { $0.onSent() } == [])
        #expect(end { $0.onEndOfInput() } == [.setTimer(SpliceStream.halfOpenPatience)])
        #expect(end { $0.onMessage(.opened) } == [.send(.data([1]))])
        #expect(end { $0.onSent() } == [.send(.end)])
    }

    @Test("one message at a time, and nothing is read while bytes wait or credit lacks")
    func pace() {
        let end = End.open()
        #expect(end { $0.onBytes(Self.half) } == [.send(.data(Self.half)), .read])
        #expect(end { $0.onBytes(Self.half) } == [])
        var sent = 1
        while sent < StreamLimits.window / StreamLimits.maximumPiece - 1 {
            sent += 1
            #expect(end { $0.onSent() } == [.send(.data(Self.half)), .read])
            #expect(end { $0.onBytes(Self.half) } == [])
        }
        // The last piece that there is credit for: no more is read.
        #expect(end { $0.onSent() } == [.send(.data(Self.half))])
        #expect(end { $0.onSent() } == [])
        #expect(end { $0.onMessage(.credit(10)) } == [.read])
        #expect(end { $0.onBytes(Array(repeating: 2, count: 25)) } == [.send(.data(Array(repeating: 2, count: 10)))])
        #expect(end { $0.onSent() } == [])
        #expect(end { $0.onMessage(.credit(100)) } == [.send(.data(Array(repeating: 2, count: 15))), .read])
    }

    @Test("credit is granted for what the socket has taken, a quarter of the window at a time")
    func grants() {
        let end = End.open()
        #expect(end { $0.onMessage(.data(Self.half)) } == [.write(Self.half)])
        #expect(end { $0.onMessage(.data(Self.half)) } == [])
        #expect(end { $0.onMessage(.data([1])) } == [])
        #expect(end { $0.onWritten() } == [.write(Self.half + [1])])
        #expect(end { $0.onWritten() } == [.send(.credit(UInt32(2 * Self.half.count + 1)))])
    }

    @Test("more than there was credit for resets the stream")
    func excess() {
        let end = End.open()
        for _ in 0..<(StreamLimits.window / StreamLimits.maximumPiece) { _ = end { $0.onMessage(.data(Self.half)) } }
        #expect(end { $0.onMessage(.data([1])) } == [.send(.reset(.violation)), .close])
        #expect(end { $0.onSent() } == [.finished])
    }

    @Test("the end passes when all bytes before it have been taken, and both ends finish the stream")
    func ends() {
        let end = End.open()
        #expect(end { $0.onMessage(.data([1])) } == [.write([1])])
        #expect(end { $0.onMessage(.end) } == [.setTimer(SpliceStream.halfOpenPatience)])
        #expect(end { $0.onWritten() } == [.endOutput])
        #expect(end { $0.onEndOfInput() } == [.send(.end)])
        #expect(end { $0.onSent() } == [.close, .finished])
        #expect(end.stream.ending == nil)
    }

    @Test("a socket whose second direction ends closes, and what it brought before still goes out")
    func closingSocket() {
        let end = End.open()
        #expect(end { $0.onMessage(.end) } == [.setTimer(SpliceStream.halfOpenPatience), .endOutput])
        #expect(end { $0.onBytes(Self.half) } == [.send(.data(Self.half)), .read])
        #expect(end { $0.onBytes([2]) } == [])
        #expect(end { $0.onClosed(nil) } == [])
        #expect(end { $0.onSent() } == [.send(.data([2]))])
        #expect(end { $0.onSent() } == [.send(.end)])
        #expect(end { $0.onSent() } == [.finished])
        #expect(end.stream.ending == nil)
    }

    @Test("a socket that breaks resets the stream; a reset, a refusal and the end of the link close the socket")
    func breaks() {
        let broken = End.open()
        #expect(broken { $0.onClosed("Connection reset by peer") } == [.send(.reset(.closed))])
        #expect(broken { $0.onSent() } == [.finished])
        #expect(broken.stream.ending == "Connection reset by peer")
        let reset = End.open()
        #expect(reset { $0.onMessage(.reset(.closed)) } == [.close, .finished])
        let refused = End(SpliceStream(opening: .bitcoinP2P))
        _ = refused { $0.onStart() }
        _ = refused { $0.onSent() }
        #expect(refused { $0.onMessage(.refused(.notAccepted)) } == [.close, .finished])
        #expect(refused.stream.refusal == .notAccepted)
        #expect(!refused.stream.hasStood)
        let orphan = End.open()
        #expect(orphan { $0.onBytes([1]) } == [.send(.data([1])), .read])
        // Nobody will ever say that this one is sent.
        #expect(orphan { $0.onLinkClosed() } == [.close, .finished])
        #expect(orphan { $0.onSent() } == [])
        #expect(orphan { $0.onClosed(nil) } == [])
    }

    @Test("who does not answer, and a half-open stream that stands still, are given up")
    func patience() {
        let silent = End(SpliceStream(opening: .bitcoinP2P))
        _ = silent { $0.onStart() }
        _ = silent { $0.onSent() }
        #expect(silent { $0.onTimer() } == [.send(.reset(.timedOut)), .close])
        let half = End.open()
        #expect(half { $0.onTimer() } == [])
        _ = half { $0.onEndOfInput() }
        _ = half { $0.onSent() }
        _ = half { $0.onMessage(.data([1])) }
        _ = half { $0.onWritten() }
        #expect(half { $0.onTimer() } == [.setTimer(SpliceStream.halfOpenPatience)])
        #expect(half { $0.onTimer() } == [.send(.reset(.timedOut)), .close])
    }
}
