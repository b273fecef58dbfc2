// SPDX-License-Identifier: MIT

public import AltNetBitcoin
public import AltNetObjects

/// The operator's own node: what validates blocks for them, and what is watched and healed.
///
/// One protocol, several implementations, chosen by the configuration: ``BitcoinCoreNode`` speaks JSON-RPC with a
/// running Bitcoin Core, ``KernelNode`` validates blocks in this process.
public protocol NodeInterface: Sendable {
    /// For people: "Bitcoin Core at http://127.0.0.1:8332", "libbitcoinkernel …".
    var description: String { get }

    /// Follows the node until the task is cancelled: an event at each change, and at least one at the beginning.
    ///
    /// The next event comes after `onEvent` has returned. A node that is not there is a state, not the end. Call it
    /// once at a time.
    func run(_ onEvent: @Sendable @escaping (NodeEvent) async -> Void) async

    /// The same currency as any link: headers after a locator (of the node's active chain, so of validated blocks
    /// only), a block, a transaction. Everything else is refused as ``ObjectRefusal/unsupported``.
    ///
    /// What comes back is raw bytes, as from a link; a block's or header's bytes were compared with the hash.
    func answer(_ request: ObjectRequest) async -> ObjectAnswer

    /// Changes the node, if the operator allows it. The call and its outcome stand in the audit log before this
    /// returns.
    ///
    /// - Parameter reason: why, in one sentence, for the audit log.
    func perform(_ change: NodeChange, because reason: String) async throws(NodeError)

    /// Whether the node would take a transaction into its memory pool now. Changes nothing, so that nothing of it stands
    /// in the audit log: strangers could fill that.
    func judge(transaction: [UInt8]) async throws(NodeError) -> TransactionVerdict

    /// Ends it: what must be on the disk is there when this returns, and every later call is refused. A node in a process
    /// of its own has nothing to end.
    func close() async
}

extension NodeInterface {
    public func close() async {}

    public func judge(transaction: [UInt8]) async throws(NodeError) -> TransactionVerdict {
        throw .refused("\(self.description) has no memory pool")
    }
}

/// What a node thinks of a transaction.
public enum TransactionVerdict: Hashable, Sendable {
    case acceptable
    /// It is in the memory pool or in the chain already.
    case known
    /// An input is not known, or is spent: another moment it may be acceptable.
    case missingInputs
    /// The node's reason, printable.
    case rejected(String)
}

/// What following a node yields.
public enum NodeEvent: Hashable, Sendable {
    /// The node as it is now. Two events in a row may carry equal states.
    case state(NodeState)
}

/// What a node said about itself at one moment.
///
/// While the node is not reachable, everything but ``reach`` is what it said last, and empty if it never said anything.
public struct NodeState: Hashable, Sendable {
    /// Whether the node answers, and if not, what the operator should do about it.
    public enum Reach: Hashable, Sendable {
        case reachable
        /// Nobody answers, or the node is starting or stopping. A sentence for the operator.
        case unreachable(String)
        /// The node answers but does not let us in, or the configuration is refused. A sentence for the operator.
        case refused(String)
        /// The node follows another network than we do. A sentence for the operator.
        case wrongNetwork(String)
    }

    /// The most peers that are kept: Core's default is 125, and a node that is configured for more than this is not
    /// worth the memory of listing them all.
    public static let maximumPeers = 1_000
    /// The most invalid branches that are kept, highest first. Each costs its maker one block's proof of work.
    public static let maximumInvalidBranches = 100

    public var reach: Reach
    /// Whether the node is still downloading the chain for the first time: being behind is no alarm then.
    public var isSyncing: Bool
    /// The height of the node's active chain: validated blocks.
    public var blocks: UInt32
    /// The height of the best header chain that the node knows.
    public var headers: UInt32
    /// The tip of the active chain; `nil` before the node has told it.
    public var bestBlock: BlockHash?
    /// What the node calls itself, printable ASCII (`subversion` of Core).
    public var version: String
    /// At most ``maximumPeers``.
    public var peers: [NodePeer]
    /// The networks, as in ``NodePeer/network``, that the node connects to without a proxy: "ipv4", "ipv6". Peers in
    /// others do not know where the node is.
    public var directNetworks: Set<String>
    /// Branches that the node found invalid; at most ``maximumInvalidBranches``.
    public var invalidBranches: [NodeBranch]
    /// How changes are noticed: "zmq hashblock", "waitfornewblock", "polling every 5 s", "its own validation".
    public var followedBy: String

    public init(
        reach: Reach, isSyncing: Bool = false, blocks: UInt32 = 0, headers: UInt32 = 0, bestBlock: BlockHash? = nil,
        version: String = "", peers: [NodePeer] = [], directNetworks: Set<String> = [],
        invalidBranches: [NodeBranch] = [], followedBy: String = ""
    ) {
        self.reach = reach
        self.isSyncing = isSyncing
        self.blocks = blocks
        self.headers = headers
        self.bestBlock = bestBlock
        self.version = version
        self.peers = peers
        self.directNetworks = directNetworks
        self.invalidBranches = invalidBranches
        self.followedBy = followedBy
    }
}

/// A peer of the node, as the node describes it. All texts are printable ASCII and bounded.
public struct NodePeer: Hashable, Sendable {
    /// The node's own number for the connection.
    public var id: Int64
    /// The address with its port, as the node writes it; what ``NodeChange/disconnectPeer(_:)`` takes.
    public var address: String
    /// Whether the peer opened the connection.
    public var isInbound: Bool
    /// Core's name for the kind of connection ("outbound-full-relay", "manual", …); empty where it has none.
    public var connectionType: String
    /// The network of the address as Core names it ("ipv4", "onion", "not_publicly_routable", …); empty if unknown.
    public var network: String
    /// How far the peer's clock was ahead of the node's when they connected, in seconds.
    public var clockOffset: Int64
    /// When the peer last brought a block that the node did not have, in seconds since 1970; 0 for never.
    public var lastBlock: Int64
    /// The height of the last header that the peer and the node have in common; `nil` while that is not known.
    public var syncedHeaders: UInt32?

    public init(
        id: Int64, address: String, isInbound: Bool, connectionType: String = "", network: String = "",
        clockOffset: Int64 = 0, lastBlock: Int64 = 0, syncedHeaders: UInt32? = nil
    ) {
        self.id = id
        self.address = address
        self.isInbound = isInbound
        self.connectionType = connectionType
        self.network = network
        self.clockOffset = clockOffset
        self.lastBlock = lastBlock
        self.syncedHeaders = syncedHeaders
    }
}

/// A branch of the block tree beside the active chain.
public struct NodeBranch: Hashable, Sendable {
    /// The tip of the branch.
    public var hash: BlockHash
    /// The height of the tip.
    public var height: UInt32
    /// How many blocks lie between the active chain and the tip, the tip included.
    public var branchLength: UInt32

    public init(hash: BlockHash, height: UInt32, branchLength: UInt32) {
        self.hash = hash
        self.height = height
        self.branchLength = branchLength
    }
}
