// SPDX-License-Identifier: MIT

internal import AltNetLightning
internal import AltNetTransport
internal import Dispatch

/// What to connect to for an address that somebody else gave us.
enum LightningPlace {
    /// Why it cannot be dialled. Says nothing about where it leads.
    enum Unusable: Error, CustomStringConvertible {
        case needsTor, unknownName, privateName

        var description: String {
            switch self {
            case .needsTor: "it is an onion service, which needs Tor as the proxy"
            case .unknownName: "its name cannot be resolved"
            case .privateName: "its name leads into a private range"
            }
        }
    }

    /// A name is resolved here, so that it cannot lead into a private range; not through a proxy, which resolves it
    /// elsewhere. Onion services are no matter of DNS (RFC 7686).
    static func remote(
        of address: LightningAddress, isProxied: Bool, takesPrivate: Bool
    ) async throws(Unusable) -> HostAndPort {
        let remote = HostAndPort(host: address.hostText, port: address.port)
        switch address.host {
        case .torV3 where !isProxied: throw .needsTor
        case .name where !isProxied && !takesPrivate:
            let found = await Self.resolve(address.hostText)
            guard let first = found.first else { throw .unknownName }
            let resolved = found.compactMap { try? LightningAddress(text: HostAndPort(host: $0, port: 1).description) }
            guard resolved.count == found.count, !resolved.contains(where: \.isPrivate) else { throw .privateName }
            return HostAndPort(host: first, port: address.port)
        case .ipv4, .ipv6, .torV3, .name: return remote
        }
    }

    /// The numeric addresses of a name; none when there is none.
    private static func resolve(_ name: String) async -> [String] {
        await withCheckedContinuation { continuation in
            // The system's resolver blocks.
            DispatchQueue.global().async { continuation.resume(returning: HostNameLookup.addresses(of: name)) }
        }
    }
}
