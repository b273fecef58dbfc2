// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetPeerRecords
public import AltNetPeerStore
internal import FoundationEssentials

/// Signs our records with numbers that are on the disk before they are used.
public actor SequencedIssuer: RecordIssuer {
    private let key: PeerPrivateKey
    private var sequence: RecordSequence

    public init(key: PeerPrivateKey, sequence: consuming RecordSequence) {
        self.key = key
        self.sequence = sequence
    }

    public func issue(_ addresses: [Multiaddress]) async throws -> CertifiedPeerRecord {
        let now = WallClockTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1_000))
        return try PeerRecord(
            peer: self.key.peerID, sequence: try self.sequence.next(now: now), addresses: addresses
        ).sealed(by: self.key)
    }
}
