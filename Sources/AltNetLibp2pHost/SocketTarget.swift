// SPDX-License-Identifier: MIT

internal import AltNetPeerRecords
internal import AltNetTransport
internal import Glibc

/// From multiaddresses to what sockets and proxies understand, and back.
enum SocketTarget {
    /// Where to connect to for an address; throws ``LinkFailure/undialable(_:)`` for what this host cannot dial.
    static func of(_ address: Multiaddress, hasProxy: Bool) throws(LinkFailure) -> HostAndPort {
        guard let endpoint = address.endpoint else {
            throw .undialable("\(address) names no host and port that can be connected to directly")
        }
        guard endpoint.transport == .tcp else {
            throw .undialable("\(address) needs \(endpoint.transport.rawValue), and this host speaks TCP only")
        }
        // The text of a component has no slash in it: no name and no number may hold one.
        let parts = address.description.split(separator: "/")
        guard parts.count >= 2 else { throw .undialable("\(address) names no host") }
        let host: String
        switch endpoint.host {
        case .ip4, .ip6:
            // A zone stands before its address.
            guard let index = parts.firstIndex(where: { $0 == "ip4" || $0 == "ip6" }), index + 1 < parts.count else {
                throw .undialable("\(address) names no host")
            }
            host = String(parts[index + 1])
            // Judged without the zone, which says nothing of where the address leads. Linux takes an unspecified address
            // for this machine's own.
            let reach = (try? Multiaddress(text: "/\(parts[index])/\(host)"))?.reach ?? .nowhere
            guard reach != .nowhere else {
                throw .undialable("\(address) leads nowhere that can be connected to: \(host) names no machine")
            }
            guard index == 0 || reach == .linkLocal else {
                throw .undialable("\(address) has a zone, which only link-local addresses have")
            }
        case .name(let name, _):
            // RFC 7686: names of hidden services are no matter of DNS, and asking for one tells the resolver of it.
            let last = name.lowercased().split(separator: ".").last
            guard last != "onion" || hasProxy else {
                throw .undialable("\(address) needs a SOCKS5 proxy of Tor, and none is configured")
            }
            guard last != "i2p" else { throw .undialable("\(address) is in I2P, which this host does not speak") }
            guard !Self.isNumeric(name) else {
                throw .undialable("\(address) has a number in the place of a name")
            }
            host = name
        case .onion3:
            guard hasProxy else { throw .undialable("\(address) needs a SOCKS5 proxy of Tor, and none is configured") }
            host = String(parts[1].prefix { $0 != ":" }) + ".onion"
        case .garlic: throw .undialable("\(address) is in I2P, which this host does not speak")
        }
        guard let target = HostAndPort("\(host.contains(":") ? "[\(host)]" : host):\(endpoint.port)") else {
            throw .undialable("\(address) names no host that can be connected to")
        }
        return target
    }

    /// Which IP addresses may be connected to for an address; `nil` where it holds one itself, which was looked at.
    ///
    /// - Parameter takesPrivate: also lets names lead to this machine and to private networks.
    static func check(of address: Multiaddress, takesPrivate: Bool) -> (@Sendable (String) -> Bool)? {
        guard case .name(_, let family)? = address.endpoint?.host else { return nil }
        return { found in
            // /dns4 and /dns6 name one family, whatever else the name leads to.
            guard family.map({ $0 == (found.contains(":") ? .ip6 : .ip4) }) ?? true else { return false }
            return switch Self.multiaddress(HostAndPort(host: found, port: 1))?.reach {
            case .global, .overlay: true
            case .loopback, .linkLocal, .privateRange: takesPrivate
            case .name, .nowhere, nil: false
            }
        }
    }

    /// Whether resolvers take a name for an IP address, also in the forms of old: `127.1`, `0x7f000001`.
    private static func isNumeric(_ name: String) -> Bool {
        var four = in_addr()
        var six = in6_addr()
        return inet_aton(name, &four) != 0 || inet_pton(AF_INET6, name, &six) == 1
    }

    /// Where to listen for an address: `/ip4/…/tcp/…` or `/ip6/…/tcp/…`, port 0 included.
    static func listening(_ address: Multiaddress) throws(LinkFailure) -> HostAndPort {
        let components = address.withoutPeerID.components
        let parts = address.description.split(separator: "/")
        guard components.count == 2, components[1].protocol == .tcp,
            components[0].protocol == .ip4 || components[0].protocol == .ip6, parts.count >= 4,
            let port = UInt16(parts[3])
        else { throw .undialable("\(address) cannot be listened on; it has to be /ip4/…/tcp/… or /ip6/…/tcp/…") }
        return HostAndPort(host: String(parts[1]), port: port)
    }

    /// The address of the other end of a socket; `nil` when it has none.
    static func multiaddress(_ socket: String) -> Multiaddress? {
        HostAndPort(socket).flatMap { Self.multiaddress($0) }
    }

    static func multiaddress(_ socket: HostAndPort) -> Multiaddress? {
        // IPv4 over a socket for both families.
        if socket.host.hasPrefix("::ffff:"), socket.host.contains(".") {
            return try? Multiaddress(text: "/ip4/\(socket.host.dropFirst(7))/tcp/\(socket.port)")
        }
        return try? Multiaddress(
            text: "/\(socket.host.contains(":") ? "ip6" : "ip4")/\(socket.host)/tcp/\(socket.port)")
    }
}
