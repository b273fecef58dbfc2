// SPDX-License-Identifier: MIT

internal import AltNetBase

/// bLIP 43's `peer_alt_addr`: at which other address the sender can be reached by the receiver, or that it cannot any
/// more.
///
/// `[32*byte:channel_id] [byte:addr_len] [addr_len*byte:addr]`. Bytes after it are an extension, which BOLT 1 allows to
/// ignore. No description shows the address.
public struct PeerAltAddr: Hashable, Sendable {
    /// The number of the message's type.
    public static let type: UInt16 = 209
    /// The size of a channel's identity, in bytes.
    public static let channelIDSize = 32

    /// The channel that the two nodes have; never all zero.
    public let channelID: [UInt8]
    /// The field as it travels, unread; empty to clear. ``reading()`` reads it.
    public let address: [UInt8]

    /// A message that gives an address, or clears what was given with `nil`.
    ///
    /// - Throws: ``PeerAltAddrError`` when the channel's identity is all zero or not of 32 bytes.
    public init(channelID: [UInt8], address: LightningAddress?) throws(PeerAltAddrError) {
        guard channelID.count == Self.channelIDSize else { throw .badChannelID(bytes: channelID.count) }
        guard channelID.contains(where: { $0 != 0 }) else { throw .zeroChannelID }
        self.channelID = channelID
        self.address = address?.descriptor ?? []
    }

    /// Reads a message without its type.
    public init(body: some Collection<UInt8>) throws(PeerAltAddrError) {
        var reader = ByteReader(Array(body))
        do throws(ByteReaderError) {
            self.channelID = Array(try reader.bytes(Self.channelIDSize))
            self.address = Array(try reader.bytes(Int(try reader.bigEndian(UInt8.self))))
        } catch {
            throw .truncated
        }
        guard self.channelID.contains(where: { $0 != 0 }) else { throw .zeroChannelID }
    }

    /// The address, or `nil` when the message clears what was given.
    public func reading() throws(LightningAddressError) -> LightningAddress? {
        self.address.isEmpty ? nil : try LightningAddress(decoding: self.address)
    }

    /// The message as it is encrypted: type and fields.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendBigEndian(Self.type)
        bytes += self.channelID
        bytes.append(UInt8(clamping: self.address.count))
        bytes += self.address
        return bytes
    }
}

extension PeerAltAddr: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Never the address itself: only whether there is one.
    public var description: String { "PeerAltAddr(\(self.address.isEmpty ? "clear" : "redacted"))" }

    /// Never the address itself.
    public var debugDescription: String { self.description }

    /// Shows no children, so that `dump` cannot print the address either.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Why a `peer_alt_addr` cannot be used.
public enum PeerAltAddrError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The message ends before its last field does.
    case truncated
    /// The channel's identity is all zero, which BOLT 1 keeps for "every channel".
    case zeroChannelID
    /// A channel's identity has not 32 bytes.
    case badChannelID(bytes: Int)

    /// What is wrong, as a fragment of a sentence.
    public var description: String {
        switch self {
        case .truncated: "the message is cut off"
        case .zeroChannelID: "its channel_id is all zero"
        case .badChannelID(let bytes): "a channel_id has \(bytes) bytes, and 32 are needed"
        }
    }
}
