// SPDX-License-Identifier: MIT

internal import AltNetBase

/// `directed`: an onion for the receiver to peel (docs/protocol/directed-messages.md).
public struct DirectedMessage: Hashable, Sendable {
    /// The number of the type. Odd, so that nodes which do not know it ignore it.
    public static let type: UInt16 = 385
    /// The optional bit of the feature `option_directed_messages`; 384 is its compulsory twin.
    public static let featureBit: UInt16 = 385
    /// The size of the onion in bytes, that of BOLT 4's payments.
    public static let onionSize = 1366

    /// ``onionSize`` bytes, unchecked.
    public let onion: [UInt8]

    /// Takes an onion; `nil` for any other size than ``onionSize``.
    public init?(onion: [UInt8]) {
        guard onion.count == Self.onionSize else { return nil }
        self.onion = onion
    }

    /// Reads what follows the type. Bytes after the onion are an extension, which BOLT 1 allows to ignore.
    public init(body: some Collection<UInt8>) throws(LightningMessageError) {
        guard body.count >= Self.onionSize else {
            throw .malformed(type: Self.type, .truncated(needed: Self.onionSize, available: body.count))
        }
        self.onion = Array(body.prefix(Self.onionSize))
    }

    /// The message with its type, as it is encrypted for a connection.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(2 + Self.onionSize)
        bytes.appendBigEndian(Self.type)
        bytes += self.onion
        return bytes
    }
}

/// `directed_reply`: what comes back for an onion, hop by hop (docs/protocol/directed-messages.md).
public struct DirectedReply: Hashable, Sendable {
    /// The number of the type. Even in the draft: only for peers that offer ``DirectedMessage/featureBit``.
    public static let type: UInt16 = 386
    /// The longest reply: a Lightning message without type, hash and length.
    public static let maximumReplyLength = 65535 - 2 - 32 - 2

    /// The SHA-256 of the onion that the receiver of this message had sent to its sender, 32 bytes.
    public let onionHash: [UInt8]
    /// The reply, encrypted by each node on its way; at most ``maximumReplyLength`` bytes.
    public let reply: [UInt8]

    /// Takes a hash and a reply; `nil` for any other size of the hash than 32 bytes, and for a reply that is too long.
    public init?(onionHash: [UInt8], reply: [UInt8]) {
        guard onionHash.count == 32, reply.count <= Self.maximumReplyLength else { return nil }
        self.onionHash = onionHash
        self.reply = reply
    }

    /// Reads what follows the type. Bytes after the reply are an extension, which BOLT 1 allows to ignore.
    public init(body: some Collection<UInt8>) throws(LightningMessageError) {
        var reader = ByteReader(Array(body))
        do throws(ByteReaderError) {
            self.onionHash = Array(try reader.bytes(32))
            self.reply = Array(try LightningMessage.field(&reader))
        } catch {
            throw .malformed(type: Self.type, error)
        }
        guard self.reply.count <= Self.maximumReplyLength else {
            throw .malformed(
                type: Self.type, .tooLong(length: UInt64(self.reply.count), limit: Self.maximumReplyLength))
        }
    }

    /// The message with its type, as it is encrypted for a connection.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(2 + 32 + 2 + self.reply.count)
        bytes.appendBigEndian(Self.type)
        bytes += self.onionHash
        LightningMessage.appendField(self.reply, to: &bytes)
        return bytes
    }
}
