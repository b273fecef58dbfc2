// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

// What we read of Bitcoin Core's answers. Fields that are not here are not read, so that new ones do no harm; those
// that are here have been in every version since 0.21 unless they are optional.

/// `getblockchaininfo`.
struct CoreChainInfo: Decodable, Sendable {
    let chain: String
    let blocks: UInt32
    let headers: UInt32
    let bestblockhash: DecodedHash
    let initialblockdownload: Bool
}

/// `getnetworkinfo`.
struct CoreNetworkInfo: Decodable, Sendable {
    struct Network: Decodable, Sendable {
        let name: String
        /// `host:port`; empty without one.
        let proxy: String
    }

    let subversion: String
    let networks: [Network]?

    /// The networks whose nodes see the node's own address. None where the node does not tell.
    var directNetworks: Set<String> {
        Set((self.networks ?? []).lazy.filter { $0.proxy.isEmpty && ["ipv4", "ipv6"].contains($0.name) }.map(\.name))
    }
}

/// `getblockheader` with details.
struct CoreHeaderInfo: Decodable, Sendable {
    let height: UInt32
    /// −1 for a block that is not in the active chain.
    let confirmations: Int64
}

/// An entry of `getzmqnotifications`.
struct CoreZMQNotification: Decodable, Sendable {
    let type: String
    let address: String
}

/// An entry of `getpeerinfo`.
struct CorePeer: Decodable, Sendable {
    let id: Int64
    let addr: String
    let inbound: Bool
    /// Absent in versions before 0.21.
    let connectionType: String?
    let network: String?
    let timeoffset: Int64?
    let lastBlock: Int64?
    /// −1 while it is not known.
    let syncedHeaders: Int64?

    private enum CodingKeys: String, CodingKey {
        case id, addr, inbound, network, timeoffset
        case connectionType = "connection_type"
        case lastBlock = "last_block"
        case syncedHeaders = "synced_headers"
    }

    var peer: NodePeer {
        NodePeer(
            id: self.id, address: UntrustedText(self.addr).description, isInbound: self.inbound,
            connectionType: UntrustedText(self.connectionType ?? "").description,
            network: UntrustedText(self.network ?? "").description, clockOffset: self.timeoffset ?? 0,
            lastBlock: self.lastBlock ?? 0, syncedHeaders: self.syncedHeaders.flatMap { UInt32(exactly: $0) })
    }
}

/// An entry of `getchaintips`.
struct CoreChainTip: Decodable, Sendable {
    let height: UInt32
    let hash: DecodedHash
    let branchlen: UInt32
    let status: String
}

/// The first elements of a list, and no more of them, however many there are.
struct FirstElements<Element: Decodable & Sendable, Limit: ElementLimit>: Decodable, Sendable {
    let elements: [Element]

    init(from decoder: any Decoder) throws {
        var container = try decoder.unkeyedContainer()
        var elements: [Element] = []
        while !container.isAtEnd, elements.count < Limit.count {
            elements.append(try container.decode(Element.self))
        }
        self.elements = elements
    }
}

protocol ElementLimit {
    static var count: Int { get }
}

enum PeerLimit: ElementLimit {
    static let count = NodeState.maximumPeers
}

/// Every stale block of years is a tip; invalid ones are few among them. The bound in bytes of the answer comes first.
enum TipLimit: ElementLimit {
    static let count = 10_000
}

/// Nobody publishes on more than a handful.
enum NotificationLimit: ElementLimit {
    static let count = 100
}

/// A hash as Core writes it.
struct DecodedHash: Decodable, Hashable, Sendable {
    let hash: BlockHash

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let hash = BlockHash(hex: try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not 64 hexadecimal digits")
        }
        self.hash = hash
    }
}

/// Bytes as Core writes them.
struct DecodedBytes: Decodable, Hashable, Sendable {
    let bytes: [UInt8]

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let bytes = Hex.decode(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not hexadecimal digits")
        }
        self.bytes = bytes
    }
}

/// A result that nobody looks at.
struct Ignored: Decodable, Sendable {
    init(from decoder: any Decoder) throws {}
}
