// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetObjects
import Testing

@testable import AltNetPunchDriver

@Suite("A punched connection as a stream")
struct RawStreamTests {
    private static let ours = StreamID(.remote, 0)
    private static let theirs = StreamID(.us, 7)

    /// Everything that goes to the orchestrator as data.
    private static func data(_ directives: [LinkDirective]) -> [UInt8] {
        directives.flatMap { directive -> [UInt8] in
            if case .stream(_, .data(let bytes)) = directive { bytes } else { [] }
        }
    }

    @Test("at the responder we ask for the stream, and nothing is read before our node has it")
    func opens() {
        var stream = RawStream(.ours)
        let directives = stream.onConnected(now: .zero)
        #expect(directives.last == .stream(Self.ours, .open(.bitcoinP2P)))
        #expect(!stream.takesBytes)
        #expect(Self.data(stream.onBytes([1, 2, 3])).isEmpty)
        #expect(stream.onStream(Self.ours, .opened) == [.stream(Self.ours, .data([1, 2, 3]))])
        #expect(stream.takesBytes)
    }

    @Test("at the initiator the first stream of the orchestrator is the connection, and others are refused")
    func awaits() {
        var stream = RawStream(.theirs)
        let directives = stream.onConnected(now: .zero)
        #expect(directives.count == 2)
        #expect(!stream.takesBytes)
        #expect(stream.onStream(Self.theirs, .open(.bitcoinP2P)) == [.stream(Self.theirs, .opened)])
        #expect(stream.takesBytes)
        let second = StreamID(.us, 8)
        #expect(stream.onStream(second, .open(.bitcoinP2P)) == [.stream(second, .refused(.busy))])
        #expect(stream.onStream(second, .open(StreamPurpose(9))) == [.stream(second, .refused(.unsupported))])
    }

    @Test("without credit nothing is read and nothing lost")
    func credit() {
        var stream = RawStream(.theirs)
        _ = stream.onConnected(now: .zero)
        _ = stream.onStream(Self.theirs, .open(.bitcoinP2P))
        let bytes = (0..<StreamLimits.window + 1000).map { UInt8(truncatingIfNeeded: $0) }
        let sent = stream.onBytes(bytes)
        #expect(
            sent.allSatisfy {
                if case .stream(_, .data(let piece)) = $0 { piece.count <= StreamLimits.maximumPiece } else { false }
            })
        #expect(Self.data(sent) == Array(bytes.prefix(StreamLimits.window)))
        #expect(!stream.takesBytes)
        let rest = stream.onStream(Self.theirs, .credit(2000))
        #expect(Self.data(rest) == Array(bytes.suffix(1000)))
        #expect(stream.takesBytes)
    }

    @Test("our node's bytes are written, and then their credit comes back")
    func writes() {
        var stream = RawStream(.ours)
        _ = stream.onConnected(now: .zero)
        _ = stream.onStream(Self.ours, .opened)
        #expect(
            stream.onStream(Self.ours, .data([5, 6])) == [.write([5, 6]), .stream(Self.ours, .credit(2))])
    }

    @Test("a node that does not come, refuses or goes away ends the connection")
    func ends() {
        for opening in [RawStream.Opening.ours, .theirs] {
            var silent = RawStream(opening)
            _ = silent.onConnected(now: .zero)
            #expect(silent.onTimer(now: .zero + .seconds(59)).isEmpty)
            #expect(silent.onTimer(now: .zero + RawStream.patience).count == 1)
            #expect(silent.onBytes([1]).isEmpty)
        }
        var refused = RawStream(.ours)
        _ = refused.onConnected(now: .zero)
        guard case .abort(let reason) = refused.onStream(Self.ours, .refused(.notAccepted)).first else {
            Issue.record("a refused connection goes on")
            return
        }
        #expect(reason.code == .unreachable)
        var ended = RawStream(.ours)
        _ = ended.onConnected(now: .zero)
        _ = ended.onStream(Self.ours, .opened)
        #expect(ended.onTimer(now: .zero + .seconds(600)).isEmpty)
        guard case .disconnect = ended.onStream(Self.ours, .end).last else {
            Issue.record("a stream whose node is gone goes on")
            return
        }
    }
}
