// SPDX-License-Identifier: MIT

internal import AltNetPeerRecords

/// Counts connections against the limits of a host. A value; the host's lock guards it.
struct ConnectionSlots: Sendable {
    /// One connection that is counted.
    struct Slot: Hashable, Sendable {
        let isInbound: Bool
        /// The network group that it counts for; `nil` for outbound ones.
        let group: String?
        /// Known after the handshake.
        var peer: PeerID?
    }

    /// The group of who is on this machine, which has no limit of its own.
    private static let loopback = "loopback"

    private var total = 0
    private var inbound = 0
    private var groups: [String: Int] = [:]
    private var peers: [PeerID: Int] = [:]

    /// Counts a connection; the text says which limit stands against it.
    mutating func take(
        isInbound: Bool, from address: Multiaddress, _ configuration: HostConfiguration
    ) -> Result<Slot, LinkFailure> {
        guard self.total < configuration.maximumConnections else {
            return .failure(.limit("the host has \(self.total) connections, which is its limit"))
        }
        var group: String?
        if isInbound {
            guard self.inbound < configuration.maximumInbound else {
                return .failure(.limit("the host has \(self.inbound) inbound connections, which is its limit"))
            }
            let name = Self.group(of: address, configuration)
            let count = self.groups[name] ?? 0
            guard name == Self.loopback || count < configuration.maximumInboundPerGroup else {
                return .failure(.limit("network group \(name) has \(count) connections, which is the limit"))
            }
            self.groups[name] = count + 1
            group = name
            self.inbound += 1
        }
        self.total += 1
        return .success(Slot(isInbound: isInbound, group: group))
    }

    /// The group that gives a place away when all inbound ones are taken and somebody comes from `address`: the largest,
    /// when it has more than the newcomer's will have. So that nobody holds all places from few networks for ever.
    func groupToMakeRoom(for address: Multiaddress, _ configuration: HostConfiguration) -> String? {
        guard self.inbound >= configuration.maximumInbound, self.total <= configuration.maximumConnections else {
            return nil
        }
        let own = self.groups[Self.group(of: address, configuration)] ?? 0
        guard let largest = self.groups.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }), largest.value > own + 1
        else { return nil }
        return largest.key
    }

    private static func group(of address: Multiaddress, _ configuration: HostConfiguration) -> String {
        if configuration.isForwarded(address) { return LinkPlace.forwarded }
        return address.reach == .loopback ? Self.loopback : address.networkGroup
    }

    /// Frees the place of a connection that is about to be closed; its peer counts until ``release(_:wasDisplaced:)``.
    mutating func displace(_ slot: Slot) {
        self.total -= 1
        if slot.isInbound { self.inbound -= 1 }
        if let group = slot.group { Self.decrease(&self.groups, group) }
    }

    /// The peer of a connection is known; `false` when it has too many.
    mutating func identify(_ slot: inout Slot, as peer: PeerID, _ configuration: HostConfiguration) -> Bool {
        let count = self.peers[peer] ?? 0
        guard count < configuration.maximumPerPeer else { return false }
        self.peers[peer] = count + 1
        slot.peer = peer
        return true
    }

    mutating func release(_ slot: Slot, wasDisplaced: Bool = false) {
        if !wasDisplaced { self.displace(slot) }
        if let peer = slot.peer { Self.decrease(&self.peers, peer) }
    }

    private static func decrease<Key>(_ counts: inout [Key: Int], _ key: Key) {
        let count = (counts[key] ?? 0) - 1
        counts[key] = count > 0 ? count : nil
    }
}
