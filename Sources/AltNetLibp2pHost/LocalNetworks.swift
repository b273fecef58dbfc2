// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords
internal import AltNetTransport
internal import Synchronization

/// Names the networks that this machine is on, so that addresses of private ranges are kept apart by them.
final class LocalNetworks: Sendable {
    /// How long an answer is good: machines move between networks, and reading `/proc` for every connection is waste.
    static let lifetime: Duration = .seconds(10)

    private let cached = Mutex<(LocalSurroundings, until: MonotonicInstant)?>(nil)

    /// The network that an address belongs to; `nil` for those that mean the same everywhere, and for private ones of
    /// which nobody can tell.
    func network(of address: Multiaddress) -> LocalNetwork? {
        self.surroundings.network(of: address)
    }

    /// The addresses that a listener can be reached at: one that listens on all interfaces, at each of theirs.
    func expand(_ listening: Multiaddress) -> [Multiaddress] {
        guard let host = listening.components.first, host.value.allSatisfy({ $0 == 0 }) else { return [listening] }
        let rest = listening.components.dropFirst()
        return self.surroundings.interfaces.filter { $0.address.count == host.value.count }.compactMap { interface in
            host.protocol.flatMap { kind in
                try? Multiaddress([Multiaddress.Component(kind, interface.address)] + rest)
            }
        }
    }

    var surroundings: LocalSurroundings {
        if let (known, until) = self.cached.withLock({ $0 }), MonotonicInstant.now < until { return known }
        let found = LocalSurroundings.look()
        self.cached.withLock { $0 = (found, until: .now + Self.lifetime) }
        return found
    }
}

extension LocalSurroundings {
    /// The network that an address belongs to; `nil` for those that mean the same everywhere.
    func network(of address: Multiaddress) -> LocalNetwork? {
        switch address.reach {
        case .loopback: return .loopback
        case .global, .overlay, .name, .nowhere: return nil
        case .linkLocal, .privateRange: break
        }
        guard let bytes = address.components.first(where: { $0.protocol == .ip4 || $0.protocol == .ip6 })?.value
        else { return nil }
        let own = self.interfaces.first { $0.holds(bytes) }
        if own == nil || own?.name == self.defaultInterface {
            return self.defaultNetwork.flatMap { LocalNetwork($0) }
        }
        return own.flatMap { LocalNetwork($0.network) }
    }
}
