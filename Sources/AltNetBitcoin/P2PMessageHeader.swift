// SPDX-License-Identifier: MIT

public import AltNetBase

/// The 24 bytes before the payload of every message of the unencrypted ("version 1") transport:
/// magic, command, length, checksum.
public struct P2PMessageHeader: Hashable, Sendable {
    /// The size of every header on the wire, in bytes.
    public static let size = 24
    /// The length of the network's magic at the start, in bytes.
    public static let magicLength = 4
    /// The length of the command field, in bytes; shorter commands are filled up with zeros.
    public static let commandLength = 12
    /// A payload longer than this ends the connection: Bitcoin Core's MAX_PROTOCOL_MESSAGE_LENGTH, a little more than
    /// the largest block. In bytes.
    public static let maximumPayloadLength = 4_000_000

    /// What kind of message follows: at most twelve characters of printable ASCII.
    public let command: String
    /// The length of the payload in bytes, as declared; unchecked.
    public let length: UInt32
    /// The first four bytes of the payload's double SHA-256, as declared; unchecked.
    public let checksum: UInt32

    /// The header of a payload that we send. A command longer than twelve bytes is cut.
    init(command: String, payload: [UInt8]) {
        self.command = String(decoding: command.utf8.prefix(Self.commandLength), as: UTF8.self)
        self.length = UInt32(clamping: payload.count)
        self.checksum = Self.checksum(of: payload)
    }

    /// Reads the 20 bytes after the magic.
    ///
    /// Throws ``P2PMessageError/malformedCommand(_:)`` when the command is empty, has a byte that is no printable
    /// ASCII, or something other than zeros after the first zero.
    init(afterMagic reader: inout ByteReader) throws(P2PMessageError) {
        let field: ArraySlice<UInt8>
        do {
            field = try reader.bytes(Self.commandLength)
            self.length = try reader.littleEndian()
            self.checksum = try reader.littleEndian()
        } catch {
            // Only if a caller passes fewer than 20 bytes.
            throw .malformedPayload(command: "", .bytes(error))
        }
        let name = field.prefix { $0 != 0 }
        guard !name.isEmpty, name.allSatisfy({ (0x20...0x7e).contains($0) }),
            field.dropFirst(name.count).allSatisfy({ $0 == 0 })
        else { throw .malformedCommand(Array(field)) }
        self.command = String(decoding: name, as: UTF8.self)
    }

    /// Appends magic and header, 24 bytes.
    func append(to bytes: inout [UInt8], network: Network) {
        bytes.append(contentsOf: network.magic)
        let name = self.command.utf8.prefix(Self.commandLength)
        bytes.append(contentsOf: name)
        bytes.append(contentsOf: repeatElement(0, count: Self.commandLength - name.count))
        bytes.appendLittleEndian(self.length)
        bytes.appendLittleEndian(self.checksum)
    }

    /// The first four bytes of the double SHA-256, least significant first.
    static func checksum(of payload: [UInt8]) -> UInt32 {
        UInt32(truncatingIfNeeded: DoubleSHA256.hash(payload).number.limbs.0)
    }
}

/// Why a stream of bytes is not a stream of P2P messages. Every one of them is final: what follows cannot be trusted
/// to be cut into messages rightly.
public enum P2PMessageError: Error, Hashable, Sendable {
    /// The first four bytes of a message are not those of our network. They are another network's, another protocol's,
    /// or the public key with which BIP 324 begins.
    case wrongMagic([UInt8])
    /// The declared length of the payload is above the limit, in bytes.
    case payloadTooLong(command: String, length: UInt32, limit: Int)
    /// The command field holds something other than printable ASCII followed by zeros.
    case malformedCommand([UInt8])
    /// The checksum does not fit the payload.
    case wrongChecksum(command: String)
    /// The payload of a message that we know breaks its format.
    case malformedPayload(command: String, P2PPayloadError)
}

/// Why a payload breaks the format of its message.
public enum P2PPayloadError: Error, Hashable, Sendable {
    /// A field is cut off, too long or not minimal, or bytes remain after the last field.
    case bytes(ByteReaderError)
    /// A header in a `headers` message is followed by a transaction count other than zero.
    case headerWithTransactions(index: Int)
    /// BIP 155: the network is one that we know and its addresses have another length, in bytes.
    case wrongAddressLength(networkID: UInt8, length: Int)
    /// BIP 152: a field that MUST be 0 or 1 is something else.
    case notABoolean(UInt8)
    /// A length or a number is outside of what the message allows.
    case outOfRange(UInt64, expected: ClosedRange<UInt64>)
}
