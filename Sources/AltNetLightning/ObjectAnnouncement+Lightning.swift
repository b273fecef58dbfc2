// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
public import AltNetObjects

extension ObjectAnnouncement {
    /// The body of `object_announcement`; `nil` when the announcement is longer or shorter than the limits allow.
    public var lightningBody: [UInt8]? {
        var body = [self.kind.lightningNumber]
        switch self {
        case .tip(let header, let height):
            body.appendBigEndian(height)
            header.append(to: &body)
        case .transaction(let transaction):
            guard transaction.count >= BitcoinOverLightning.minimumTransaction else { return nil }
            body += transaction
        case .addresses(let addresses):
            body.append(addresses.prefix(BitcoinOverLightning.maximumAddresses))
            guard body.count > 1 else { return nil }
        case .peerRecord(let record):
            guard (1...ObjectRequest.maximumPeerRecordSize).contains(record.count) else { return nil }
            body += record
        }
        return body.count <= BitcoinOverLightning.maximumAnnouncementLength ? body : nil
    }

    /// Reads the body of `object_announcement`; `nil` when the kind is not announced here.
    public init?(lightningBody body: [UInt8]) throws(BitcoinBodyError) {
        var reader = ByteReader(body)
        do throws(ByteReaderError) {
            switch ObjectKind(lightningNumber: try reader.bigEndian()) {
            case .tips:
                let height: UInt32 = try reader.bigEndian()
                let header = try reader.bytes(BlockHeader.size).withUnsafeBytes { BlockHeader(unaligned: $0) }
                try reader.expectEnd()
                self = .tip(header: header, height: height)
            case .transactions:
                guard reader.count >= BitcoinOverLightning.minimumTransaction else {
                    throw .truncated(needed: BitcoinOverLightning.minimumTransaction, available: reader.count)
                }
                self = .transaction(Array(reader.rest()))
            case .addresses:
                self = .addresses(try reader.addresses())
            case .peerRecords:
                guard (1...ObjectRequest.maximumPeerRecordSize).contains(reader.count) else {
                    throw .tooLong(length: UInt64(reader.count), limit: ObjectRequest.maximumPeerRecordSize)
                }
                self = .peerRecord(Array(reader.rest()))
            case .headers, .filterHeaders, .filters, .blocks, nil:
                return nil
            }
        } catch {
            throw .malformed(error)
        }
    }
}
