// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

/// The block tree near its tip: the best chain's last headers, and branches beside it.
struct HeaderWindow: Sendable {
    /// Two difficulty periods: the retarget before the last can still be judged.
    static let depth = 4032
    /// The best chain is cut down to ``depth`` when it exceeds it by this much, so that cutting is rare.
    static let slack = 512
    /// Headers that are not on the best chain: branches, and those of a synchronisation whose end is not yet best
    /// (2,000 a message). The lowest are forgotten first.
    static let maximumBeside = 4032
    /// Ends of branches with nearly as much work as the best chain; those with the least work are forgotten first.
    static let maximumContenders = 16
    /// Reorganisations that are remembered.
    static let maximumReorganisations = 16
    /// A header that is proven later than this after its own time was not news: it came in a synchronisation. Two hours
    /// is also what a miner's clock may be off.
    static let freshness = Duration.seconds(7200)

    struct Entry: Sendable {
        var point: ChainPoint
        /// `nil` when only the point was told: the end of our chain after a start.
        var header: BlockHeader?
        var provenBy: Subject
        var provenAt: WallClockTime
        /// The end of our best chain that it prolonged when it came (zero: there was none yet). While that is still
        /// the end, it competes with nothing.
        var aheadOf: BlockHash?
        /// Of headers that came in bulk and that nothing joins to our best chain yet: the lowest of them.
        var looseFrom: BlockHash?

        /// Whether it was news when it was proven.
        var wasFresh: Bool {
            guard let header = self.header else { return false }
            return self.provenAt - WallClockTime(seconds: Int64(header.time)) < HeaderWindow.freshness
        }
    }

    /// The best chain of somebody moved to another branch.
    struct Reorganisation: Hashable, Sendable {
        var who: Subject
        var at: WallClockTime
        var left: ChainPoint
        var entered: ChainPoint
        var forkHeight: UInt32
        /// How many blocks were replaced.
        var depth: UInt32
    }

    private(set) var best: ChainPoint?
    private(set) var reorganisations: [Reorganisation] = []
    /// When our best chain last became longer or changed.
    private(set) var bestAt = WallClockTime(milliseconds: 0)
    /// Ends of branches that may compete with the best chain.
    private(set) var contenders: [BlockHash] = []
    /// Fed with every fresh block of the best chain.
    private(set) var pace = BlockPace()
    private var entries: [BlockHash: Entry] = [:]
    /// The best chain from ``base`` on, without gaps.
    private var main: [BlockHash] = []
    private var base: UInt32 = 0

    /// How many headers are remembered.
    var count: Int { self.entries.count }

    // MARK: - Questions

    subscript(hash: BlockHash) -> Entry? { self.entries[hash] }

    /// The header of the best chain at a height; `nil` outside the remembered part.
    func best(at height: UInt32) -> Entry? {
        guard height >= self.base, Int(height - self.base) < self.main.count else { return nil }
        return self.entries[self.main[Int(height - self.base)]]
    }

    /// The lowest height of the best chain that is remembered.
    var lowest: UInt32 { self.base }

    func isOnBest(_ hash: BlockHash) -> Bool {
        guard let entry = self.entries[hash] else { return false }
        return self.best(at: entry.point.height)?.point.hash == hash
    }

    /// The branch from the best chain to a header, lowest first, and the height at which it leaves the best chain;
    /// `nil` for a height when the branch begins with a header that is not known.
    func branch(to hash: BlockHash) -> (forkHeight: UInt32?, headers: [Entry]) {
        var headers: [Entry] = []
        var place = hash
        while let entry = self.entries[place] {
            if self.isOnBest(place) { return (entry.point.height, headers.reversed()) }
            headers.append(entry)
            guard let header = entry.header else { break }
            place = header.previous
        }
        return (nil, headers.reversed())
    }

    /// Whether it can be said where a header leaves our best chain, without going all the way there: thousands of headers
    /// that come in bulk would each be asked for.
    func isJoined(_ hash: BlockHash) -> Bool {
        guard let entry = self.entries[hash] else { return false }
        return entry.looseFrom.map(self.isOnBest) ?? true
    }

    /// Whether a header is the end of somebody's chain or before it. One that is not known is not.
    func isOn(_ hash: BlockHash, chainTo tip: BlockHash) -> Bool {
        guard let place = self.entries[hash] else { return false }
        let (fork, headers) = self.branch(to: tip)
        if headers.contains(where: { $0.point.hash == hash }) { return true }
        return fork.map { place.point.height <= $0 && self.isOnBest(hash) } ?? false
    }

    /// Where a point leaves the best chain. One below the window is taken to lie on it; of an unknown one within the
    /// window nobody can say.
    func forkHeight(of point: ChainPoint) -> UInt32? {
        if let fork = self.branch(to: point.hash).forkHeight { return fork }
        return point.height < self.base ? point.height : nil
    }

    /// The first header of the best chain that has more work than a given one: whoever stands there should have moved
    /// to the best chain when this one came.
    func first(withMoreWorkThan work: Work) -> Entry? {
        var low = 0
        var high = self.main.count
        while low < high {
            let middle = (low + high) / 2
            guard let entry = self.entries[self.main[middle]] else { return nil }
            if entry.point.work > work { high = middle } else { low = middle + 1 }
        }
        return low < self.main.count ? self.entries[self.main[low]] : nil
    }

    /// The blocks that somebody has shown who moved from one point to another, at most some, lowest first.
    func newlyShown(from old: ChainPoint?, to new: ChainPoint, limit: Int) -> [Entry] {
        guard let old else { return [] }
        var blocks: [Entry] = []
        var place = new.hash
        while blocks.count < limit, let entry = self.entries[place], entry.point.height > old.height {
            blocks.append(entry)
            guard let header = entry.header else { break }
            place = header.previous
        }
        return blocks.reversed()
    }

