// SPDX-License-Identifier: MIT

/// Why bytes are no record of a peer.
public enum PeerRecordError: Error, Hashable, Sendable, CustomStringConvertible {
    case envelope(EnvelopeError)
    case malformed(ProtobufError)
    case badField(Int)
    case missing(String)
    case peerID(PeerIDError)
    /// The record is about another peer than the one that signed it.
    case otherPeer(record: PeerID, signer: PeerID)
    case address(MultiaddressError)
    case tooManyAddresses(Int)

    public var description: String {
        switch self {
        case .envelope(let error): error.description
        case .malformed(let error): "a record is malformed: \(error)"
        case .badField(let number): "a record has field \(number) twice, or of a wrong kind"
        case .missing(let field): "a record lacks its \(field)"
        case .peerID(let error): error.description
        case .otherPeer(let record, let signer): "a record about \(record) is signed by \(signer)"
        case .address(let error): "a record has a bad address: \(error)"
        case .tooManyAddresses(let count):
            "a record has \(count) addresses, and may have \(PeerRecord.maximumAddresses)"
        }
    }
}

/// Where a peer says it can be reached (libp2p RFC 0003).
public struct PeerRecord: Hashable, Sendable {
    /// The most addresses in a record: nobody listens on as many, and go-libp2p keeps no more of a peer.
    public static let maximumAddresses = 100

    /// What signer and verifier call a record.
    public enum Naming: Hashable, Sendable, CaseIterable {
        /// What all implementations use: domain `libp2p-peer-record`, payload type 03 01.
        case current
        /// What RFC 0003 writes, and rust-libp2p unless told otherwise: domain `libp2p-routing-state`. The example in RFC
        /// 0002, `libp2p-routing-record`, was a domain of early implementations; it is read as well.
        case olderRFC

        /// The one to sign for comes first.
        var domains: [String] {
            switch self {
            case .current: ["libp2p-peer-record"]
            case .olderRFC: ["libp2p-routing-state", "libp2p-routing-record"]
            }
        }

        /// What an envelope of such a record says that it holds.
        public var payloadType: [UInt8] {
            switch self {
            case .current: Self.currentType
            case .olderRFC: Self.olderType
            }
        }

        private static let currentType: [UInt8] = [0x03, 0x01]
        private static let olderType = Array("/libp2p/routing-state-record".utf8)
    }

    public let peer: PeerID
    /// Orders a peer's records: a higher number replaces a lower one. Of other peers, no time can be read from it.
    public let sequence: UInt64
    public let addresses: [Multiaddress]

    public init(peer: PeerID, sequence: UInt64, addresses: [Multiaddress]) {
        self.peer = peer
        self.sequence = sequence
        self.addresses = addresses
    }

    /// Signs the record; the key MUST be the peer's own.
    public func sealed(
        by key: PeerPrivateKey, naming: Naming = .current
    ) throws(PeerRecordError) -> CertifiedPeerRecord {
        guard key.peerID == self.peer else { throw .otherPeer(record: self.peer, signer: key.peerID) }
        guard self.addresses.count <= Self.maximumAddresses else { throw .tooManyAddresses(self.addresses.count) }
        do {
            let envelope = try SignedEnvelope(
                sealing: self.encoded, type: naming.payloadType, domain: naming.domains[0], key: key)
            return CertifiedPeerRecord(self, envelope: envelope.bytes)
        } catch {
            throw .envelope(error)
        }
    }

    /// The payload: RFC 0003's `PeerRecord` message.
    public var encoded: [UInt8] {
        var writer = ProtobufWriter(capacity: 64 + 32 * self.addresses.count)
        writer.bytes(1, self.peer.bytes)
        // Protocol Buffers 3 leaves zeros out.
        if self.sequence > 0 { writer.varint(2, self.sequence) }
        for address in self.addresses {
            var information = ProtobufWriter()
            information.bytes(1, address.bytes)
            writer.bytes(3, information.encoded)
        }
        return writer.encoded
    }

