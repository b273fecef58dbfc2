// SPDX-License-Identifier: MIT

internal import AltNetBitcoin
internal import AltNetObjects
internal import FoundationEssentials
internal import SwiftProtobuf

extension ObjectRequest {
    init(_ message: Altnet_Driver_V1_Request) throws(DriverProtocolError) {
        switch message.what {
        case .headers(let headers):
            guard headers.locator.count.isMultiple(of: 32), headers.locator.count <= 32 * Self.maximumLocatorLength
            else {
                throw DriverProtocolError("a locator of \(headers.locator.count) bytes")
            }
            guard (1...Self.maximumHeaders).contains(headers.limit) else {
                throw DriverProtocolError("a request for \(headers.limit) headers")
            }
            let bytes = [UInt8](headers.locator)
            let locator = stride(from: 0, to: bytes.count, by: 32).compactMap {
                BlockHash(bytes: bytes[$0..<$0 + 32])
            }
            self = .headers(
                locator: locator, stop: headers.stop.isEmpty ? .zero : try BlockHash(checked: headers.stop),
                heightHint: headers.heightHint, limit: headers.limit)
        case .filterHeaders(let range):
            let (type, stop) = try Self.checked(range)
            self = .filterHeaders(type: type, start: range.startHeight, stop: stop)
        case .filters(let range):
            let (type, stop) = try Self.checked(range)
            self = .filters(type: type, start: range.startHeight, stop: stop)
        case .block(let hash): self = .block(try BlockHash(checked: hash))
        case .transaction(let identifier): self = .transaction(try BlockHash(checked: identifier))
        case .addresses(let limit): self = .addresses(limit: limit)
        case .peerRecords(let request):
            guard request.peers.count <= Self.maximumPeerRecords,
                (1...UInt32(Self.maximumPeerRecords)).contains(request.limit),
                request.peers.allSatisfy({ (1...Self.maximumPeerIDSize).contains($0.count) })
            else { throw DriverProtocolError("a request for peer records out of its bounds") }
            self = .peerRecords(of: request.peers.map { [UInt8]($0) }, limit: request.limit)
        case nil: throw DriverProtocolError("a request for nothing that this version knows")
        }
    }

    private static func checked(
        _ range: Altnet_Driver_V1_FilterRange
    ) throws(DriverProtocolError) -> (type: UInt8, stop: BlockHash) {
        guard let type = UInt8(exactly: range.filterType) else {
            throw DriverProtocolError("filter type \(range.filterType)")
        }
        return (type, try BlockHash(checked: range.stop))
    }

    func protobuf(_ link: DriverLink, _ id: UInt64) -> Altnet_Driver_V1_Request {
        .with {
            $0.link = link.number
            $0.request = id
            switch self {
            case .headers(let locator, let stop, let heightHint, let limit):
                $0.headers = .with {
                    $0.locator = Data(locator.flatMap(\.bytes))
                    if stop != .zero { $0.stop = Data(stop.bytes) }
                    $0.heightHint = heightHint
                    $0.limit = limit
                }
            case .filterHeaders(let type, let start, let stop):
                $0.filterHeaders = Self.range(type, start, stop)
            case .filters(let type, let start, let stop):
                $0.filters = Self.range(type, start, stop)
            case .block(let hash): $0.block = Data(hash.bytes)
            case .transaction(let identifier): $0.transaction = Data(identifier.bytes)
            case .addresses(let limit): $0.addresses = limit
            case .peerRecords(let peers, let limit):
                $0.peerRecords = .with {
                    $0.peers = peers.map { Data($0) }
                    $0.limit = limit
                }
            }
        }
    }

    private static func range(_ type: UInt8, _ start: UInt32, _ stop: BlockHash) -> Altnet_Driver_V1_FilterRange {
        .with {
            $0.filterType = UInt32(type)
            $0.startHeight = start
            $0.stop = Data(stop.bytes)
        }
    }
}

extension ObjectAnswer {
    /// No block, and so no part of one, is larger: BIP 141's limit on weight, in bytes without a witness discount.
    static let maximumObjectSize = 4_000_000

