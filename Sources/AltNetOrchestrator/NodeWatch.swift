// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetDriverHost
internal import AltNetDriverProtocol
internal import AltNetHeaderChain
internal import AltNetHeaderSync
internal import AltNetNode
internal import AltNetObjects
internal import AltNetWatchdog
internal import Logging

/// What the orchestrator knows of the operator's node.
struct NodeWatch: Sendable {
    /// What the node said last; `nil` until it has said anything.
    var state: NodeState?
    /// Under which number its headers are asked for, like those of any link.
    var link: LinkID?
    /// The tip that the watchdog was told of.
    var toldTip: BlockHash?
    /// What is read from the node for others at the moment, and who waits for a turn.
    var reads = 0
    var waitingReads: [CheckedContinuation<Void, Never>] = []

    /// The most objects that are read from the node for others at once: a block takes megabytes, and the node's own work
    /// comes first.
    static let maximumReads = 4
    /// The most that wait: two blocks for each link of a driver of Bitcoin's protocol. Of links that are gone, none is read.
    static let maximumWaitingReads = 250
    /// The deepest block that others are given: what NODE_NETWORK_LIMITED promises, and two for those who lag (BIP 159).
    /// With more, or with blocks of stale branches, they could tell which node is behind us.
    static let servedDepth: UInt32 = 290
    /// How long a block is waited for that the node does not have yet, as its header travels faster; and how many blocks
    /// the node may miss for that.
    static let patience: Duration = .seconds(30)
    static let maximumAwaited: UInt32 = 2
}

/// The addresses of the nodes that the node connected to.
struct NodeOutboundPeers: Hashable, Sendable {
    /// All, however they are reached.
    var all: [String] = []
    /// Those that see the node's own address. To the others, who hear from the node through a proxy, a connection from
    /// our address would tell whose the node is.
    var direct: [String] = []

    init() {}

    init(_ state: NodeState?) {
        guard let state else { return }
        let outbound = state.peers.filter { !$0.isInbound }
        self.all = outbound.map(\.address)
        self.direct = outbound.filter { state.directNetworks.contains($0.network) }.map(\.address)
    }
}

extension Orchestrator {
    /// Follows the node until the task is cancelled; returns at once where there is none.
    func followNode() async {
        await self.parts.node?.run { event in
            switch event {
            case .state(let state): await self.onNode(state)
            }
        }
    }

    /// The nodes that the node connected to.
    var nodeOutboundPeers: NodeOutboundPeers { NodeOutboundPeers(self.node.state) }

    private func onNode(_ state: NodeState) async {
        let before = self.node.state
        self.node.state = state
        self.observe(.node(NodeFacts(state)))
        if before?.peers != state.peers { self.observe(.nodePeers(state.peers.map(NodePeerFacts.init))) }
        if before != state { self.publishNode() }
        guard state.reach == .reachable else {
            guard let link = self.node.link else { return }
            self.node.link = nil
            self.node.toldTip = nil
            self.observe(.shows(.node, nil))
            return await self.carryOut(self.sync.onLinkClosed(link, now: .system))
        }
        if let link = self.node.link {
            if before?.bestBlock != state.bestBlock, !self.knows(state.bestBlock) {
                await self.carryOut(self.sync.onNews(link, now: .system))
            }
        } else {
            await self.openNodeLink()
        }
        self.observeNodeTip()
        for branch in state.invalidBranches where before?.invalidBranches.contains(branch) != true {
            self.observeInvalid(branch)
        }
    }

    private func knows(_ hash: BlockHash?) -> Bool { hash.flatMap(self.sync.chain.find) != nil }

    /// Tells the watchdog where the node's validated chain ends, as soon as we have that header too.
    func observeNodeTip() {
        guard let state = self.node.state, state.reach == .reachable, let best = state.bestBlock,
            best != self.node.toldTip, let found = self.sync.chain.find(best)
        else { return }
        self.node.toldTip = best
        self.observe(.shows(.node, self.sync.chain.point(found)))
        self.feedKernel()
    }

    private func observeInvalid(_ branch: NodeBranch) {
        let found = self.sync.chain.find(branch.hash)
        let point =
            found.map(self.sync.chain.point) ?? ChainPoint(hash: branch.hash, height: branch.height, work: .zero)
        self.observe(
            .nodeRefuses(point, branchLength: branch.branchLength, isHeaderValidForUs: found != nil))
    }

    /// How many blocks of the best chain the node has not validated, and the height of the first; `nil` while that is
    /// not known.
    var nodeMissing: (count: UInt32, firstHeight: UInt32)? {
        guard let found = self.node.state?.bestBlock.flatMap(self.sync.chain.find) else { return nil }
        let fork = self.sync.chain.height(of: self.sync.chain.fork(of: found))
        return (self.sync.chain.tipHeight - fork, fork + 1)
    }

