// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetLightningAttachment
internal import FoundationEssentials

/// A call of lightningd's JSON-RPC: method, parameters, and what its answer looks like.
///
/// The names are those of lightningd 26.06 (doc/schemas there).
struct NodeCall<Parameters: Encodable & Sendable, Result: Decodable & Sendable>: Sendable {
    let method: String
    let parameters: Parameters
    /// Asks lightningd to leave out everything but these members of the answer, which may otherwise be long.
    var filter: Filter?
    /// How long to wait for the answer.
    var timeout = NodeCalls.timeout

    struct Filter: Encodable, Sendable {
        let list: String
        let members: [String]

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            let members = Dictionary(uniqueKeysWithValues: self.members.map { ($0, true) })
            try container.encode([self.list: [members]])
        }
    }

    private struct Request: Encodable {
        let jsonrpc = "2.0"
        let id: Int
        let method: String
        let params: Parameters
        let filter: Filter?
    }

    /// The bytes of the request.
    func encode(id: Int) -> [UInt8] {
        PluginOutput.encode(Request(id: id, method: self.method, params: self.parameters, filter: self.filter))
    }
}

/// lightningd's calls that we use, and what their answers mean.
enum NodeCalls {
    /// How long lightningd may take for a call that only looks something up or queues something.
    static let timeout = Duration.seconds(30)
    /// How long it may take to connect: it tries all addresses that it knows, each with a time-out of its own.
    static let connectTimeout = Duration.seconds(120)

    struct NoParameters: Encodable, Sendable {}
    struct Anything: Decodable, Sendable {}

    struct Info: Decodable, Sendable {
        let id: NodeText
        let network: String
        let version: String?
    }

    struct PeerParameters: Encodable, Sendable {
        let id: NodeText?
    }

    struct Peers: Decodable, Sendable {
        struct Peer: Decodable, Sendable {
            let id: NodeText
            let connected: Bool
            let features: HexBytes?
        }
        let peers: [Peer]
    }

    struct Channels: Decodable, Sendable {
        struct Channel: Decodable, Sendable {
            let peer: NodeText
            let state: String?
            let identity: HexBytes?

            private enum CodingKeys: String, CodingKey {
                case peer = "peer_id"
                case state
                case identity = "channel_id"
            }
        }
        let channels: [Channel]

        /// The states in which a channel is open (lightningd/channel_state.h).
        private static let openStates: Set<String> = ["CHANNELD_NORMAL", "CHANNELD_AWAITING_SPLICE"]

        /// The identities of the open channels, by peer, in lightningd's order.
        var open: [NodeID: [[UInt8]]] {
            var result: [NodeID: [[UInt8]]] = [:]
            for channel in self.channels where channel.state.map(Self.openStates.contains) == true {
                guard let identity = channel.identity?.bytes, identity.count == 32 else { continue }
                result[channel.peer.node, default: []].append(identity)
            }
            return result
        }
    }

    /// What the gossip that lightningd has heard says of nodes.
    struct Nodes: Decodable, Sendable {
        struct Node: Decodable, Sendable {
            let id: NodeText
            let addresses: [Address]?

            private enum CodingKeys: String, CodingKey {
                case id = "nodeid"
                case addresses
            }
        }
        struct Address: Decodable, Sendable {
            let type: String
            let address: String?
            let port: UInt16?

            /// Nil for kinds that this version does not know, and for what is none.
            var lightningAddress: LightningAddress? {
                guard let address = self.address, let port = self.port else { return nil }
                return switch self.type {
                case "ipv4", "torv3", "dns": try? LightningAddress(text: "\(address):\(port)")
                case "ipv6": try? LightningAddress(text: "[\(address)]:\(port)")
                default: nil
                }
            }
        }
        let nodes: [Node]

        func addresses(of node: NodeID) -> [LightningAddress] {
            let addresses = self.nodes.first { $0.id.node == node }?.addresses ?? []
            return Array(addresses.lazy.compactMap(\.lightningAddress).prefix(AnnouncedAddresses.maximum))
        }
    }

