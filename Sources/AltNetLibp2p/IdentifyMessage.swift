// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetPeerRecords

/// Why an identify message is refused.
public enum IdentifyError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A message, or all of them together, is larger than allowed.
    case tooLong(Int)
    /// More messages than ``IdentifyReader/maximumMessages``.
    case tooManyMessages
    /// The stream ended within a message, or brought none.
    case truncated
    case malformed(ProtobufError)
    /// A field is of another type than it should be.
    case badField(Int)
    /// More of something than a message may hold.
    case tooMany(String)

    public var description: String {
        switch self {
        case .tooLong(let count): "an identify message has \(count) bytes, which is too many"
        case .tooManyMessages: "more than \(IdentifyReader.maximumMessages) identify messages came at once"
        case .truncated: "the stream ended within an identify message"
        case .malformed(let error): "an identify message is malformed: \(error)"
        case .badField(let field): "field \(field) of an identify message has the wrong type"
        case .tooMany(let what): "an identify message has too many \(what)"
        }
    }
}

/// What a peer says of itself (libp2p specs, identify/README.md). Everything may be missing.
public struct IdentifyMessage: Hashable, Sendable {
    /// Bytes of one message; go-libp2p's bound.
    public static let maximumSize = 8_192
    /// Bytes of one message that all implementations read: rust-libp2p takes no more.
    public static let commonSize = 4_096
    /// Protocols that are read of a message; go-libp2p's nodes name about 20.
    public static let maximumProtocols = 256
    /// Addresses that are read of a message; a record holds as many at most.
    public static let maximumAddresses = PeerRecord.maximumAddresses

    /// libp2p's `PublicKey` message, unchecked.
    public var publicKey: [UInt8]?
    /// Where the peer listens. Addresses that are not understood are left out.
    public var listenAddresses: [Multiaddress] = []
    public var protocols: [String] = []
    /// Where the receiver of the message is seen.
    public var observedAddress: Multiaddress?
    /// The network of protocols, `ipfs/0.1.0` for most.
    public var protocolVersion: String?
    /// The program.
    public var agentVersion: String?
    /// A sealed peer record, unchecked.
    public var signedPeerRecord: [UInt8]?
    /// Addresses that were left out because they cannot be read.
    public private(set) var unreadableAddresses = 0

    public init() {}

    /// Reads one message, without the length before it.
    public init(bytes: ArraySlice<UInt8>) throws(IdentifyError) {
        try self.merge(bytes)
    }

    /// Adds what another message says, as Protocol Buffers merge messages: lists grow, single fields are replaced.
    mutating func merge(_ bytes: ArraySlice<UInt8>) throws(IdentifyError) {
        guard bytes.count <= Self.maximumSize else { throw .tooLong(bytes.count) }
        var reader = ProtobufReader(bytes)
        while let (field, value) = try Self.next(&reader) { try self.take(field, value) }
    }

    /// Takes over what another message says, as a push means it: what is missing stays as it was.
    public mutating func replace(with other: IdentifyMessage) {
        if let publicKey = other.publicKey { self.publicKey = publicKey }
        if !other.listenAddresses.isEmpty { self.listenAddresses = other.listenAddresses }
        if !other.protocols.isEmpty { self.protocols = other.protocols }
        if let observedAddress = other.observedAddress { self.observedAddress = observedAddress }
        if let protocolVersion = other.protocolVersion { self.protocolVersion = protocolVersion }
        if let agentVersion = other.agentVersion { self.agentVersion = agentVersion }
        if let signedPeerRecord = other.signedPeerRecord { self.signedPeerRecord = signedPeerRecord }
    }

    private static func next(
        _ reader: inout ProtobufReader
    ) throws(IdentifyError) -> (field: Int, value: ProtobufValue)? {
        do throws(ProtobufError) {
            return try reader.next()
        } catch { throw .malformed(error) }
    }

