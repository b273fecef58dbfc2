// SPDX-License-Identifier: MIT

internal import AltNetBase

extension P2PMessage {
    /// Reads a payload whose checksum has been checked. An unknown command is no error.
    public init(command: String, payload: [UInt8]) throws(P2PPayloadError) {
        var reader = P2PPayloadReader(payload)
        switch command {
        case "version":
            // The two messages that may go on after what we know return early.
            self = .version(try P2PVersion(reader: &reader))
            return
        case "ping":
            self = .ping(try reader.integer())
            return
        case "verack": self = .verack
        case "wtxidrelay": self = .wtxidrelay
        case "sendaddrv2": self = .sendaddrv2
        case "sendheaders": self = .sendheaders
        case "sendcmpct":
            self = .sendcmpct(highBandwidth: try reader.boolean(), version: try reader.integer())
        case "feefilter": self = .feefilter(try reader.integer())
        case "pong": self = .pong(try reader.integer())
        case "getheaders": self = try Self.getheaders(&reader)
        case "headers": self = .headers(try reader.headers())
        case "inv": self = .inv(try reader.inventory())
        case "getdata": self = .getdata(try reader.inventory())
        case "notfound": self = .notfound(try reader.inventory())
        case "addr": self = .addr(try reader.list(P2PPayloadReader.address))
        case "addrv2": self = .addrv2(try reader.list(P2PPayloadReader.addressV2))
        case "getaddr": self = .getaddr
        case "block":
            let header = try reader.bytes(BlockHeader.size)
            self = .block(Array(header) + reader.rest())
        case "tx": self = .tx(Array(reader.rest()))
        case "feature":
            self = .feature(
                P2PFeature(
                    name: try reader.field(P2PFeature.nameLengths),
                    data: try reader.field(0...P2PFeature.maximumDataLength)))
        case "getpeerrecs": self = try Self.getpeerrecs(&reader)
        case "peerrecs": self = .peerrecs(try reader.fields(1...Self.maximumPeerRecordSize))
        case "newpeerrec": self = .newpeerrec(try reader.field(1...Self.maximumPeerRecordSize))
        default:
            self = .unknown(command: command, size: payload.count)
            return
        }
        try reader.expectEnd()
    }

    private static func getheaders(_ reader: inout P2PPayloadReader) throws(P2PPayloadError) -> P2PMessage {
        // The sender's protocol version once more; no reader has ever used it.
        _ = try reader.integer(UInt32.self)
        var locator: [BlockHash] = []
        for _ in 0..<(try reader.count(limit: Self.maximumLocatorLength)) { locator.append(try reader.hash()) }
        return .getheaders(locator: locator, stop: try reader.hash())
    }

    private static func getpeerrecs(_ reader: inout P2PPayloadReader) throws(P2PPayloadError) -> P2PMessage {
        let limit: UInt8 = try reader.integer()
        let expected = 1...UInt64(Self.maximumPeerRecords)
        guard expected.contains(UInt64(limit)) else { throw .outOfRange(UInt64(limit), expected: expected) }
        return .getpeerrecs(of: try reader.fields(1...Self.maximumPeerIDSize), limit: limit)
    }
}

/// Reads payloads: a ``ByteReader`` that throws our own errors and knows Bitcoin's composite fields.
struct P2PPayloadReader {
    /// `::ffff:0:0/96`, under which IPv4 addresses travel in `addr`.
    static let mappedIPv4Prefix: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
    /// `fd87:d87e:eb43::/48` (OnionCat), under which onion addresses of version 2 travelled in `addr`.
    static let onionPrefix: [UInt8] = [0xfd, 0x87, 0xd8, 0x7e, 0xeb, 0x43]

    private var reader: ByteReader

    init(_ payload: [UInt8]) {
        self.reader = ByteReader(payload)
    }

    var isAtEnd: Bool { self.reader.isAtEnd }

    mutating func rest() -> ArraySlice<UInt8> { self.reader.rest() }

    mutating func bytes(_ count: Int) throws(P2PPayloadError) -> ArraySlice<UInt8> {
        do { return try self.reader.bytes(count) } catch { throw .bytes(error) }
    }

    mutating func integer<Value: FixedWidthInteger>(
        _ type: Value.Type = Value.self
    ) throws(P2PPayloadError) -> Value {
        do { return try self.reader.littleEndian(type) } catch { throw .bytes(error) }
    }

