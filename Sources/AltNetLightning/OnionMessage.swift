// SPDX-License-Identifier: MIT

internal import AltNetBase

/// BOLT 4's `onion_message`: an onion of any length, and the path key with which its receiver unblinds its own part.
public struct OnionMessage: Hashable, Sendable {
    /// The number of the type.
    public static let type: UInt16 = 513
    /// The optional bit of the feature `option_onion_messages` (BOLT 9); 38 is its compulsory twin.
    public static let featureBit: UInt16 = 39
    /// The size of a path key, a compressed point, in bytes.
    public static let pathKeySize = 33
    /// The longest onion: a Lightning message without type, path key and length.
    public static let maximumOnionLength = 65535 - 2 - OnionMessage.pathKeySize - 2

    /// ``pathKeySize`` bytes, unchecked.
    public let pathKey: [UInt8]
    /// The onion, unchecked; at most ``maximumOnionLength`` bytes.
    public let onion: [UInt8]

    /// Takes a path key and an onion; `nil` when either has an impossible length.
    public init?(pathKey: [UInt8], onion: [UInt8]) {
        guard pathKey.count == Self.pathKeySize, onion.count <= Self.maximumOnionLength else { return nil }
        self.pathKey = pathKey
        self.onion = onion
    }

    /// Reads what follows the type. Bytes after the onion are an extension, which BOLT 1 allows to ignore.
    public init(body: some Collection<UInt8>) throws(LightningMessageError) {
        var reader = ByteReader(Array(body))
        do throws(ByteReaderError) {
            self.pathKey = Array(try reader.bytes(Self.pathKeySize))
            self.onion = Array(try LightningMessage.field(&reader))
        } catch {
            throw .malformed(type: Self.type, error)
        }
        guard self.onion.count <= Self.maximumOnionLength else {
            throw .malformed(
                type: Self.type, .tooLong(length: UInt64(self.onion.count), limit: Self.maximumOnionLength))
        }
    }

    /// The message with its type, as it is encrypted for a connection.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(2 + Self.pathKeySize + 2 + self.onion.count)
        bytes.appendBigEndian(Self.type)
        bytes += self.pathKey
        LightningMessage.appendField(self.onion, to: &bytes)
        return bytes
    }
}
