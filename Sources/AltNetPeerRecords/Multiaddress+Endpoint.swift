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
        var parts = self.parts
        guard var first = parts.following() else { return nil }
        // The zone matters to nobody else, so hosts do not have it; the address is link-local all the same.
        if first.code == Code.ip6zone {
            guard let second = parts.following(), second.code == Code.ip6 else { return nil }
            first = second
        }
        let host: Host
        switch first.code {
        case Code.ip4: host = .ip4(Array(first.value))
        case Code.ip6: host = .ip6(Array(first.value))
        case Code.dns: host = .name(String(decoding: first.value, as: UTF8.self), family: nil)
        case Code.dns4: host = .name(String(decoding: first.value, as: UTF8.self), family: .ip4)
        case Code.dns6: host = .name(String(decoding: first.value, as: UTF8.self), family: .ip6)
        case Code.onion3:
            guard Self.isEnd(&parts) else { return nil }
            return Endpoint(
                host: .onion3(Array(first.value.prefix(35))),
                port: MultiaddressProtocol.Form.port(first.value.suffix(2)), transport: .tcp)
        case Code.garlic32, Code.garlic64:
            guard Self.isEnd(&parts) else { return nil }
            return Endpoint(host: .garlic(Array(first.value)), port: 0, transport: .tcp)
        default: return nil
        }
        guard let second = parts.following() else { return nil }
        let port = MultiaddressProtocol.Form.port(second.value)
        guard port != 0, let transport = Self.transport(second.code, &parts) else { return nil }
        return Endpoint(host: host, port: port, transport: transport)
    }

    /// Whether nothing but the peer's id follows.
    private static func isEnd(_ parts: inout Parts) -> Bool {
        parts.isAtEnd || parts.following()?.code == Code.p2p && parts.isAtEnd
    }

    private static func transport(_ code: UInt64, _ parts: inout Parts) -> Transport? {
        var transport: Transport
        switch code {
        case Code.tcp: transport = .tcp
        case Code.udp: transport = .udp
        default: return nil
        }
        var isTLS = false
        while let part = parts.following() {
            switch (part.code, transport) {
            case (Code.tls, .tcp) where !isTLS: isTLS = true
            case (Code.sni, .tcp) where isTLS: break
            case (Code.ws, .tcp): (transport, isTLS) = (isTLS ? .wss : .ws, false)
            case (Code.wss, .tcp) where !isTLS: transport = .wss
            case (Code.quicV1, .udp): transport = .quic
            case (Code.p2p, _) where parts.isAtEnd: break
            default: return nil
            }
        }
        // TLS without WebSocket is no transport that libp2p has.
        return isTLS ? nil : transport
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

        /// Whether it leads to different machines on different networks.
        var isAmbiguous: Bool {
            switch self {
            case .loopback, .linkLocal, .privateRange: true
            case .global, .overlay, .name, .nowhere: false
            }
        }
    }

    /// Where the address, or the first hop of a relayed one, means the same thing. An address in which any part leads to
    /// different machines on different networks is of that part's reach.
    public var reach: Reach {
        var parts = self.parts
        var reach: Reach?
        while let part = parts.following() {
            let found: Reach
            switch part.code {
            case Code.ip4: found = Self.reach(ip4: part.value)
            case Code.ip6: found = Self.reach(ip6: part.value)
            case Code.ip6zone: return .linkLocal
            case Code.dns, Code.dns4, Code.dns6, Code.dnsaddr: found = Self.reach(name: part.value)
            case Code.onion3, Code.garlic32, Code.garlic64: found = .overlay
            default: found = .nowhere
            }
            if found.isAmbiguous { return found }
            if reach == nil { reach = found }
        }
        return reach ?? .nowhere
    }

    /// Whether the address leads to different machines on different networks.
    public var isAmbiguous: Bool { self.reach.isAmbiguous }

    /// Whether it begins with an IP address that no machine has: unspecified, multicast, or reserved.
    public var isNobodys: Bool {
        var parts = self.parts
        return switch parts.following() {
        case let part? where part.code == Code.ip4: Self.reach(ip4: part.value) == .nowhere
        case let part? where part.code == Code.ip6: Self.reach(ip6: part.value) == .nowhere
        default: false
        }
    }

    /// IANA's registry of special-purpose IPv4 addresses. Ranges for documentation stay global: tests use them.
    private static func reach(ip4 bytes: ArraySlice<UInt8>) -> Reach {
        let start = bytes.startIndex
        switch (bytes[start], bytes[start + 1], bytes[start + 2]) {
        case (127, _, _): return .loopback
        case (169, 254, _): return .linkLocal
        case (10, _, _), (192, 168, _), (172, 16...31, _), (100, 64...127, _), (192, 0, 0), (198, 18...19, _):
            return .privateRange
        // This network, multicast and reserved.
        case (0, _, _), (224...255, _, _): return .nowhere
        default: return .global
        }
    }

    private static func reach(ip6 bytes: ArraySlice<UInt8>) -> Reach {
        let start = bytes.startIndex
        let front = bytes.prefix(10).allSatisfy { $0 == 0 }
        // IPv4 in IPv6's clothes, behind the translator of RFC 6052, and in 6to4 (RFC 3056).
        if front && bytes[start + 10] == 0xff && bytes[start + 11] == 0xff { return Self.reach(ip4: bytes.suffix(4)) }
        if front && bytes[start + 10] == 0 && bytes[start + 11] == 0 {
            return bytes.suffix(4).elementsEqual([0, 0, 0, 1]) ? .loopback : .nowhere
        }
        switch (bytes[start], bytes[start + 1]) {
        case (0x00, 0x64) where bytes[start + 2] == 0xff && bytes[start + 3] == 0x9b:
            // 64:ff9b:1::/48 is for translators of one's own network (RFC 8215).
            return bytes[start + 5] == 1 ? .privateRange : Self.reach(ip4: bytes.suffix(4))
        case (0x20, 0x02): return Self.reach(ip4: bytes.dropFirst(2).prefix(4))
        case (0xfe, 0x80...0xbf): return .linkLocal
        // Formerly site-local, and unique local.
        case (0xfe, 0xc0...0xff), (0xfd, _): return .privateRange
        // CJDNS takes fc00::/8, Yggdrasil 0200::/7; both mean the same machine everywhere in their overlay.
        case (0xfc, _), (0x02, _), (0x03, _): return .overlay
        case (0xff, _): return .nowhere
        default: return .global
        }
    }

    /// Names that only one's own machine or network resolves (RFC 6761, 6762, 8375, and what routers use).
    private static func reach(name bytes: ArraySlice<UInt8>) -> Reach {
        let name = String(decoding: bytes, as: UTF8.self).lowercased()
        let labels = name.split(separator: ".")
        switch labels.last {
        case "localhost": return .loopback
        case "local": return .linkLocal
        case "internal", "lan", "home", "localdomain": return .privateRange
        case "arpa": return labels.dropLast().last == "home" ? .privateRange : .name
        case "onion", "i2p": return .overlay
        default: return labels.count > 1 ? .name : .privateRange
        }
    }

    /// Which addresses probably belong to one operator (``AltNetBitcoin/NetworkGroup``).
    public var networkGroup: String {
        var parts = self.parts
        var first = parts.following()
        if first?.code == Code.ip6zone { first = parts.following() }
        guard let first, let form = first.form else { return "" }
        switch form {
        case .ip4: return NetworkGroup.of(ipv4: first.value)
        case .ip6: return NetworkGroup.of(ipv6: first.value)
        case .onion, .onion3: return "onion"
        case .garlic32, .garlic64: return "i2p"
        // Peer ids tell upper from lower case.
        case .peerID: return form.text(of: first.value)
        default: return NetworkGroup.of(form.text(of: first.value))
        }
    }
}
