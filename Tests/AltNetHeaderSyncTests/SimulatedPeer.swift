// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetObjects
import HeaderTestSupport

/// A peer with a chain of its own, which it keeps the slow way.
struct SimulatedPeer {
    enum Manner {
        /// Answers everything from its chain.
        case honest
        /// Never answers.
        case silent
        /// Answers that it is busy.
        case busy
        /// Answers with bytes that are no headers.
        case garbled
        /// Answers with headers that build on nothing.
        case unconnected
        /// Answers with any piece of its chain, or several, in any order, whole or cut.
        case mad(seed: UInt64)
    }

    var chain: PeerChain
    var manner: Manner
    /// The most headers in one answer.
    var pieceSize: Int

    init(_ chain: PeerChain, manner: Manner = .honest, pieceSize: Int = 2000) {
        self.chain = chain
        self.manner = manner
        self.pieceSize = pieceSize
    }

    /// `nil` for no answer at all.
    func answer(_ request: ObjectRequest) -> ObjectAnswer? {
        guard case .headers(let locator, let stop, _, let limit) = request, stop == .zero else {
            return .refused(.unsupported)
        }
        switch self.manner {
        case .silent: return nil
        case .busy: return .refused(.busy)
        case .garbled: return .headers([UInt8](repeating: 7, count: 81))
        case .unconnected:
            return .headers(HeaderMiner.header(on: BlockHash(number: UInt256(UInt64(5))), time: 1).bytes)
        case .mad(let seed): return .headers(self.nonsense(seed: seed ^ (locator.first?.number.limbs.0 ?? 0)))
        case .honest:
            let fork = locator.lazy.compactMap(self.chain.height).first ?? 0
            let end = min(self.chain.count, fork + min(self.pieceSize, Int(limit)))
            return .headers(self.chain.bytes(fork + 1..<end + 1))
        }
    }

    private func nonsense(seed: UInt64) -> [UInt8] {
        var generator = SeededRandom(seed: seed)
        var bytes: [UInt8] = []
        for _ in 0..<Int.random(in: 0...3, using: &generator) where self.chain.count > 0 {
            let first = Int.random(in: 1...self.chain.count, using: &generator)
            let piece = self.chain.bytes(first..<min(first + self.pieceSize, self.chain.count) + 1)
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: bytes += piece.dropLast(Int.random(in: 1...79, using: &generator))
            case 1: bytes += piece.reversed()
            case 2: bytes += piece + piece
            default: bytes += piece
            }
        }
        return bytes
    }
}
