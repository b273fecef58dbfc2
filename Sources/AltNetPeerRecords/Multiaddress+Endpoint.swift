// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

extension Multiaddress {
    /// What has to be reached first.
    public enum Host: Hashable, Sendable {
        /// 4 bytes.
        case ip4([UInt8])
        /// 16 bytes.
        case ip6([UInt8])
        /// A name, and the address family that it is to be resolved in; `nil` for either.
        case name(String, family: MultiaddressProtocol?)
        /// Onion service of version 3: 35 bytes.
        case onion3([UInt8])
        /// I2P: the destination or its hash.
        case garlic([UInt8])
    }

    /// How bytes travel to the host.
    public enum Transport: String, Hashable, Sendable, CaseIterable {
        case tcp, ws, wss, quic, udp
    }

    /// Host, port and transport of an address that can be dialled directly.
    public struct Endpoint: Hashable, Sendable {
        public let host: Host
        public let port: UInt16
        public let transport: Transport
    }

    /// The endpoint; `nil` for addresses over a relay, for Unix sockets, and for what is not understood.
    public var endpoint: Endpoint? {
        var parts = self.components.filter { $0.protocol != .ip6zone }[...]
        if parts.last?.protocol == .p2p { parts = parts.dropLast() }
        guard let first = parts.popFirst(), let firstProtocol = first.protocol else { return nil }
        let host: Host
        switch firstProtocol {
        case .ip4: host = .ip4(first.value)
        case .ip6: host = .ip6(first.value)
        case .dns: host = .name(String(decoding: first.value, as: UTF8.self), family: nil)
        case .dns4: host = .name(String(decoding: first.value, as: UTF8.self), family: .ip4)
        case .dns6: host = .name(String(decoding: first.value, as: UTF8.self), family: .ip6)
        case .onion3:
            guard parts.isEmpty else { return nil }
            return Endpoint(
                host: .onion3(Array(first.value.prefix(35))), port: MultiaddressProtocol.port(first.value.suffix(2)),
                transport: .tcp)
        case .garlic32, .garlic64:
            guard parts.isEmpty else { return nil }
            return Endpoint(host: .garlic(first.value), port: 0, transport: .tcp)
        default: return nil
        }
        guard let second = parts.popFirst() else { return nil }
        let port = MultiaddressProtocol.port(second.value)
        guard port != 0, let transport = Self.transport(second.protocol, parts) else { return nil }
        return Endpoint(host: host, port: port, transport: transport)
    }

    private static func transport(_ first: MultiaddressProtocol?, _ rest: ArraySlice<Component>) -> Transport? {
        let names = rest.compactMap { $0.protocol?.name }.filter { $0 != "sni" }
        guard names.count + rest.count(where: { $0.protocol == .sni }) == rest.count else { return nil }
        switch (first, names) {
        case (.tcp?, []): return .tcp
        case (.tcp?, ["ws"]): return .ws
        case (.tcp?, ["wss"]), (.tcp?, ["tls", "ws"]): return .wss
        case (.udp?, []): return .udp
        case (.udp?, ["quic-v1"]): return .quic
        default: return nil
        }
    }

    /// Where an address means the same thing.
    public enum Reach: Hashable, Sendable {
        /// Everywhere on the Internet.
        case global
        /// Only on the network where somebody told it: this machine, the link, or a private range.
        case loopback, linkLocal, privateRange
        /// Everywhere in an overlay network.
        case overlay
        /// A name, which may be anything.
        case name
        /// Nothing that can be told: unspecified and multicast addresses, Unix sockets, what is not understood.
        case nowhere
    }

    /// Where the address, or the first hop of a relayed one, means the same thing.
    public var reach: Reach {
        guard let first = self.components.first, let known = first.protocol else { return .nowhere }
        switch known {
        case .ip4: return Self.reach(ip4: first.value)
        case .ip6: return Self.reach(ip6: first.value)
        case .dns, .dns4, .dns6, .dnsaddr: return .name
        case .onion3, .garlic32, .garlic64: return .overlay
        default: return .nowhere
        }
    }

    /// Whether the address leads to different machines on different networks.
    public var isAmbiguous: Bool {
        switch self.reach {
        case .loopback, .linkLocal, .privateRange: true
        case .global, .overlay, .name, .nowhere: false
        }
    }

    /// RFC 6890's registry of special addresses.
    private static func reach(ip4 bytes: [UInt8]) -> Reach {
        switch (bytes[0], bytes[1], bytes[2]) {
        case (127, _, _): .loopback
        case (169, 254, _): .linkLocal
        case (10, _, _), (192, 168, _), (172, 16...31, _), (100, 64...127, _): .privateRange
        // This network, multicast and reserved. Ranges for documentation stay: tests and networks of NATs use them.
        case (0, _, _), (224...255, _, _): .nowhere
        default: .global
        }
    }

    private static func reach(ip6 bytes: [UInt8]) -> Reach {
        // IPv4 in IPv6's clothes, and behind the translator of RFC 6052.
        if bytes.prefix(12) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
            || bytes.prefix(12) == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]
        {
            return Self.reach(ip4: Array(bytes.suffix(4)))
        }
        if bytes.dropLast().allSatisfy({ $0 == 0 }) { return bytes[15] == 1 ? .loopback : .nowhere }
        switch (bytes[0], bytes[1]) {
        case (0xfe, 0x80...0xbf): return .linkLocal
        // Formerly site-local.
        case (0xfe, 0xc0...0xff): return .privateRange
        // CJDNS takes fc00::/8, Yggdrasil 0200::/7; both mean the same machine everywhere in their overlay.
        case (0xfd, _): return .privateRange
        case (0xfc, _), (0x02, _), (0x03, _): return .overlay
        case (0xff, _): return .nowhere
        default: return .global
        }
    }

    /// Which addresses probably belong to one operator (``AltNetBitcoin/NetworkGroup``).
    public var networkGroup: String {
        guard let first = self.components.first, let known = first.protocol else { return "" }
        switch known {
        case .ip4: return NetworkGroup.of(IPAddressText.text(ipv4: first.value))
        case .ip6: return NetworkGroup.of("[\(IPAddressText.text(ipv6: first.value))]")
        case .onion3: return "onion"
        case .garlic32, .garlic64: return "i2p"
        default: return known.text(of: first.value).lowercased()
        }
    }
}
