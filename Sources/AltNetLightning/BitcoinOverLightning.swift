// SPDX-License-Identifier: MIT

public import AltNetBase
internal import AltNetBitcoin
public import AltNetObjects

/// Numbers and limits of docs/protocol/bitcoin-over-lightning.md.
public enum BitcoinOverLightning {
    /// The optional feature bit of nodes that speak this protocol; 444 is its compulsory twin.
    public static let featureBit: UInt16 = 445

    /// The most requests that may be open in one direction: enough to hide a round trip of seconds, few enough that
    /// one link cannot occupy a node.
    public static let maximumOpenRequests = 8
    /// The longest block, transaction or list of filters, in bytes: consensus allows no block of more than 4,000,000
    /// weight units, and a byte weighs at least one.
    public static let maximumObjectLength = 4_000_000
    /// The longest body of an answer: one object of the largest size with its kind and length.
    public static let maximumAnswerLength = BitcoinOverLightning.maximumObjectLength + 6
    /// What the answers to all open requests together may take, in bytes: four of the largest.
    public static let maximumPendingAnswers = 4 * BitcoinOverLightning.maximumAnswerLength
    /// The longest transaction that is announced, in bytes: nodes relay none of more than 400,000 weight units.
    public static let maximumAnnouncedTransaction = 400_000
    /// The longest body of an announcement: the largest transaction with its kind.
    public static let maximumAnnouncementLength = BitcoinOverLightning.maximumAnnouncedTransaction + 1
    /// The most addresses in one answer or announcement, as in BIP 155.
    public static let maximumAddresses = 1000
    /// The most filter headers in one answer, as in BIP 157.
    public static let maximumFilterHeaders = 2000
    /// The most filters in one answer, as in BIP 157.
    public static let maximumFilters = 1000
    /// The shortest transaction, in bytes: version, one input and one output without scripts, lock time.
    public static let minimumTransaction = 60
    /// A filter header is a hash.
    static let filterHeaderLength = 32

    /// Announcements that may be sent at once after a silence, and that trickle back every second. Tips come every ten
    /// minutes; the rest is room for relayed transactions and addresses. A receiver bears twice as much, because the
    /// network bunches what the sender spread.
    public static let announcements = (burst: 32, perSecond: 1)
    /// Requests that may be sent at once after a silence, and that trickle back every second: enough to fetch all
    /// headers since 2009 in one go. A receiver bears twice as much.
    public static let requests = (burst: 256, perSecond: 16)
    /// Streams that may be opened at once after a silence, and that trickle back every second: a node that dials again
    /// and again takes longer than that. A receiver bears twice as much.
    public static let streamOpenings = (burst: 16, perSecond: 1)
    /// The bit of ``InitMessage/RecordNumber/servedObjects`` that says that streams are taken.
    static let streamsBit: UInt16 = 8
}

/// Why a body cannot be read. Each of these ends the connection.
public enum BitcoinBodyError: Error, Hashable, Sendable {
    /// A field is cut off, or bytes are left.
    case malformed(ByteReaderError)
    /// The headers of an answer cannot be rebuilt.
    case badHeaders(HeaderCompressionError)
    /// A field has a value that it must not have.
    case outOfRange(String)
    /// The answer is not of the kind that was asked for.
    case wrongKind(UInt8)
}

extension ObjectKind {
    /// The number of the kind on the wire, and its bit in the `served_objects` record.
    public var lightningNumber: UInt8 {
        switch self {
        case .headers: 1
        case .filterHeaders: 2
        case .filters: 3
        case .blocks: 4
        case .transactions: 5
        case .addresses: 6
        case .tips: 7
        // Bit 8 of the served objects says that streams are taken.
        case .peerRecords: 9
        }
    }

    /// The kind of a number; `nil` when the number has no meaning here.
    public init?(lightningNumber: UInt8) {
        guard let kind = Self.allCases.first(where: { $0.lightningNumber == lightningNumber }) else { return nil }
        self = kind
    }
}

extension ByteReader {
    /// Takes 32 bytes as a hash.
    mutating func hash() throws(ByteReaderError) -> BlockHash {
        let bytes = try self.bytes(32)
        return bytes.withUnsafeBytes { BlockHash(unaligned: $0) }
    }

    /// Takes addresses until the end.
    mutating func addresses() throws(ByteReaderError) -> [NodeAddress] {
        var addresses: [NodeAddress] = []
        while !self.isAtEnd {
            guard addresses.count < BitcoinOverLightning.maximumAddresses else {
                throw .tooLong(
                    length: UInt64(addresses.count + 1),
                    limit: BitcoinOverLightning.maximumAddresses
                )
            }
            let lastSeen: UInt32 = try self.bigEndian()
            let services: UInt64 = try self.bigEndian()
            let networkID: UInt8 = try self.bigEndian()
            let port: UInt16 = try self.bigEndian()
            let length = Int(try self.bigEndian(UInt16.self))
            guard length <= NodeAddress.maximumAddressLength else {
                throw .tooLong(length: UInt64(length), limit: NodeAddress.maximumAddressLength)
            }
            let address = NodeAddress(
                lastSeen: lastSeen,
                services: services,
                networkID: networkID,
                address: Array(try self.bytes(length)),
                port: port
            )
            addresses.append(address)
        }
        return addresses
    }
}

extension [UInt8] {
    /// Appends addresses, without those that are too long to be sent.
    mutating func append(_ addresses: some Sequence<NodeAddress>) {
        for address in addresses where address.address.count <= NodeAddress.maximumAddressLength {
            self.appendBigEndian(address.lastSeen)
            self.appendBigEndian(address.services)
            self.append(address.networkID)
            self.appendBigEndian(address.port)
            self.appendBigEndian(UInt16(address.address.count))
            self.append(contentsOf: address.address)
        }
    }
}
