// SPDX-License-Identifier: MIT

public import AltNetKeys
public import AltNetOnion

/// What the relay asks its caller to do, in order and before the next call.
public enum RelayDirective: Hashable, Sendable {
    /// Send this Lightning message, type included, to a neighbour. One that has gone meanwhile is left out: its
    /// closing is told with `onPeerClosed`.
    case send([UInt8], to: NodeID)
    /// Somebody's message has arrived for us over a neighbour; `handle` is for the answer, if there is to be one. The
    /// neighbour is who passed it on, not who wrote it.
    case deliver(handle: UInt64, payload: [UInt8], neighbour: NodeID)
    /// The last node of the path answered a message of ours.
    case replied(id: UInt64, [UInt8])
    /// There will be no answer to a message of ours.
    case failed(id: UInt64, RelayFailure)
}

/// Whether a node can be sent a message right now: what only the caller knows.
public enum NeighbourState: Hashable, Sendable {
    /// It is connected, speaks this kind of message, and takes more.
    case ready
    /// It is connected and speaks this kind of message, but too much waits for it already.
    case busy
    /// It is not connected, is this node itself, or does not speak this kind of message.
    case absent
}

/// Why a message of ours cannot be sent.
public enum RelayError: Error, Hashable, Sendable {
    /// A path has at least one node.
    case noPath
    /// More nodes than the onion has room for.
    case pathTooLong(nodes: Int, limit: Int)
    /// A longer message than the onion has room for on this path.
    case payloadTooLong(bytes: Int, limit: Int)
    /// The first node of the path is not connected, or does not speak this kind of message.
    case neighbourAbsent(NodeID)
    /// The first node of the path takes nothing more at the moment.
    case neighbourBusy(NodeID)
    /// As many messages of ours as allowed wait for their answers.
    case tooManyOpen(limit: Int)
    /// A message of ours with this number waits for its answer.
    case numberInUse(UInt64)
    /// There is no key that a reply could be sent back to.
    case noKey
    /// The onion cannot be built.
    case onion(OnionError)
}

extension RelayError: CustomStringConvertible {
    /// One sentence for the operator.
    public var description: String {
        switch self {
        case .noPath: "The path names no node."
        case .pathTooLong(let nodes, let limit): "The path has \(nodes) nodes, and an onion has room for \(limit)."
        case .payloadTooLong(let bytes, let limit):
            "The message has \(bytes) bytes, and on this path an onion has room for \(limit)."
        case .neighbourAbsent(let node): "\(node) is not connected, or does not take such messages."
        case .neighbourBusy(let node): "\(node) takes no more messages at the moment."
        case .tooManyOpen(let limit): "\(limit) messages wait for their answers already."
        case .numberInUse(let id): "Message \(id) waits for its answer already."
        case .noKey: "This node has no key of its own, so no reply would reach it."
        case .onion(let error): "The onion cannot be built: \(error)."
        }
    }
}

/// Why there is no answer to a message of ours. Nodes are counted from zero along its path.
public enum RelayFailure: Error, Hashable, Sendable {
    /// Nothing came back in time: the message or its answer was lost, or somebody on the way ignores it.
    case timedOut
    /// The connection to the first node closed.
    case neighbourClosed
    /// A node on the way, proven by its key, says why it did not pass the message on.
    case reported(node: Int, FailureCode)
    /// A node could not read its onion, as the node before it says; for node 0 nothing proves it.
    case unreadableOnion(node: Int, FailureCode)
    /// What came back was not encrypted by any node of the path: somebody on the way altered it.
    case unreadableReply
}

extension RelayFailure: CustomStringConvertible {
    /// One sentence for the operator.
    public var description: String {
        switch self {
        case .timedOut: "No answer came in time."
        case .neighbourClosed: "The connection to the first node closed."
        case .reported(let node, let code): "Node \(node + 1) of the path reports \(code)."
        case .unreadableOnion(let node, let code): "Node \(node + 1) of the path could not read its onion: \(code)."
        case .unreadableReply: "The reply was altered on its way."
        }
    }
}

/// BOLT 4's `failure_code`: why a node did not pass an onion on.
public struct FailureCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    /// BADONION: the sender of the code could not read the onion, and has no secret to encrypt a reply with.
    static let badOnionFlag: UInt16 = 0x8000

    /// NODE|2: the next node takes nothing more, or a limit of the reporting node is reached.
    public static let temporaryNodeFailure = FailureCode(rawValue: 0x2002)
    /// PERM|10: the next node is not connected, or does not speak directed messages.
    public static let unknownNextPeer = FailureCode(rawValue: 0x400a)
    /// PERM|22: the payload is not the 33 bytes of a node's identity.
    public static let invalidOnionPayload = FailureCode(rawValue: 0x4016)
    /// BADONION|PERM|4.
    public static let invalidOnionVersion = FailureCode(rawValue: 0xc004)
    /// BADONION|PERM|5.
    public static let invalidOnionHMAC = FailureCode(rawValue: 0xc005)
    /// BADONION|PERM|6.
    public static let invalidOnionKey = FailureCode(rawValue: 0xc006)

    /// Whether the code says that an onion could not be read.
    public var isBadOnion: Bool { self.rawValue & Self.badOnionFlag != 0 }
}

extension FailureCode: CustomStringConvertible {
    /// BOLT 4's name, or the number where it is none of those used here.
    public var description: String {
        switch self {
        case .temporaryNodeFailure: "temporary_node_failure"
        case .unknownNextPeer: "unknown_next_peer"
        case .invalidOnionPayload: "invalid_onion_payload"
        case .invalidOnionVersion: "invalid_onion_version"
        case .invalidOnionHMAC: "invalid_onion_hmac"
        case .invalidOnionKey: "invalid_onion_key"
        default: "failure \(self.rawValue)"
        }
    }
}
