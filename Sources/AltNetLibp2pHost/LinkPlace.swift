// SPDX-License-Identifier: MIT

internal import AltNetPeerRecords

/// Where the other end of a connection is, as far as can be told from the socket and not from a name.
struct LinkPlace: Sendable {
    /// The group of all who come over loopback and may be anybody.
    static let forwarded = "forwarded"
    /// The group of all names that a proxy resolved: who has a domain has as many names as it likes.
    static let proxiedNames = "names"

    /// The network that both are on; `nil` on the open network.
    let network: LocalNetwork?
    let networkGroup: String
    /// Where the other end is; `nil` when that cannot be told.
    let address: Multiaddress?

    /// Whether the other end is in a private range or on this machine, where groups say nothing.
    var isLocal: Bool { self.address?.isAmbiguous ?? false }

    /// - Parameters:
    ///   - address: what was dialled, or where an inbound connection comes from.
    ///   - socket: the other end of the socket.
    init(
        _ address: Multiaddress, socket: Multiaddress?, isInbound: Bool, _ configuration: HostConfiguration,
        _ networks: LocalNetworks
    ) {
        if isInbound, configuration.isForwarded(address) {
            (self.network, self.networkGroup, self.address) = (nil, Self.forwarded, nil)
            return
        }
        var place = address.withoutPeerID
        if case .name? = address.endpoint?.host {
            guard configuration.proxy == nil, let socket else {
                (self.network, self.networkGroup, self.address) = (nil, Self.proxiedNames, nil)
                return
            }
            place = socket
        }
        (self.network, self.networkGroup, self.address) = (networks.network(of: place), place.networkGroup, place)
    }
}
