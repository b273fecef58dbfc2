// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import Logging

/// Follows Bitcoin Core: looks at it, tells what it saw, and waits until there is a reason to look again.
struct CoreFollower {
    /// What tells of changes.
    enum Source: Hashable, Sendable {
        case zmq, wait, poll

        /// The best source that works.
        static func choose(
            _ follow: BitcoinCoreNode.Follow, isZMQConnected: Bool, isWaitRefused: Bool
        ) -> Source {
            if isZMQConnected { return .zmq }
            switch follow {
            case .auto, .wait: return isWaitRefused ? .poll : .wait
            case .zmq, .poll: return .poll
            }
        }
    }

    private let configuration: BitcoinCoreNode.Configuration
    private let rpc: RPCClient
    private let logger: Logger

    private var state = NodeState(reach: .unreachable("the node was not asked yet"))
    private var subscriber: ZMQSubscriber?
    /// The node does not let us call `waitfornewblock`.
    private var isWaitRefused = false
    /// The node's `waitfornewblock` takes the tip that we know, as Bitcoin Core 30 and later do.
    private var waitTakesTip = true
    private var pause: Duration
    private var lastLook: ContinuousClock.Instant?
    private var lastPeers: ContinuousClock.Instant?
    private var lastBranches: ContinuousClock.Instant?
    /// Calls that failed the last time, so that each trouble is logged once.
    private var failing: Set<String> = []

    init(configuration: BitcoinCoreNode.Configuration, rpc: RPCClient, logger: Logger) {
        self.configuration = configuration
        self.rpc = rpc
        self.logger = logger
        self.pause = configuration.pace.firstPause
    }

    mutating func run(_ onEvent: @Sendable (NodeEvent) async -> Void) async {
        defer { self.subscriber?.close() }
        var told: NodeState?
        while !Task.isCancelled {
            await self.look()
            guard !Task.isCancelled else { return }
            if self.state != told {
                told = self.state
                await onEvent(.state(self.state))
            }
            await self.waitForChange()
        }
    }

    // MARK: - Looking

    private mutating func look() async {
        self.lastLook = .now
        let isNew = self.state.reach != .reachable
        let info: CoreChainInfo
        do throws(NodeError) {
            info = try await self.rpc.call(RPCCall("getblockchaininfo"))
        } catch {
            self.state.reach = Self.reach(error, of: self.configuration.endpoint)
            return
        }
        let network = self.configuration.network
        guard info.chain == network.coreChainName else {
            self.state.reach = .wrongNetwork(
                "Bitcoin Core at \(self.configuration.endpoint) follows the network \(UntrustedText(info.chain)) and "
                    + "AltNet \(network.coreChainName); correct the network or the node's address")
            return
        }
        let isReorganised = info.blocks <= self.state.blocks && info.bestblockhash.hash != self.state.bestBlock
        self.state.reach = .reachable
        self.state.isSyncing = info.initialblockdownload
        self.state.blocks = info.blocks
        self.state.headers = info.headers
        self.state.bestBlock = info.bestblockhash.hash
        if isNew { await self.getToKnow() }
        await self.lookAtPeers(isDue: isNew)
        await self.lookAtBranches(isDue: isNew || isReorganised)
        let pace = self.configuration.pace
        self.state.followedBy =
            switch self.source {
            case .zmq: "zmq hashblock"
            case .wait: "waitfornewblock"
            case .poll: "polling every \(pace.poll.components.seconds) s"
            }
    }

    /// What a failure to ask the simplest question says about the node.
    static func reach(_ error: NodeError, of endpoint: CoreEndpoint) -> NodeState.Reach {
        switch error {
        case .unreachable(let text): .unreachable(text)
        case .refused(let text): .refused(text)
        case .notAllowed, .rejected, .malformed, .tooLarge:
            .refused("what answers at \(endpoint) is not as Bitcoin Core should be: \(error)")
        }
    }

