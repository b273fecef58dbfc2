// SPDX-License-Identifier: MIT

internal import AltNetHolePunch
internal import AltNetTransport
internal import NIOCore
internal import NIOPosix

/// The addresses that this machine would use towards the Internet.
struct OwnAddresses: Hashable, Sendable {
    /// Private behind a NAT; `nil` without a way to the IPv4 Internet. The port is 0.
    let ipv4: ExternalEndpoint?
    /// The same over IPv6. The system prefers temporary addresses (RFC 8981), if it has some.
    let ipv6: ExternalEndpoint?
    /// The local network's name: many networks give out the same addresses. `nil` while the gateway is not known.
    let network: String?

    /// Whether this is another network than `earlier`. A gateway whose hardware address the system has not learnt, or
    /// has forgotten, makes none.
    func hasMoved(from earlier: OwnAddresses) -> Bool {
        guard self.ipv4 == earlier.ipv4, self.ipv6 == earlier.ipv6 else { return true }
        guard let network = self.network, let before = earlier.network else { return false }
        return network != before
    }

    /// Asks the routing table.
    static func read() async -> OwnAddresses {
        OwnAddresses(
            ipv4: await Self.towards(Self.far.ipv4), ipv6: await Self.towards(Self.far.ipv6),
            network: LocalSurroundings.look().defaultNetwork)
    }

    /// Somewhere far away: one of the Internet's root servers. Nothing is ever sent there.
    private static let far = (ipv4: "198.41.0.4", ipv6: "2001:503:ba3e::2:30")

    /// Connecting a UDP socket sends nothing; it only looks up the route.
    private static func towards(_ address: String) async -> ExternalEndpoint? {
        guard let remote = try? SocketAddress(ipAddress: address, port: 53),
            let channel = try? await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(to: remote).get()
        else { return nil }
        let host = channel.localAddress?.ipAddress
        try? await channel.close()
        return host.flatMap { ExternalEndpoint(host: $0) }
    }
}
