// SPDX-License-Identifier: MIT

internal import AltNetHolePunch

/// The slots for connections that others make with us: who has one, and who goes for whom.
///
/// A connection that was punched has an address that its owner can be reached at; a relayed one costs its owner
/// nothing. So relayed ones have a part of the slots only, and go when a punched one comes.
struct PunchSlots: Sendable {
    /// How many of one network group stand at once: two hosts behind one provider's NAT are no attack.
    static let maximumPerGroup = 2
    /// Relayed connections have one slot of so many, and one at least.
    static let relayedShare = 4

    /// What becomes of a connection.
    enum Decision: Hashable, Sendable {
        /// It has the slot of this number; the connection with the other number goes.
        case taken(UInt64, pushedOut: UInt64?)
        case refused
    }

    private enum Kind: Hashable {
        case punched(group: String)
        case relayed
    }

    private let offered: Int
    private let allowPrivate: Bool
    private var nextNumber: UInt64 = 1
    private var standing: [UInt64: Kind] = [:]

    /// - Parameter allowPrivate: in a lab all addresses are of one group: each is its own there.
    init(_ offered: Int, allowPrivate: Bool = false) {
        self.offered = offered
        self.allowPrivate = allowPrivate
    }

    var taken: Int { self.standing.count }
    private var relayed: [UInt64] { self.standing.filter { $0.value == .relayed }.map(\.key) }

    /// Whether one more punched connection has a place, when so many are being arranged.
    func hasPlace(besides coordinating: Int) -> Bool {
        self.taken - self.relayed.count + coordinating < self.offered
    }

    /// Whether one more relayed connection has a place.
    var hasRelayedPlace: Bool {
        self.taken < self.offered && self.relayed.count < max(1, self.offered / Self.relayedShare)
    }

    /// A connection stands.
    ///
    /// - Parameter peer: `nil` for a relayed one.
    mutating func take(_ peer: ExternalEndpoint?) -> Decision {
        var pushedOut: UInt64?
        if let peer {
            let kind = Kind.punched(group: self.group(of: peer))
            guard self.standing.values.count(where: { $0 == kind }) < Self.maximumPerGroup else { return .refused }
            if self.taken >= self.offered {
                // The newest: who has been of use for long is no flood.
                guard let newest = self.relayed.max() else { return .refused }
                self.standing[newest] = nil
                pushedOut = newest
            }
            self.standing[self.nextNumber] = kind
        } else {
            guard self.hasRelayedPlace else { return .refused }
            self.standing[self.nextNumber] = .relayed
        }
        defer { self.nextNumber += 1 }
        return .taken(self.nextNumber, pushedOut: pushedOut)
    }

    private func group(of peer: ExternalEndpoint) -> String {
        let group = peer.networkGroup
        return self.allowPrivate && group == "local" ? peer.host : group
    }

    /// A connection is gone; one that was pushed out has no slot any more.
    mutating func free(_ number: UInt64) {
        self.standing[number] = nil
    }
}
