// SPDX-License-Identifier: MIT

import AltNetBitcoin
import AltNetObjects

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
            return .headers(RegtestMiner.header(on: BlockHash(number: UInt256(UInt64(5))), time: 1).bytes)
        case .honest:
            let fork = locator.lazy.compactMap(self.chain.height).first ?? 0
            let end = min(self.chain.count, fork + min(self.pieceSize, Int(limit)))
            return .headers(self.chain.bytes(fork + 1..<end + 1))
        }
    }
}
