// SPDX-License-Identifier: MIT

internal import AltNetDriverProtocol
internal import AltNetTransport

/// How a link came to be.
enum LinkEntrance: Hashable, Sendable {
    /// We dialled a target.
    case target(String)
    /// Somebody connected where we listen for everyone.
    case listener
    /// Somebody connected at a private endpoint, which has a limit of its own.
    case endpoint(UInt64, maximumLinks: Int)
    /// The medium made it.
    case medium
}

/// Decides whether there is room for one more link that we did not dial: an outsider must not be able to take the place
/// of those whom a private endpoint is for, nor one host that of all others.
struct InboundLinks {
    /// The most links that others opened, handshakes included: what the driver protocol leaves beside the targets.
    static let maximum = DriverProtocol.maximumLinks - 32
    /// Those of them that only private endpoints and the medium itself can take.
    static let reserved = 32
    /// The most from one address where we listen for everyone. Those that come through this machine, as an onion
    /// service's do, share one.
    static let maximumPerHost = 8

    /// A link that is there.
    struct Place {
        let entrance: LinkEntrance
        let remote: String
        let isEstablished: Bool
    }

    enum Verdict: Hashable {
        case room
        case none
        /// This link has not introduced itself, and is the oldest of those that must leave first.
        case instead(of: DriverLink)
    }

    private let links: [DriverLink: Place]

    init(_ links: [DriverLink: Place]) {
        self.links = links.filter { if case .target = $0.value.entrance { false } else { true } }
    }

    func verdict(on remote: String, _ entrance: LinkEntrance) -> Verdict {
        switch entrance {
        case .target: return .room
        case .medium: return self.links.count < Self.maximum ? .room : .none
        case .listener:
            let open = self.links.values.filter { $0.entrance == .listener }
            guard self.links.count < Self.maximum, open.count < Self.maximum - Self.reserved else { return .none }
            let host = HostAndPort(remote)?.host
            guard let host, !host.hasPrefix("127."), host != "::1" else { return .room }
            return open.count { HostAndPort($0.remote)?.host == host } < Self.maximumPerHost ? .room : .none
        case .endpoint(_, let maximumLinks):
            if self.links.values.count(where: { $0.entrance == entrance }) >= maximumLinks {
                return self.oldestStranger { $0 == entrance }
            }
            guard self.links.count >= Self.maximum else { return .room }
            return self.oldestStranger { if case .endpoint = $0 { true } else { false } }
        }
    }

    /// Whoever has been silent for longest at a private endpoint leaves first, so that idle connections cannot lock out
    /// the peer that the endpoint is for. Numbers only grow, so the smallest is the oldest.
    private func oldestStranger(at isCandidate: (LinkEntrance) -> Bool) -> Verdict {
        let strangers = self.links.filter { !$0.value.isEstablished && isCandidate($0.value.entrance) }.keys
        return strangers.min { $0.number < $1.number }.map { .instead(of: $0) } ?? .none
    }
}
