// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetBitcoin

/// "I take punched connections; ask here": what is announced by `addrv2`, in either of two encodings.
public struct PunchOffer: Hashable, Sendable, CustomStringConvertible {
    /// NODE_HOLEPUNCH: bits 24 to 31 of the services are for experiments.
    public static let serviceFlag: UInt64 = 1 << 27
    /// The BIP 155 network id of the encoding that holds endpoint and clearnet address together.
    public static let networkID: UInt8 = 0xf0
    /// The first byte of an address of ``networkID``.
    static let version: UInt8 = 1

    /// Where to ask: an onion service or an I2P destination.
    public let endpoint: CoordinationEndpoint
    /// Where the connection will go to, without a port, when the offer tells: 4 or 16 bytes.
    public let clearnet: [UInt8]?

    /// `nil` for an endpoint that is not announced, and for a clearnet address of neither 4 nor 16 bytes.
    public init?(endpoint: CoordinationEndpoint, clearnet: [UInt8]?) {
        guard endpoint.isAnnounced, clearnet.map({ $0.count == 4 || $0.count == 16 }) ?? true else { return nil }
        self.endpoint = endpoint
        self.clearnet = clearnet
    }

    /// Whether an entry is an offer, well-formed or not: such entries are never kept as addresses of nodes.
    public static func isOffer(_ address: NodeAddress) -> Bool {
        address.networkID == Self.networkID || address.services & Self.serviceFlag != 0
    }

    /// Reads either encoding. `nil` when the entry is none, is malformed, or names a clearnet address to which nobody
    /// could connect.
    ///
    /// - Parameter allowPrivate: whether private clearnet addresses are fine: labs and tests.
    public init?(_ address: NodeAddress, allowPrivate: Bool = false) {
        guard address.networkID == Self.networkID else {
            guard address.services & Self.serviceFlag != 0,
                let endpoint = Self.endpoint(address.networkID, address.address[...], port: address.port)
            else { return nil }
            self.init(endpoint: endpoint, clearnet: nil)
            return
        }
        var reader = ByteReader(address.address)
        guard let version: UInt8 = try? reader.littleEndian(), version == Self.version,
            let network: UInt8 = try? reader.littleEndian(), let key = try? reader.bytes(32),
            let endpoint = Self.endpoint(network, key, port: address.port),
            let code: UInt8 = try? reader.littleEndian(), let family = AddressFamily(rawValue: code),
            reader.count == family.length,
            let clearnet = ExternalEndpoint(address: Array(reader.rest()), port: 0),
            clearnet.address.count == family.length, clearnet.refusedHost(allowPrivate: allowPrivate) == nil
        else { return nil }
        self.init(endpoint: endpoint, clearnet: clearnet.address)
    }

    private static func endpoint(_ network: UInt8, _ key: ArraySlice<UInt8>, port: UInt16) -> CoordinationEndpoint? {
        guard key.count == CoordinationEndpoint.keyLength else { return nil }
        switch NodeAddress.Medium(rawValue: network) {
        case .torV3: return port == 0 ? nil : .onion(publicKey: Array(key), port: port)
        // BIP 155: an I2P address has port 0.
        case .i2p: return port == 0 ? .i2p(hash: Array(key)) : nil
        default: return nil
        }
    }

    /// The entries that say where an endpoint leads to: the endpoint with the service flag, and one entry of both together
    /// for each address. None for an endpoint that is not announced.
    public static func encodings(
        of endpoint: CoordinationEndpoint, at addresses: OfferedAddresses, time: UInt32
    ) -> [NodeAddress] {
        let plain = PunchOffer(endpoint: endpoint, clearnet: nil)?.encodings(time: time) ?? []
        let located = PunchCandidate(endpoint: endpoint, addresses: addresses).located
        return plain + located.compactMap { $0.encodings(time: time).last }
    }

    /// The entries that say it: the endpoint with the service flag, and, where the clearnet address is known, both
    /// together.
    ///
    /// - Parameter time: when it is announced, in seconds since 1970; ten minutes later it is gone.
    public func encodings(time: UInt32) -> [NodeAddress] {
        let network: NodeAddress.Medium
        let key: [UInt8]
        let port: UInt16
        switch self.endpoint {
        case .onion(let publicKey, let virtualPort): (network, key, port) = (.torV3, publicKey, virtualPort)
        case .i2p(let hash): (network, key, port) = (.i2p, hash, 0)
        case .direct: return []
        }
        func entry(_ networkID: UInt8, _ address: [UInt8]) -> NodeAddress {
            NodeAddress(
                lastSeen: time, services: Self.serviceFlag, networkID: networkID, address: address, port: port)
        }
        let plain = entry(network.rawValue, key)
        guard let clearnet = self.clearnet else { return [plain] }
        let family: AddressFamily = clearnet.count == 4 ? .ipv4 : .ipv6
        return [plain, entry(Self.networkID, [Self.version, network.rawValue] + key + [family.rawValue] + clearnet)]
    }

    public var description: String {
        guard let clearnet = self.clearnet, let host = ExternalEndpoint(address: clearnet, port: 0)?.host else {
            return self.endpoint.description
        }
        return "\(self.endpoint) to \(host)"
    }

    /// Whether the clearnet address is one of IPv4; `nil` without one.
    var isIPv4: Bool? { self.clearnet.map { $0.count == 4 } }

    /// The network group of the clearnet address, when the offer tells it.
    public var networkGroup: String? {
        self.clearnet.flatMap { ExternalEndpoint(address: $0, port: 0)?.networkGroup }
    }
}