    struct MessageParameters: Encodable, Sendable {
        let node: NodeText
        let message: HexBytes

        private enum CodingKeys: String, CodingKey {
            case node = "node_id"
            case message = "msg"
        }
    }

    struct OnionParameters: Encodable, Sendable {
        let pathKey: NodeText
        let message: HexBytes

        private enum CodingKeys: String, CodingKey {
            case pathKey = "path_key"
            case message
        }
    }

    struct ConnectParameters: Encodable, Sendable {
        let id: NodeText
        let host: String
        let port: UInt16
    }

    static func info() -> NodeCall<NoParameters, Info> {
        NodeCall(method: "getinfo", parameters: NoParameters())
    }

    /// - Parameter peer: only this one; all when `nil`.
    static func peers(_ peer: NodeID?) -> NodeCall<PeerParameters, Peers> {
        NodeCall(
            method: "listpeers", parameters: PeerParameters(id: peer.map { NodeText($0) }),
            filter: .init(list: "peers", members: ["id", "connected", "features"]))
    }

    /// - Parameter peer: only those with this one; all when `nil`.
    static func channels(_ peer: NodeID?) -> NodeCall<PeerParameters, Channels> {
        NodeCall(
            method: "listpeerchannels", parameters: PeerParameters(id: peer.map { NodeText($0) }),
            filter: .init(list: "channels", members: ["peer_id", "state", "channel_id"]))
    }

    static func nodes(_ node: NodeID) -> NodeCall<PeerParameters, Nodes> {
        NodeCall(
            method: "listnodes", parameters: PeerParameters(id: NodeText(node)),
            filter: .init(list: "nodes", members: ["nodeid", "addresses"]))
    }

    static func send(_ message: [UInt8], to peer: NodeID) -> NodeCall<MessageParameters, Anything> {
        NodeCall(
            method: "sendcustommsg",
            parameters: MessageParameters(node: NodeText(peer), message: HexBytes(message)))
    }

    static func inject(_ message: AttachedOnionMessage) -> NodeCall<OnionParameters, Anything> {
        NodeCall(
            method: "injectonionmessage",
            parameters: OnionParameters(pathKey: NodeText(message.pathKey), message: HexBytes(message.onion)))
    }

    static func connect(_ peer: NodeID, host: String, port: UInt16) -> NodeCall<ConnectParameters, Anything> {
        NodeCall(
            method: "connect", parameters: ConnectParameters(id: NodeText(peer), host: host, port: port),
            timeout: Self.connectTimeout)
    }
}

/// An error that lightningd answered with (common/jsonrpc_errors.h).
struct NodeFailure: Decodable, Hashable, Sendable {
    let code: Int
    let message: String

    enum Code {
        static let invalidRequest = -32600
        static let methodNotFound = -32601
        /// CONNECT_NO_KNOWN_ADDRESS, CONNECT_ALL_ADDRESSES_FAILED, CONNECT_DISCONNECTED_DURING.
        static let connecting = 400...402
    }

    /// What it means to a caller that had to do with `peer`.
    func error(method: String, peer: NodeID?) -> AttachmentError {
        switch (self.code, peer) {
        case (Code.methodNotFound, _): .unsupported("this lightningd has no \(method)")
        // The number is that of every refusal of sendcustommsg; two of its sentences mean the connection.
        case (Code.invalidRequest, let peer?)
        where self.message.hasPrefix("No such peer") || self.message.hasPrefix("Peer is not connected"):
            .notConnected(peer)
        case (Code.connecting, let peer?): .peerUnreachable(peer)
        // What follows here is a shared secret of an onion, which is for no log.
        default:
            .refused(code: self.code, UntrustedText(self.message.split(separator: " ss=").first.map(String.init) ?? ""))
        }
    }
}
