// SPDX-License-Identifier: MIT

public import AltNetBase

/// What is known of one address of a peer.
public struct KnownAddress: Hashable, Sendable {
    /// Without the peer's own id at the end.
    public let address: Multiaddress
    /// What is spoken there.
    public let use: AddressUse
    public let sources: AddressSources
    public let firstSeen: WallClockTime
    /// When somebody last told it, or we last used it.
    public let lastSeen: WallClockTime
    /// From when on it is not used; nil: never, the operator typed it.
    public let expiry: WallClockTime?
    public let lastSuccess: WallClockTime?
    public let lastFailure: WallClockTime?
    /// Of the last success.
    public let latency: Duration?
    /// Attempts that failed since the last success.
    public let failures: Int
    /// The network that it belongs to, when the address alone does not say where in the world it leads.
    public let network: LocalNetwork?

    public init(
        address: Multiaddress, sources: AddressSources, firstSeen: WallClockTime, lastSeen: WallClockTime,
        expiry: WallClockTime?, lastSuccess: WallClockTime? = nil, lastFailure: WallClockTime? = nil,
        latency: Duration? = nil, failures: Int = 0, network: LocalNetwork? = nil, use: AddressUse = .libp2p
    ) {
        self.address = address
        self.use = use
        self.sources = sources
        self.firstSeen = firstSeen
        self.lastSeen = lastSeen
        self.expiry = expiry
        self.lastSuccess = lastSuccess
        self.lastFailure = lastFailure
        self.latency = latency
        self.failures = failures
        self.network = network
    }

    /// Whether it may be dialled by somebody who is on that network. An address that the operator typed without saying
    /// where is tried everywhere.
    public func isUsable(on network: LocalNetwork?) -> Bool {
        self.network == nil || self.network == network
    }
}

/// What is known of the Bitcoin and Lightning nodes of one peer. The dialler of libp2p never sees it.
public struct KnownNode: Hashable, Sendable {
    /// The newest record of its nodes that the peer signed.
    public let record: CertifiedNodeAddressRecord?
    /// Those that have not expired, of all networks, the best first.
    public let addresses: [KnownAddress]

    public init(record: CertifiedNodeAddressRecord?, addresses: [KnownAddress]) {
        self.record = record
        self.addresses = addresses
    }

    /// The addresses for one use that mean this peer for somebody who is on that network.
    public func addresses(for use: AddressUse, on network: LocalNetwork?) -> [KnownAddress] {
        self.addresses.filter { $0.use == use && $0.isUsable(on: network) }
    }
}

/// What is known of one peer.
public struct KnownPeer: Hashable, Sendable {
    public let id: PeerID
    /// The newest record that the peer signed.
    public let record: CertifiedPeerRecord?
    /// Those that have not expired, of all networks, the best first: dial only ``addresses(on:)``. None when all addresses
    /// of the record were left out.
    public let addresses: [KnownAddress]
    /// Its Bitcoin and Lightning nodes; nil when nothing is known of them, or nobody asked.
    public let node: KnownNode?

    public init(id: PeerID, record: CertifiedPeerRecord?, addresses: [KnownAddress], node: KnownNode? = nil) {
        self.id = id
        self.record = record
        self.addresses = addresses
        self.node = node
    }

    /// The addresses that mean this peer for somebody who is on that network.
    public func addresses(on network: LocalNetwork?) -> [KnownAddress] {
        self.addresses.filter { $0.isUsable(on: network) }
    }
}
