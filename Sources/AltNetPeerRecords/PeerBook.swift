// SPDX-License-Identifier: MIT

public import AltNetBase

/// Something that was heard about a peer.
///
/// `toldBy` says from where in the network it came. The store gives every corner of the network its share of the room,
/// so that nobody can push out what others told: hosts MUST name it wherever they know who spoke to them.
public enum PeerNews: Hashable, Sendable {
    /// A sealed record from anybody, as it came: it is verified before it is looked at.
    ///
    /// A peer record or a node address record: the envelope says which (``SealedRecord``).
    ///
    /// - `source`: who brought it. ``AddressSources/certified`` is added by the store.
    /// - `about`: the only peer that it may be about. Identify MUST name the peer at the other end.
    /// - `learnedOn`: where we were; needed for addresses of private ranges only.
    case record(
        envelope: [UInt8], source: AddressSources, about: PeerID? = nil, learnedOn: LocalNetwork? = nil,
        toldBy: NewsOrigin? = nil)
    /// Addresses that nobody signed. Those of ``AddressSources/user`` never expire, whatever `lifetime` says.
    case addresses(
        PeerID, [Multiaddress], source: AddressSources, lifetime: Duration, learnedOn: LocalNetwork? = nil,
        toldBy: NewsOrigin? = nil, use: AddressUse = .libp2p)
    /// We reached the peer at the address and it proved who it is. `latency`: from the first byte to that proof. Not for
    /// connections that the peer opened: their remote port means nothing.
    case connected(PeerID, Multiaddress, latency: Duration, on: LocalNetwork? = nil, use: AddressUse = .libp2p)
    /// We did not reach the peer at the address.
    case failed(PeerID, Multiaddress, on: LocalNetwork? = nil, use: AddressUse = .libp2p)
    /// What `source` said of the peer's addresses counts no more, on all networks: addresses that nobody else said are
    /// forgotten. Not for records, which only a newer one takes back, nor for what the operator typed or we found.
    ///
    /// - `except`: the address of which it still says that it is the peer's.
    case withdrawn(PeerID, source: AddressSources, except: Multiaddress? = nil, use: AddressUse = .libp2p)

    /// Whose addresses it changes if it is taken in: of a record, what it says itself, unverified. `nil` where it only
    /// says how an address did.
    public var subject: PeerID? {
        switch self {
        case .record(let envelope, _, let about, _, _): about ?? SealedRecord(unverified: envelope)?.subject
        case .addresses(let peer, _, _, _, _, _, _), .withdrawn(let peer, _, _, _): peer
        case .connected, .failed: nil
        }
    }
}

/// Where in the network somebody is who tells us news: the network group of the address at which we talk to them
/// (`Multiaddress.networkGroup`), since addresses of one group cost an attacker little more than a single one.
public struct NewsOrigin: Hashable, Sendable, CustomStringConvertible {
    /// The longest group in bytes: longer host names are cut.
    public static let maximumSize = 64

    public let networkGroup: String

    public init(networkGroup: String) {
        self.networkGroup =
            networkGroup.utf8.count <= Self.maximumSize
            ? networkGroup : String(decoding: networkGroup.utf8.prefix(Self.maximumSize), as: UTF8.self)
    }

    public var description: String { self.networkGroup }
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
        /// The record has the highest sequence number there is (2^64 - 1), so that nothing could ever replace it.
        case lastSequence
        /// Plain addresses without a source, or with one that only a record or a connection gives.
        case badSource
        /// No address at all.
        case noAddress
        /// More addresses than one piece of news may hold.
        case tooManyAddresses
        /// The address ends with the id of another peer.
        case addressOfOtherPeer
        /// An address of a private range, and nobody said of which network.
        case unknownNetwork
        /// An IP address that no machine has: unspecified, multicast or reserved.
        case nowhere
        /// A node address record of another chain than ours.
        case otherChain
        /// The operator's filter keeps such addresses out.
        case filtered
        /// The lifetime is zero or negative.
        case expired
        /// Only better known addresses or peers would have to make room.
        case noRoom
        /// Nobody told of this address, so that it cannot have failed.
        case unknownAddress
        /// What the store holds of the peer is not what was written: the peer has to be forgotten first.
        case damaged
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
    func signedPeerRecords(of peers: [PeerID], to network: LocalNetwork?) async throws -> [PeerHandout]
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
