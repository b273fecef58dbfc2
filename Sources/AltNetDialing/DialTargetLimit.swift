// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetPeerRecords

/// How many peers are looked for at one host and port because others say that they are there.
///
/// Peer ids cost nothing. Whoever names many, all at the address of somebody else, would otherwise make us, and all who
/// ask him, call there once for each. ``DialBackOff`` does not help, because it is about a peer and an address together.
///
/// Not counted is what the operator typed, what the caller knows himself, and where this very peer was reached before: so
/// nobody can make a peer that we know unreachable by naming others at its place. Addresses that peers have signed are
/// counted apart from hearsay, for the same reason: invented peers can sign, too, but somebody has to make them sign.
public struct DialTargetLimit: Sendable {
    /// The most peers at one host and port, of each kind: one is there, and two may have been there before it.
    public static let maximumPeers = 3
    /// How long they count, from the first on.
    public static let window: Duration = .seconds(600)
    /// Targets that are remembered: some two hundred bytes each. One more pushes out one with the fewest peers, the oldest
    /// of them, so that naming many targets does not make room at one that has its number.
    public static let maximumTargets = 4_096
    /// Who merely says where somebody is.
    static let hearsay: AddressSources = [.dht, .identify, .link, .addrv2, .bolt7]

    private struct Target: Hashable {
        let endpoint: Multiaddress.Endpoint
        let isCertified: Bool
    }

    private struct Entry {
        var peers: [PeerID]
        let since: MonotonicInstant
    }

    private var entries: [Target: Entry] = [:]

    public init() {}

    var count: Int { self.entries.count }

    /// Whether the peer may be dialled at the address; if so, it counts as one that is.
    public mutating func admit(_ peer: PeerID, at known: KnownAddress, now: MonotonicInstant) -> Bool {
        let sources = known.sources
        guard let endpoint = known.address.endpoint, known.lastSuccess == nil,
            !sources.isEmpty, sources.isSubset(of: Self.hearsay.union(.certified))
        else { return true }
        let target = Target(endpoint: endpoint, isCertified: sources.contains(.certified))
        if let entry = self.entries[target], now - entry.since < Self.window {
            guard !entry.peers.contains(peer) else { return true }
            guard entry.peers.count < Self.maximumPeers else { return false }
            self.entries[target]?.peers.append(peer)
            return true
        }
        if self.entries[target] == nil { self.makeRoom(now: now) }
        self.entries[target] = Entry(peers: [peer], since: now)
        return true
    }

    private mutating func makeRoom(now: MonotonicInstant) {
        guard self.entries.count >= Self.maximumTargets else { return }
        self.entries = self.entries.filter { now - $0.value.since < Self.window }
        guard self.entries.count >= Self.maximumTargets else { return }
        let least = self.entries.min {
            ($0.value.peers.count, $0.value.since) < ($1.value.peers.count, $1.value.since)
        }
        if let least { self.entries[least.key] = nil }
    }
}
