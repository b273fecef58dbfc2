// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetDialing
public import AltNetPeerRecords
internal import AltNetTransport
internal import Logging
internal import Synchronization

/// A host, for what it holds itself and what therefore cannot hold it.
final class HostReference: Sendable {
    private struct Weak: Sendable {
        weak var host: Libp2pHost?
    }

    private let reference = Mutex(Weak())

    /// The host, while there is one.
    var host: Libp2pHost? { self.reference.withLock { $0.host } }

    func set(_ host: Libp2pHost) {
        self.reference.withLock { $0.host = host }
    }
}

extension Libp2pHost {
    /// Connects to a peer, or gives a connection that there is and that the policy allows. All who want the same peer share
    /// the attempts. Cancelling the last of them closes what was opened.
    ///
    /// - Parameters:
    ///   - addresses: where the peer may be, beside what the peer book knows.
    ///   - source: who says so; policies ask for it. Without one it is nobody that a policy could name.
    ///   - policy: which addresses may be dialled, and in which order; by default ``HostConfiguration/dialPolicy``.
    ///   - insists: also dials what failed a moment ago, as when the operator says "now".
    /// - Throws: ``PeerUnreachable``, ``LinkFailure``, `CancellationError`, or what the peer book throws.
    public func connect(
        to peer: PeerID, addresses: [Multiaddress] = [], source: AddressSources = [], policy: DialPolicy? = nil,
        insists: Bool = false
    ) async throws -> Libp2pLink {
        guard peer != self.peer else { throw LinkFailure.ourselves }
        let policy = policy ?? self.configuration.dialPolicy
        if let link = await self.dialer.standing(with: peer, policy: policy) { return link }
        var known: [KnownAddress] = []
        do {
            known = try await self.book.known([peer]).first?.addresses ?? []
        } catch {
            if addresses.isEmpty { throw error }
            self.logger.warning("the peer store does not answer, so \(peer) is dialled where the caller says: \(error)")
        }
        let now = WallClockTime(seconds: 0)
        let told = addresses.map {
            KnownAddress(address: $0, sources: source, firstSeen: now, lastSeen: now, expiry: nil)
        }
        let candidates =
            known.compactMap { self.candidate($0, of: peer, isStored: true, insists: insists) }
            + told.compactMap { self.candidate($0, of: peer, isStored: false, insists: insists) }
        if candidates.isEmpty, let first = (known + told).first {
            // Says what is missing to dial it.
            _ = try SocketTarget.of(first.address, hasProxy: self.configuration.proxy != nil)
        }
        return try await self.dialer.connection(
            to: peer, policy: policy, candidates: candidates, ignoresBackOff: insists)
    }

    /// An address as the dialer sees it; nil for those that this host cannot dial, or that mean somebody else where we are.
    private func candidate(
        _ known: KnownAddress, of peer: PeerID, isStored: Bool, insists: Bool
    ) -> DialCandidate? {
        let hasProxy = self.configuration.proxy != nil
        guard (try? SocketTarget.of(known.address, hasProxy: hasProxy)) != nil,
            known.isUsable(on: self.localNetworks.network(of: known.address))
        else { return nil }
        guard insists || self.dialTargets.withLock({ $0.admit(peer, at: known, now: .now) }) else {
            self.logger.debug("\(peer) is not looked for at \(known.address): too many others are said to be there")
            return nil
        }
        return DialCandidate(
            known, exposure: DialExposure.of(known.address, throughProxy: hasProxy), isStored: isStored)
    }

    // MARK: What the dialer is told

    /// A peer has opened a connection, which serves those who wait for one.
    func tellDialer(ofInbound link: Libp2pLink) async {
        let now = WallClockTime(seconds: 0)
        let known = KnownAddress(
            address: link.address.withoutPeerID, sources: .connection, firstSeen: now, lastSeen: now, expiry: nil)
        let exposure = DialExposure.of(known.address, throughProxy: self.configuration.proxy != nil)
        await self.dialer.onOpened(link, with: link.peer, DialCandidate(known, exposure: exposure))
    }

    /// The peer book has news: what is being dialled takes in what it knows now.
    func tellDialer(of news: [PeerNews]) async {
        await self.bookChanged(about: Set(news.compactMap(\.subject)).sorted())
    }

    /// The peer book has heard of those peers from somebody else than this host: what is being dialled takes in what it
    /// knows now.
    public func bookChanged(about peers: [PeerID]) async {
        for peer in peers where await self.dialer.cares(about: peer) {
            // A book that does not answer now has just said so in `learn`.
            guard let known = try? await self.book.known([peer]) else { continue }
            // For links that stand, nothing is looked for anywhere.
            let insists = await !self.dialer.isDialling(peer)
            let candidates = (known.first?.addresses ?? []).compactMap {
                self.candidate($0, of: peer, isStored: true, insists: insists)
            }
            await self.dialer.replaceStored(candidates, of: peer)
        }
    }

    // MARK: The dialer

    /// The dialer of the host that `reference` will name.
    static func dialer(
        for reference: HostReference, _ configuration: HostConfiguration
    ) -> PeerDialer<Libp2pLink> {
        var system = SystemRandomNumberGenerator()
        return PeerDialer(
            configuration.dialing, seed: system.next(),
            operations: .init(
                open: { peer, address, sources in
                    guard let host = reference.host else { throw CancellationError() }
                    return try await host.attempt(peer, at: address, sources: sources)
                },
                close: { $0.close() },
                isOpen: { $0.isOpen },
                blame: { ($0 as? LinkFailure)?.isOfAddress ?? false ? .remote : .local },
                onTooSlow: { peer, address in
                    guard let host = reference.host else { return }
                    let network = host.localNetworks.network(of: address)
                    Task { await host.learn([.failed(peer, address, on: network)]) }
                }))
    }
}
