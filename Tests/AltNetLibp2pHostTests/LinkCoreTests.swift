// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetTestKit
import AltNetTransport
import Libp2pTestSupport
import Testing

@testable import AltNetLibp2p
@testable import AltNetLibp2pHost

@Suite("LinkCore: bytes that nobody has read yet")
struct LinkCoreTests {
    static let id = Libp2pStreamID(number: 1, serial: 1)

    /// A core with one stream, and no socket.
    static func core() throws -> LinkCore {
        let entropy = try #require(NoiseEntropy((0..<NoiseEntropy.size).map { UInt8($0) }))
        let core = LinkCore(
            .init(role: .listener, key: try TestHost.key(1), served: []), entropy: entropy, writeTimeout: .seconds(1))
        core.locked { $0.streams[Self.id] = LinkCore.StreamState() }
        return core
    }

    /// Delivers frames, and says how often the pieces, or the last of them, were moved in memory.
    static func deliver(_ count: Int, of size: Int, to core: LinkCore) -> (pieces: Int, moves: Int) {
        core.locked { state in
            var moves = 0
            var place: UnsafeRawPointer?
            var table: UnsafeRawPointer?
            for number in 0..<count {
                let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size)
                core.perform([.data(Self.id, bytes)], &state)
                let nextPlace = state.streams[Self.id]?.chunks.last?.withUnsafeBytes { $0.baseAddress }
                let nextTable = state.streams[Self.id]?.chunks.withUnsafeBytes { $0.baseAddress }
                if nextPlace != place { moves += 1 }
                if nextTable != table { moves += 1 }
                place = nextPlace
                table = nextTable
            }
            return (state.streams[Self.id]?.chunks.count ?? 0, moves)
        }
    }

    @Test("A hundred thousand frames of one byte are put together, and what waits is not copied for each of them")
    func tinyFrames() throws {
        let small = try Self.deliver(100_000, of: 1, to: Self.core())
        let control = try Self.deliver(100, of: 1_000, to: Self.core())
        // The same bytes in a thousandth of the frames.
        #expect(small.pieces <= control.pieces + 1 && control.pieces <= 8)
        #expect(small.moves <= 200 && control.moves <= 200)
    }

    @Test("The pieces come out in their order, whether they were put together or not")
    func order() async throws {
        var random = SeededRandom(seed: 5)
        let core = try Self.core()
        var sent: [UInt8] = []
        var received: [UInt8] = []
        for _ in 0..<2_000 {
            let isSmall = Bool.random(using: &random)
            let bytes = (0..<Int.random(in: isSmall ? 1...9 : 1...20_000, using: &random)).map { _ in
                UInt8.random(in: .min ... .max, using: &random)
            }
            sent += bytes
            core.locked { core.perform([.data(Self.id, bytes)], &$0) }
            if Int.random(in: 0..<3, using: &random) == 0 { received += try #require(try await core.read(Self.id)) }
            // What was read is gone.
            #expect(core.locked { $0.streams[Self.id].map { $0.head * 2 <= $0.chunks.count } } == true)
        }
        while received.count < sent.count { received += try #require(try await core.read(Self.id)) }
        #expect(received == sent)
        #expect(core.locked { $0.streams[Self.id]?.chunks.isEmpty } == true)
    }
}
