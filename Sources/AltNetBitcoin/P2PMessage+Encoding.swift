// SPDX-License-Identifier: MIT

internal import AltNetBase

extension P2PMessage {
    /// The version of the protocol that AltNet speaks where it has no features to tell of: with BIP 155 and BIP 339.
    public static let protocolVersion: Int32 = 70016
    /// The version from which on features are negotiated: BIP 434.
    public static let featureProtocolVersion: Int32 = 70017

    /// The message as it travels: header and payload. The caller keeps to the limits of each message.
    public func encoded(for network: Network) -> [UInt8] {
        Self.frame(command: self.command, payload: self.payload, network: network)
    }

    /// A header in front of any payload; a command longer than twelve bytes is cut.
    public static func frame(command: String, payload: [UInt8], network: Network) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(P2PMessageHeader.size + payload.count)
        P2PMessageHeader(command: command, payload: payload).append(to: &bytes, network: network)
        bytes.append(contentsOf: payload)
        return bytes
    }

    /// The bytes after the header.
    public var payload: [UInt8] {
        var bytes: [UInt8] = []
        switch self {
        case .version(let version): version.append(to: &bytes)
        case .verack, .wtxidrelay, .sendaddrv2, .sendheaders, .getaddr: break
        case .sendcmpct(let highBandwidth, let version):
            bytes.append(highBandwidth ? 1 : 0)
            bytes.appendLittleEndian(version)
        case .feefilter(let rate): bytes.appendLittleEndian(rate)
        case .ping(let nonce), .pong(let nonce): bytes.appendLittleEndian(nonce)
        case .getheaders(let locator, let stop):
            bytes.appendLittleEndian(Self.protocolVersion)
            bytes.appendCompactSize(UInt64(locator.count))
            for hash in locator { bytes.append(contentsOf: hash.bytes) }
            bytes.append(contentsOf: stop.bytes)
        case .headers(let headers): Self.append(headers: headers, to: &bytes)
        case .inv(let inventory), .getdata(let inventory), .notfound(let inventory):
            bytes.appendCompactSize(UInt64(inventory.count))
            for entry in inventory {
                bytes.appendLittleEndian(entry.type)
                bytes.append(contentsOf: entry.hash.bytes)
            }
        case .addr(let addresses): Self.append(addresses: addresses, to: &bytes)
        case .addrv2(let addresses):
            bytes.appendCompactSize(UInt64(addresses.count))
            for address in addresses {
                bytes.appendLittleEndian(address.lastSeen)
                bytes.appendCompactSize(address.services)
                bytes.append(address.networkID)
                bytes.appendCompactSize(UInt64(address.address.count))
                bytes.append(contentsOf: address.address)
                bytes.appendBigEndian(address.port)
            }
        case .block(let raw), .tx(let raw): bytes = raw
        case .feature(let feature): Self.append(fields: [feature.name, feature.data], to: &bytes)
        case .getpeerrecs(let peers, let limit):
            bytes.append(limit)
            bytes.appendCompactSize(UInt64(peers.count))
            Self.append(fields: peers, to: &bytes)
        case .peerrecs(let records):
            bytes.appendCompactSize(UInt64(records.count))
            Self.append(fields: records, to: &bytes)
        case .newpeerrec(let record): Self.append(fields: [record], to: &bytes)
        case .unknown(_, let size): bytes = [UInt8](repeating: 0, count: size)
        }
        return bytes
    }

    private static func append(fields: [[UInt8]], to bytes: inout [UInt8]) {
        for field in fields {
            bytes.appendCompactSize(UInt64(field.count))
            bytes.append(contentsOf: field)
        }
    }

    private static func append(headers: [UInt8], to bytes: inout [UInt8]) {
        let count = headers.count / BlockHeader.size
        bytes.appendCompactSize(UInt64(count))
        for index in 0..<count {
            bytes.append(contentsOf: headers[index * BlockHeader.size..<(index + 1) * BlockHeader.size])
            bytes.append(0)
        }
    }

    private static func append(addresses: [NodeAddress], to bytes: inout [UInt8]) {
        let fields = addresses.compactMap { address in
            Self.legacyField(of: address).map { (address: address, field: $0) }
        }
        bytes.appendCompactSize(UInt64(fields.count))
        for (address, field) in fields {
            bytes.appendLittleEndian(address.lastSeen)
            bytes.appendLittleEndian(address.services)
            bytes.append(contentsOf: field)
            bytes.appendBigEndian(address.port)
        }
    }

    /// Whether an address can be told in `addr`; `addrv2` carries all.
    public static func fitsAddr(_ address: NodeAddress) -> Bool { Self.legacyField(of: address) != nil }

    /// The 16 bytes of an address in `addr`, or `nil` when it does not fit there.
    private static func legacyField(of address: NodeAddress) -> [UInt8]? {
        guard let medium = address.medium, address.address.count == medium.addressLength else { return nil }
        return switch medium {
        case .ipv4: P2PPayloadReader.mappedIPv4Prefix + address.address
        case .ipv6: address.address
        case .torV2: P2PPayloadReader.onionPrefix + address.address
        case .torV3, .i2p, .cjdns, .yggdrasil: nil
        }
    }
}
