// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetHeaderChain
import HeaderTestSupport
import Testing

/// A chain of headers after regtest's genesis with its index, mined and hashed once; a prefix costs nothing.
struct PeerChain: Sendable {
    private(set) var headers: [BlockHeader]
    private(set) var hashes: [BlockHash]
    private var heights: [BlockHash: Int]
    /// How many of the headers belong to it.
    private(set) var count: Int

    init(_ headers: [BlockHeader]) {
        self.headers = []
        self.hashes = []
        self.heights = [Network.regtest.chainHash: 0]
        self.count = 0
        self.append(headers)
    }

    static let empty = PeerChain([])

    mutating func append(_ more: [BlockHeader]) {
        self.headers.removeLast(self.headers.count - self.count)
        self.hashes.removeLast(self.hashes.count - self.count)
        for header in more {
            self.headers.append(header)
            self.hashes.append(header.hash)
            self.heights[self.hashes[self.count]] = self.count + 1
            self.count += 1
        }
    }

    /// The chain up to a height.
    func prefix(_ height: Int) -> PeerChain {
        var chain = self
        chain.count = min(height, self.count)
        return chain
    }

    /// The chain up to a height, and a branch of new headers from there.
    func forked(at height: Int, _ branch: Int, salt: UInt64) -> PeerChain {
        var chain = self.prefix(height)
        chain.append(HeaderMiner.chain(branch, on: chain.last, salt: salt))
        return chain
    }

    var last: BlockHeader { self.count == 0 ? Network.regtest.genesis : self.headers[self.count - 1] }
    var tip: BlockHash { self.hash(at: self.count) }

    func hash(at height: Int) -> BlockHash {
        height == 0 ? Network.regtest.chainHash : self.hashes[height - 1]
    }

    /// The height of a hash in this chain.
    func height(of hash: BlockHash) -> Int? {
        // What was cut off is still in the index.
        self.heights[hash].flatMap { $0 <= self.count && self.hash(at: $0) == hash ? $0 : nil }
    }

    func bytes(_ heights: Range<Int>) -> [UInt8] {
        Array(self.headers[heights.lowerBound - 1..<heights.upperBound - 1]).bytes
    }

    /// The tree of a store that holds this chain.
    func tree() throws -> HeaderChain {
        var chain = HeaderChain(network: .regtest, salt: 5)
        for height in 0..<self.count {
            let header = self.headers[height]
            let isRestored = chain.restore(
                hash: self.hashes[height], previous: header.previous, time: header.time, bits: header.bits,
                workOfHeader: UInt256(UInt64(2)))
            try #require(isRestored)
        }
        chain.finishRestoring()
        return chain
    }
}

/// Chains that several tests use.
enum SharedChains {
    /// Long enough for both passes of a pre-synchronisation, and for links that are more than one answer behind.
    static let long = PeerChain(HeaderMiner.chain(20_000))
    static var longHeaders: [BlockHeader] { Self.long.headers }
    /// After every header of these chains.
    static let now = WallClockTime(seconds: 1_700_000_000)
}
