// SPDX-License-Identifier: MIT

public import AltNetBitcoin

/// Where a chain of headers begins.
public enum HeaderChainStart: Hashable, Sendable {
    /// At the network's own first header.
    case genesis
    /// At a header that the operator vouches for; nothing before it is known.
    case trusted(height: UInt32, header: BlockHeader)
}

/// A header in a ``HeaderChain``: its number in the order of acceptance. The start is node 0, and a node's parent
/// always has a smaller number.
public struct HeaderNode: Hashable, Comparable, Sendable {
    public let number: UInt32

    public init(_ number: UInt32) {
        self.number = number
    }

    public static let start = HeaderNode(0)

    public static func < (left: Self, right: Self) -> Bool { left.number < right.number }

    var index: Int { Int(self.number) }
}

/// What accepting headers did to the best chain.
public enum TipChange: Hashable, Sendable {
    /// The best chain is what it was.
    case unchanged
    /// The best chain grew by `joined` headers.
    case extended(joined: UInt32)
    /// The best chain left `left` headers above the block at height `fork`, and joined `joined` others.
    case reorganised(fork: UInt32, left: UInt32, joined: UInt32, oldTip: BlockHash)
}

/// The tree of all valid headers that are worth keeping, and the chain in it that has the most work.
///
/// Columns instead of objects: one header takes 64 bytes in memory (hash 32, work 16, parent, height, time and bits 4
/// each) and at most 16 in the index; the 80 raw bytes stay on disk, in the order of the nodes.
///
/// Of two chains with the same work the one that was seen first stays the best, as in Bitcoin Core.
public struct HeaderChain: Sendable {
    public let network: Network
    public let start: HeaderChainStart

    private(set) var hashes: [BlockHash] = []
    private var works: [UInt128] = []
    private(set) var parents: [UInt32] = []
    private(set) var heights: [UInt32] = []
    private(set) var times: [UInt32] = []
    private(set) var bits: [UInt32] = []
    private var index: HeaderIndex
    /// The best chain: node numbers by height above the start.
    private(set) var best: [UInt32] = [0]
    /// A cursor on the tip, which is where the next header almost always goes.
    private var tipCursor: HeaderCursor

    /// An empty tree: the start alone.
    ///
    /// - Parameters:
    ///   - salt: a secret random number for the hash index.
    public init(network: Network, start: HeaderChainStart = .genesis, salt: UInt64) {
        self.network = network
        self.start = start
        let header: BlockHeader
        switch start {
        case .genesis:
            self.tipCursor = HeaderCursor(genesisOf: network)
            header = network.genesis
        case .trusted(let height, let trusted):
            self.tipCursor = HeaderCursor(network: network, trusted: trusted, height: height)
            header = trusted
        }
        self.startHeader = header
        self.index = HeaderIndex(salt: salt)
        _ = self.append(
            hash: self.tipCursor.hash, parent: 0, height: self.tipCursor.height, time: header.time,
            bits: header.bits.rawValue, work: UInt128(saturating: self.tipCursor.work))
    }

    /// The header of node 0.
    public let startHeader: BlockHeader

    /// The number of headers in the tree, the start included.
    public var count: Int { self.hashes.count }

    /// The last header of the best chain.
    public var tip: HeaderNode { HeaderNode(self.best[self.best.count - 1]) }

    /// The height of node 0.
    public var startHeight: UInt32 { self.heights[0] }

    /// The height of the best chain's last header.
    public var tipHeight: UInt32 { self.startHeight + UInt32(self.best.count - 1) }

    public func find(_ hash: BlockHash) -> HeaderNode? {
        self.index.find(hash, in: self.hashes).map(HeaderNode.init)
    }

    public func hash(of node: HeaderNode) -> BlockHash { self.hashes[node.index] }
    public func height(of node: HeaderNode) -> UInt32 { self.heights[node.index] }
    /// The time that the header carries, in seconds since 1970.
    public func time(of node: HeaderNode) -> UInt32 { self.times[node.index] }
    public func bits(of node: HeaderNode) -> CompactTarget { CompactTarget(self.bits[node.index]) }
    /// The work of the chain that ends here; above 2^128, which no chain can reach, it stays at the maximum.
    public func work(of node: HeaderNode) -> Work { Work(wide: self.works[node.index]) }
    /// The header before; `nil` for the start.
    public func parent(of node: HeaderNode) -> HeaderNode? {
        node == .start ? nil : HeaderNode(self.parents[node.index])
    }

    /// The best chain's header at a height; `nil` below the start and above the tip.
    public func best(at height: UInt32) -> HeaderNode? {
        guard height >= self.startHeight, height <= self.tipHeight else { return nil }
        return HeaderNode(self.best[Int(height - self.startHeight)])
    }

    public func isInBestChain(_ node: HeaderNode) -> Bool {
        self.best(at: self.height(of: node)) == node
    }

    /// The last header that the best chain and the chain ending in `node` share.
    public func fork(of node: HeaderNode) -> HeaderNode {
        var node = node
        while !self.isInBestChain(node) { node = HeaderNode(self.parents[node.index]) }
        return node
    }

    /// A cursor on a node, ready to judge what builds on it.
    ///
    /// Free at the tip; elsewhere it walks back at most one retarget period.
    public func cursor(at node: HeaderNode) -> HeaderCursor {
        node == self.tip ? self.tipCursor : self.rebuiltCursor(at: node)
    }

    // MARK: - Growing

