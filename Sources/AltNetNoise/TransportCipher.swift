// SPDX-License-Identifier: MIT

public import AltNetKeys
internal import Crypto

/// What a completed handshake leaves: who the other side is, and one cipher for each direction.
public struct NoiseTransport: Sendable {
    /// The identity that the other side proved.
    public let remote: NodeID
    /// Encrypts what we send.
    public var send: SendCipher
    /// Decrypts what we receive; already holds any bytes that followed the handshake.
    public var receive: ReceiveCipher
}

/// Encrypts Lightning messages (BOLT 8, "Encrypting and Sending Messages").
public struct SendCipher: Sendable {
    /// BOLT 8: no message may exceed 65535 bytes, which is what its encrypted length can say.
    public static let maximumMessageLength = 65535
    /// What encryption adds to a message: two bytes of length and two tags, in bytes.
    public static let overhead = 2 + 2 * RotatingKey.tagSize

    private var key: RotatingKey

    init(chainingKey: SymmetricKey, key: SymmetricKey) {
        self.key = RotatingKey(chainingKey: chainingKey, key: key)
    }

    /// Encrypts one message and appends it, with its encrypted length before it, to `output`.
    ///
    /// Costs one call of the cipher's library for the message, one for its length, and one copy.
    public mutating func seal(_ message: [UInt8], into output: inout [UInt8]) throws(NoiseError) {
        guard let length = UInt16(exactly: message.count) else { throw .messageTooLong(message.count) }
        withUnsafeBytes(of: length.bigEndian) { self.key.seal($0, into: &output) }
        message.withUnsafeBytes { self.key.seal($0, into: &output) }
    }
}

/// Decrypts Lightning messages from bytes cut anywhere (BOLT 8, "Receiving and Decrypting Messages").
///
/// Holds no more than what one call of ``append(_:)`` delivered and one incomplete message, provided that the caller
/// takes all messages before it appends more.
public struct ReceiveCipher: Sendable {
    /// An encrypted length and its tag, in bytes.
    private static let headerSize = 2 + RotatingKey.tagSize

    private var key: RotatingKey
    private var buffer: [UInt8] = []
    /// Everything before this index has been used.
    private var start = 0
    /// The length of the message whose body is awaited; `nil` while its length is.
    private var awaitedLength: Int?

    init(chainingKey: SymmetricKey, key: SymmetricKey) {
        self.key = RotatingKey(chainingKey: chainingKey, key: key)
    }

    /// The number of received bytes that are not yet part of a message.
    public var bufferedBytes: Int { self.buffer.count - self.start }

    /// Takes received bytes. The caller MUST call ``next()`` until it gives `nil` before it appends more.
    public mutating func append(_ bytes: [UInt8]) {
        guard self.start < self.buffer.count else {
            self.buffer = bytes
            self.start = 0
            return
        }
        if self.start > 0 {
            // At most one incomplete message is moved, and only once: after this, `start` is 0 until it is complete.
            self.buffer.removeSubrange(..<self.start)
            self.start = 0
        }
        self.buffer.append(contentsOf: bytes)
    }

    /// Gives the next complete message, or `nil` while one is incomplete. After an error nothing that follows can be
    /// read: the caller MUST close the connection.
    public mutating func next() throws(NoiseError) -> [UInt8]? {
        let length: Int
        if let awaited = self.awaitedLength {
            length = awaited
        } else {
            guard let header = self.take(Self.headerSize) else { return nil }
            guard let plain = self.open(header) else { throw .badLengthMAC }
            length = Int(plain[0]) << 8 | Int(plain[1])
            self.awaitedLength = length
        }
        guard let body = self.take(length + RotatingKey.tagSize) else { return nil }
        guard let message = self.open(body) else { throw .badMessageMAC }
        self.awaitedLength = nil
        return message
    }

    private mutating func take(_ count: Int) -> Range<Int>? {
        guard self.bufferedBytes >= count else { return nil }
        defer { self.start += count }
        return self.start..<(self.start + count)
    }

    private mutating func open(_ range: Range<Int>) -> [UInt8]? {
        self.buffer.withUnsafeBytes { self.key.open(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }
}