    /// Asks the node for headers, as any link is asked.
    func askNode(_ request: ObjectRequest, id: UInt64, _ link: LinkID) {
        guard let node = self.parts.node else { return }
        Task {
            let answer = await node.answer(request)
            await self.carryOut(
                self.sync.onAnswer(link, id: id, answer, now: .system, wallClock: .system))
        }
    }

    /// Answers what a remote asks of us beside headers: the node has it, or nobody.
    func ask(_ request: ObjectRequest, of driver: String, _ link: DriverLink, id: UInt64) {
        Task {
            let answer = await self.read(request, of: driver, link)
            await self.host?.send(.answer(link, id: id, answer), to: driver)
        }
    }

    private func read(_ request: ObjectRequest, of driver: String, _ link: DriverLink) async -> ObjectAnswer {
        switch request {
        case .block(let hash):
            guard await self.isServed(hash, to: driver, over: link) else { return .refused(.notFound) }
        // Of a transaction the node may know more than it tells strangers: whether it is its own.
        case .headers, .transaction, .filters, .filterHeaders, .addresses, .peerRecords: return .refused(.unsupported)
        }
        guard await self.takeTurnToRead() else { return .refused(.busy) }
        defer { self.giveTurnToRead() }
        // Whoever asked may be gone by now.
        guard self.driverStates[driver]?.links[link] != nil else { return .refused(.unavailable) }
        guard let node = self.parts.node, self.node.state?.reach == .reachable else { return .refused(.notFound) }
        return await node.answer(request)
    }

    /// Whether others may have a block; waits a moment for one that the node is about to have, as long as the asker does.
    private func isServed(_ hash: BlockHash, to driver: String, over link: DriverLink) async -> Bool {
        let deadline = MonotonicInstant.system + NodeWatch.patience
        while self.mayBeServed(hash, to: driver), self.driverStates[driver]?.links[link] != nil, !Task.isCancelled {
            // One that is far behind does not get there in a moment; what it has, it may have all the same.
            guard let missing = self.nodeMissing, (1...NodeWatch.maximumAwaited).contains(missing.count),
                self.sync.chain.lacks(hash, from: missing.firstHeight), MonotonicInstant.system < deadline
            else { return true }
            try? await Task.sleep(for: .milliseconds(250))
        }
        return false
    }

    /// Whether a block is one that others may have if the node has it. No stale ones, and for those who know us by an
    /// address alone none deeper than a pruned node has: by such blocks they could tell which node is behind us.
    private func mayBeServed(_ hash: BlockHash, to driver: String) -> Bool {
        let isNameless = self.driverStates[driver]?.isNameless ?? true
        guard let found = self.sync.chain.find(hash) else { return !isNameless }
        let height = self.sync.chain.height(of: found)
        guard self.sync.chain.best(at: height) == found else { return false }
        return !isNameless || self.sync.chain.tipHeight - height <= NodeWatch.servedDepth
    }

    /// Whoever gives its turn hands it on.
    private func takeTurnToRead() async -> Bool {
        guard self.node.reads >= NodeWatch.maximumReads else {
            self.node.reads += 1
            return true
        }
        guard self.node.waitingReads.count < NodeWatch.maximumWaitingReads else { return false }
        await withCheckedContinuation { self.node.waitingReads.append($0) }
        return true
    }

    private func giveTurnToRead() {
        if self.node.waitingReads.isEmpty {
            self.node.reads -= 1
        } else {
            self.node.waitingReads.removeFirst().resume()
        }
    }
}

extension HeaderChain {
    /// Whether a block of the best chain has this height or a higher one.
    fileprivate func lacks(_ hash: BlockHash, from height: UInt32) -> Bool {
        guard let found = self.find(hash) else { return false }
        return self.height(of: found) >= height && self.best(at: self.height(of: found)) == found
    }
}

extension NodeFacts {
    init(_ state: NodeState) {
        let reach: Reach =
            switch state.reach {
            case .reachable: .reachable
            case .unreachable(let why): .unreachable(why)
            case .refused(let why): .refused(why)
            case .wrongNetwork(let why): .wrongNetwork(why)
            }
        self.init(reach: reach, isSyncing: state.isSyncing, blocks: state.blocks, headers: state.headers)
    }
}

extension NodePeerFacts {
    init(_ peer: NodePeer) {
        self.init(
            address: peer.address, networkGroup: NetworkGroup.of(peer.address), isInbound: peer.isInbound,
            clockOffset: .seconds(peer.clockOffset))
    }
}