    /// What can only change when the node restarts.
    private mutating func getToKnow() async {
        self.isWaitRefused = false
        self.waitTakesTip = true
        self.state.directNetworks = []
        if let info = await self.ask(RPCCall("getnetworkinfo"), as: CoreNetworkInfo.self) {
            self.state.directNetworks = info.directNetworks
            self.state.version = UntrustedText(info.subversion).description
        }
        guard self.configuration.follow == .auto || self.configuration.follow == .zmq else { return }
        guard let endpoint = await self.findPublisher() else {
            self.subscriber?.close()
            self.subscriber = nil
            if self.configuration.follow == .zmq {
                self.logger.warning(
                    "Bitcoin Core publishes no hashblock over ZMQ; start it with zmqpubhashblock=tcp://127.0.0.1:PORT")
            }
            return
        }
        guard self.subscriber?.endpoint != endpoint else { return }
        self.subscriber?.close()
        do throws(NodeError) {
            self.subscriber = try ZMQSubscriber(endpoint: endpoint)
        } catch {
            self.subscriber = nil
            self.logger.warning("\(error)")
        }
    }

    private mutating func findPublisher() async -> String? {
        if let endpoint = self.configuration.zmqEndpoint { return endpoint }
        let call = RPCCall("getzmqnotifications")
        typealias Answer = FirstElements<CoreZMQNotification, NotificationLimit>
        let found = await self.ask(call, as: Answer.self)?.elements.first { $0.type == "pubhashblock" }?.address
        return found.map { Self.reachable($0, from: self.configuration.endpoint.host) }
    }

    /// A publisher that listens on all addresses is reached where the node answers RPC.
    static func reachable(_ publisher: String, from host: String) -> String {
        for wildcard in ["tcp://0.0.0.0:", "tcp://[::]:", "tcp://*:"] where publisher.hasPrefix(wildcard) {
            let port = publisher.dropFirst(wildcard.count)
            return host.contains(":") ? "tcp://[\(host)]:\(port)" : "tcp://\(host):\(port)"
        }
        return publisher
    }

    private mutating func lookAtPeers(isDue: Bool) async {
        guard isDue || Self.isPast(self.lastPeers, self.configuration.pace.peers) else { return }
        self.lastPeers = .now
        typealias Answer = FirstElements<CorePeer, PeerLimit>
        // Some 3 kB for each of the peers that are kept.
        let bounds = RPCClient.Bounds(bytes: 4_000_000, time: .seconds(15))
        if let answer = await self.ask(RPCCall("getpeerinfo"), bounds, as: Answer.self) {
            self.state.peers = answer.elements.map(\.peer)
        }
    }

    private mutating func lookAtBranches(isDue: Bool) async {
        guard isDue || Self.isPast(self.lastBranches, self.configuration.pace.branches) else { return }
        self.lastBranches = .now
        typealias Answer = FirstElements<CoreChainTip, TipLimit>
        // Some 200 bytes for each of the tips that are looked at.
        let bounds = RPCClient.Bounds(bytes: 2_000_000, time: .seconds(60))
        if let answer = await self.ask(RPCCall("getchaintips"), bounds, as: Answer.self) {
            self.state.invalidBranches = answer.elements.filter { $0.status == "invalid" }
                .map { NodeBranch(hash: $0.hash.hash, height: $0.height, branchLength: $0.branchlen) }
                .sorted { ($0.height, $0.hash.number) > ($1.height, $1.hash.number) }
                .prefix(NodeState.maximumInvalidBranches).map { $0 }
        }
    }

    /// Asks what the node need not tell: without an answer we go on with what it said last.
    private mutating func ask<Answer: Decodable & Sendable>(
        _ call: RPCCall, _ bounds: RPCClient.Bounds = .small, as type: Answer.Type
    ) async -> Answer? {
        do throws(NodeError) {
            let answer = try await self.rpc.call(call, bounds, as: type)
            self.failing.remove(call.method)
            return answer
        } catch {
            if self.failing.insert(call.method).inserted, !Task.isCancelled {
                self.logger.warning("going on without \(call.method): \(error)")
            }
            return nil
        }
    }

