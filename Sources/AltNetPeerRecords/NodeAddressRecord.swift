// SPDX-License-Identifier: MIT

public import AltNetBitcoin
public import AltNetKeys
public import AltNetLightning

/// Why bytes are no record of a node's addresses.
public enum NodeAddressError: Error, Hashable, Sendable, CustomStringConvertible {
    case envelope(EnvelopeError)
    case malformed(ProtobufError)
    case badField(Int)
    case missing(String)
    case peerID(PeerIDError)
    /// The record is about another peer than the one that signed it.
    case otherPeer(record: PeerID, signer: PeerID)
    case bitcoin(BitcoinEndpointError)
    case lightning(LightningAddressError)
    /// Lightning addresses, signed with a key that no Lightning node has.
    case noLightningKey(PeerKeyKind)
    case tooManyAddresses(Int)

    public var description: String {
        switch self {
        case .envelope(let error): error.description
        case .malformed(let error): "a record is malformed: \(error)"
        case .badField(let number): "a record has field \(number) twice, or with a value that it cannot have"
        case .missing(let field): "a record lacks its \(field)"
        case .peerID(let error): error.description
        case .otherPeer(let record, let signer): "a record about \(record) is signed by \(signer)"
        case .bitcoin(let error): error.description
        case .lightning(let error): "a record has a bad Lightning address: \(error)"
        case .noLightningKey(let kind):
            "Lightning addresses are signed with the node's own secp256k1 key, and this is an \(kind) key"
        case .tooManyAddresses(let count):
            "a record has \(count) addresses, and may have \(NodeAddressRecord.maximumAddresses)"
        }
    }

    static func next(
        _ reader: inout ProtobufReader
    ) throws(NodeAddressError) -> (field: Int, value: ProtobufValue)? {
        do {
            return try reader.next()
        } catch {
            throw .malformed(error)
        }
    }
}

/// Where a node says that its Bitcoin and Lightning nodes can be reached (docs/protocol/peer-records.md).
///
/// Lightning addresses are those of the node whose id is the signer's key: nobody can claim them for another node.
public struct NodeAddressRecord: Hashable, Sendable {
    /// What the signature is for. It counts for nothing else.
    public static let domain = "altnet-node-addresses"
    public static let payloadType = Array("/altnet/node-addresses/1".utf8)
    /// The most addresses of both kinds together: nobody listens on as many, and a record of usual ones stays below
    /// ``SignedEnvelope/maximumSize``.
    public static let maximumAddresses = 100

    enum Field {
        static let peer = 1
        static let sequence = 2
        static let chain = 3
        static let bitcoin = 4
        static let lightning = 5
    }

    public let peer: PeerID
    /// Orders a peer's records of one chain: a higher number replaces a lower one.
    public let sequence: UInt64
    /// The chain of both nodes, by its first block.
    public let chain: BlockHash
    public let bitcoin: [BitcoinEndpoint]
    public let lightning: [LightningAddress]

    public init(
        peer: PeerID, sequence: UInt64, chain: BlockHash, bitcoin: [BitcoinEndpoint], lightning: [LightningAddress]
    ) {
        self.peer = peer
        self.sequence = sequence
        self.chain = chain
        self.bitcoin = bitcoin
        self.lightning = lightning
    }

    /// Signs the record; the key MUST be the peer's own, and the Lightning node's own where the record has addresses of
    /// one.
    public func sealed(by key: PeerPrivateKey) throws(NodeAddressError) -> CertifiedNodeAddressRecord {
        try self.check(signer: key.publicKey)
        let count = self.bitcoin.count + self.lightning.count
        guard count <= Self.maximumAddresses else { throw .tooManyAddresses(count) }
        do {
            let envelope = try SignedEnvelope(
                sealing: self.encoded, type: Self.payloadType, domain: Self.domain, key: key)
            return CertifiedNodeAddressRecord(self, envelope)
        } catch {
            throw .envelope(error)
        }
    }

    fileprivate func check(signer key: PeerPublicKey) throws(NodeAddressError) {
        let signer = PeerID(key)
        guard self.peer == signer else { throw .otherPeer(record: self.peer, signer: signer) }
        guard self.lightning.isEmpty || key.kind == .secp256k1 else { throw .noLightningKey(key.kind) }
    }

