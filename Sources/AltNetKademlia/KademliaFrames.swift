// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// Cuts what a stream brings into messages: each has its length before it, as an unsigned varint.
public struct KademliaFrames: Sendable {
    private var buffer: [UInt8] = []

    public init() {}

    /// Whether the stream stands between two messages, where it may end.
    public var isBetweenMessages: Bool { self.buffer.isEmpty }

    /// Takes what came; never more than one message and what was read with it is kept, if ``next()`` is called until
    /// it returns `nil`.
    public mutating func append(_ bytes: some Collection<UInt8>) {
        self.buffer.append(contentsOf: bytes)
    }

    /// The next complete message, or `nil` when more must come first. The length is checked before the message is
    /// there, so that nobody makes us wait for, and keep, more than is allowed.
    public mutating func next() throws(KademliaMessageError) -> KademliaMessage? {
        var reader = ByteReader(self.buffer)
        let size: UInt64
        do {
            size = try UnsignedVarint.read(from: &reader)
        } catch .truncated {
            return nil
        } catch {
            throw .malformed(.varint(error))
        }
        guard size <= KademliaMessage.maximumSize else { throw .tooLarge(Int(clamping: size)) }
        guard let message = try? reader.bytes(Int(size)) else { return nil }
        let decoded = try KademliaMessage(decoding: message)
        self.buffer = Array(reader.rest())
        return decoded
    }
}
