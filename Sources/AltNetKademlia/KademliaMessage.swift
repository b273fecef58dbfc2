// SPDX-License-Identifier: MIT

public import AltNetPeerRecords

/// A request or an answer of `/ipfs/kad/1.0.0` (libp2p's Kademlia DHT specification, "RPC messages").
///
/// Besides the fields of the specification it carries signed peer records, in the fields that py-libp2p uses:
/// ``Peer/signedRecord`` is field 4 of a peer, ``senderRecord`` field 11 of the message.
public struct KademliaMessage: Hashable, Sendable {
    /// The largest message that is read or written, in bytes without the length before it.
    ///
    /// An answer has at most 20 closer peers and 20 providers. With records of 20 addresses, each again as a plain
    /// address, that is some 100 KiB, and our largest value is 8 KiB. Others allow up to 4 MiB, because they store
    /// values of 1 MiB, which we neither store nor ask for.
    public static let maximumSize = 256 * 1_024
    /// The longest key, in bytes: what go-libp2p and py-libp2p look up.
    public static let maximumKeySize = 128
    /// The most peers in either list. Others answer with 20 closer peers, and with more only if there are many
    /// providers.
    public static let maximumPeers = 128
    /// The most addresses of one peer: as many as a signed record may have.
    public static let maximumAddresses = PeerRecord.maximumAddresses

    /// What is asked for, or was asked for.
    public enum Kind: UInt64, Hashable, Sendable, CaseIterable {
        case putValue = 0
        case getValue = 1
        case addProvider = 2
        case getProviders = 3
        case findNode = 4
        /// Deprecated: answered, never sent.
        case ping = 5
    }

    /// What the sender knows of its way to a peer. A hint; nothing is decided by it.
    public enum Connection: UInt64, Hashable, Sendable {
        case notConnected = 0
        case connected = 1
        case canConnect = 2
        case cannotConnect = 3
    }

    /// A peer that a message tells of.
    public struct Peer: Hashable, Sendable {
        public var id: PeerID
        public var addresses: [Multiaddress]
        public var connection: Connection
        /// A sealed peer record, not verified here. Empty ones count as none.
        public var signedRecord: [UInt8]?

        public init(
            id: PeerID, addresses: [Multiaddress] = [], connection: Connection = .notConnected,
            signedRecord: [UInt8]? = nil
        ) {
            self.id = id
            self.addresses = addresses
            self.connection = connection
            self.signedRecord = signedRecord
        }
    }

    /// A value with its key.
    public struct Record: Hashable, Sendable {
        public var key: [UInt8]
        public var value: [UInt8]
        /// When the answering node received it, in RFC 3339's form. We neither set nor believe it.
        public var timeReceived: [UInt8]
        /// Who put the value there and its signature: fields of py-libp2p. Neither kept nor passed on; what makes a
        /// value valid is the value itself.
        public var author: [UInt8]
        public var signature: [UInt8]

        public init(
            key: [UInt8], value: [UInt8], timeReceived: [UInt8] = [], author: [UInt8] = [], signature: [UInt8] = []
        ) {
            self.key = key
            self.value = value
            self.timeReceived = timeReceived
            self.author = author
            self.signature = signature
        }
    }

    /// What was left out of a message that was read, because it could not be understood or is more than we take. The
    /// rest stays usable: one bad address must not hide twenty peers, and an honest node that knows many providers, or
    /// that others have told too much, is no bad node.
    public struct Omissions: Hashable, Sendable {
        /// Peers without a peer id that we understand.
        public var peers = 0
        /// Addresses that are none.
        public var addresses = 0
        /// Peers beyond ``KademliaMessage/maximumPeers``, addresses beyond ``KademliaMessage/maximumAddresses``, and
        /// records of peers that are too large.
        public var excess = 0

        public init() {}
    }

    public var kind: Kind
    public var key: [UInt8]
    public var record: Record?
    public var closerPeers: [Peer]
    public var providers: [Peer]
    /// The sender's own sealed peer record, not verified here.
    public var senderRecord: [UInt8]?
    /// Only of messages that were read.
    public var omissions = Omissions()

    public init(
        kind: Kind, key: [UInt8] = [], record: Record? = nil, closerPeers: [Peer] = [], providers: [Peer] = [],
        senderRecord: [UInt8]? = nil
    ) {
        self.kind = kind
        self.key = key
        self.record = record
        self.closerPeers = closerPeers
        self.providers = providers
        self.senderRecord = senderRecord
    }
}

/// Why bytes are no Kademlia message that we take.
public enum KademliaMessageError: Error, Hashable, Sendable, CustomStringConvertible {
    case tooLarge(Int)
    case malformed(ProtobufError)
    /// A field that is known has a value of another type.
    case wrongType(String)
    /// A field that a message has once comes again.
    case repeated(String)
    case unknownKind(UInt64)
    case tooLong(String, Int)

    public var description: String {
        switch self {
        case .tooLarge(let size): "a message of \(size) bytes is larger than \(KademliaMessage.maximumSize)"
        case .malformed(let error): error.description
        case .wrongType(let field): "the field \(field) has a value of another type"
        case .repeated(let field): "the field \(field) comes more than once"
        case .unknownKind(let kind): "messages of type \(kind) do not exist"
        case .tooLong(let field, let size): "the field \(field) has \(size) bytes, which is too many"
        }
    }
}