    init(_ message: Altnet_Driver_V1_Answer) throws(DriverProtocolError) {
        switch message.what {
        case .headers(let headers):
            guard headers.count.isMultiple(of: BlockHeader.size),
                headers.count <= Int(ObjectRequest.maximumHeaders) * BlockHeader.size
            else { throw DriverProtocolError("an answer of \(headers.count) bytes of headers") }
            self = .headers([UInt8](headers))
        case .objects(let objects):
            guard objects.objects.allSatisfy({ $0.count <= Self.maximumObjectSize }) else {
                throw DriverProtocolError("an object of more than \(Self.maximumObjectSize) bytes")
            }
            self = .objects(try ObjectKind(protobuf: objects.kind), objects.objects.map { [UInt8]($0) })
        case .addresses(let addresses): self = .addresses(try addresses.checked())
        case .refused(let refused):
            guard let why = ObjectRefusal(rawValue: UInt8(clamping: refused.why.rawValue)) else {
                throw DriverProtocolError("a refusal for reason \(refused.why.rawValue)")
            }
            self = .refused(why)
        case nil: throw DriverProtocolError("an answer without content")
        }
    }

    func protobuf(_ link: DriverLink, _ id: UInt64) -> Altnet_Driver_V1_Answer {
        .with {
            $0.link = link.number
            $0.request = id
            switch self {
            case .headers(let headers): $0.headers = Data(headers)
            case .objects(let kind, let objects):
                $0.objects = .with {
                    $0.kind = kind.protobuf
                    $0.objects = objects.map { Data($0) }
                }
            case .addresses(let addresses): $0.addresses = Altnet_Driver_V1_Addresses(addresses)
            case .refused(let refusal):
                $0.refused = .with {
                    $0.why = Altnet_Driver_V1_Refused.Why(rawValue: Int(refusal.rawValue)) ?? .unspecified
                }
            }
        }
    }
}

extension ObjectAnnouncement {
    init(_ message: Altnet_Driver_V1_Announcement) throws(DriverProtocolError) {
        switch message.what {
        case .tip(let tip):
            guard let header = BlockHeader(bytes: tip.header) else {
                throw DriverProtocolError("a tip of \(tip.header.count) bytes")
            }
            self = .tip(header: header, height: tip.height)
        case .transaction(let transaction):
            guard transaction.count <= ObjectAnswer.maximumObjectSize else {
                throw DriverProtocolError("a transaction of \(transaction.count) bytes")
            }
            self = .transaction([UInt8](transaction))
        case .addresses(let addresses): self = .addresses(try addresses.checked())
        case .peerRecord(let record):
            guard (1...ObjectRequest.maximumPeerRecordSize).contains(record.count) else {
                throw DriverProtocolError("a peer record of \(record.count) bytes")
            }
            self = .peerRecord([UInt8](record))
        case nil: throw DriverProtocolError("an announcement of nothing that this version knows")
        }
    }

    func protobuf(_ link: DriverLink) -> Altnet_Driver_V1_Announcement {
        .with {
            $0.link = link.number
            switch self {
            case .tip(let header, let height):
                $0.tip = .with {
                    $0.header = Data(header.bytes)
                    $0.height = height
                }
            case .transaction(let transaction): $0.transaction = Data(transaction)
            case .addresses(let addresses): $0.addresses = Altnet_Driver_V1_Addresses(addresses)
            case .peerRecord(let record): $0.peerRecord = Data(record)
            }
        }
    }
}

extension Altnet_Driver_V1_Addresses {
    /// The most addresses in one message, as in BIP 155.
    static let limit = 1000

    init(_ addresses: [NodeAddress]) {
        self = .with {
            $0.addresses = addresses.prefix(Self.limit).map { address in
                .with {
                    $0.lastSeen = address.lastSeen
                    $0.services = address.services
                    $0.networkID = UInt32(address.networkID)
                    $0.address = Data(address.address)
                    $0.port = UInt32(address.port)
                }
            }
        }
    }

    func checked() throws(DriverProtocolError) -> [NodeAddress] {
        guard self.addresses.count <= Self.limit else {
            throw DriverProtocolError("\(self.addresses.count) addresses in one message")
        }
        return try self.addresses.checkedMap { address throws(DriverProtocolError) in
            guard let networkID = UInt8(exactly: address.networkID), let port = UInt16(exactly: address.port),
                address.address.count <= NodeAddress.maximumAddressLength
            else { throw DriverProtocolError("an address out of the bounds of BIP 155") }
            return NodeAddress(
                lastSeen: address.lastSeen, services: address.services, networkID: networkID,
                address: [UInt8](address.address), port: port)
        }
    }
}

extension BlockHash {
    init(checked bytes: Data) throws(DriverProtocolError) {
        guard let hash = BlockHash(bytes: bytes) else {
            throw DriverProtocolError("a hash of \(bytes.count) bytes")
        }
        self = hash
    }
}
