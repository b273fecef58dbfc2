// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetPeerRecords

extension KademliaMessage {
    private enum Field {
        static let kind = 1
        static let key = 2
        static let record = 3
        static let closerPeers = 8
        static let providers = 9
        static let senderRecord = 11
    }

    /// Reads a message without the length before it. Unknown fields are skipped, for they are how others extend it.
    public init(decoding bytes: some Collection<UInt8>) throws(KademliaMessageError) {
        guard bytes.count <= Self.maximumSize else { throw .tooLarge(bytes.count) }
        self.init(kind: .putValue)
        var fields = FieldReader(bytes)
        while let (field, value) = try fields.next() {
            switch field {
            case Field.kind:
                let number = try fields.single("type", value.number)
                guard let kind = Kind(rawValue: number) else { throw .unknownKind(number) }
                self.kind = kind
            case Field.key:
                self.key = try fields.single("key", value.bytes, limit: Self.maximumKeySize)
            case Field.record:
                self.record = try Record(
                    decoding: fields.single("record", value.bytes, limit: Self.maximumSize))
            case Field.closerPeers:
                try self.closerPeers.append(reading: value, omissions: &self.omissions)
            case Field.providers:
                try self.providers.append(reading: value, omissions: &self.omissions)
            case Field.senderRecord:
                let record = try fields.single("senderRecord", value.bytes, limit: SignedEnvelope.maximumSize)
                self.senderRecord = record.isEmpty ? nil : record
            default: continue
            }
        }
    }

    /// The message without the length before it.
    public var encoded: [UInt8] {
        var writer = ProtobufWriter()
        // Protocol Buffers 3 leave out zeros, and py-libp2p does.
        if self.kind != .putValue { writer.varint(Field.kind, self.kind.rawValue) }
        if !self.key.isEmpty { writer.bytes(Field.key, self.key) }
        if let record = self.record { writer.bytes(Field.record, record.encoded) }
        for peer in self.closerPeers { writer.bytes(Field.closerPeers, peer.encoded) }
        for peer in self.providers { writer.bytes(Field.providers, peer.encoded) }
        if let record = self.senderRecord { writer.bytes(Field.senderRecord, record) }
        return writer.encoded
    }

    /// The message as it goes over a stream: its length as an unsigned varint, then itself.
    public var framed: [UInt8] {
        let message = self.encoded
        return UnsignedVarint.encoded(UInt64(message.count)) + message
    }
}

extension KademliaMessage.Peer {
    fileprivate init?(
        decoding bytes: ArraySlice<UInt8>, omissions: inout KademliaMessage.Omissions
    ) throws(KademliaMessageError) {
        var fields = FieldReader(bytes)
        var id: PeerID?
        var addresses: [Multiaddress] = []
        var count = 0
        var connection = KademliaMessage.Connection.notConnected
        var signedRecord: [UInt8]?
        while let (field, value) = try fields.next() {
            switch field {
            case 1:
                let bytes = try fields.single("id", value.bytes, limit: KademliaMessage.maximumSize)
                id = bytes.count <= KademliaMessage.maximumKeySize ? try? PeerID(bytes: bytes) : nil
            case 2:
                guard let address = value.bytes else { throw .wrongType("addrs") }
                count += 1
                guard count <= KademliaMessage.maximumAddresses else {
                    omissions.excess += 1
                    continue
                }
                if let address = try? Multiaddress(bytes: address) {
                    addresses.append(address)
                } else {
                    omissions.addresses += 1
                }
            case 3:
                // A state of a later version says nothing to us.
                connection = .init(rawValue: try fields.single("connection", value.number)) ?? .notConnected
            case 4:
                let record = try fields.single("signedRecord", value.bytes, limit: KademliaMessage.maximumSize)
                let isTooLarge = record.count > SignedEnvelope.maximumSize
                if isTooLarge { omissions.excess += 1 }
                signedRecord = record.isEmpty || isTooLarge ? nil : record
            default: continue
            }
        }
        guard let id else {
            omissions.peers += 1
            return nil
        }
        self.init(id: id, addresses: addresses, connection: connection, signedRecord: signedRecord)
    }

    /// The peer as a field of a message has it.
    var encoded: [UInt8] {
        var writer = ProtobufWriter()
        writer.bytes(1, self.id.bytes)
        for address in self.addresses { writer.bytes(2, address.bytes) }
        if self.connection != .notConnected { writer.varint(3, self.connection.rawValue) }
        if let record = self.signedRecord { writer.bytes(4, record) }
        return writer.encoded
    }
}

extension KademliaMessage.Record {
    /// `timeReceived`, `author` and `signature` say little and have no reason to be longer, in bytes.
    private static let maximumNoteSize = 1_024

    fileprivate init(decoding bytes: [UInt8]) throws(KademliaMessageError) {
        self.init(key: [], value: [])
        var fields = FieldReader(bytes)
        while let (field, value) = try fields.next() {
            switch field {
            case 1: self.key = try fields.single("record.key", value.bytes, limit: KademliaMessage.maximumKeySize)
            case 2: self.value = try fields.single("record.value", value.bytes, limit: KademliaMessage.maximumSize)
            case 3: self.author = try fields.single("record.author", value.bytes, limit: Self.maximumNoteSize)
            case 4: self.signature = try fields.single("record.signature", value.bytes, limit: Self.maximumNoteSize)
            case 5:
                self.timeReceived = try fields.single(
                    "record.timeReceived", value.bytes, limit: Self.maximumNoteSize)
            default: continue
            }
        }
    }

    fileprivate var encoded: [UInt8] {
        var writer = ProtobufWriter()
        writer.bytes(1, self.key)
        writer.bytes(2, self.value)
        if !self.author.isEmpty { writer.bytes(3, self.author) }
        if !self.signature.isEmpty { writer.bytes(4, self.signature) }
        if !self.timeReceived.isEmpty { writer.bytes(5, self.timeReceived) }
        return writer.encoded
    }
}

extension [KademliaMessage.Peer] {
    fileprivate mutating func append(
        reading value: ProtobufValue, omissions: inout KademliaMessage.Omissions
    ) throws(KademliaMessageError) {
        guard let bytes = value.bytes else { throw .wrongType("peers") }
        // Those left out count too, or a message could hold any number of them.
        guard self.count + omissions.peers < KademliaMessage.maximumPeers else {
            omissions.excess += 1
            return
        }
        guard let peer = try KademliaMessage.Peer(decoding: bytes, omissions: &omissions) else { return }
        self.append(peer)
    }
}

/// Reads fields, and refuses those twice that a message has once.
private struct FieldReader {
    private var reader: ProtobufReader
    private var seen: Set<String> = []

    init(_ bytes: some Collection<UInt8>) {
        self.reader = ProtobufReader(bytes)
    }

    mutating func next() throws(KademliaMessageError) -> (field: Int, value: ProtobufValue)? {
        do {
            return try self.reader.next()
        } catch {
            throw .malformed(error)
        }
    }

    mutating func single(_ name: String, _ number: UInt64?) throws(KademliaMessageError) -> UInt64 {
        guard let number else { throw .wrongType(name) }
        guard self.seen.insert(name).inserted else { throw .repeated(name) }
        return number
    }

    mutating func single(
        _ name: String, _ bytes: ArraySlice<UInt8>?, limit: Int
    ) throws(KademliaMessageError) -> [UInt8] {
        guard let bytes else { throw .wrongType(name) }
        guard bytes.count <= limit else { throw .tooLong(name, bytes.count) }
        guard self.seen.insert(name).inserted else { throw .repeated(name) }
        return Array(bytes)
    }
}
