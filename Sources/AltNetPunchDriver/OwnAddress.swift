// SPDX-License-Identifier: MIT

internal import AltNetHolePunch
internal import Glibc

/// The addresses that this machine would use towards the Internet.
enum OwnAddress {
    /// The address that a connection to somewhere far away would come from; `nil` without a way there. Nothing is sent:
    /// connecting a UDP socket only asks the routing table.
    static func towards(_ remote: ExternalEndpoint) -> ExternalEndpoint? {
        let family = remote.isIPv4 ? AF_INET : AF_INET6
        let descriptor = socket(family, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        return remote.isIPv4 ? Self.ipv4(descriptor, remote) : Self.ipv6(descriptor, remote)
    }

    private static func ipv4(_ descriptor: Int32, _ remote: ExternalEndpoint) -> ExternalEndpoint? {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = remote.port.bigEndian
        withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: remote.address) }
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isFound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard isFound else { return nil }
        return ExternalEndpoint(address: withUnsafeBytes(of: address.sin_addr) { Array($0) }, port: 0)
    }

    private static func ipv6(_ descriptor: Int32, _ remote: ExternalEndpoint) -> ExternalEndpoint? {
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = remote.port.bigEndian
        withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: remote.address) }
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let isFound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard isFound else { return nil }
        return ExternalEndpoint(address: withUnsafeBytes(of: address.sin6_addr) { Array($0) }, port: 0)
    }

    /// Somewhere far away: the blocks of addresses that the Internet's first root server is in.
    private static let farIPv4 = ExternalEndpoint("198.41.0.4:53")
    private static let farIPv6 = ExternalEndpoint("[2001:503:ba3e::2:30]:53")

    /// The address of this machine towards the Internet over IPv4; private behind a NAT.
    static var ipv4: ExternalEndpoint? { Self.farIPv4.flatMap(Self.towards) }

    /// The same over IPv6. The system prefers temporary addresses (RFC 8981), if it has some.
    static var ipv6: ExternalEndpoint? { Self.farIPv6.flatMap(Self.towards) }
}