    private mutating func take(_ field: Int, _ value: ProtobufValue) throws(IdentifyError) {
        guard (1...6).contains(field) || field == 8 else { return }
        guard let bytes = value.bytes else { throw .badField(field) }
        switch field {
        // An empty one is none, as in Protocol Buffers' third version.
        case 1: self.publicKey = bytes.isEmpty ? nil : Array(bytes)
        case 2:
            guard self.listenAddresses.count + self.unreadableAddresses < Self.maximumAddresses else {
                throw .tooMany("addresses")
            }
            if let address = try? Multiaddress(bytes: bytes) {
                self.listenAddresses.append(address)
            } else {
                self.unreadableAddresses += 1
            }
        case 3:
            guard self.protocols.count < Self.maximumProtocols else { throw .tooMany("protocols") }
            self.protocols.append(UntrustedText(bytes).description)
        // Some peers send an empty one instead of none.
        case 4: self.observedAddress = try? Multiaddress(bytes: bytes)
        case 5: self.protocolVersion = UntrustedText(bytes).description
        case 6: self.agentVersion = UntrustedText(bytes).description
        default: self.signedPeerRecord = bytes.isEmpty ? nil : Array(bytes)
        }
    }

    /// The message with its length before it, as it is sent; `nil` when it is larger than others read. Where it would be
    /// larger than ``commonSize``, it has fewer plain addresses, the last ones first.
    public var framed: [UInt8]? {
        var message = self
        var encoded = message.encoded
        while encoded.count > Self.commonSize, message.listenAddresses.popLast() != nil { encoded = message.encoded }
        guard encoded.count <= Self.maximumSize else { return nil }
        return UnsignedVarint.encoded(UInt64(encoded.count)) + encoded
    }

    /// The message.
    private var encoded: [UInt8] {
        var writer = ProtobufWriter()
        if let publicKey = self.publicKey { writer.bytes(1, publicKey) }
        for address in self.listenAddresses { writer.bytes(2, address.bytes) }
        for name in self.protocols { writer.string(3, name) }
        if let observedAddress = self.observedAddress { writer.bytes(4, observedAddress.bytes) }
        if let protocolVersion = self.protocolVersion { writer.string(5, protocolVersion) }
        if let agentVersion = self.agentVersion { writer.string(6, agentVersion) }
        if let signedPeerRecord = self.signedPeerRecord { writer.bytes(8, signedPeerRecord) }
        return writer.encoded
    }
}

/// Reads the identify messages of one stream. go-libp2p sends two when one would be large, so those of a stream are
/// merged until it ends.
public struct IdentifyReader: Sendable {
    /// Messages of one stream; go-libp2p's bound.
    public static let maximumMessages = 10
    /// Bytes of one stream: more than the largest honest answer, which is a message with a record of the same size.
    public static let maximumBytes = 64 * 1_024

    private var buffer: [UInt8] = []
    private var total = 0
    private var messages = 0
    private var message = IdentifyMessage()

    public init() {}

    /// Takes bytes of the stream, cut anywhere.
    public mutating func onBytes(_ bytes: some Collection<UInt8>) throws(IdentifyError) {
        self.total += bytes.count
        guard self.total <= Self.maximumBytes else { throw .tooLong(self.total) }
        self.buffer.append(contentsOf: bytes)
        while true {
            var reader = ByteReader(self.buffer)
            let length: UInt64
            do throws(VarintError) {
                length = try UnsignedVarint.read(from: &reader)
            } catch {
                guard error == .truncated else { throw .malformed(.varint(error)) }
                return
            }
            guard length <= UInt64(IdentifyMessage.maximumSize) else { throw .tooLong(Int(clamping: length)) }
            guard let body = try? reader.bytes(Int(length)) else { return }
            self.messages += 1
            guard self.messages <= Self.maximumMessages else { throw .tooManyMessages }
            try self.message.merge(body)
            self.buffer = Array(reader.rest())
        }
    }

    /// The stream has ended: what all messages say together.
    public func onEnd() throws(IdentifyError) -> IdentifyMessage {
        guard self.buffer.isEmpty, self.messages > 0 else { throw .truncated }
        return self.message
    }
}
