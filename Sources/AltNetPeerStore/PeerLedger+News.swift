// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetPeerRecords

/// News after its signature was checked.
enum CheckedNews: Sendable {
    case record(SealedRecord, source: AddressSources, learnedOn: LocalNetwork?, toldBy: NewsOrigin?)
    /// Anything but a record.
    case plain(PeerNews)
    case refused(PeerNewsRefusal)

    /// Checks a record's signature and whom it is about.
    ///
    /// - Parameters:
    ///   - known: what was verified before, of the peer that this one has to be about. The same bytes are not verified
    ///     again, so that repeating them costs nothing.
    ///   - chain: the chain of whose nodes records are taken; nil: of none.
    init(_ news: PeerNews, known: PeerEntry? = nil, chain: BlockHash?) {
        guard case .record(let envelope, let source, let about, let learnedOn, let toldBy) = news else {
            self = .plain(news)
            return
        }
        do throws(SealedRecord.Failure) {
            let isKnown = known?.peer.record?.envelope == envelope || known?.node.record?.envelope == envelope
            let record: SealedRecord
            if isKnown, let read = SealedRecord(unverified: envelope) {
                record = read
            } else {
                record = try SealedRecord(verifying: envelope)
            }
            if let about, about != record.subject {
                self = .refused(
                    PeerNewsRefusal(.otherPeer, "the record is about \(record.subject), and had to be about \(about)"))
            } else if let refusal = Self.refusal(record, chain: chain) {
                self = .refused(refusal)
            } else {
                self = .record(record, source: source, learnedOn: learnedOn, toldBy: toldBy)
            }
        } catch {
            self = .refused(PeerNewsRefusal(.invalidRecord, error.description))
        }
    }

    /// Nodes of other chains are of no use to anybody here, and a record for each chain would take as much room.
    private static func refusal(_ record: SealedRecord, chain: BlockHash?) -> PeerNewsRefusal? {
        guard case .node(let certified) = record, certified.record.chain != chain else { return nil }
        return PeerNewsRefusal(.otherChain, "the record is about nodes on another chain than ours")
    }

    /// The peer whose entry it changes.
    var peer: PeerID? {
        switch self {
        case .record(let record, _, _, _): record.subject
        case .plain(let news): news.peer
        case .refused: nil
        }
    }
}

extension PeerNews {
    /// The peer that it is about, as far as that can be said without looking into a record.
    var peer: PeerID? {
        switch self {
        case .record(_, _, let about, _, _): about
        case .addresses(let peer, _, _, _, _, _, _): peer
        case .connected(let peer, _, _, _, _): peer
        case .failed(let peer, _, _, _): peer
        case .withdrawn(let peer, _, _, _): peer
        }
    }

    /// Whether the operator waits for it to be safe.
    var isUsers: Bool {
        switch self {
        case .record(_, let source, _, _, _), .addresses(_, _, let source, _, _, _, _): source.contains(.user)
        case .connected, .failed, .withdrawn: false
        }
    }
}

extension PeerLedger {
    /// Lets one piece of news change the table. That of a peer whose row is damaged is refused, so that it stops no other.
    mutating func learn(
        _ news: CheckedNews, now: WallClockTime, filter: AddressFilter, in table: inout some PeerTable
    ) throws -> NewsOutcome {
        if case .refused(let refusal) = news { return .refused(refusal) }
        guard let peer = news.peer else { return .unchanged }
        do {
            return try self.learn(news, of: peer, now: now, filter: filter, in: &table)
        } catch let error as EntryDamaged where error.peer == peer {
            return .refused(
                PeerNewsRefusal(
                    .damaged, "what the peer store holds of \(peer) is not what was written; forget that peer"))
        }
    }

