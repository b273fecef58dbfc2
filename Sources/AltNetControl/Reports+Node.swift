// SPDX-License-Identifier: MIT

/// `GET /v1/node`: the operator's own node.
public struct NodeReport: Hashable, Sendable, Codable {
    /// `none`, `bitcoin-core`, `kernel` or `embedded`.
    public var kind: String
    /// For people, such as `Bitcoin Core at http://127.0.0.1:8332`.
    public var description: String
    /// `reachable`, `unreachable`, `refused` (credentials), `wrong-network`, or `none` when there is no node.
    public var reach: String
    /// Why it is not reachable; absent when it is.
    public var reason: String?
    public var isSyncing: Bool
    public var blocks: UInt32?
    public var headers: UInt32?
    public var bestBlock: String?
    public var version: String?
    public var inboundPeers: Int
    public var outboundPeers: Int
    /// How its tip is followed, such as `zmq hashblock`.
    public var followedBy: String?
    /// What the operator lets us change of it: some of `headers`, `blocks`, `peers`, `transactions`.
    public var allow: [String]
    /// How many blocks of our best chain it does not have; absent while nothing is known.
    public var missingBlocks: UInt32?

    public init(kind: String, description: String, reach: String) {
        self.kind = kind
        self.description = description
        self.reach = reach
        self.isSyncing = false
        self.inboundPeers = 0
        self.outboundPeers = 0
        self.allow = []
    }
}

/// One of `GET /v1/splices`: a loopback port whose connections go through a link to a node on the other side.
public struct SpliceReport: Hashable, Sendable, Codable {
    public var name: String
    /// The loopback address that the node connects to; absent while it does not listen.
    public var listening: String?
    public var driver: String
    public var target: String?
    /// Connections that are open now.
    public var connections: Int
    /// Towards the operator's node, since the daemon started.
    public var bytesIn: UInt64
    /// From the operator's node, since the daemon started.
    public var bytesOut: UInt64
    /// Why it does not work; absent when all is well.
    public var reason: String?

    public init(name: String, driver: String) {
        self.name = name
        self.driver = driver
        self.connections = 0
        self.bytesIn = 0
        self.bytesOut = 0
    }
}
