// SPDX-License-Identifier: MIT

internal import AltNetBitcoin

extension HeaderChain {
    /// Gathers what a cursor carries from the ancestors of a node.
    func rebuiltCursor(at node: HeaderNode) -> HeaderCursor {
        let height = self.height(of: node)
        let bits = self.bits(of: node)
        let periodStart = self.periodStart(of: node)
        return HeaderCursor(
            network: self.network, height: height, hash: self.hash(of: node), bits: bits, work: self.work(of: node),
            times: self.medianTimes(upTo: node),
            periodStart: periodStart.map { (self.time(of: $0), self.bits(of: $0)) },
            regularBits: self.regularBits(at: node))
    }

    private func medianTimes(upTo node: HeaderNode) -> MedianTimes {
        var times: [UInt32] = []
        var walker: HeaderNode? = node
        while let current = walker, times.count < HeaderCursor.medianTimeSpan {
            times.append(self.time(of: current))
            walker = self.parent(of: current)
        }
        let oldest = times.removeLast()
        // When the walk ended at the start of the tree, what lies before is either nothing or unknown.
        let isUnknownBefore = walker == nil && self.start != .genesis
        var window =
            isUnknownBefore || times.count + 1 == HeaderCursor.medianTimeSpan
            ? MedianTimes(trustedTime: oldest) : MedianTimes(genesisTime: oldest)
        for time in times.reversed() { window.append(time) }
        return window
    }

    /// The first header of the retarget period that a node belongs to; `nil` when it lies before the start.
    private func periodStart(of node: HeaderNode) -> HeaderNode? {
        let height = self.height(of: node)
        let firstHeight = height - height % Network.retargetInterval
        guard firstHeight >= self.startHeight else { return nil }
        var walker = node
        while self.height(of: walker) > firstHeight {
            if let shortcut = self.isInBestChain(walker) ? self.best(at: firstHeight) : nil { return shortcut }
            guard let parent = self.parent(of: walker) else { return nil }
            walker = parent
        }
        return walker
    }

    /// What the header after a node must carry unless it is an exception; see ``HeaderCursor/regularBits``.
    private func regularBits(at node: HeaderNode) -> CompactTarget? {
        guard self.network.allowsMinimumDifficultyBlocks else { return self.bits(of: node) }
        let limit = self.network.proofOfWorkLimit
        var walker = node
        while self.bits(of: walker) == limit, !self.height(of: walker).isMultiple(of: Network.retargetInterval) {
            guard let parent = self.parent(of: walker) else {
                return self.start == .genesis ? limit : nil
            }
            walker = parent
        }
        return self.bits(of: walker)
    }
}