    mutating func port() throws(P2PPayloadError) -> UInt16 {
        do { return try self.reader.bigEndian() } catch { throw .bytes(error) }
    }

    mutating func compactSize() throws(P2PPayloadError) -> UInt64 {
        do { return try self.reader.compactSize() } catch { throw .bytes(error) }
    }

    mutating func count(limit: Int) throws(P2PPayloadError) -> Int {
        do { return try self.reader.compactCount(limit: limit) } catch { throw .bytes(error) }
    }

    /// Bytes behind their length.
    mutating func field(_ lengths: ClosedRange<Int>) throws(P2PPayloadError) -> [UInt8] {
        let length = try self.count(limit: lengths.upperBound)
        guard lengths.contains(length) else {
            throw .outOfRange(
                UInt64(length), expected: UInt64(lengths.lowerBound)...UInt64(lengths.upperBound))
        }
        return Array(try self.bytes(length))
    }

    /// As many such fields as there are peer records in one message, at most.
    mutating func fields(_ lengths: ClosedRange<Int>) throws(P2PPayloadError) -> [[UInt8]] {
        var fields: [[UInt8]] = []
        for _ in 0..<(try self.count(limit: P2PMessage.maximumPeerRecords)) { fields.append(try self.field(lengths)) }
        return fields
    }

    func expectEnd() throws(P2PPayloadError) {
        do { try self.reader.expectEnd() } catch { throw .bytes(error) }
    }

    mutating func boolean() throws(P2PPayloadError) -> Bool {
        let value = try self.integer(UInt8.self)
        guard value <= 1 else { throw .notABoolean(value) }
        return value == 1
    }

    mutating func hash() throws(P2PPayloadError) -> BlockHash {
        try self.bytes(32).withUnsafeBytes { BlockHash(unaligned: $0) }
    }

    mutating func headers() throws(P2PPayloadError) -> [UInt8] {
        let count = try self.count(limit: P2PMessage.maximumHeaders)
        var headers: [UInt8] = []
        for index in 0..<count {
            headers.append(contentsOf: try self.bytes(BlockHeader.size))
            guard try self.compactSize() == 0 else { throw .headerWithTransactions(index: index) }
        }
        return headers
    }

    mutating func inventory() throws(P2PPayloadError) -> [P2PInventory] {
        var inventory: [P2PInventory] = []
        for _ in 0..<(try self.count(limit: P2PMessage.maximumInventory)) {
            inventory.append(P2PInventory(type: try self.integer(), hash: try self.hash()))
        }
        return inventory
    }

    /// A list of addresses, each read by `element`.
    mutating func list(
        _ element: (inout Self) throws(P2PPayloadError) -> NodeAddress
    ) throws(P2PPayloadError) -> [NodeAddress] {
        var addresses: [NodeAddress] = []
        for _ in 0..<(try self.count(limit: P2PMessage.maximumAddresses)) { addresses.append(try element(&self)) }
        return addresses
    }

    static func address(_ reader: inout Self) throws(P2PPayloadError) -> NodeAddress {
        let lastSeen: UInt32 = try reader.integer()
        let services: UInt64 = try reader.integer()
        let field = try reader.bytes(16)
        let port = try reader.port()
        let (medium, prefix): (NodeAddress.Medium, Int) =
            if field.starts(with: Self.mappedIPv4Prefix) {
                (.ipv4, Self.mappedIPv4Prefix.count)
            } else if field.starts(with: Self.onionPrefix) {
                (.torV2, Self.onionPrefix.count)
            } else {
                (.ipv6, 0)
            }
        return NodeAddress(
            lastSeen: lastSeen,
            services: services,
            networkID: medium.rawValue,
            address: Array(field.dropFirst(prefix)),
            port: port
        )
    }

    static func addressV2(_ reader: inout Self) throws(P2PPayloadError) -> NodeAddress {
        let lastSeen: UInt32 = try reader.integer()
        let services = try reader.compactSize()
        let networkID: UInt8 = try reader.integer()
        let length = try reader.count(limit: NodeAddress.maximumAddressLength)
        if let medium = NodeAddress.Medium(rawValue: networkID), medium.addressLength != length {
            throw .wrongAddressLength(networkID: networkID, length: length)
        }
        return NodeAddress(
            lastSeen: lastSeen,
            services: services,
            networkID: networkID,
            address: Array(try reader.bytes(length)),
            port: try reader.port()
        )
    }
}