    private static func isPast(_ moment: ContinuousClock.Instant?, _ pace: Duration) -> Bool {
        moment.map { ContinuousClock.now - $0 >= pace } ?? true
    }

    // MARK: - Waiting

    private var source: Source {
        .choose(
            self.configuration.follow, isZMQConnected: self.subscriber?.isConnected ?? false,
            isWaitRefused: self.isWaitRefused)
    }

    private mutating func waitForChange() async {
        let pace = self.configuration.pace
        guard self.state.reach == .reachable else {
            try? await Task.sleep(for: self.pause)
            self.pause = min(self.pause * 2, pace.longestPause)
            return
        }
        self.pause = pace.firstPause
        switch self.source {
        case .zmq: await Self.first(self.subscriber?.wakeup) { try? await Task.sleep(for: pace.pollBesideZMQ) }
        case .poll: await Self.first(self.subscriber?.wakeup) { try? await Task.sleep(for: pace.poll) }
        case .wait: await self.waitForNewBlock()
        }
        if let lastLook {
            try? await Task.sleep(until: lastLook + pace.shortest, clock: .continuous)
        }
    }

    /// Returns when the work is done or a wake-up came.
    private static func first(_ wakeup: Wakeup?, _ work: @Sendable @escaping () async -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await work() }
            if let wakeup { group.addTask { await wakeup.wait() } }
            await group.next()
            group.cancelAll()
        }
    }

    /// How one `waitfornewblock` ended.
    private enum WaitEnding: Sendable {
        case newBlock, nothing, tooSoon, refused(NodeError), takesNoTip
    }

    private mutating func waitForNewBlock() async {
        let (rpc, pace, tip, takesTip) = (self.rpc, self.configuration.pace, self.state.bestBlock, self.waitTakesTip)
        let ending = await withTaskGroup(of: WaitEnding.self) { group in
            group.addTask { await Self.wait(rpc, tip: tip, takesTip: takesTip, pace: pace) }
            if let wakeup = self.subscriber?.wakeup {
                group.addTask {
                    await wakeup.wait()
                    return .nothing
                }
            }
            defer { group.cancelAll() }
            return await group.next() ?? .nothing
        }
        switch ending {
        case .newBlock, .nothing: break
        case .tooSoon: try? await Task.sleep(for: pace.firstPause)
        case .takesNoTip: self.waitTakesTip = false
        case .refused(let error):
            self.isWaitRefused = true
            self.logger.info("the node does not let us wait for blocks, so it is asked instead: \(error)")
        }
    }

    private static func wait(
        _ rpc: RPCClient, tip: BlockHash?, takesTip: Bool, pace: BitcoinCoreNode.Pace
    ) async -> WaitEnding {
        struct Tip: Decodable, Sendable { let hash: DecodedHash }
        let timeout = RPCParameter.number(pace.wait.wholeNanoseconds / 1_000_000)
        let call =
            if takesTip, let tip {
                RPCCall("waitfornewblock", timeout, .text(tip.description))
            } else {
                RPCCall("waitfornewblock", timeout)
            }
        let start = ContinuousClock.now
        do throws(NodeError) {
            // Time for the answer to come after the node's own time is over.
            let bounds = RPCClient.Bounds(bytes: 64 * 1024, time: pace.wait + .seconds(15))
            let found = try await rpc.call(call, bounds, as: Tip.self)
            if found.hash.hash != tip { return .newBlock }
            // A node that is stopping returns at once.
            return ContinuousClock.now - start < pace.wait / 2 ? .tooSoon : .nothing
        } catch {
            switch error {
            case .unreachable: return .tooSoon
            case .rejected(RPCFailure.Code.misc, _) where takesTip: return .takesNoTip
            case .notAllowed, .refused, .rejected, .malformed, .tooLarge: return .refused(error)
            }
        }
    }
}