    /// Reads a payload. Nobody signed it unless a ``SignedEnvelope`` held it.
    public init(decoding payload: some Collection<UInt8>) throws(PeerRecordError) {
        var peer: PeerID?
        var sequence: UInt64?
        var addresses: [Multiaddress] = []
        var reader = ProtobufReader(Array(payload)[...])
        while let (field, value) = try Self.next(&reader) {
            switch field {
            case 1:
                guard let bytes = value.bytes, peer == nil else { throw .badField(field) }
                do {
                    peer = try PeerID(bytes: bytes)
                } catch {
                    throw .peerID(error)
                }
            case 2:
                guard let number = value.number, sequence == nil else { throw .badField(field) }
                sequence = number
            case 3:
                guard let bytes = value.bytes else { throw .badField(field) }
                guard let address = try Self.address(bytes) else { break }
                guard addresses.count < Self.maximumAddresses else { throw .tooManyAddresses(addresses.count + 1) }
                addresses.append(address)
            // The peer signed it, and others will know what it means.
            default: break
            }
        }
        guard let peer else { throw .missing("peer id") }
        self.init(peer: peer, sequence: sequence ?? 0, addresses: addresses)
    }

    /// The address of an `AddressInfo`; `nil` if it is empty. Older go-libp2p wrote such, among good ones.
    private static func address(_ information: ArraySlice<UInt8>) throws(PeerRecordError) -> Multiaddress? {
        var reader = ProtobufReader(information)
        var found: ArraySlice<UInt8>?
        while let (field, value) = try Self.next(&reader) {
            guard field == 1 else { continue }
            guard let bytes = value.bytes, found == nil else { throw .badField(3) }
            found = bytes
        }
        guard let found, !found.isEmpty else { return nil }
        do {
            return try Multiaddress(bytes: found)
        } catch {
            throw .address(error)
        }
    }

    private static func next(
        _ reader: inout ProtobufReader
    ) throws(PeerRecordError) -> (field: Int, value: ProtobufValue)? {
        do {
            return try reader.next()
        } catch {
            throw .malformed(error)
        }
    }
}

/// A record that its own peer signed, and the envelope that proves it to others.
public struct CertifiedPeerRecord: Hashable, Sendable {
    public let record: PeerRecord
    /// What is stored and handed on. Everything that was signed is in it byte for byte, and nothing else.
    public let envelope: [UInt8]

    fileprivate init(_ record: PeerRecord, envelope: [UInt8]) {
        self.record = record
        self.envelope = envelope
    }

    /// Verifies: size, signature, then the payload, and that the peer is the one that signed.
    ///
    /// - Parameter namings: under which names a record counts.
    public init(
        verifying envelope: some Collection<UInt8>, namings: Set<PeerRecord.Naming> = [.current]
    ) throws(PeerRecordError) {
        let opened = try Self.open(envelope, namings: namings)
        let record = try PeerRecord(decoding: opened.payload)
        let signer = opened.signer
        guard record.peer == signer else { throw .otherPeer(record: record.peer, signer: signer) }
        self.init(record, envelope: opened.bytes)
    }

    /// For stores: a record that was verified before it was written down.
    ///
    /// Reads it without checking the signature again; the caller MUST be sure that only this program wrote it.
    public init(verifiedBefore envelope: [UInt8]) throws(PeerRecordError) {
        let payload: ArraySlice<UInt8>
        do {
            payload = try UnverifiedEnvelope(envelope).payload
        } catch {
            throw .envelope(error)
        }
        self.init(try PeerRecord(decoding: payload), envelope: envelope)
    }

    private static func open(
        _ bytes: some Collection<UInt8>, namings: Set<PeerRecord.Naming>
    ) throws(PeerRecordError) -> SignedEnvelope {
        do throws(EnvelopeError) {
            guard bytes.count <= SignedEnvelope.maximumSize else { throw .tooLong(bytes.count) }
            let envelope = try UnverifiedEnvelope(Array(bytes))
            guard let naming = namings.first(where: { envelope.payloadType.elementsEqual($0.payloadType) }) else {
                throw .payloadType(Array(envelope.payloadType.prefix(32)))
            }
            var failure = EnvelopeError.badSignature
            for domain in naming.domains {
                do throws(EnvelopeError) {
                    return try SignedEnvelope(envelope, domain: domain, type: naming.payloadType)
                } catch {
                    failure = error
                }
            }
            throw failure
        } catch {
            throw .envelope(error)
        }
    }
}
