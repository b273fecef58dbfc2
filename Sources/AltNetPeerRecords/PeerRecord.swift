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
        /// What RFC 0003 writes and early implementations used.
        case olderRFC

        var domain: String {
            switch self {
            case .current: "libp2p-peer-record"
            case .olderRFC: "libp2p-routing-state"
            }
        }

        var payloadType: [UInt8] {
            switch self {
            case .current: [0x03, 0x01]
            case .olderRFC: Array("/libp2p/routing-state-record".utf8)
            }
        }
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
                sealing: self.encoded, type: naming.payloadType, domain: naming.domain, key: key)
            return CertifiedPeerRecord(self, envelope: envelope.bytes)
        } catch {
            throw .envelope(error)
        }
    }

    /// The payload: RFC 0003's `PeerRecord` message.
    public var encoded: [UInt8] {
        var writer = ProtobufWriter()
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

    /// Reads a payload. Only what a genuine envelope held may come here.
    init(decoding payload: [UInt8]) throws(PeerRecordError) {
        var peer: PeerID?
        var sequence: UInt64?
        var addresses: [Multiaddress] = []
        do {
            var reader = ProtobufReader(payload)
            while let (field, value) = try reader.next() {
                switch field {
                case 1:
                    guard let bytes = value.bytes, peer == nil else { throw PeerRecordError.badField(field) }
                    peer = try PeerID(bytes: bytes)
                case 2:
                    guard let number = value.number, sequence == nil else { throw PeerRecordError.badField(field) }
                    sequence = number
                case 3:
                    guard let bytes = value.bytes else { throw PeerRecordError.badField(field) }
                    guard addresses.count < Self.maximumAddresses else {
                        throw PeerRecordError.tooManyAddresses(addresses.count + 1)
                    }
                    addresses.append(try Self.address(bytes))
                default: break
                }
            }
        } catch let error as PeerRecordError {
            throw error
        } catch let error as ProtobufError {
            throw .malformed(error)
        } catch let error as PeerIDError {
            throw .peerID(error)
        } catch let error as MultiaddressError {
            throw .address(error)
        } catch {
            throw .missing("contents")
        }
        guard let peer else { throw .missing("peer id") }
        self.init(peer: peer, sequence: sequence ?? 0, addresses: addresses)
    }

    private static func address(_ information: ArraySlice<UInt8>) throws -> Multiaddress {
        var reader = ProtobufReader(information)
        var address: Multiaddress?
        while let (field, value) = try reader.next() {
            guard field == 1 else { continue }
            guard let bytes = value.bytes, address == nil else { throw PeerRecordError.badField(3) }
            address = try Multiaddress(bytes: bytes)
        }
        guard let address else { throw PeerRecordError.missing("address") }
        return address
    }
}

/// A record that its own peer signed, and the envelope that proves it to others.
public struct CertifiedPeerRecord: Hashable, Sendable {
    public let record: PeerRecord
    /// What is stored and handed on, byte for byte.
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
        guard record.peer == opened.signer else { throw .otherPeer(record: record.peer, signer: opened.signer) }
        self.init(record, envelope: Array(envelope))
    }

    /// For stores: a record that was verified before it was written down.
    ///
    /// Reads it without checking the signature again; the caller MUST be sure that only this program wrote it.
    public init(verifiedBefore envelope: [UInt8]) throws(PeerRecordError) {
        var reader = ProtobufReader(envelope)
        do {
            while let (field, value) = try reader.next() {
                guard field == 3, let payload = value.bytes else { continue }
                self.init(try PeerRecord(decoding: Array(payload)), envelope: envelope)
                return
            }
        } catch let error as ProtobufError {
            throw .malformed(error)
        } catch let error as PeerRecordError {
            throw error
        } catch {
            throw .missing("payload")
        }
        throw .missing("payload")
    }

    private static func open(
        _ envelope: some Collection<UInt8>, namings: Set<PeerRecord.Naming>
    ) throws(PeerRecordError) -> SignedEnvelope {
        var last = EnvelopeError.payloadType([])
        for naming in PeerRecord.Naming.allCases where namings.contains(naming) {
            do {
                return try SignedEnvelope(opening: envelope, domain: naming.domain, type: naming.payloadType)
            } catch {
                last = error
                // Another name may fit; a bad signature stays one.
                guard case .payloadType = error else { break }
            }
        }
        throw .envelope(last)
    }
}
