// SPDX-License-Identifier: MIT

public import AltNetKeys
public import AltNetLightning

/// What happens at an attached node.
public enum AttachmentEvent: Hashable, Sendable {
    /// A peer is connected, with its features and the channels that the node has with it.
    case peerConnected(AttachedPeer)
    /// A peer is connected no more.
    case peerDisconnected(NodeID)
    /// The channels with a connected peer changed: the identities of those that are open now.
    case channels(NodeID, [[UInt8]])
    /// A peer sent a message: its type, two bytes, and its body.
    case message(from: NodeID, [UInt8])
    /// An onion message arrived whose last hop is the attached node.
    case onionMessage(OnionDelivery)
}

/// A peer that is connected with the attached node.
public struct AttachedPeer: Hashable, Sendable {
    /// Who it is.
    public let id: NodeID
    /// What it offers: both fields of its `init`.
    public let features: LightningFeatures
    /// The identities of the open channels with it, 32 bytes each.
    public let channels: [[UInt8]]

    /// Puts a peer together.
    public init(id: NodeID, features: LightningFeatures, channels: [[UInt8]] = []) {
        self.id = id
        self.features = features
        self.channels = channels
    }
}

/// An onion message that arrived for us, as the attached node has peeled it (BOLT 4, "Onion Messages").
public struct OnionDelivery: Hashable, Sendable {
    /// The fields of `onionmsg_tlv` for the last hop: type to value, those of 64 and above, and others that the node
    /// passes on.
    public let fields: [UInt64: [UInt8]]
    /// `reply_path` in its wire form: the way back to the sender, if it gave one.
    public let replyPath: [UInt8]?
    /// `path_id` when the message came over a blinded path that we gave out; it proves which one.
    public let pathSecret: [UInt8]?

    /// Puts a delivery together.
    public init(fields: [UInt64: [UInt8]], replyPath: [UInt8]? = nil, pathSecret: [UInt8]? = nil) {
        self.fields = fields
        self.replyPath = replyPath
        self.pathSecret = pathSecret
    }
}

/// An onion message that the attached node is to send, with an onion that is ready.
///
/// Where the path begins depends on the node. Core Lightning treats the message as just received, so the first layer
/// is for the attached node itself (``AttachmentAbility/onionsThroughItself``); LND hands it to a neighbour.
public struct AttachedOnionMessage: Hashable, Sendable {
    /// The node that the onion's first layer is for.
    public let firstNode: NodeID
    /// `path_key` for the first node.
    public let pathKey: NodeID
    /// BOLT 4's `onion_message_packet`: version, key, payloads and HMAC, without a length in front.
    public let onion: [UInt8]

    /// Puts a message together; whether the onion is one, the node finds out.
    public init(firstNode: NodeID, pathKey: NodeID, onion: [UInt8]) {
        self.firstNode = firstNode
        self.pathKey = pathKey
        self.onion = onion
    }
}
