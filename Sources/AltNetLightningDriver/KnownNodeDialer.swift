// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetDialing
internal import AltNetDriverKit
internal import AltNetKeys
internal import AltNetLightning
internal import AltNetObjects
internal import AltNetPeerRecords
internal import AltNetStreamDriver
internal import AltNetTransport

/// Dials a node of which only the key is given, by what the peer store knows of it.
struct KnownNodeDialer: Sendable {
    /// The most addresses that are tried in one attempt. The next attempt, a moment later, begins with others: what failed
    /// comes last.
    static let maximumAddresses = 8

    let policy: DialPolicy
    /// Whether names may lead into private ranges.
    let takesPrivate: Bool

    /// The addresses to try, the best first.
    func plan(_ node: KnownNode, isProxied: Bool) -> [Multiaddress] {
        let candidates = node.addresses(for: .lightning, on: nil).filter { known in
            // A partner's alternative address is dialled by the rules for those, from the driver's own records.
            known.sources != .altAddr && LightningAddress(known.address) != nil
                && (isProxied || known.address.reach != .overlay || known.address.isIPAddress)
        }.map {
            DialCandidate($0, exposure: .of($0.address, throughProxy: isProxied), isStored: true)
        }
        return self.policy.plan(candidates).prefix(Self.maximumAddresses).map(\.address)
    }

    /// A connection with whoever is at the first address that answers, and the attempt to prove.
    func connect(
        to node: NodeID, _ dialer: LinkDialer
    ) async throws(DisconnectReason) -> (connection: StreamConnection, dial: KnownAddressDial) {
        guard let book = dialer.peers, let peer = PeerID(node) else {
            throw DisconnectReason(.unreachable, "there is no peer store to look the node up in")
        }
        let known: KnownNode?
        do {
            known = try await book.nodes(of: [peer]).first?.node
        } catch {
            throw DisconnectReason(.unreachable, "the peer store did not answer: \(UntrustedText("\(error)"))")
        }
        let plan = known.map { self.plan($0, isProxied: dialer.proxy != nil) } ?? []
        guard !plan.isEmpty else {
            throw DisconnectReason(.unreachable, "no address of that node is known that the policy and the proxy allow")
        }
        var last: DisconnectReason?
        for address in plan {
            guard let place = LightningAddress(address) else { continue }
            let dial = KnownAddressDial(book, peer, at: address)
            do {
                let remote = try await LightningPlace.remote(
                    of: place, isProxied: dialer.proxy != nil, takesPrivate: self.takesPrivate)
                return (try await dialer.connect(to: remote), dial)
            } catch {
                guard !Task.isCancelled else { throw DisconnectReason(.requested, "the target was removed") }
                dial.failed()
                let why = (error as? LightningPlace.Unusable)?.description ?? NetworkFailure.describe(error)
                last = DisconnectReason(.unreachable, UntrustedText("\(place.text): \(why)").description)
            }
        }
        throw last ?? DisconnectReason(.unreachable, "no address of that node can be dialled")
    }
}

extension Multiaddress {
    /// Overlays of IP addresses (CJDNS, Yggdrasil) are reached like any other network.
    fileprivate var isIPAddress: Bool {
        switch self.endpoint?.host {
        case .ip4, .ip6: true
        case .name, .onion3, .garlic, nil: false
        }
    }
}
