// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
public import AltNetObjects

extension ObjectRequest {
    /// Why the request cannot be sent; `nil` when it can.
    public var lightningDefect: String? {
        switch self {
        case .headers(let locator, _, _, let limit):
            if !(1...Self.maximumLocatorLength).contains(locator.count) {
                "a locator has 1 to \(Self.maximumLocatorLength) hashes, not \(locator.count)"
            } else if !(1...Self.maximumHeaders).contains(limit) {
                "a request is for 1 to \(Self.maximumHeaders) headers, not \(limit)"
            } else {
                nil
            }
        case .addresses(let limit):
            (1...UInt32(BitcoinOverLightning.maximumAddresses)).contains(limit)
                ? nil : "a request is for 1 to \(BitcoinOverLightning.maximumAddresses) addresses, not \(limit)"
        case .peerRecords(let peers, let limit):
            if !(1...UInt32(Self.maximumPeerRecords)).contains(limit) || peers.count > Self.maximumPeerRecords {
                "a request is for 1 to \(Self.maximumPeerRecords) peer records"
            } else if !peers.allSatisfy({ (1...Self.maximumPeerIDSize).contains($0.count) }) {
                "a peer id has 1 to \(Self.maximumPeerIDSize) bytes"
            } else {
                nil
            }
        case .filterHeaders, .filters, .block, .transaction:
            nil
        }
    }

    /// The body of `object_request`. The request MUST have no ``lightningDefect``.
    public var lightningBody: [UInt8] {
        var body: [UInt8] = []
        switch self {
        case .headers(let locator, let stop, let heightHint, let limit):
            body.appendBigEndian(heightHint)
            body.appendBigEndian(limit)
            body += stop.bytes
            for hash in locator { body += hash.bytes }
        case .filterHeaders(let type, let start, let stop), .filters(let type, let start, let stop):
            body.append(type)
            body.appendBigEndian(start)
            body += stop.bytes
        case .block(let hash), .transaction(let hash):
            body += hash.bytes
        case .addresses(let limit):
            body.appendBigEndian(limit)
        case .peerRecords(let peers, let limit):
            body.append(UInt8(clamping: limit))
            for peer in peers {
                body.append(UInt8(clamping: peer.count))
                body += peer
            }
        }
        return body
    }

    /// Reads the body of `object_request`; `nil` when the kind has no meaning as a request here.
    public init?(lightningKind: UInt8, body: ArraySlice<UInt8>) throws(BitcoinBodyError) {
        guard let kind = ObjectKind(lightningNumber: lightningKind), kind != .tips else { return nil }
        var reader = ByteReader(body)
        do throws(ByteReaderError) {
            switch kind {
            case .headers:
                let (heightHint, limit): (UInt32, UInt32) = (try reader.bigEndian(), try reader.bigEndian())
                let stop = try reader.hash()
                var locator: [BlockHash] = []
                while !reader.isAtEnd, locator.count <= Self.maximumLocatorLength { locator.append(try reader.hash()) }
                self = .headers(locator: locator, stop: stop, heightHint: heightHint, limit: limit)
            case .filterHeaders:
                self = .filterHeaders(
                    type: try reader.bigEndian(),
                    start: try reader.bigEndian(),
                    stop: try reader.hash()
                )
            case .filters:
                self = .filters(type: try reader.bigEndian(), start: try reader.bigEndian(), stop: try reader.hash())
            case .blocks:
                self = .block(try reader.hash())
            case .transactions:
                self = .transaction(try reader.hash())
            case .addresses:
                self = .addresses(limit: try reader.bigEndian())
            case .peerRecords:
                let limit: UInt8 = try reader.bigEndian()
                var peers: [[UInt8]] = []
                while !reader.isAtEnd, peers.count <= Self.maximumPeerRecords {
                    peers.append(Array(try reader.bytes(Int(try reader.bigEndian(UInt8.self)))))
                }
                self = .peerRecords(of: peers, limit: UInt32(limit))
            case .tips:
                return nil
            }
            if self.lightningDefect == nil { try reader.expectEnd() }
        } catch {
            throw .malformed(error)
        }
        if let defect = self.lightningDefect { throw .outOfRange(defect) }
    }

    /// The longest body that an answer to this request may have, in bytes.
    public var maximumLightningAnswer: Int {
        switch self {
        case .headers(_, _, _, let limit):
            1 + HeaderCompression.maximumLength(of: Int(min(limit, Self.maximumHeaders)))
        case .filterHeaders:
            1 + BitcoinOverLightning.maximumFilterHeaders * (1 + BitcoinOverLightning.filterHeaderLength)
        case .filters, .block, .transaction:
            BitcoinOverLightning.maximumAnswerLength
        case .addresses(let limit):
            // Fields of fixed size, and the longest address.
            1 + min(Int(limit), BitcoinOverLightning.maximumAddresses) * (17 + NodeAddress.maximumAddressLength)
        case .peerRecords(_, let limit):
            // Each with its length.
            1 + min(Int(limit), Self.maximumPeerRecords) * (3 + Self.maximumPeerRecordSize)
        }
    }
}