    // MARK: - Changes

    /// - Returns: whether it is new.
    mutating func insert(_ header: BlockHeader, at point: ChainPoint, by: Subject, now: WallClockTime) -> Bool {
        if let known = self.entries[point.hash] {
            guard known.header == nil else { return false }
            self.entries[point.hash]?.header = header
            return true
        }
        // What lies below the window is the deep past; nobody can be accused with it.
        guard self.main.isEmpty || point.height >= self.base else { return false }
        let tip = self.best?.hash ?? .zero
        let isAhead = self.best == nil || header.previous == tip || self.entries[header.previous]?.aheadOf == tip
        let isJoined = isAhead || self.isJoined(header.previous)
        self.entries[point.hash] = Entry(
            point: point, header: header, provenBy: by, provenAt: now, aheadOf: isAhead ? tip : nil,
            looseFrom: isJoined ? nil : self.entries[header.previous]?.looseFrom ?? point.hash)
        if !isAhead { self.contend(point, on: header.previous) }
        if self.entries.count - self.main.count > Self.maximumBeside { self.forgetBranches() }
        return true
    }

    /// - Returns: whether the best chain changed.
    mutating func setBest(_ point: ChainPoint, now: WallClockTime) -> Bool {
        guard point.hash != self.best?.hash else { return false }
        if self.entries[point.hash] == nil {
            self.entries[point.hash] = Entry(point: point, header: nil, provenBy: .chain, provenAt: now)
        }
        let (fork, headers) = self.branch(to: point.hash)
        let old = self.best
        if let fork {
            let kept = Int(fork - self.base) + 1
            if let old, kept < self.main.count {
                self.note(
                    Reorganisation(
                        who: .chain, at: now, left: old, entered: point, forkHeight: fork, depth: old.height - fork))
            }
            self.main.removeLast(self.main.count - kept)
        } else {
            // Nothing joins it to what we remember: a start, or a jump over more than the window.
            let stale = self.main
            self.main = []
            self.base = headers.first?.point.height ?? point.height
            for hash in stale { self.entries[hash] = nil }
            self.pace = BlockPace()
        }
        for entry in headers {
            self.main.append(entry.point.hash)
            self.entries[entry.point.hash]?.looseFrom = nil
            if entry.wasFresh { self.pace.note(entry.provenAt) }
        }
        self.best = point
        self.bestAt = now
        if let old, fork != nil, self.entries[old.hash] != nil, !self.isOnBest(old.hash) {
            self.contenders.append(old.hash)
        }
        self.trimContenders()
        self.trimMain()
        return true
    }

    /// The node moved; remembers it when blocks were replaced.
    mutating func noteReorganisation(ofNodeFrom old: ChainPoint?, to new: ChainPoint, now: WallClockTime) {
        guard let old, let place = self.entries[old.hash], old.hash != new.hash else { return }
        // The lower of both walks down until they meet.
        var left = place
        var right = self.entries[new.hash]
        while let other = right, left.point.hash != other.point.hash {
            if left.point.height > other.point.height {
                guard let parent = left.header.flatMap({ self.entries[$0.previous] }) else { return }
                left = parent
            } else {
                right = other.header.flatMap { self.entries[$0.previous] }
            }
        }
        // A node that merely steps back (`invalidateblock`) has replaced nothing yet.
        guard right != nil, left.point.hash != old.hash, left.point.hash != new.hash else { return }
        self.note(
            Reorganisation(
                who: .node, at: now, left: old, entered: new, forkHeight: left.point.height,
                depth: old.height - left.point.height))
    }

    private mutating func note(_ reorganisation: Reorganisation) {
        self.reorganisations.append(reorganisation)
        if self.reorganisations.count > Self.maximumReorganisations { self.reorganisations.removeFirst() }
    }

    private mutating func contend(_ point: ChainPoint, on previous: BlockHash) {
        self.contenders.removeAll { $0 == previous }
        self.contenders.append(point.hash)
        self.trimContenders()
    }

    /// Keeps the ends of branches that have the work of the best chain but its last block, or more.
    private mutating func trimContenders() {
        guard let best = self.best else { return self.contenders = Array(self.contenders.suffix(1)) }
        let enough = self.best(at: best.height &- 1)?.point.work ?? best.work
        self.contenders = self.contenders.filter { hash in
            guard let entry = self.entries[hash] else { return false }
            return entry.point.work >= enough && !self.isOnBest(hash)
        }
        guard self.contenders.count > Self.maximumContenders else { return }
        let least = self.contenders.indices.min {
            (self.entries[self.contenders[$0]]?.point.work ?? .zero)
                < (self.entries[self.contenders[$1]]?.point.work ?? .zero)
        }
        if let least { self.contenders.remove(at: least) }
    }

    private mutating func trimMain() {
        guard self.main.count > Self.depth + Self.slack else { return }
        let excess = self.main.count - Self.depth
        for hash in self.main.prefix(excess) { self.entries[hash] = nil }
        self.main.removeFirst(excess)
        self.base += UInt32(excess)
        let lowest = self.base
        self.entries = self.entries.filter { $0.value.point.height >= lowest }
    }

    /// Forgets the lower half of what lies beside the best chain.
    private mutating func forgetBranches() {
        let beside = self.entries.values.filter { !self.isOnBest($0.point.hash) }
            .sorted { ($0.point.height, $0.point.work) < ($1.point.height, $1.point.work) }
        for entry in beside.prefix(beside.count / 2) { self.entries[entry.point.hash] = nil }
        self.contenders = self.contenders.filter { self.entries[$0] != nil }
    }
}