    private mutating func learn(
        _ news: CheckedNews, of peer: PeerID, now: WallClockTime, filter: AddressFilter,
        in table: inout some PeerTable
    ) throws -> NewsOutcome {
        let context = NewsContext(
            now: now, teller: self.teller(of: news), learnedOn: news.learnedOn, filter: filter)
        let was = try table.row(of: peer)
        var entry = was?.entry ?? PeerEntry(teller: context.teller)
        entry.prune(now)
        // One whose last word has expired begins anew, with whoever tells of it now.
        if entry.isEmpty { entry = PeerEntry(teller: context.teller) }
        let outcome = entry.onNews(news, of: peer, context)
        switch outcome {
        case .refused, .unchanged: return outcome
        // Known addresses among bad ones.
        case .storedInPart where entry == was?.entry: return outcome
        case .stored, .storedInPart: break
        }
        if let refusal = try self.settle(entry, of: peer, was: was, now: now, in: &table) { return .refused(refusal) }
        return outcome
    }

    /// Takes one address of a peer away, on all networks; says whether there was one.
    mutating func forget(
        _ address: Multiaddress, of peer: PeerID, now: WallClockTime, in table: inout some PeerTable
    ) throws -> Bool {
        guard let was = try table.row(of: peer) else { return false }
        let plain = address.peerID == peer ? address.withoutPeerID : address
        var entry = was.entry
        for shelf in [\PeerEntry.peer, \PeerEntry.node] {
            let count = entry[keyPath: shelf].addresses.count
            entry[keyPath: shelf].addresses.removeAll { $0.address == plain }
            if entry[keyPath: shelf].addresses.count < count { entry[keyPath: shelf].rememberSequence(now) }
        }
        guard entry != was.entry else { return false }
        entry.prune(now)
        _ = try self.settle(entry, of: peer, was: was, now: now, in: &table)
        return true
    }

    /// Takes away what has expired of a peer, and corrects times from a clock that was ahead; says whether there was anything.
    mutating func sweep(_ peer: PeerID, now: WallClockTime, in table: inout some PeerTable) throws -> Bool {
        guard let was = try table.row(of: peer), Place.isDue(was.place.due, now) else { return false }
        var entry = was.entry
        entry.prune(now)
        return try self.settle(entry, of: peer, was: was, now: now, in: &table) == nil
    }

    private func teller(of news: CheckedNews) -> UInt16 {
        switch news {
        case .record(_, let source, _, let toldBy), .plain(.addresses(_, _, let source, _, _, let toldBy, _)):
            self.teller(toldBy, source)
        case .plain(.record), .plain(.connected), .plain(.failed), .plain(.withdrawn), .refused:
            self.teller(nil, .connection)
        }
    }
}

extension CheckedNews {
    fileprivate var learnedOn: LocalNetwork? {
        switch self {
        case .record(_, _, let learnedOn, _), .plain(.addresses(_, _, _, _, let learnedOn, _, _)): learnedOn
        case .plain(.connected(_, _, _, let network, _)), .plain(.failed(_, _, let network, _)): network
        case .plain(.record), .plain(.withdrawn), .refused: nil
        }
    }
}

extension AddressUse {
    /// Where addresses for it are kept.
    fileprivate var shelf: WritableKeyPath<PeerEntry, AddressShelf> {
        switch self {
        case .libp2p: \.peer
        case .lightning, .bitcoin: \.node
        }
    }
}

extension PeerEntry {
    fileprivate mutating func onNews(_ news: CheckedNews, of peer: PeerID, _ context: NewsContext) -> NewsOutcome {
        switch news {
        case .record(.peer(let record), _, _, _): self.peer.onRecord(.peer(record), of: peer, context)
        case .record(.node(let record), _, _, _): self.node.onRecord(.node(record), of: peer, context)
        case .plain(.addresses(_, let addresses, let source, let lifetime, _, _, let use)):
            self[keyPath: use.shelf].onAddresses(
                addresses.map { UsedAddress(use, $0) }, of: peer, source: source, lifetime: lifetime, context)
        case .plain(.connected(_, let address, let latency, _, let use)):
            self[keyPath: use.shelf].onConnected(UsedAddress(use, address), of: peer, latency: latency, context)
        case .plain(.failed(_, let address, _, let use)):
            self[keyPath: use.shelf].onFailed(UsedAddress(use, address), of: peer, context)
        case .plain(.withdrawn(_, let source, let exception, let use)):
            self[keyPath: use.shelf].onWithdrawn(source, except: exception, use, context)
        case .refused(let refusal): .refused(refusal)
        // A record that was not checked.
        case .plain(.record): .unchanged
        }
    }
}
