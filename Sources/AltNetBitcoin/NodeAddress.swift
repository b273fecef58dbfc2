// SPDX-License-Identifier: MIT

/// A node's address as BIP 155 (`addrv2`) carries it.
public struct NodeAddress: Hashable, Sendable {
    /// BIP 155 network identifiers.
    public enum Medium: UInt8, Hashable, Sendable, CaseIterable {
        case ipv4 = 1, ipv6 = 2, torV2 = 3, torV3 = 4, i2p = 5, cjdns = 6, yggdrasil = 7

        /// The only length of address that BIP 155 allows for this network, in bytes.
        public var addressLength: Int {
            switch self {
            case .ipv4: 4
            case .torV2: 10
            case .ipv6, .cjdns, .yggdrasil: 16
            case .torV3, .i2p: 32
            }
        }
    }

    /// BIP 155: an address longer than this makes the whole message invalid.
    public static let maximumAddressLength = 512

    /// When somebody last heard from the node, in seconds since 1970; unchecked.
    public var lastSeen: UInt32
    /// The service bits that the node is said to offer.
    public var services: UInt64
    /// The BIP 155 network identifier; values without a ``Medium`` are kept, as BIP 155 asks for.
    public var networkID: UInt8
    /// The address in the network's own encoding.
    public var address: [UInt8]
    /// The TCP port; 0 where the network has none.
    public var port: UInt16

    public init(lastSeen: UInt32, services: UInt64, networkID: UInt8, address: [UInt8], port: UInt16) {
        self.lastSeen = lastSeen
        self.services = services
        self.networkID = networkID
        self.address = address
        self.port = port
    }

    /// The network, where it is one that we know.
    public var medium: Medium? { Medium(rawValue: self.networkID) }
}
