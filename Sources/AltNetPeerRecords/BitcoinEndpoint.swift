// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetBitcoin
internal import AltNetLightning

/// Why something is no address of a Bitcoin node.
public enum BitcoinEndpointError: Error, Hashable, Sendable, CustomStringConvertible {
    /// BIP 155 gives the network another length, or the address is longer than any.
    case badLength(networkID: UInt8, count: Int)
    /// Onion services of version 2, which Tor no longer has.
    case torV2
    /// Port 0 where the network has ports, or a port where it has none.
    case badPort
    /// An IPv4 address as IPv6, or an address outside its network's range.
    case badAddress(networkID: UInt8)
    case badText

    public var description: String {
        switch self {
        case .badLength(let network, let count):
            "an address of network \(network) has \(count) bytes, which BIP 155 does not allow"
        case .torV2: "onion services of version 2 are no more"
        case .badPort: "a Bitcoin address has port 0 where there are ports, or a port where there are none"
        case .badAddress(let network): "an address is none of network \(network)"
        case .badText: "a Bitcoin address is written as host:port, with IPv6 in brackets"
        }
    }
}

/// Where a Bitcoin node accepts connections, in BIP 155's networks, and what it offers there.
public struct BitcoinEndpoint: Hashable, Sendable {
    /// The BIP 155 network; numbers that we do not know are kept.
    public let networkID: UInt8
    /// In the network's own encoding.
    public let address: [UInt8]
    /// 0 where the network has no ports: I2P.
    public let port: UInt16
    /// The service bits.
    public let services: UInt64

    public init(networkID: UInt8, address: [UInt8], port: UInt16, services: UInt64) throws(BitcoinEndpointError) {
        self.networkID = networkID
        self.address = address
        self.port = port
        self.services = services
        guard let medium = NodeAddress.Medium(rawValue: networkID) else {
            guard (1...NodeAddress.maximumAddressLength).contains(address.count) else {
                throw .badLength(networkID: networkID, count: address.count)
            }
            return
        }
        guard address.count == medium.addressLength else {
            throw .badLength(networkID: networkID, count: address.count)
        }
        guard (port == 0) == (medium == .i2p) else { throw .badPort }
        switch medium {
        case .torV2: throw .torV2
        case .ipv4, .torV3, .i2p: break
        case .ipv6:
            guard !address.starts(with: Self.mapped) else { throw .badAddress(networkID: networkID) }
        case .cjdns: guard address[0] == 0xfc else { throw .badAddress(networkID: networkID) }
        case .yggdrasil: guard address[0] & 0xfe == 0x02 else { throw .badAddress(networkID: networkID) }
        }
    }

    private static let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
    private static let i2pSuffix = ".b32.i2p"

    /// Reads `192.0.2.1:8333`, `[2001:db8::1]:8333`, `….onion:8333` or `….b32.i2p:0`.
    public init(text: String, services: UInt64) throws(BitcoinEndpointError) {
        if let host = Self.i2pHost(text) {
            guard let hash = Base32.decode(host) else { throw .badText }
            try self.init(
                networkID: NodeAddress.Medium.i2p.rawValue, address: hash, port: 0, services: services)
            return
        }
        guard let endpoint = try? LightningAddress(text: text) else { throw .badText }
        let medium: NodeAddress.Medium
        let address: [UInt8]
        switch endpoint.host {
        case .ipv4(let bytes): (medium, address) = (.ipv4, bytes)
        case .ipv6(let bytes): (medium, address) = (Self.medium(ofIPv6: bytes), bytes)
        case .torV3(let key): (medium, address) = (.torV3, key)
        case .name: throw .badText
        }
        try self.init(networkID: medium.rawValue, address: address, port: endpoint.port, services: services)
    }

    private static func i2pHost(_ text: String) -> String? {
        let host = text.hasSuffix(":0") ? text.dropLast(2) : text[...]
        return host.hasSuffix(Self.i2pSuffix) ? String(host.dropLast(Self.i2pSuffix.utf8.count)).lowercased() : nil
    }

    private static func medium(ofIPv6 bytes: [UInt8]) -> NodeAddress.Medium {
        switch bytes[0] {
        case 0xfc: .cjdns
        case 0x02, 0x03: .yggdrasil
        default: .ipv6
        }
    }

    /// The address as it is read; of networks that we do not know, their number and hexadecimal digits.
    public var text: String {
        switch NodeAddress.Medium(rawValue: self.networkID) {
        case .ipv4: "\(IPAddressText.text(ipv4: self.address)):\(self.port)"
        case .ipv6, .cjdns, .yggdrasil: "[\(IPAddressText.text(ipv6: self.address))]:\(self.port)"
        case .torV3: "\(OnionAddress.name(of: self.address)):\(self.port)"
        case .i2p: "\(Base32.encode(self.address))\(Self.i2pSuffix):0"
        case .torV2, nil: "network \(self.networkID) \(Hex.encode(self.address)):\(self.port)"
        }
    }

    // MARK: - Bytes

    var encoded: [UInt8] {
        var writer = ProtobufWriter()
        if self.services > 0 { writer.varint(1, self.services) }
        writer.varint(2, UInt64(self.networkID))
        writer.bytes(3, self.address)
        if self.port > 0 { writer.varint(4, UInt64(self.port)) }
        return writer.encoded
    }

    init(decoding bytes: ArraySlice<UInt8>) throws(NodeAddressError) {
        var numbers: [Int: UInt64] = [:]
        var address: ArraySlice<UInt8>?
        var reader = ProtobufReader(bytes)
        while let (field, value) = try NodeAddressError.next(&reader) {
            switch field {
            case 1, 2, 4:
                guard let number = value.number, numbers.updateValue(number, forKey: field) == nil else {
                    throw .badField(NodeAddressRecord.Field.bitcoin)
                }
            case 3:
                guard let found = value.bytes, address == nil else { throw .badField(NodeAddressRecord.Field.bitcoin) }
                address = found
            default: break
            }
        }
        guard let network = UInt8(exactly: numbers[2] ?? 0), network > 0, let port = UInt16(exactly: numbers[4] ?? 0)
        else { throw .badField(NodeAddressRecord.Field.bitcoin) }
        do {
            try self.init(
                networkID: network, address: Array(address ?? []), port: port, services: numbers[1] ?? 0)
        } catch {
            throw .bitcoin(error)
        }
    }
}
