// SPDX-License-Identifier: MIT

public import AltNetPeerRecords

/// What opening a connection tells the other side, and whoever carries the bytes, about us. What drivers say of their
/// links in the same three words.
public enum DialExposure: String, Hashable, Sendable, CaseIterable, Comparable {
    /// Nothing.
    case none
    /// A key that we keep.
    case pseudonym
    /// Our address on the Internet.
    case clearnetAddress

    /// From nothing to the address.
    public static func < (left: Self, right: Self) -> Bool { left.severity < right.severity }

    private var severity: Int {
        switch self {
        case .none: 0
        case .pseudonym: 1
        case .clearnetAddress: 2
        }
    }

    /// What a dial to `address` reveals.
    ///
    /// - `throughProxy`: the connection, name look-up included, goes through a proxy that hides our address.
    /// - `keepsKey`: we prove a key that we use more than once, as every libp2p host does.
    ///
    /// Addresses in an overlay are reached through it alone, so they reveal no address. A relay sees who dials it, so
    /// what lies behind it changes nothing. A private address counts like any other: dialling it tells somebody on the
    /// local network who we are.
    public static func of(_ address: Multiaddress, throughProxy: Bool, keepsKey: Bool = true) -> Self {
        guard throughProxy || address.reach == .overlay else { return .clearnetAddress }
        return keepsKey ? .pseudonym : .none
    }
}

/// What a policy can ask of an address: who told it, how it is reached, where it leads, what dialling it reveals.
public struct DialTraits: OptionSet, Hashable, Sendable {
    /// The lower half is that of ``AddressSources``. The numbers are in memory only; people and files use the names.
    public let rawValue: UInt64

    public init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    init(_ sources: AddressSources) {
        self.rawValue = UInt64(sources.rawValue)
    }

    /// TCP, and nothing between it and the peer-to-peer protocol.
    public static let tcp = Self(rawValue: 1 << 32)
    /// QUIC over UDP.
    public static let quic = Self(rawValue: 1 << 33)
    /// WebSocket, with or without TLS.
    public static let webSocket = Self(rawValue: 1 << 34)
    /// Through another peer.
    public static let relayed = Self(rawValue: 1 << 35)
    public static let ip4 = Self(rawValue: 1 << 36)
    public static let ip6 = Self(rawValue: 1 << 37)
    /// A name that has to be looked up.
    public static let name = Self(rawValue: 1 << 38)
    /// An onion service of Tor.
    public static let onion = Self(rawValue: 1 << 39)
    /// A destination in I2P.
    public static let i2p = Self(rawValue: 1 << 40)
    /// Leads to the same machine from everywhere.
    public static let global = Self(rawValue: 1 << 41)
    /// Leads elsewhere on another network: private ranges, link-local, this machine.
    public static let local = Self(rawValue: 1 << 42)
    /// Dialling it reveals our address on the Internet.
    public static let exposed = Self(rawValue: 1 << 43)
    /// Dialling it reveals a key that we keep, and no address.
    public static let pseudonym = Self(rawValue: 1 << 44)
    /// Dialling it reveals nothing.
    public static let unexposed = Self(rawValue: 1 << 45)

    /// Every trait, with the word that stands for it in a policy.
    public static let named: [(name: String, trait: Self)] =
        AddressSources.named.map { ($0.name, Self($0.source)) } + [
            ("tcp", .tcp), ("quic", .quic), ("websocket", .webSocket), ("relayed", .relayed), ("ip4", .ip4),
            ("ip6", .ip6), ("name", .name), ("onion", .onion), ("i2p", .i2p), ("global", .global), ("local", .local),
            ("exposed", .exposed), ("pseudonym", .pseudonym), ("unexposed", .unexposed),
        ]

    /// The words of all traits in the set, in a fixed order.
    public var names: [String] { Self.named.filter { self.contains($0.trait) }.map(\.name) }

    static let sources = Self(rawValue: UInt64(UInt32.max))
    static let exposures: Self = [.exposed, .pseudonym, .unexposed]

    init(_ exposure: DialExposure) {
        switch exposure {
        case .none: self = .unexposed
        case .pseudonym: self = .pseudonym
        case .clearnetAddress: self = .exposed
        }
    }

    /// What can be said of an address, besides who told it.
    init(of address: Multiaddress, exposure: DialExposure) {
        var traits = Self(exposure)
        let components = address.components
        let relay = components.firstIndex { $0.protocol == .p2pCircuit }
        if relay != nil { traits.insert(.relayed) }
        // What follows a relay is how the relay reaches the peer, which is not ours to choose.
        for component in components[..<(relay ?? components.endIndex)] {
            switch component.protocol {
            case .ip4?: traits.insert(.ip4)
            case .ip6?: traits.insert(.ip6)
            case .dns?, .dns4?, .dns6?, .dnsaddr?: traits.insert(.name)
            case .onion3?: traits.formUnion([.onion, .tcp])
            case .garlic32?, .garlic64?: traits.insert(.i2p)
            case .tcp?: traits.insert(.tcp)
            case .quicV1?: traits.insert(.quic)
            case .ws?, .wss?: traits.insert(.webSocket)
            default: break
            }
        }
        if traits.contains(.webSocket) { traits.remove(.tcp) }
        switch address.reach {
        case .global, .overlay: traits.insert(.global)
        case .loopback, .linkLocal, .privateRange: traits.insert(.local)
        case .name, .nowhere: break
        }
        self = traits
    }
}
