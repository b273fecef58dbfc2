// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetPeerRecords

/// What a key of GET_VALUE and PUT_VALUE names. There are no free values: without a rule for what is right under a key,
/// a DHT stores whatever anybody puts there.
public enum KademliaValueKey: Hashable, Sendable {
    /// `/pk/` and a peer id, whose public key is the value: libp2p's own namespace. The peer id is in its bytes, as
    /// go-libp2p has it, or in hexadecimal, as py-libp2p has it.
    case publicKey(PeerID)
    /// `/altnet-record/` and a peer id in base 58, whose sealed peer record is the value: a namespace of ours. The id
    /// is text, because py-libp2p takes keys in UTF-8 only.
    case peerRecord(PeerID)

    private static let publicKeyPrefix = Array("/pk/".utf8)
    private static let peerRecordPrefix = Array("/altnet-record/".utf8)

    /// What the bytes name; `nil` when no namespace of ours has such a key.
    public init?(_ key: some Collection<UInt8>) {
        if key.starts(with: Self.publicKeyPrefix) {
            let rest = key.dropFirst(Self.publicKeyPrefix.count)
            if let peer = try? PeerID(bytes: rest) {
                self = .publicKey(peer)
            } else if let bytes = Hex.decode(String(decoding: rest, as: UTF8.self)),
                let peer = try? PeerID(bytes: bytes), Hex.encode(bytes).utf8.elementsEqual(rest)
            {
                self = .publicKey(peer)
            } else {
                return nil
            }
        } else if key.starts(with: Self.peerRecordPrefix) {
            let text = String(decoding: key.dropFirst(Self.peerRecordPrefix.count), as: UTF8.self)
            // One text for one peer, or its record would lie in several places.
            guard let peer = try? PeerID(text: text), peer.description == text else { return nil }
            self = .peerRecord(peer)
        } else {
            return nil
        }
    }

    /// The bytes of the key.
    public var bytes: [UInt8] {
        switch self {
        case .publicKey(let peer): Self.publicKeyPrefix + peer.bytes
        case .peerRecord(let peer): Self.peerRecordPrefix + Array(peer.description.utf8)
        }
    }
}

/// Why a value is not right under its key.
public enum KademliaValueError: Error, Hashable, Sendable, CustomStringConvertible {
    case unknownNamespace
    case tooLarge(Int)
    case notTheKey
    case badKey(PeerKeyError)
    case badRecord(PeerRecordError)
    /// A right record, but of another peer.
    case recordOfAnother(PeerID)

    public var description: String {
        switch self {
        case .unknownNamespace: "no rule says what is right under this key"
        case .tooLarge(let size): "a value of \(size) bytes is larger than \(KademliaValue.maximumSize)"
        case .notTheKey: "a public key does not belong to the peer id in its key"
        case .badKey(let error): error.description
        case .badRecord(let error): error.description
        case .recordOfAnother(let peer): "the record is about \(peer), not about the peer in its key"
        }
    }
}

/// The rules of values: the specification's validator.
public enum KademliaValue {
    /// The largest value, in bytes: a sealed peer record is the largest that any rule allows.
    public static let maximumSize = SignedEnvelope.maximumSize

    /// Checks a value from outside against its key.
    public static func check(_ value: [UInt8], for key: some Collection<UInt8>) throws(KademliaValueError) {
        guard value.count <= Self.maximumSize else { throw .tooLarge(value.count) }
        switch KademliaValueKey(key) {
        case nil: throw .unknownNamespace
        case .publicKey(let peer):
            do {
                guard PeerID(try PeerPublicKey(protobuf: value)) == peer else { throw KademliaValueError.notTheKey }
            } catch let error as PeerKeyError {
                throw .badKey(error)
            } catch {
                throw .notTheKey
            }
        case .peerRecord(let peer):
            let certified: CertifiedPeerRecord
            do {
                certified = try CertifiedPeerRecord(verifying: value)
            } catch {
                throw .badRecord(error)
            }
            guard certified.record.peer == peer else { throw .recordOfAnother(certified.record.peer) }
        }
    }

    /// Whether one right value replaces another: a record does with a higher sequence number, a public key never.
    public static func isBetter(_ new: [UInt8], than old: [UInt8], for key: some Collection<UInt8>) -> Bool {
        guard case .peerRecord = KademliaValueKey(key) else { return false }
        guard let newRecord = try? CertifiedPeerRecord(verifying: new) else { return false }
        guard let oldRecord = try? CertifiedPeerRecord(verifying: old) else { return true }
        return newRecord.record.sequence > oldRecord.record.sequence
    }
}
