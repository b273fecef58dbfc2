// SPDX-License-Identifier: MIT

public import AltNetBitcoin

/// The kinds of Bitcoin object that travel through AltNet, whatever the medium; and signed records of peers, which travel
/// with them.
public enum ObjectKind: String, CaseIterable, Hashable, Sendable, Codable {
    case headers, filterHeaders, filters, blocks, transactions, addresses, tips, peerRecords
}

/// What one side of a link asks of the other. A request says what is wanted, never how it should travel.
public enum ObjectRequest: Hashable, Sendable {
    /// Headers after the first hash of the locator that the other side's best chain holds.
    ///
    /// `heightHint` is the height of the locator's first hash, for media that index by height; it is a hint and may be
    /// wrong. The answer has at most `limit` headers and ends at `stop` unless that is ``BlockHash/zero``.
    case headers(locator: [BlockHash], stop: BlockHash, heightHint: UInt32, limit: UInt32)
    /// BIP 157 filter headers of one filter type, from a height to the block `stop`.
    case filterHeaders(type: UInt8, start: UInt32, stop: BlockHash)
    /// BIP 157 filters of one filter type, from a height to the block `stop`.
    case filters(type: UInt8, start: UInt32, stop: BlockHash)
    /// One block by its hash.
    case block(BlockHash)
    /// One transaction by its identifier (`txid`).
    case transaction(BlockHash)
    /// Addresses of other nodes, at most `limit`.
    case addresses(limit: UInt32)
    /// Sealed peer records, at most `limit`: of the peers named by their multihashes, or of any where none is named.
    case peerRecords(of: [[UInt8]], limit: UInt32)

    /// The most peer records in one request and in one answer: what fits a few Lightning messages.
    public static let maximumPeerRecords = P2PMessage.maximumPeerRecords
    /// The longest peer id, in bytes.
    public static let maximumPeerIDSize = P2PMessage.maximumPeerIDSize
    /// The longest sealed record, in bytes.
    public static let maximumPeerRecordSize = P2PMessage.maximumPeerRecordSize
    /// The most hashes in a locator: Bitcoin Core's MAX_LOCATOR_SZ.
    public static let maximumLocatorLength = 101
    /// The most headers in one answer between AltNet nodes: 640 KiB, small beside a block and large enough that the
    /// round trip no longer counts. Media with a smaller limit of their own answer with less.
    public static let maximumHeaders: UInt32 = 8192

    public var kind: ObjectKind {
        switch self {
        case .headers: .headers
        case .filterHeaders: .filterHeaders
        case .filters: .filters
        case .block: .blocks
        case .transaction: .transactions
        case .addresses: .addresses
        case .peerRecords: .peerRecords
        }
    }
}

/// Why a request is not answered with an object.
public enum ObjectRefusal: UInt8, Hashable, Sendable, Codable {
    /// The other side does not have it.
    case notFound = 1
    /// The other side does not serve this kind of object.
    case unsupported = 2
    /// Too many requests; ask again later.
    case busy = 3
    /// The request breaks a limit or makes no sense.
    case invalid = 4
    /// The link closed, or the answer did not come in time.
    case unavailable = 5
}

/// What comes back: raw consensus bytes, which nobody has checked yet.
public enum ObjectAnswer: Hashable, Sendable {
    /// Concatenated 80-byte headers, each the successor of the one before. None means: nothing after the locator.
    case headers([UInt8])
    /// The objects in the order asked for, each in consensus (BIP 158 for filters) encoding.
    case objects(ObjectKind, [[UInt8]])
    /// Addresses of nodes.
    case addresses([NodeAddress])
    case refused(ObjectRefusal)
}

/// What one side of a link tells the other unasked.
public enum ObjectAnnouncement: Hashable, Sendable {
    /// The header at the tip of the sender's best chain, with the height that the sender gives it; both unchecked.
    case tip(header: BlockHeader, height: UInt32)
    /// A transaction in consensus encoding.
    case transaction([UInt8])
    /// Addresses of nodes that the sender heard of.
    case addresses([NodeAddress])
    /// A peer's sealed record; nobody has checked it yet.
    case peerRecord([UInt8])

    public var kind: ObjectKind {
        switch self {
        case .tip: .tips
        case .transaction: .transactions
        case .addresses: .addresses
        case .peerRecord: .peerRecords
        }
    }
}