    /// Adds the headers that a cursor has judged to be valid, and makes the chain with the most work the best one.
    ///
    /// - Parameters:
    ///   - run: headers that build on each other, the first one on `parent`; see ``ValidatedRun``.
    /// - Returns: the new nodes and what they did to the best chain.
    public mutating func insert(_ run: ValidatedRun) -> (nodes: Range<UInt32>, change: TipChange) {
        precondition(run.parent.index < self.count, "a run of headers must build on a node of this tree")
        let first = UInt32(self.count)
        var parent = run.parent.number
        var height = self.heights[run.parent.index]
        var work = self.works[run.parent.index]
        var lastBits: UInt32?
        var workOfHeader: UInt128 = 0
        for header in run.headers {
            if header.bits.rawValue != lastBits {
                lastBits = header.bits.rawValue
                workOfHeader = UInt128(saturating: header.bits.work)
            }
            height += 1
            work = work.addingSaturating(workOfHeader)
            self.appendColumns(
                hash: header.hash, parent: parent, height: height, time: header.time, bits: header.bits.rawValue,
                work: work)
            parent = UInt32(self.count - 1)
        }
        let areNew = self.index.insert(from: Int(first), in: self.hashes)
        precondition(areNew, "a run of headers must not hold what the tree has")
        let nodes = first..<UInt32(self.count)
        guard let last = nodes.last, self.works[Int(last)] > self.works[self.tip.index] else {
            return (nodes, .unchanged)
        }
        let change = self.makeBest(HeaderNode(last))
        self.tipCursor = run.end
        return (nodes, change)
    }

    /// Adds one stored header without judging it again: the store held it because a cursor had.
    ///
    /// - Returns: `false` when the parent is not in the tree, or the header is there already: the file is damaged.
    public mutating func restore(
        hash: BlockHash, previous: BlockHash, time: UInt32, bits: CompactTarget, workOfHeader: Work
    ) -> Bool {
        let last = self.count - 1
        let parent: HeaderNode
        if self.hashes[last] == previous {
            parent = HeaderNode(UInt32(last))
        } else if let found = self.find(previous) {
            parent = found
        } else {
            return false
        }
        guard
            self.append(
                hash: hash, parent: parent.number, height: self.heights[parent.index] + 1, time: time,
                bits: bits.rawValue, work: self.works[parent.index].addingSaturating(UInt128(saturating: workOfHeader)))
        else { return false }
        let node = HeaderNode(UInt32(self.count - 1))
        if parent == self.tip {
            self.best.append(node.number)
        } else if self.works[node.index] > self.works[self.tip.index] {
            _ = self.makeBest(node)
        }
        return true
    }

    /// MUST be called once after the last ``restore(hash:previous:time:bits:workOfHeader:)``.
    public mutating func finishRestoring() {
        self.tipCursor = self.rebuiltCursor(at: self.tip)
    }

    /// Makes room for headers that are about to be restored.
    public mutating func reserve(_ headers: Int) {
        let count = self.count + headers
        self.index.reserve(count, in: self.hashes)
        self.hashes.reserveCapacity(count)
        self.works.reserveCapacity(count)
        self.parents.reserveCapacity(count)
        self.heights.reserveCapacity(count)
        self.times.reserveCapacity(count)
        self.bits.reserveCapacity(count)
        self.best.reserveCapacity(count)
    }

    private mutating func append(
        hash: BlockHash, parent: UInt32, height: UInt32, time: UInt32, bits: UInt32, work: UInt128
    ) -> Bool {
        guard self.index.insert(hash, as: UInt32(self.hashes.count), in: self.hashes) else { return false }
        self.appendColumns(hash: hash, parent: parent, height: height, time: time, bits: bits, work: work)
        return true
    }

    private mutating func appendColumns(
        hash: BlockHash, parent: UInt32, height: UInt32, time: UInt32, bits: UInt32, work: UInt128
    ) {
        self.hashes.append(hash)
        self.works.append(work)
        self.parents.append(parent)
        self.heights.append(height)
        self.times.append(time)
        self.bits.append(bits)
    }

    private mutating func makeBest(_ node: HeaderNode) -> TipChange {
        let oldTip = self.tip
        let fork = self.fork(of: node)
        let forkHeight = self.height(of: fork)
        let left = self.tipHeight - forkHeight
        let joined = self.height(of: node) - forkHeight
        self.best.removeLast(Int(left))
        let base = self.best.count
        self.best.append(contentsOf: repeatElement(0, count: Int(joined)))
        var walker = node
        for offset in stride(from: Int(joined) - 1, through: 0, by: -1) {
            self.best[base + offset] = walker.number
            walker = HeaderNode(self.parents[walker.index])
        }
        guard left > 0 else { return .extended(joined: joined) }
        return .reorganised(fork: forkHeight, left: left, joined: joined, oldTip: self.hash(of: oldTip))
    }
}

extension UInt128 {
    init(saturating value: UInt256) {
        guard value.limbs.2 == 0, value.limbs.3 == 0 else {
            self = .max
            return
        }
        self = UInt128(value.limbs.1) << 64 | UInt128(value.limbs.0)
    }

    func addingSaturating(_ other: UInt128) -> UInt128 {
        let (sum, overflow) = self.addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}

extension UInt256 {
    init(wide value: UInt128) {
        self.init(UInt64(truncatingIfNeeded: value), UInt64(truncatingIfNeeded: value >> 64), 0, 0)
    }
}
