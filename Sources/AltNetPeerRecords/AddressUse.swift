// SPDX-License-Identifier: MIT

public import AltNetLightning

/// What is spoken at an address of a peer.
///
/// The numbers travel between processes: they never change their meaning.
public enum AddressUse: UInt32, Hashable, Sendable, CaseIterable {
    /// libp2p, and everything else that is found by peer id alone.
    case libp2p = 0
    /// Lightning (BOLT 8), with the node whose id is the peer's key.
    case lightning = 1
    /// Bitcoin's P2P protocol.
    case bitcoin = 2

    /// How operators write it.
    public var name: String {
        switch self {
        case .libp2p: "libp2p"
        case .lightning: "lightning"
        case .bitcoin: "bitcoin"
        }
    }

    /// The use of that name; nil when there is none.
    public init?(name: String) {
        guard let use = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = use
    }
}

/// An address and what is spoken there.
public struct UsedAddress: Hashable, Sendable {
    public let use: AddressUse
    public let address: Multiaddress

    public init(_ use: AddressUse, _ address: Multiaddress) {
        self.use = use
        self.address = address
    }
}

extension LightningAddress {
    /// The address as a multiaddr.
    public var multiaddress: Multiaddress? {
        switch self.host {
        case .ipv4: try? Multiaddress(text: "/ip4/\(self.hostText)/tcp/\(self.port)")
        case .ipv6: try? Multiaddress(text: "/ip6/\(self.hostText)/tcp/\(self.port)")
        case .torV3: try? Multiaddress(text: "/onion3/\(self.hostText.dropLast(".onion".utf8.count)):\(self.port)")
        case .name: try? Multiaddress(text: "/dns/\(self.hostText)/tcp/\(self.port)")
        }
    }

    /// The Lightning address that a multiaddr stands for; nil when Lightning has no such addresses.
    public init?(_ address: Multiaddress) {
        guard let endpoint = address.endpoint, endpoint.transport == .tcp else { return nil }
        let port = [UInt8(endpoint.port >> 8), UInt8(endpoint.port & 0xff)]
        let read: LightningAddress? =
            switch endpoint.host {
            case .ip4(let bytes): try? LightningAddress(descriptor: [1] + bytes + port)
            case .ip6(let bytes): try? LightningAddress(descriptor: [2] + bytes + port)
            case .onion3(let bytes): try? LightningAddress(descriptor: [4] + bytes + port)
            case .name(let name, _): try? LightningAddress(text: "\(name):\(endpoint.port)")
            case .garlic: nil
            }
        guard let read else { return nil }
        self = read
    }
}

extension BitcoinEndpoint {
    /// The address as a multiaddr; nil in networks of BIP 155 that this version does not know.
    public var multiaddress: Multiaddress? {
        let text = self.text
        if let hash = text.before(".b32.i2p:0") { return try? Multiaddress(text: "/garlic32/\(hash)") }
        return (try? LightningAddress(text: text))?.multiaddress
    }
}

extension String {
    /// What stands before the suffix; nil when the text does not end with it.
    fileprivate func before(_ suffix: String) -> Substring? {
        self.hasSuffix(suffix) ? self.dropLast(suffix.count) : nil
    }
}