    /// The payload.
    public var encoded: [UInt8] {
        var writer = ProtobufWriter()
        writer.bytes(Field.peer, self.peer.bytes)
        if self.sequence > 0 { writer.varint(Field.sequence, self.sequence) }
        writer.bytes(Field.chain, self.chain.bytes)
        for endpoint in self.bitcoin { writer.bytes(Field.bitcoin, endpoint.encoded) }
        for address in self.lightning { writer.bytes(Field.lightning, address.descriptor) }
        return writer.encoded
    }

    /// Reads a payload. Nobody signed it unless a ``SignedEnvelope`` held it.
    public init(decoding payload: some Collection<UInt8>) throws(NodeAddressError) {
        var peer: PeerID?
        var sequence: UInt64?
        var chain: BlockHash?
        var bitcoin: [BitcoinEndpoint] = []
        var lightning: [LightningAddress] = []
        var reader = ProtobufReader(Array(payload)[...])
        while let (field, value) = try NodeAddressError.next(&reader) {
            switch field {
            case Field.peer:
                guard let bytes = value.bytes, peer == nil else { throw .badField(field) }
                do {
                    peer = try PeerID(bytes: bytes)
                } catch {
                    throw .peerID(error)
                }
            case Field.sequence:
                guard let number = value.number, sequence == nil else { throw .badField(field) }
                sequence = number
            case Field.chain:
                guard let bytes = value.bytes, chain == nil, let hash = BlockHash(bytes: bytes) else {
                    throw .badField(field)
                }
                chain = hash
            case Field.bitcoin:
                guard let bytes = value.bytes else { throw .badField(field) }
                bitcoin.append(try BitcoinEndpoint(decoding: bytes))
            case Field.lightning:
                guard let bytes = value.bytes else { throw .badField(field) }
                do {
                    lightning.append(try LightningAddress(descriptor: bytes))
                } catch {
                    throw .lightning(error)
                }
            // The peer signed it, and others will know what it means.
            default: break
            }
            let count = bitcoin.count + lightning.count
            guard count <= Self.maximumAddresses else { throw .tooManyAddresses(count) }
        }
        guard let peer else { throw .missing("peer id") }
        guard let chain else { throw .missing("chain") }
        self.init(peer: peer, sequence: sequence ?? 0, chain: chain, bitcoin: bitcoin, lightning: lightning)
    }
}

/// A record of a node's addresses that the node itself signed, and the envelope that proves it to others.
public struct CertifiedNodeAddressRecord: Hashable, Sendable {
    public let record: NodeAddressRecord
    /// What is stored and handed on.
    public let envelope: [UInt8]
    /// The Lightning node that the Lightning addresses lead to; `nil` when the signer's key is none that such a node has.
    public let lightningNode: NodeID?

    fileprivate init(_ record: NodeAddressRecord, _ envelope: SignedEnvelope) {
        self.init(record, envelope: envelope.bytes, key: envelope.publicKey)
    }

    private init(_ record: NodeAddressRecord, envelope: [UInt8], key: PeerPublicKey) {
        self.record = record
        self.envelope = envelope
        self.lightningNode = key.kind == .secp256k1 ? NodeID(bytes: key.data) : nil
    }

    /// Verifies: size, signature, then the payload, and that the peer is the one that signed.
    public init(verifying envelope: some Collection<UInt8>) throws(NodeAddressError) {
        let opened: SignedEnvelope
        do {
            opened = try SignedEnvelope(
                opening: envelope, domain: NodeAddressRecord.domain, type: NodeAddressRecord.payloadType)
        } catch {
            throw .envelope(error)
        }
        let record = try NodeAddressRecord(decoding: opened.payload)
        try record.check(signer: opened.publicKey)
        self.init(record, opened)
    }

    /// For stores: a record that was verified before it was written down.
    ///
    /// Reads it without checking the signature again; the caller MUST be sure that only this program wrote it.
    public init(verifiedBefore envelope: [UInt8]) throws(NodeAddressError) {
        let (payload, key): (ArraySlice<UInt8>, PeerPublicKey)
        do throws(EnvelopeError) {
            let opened = try UnverifiedEnvelope(envelope)
            payload = opened.payload
            do throws(PeerKeyError) {
                key = try opened.publicKey()
            } catch {
                throw .key(error)
            }
        } catch {
            throw .envelope(error)
        }
        self.init(try NodeAddressRecord(decoding: payload), envelope: envelope, key: key)
    }
}
