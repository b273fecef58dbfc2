// SPDX-License-Identifier: MIT

internal import AltNetHolePunch
internal import NIOCore
internal import NIOPosix

/// The addresses that this machine would use towards the Internet.
struct OwnAddresses: Hashable, Sendable {
    /// Private behind a NAT; `nil` without a way to the IPv4 Internet. The port is 0.
    let ipv4: ExternalEndpoint?
    /// The same over IPv6. The system prefers temporary addresses (RFC 8981), if it has some.
    let ipv6: ExternalEndpoint?

    /// Asks the routing table.
    static func read() async -> OwnAddresses {
        OwnAddresses(ipv4: await Self.towards(Self.far.ipv4), ipv6: await Self.towards(Self.far.ipv6))
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
        guard let host else { return nil }
        return ExternalEndpoint(host.contains(":") ? "[\(host)]:0" : "\(host):0")
    }
}
