// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin
public import AltNetPeerRecords

/// Why a peer store cannot be opened, read or written. The text is for the operator and names the file; of a
/// damaged row also the peer, so that it can be forgotten.
public struct PeerStoreError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What programs act on.
    public enum Code: String, Hashable, Sendable {
        /// Another process has the file open.
        case locked
        /// The file was written by a newer version of AltNet.
        case newerVersion
        /// The file is no database, or holds what this program does not write.
        case damaged
        /// The system refused: no space, no permission, an error of the disk.
        case system
        /// More peers or news at once than ``PeerBookLimits`` allows.
        case tooMuch
        /// More is waiting than the store takes in.
        case overloaded
    }

    public let code: Code
    public let description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}

/// How a peer store is set up.
public struct PeerStoreSettings: Hashable, Sendable {
    /// How many peers are kept, of whom up to 1 KiB is stored each; a peer with more counts as several.
    public var capacity: Int
    public var filter: AddressFilter
    /// The chain, by its first block, of whose nodes records are taken; nil: of none.
    public var chain: BlockHash?

    public init(capacity: Int = 100_000, filter: AddressFilter = .none, chain: BlockHash? = nil) {
        self.capacity = max(1, capacity)
        self.filter = filter
        self.chain = chain
    }
}

/// How many peers a store holds.
public struct PeerCounts: Hashable, Sendable {
    /// Peers with an address that the operator typed.
    public let user: Int
    /// Others that we reached within ``PeerRules/provenLifetime``.
    public let proven: Int
    /// All others, with those of whom only the number of their last record is remembered, and those that have expired
    /// and were not swept yet.
    public let unproven: Int
    /// Room that is taken, and that there is, in peers of ordinary size.
    public let used, capacity: Int

    public var peers: Int { self.user + self.proven + self.unproven }
}

/// One page of a list of peers.
public struct PeerPage: Hashable, Sendable {
    /// In the order of their ids.
    public let peers: [KnownPeer]
    /// Peers whose rows are not what was written: they can be forgotten.
    public let damaged: [PeerID]
    /// Where the next page begins; nil after the last.
    public let next: PeerID?
}

/// A peer store: which peers there are, who said where they are, and how that turned out.
///
/// Calls wait for the disk and for each other. The clock is the caller's. ``StoredPeerBook`` makes a `PeerBook` of it.
public protocol PeerStoring: Sendable {
    /// What is known of those peers: one query for all, in the order asked. Unknown ones are missing, and so are damaged
    /// ones, unless only one peer was asked for: then the error says so.
    func known(_ peers: [PeerID], now: WallClockTime) throws(PeerStoreError) -> [KnownPeer]
    /// What may be told about those peers to somebody on that network: one query for all, in the order asked. Damaged ones
    /// as in ``known(_:now:)``.
    func signedPeerRecords(
        of peers: [PeerID], to network: LocalNetwork?, now: WallClockTime
    ) throws(PeerStoreError) -> [PeerHandout]
    /// The records of those peers' Bitcoin and Lightning nodes that anybody may have: one query for all, in the order
    /// asked. Damaged ones as in ``known(_:now:)``.
    func nodeRecords(of peers: [PeerID], now: WallClockTime) throws(PeerStoreError) -> [[UInt8]]
    /// Takes news in the order given, all in one transaction. News of a peer whose row is damaged is refused. What it returns as stored survives the process.
    func learn(_ news: [PeerNews], now: WallClockTime) throws(PeerStoreError) -> [NewsOutcome]
    /// The peers after `peer` in the order of their ids; at most `limit` rows are looked at, and never more than
    /// ``PeerBookLimits/maximumPeers``.
    func list(after peer: PeerID?, limit: Int, now: WallClockTime) throws(PeerStoreError) -> PeerPage
    /// Forgets everything about a peer, its record's number too; says whether there was anything.
    func forget(_ peer: PeerID) throws(PeerStoreError) -> Bool
    /// Forgets one address of a peer, on whatever network; says whether there was one. A record that holds it is kept,
    /// and brings it back when it is heard again.
    func forget(
        _ address: Multiaddress, of peer: PeerID, now: WallClockTime
    ) throws(PeerStoreError) -> Bool
    func counts() throws(PeerStoreError) -> PeerCounts
    /// Removes what has expired among the next `limit` peers (at most ``PeerBookLimits/maximumPeers``), and goes on there
    /// next time; says how many it changed.
    ///
    /// What has expired is not shown to anybody, swept or not; sweeping makes room.
    func sweep(limit: Int, now: WallClockTime) throws(PeerStoreError) -> Int
}

extension PeerStoring {
    static func page(_ limit: Int) -> Int { max(1, min(limit, PeerBookLimits.maximumPeers)) }

    static func check(_ peers: [PeerID]) throws(PeerStoreError) {
        guard peers.count <= PeerBookLimits.maximumPeers else {
            throw PeerStoreError(
                .tooMuch, "\(peers.count) peers at once are more than \(PeerBookLimits.maximumPeers)")
        }
    }

    static func check(_ news: [PeerNews]) throws(PeerStoreError) {
        guard news.count <= PeerBookLimits.maximumNews else {
            throw PeerStoreError(
                .tooMuch, "\(news.count) pieces of news at once are more than \(PeerBookLimits.maximumNews)")
        }
    }
}

extension PeerCounts {
    init(_ ledger: PeerLedger) {
        self.init(
            user: ledger.peers[Int(Standing.user.rawValue)], proven: ledger.peers[Int(Standing.proven.rawValue)],
            unproven: ledger.peers[Int(Standing.unproven.rawValue)], used: ledger.units.reduce(0, +),
            capacity: ledger.capacity)
    }
}
