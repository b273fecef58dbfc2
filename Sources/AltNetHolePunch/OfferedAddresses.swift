// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Where the other side of a coordination has to turn out to be, as its offers say: one address of each family at most,
/// without ports.
public struct OfferedAddresses: Hashable, Sendable {
    /// The port is 0.
    public private(set) var ipv4: ExternalEndpoint?
    /// The port is 0.
    public private(set) var ipv6: ExternalEndpoint?

    /// Nothing is demanded of the other side's addresses.
    public init() {}

    /// Throws for a second address of one family. The ports do not count.
    public init(_ addresses: [ExternalEndpoint]) throws(OfferedAddressesError) {
        for address in addresses {
            let place = address.isIPv4 ? \Self.ipv4 : \Self.ipv6
            guard self[keyPath: place] == nil else { throw .twoOfOneFamily(isIPv4: address.isIPv4) }
            self[keyPath: place] = ExternalEndpoint(address: address.address, port: 0)
        }
    }

    /// Reads addresses without ports, such as `192.0.2.1` and `2001:db8::1`.
    public init(hosts: [String]) throws(OfferedAddressesError) {
        var addresses: [ExternalEndpoint] = []
        for host in hosts {
            guard let address = ExternalEndpoint(host: host) else { throw .noAddress(host) }
            addresses.append(address)
        }
        try self.init(addresses)
    }

    /// IPv4 first.
    public var all: [ExternalEndpoint] { [self.ipv4, self.ipv6].compactMap { $0 } }

    /// Whether no address is named: any will do then.
    public var isEmpty: Bool { self.all.isEmpty }

    /// As texts, without ports.
    public var hosts: [String] { self.all.map(\.host) }

    public var networkGroups: Set<String> { Set(self.all.map(\.networkGroup)) }

    /// Whether the other side may be here. The choice between offers is made by network group, and a choice that the
    /// other side can undo afterwards is none: an address of a family that no offer named is none that was chosen.
    public func admits(_ endpoint: ExternalEndpoint) -> Bool {
        guard !self.isEmpty else { return true }
        return (endpoint.isIPv4 ? self.ipv4 : self.ipv6)?.networkGroup == endpoint.networkGroup
    }
}

/// Why texts are no addresses that one host can have.
public enum OfferedAddressesError: Error, Hashable, Sendable, CustomStringConvertible {
    case noAddress(String)
    case twoOfOneFamily(isIPv4: Bool)

    public var description: String {
        switch self {
        case .noAddress(let text): "\(UntrustedText(text)) is no IP address"
        case .twoOfOneFamily(let isIPv4): "there are two \(isIPv4 ? "IPv4" : "IPv6") addresses, and one is the most"
        }
    }
}
