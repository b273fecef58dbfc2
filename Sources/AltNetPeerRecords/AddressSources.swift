// SPDX-License-Identifier: MIT

/// Who said that a peer has an address. One address can have several sources.
///
/// The numbers are stored and travel between processes: they never change their meaning.
public struct AddressSources: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// The operator typed it.
    public static let user = Self(rawValue: 1 << 0)
    /// The newest record that the peer signed holds it.
    public static let certified = Self(rawValue: 1 << 1)
    /// The peer itself said it over an authenticated connection (libp2p identify).
    public static let identify = Self(rawValue: 1 << 2)
    /// Somebody in a Kademlia DHT said it.
    public static let dht = Self(rawValue: 1 << 3)
    /// Gossip among Bitcoin nodes (BIP 155).
    public static let addrv2 = Self(rawValue: 1 << 4)
    /// A `node_announcement` of Lightning (BOLT 7).
    public static let bolt7 = Self(rawValue: 1 << 5)
    /// An alternative address that a channel partner gave to us alone.
    public static let altAddr = Self(rawValue: 1 << 6)
    /// Found while punching a hole through a NAT.
    public static let holePunch = Self(rawValue: 1 << 7)
    /// Another AltNet node told it over a link.
    public static let link = Self(rawValue: 1 << 8)
    /// We reached the peer at it, and nobody had told us.
    public static let connection = Self(rawValue: 1 << 9)

    /// Every source, with the name that operators and policies use.
    public static let named: [(name: String, source: Self)] = [
        ("user", .user), ("certified", .certified), ("identify", .identify), ("dht", .dht), ("addrv2", .addrv2),
        ("bolt7", .bolt7), ("alt-addr", .altAddr), ("hole-punch", .holePunch), ("link", .link),
        ("connection", .connection),
    ]

    /// The sources that this version knows.
    public static let all = Self(Self.named.map(\.source))

    /// The source of that name; nil when there is none.
    public init?(name: String) {
        guard let source = Self.named.first(where: { $0.name == name })?.source else { return nil }
        self = source
    }

    /// The names of all sources in the set, in the order of their numbers.
    public var names: [String] {
        Self.named.filter { self.contains($0.source) }.map(\.name)
    }
}

extension AddressSources: CustomStringConvertible {
    public var description: String { self.names.joined(separator: "+") }
}

/// The network to which an address of a private range belongs: 192.168.1.5 at home and 192.168.1.5 at work are two
/// machines.
///
/// The name is chosen by whoever looks at the interfaces (the hardware address of the gateway, say) and only compared.
public struct LocalNetwork: Hashable, Sendable, CustomStringConvertible {
    /// The longest name in bytes: room for a hardware address or a UUID with a word before it.
    public static let maximumSize = 64

    public let name: String

    /// Nil when the name is empty or longer than ``maximumSize``.
    public init?(_ name: String) {
        guard !name.isEmpty, name.utf8.count <= Self.maximumSize else { return nil }
        self.name = name
    }

    private init(constant: String) {
        self.name = constant
    }

    /// The machine itself.
    public static let loopback = LocalNetwork(constant: "loopback")

    public var description: String { self.name }
}
