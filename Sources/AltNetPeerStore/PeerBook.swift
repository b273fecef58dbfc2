// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetPeerRecords

/// Something that was heard about a peer.
public enum PeerNews: Hashable, Sendable {
    /// A sealed record from anybody, as it came: it is verified before it is looked at.
    ///
    /// - `source`: who brought it. ``AddressSources/certified`` is added by the store.
    /// - `about`: the only peer that it may be about. Identify MUST name the peer at the other end.
    /// - `learnedOn`: where we were; needed for addresses of private ranges only.
    case record(envelope: [UInt8], source: AddressSources, about: PeerID? = nil, learnedOn: LocalNetwork? = nil)
    /// Addresses that nobody signed. Those of ``AddressSources/user`` never expire, whatever `lifetime` says.
    case addresses(
        PeerID, [Multiaddress], source: AddressSources, lifetime: Duration, learnedOn: LocalNetwork? = nil)
    /// We reached the peer at the address and it proved who it is. `latency`: from the first byte to that proof. Not for
    /// connections that the peer opened: their remote port means nothing.
    case connected(PeerID, Multiaddress, latency: Duration, on: LocalNetwork? = nil)
    /// We did not reach the peer at the address.
    case failed(PeerID, Multiaddress, on: LocalNetwork? = nil)
}

/// What became of one piece of news.
public enum NewsOutcome: Hashable, Sendable {
    /// It is stored.
    case stored
    /// Some addresses are stored, these are not.
    case storedInPart(leftOut: [LeftOutAddress])
    /// Nothing of it was new.
    case unchanged
    /// Nothing of it is stored.
    case refused(PeerNewsRefusal)
}

/// An address that was not stored, and why.
public struct LeftOutAddress: Hashable, Sendable {
    public let address: Multiaddress
    public let refusal: PeerNewsRefusal

    public init(address: Multiaddress, refusal: PeerNewsRefusal) {
        self.address = address
        self.refusal = refusal
    }
}

/// Why news was refused. The text is for the operator.
public struct PeerNewsRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// What programs act on. The raw values travel between processes.
    public enum Code: String, Hashable, Sendable, CaseIterable {
        /// The envelope is malformed, too large, of another domain or type, or its signature is wrong.
        case invalidRecord
        /// The record is about another peer than the one that it had to be about.
        case otherPeer
        /// The record is older than the one that is known.
        case pastRecord
        /// Another record with the same sequence number is known.
        case sameSequence
        /// No address at all.
        case noAddress
        /// More addresses than one piece of news may hold.
        case tooManyAddresses
        /// The address ends with the id of another peer.
        case addressOfOtherPeer
        /// An address of a private range, and nobody said of which network.
        case unknownNetwork
        /// The operator's filter keeps such addresses out.
        case filtered
        /// The lifetime is zero or negative.
        case expired
        /// Only better known addresses or peers would have to make room.
        case noRoom
        /// Nobody told of this address, so that it cannot have failed.
        case unknownAddress
        /// More news is waiting than the store takes.
        case overloaded
    }

    public let code: Code
    public let description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}

/// What is known of one address of a peer.
public struct KnownAddress: Hashable, Sendable {
    /// Without the peer's own id at the end.
    public let address: Multiaddress
    public let sources: AddressSources
    public let firstSeen: WallClockTime
    /// When somebody last told it, or we last used it.
    public let lastSeen: WallClockTime
    /// From when on it is not used; nil: never, the operator typed it.
    public let expiry: WallClockTime?
    public let lastSuccess: WallClockTime?
    public let lastFailure: WallClockTime?
    /// Of the last success.
    public let latency: Duration?
    /// Attempts that failed since the last success.
    public let failures: Int
    /// The network that it belongs to, when the address alone does not say where in the world it leads.
    public let network: LocalNetwork?

    public init(
        address: Multiaddress, sources: AddressSources, firstSeen: WallClockTime, lastSeen: WallClockTime,
        expiry: WallClockTime?, lastSuccess: WallClockTime? = nil, lastFailure: WallClockTime? = nil,
        latency: Duration? = nil, failures: Int = 0, network: LocalNetwork? = nil
    ) {
        self.address = address
        self.sources = sources
        self.firstSeen = firstSeen
        self.lastSeen = lastSeen
        self.expiry = expiry
        self.lastSuccess = lastSuccess
        self.lastFailure = lastFailure
        self.latency = latency
        self.failures = failures
        self.network = network
    }

    /// Whether it may be dialled by somebody who is on that network. An address that the operator typed without saying
    /// where is tried everywhere.
    public func isUsable(on network: LocalNetwork?) -> Bool {
        self.network == nil || self.network == network
    }
}

/// What is known of one peer.
public struct KnownPeer: Hashable, Sendable {
    public let id: PeerID
    /// The newest record that the peer signed.
    public let record: CertifiedPeerRecord?
    /// Those that have not expired, of all networks: dial only ``addresses(on:)``.
    public let addresses: [KnownAddress]

    public init(id: PeerID, record: CertifiedPeerRecord?, addresses: [KnownAddress]) {
        self.id = id
        self.record = record
        self.addresses = addresses
    }

    /// The addresses that mean this peer for somebody who is on that network.
    public func addresses(on network: LocalNetwork?) -> [KnownAddress] {
        self.addresses.filter { $0.isUsable(on: network) }
    }
}

/// What may be told to somebody else about a peer.
public struct PeerHandout: Hashable, Sendable {
    public let id: PeerID
    /// The peer's sealed record, when all of it may be told.
    public let envelope: [UInt8]?
    /// Plain addresses, also when there is an envelope: those that it holds come first.
    public let addresses: [Multiaddress]

    public init(id: PeerID, envelope: [UInt8]?, addresses: [Multiaddress]) {
        self.id = id
        self.envelope = envelope
        self.addresses = addresses
    }
}

/// What a host needs to know of the peer store, which may be in another process.
public protocol PeerBook: Sendable {
    /// What is known of those peers: one query for all, in the order asked. Unknown ones are missing. At most
    /// ``PeerBookLimits/maximumPeers`` at once.
    func known(_ peers: [PeerID]) async throws -> [KnownPeer]
    /// What may be told about those peers to somebody on that network (nil: somebody on the open network): signed records
    /// where there are some, else plain addresses; nothing that means another machine where the asker is. One query for
    /// all, in the order asked, peers about which nothing may be told are missing.
    func handout(_ peers: [PeerID], to network: LocalNetwork?) async throws -> [PeerHandout]
    /// Takes news in the order given, and says what became of each.
    func learn(_ news: [PeerNews]) async throws -> [NewsOutcome]
}

/// Limits of one call to a ``PeerBook``.
public enum PeerBookLimits {
    /// Peers in one question: fifty answers of a DHT, and small enough that one question never holds up the others for
    /// more than some tens of milliseconds.
    public static let maximumPeers = 1_000
    /// News in one call: what fits one transaction that others do not wait for noticeably.
    public static let maximumNews = 1_000
    /// Addresses in one piece of news, as in one record (``PeerRecord/maximumAddresses``).
    public static let maximumAddresses = 100
}
