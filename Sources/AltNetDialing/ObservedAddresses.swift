// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetPeerRecords

/// What peers tell us about our own address (libp2p identify's `observedAddr`), and what of it is believed.
///
/// One peer can say anything, and peer ids cost nothing. So an address is believed only while ``minimumGroups`` network
/// groups agree on it, whatever number of peers each group has. That makes a lie as expensive as hosts in that many
/// networks; it does not make it impossible. Nobody can talk an address away either: what others say beside it does not
/// count against it.
///
/// The host of an address and its port are two questions. Over a connection that the peer opened it sees the address that
/// it dialled, port and all: somebody else can dial it, too. Over one that we opened it sees the port that the system, or a
/// NAT, chose for this connection, unless we dial from the port on which we listen; then only the host counts.
public struct ObservedAddresses: Sendable {
    /// Network groups that have to agree, as many as in go-libp2p.
    public static let minimumGroups = 4
    /// Observations of one group that are kept, the newest: some peers of a provider's block may be honest, and what all
    /// of them say counts as one voice.
    public static let maximumPerGroup = 8
    /// Observations that are kept, one for each connection. One more pushes out the oldest of the group that has most.
    public static let maximumObservations = 1_024
    /// Addresses that are believed at once for each of IPv4 and IPv6, hosts and whole addresses each: those on which most
    /// groups agree. Nobody has more than a few ways to the Internet.
    public static let maximumBelieved = 3
    /// How long an observation counts after its connection has ended: hosts change their addresses, and then connections
    /// end, too.
    public static let lifetime: Duration = .seconds(1_800)

    /// Who opened the connection over which something was observed.
    public enum Origin: Hashable, Sendable {
        /// The peer did.
        case inbound
        /// We did, from a port of our own for this connection.
        case outbound
        /// We did, from the port on which we listen.
        case outboundFromListener
    }

    /// A connection; chosen by the caller.
    public struct ConnectionID: Hashable, Sendable {
        public let rawValue: UInt64

        public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    }

    /// What became of an observation.
    public enum Outcome: Hashable, Sendable {
        /// It counts.
        case counted
        /// It is no IP address that means the same host everywhere, with the port of TCP or UDP: a private range, a name,
        /// an onion service, an address over a relay.
        case notGlobal
        /// The peer is on our own network or comes through an overlay: where it is cannot be told.
        case observerNotGlobal
    }

    private struct Observation {
        let connection: ConnectionID
        let peer: PeerID
        let group: String
        /// The host alone: `/ip4/192.0.2.1`.
        let host: Multiaddress
        /// The host with our port, where the port is one on which others can reach us.
        let address: Multiaddress?
        /// Nil while the connection stands.
        var expiry: MonotonicInstant?
    }

    /// Oldest first; one for each connection at most.
    private var observations: [Observation] = []

    public init() {}

    /// Observations that are kept.
    public var count: Int { self.observations.count }

    /// A peer says over an authenticated connection at which address it sees us. What it said before over the same
    /// connection does not count any more.
    ///
    /// - `remote`: where the peer is.
    public mutating func onObserved(
        _ observed: Multiaddress, by peer: PeerID, at remote: Multiaddress, over connection: ConnectionID,
        _ origin: Origin, now: MonotonicInstant
    ) -> Outcome {
        self.observations.removeAll { $0.connection == connection }
        guard let seen = Self.place(observed) else { return .notGlobal }
        guard remote.reach == .global, !remote.isRelayed else { return .observerNotGlobal }
        self.forget(now: now)
        let group = remote.networkGroup
        if self.observations.count(where: { $0.group == group }) >= Self.maximumPerGroup {
            self.dropOldest(of: group)
        } else if self.observations.count >= Self.maximumObservations {
            self.dropOldest(of: self.largestGroup())
        }
        let isOurPort =
            switch origin {
            case .inbound, .outboundFromListener: true
            case .outbound: false
            }
        self.observations.append(
            Observation(
                connection: connection, peer: peer, group: group, host: seen.host,
                address: isOurPort ? seen.address : nil))
        return .counted
    }

    /// The connection has ended. What was observed over it counts for ``lifetime`` yet.
    public mutating func onClosed(_ connection: ConnectionID, now: MonotonicInstant) {
        for index in self.observations.indices where self.observations[index].connection == connection {
            self.observations[index].expiry = self.observations[index].expiry ?? now + Self.lifetime
        }
    }

    /// Our network has changed, so that nothing said before it means us any more.
    public mutating func onNetworkChanged() {
        self.observations = []
    }

    // MARK: - What is believed

    /// Addresses at which we can be dialled, as IP address and TCP or UDP port; those that most agree on first.
    public func addresses(now: MonotonicInstant) -> [Multiaddress] { self.believed(now: now, \.address) }

    /// Our hosts' addresses without a port; those that most agree on first. Whether anybody can reach us there is another
    /// question.
    public func hosts(now: MonotonicInstant) -> [Multiaddress] { self.believed(now: now, \.host) }

    private func believed(
        now: MonotonicInstant, _ subject: (Observation) -> Multiaddress?
    ) -> [Multiaddress] {
        var groups: [Multiaddress: Set<String>] = [:]
        var peers: [Multiaddress: Set<PeerID>] = [:]
        for observation in self.observations where observation.expiry.map({ now < $0 }) ?? true {
            guard let subject = subject(observation) else { continue }
            groups[subject, default: []].insert(observation.group)
            // One peer that moves from network to network is still one voice.
            peers[subject, default: []].insert(observation.peer)
        }
        let ranked =
            groups
            .map { (address: $0.key, voices: min($0.value.count, peers[$0.key]?.count ?? 0)) }
            .filter { $0.voices >= Self.minimumGroups }
            .sorted { left, right in
                guard left.voices == right.voices else { return left.voices > right.voices }
                return left.address.bytes.lexicographicallyPrecedes(right.address.bytes)
            }
        var room: [UInt64: Int] = [:]
        return ranked.map(\.address).filter { address in
            let family = address.components.first?.code ?? 0
            room[family, default: Self.maximumBelieved] -= 1
            return room[family, default: 0] >= 0
        }
    }

    // MARK: - Bounds

    private mutating func forget(now: MonotonicInstant) {
        self.observations.removeAll { $0.expiry.map { $0 <= now } ?? false }
    }

    private mutating func dropOldest(of group: String) {
        guard let oldest = self.observations.firstIndex(where: { $0.group == group }) else { return }
        self.observations.remove(at: oldest)
    }

    /// The group with most observations; of several, the one whose oldest is the oldest.
    private func largestGroup() -> String {
        var counts: [String: Int] = [:]
        for observation in self.observations { counts[observation.group, default: 0] += 1 }
        let most = counts.values.max() ?? 0
        return self.observations.first { counts[$0.group] == most }?.group ?? ""
    }

    /// Host and port, without what comes behind them: that TLS or WebSocket is spoken there is our own knowledge.
    private static func place(_ observed: Multiaddress) -> (host: Multiaddress, address: Multiaddress)? {
        let parts = observed.components
        guard observed.reach == .global, !observed.isRelayed, parts.count >= 2,
            parts[0].protocol == .ip4 || parts[0].protocol == .ip6,
            parts[1].protocol == .tcp || parts[1].protocol == .udp, parts[1].value != [0, 0],
            let host = try? Multiaddress([parts[0]]), let address = try? Multiaddress([parts[0], parts[1]])
        else { return nil }
        return (host, address)
    }
}
