// SPDX-License-Identifier: MIT

public import AltNetBitcoin

/// A place in the tree of blocks.
public struct ChainPoint: Hashable, Sendable {
    public var hash: BlockHash
    public var height: UInt32
    /// The work of the chain that ends here. All points of one watchdog count from the same start.
    public var work: Work

    public init(hash: BlockHash, height: UInt32, work: Work) {
        self.hash = hash
        self.height = height
        self.work = work
    }
}

extension ChainPoint: Codable {
    private enum Key: String, CodingKey {
        case hash, height, work
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        self.init(
            hash: try container.decodeHash(.hash), height: try container.decode(UInt32.self, forKey: .height),
            work: try container.decodeWork(.work))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(self.hash.description, forKey: .hash)
        try container.encode(self.height, forKey: .height)
        try container.encode(self.work.description, forKey: .work)
    }
}
