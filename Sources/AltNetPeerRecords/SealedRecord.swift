// SPDX-License-Identifier: MIT

/// A record of either kind that its own peer signed: where the peer is, or where its Bitcoin and Lightning nodes are.
///
/// Both travel in the same messages. Which one it is says the payload type of the envelope, which the signature covers.
public enum SealedRecord: Hashable, Sendable {
    case peer(CertifiedPeerRecord)
    case node(CertifiedNodeAddressRecord)

    /// Why bytes are no record of either kind. The text is for the operator.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// Verifies an envelope, as the kind that it says it is.
    public init(verifying envelope: [UInt8]) throws(Failure) {
        if Self.isNode(envelope) {
            do throws(NodeAddressError) {
                self = .node(try CertifiedNodeAddressRecord(verifying: envelope))
            } catch {
                throw Failure(description: error.description)
            }
        } else {
            do throws(PeerRecordError) {
                self = .peer(try CertifiedPeerRecord(verifying: envelope))
            } catch {
                throw Failure(description: error.description)
            }
        }
    }

    /// For what was verified before, or is yet to be: reads it without checking the signature.
    public init?(unverified envelope: [UInt8]) {
        if Self.isNode(envelope) {
            guard let record = try? CertifiedNodeAddressRecord(verifiedBefore: envelope) else { return nil }
            self = .node(record)
        } else {
            guard let record = try? CertifiedPeerRecord(verifiedBefore: envelope) else { return nil }
            self = .peer(record)
        }
    }

    /// Whether an envelope says that it holds a node address record. One that is too long or malformed says nothing.
    private static func isNode(_ envelope: [UInt8]) -> Bool {
        guard envelope.count <= SignedEnvelope.maximumSize, let opened = try? UnverifiedEnvelope(envelope) else {
            return false
        }
        return opened.payloadType.elementsEqual(NodeAddressRecord.payloadType)
    }

    /// The peer that it is about, and that signed it.
    public var subject: PeerID {
        switch self {
        case .peer(let certified): certified.record.peer
        case .node(let certified): certified.record.peer
        }
    }

    /// A higher one replaces a lower one of the same kind.
    public var sequence: UInt64 {
        switch self {
        case .peer(let certified): certified.record.sequence
        case .node(let certified): certified.record.sequence
        }
    }

    /// What is stored and handed on.
    public var envelope: [UInt8] {
        switch self {
        case .peer(let certified): certified.envelope
        case .node(let certified): certified.envelope
        }
    }

    /// The addresses in it, in its order. Bitcoin addresses in networks that this version does not know are not among
    /// them.
    public var addresses: [UsedAddress] {
        switch self {
        case .peer(let certified): certified.record.addresses.map { UsedAddress(.libp2p, $0) }
        case .node(let certified): certified.record.addresses
        }
    }
}

extension NodeAddressRecord {
    /// The addresses in it: those of the Lightning node, then those of the Bitcoin node, without those in networks that
    /// this version does not know.
    public var addresses: [UsedAddress] {
        self.lightning.compactMap { $0.multiaddress.map { UsedAddress(.lightning, $0) } }
            + self.bitcoin.compactMap { $0.multiaddress.map { UsedAddress(.bitcoin, $0) } }
    }
}
