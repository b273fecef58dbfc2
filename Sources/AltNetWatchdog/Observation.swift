// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin

/// Something that was seen, and when: all that the watchdog knows of the world.
public struct Observation: Hashable, Sendable {
    /// When it was seen, on our clock.
    public var at: WallClockTime
    public var event: Event

    public init(at time: WallClockTime, _ event: Event) {
        self.at = time
        self.event = event
    }

    public enum Event: Hashable, Sendable {
        /// A header passed all rules for the first time. MUST come before any other mention of it.
        case proved(BlockHeader, ChainPoint, by: Subject)
        /// Our best valid chain now ends here. After a start it may lie deeper than what was proven: then its ancestors
        /// are not known.
        case best(ChainPoint)
        /// The best chain that a subject has shown ends here; for the node: its validated tip. Not necessarily a
        /// change. `nil`: nothing is known.
        case shows(Subject, ChainPoint?)
        /// A link opened.
        case opened(Subject, LinkFacts)
        /// A link is gone.
        case closed(Subject)
        /// A whole block whose header is proven was brought, and how long that took.
        case blockBrought(BlockHash, by: Subject, took: Duration)
        /// A whole block whose header is proven was asked for and not brought.
        case blockWithheld(BlockHash, by: Subject, why: String)
        /// How the operator's node is.
        case node(NodeFacts)
        /// The clock of a link's remote relative to ours; positive: theirs is ahead.
        case clock(Subject, offset: Duration)
        /// The node's own peers, all of them.
        case nodePeers([NodePeerFacts])
        /// The node calls the branch that ends here invalid (`getchaintips`), and whether its headers are valid for us.
        case nodeRefuses(ChainPoint, branchLength: UInt32, isHeaderValidForUs: Bool)
    }
}

/// What is known of a link when it opens.
public struct LinkFacts: Hashable, Sendable {
    public var driver: String
    /// Whether the operator asked for it. Strangers who connect to us are accused of nothing: they may be behind as
    /// much as they like.
    public var isTarget: Bool
    /// Who runs the other end as far as one can tell: a proven identity, else the network group.
    public var operatorKey: String
    /// The /16 of an IPv4 address, the /32 of an IPv6 address, "onion", "i2p", "local", or the driver's name.
    public var networkGroup: String
    public var exposure: String

    public init(driver: String, isTarget: Bool, operatorKey: String, networkGroup: String, exposure: String) {
        self.driver = driver
        self.isTarget = isTarget
        self.operatorKey = operatorKey
        self.networkGroup = networkGroup
        self.exposure = exposure
    }
}

/// How the operator's node is.
public struct NodeFacts: Hashable, Sendable {
    /// Whether it answers. The texts are sentences for the operator.
    public enum Reach: Hashable, Sendable {
        case reachable
        case unreachable(String)
        /// It does not accept our credentials.
        case refused(String)
        case wrongNetwork(String)
    }

    public var reach: Reach
    /// Initial block download: it is behind, and knows.
    public var isSyncing: Bool
    /// The height of its validated tip.
    public var blocks: UInt32
    /// The height of the best header it knows.
    public var headers: UInt32

    public init(reach: Reach, isSyncing: Bool, blocks: UInt32, headers: UInt32) {
        self.reach = reach
        self.isSyncing = isSyncing
        self.blocks = blocks
        self.headers = headers
    }
}

/// One of the node's own peers.
public struct NodePeerFacts: Hashable, Sendable {
    public var address: String
    /// Like ``LinkFacts/networkGroup``.
    public var networkGroup: String
    public var isInbound: Bool
    /// Its clock relative to the node's; positive: theirs is ahead.
    public var clockOffset: Duration

    public init(address: String, networkGroup: String, isInbound: Bool, clockOffset: Duration) {
        self.address = address
        self.networkGroup = networkGroup
        self.isInbound = isInbound
        self.clockOffset = clockOffset
    }
}
