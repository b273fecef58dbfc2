// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetObjects

/// Why a decrypted message ends the connection.
public enum LightningMessageError: Error, Hashable, Sendable {
    /// The message ends before its fields do, or a field has an impossible form.
    case malformed(type: UInt16, ByteReaderError)
    /// The message has no type.
    case noType
    /// BOLT 1: a message of unknown even type closes the connection.
    case unknownEvenType(UInt16)
    /// The records at the end of a message are wrong.
    case badRecords(type: UInt16, TLVError)
    /// A record has not the form of its type.
    case badRecord(type: UInt16, record: UInt64)
}

/// The messages that a node without channels speaks: setup and control from BOLT 1, and Bitcoin objects.
public enum LightningMessage: Hashable, Sendable {
    /// What the sender offers; the first message in either direction.
    case initialization(InitMessage)
    /// Something is wrong, and the sender gives up.
    case error(NoticeMessage)
    /// Something is wrong, and the sender goes on.
    case warning(NoticeMessage)
    /// A request for a ``pong(length:)`` with `pongLength` bytes, itself padded with `paddingLength` bytes.
    case ping(pongLength: UInt16, paddingLength: UInt16)
    /// The reply to a ping, with `length` bytes of padding.
    case pong(length: UInt16)
    /// A message of this project's own protocol.
    case bitcoin(BitcoinMessage)
    /// A message of this project's own protocol about the stream of a number.
    case stream(number: UInt32, StreamMessage)
    /// A message that concerns the node as a whole, not this connection; its body is read elsewhere
    /// (``LightningMessage/RelayedType``).
    case relayed(RelayedType, body: ArraySlice<UInt8>)
    /// A message that is none of our business: of unknown odd type, or gossip. To be ignored.
    case other(type: UInt16)

    /// The types of the messages that a connection hands on unread.
    public enum RelayedType: UInt16, CaseIterable, Sendable {
        /// bLIP 43's `peer_alt_addr`; needs no feature.
        case alternativeAddress = 209
        /// The `directed` message of docs/protocol/directed-messages.md.
        case directed = 385
        /// The `directed_reply` message.
        case directedReply = 386
        /// BOLT 4's `onion_message`.
        case onionMessage = 513

        /// The optional bit of the feature that both sides must offer; `nil` where none is needed.
        public var featureBit: UInt16? {
            switch self {
            case .alternativeAddress: nil
            case .directed, .directedReply: DirectedMessage.featureBit
            case .onionMessage: OnionMessage.featureBit
            }
        }
    }

    /// The numbers of the types, from BOLT 1.
    public enum TypeNumber {
        /// BOLT 1's `warning`.
        public static let warning: UInt16 = 1
        /// BOLT 1's `init`.
        public static let initialization: UInt16 = 16
        /// BOLT 1's `error`.
        public static let error: UInt16 = 17
        /// BOLT 1's `ping`.
        public static let ping: UInt16 = 18
        /// BOLT 1's `pong`.
        public static let pong: UInt16 = 19
        /// BOLT 7's gossip of even type, which nodes send to every peer: known, and of no use to us.
        public static let gossip: Set<UInt16> = [256, 258, 262, 264]
    }

    /// BOLT 1: a ping that asks for this many bytes or more is not answered, because no message could hold the reply.
    public static let pongLengthLimit: UInt16 = 65532

    /// Reads one decrypted message. Bytes after the last known field are an extension, which BOLT 1 allows to ignore;
    /// only the extension of `init` is read, and must then be right.
    public init(decoding bytes: [UInt8]) throws(LightningMessageError) {
        var reader = ByteReader(bytes)
        guard let type = try? reader.bigEndian(UInt16.self) else { throw .noType }
        var features = LightningFeatures()
        do throws(ByteReaderError) {
            switch type {
            case TypeNumber.initialization:
                features = LightningFeatures(bytes: try Self.field(&reader))
                features = features.union(LightningFeatures(bytes: try Self.field(&reader)))
                self = .initialization(InitMessage(features: features))
            case TypeNumber.error:
                self = .error(NoticeMessage(channelID: try reader.bytes(32), text: try Self.field(&reader)))
            case TypeNumber.warning:
                self = .warning(NoticeMessage(channelID: try reader.bytes(32), text: try Self.field(&reader)))
            case TypeNumber.ping:
                self = .ping(
                    pongLength: try reader.bigEndian(),
                    paddingLength: UInt16(try Self.field(&reader).count)
                )
            case TypeNumber.pong:
                self = .pong(length: UInt16(try Self.field(&reader).count))
            case BitcoinMessage.TypeNumber.request, BitcoinMessage.TypeNumber.answer,
                BitcoinMessage.TypeNumber.announcement:
                self = .bitcoin(try BitcoinMessage(type: type, &reader))
            case _ where StreamTypeNumber.all.contains(type):
                let number: UInt32 = try reader.bigEndian()
                self = .stream(number: number, try StreamMessage(lightningType: type, &reader))
            default:
                self = RelayedType(rawValue: type).map { .relayed($0, body: reader.rest()) } ?? .other(type: type)
            }
        } catch {
            throw .malformed(type: type, error)
        }
        switch self {
        case .other where type.isMultiple(of: 2) && !TypeNumber.gossip.contains(type):
            throw .unknownEvenType(type)
        case .initialization:
            self = .initialization(try InitMessage(features: features, records: reader))
        case .other, .error, .warning, .ping, .pong, .bitcoin, .stream, .relayed:
            return
        }
    }

    /// The message as it is encrypted: type and fields.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        switch self {
        case .initialization(let message):
            bytes.appendBigEndian(TypeNumber.initialization)
            message.append(to: &bytes)
        case .error(let message):
            bytes.appendBigEndian(TypeNumber.error)
            message.append(to: &bytes)
        case .warning(let message):
            bytes.appendBigEndian(TypeNumber.warning)
            message.append(to: &bytes)
        case .ping(let pongLength, let paddingLength):
            bytes.appendBigEndian(TypeNumber.ping)
            bytes.appendBigEndian(pongLength)
            Self.appendField(Array(repeating: 0, count: Int(paddingLength)), to: &bytes)
        case .pong(let length):
            bytes.appendBigEndian(TypeNumber.pong)
            Self.appendField(Array(repeating: 0, count: Int(length)), to: &bytes)
        case .bitcoin(let message):
            message.append(to: &bytes)
        case .stream(let number, let message):
            message.append(number: number, to: &bytes)
        case .relayed(let type, let body):
            bytes.appendBigEndian(type.rawValue)
            bytes.append(contentsOf: body)
        case .other(let type):
            bytes.appendBigEndian(type)
        }
        return bytes
    }

    /// Bytes with their count before them in 16 bits.
    static func field(_ reader: inout ByteReader) throws(ByteReaderError) -> ArraySlice<UInt8> {
        try reader.bytes(Int(try reader.bigEndian(UInt16.self)))
    }

    static func appendField(_ field: [UInt8], to bytes: inout [UInt8]) {
        bytes.appendBigEndian(UInt16(clamping: field.count))
        bytes.append(contentsOf: field.prefix(Int(UInt16.max)))
    }
}
