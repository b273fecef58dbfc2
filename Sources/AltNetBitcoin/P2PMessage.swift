// SPDX-License-Identifier: MIT

/// The messages of Bitcoin's peer-to-peer protocol that AltNet reads or writes.
///
/// Payloads are read strictly: nothing may be missing and nothing may follow the last field, except in `version` and
/// `ping`, where Bitcoin Core's own history has added fields at the end. (Core itself ignores what follows in every
/// message; a peer that sends it elsewhere speaks something that we do not know.)
public enum P2PMessage: Hashable, Sendable {
    /// The first message of each side.
    case version(P2PVersion)
    /// "I have read your version": the end of the handshake for its sender.
    case verack
    /// BIP 339.
    case wtxidrelay
    /// BIP 155.
    case sendaddrv2
    /// BIP 130.
    case sendheaders
    /// BIP 152: whether compact blocks should be pushed unasked, and their version.
    case sendcmpct(highBandwidth: Bool, version: UInt64)
    /// BIP 133: the lowest fee rate of interest, in satoshis per 1000 virtual bytes.
    case feefilter(Int64)
    /// BIP 31.
    case ping(UInt64)
    /// BIP 31.
    case pong(UInt64)
    /// At most ``maximumLocatorLength`` hashes from new to old; `stop` is ``BlockHash/zero`` for "as many as fit".
    case getheaders(locator: [BlockHash], stop: BlockHash)
    /// At most ``maximumHeaders`` concatenated headers of 80 bytes; on the wire, a zero follows each.
    case headers([UInt8])
    /// What the sender has; at most ``maximumInventory`` entries.
    case inv([P2PInventory])
    /// What the sender wants; at most ``maximumInventory`` entries.
    case getdata([P2PInventory])
    /// What the sender was asked for and does not have; at most ``maximumInventory`` entries.
    case notfound([P2PInventory])
    /// At most ``maximumAddresses`` of IPv4, IPv6 and old onion services. Others do not fit and are left out on
    /// sending.
    case addr([NodeAddress])
    /// BIP 155: at most ``maximumAddresses`` of any network.
    case addrv2([NodeAddress])
    /// Asks for ``addr(_:)`` or ``addrv2(_:)``.
    case getaddr
    /// A block in consensus encoding, at least a header long; otherwise unchecked.
    case block([UInt8])
    /// A transaction in consensus encoding; unchecked.
    case tx([UInt8])
    /// BIP 434: what the sender can do beside the protocol of its version; between `version` and `verack`.
    case feature(P2PFeature)
    /// Asks for ``peerrecs(_:)`` of the peers named, or of any where none is; docs/protocol/records-over-bitcoin.md. At
    /// most ``maximumPeerRecords`` ids of at most ``maximumPeerIDSize`` bytes, and a limit of 1 to
    /// ``maximumPeerRecords``.
    case getpeerrecs(of: [[UInt8]], limit: UInt8)
    /// The answer: at most ``maximumPeerRecords`` sealed records of at most ``maximumPeerRecordSize`` bytes, unchecked.
    case peerrecs([[UInt8]])
    /// A sealed record that nobody asked for, unchecked.
    case newpeerrec([UInt8])
    /// A message that we have no use for: its command, printable ASCII, and the size of its payload in bytes. The
    /// payload is not kept; encoding it again gives as many zeros.
    case unknown(command: String, size: Int)

    /// The most hashes in a locator: Bitcoin Core's MAX_LOCATOR_SZ.
    public static let maximumLocatorLength = 101
    /// The most headers in one message: Bitcoin Core's limit, which is also what tells it that more are to come.
    public static let maximumHeaders = 2000
    /// The most entries in `inv`, `getdata` and `notfound`: Bitcoin Core's MAX_INV_SZ.
    public static let maximumInventory = 50_000
    /// The most addresses in one message: Bitcoin Core's MAX_ADDR_TO_SEND, also BIP 155.
    public static let maximumAddresses = 1000
    /// The most peer records in one message, and the most peers of whom they may be asked: what fits a few messages of
    /// Lightning, over which records travel in the same portions.
    public static let maximumPeerRecords = 32
    /// The longest peer id, in bytes.
    public static let maximumPeerIDSize = 44
    /// The longest sealed record, in bytes.
    public static let maximumPeerRecordSize = 8_192

    /// The name on the wire.
    public var command: String {
        switch self {
        case .version: "version"
        case .verack: "verack"
        case .wtxidrelay: "wtxidrelay"
        case .sendaddrv2: "sendaddrv2"
        case .sendheaders: "sendheaders"
        case .sendcmpct: "sendcmpct"
        case .feefilter: "feefilter"
        case .ping: "ping"
        case .pong: "pong"
        case .getheaders: "getheaders"
        case .headers: "headers"
        case .inv: "inv"
        case .getdata: "getdata"
        case .notfound: "notfound"
        case .addr: "addr"
        case .addrv2: "addrv2"
        case .getaddr: "getaddr"
        case .block: "block"
        case .tx: "tx"
        case .feature: "feature"
        case .getpeerrecs: "getpeerrecs"
        case .peerrecs: "peerrecs"
        case .newpeerrec: "newpeerrec"
        case .unknown(let command, _): command
        }
    }
}

/// BIP 434: the name of a feature, and what its specification wants to be told.
public struct P2PFeature: Hashable, Sendable {
    /// How long a name may be, in bytes.
    public static let nameLengths = 4...80
    /// The most that a feature may be told, in bytes.
    public static let maximumDataLength = 512
    /// What two nodes tell each other that exchange peer records; docs/protocol/records-over-bitcoin.md.
    public static let peerRecords = P2PFeature(name: Array("altnet/peer-records/1".utf8))

    /// Should be printable ASCII, and need not be.
    public let name: [UInt8]
    public let data: [UInt8]

    public init(name: [UInt8], data: [UInt8] = []) {
        self.name = name
        self.data = data
    }
}

/// A reference to a block or a transaction in `inv`, `getdata` and `notfound`.
public struct P2PInventory: Hashable, Sendable {
    /// Bits of the type that say how to encode, not what: MSG_WITNESS_FLAG of BIP 144.
    static let encodingFlags: UInt32 = 1 << 30

    /// A block without its witnesses in `getdata`; any block in `inv`.
    public static let block: UInt32 = 2
    /// BIP 144: a block with its witnesses. The way to ask for one.
    public static let witnessBlock: UInt32 = Self.block | Self.encodingFlags

    /// What is referred to; unknown values are kept.
    public var type: UInt32
    /// The hash of the block or transaction.
    public var hash: BlockHash

    /// One reference.
    public init(type: UInt32, hash: BlockHash) {
        self.type = type
        self.hash = hash
    }

    /// Whether this is a block, with or without witnesses.
    public var isBlock: Bool { self.type & ~Self.encodingFlags == Self.block }
}
