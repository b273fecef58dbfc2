// SPDX-License-Identifier: MIT

public import AltNetBitcoin
public import AltNetKeys
public import AltNetLightning

/// The operator's own Lightning node, whose connections we use: its peers, and messages to and from them.
///
/// The node keeps its key and its connections. What we send goes out under its name, and the peers see one node.
public protocol LightningAttachment: Sendable {
    /// The node's identity, which its peers know it by.
    var nodeID: NodeID { get }
    /// The chain that the node works on.
    var network: Network { get }
    /// What this node can do for us beyond custom messages of odd types.
    var abilities: Set<AttachmentAbility> { get }

    /// Tells what happens at the node, first the peers that are connected already, until the node goes away or the
    /// task is cancelled. It may be called again when it has ended, and never twice at a time.
    ///
    /// Events are told one after the other, in the order in which the node told them: of a peer, nothing comes before
    /// ``AttachmentEvent/peerConnected(_:)`` or after ``AttachmentEvent/peerDisconnected(_:)``. A receiver that is
    /// slow loses messages rather than delaying the node: see the implementation's bound.
    ///
    /// - Throws: an ``AttachmentError`` when the node went away without being asked to.
    func run(_ onEvent: @escaping @Sendable (AttachmentEvent) async -> Void) async throws

    /// Sends a message, type included, to a peer that is connected. A return means that the node took it, not that
    /// it arrived.
    func send(_ message: [UInt8], to peer: NodeID) async throws(AttachmentError)

    /// Sends an onion message (BOLT 4) whose onion is ready; needs ``AttachmentAbility/onionMessages``.
    func send(_ onionMessage: AttachedOnionMessage) async throws(AttachmentError)

    /// Connects the node to a peer; needs ``AttachmentAbility/connecting``. Being connected already is success.
    func connect(to peer: NodeID, host: String, port: UInt16) async throws(AttachmentError)

    /// The addresses that a node announced of itself (BOLT 7's `node_announcement`), as far as the attached node has heard:
    /// at most ``AnnouncedAddresses/maximum``. None when it has heard nothing, or does not tell.
    func announcedAddresses(of node: NodeID) async throws(AttachmentError) -> [LightningAddress]
}

/// Bounds of what a node announced.
public enum AnnouncedAddresses {
    /// The most addresses of one node that are taken over: those of a node that is known otherwise are few.
    public static let maximum = 16
}

/// What an attached node can do beyond custom messages of odd types.
public enum AttachmentAbility: Hashable, Sendable, CaseIterable {
    /// It sends onion messages (type 513) for us, and tells of those whose last hop it is.
    case onionMessages
    /// The first layer of an onion message that it is to send must be for the attached node itself, which unwraps it
    /// as if the message had come from a peer. Without this, the first layer is for a connected peer.
    case onionsThroughItself
    /// It passes custom messages of even types in both directions.
    case evenTypes
    /// It connects to peers when asked.
    case connecting
    /// It lends products of its key (LND's `DeriveSharedKey`), so that onions made for it can be peeled.
    case sharedSecret
}
