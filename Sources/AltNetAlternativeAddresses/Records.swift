// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetKeys
public import AltNetLightning

/// The name of one of our alternative endpoints: the same after a restart, and no address.
public struct EndpointID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ name: String) {
        self.description = name
    }

    public static func < (left: Self, right: Self) -> Bool { left.description < right.description }
}

/// A place of ours where peers can connect that nobody else is told of.
public struct AlternativeEndpoint: Hashable, Sendable {
    public var id: EndpointID
    /// As it is told to peers, which need not be what we listen on.
    public var address: LightningAddress
    /// Whose alone it is; `nil` when every allowed peer may be given it.
    public var peer: NodeID?
    /// Whether connections can arrive there now.
    public var isUp: Bool

    public init(id: EndpointID, address: LightningAddress, peer: NodeID? = nil, isUp: Bool) {
        self.id = id
        self.address = address
        self.peer = peer
        self.isUp = isUp
    }
}

/// The record of an address that a peer was given: bLIP 43 asks for it "for future verification".
public struct GivenAddress: Hashable, Sendable {
    /// Numbers in the order of giving.
    public var id: Int64
    public var peer: NodeID
    public var address: LightningAddress
    public var endpoint: EndpointID
    /// The channel that the message named.
    public var channelID: [UInt8]
    /// When it was decided that the peer gets it; on the disk before the peer can know.
    public var since: WallClockTime
    /// When the peer was last told; `nil` when it has to be told again.
    public var sentAt: WallClockTime?
    /// From when on the peer is not let in by it any more; `nil` while it is.
    public var until: WallClockTime?

    public init(
        id: Int64, peer: NodeID, address: LightningAddress, endpoint: EndpointID, channelID: [UInt8],
        since: WallClockTime, sentAt: WallClockTime? = nil, until: WallClockTime? = nil
    ) {
        self.id = id
        self.peer = peer
        self.address = address
        self.endpoint = endpoint
        self.channelID = channelID
        self.since = since
        self.sentAt = sentAt
        self.until = until
    }
}

/// The address that a peer gave us, and how dialling it went.
public struct ReceivedAddress: Hashable, Sendable {
    public var peer: NodeID
    public var address: LightningAddress
    /// The channel that the message named.
    public var channelID: [UInt8]
    public var receivedAt: WallClockTime
    /// When the peer was reached there for the first time, which makes the address "fully validated".
    public var validatedAt: WallClockTime?
    /// When the peer was last reached there.
    public var lastSuccessAt: WallClockTime?
    /// When the latest attempt failed; `nil` when it did not, or there was none.
    public var lastFailureAt: WallClockTime?

    public init(
        peer: NodeID, address: LightningAddress, channelID: [UInt8], receivedAt: WallClockTime,
        validatedAt: WallClockTime? = nil, lastSuccessAt: WallClockTime? = nil, lastFailureAt: WallClockTime? = nil
    ) {
        self.peer = peer
        self.address = address
        self.channelID = channelID
        self.receivedAt = receivedAt
        self.validatedAt = validatedAt
        self.lastSuccessAt = lastSuccessAt
        self.lastFailureAt = lastFailureAt
    }
}

/// What else is remembered of a peer.
public struct PeerRecord: Hashable, Sendable {
    public var peer: NodeID
    /// The operator cleared this peer's address: it gets none until the operator sends one.
    public var isWithheld: Bool
    /// The peer may hold an address of ours: one was sent since the last message that cleared.
    public var mayHold: Bool
    /// How long links with it stood altogether.
    public var stood: Duration

    public init(peer: NodeID, isWithheld: Bool = false, mayHold: Bool = false, stood: Duration = .zero) {
        self.peer = peer
        self.isWithheld = isWithheld
        self.mayHold = mayHold
        self.stood = stood
    }

    /// Whether there is nothing to remember.
    public var isEmpty: Bool { self == PeerRecord(peer: self.peer) }
}

/// One change of what is on the disk.
public enum StoredChange: Hashable, Sendable {
    /// Insert or replace by ``GivenAddress/id``.
    case given(GivenAddress)
    case forgetGiven(id: Int64)
    /// Insert or replace by ``ReceivedAddress/peer``.
    case received(ReceivedAddress)
    case forgetReceived(NodeID)
    /// Insert or replace by ``PeerRecord/peer``.
    case peer(PeerRecord)
    case forgetPeer(NodeID)
}

/// Everything that is on the disk.
public struct StoredAddresses: Hashable, Sendable {
    public var given: [GivenAddress]
    public var received: [ReceivedAddress]
    public var peers: [PeerRecord]

    public init(given: [GivenAddress] = [], received: [ReceivedAddress] = [], peers: [PeerRecord] = []) {
        self.given = given
        self.received = received
        self.peers = peers
    }
}

/// A moment on both clocks: people are told the one, times are measured with the other.
public struct Moment: Hashable, Sendable {
    public var wall: WallClockTime
    public var monotonic: MonotonicInstant

    public init(wall: WallClockTime, monotonic: MonotonicInstant) {
        self.wall = wall
        self.monotonic = monotonic
    }
}
