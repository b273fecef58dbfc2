// SPDX-License-Identifier: MIT

/// Somebody to call: an endpoint, and where it has to turn out to be.
public struct PunchCandidate: Hashable, Sendable {
    public let endpoint: CoordinationEndpoint
    /// Empty where no offer of the endpoint names an address that is believed.
    public let addresses: OfferedAddresses

    public init(endpoint: CoordinationEndpoint, addresses: OfferedAddresses) {
        self.endpoint = endpoint
        self.addresses = addresses
    }

    /// Everything that offers of one endpoint can mean: each IPv4 address with each IPv6 address, because of two of one
    /// family at least one is a lie. Where an address is named, the endpoint alone is no candidate.
    static func all(of endpoint: CoordinationEndpoint, _ offers: [PunchOffer]) -> [Self] {
        let located = offers.compactMap { $0.clearnet.flatMap { ExternalEndpoint(address: $0, port: 0) } }
        let families = [located.filter(\.isIPv4), located.filter { !$0.isIPv4 }].filter { !$0.isEmpty }
        let choices = families.reduce([[ExternalEndpoint]]([[]])) { choices, family in
            choices.flatMap { choice in family.map { choice + [$0] } }
        }
        return choices.compactMap { choice in
            (try? OfferedAddresses(choice)).map { Self(endpoint: endpoint, addresses: $0) }
        }
    }

    /// The offers that it was put together from, those without an address not among them.
    public var located: [PunchOffer] {
        self.addresses.all.compactMap { PunchOffer(endpoint: self.endpoint, clearnet: $0.address) }
    }

    /// What the offers of it that name an address come to when the other side named another one.
    ///
    /// - Parameter path: the path on which it did.
    /// - Returns: the offer of the path's family; where there is none, all of them, as one of them at least does not say
    ///   all, and nobody knows which.
    public func lies(on path: PunchPath?) -> [PunchOffer] {
        guard let path else { return self.located }
        let guilty = self.located.filter { $0.isIPv4 == (path != .ipv6) }
        return guilty.isEmpty ? self.located : guilty
    }

    /// The network group that it counts in; empty without an address. With addresses of both families that of IPv4,
    /// where addresses are dearer.
    var drawnGroup: String { self.addresses.all.first?.networkGroup ?? "" }
}
