// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Cuts a stream of bytes into P2P messages.
///
/// The caller appends what arrives and then calls ``next()`` until it returns `nil`. The buffer then holds at most one
/// unfinished message: it grows with what has really arrived, never by a declared length. Time and copies are linear
/// in the bytes received, however they are cut.
public struct P2PMessageDecoder: Sendable {
    /// A message and what it took on the wire.
    public struct Received: Hashable, Sendable {
        /// What was sent.
        public let message: P2PMessage
        /// Header and payload, in bytes.
        public let size: Int
    }

    /// A buffer larger than this is given back once it is empty, so that one large block does not stay in memory for
    /// the life of the connection. In bytes.
    static let keptCapacity = 65_536

    /// The network whose magic starts every message.
    public let network: Network
    /// The longest payload to accept from now on, in bytes; at most ``P2PMessageHeader/maximumPayloadLength``. A
    /// session lowers it while it does not yet know whom it talks to.
    public var maximumPayloadLength: Int {
        didSet { self.maximumPayloadLength = min(self.maximumPayloadLength, P2PMessageHeader.maximumPayloadLength) }
    }

    private var buffer: [UInt8] = []
    /// How much of the buffer has been read.
    private var offset = 0
    /// The header of the message whose payload is not complete.
    private var header: P2PMessageHeader?
    private var failure: P2PMessageError?

    /// The start of a stream.
    public init(network: Network, maximumPayloadLength: Int = P2PMessageHeader.maximumPayloadLength) {
        self.network = network
        self.maximumPayloadLength = min(maximumPayloadLength, P2PMessageHeader.maximumPayloadLength)
    }

    /// The number of bytes that wait for the rest of their message.
    public var bufferedCount: Int { self.buffer.count - self.offset }

    /// Takes bytes from the stream, cut anywhere. After an error they are dropped.
    public mutating func append(_ bytes: [UInt8]) {
        guard self.failure == nil else { return }
        self.discardWhatWasRead()
        self.buffer.append(contentsOf: bytes)
    }

    /// The next complete message, or `nil` until more bytes come. After an error it throws the same error for ever.
    ///
    /// A foreign magic is found after 4 bytes, a bad command and a forbidden length after 24, a bad checksum and a
    /// malformed payload at the end of the message.
    public mutating func next() throws(P2PMessageError) -> Received? {
        if let failure = self.failure { throw failure }
        do throws(P2PMessageError) {
            return try self.decode()
        } catch {
            self.failure = error
            self.buffer = []
            self.offset = 0
            throw error
        }
    }

    private mutating func decode() throws(P2PMessageError) -> Received? {
        if self.header == nil { self.header = try self.decodeHeader() }
        guard let header = self.header else { return nil }
        let length = Int(header.length)
        guard self.bufferedCount >= length else { return nil }
        let payload = Array(self.buffer[self.offset..<self.offset + length])
        guard P2PMessageHeader.checksum(of: payload) == header.checksum else {
            throw .wrongChecksum(command: header.command)
        }
        let message: P2PMessage
        do {
            message = try P2PMessage(command: header.command, payload: payload)
        } catch {
            throw .malformedPayload(command: header.command, error)
        }
        self.offset += length
        self.header = nil
        return Received(message: message, size: P2PMessageHeader.size + length)
    }

    private mutating func decodeHeader() throws(P2PMessageError) -> P2PMessageHeader? {
        let waiting = self.buffer[self.offset...]
        guard waiting.count >= P2PMessageHeader.magicLength else { return nil }
        let magic = waiting.prefix(P2PMessageHeader.magicLength)
        guard magic.elementsEqual(self.network.magic) else { throw .wrongMagic(Array(magic)) }
        guard waiting.count >= P2PMessageHeader.size else { return nil }
        var reader = ByteReader(waiting.dropFirst(P2PMessageHeader.magicLength))
        let header = try P2PMessageHeader(afterMagic: &reader)
        guard header.length <= self.maximumPayloadLength else {
            throw .payloadTooLong(
                command: header.command,
                length: header.length,
                limit: self.maximumPayloadLength
            )
        }
        self.offset += P2PMessageHeader.size
        return header
    }

    /// Moves what is left to the front only when more has been read than is left, so that each byte moves at most once
    /// for another byte that was read.
    private mutating func discardWhatWasRead() {
        if self.bufferedCount == 0 {
            self.buffer.removeAll(keepingCapacity: self.buffer.capacity <= Self.keptCapacity)
            self.offset = 0
        } else if self.offset > self.bufferedCount {
            self.buffer.removeFirst(self.offset)
            self.offset = 0
        }
    }
}
