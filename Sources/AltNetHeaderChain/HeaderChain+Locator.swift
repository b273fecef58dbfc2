// SPDX-License-Identifier: MIT

public import AltNetBitcoin

extension HeaderChain {
    /// Hashes of a chain from a node down to the start, by which another node tells where two chains part.
    ///
    /// The rungs are dense where the other side probably stands: 1, 2, 4, 8 … below `node`, as far above `lower` and as
    /// far below it. A node that holds the tip answers with at least one header, because the tip itself is no rung.
    /// Whoever answers with nothing stands exactly on a rung; the shifted locator shares no rung above `lower` with the
    /// plain one, so that it makes them answer, unless they stand on `lower` itself.
    ///
    /// - Parameters:
    ///   - node: where the chain ends that the locator describes.
    ///   - lower: an ancestor of `node` that the other side is known to have.
    ///   - isShifted: whether to step on the places between the plain rungs.
    public func locator(
        below node: HeaderNode, above lower: HeaderNode = .start, isShifted: Bool = false
    ) -> [BlockHash] {
        let top = Int64(self.height(of: node))
        let bottom = Int64(self.height(of: lower))
        let middle = bottom + (top - bottom) / 2
        let start = Int64(self.startHeight)
        let powers = (0..<Int64(32)).map { 1 << $0 as Int64 }
        // Plain and shifted distances must differ: 1, 2, 4, 8 … and 3, 5, 9 … from above, 3, 7, 15 … from below.
        let down = (isShifted ? powers.dropFirst().map { $0 + 1 } : powers).map { top - $0 }.prefix { $0 > middle }
        let up = (isShifted ? powers.dropFirst(2).map { $0 - 1 } : powers).map { bottom + $0 }.prefix { $0 <= middle }
        let rest = powers.map { bottom - $0 }.prefix { $0 > start }

        var locator: [BlockHash] = []
        var walker = node
        for height in down + up.reversed() + [bottom] + rest {
            walker = self.ancestor(of: walker, at: UInt32(height))
            locator.append(self.hash(of: walker))
        }
        if bottom > start { locator.append(self.hashes[0]) }
        return locator
    }

    /// The best chain's headers after the first hash of the locator that lies in it, or after genesis when none does.
    ///
    /// - Parameters:
    ///   - locator: when it is empty, the header of `stop` alone is meant.
    ///   - stop: the answer ends at this hash, unless it is zero or not in the best chain.
    ///   - limit: the most headers to name.
    /// - Returns: heights of the best chain; `nil` when the answer would have to begin before a trusted start.
    public func heights(after locator: [BlockHash], stop: BlockHash, limit: UInt32) -> Range<UInt32>? {
        if locator.isEmpty, stop != .zero {
            // Bitcoin's P2P protocol asks for one header by its hash this way.
            guard let node = self.find(stop), self.isInBestChain(node), limit > 0 else { return 0..<0 }
            return self.height(of: node)..<self.height(of: node) + 1
        }
        let known = locator.lazy.compactMap { self.find($0) }.first { self.isInBestChain($0) }
        guard let fork = known ?? (self.start == .genesis ? .start : nil) else { return nil }
        let first = self.height(of: fork) + 1
        var end = min(UInt64(first) + UInt64(limit), UInt64(self.tipHeight) + 1)
        if stop != .zero, let node = self.find(stop), self.isInBestChain(node), self.height(of: node) >= first {
            end = min(end, UInt64(self.height(of: node)) + 1)
        }
        return first..<UInt32(max(end, UInt64(first)))
    }

    private func ancestor(of node: HeaderNode, at height: UInt32) -> HeaderNode {
        var walker = node
        while self.height(of: walker) > height {
            if self.isInBestChain(walker), let shortcut = self.best(at: height) { return shortcut }
            guard let parent = self.parent(of: walker) else { return walker }
            walker = parent
        }
        return walker
    }
}
