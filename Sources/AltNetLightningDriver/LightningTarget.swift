// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDriverProtocol
internal import AltNetKeys
internal import AltNetTransport

/// What carries messages over several nodes.
enum RouteCarrier: String, CaseIterable, Hashable, Sendable {
    /// Directed messages (docs/protocol/directed-messages.md): replies come back the same way, and say where it broke.
    case directed
    /// BOLT 4's onion messages, which today's Lightning nodes forward.
    case onion
}

/// The nodes that a message passes, the last of which it is for.
struct Route: Hashable, Sendable {
    let carrier: RouteCarrier
    /// At least one.
    let nodes: [NodeID]
}

/// Whom a link of this driver leads to.
enum LightningTarget: Hashable, Sendable {
    /// `pubkey@host:port`: a connection of our own.
    case peer(NodeID, HostAndPort)
    /// `pubkey`: a connection of our own, at an address that the peer store knows.
    case known(NodeID)
    /// `directed:pubkey/pubkey` or `onion:pubkey/pubkey`: a far node, over the connections that are there.
    case far(Route)

    /// The port of Lightning nodes (BOLT 1).
    static let defaultPort: UInt16 = 9735

    init(_ text: String) throws(DriverSetupError) {
        for carrier in RouteCarrier.allCases {
            let prefix = carrier.rawValue + ":"
            guard text.hasPrefix(prefix) else { continue }
            self = .far(Route(carrier: carrier, nodes: try Self.nodes(text.dropFirst(prefix.count))))
            return
        }
        if let node = NodeID(hex: text) {
            self = .known(node)
            return
        }
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        guard parts.count == 2, let node = NodeID(hex: parts[0]),
            let remote = HostAndPort(String(parts[1]), defaultPort: Self.defaultPort)
        else {
            throw DriverSetupError(
                "\(UntrustedText(text)) is neither pubkey@host:port nor pubkey nor directed:pubkey/pubkey… nor onion:pubkey/pubkey…"
            )
        }
        self = .peer(node, remote)
    }

    private static func nodes(_ text: Substring) throws(DriverSetupError) -> [NodeID] {
        var nodes: [NodeID] = []
        for (index, part) in text.split(separator: "/", omittingEmptySubsequences: false).enumerated() {
            guard let node = NodeID(hex: part) else {
                throw DriverSetupError(
                    "node \(index + 1) of a route is no public key of 66 hexadecimal digits: \(UntrustedText(String(part)))"
                )
            }
            nodes.append(node)
        }
        return nodes
    }
}
