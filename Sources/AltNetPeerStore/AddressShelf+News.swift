// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetPeerRecords

/// The circumstances under which news came.
struct NewsContext: Sendable {
    let now: WallClockTime
    /// The bucket of whoever told it.
    let teller: UInt16
    let learnedOn: LocalNetwork?
    let filter: AddressFilter
}

/// What news does to one peer's addresses. They MUST be pruned before; on a refusal they may have changed and are to be
/// thrown away.
extension AddressShelf {
    // MARK: - Records

    /// Takes a verified record, of the kind that this shelf is for.
    mutating func onRecord(_ record: SealedRecord, of peer: PeerID, _ context: NewsContext) -> NewsOutcome {
        guard record.sequence < .max else {
            return .refused(
                PeerNewsRefusal(
                    .lastSequence, "the record has the highest number there is, so that nothing could ever replace it"))
        }
        if let known = self.sequence {
            guard record.sequence >= known else {
                return .refused(
                    PeerNewsRefusal(.pastRecord, "record \(record.sequence) is older than \(known), which is known"))
            }
            if record.sequence == known, let stored = self.record {
                return self.onSameSequence(record, stored, of: peer, context)
            }
        }
        let isNew = self.isEmpty
        for index in self.addresses.indices {
            self.addresses[index].sources.remove(.certified)
            self.addresses[index].certifiedUntil = nil
        }
        self.sequence = record.sequence
        let addresses = record.addresses
        self.record = StoredRecord(envelope: record.envelope, reach: Self.reach(addresses, context.learnedOn))
        let result = self.addCertified(addresses, of: peer, context)
        self.addresses.removeAll { $0.sources.isEmpty }
        if addresses.isEmpty, self.addresses.isEmpty {
            self.record = nil
            // Of a peer that was unknown, nothing would be kept but a number.
            if isNew {
                return .refused(PeerNewsRefusal(.noAddress, "the record of an unknown peer holds no address"))
            }
        }
        self.rememberSequence(context.now)
        return result.leftOut.isEmpty ? .stored : .storedInPart(leftOut: result.leftOut)
    }

    /// The same record again counts as a sign of life; another one of the same number does not count.
    private mutating func onSameSequence(
        _ record: SealedRecord, _ stored: StoredRecord, of peer: PeerID, _ context: NewsContext
    ) -> NewsOutcome {
        // Signatures of some kinds of key differ each time.
        guard
            stored.envelope == record.envelope
                || SealedRecord(unverified: stored.envelope).map(record.saysTheSame(as:)) ?? false
        else {
            return .refused(
                PeerNewsRefusal(.sameSequence, "another record with the number \(record.sequence) is known"))
        }
        let before = self
        // Where it was heard first stays: its addresses mean other machines wherever else somebody repeats it.
        if stored.reach == .nowhere, let network = context.learnedOn { self.record?.reach = .on(network) }
        let result = self.addCertified(record.addresses, of: peer, context)
        guard self != before else { return .unchanged }
        self.rememberSequence(context.now)
        return result.leftOut.isEmpty ? .stored : .storedInPart(leftOut: result.leftOut)
    }

    private mutating func addCertified(
        _ addresses: [UsedAddress], of peer: PeerID, _ context: NewsContext
    ) -> (isChanged: Bool, leftOut: [LeftOutAddress]) {
        let expiry = context.now + PeerRules.recordLifetime
        let result = self.add(addresses, of: peer, sources: .certified, expiry: expiry, context)
        // Those that are left out keep the record alive like those that are kept.
        let known = self.record?.leftOutUntil
        if !result.leftOut.isEmpty, known.map({ expiry > $0 + PeerRules.refreshInterval }) ?? true {
            self.record?.leftOutUntil = expiry
        }
        return result
    }

    private static func reach(_ addresses: [UsedAddress], _ learnedOn: LocalNetwork?) -> RecordReach {
        guard addresses.contains(where: \.address.isAmbiguous) else { return .anywhere }
        return learnedOn.map { .on($0) } ?? .nowhere
    }

    /// A number outlives the last address.
    mutating func rememberSequence(_ now: WallClockTime) {
        guard self.sequence != nil else { return }
        let last = max(self.lastExpiry ?? now, now)
        self.sequenceUntil = max(self.sequenceUntil, last + PeerRules.sequenceMemory)
    }

    // MARK: - Plain addresses

    /// Takes addresses that nobody signed.
    mutating func onAddresses(
        _ addresses: [UsedAddress], of peer: PeerID, source: AddressSources, lifetime: Duration,
        _ context: NewsContext
    ) -> NewsOutcome {
        guard !addresses.isEmpty else { return .refused(PeerNewsRefusal(.noAddress, "there is no address in it")) }
        guard addresses.count <= PeerBookLimits.maximumAddresses else {
            return .refused(
                PeerNewsRefusal(
                    .tooManyAddresses,
                    "\(addresses.count) addresses at once are more than \(PeerBookLimits.maximumAddresses)"))
        }
        guard !source.isEmpty, source.isSubset(of: .all), source.isDisjoint(with: [.certified, .connection]) else {
            return .refused(
                PeerNewsRefusal(.badSource, "plain addresses need a source, and it cannot be a record or a connection"))
        }
        guard lifetime > .zero || source.contains(.user) else {
            return .refused(PeerNewsRefusal(.expired, "the addresses have expired"))
        }
        let expiry = context.now + max(.zero, min(lifetime, PeerRules.maximumLifetime))
        let result = self.add(addresses, of: peer, sources: source, expiry: expiry, context)
        if result.isChanged { self.rememberSequence(context.now) }
        guard let first = result.leftOut.first else { return result.isChanged ? .stored : .unchanged }
        return result.isChanged || result.leftOut.count < addresses.count
            ? .storedInPart(leftOut: result.leftOut) : .refused(first.refusal)
    }

    /// A source takes back what it said. Until when the others said an address is kept together for all of them, so that
    /// one that others said, too, stays until then.
    mutating func onWithdrawn(
        _ source: AddressSources, except exception: Multiaddress?, _ use: AddressUse, _ context: NewsContext
    ) -> NewsOutcome {
        guard !source.isEmpty, source.isSubset(of: .all), source.isDisjoint(with: [.user, .certified, .connection])
        else {
            return .refused(
                PeerNewsRefusal(
                    .badSource, "what the operator typed, a record certifies or we found cannot be taken back so"))
        }
        let before = self.addresses
        for index in self.addresses.indices
        where self.addresses[index].use == use && self.addresses[index].address != exception {
            self.addresses[index].sources.subtract(source)
        }
        guard self.addresses != before else { return .unchanged }
        self.addresses.removeAll { $0.sources.isEmpty }
        self.rememberSequence(context.now)
        self.prune(context.now)
        return .stored
    }

    /// Adds or refreshes; says which addresses are left out, and whether anything changed.
    private mutating func add(
        _ addresses: [UsedAddress], of peer: PeerID, sources: AddressSources, expiry: WallClockTime,
        _ context: NewsContext
    ) -> (isChanged: Bool, leftOut: [LeftOutAddress]) {
        var leftOut: [LeftOutAddress] = []
        var isChanged = false
        self.addresses.reserveCapacity(self.addresses.count + addresses.count)
        for address in addresses {
            do throws(PeerNewsRefusal) {
                let plain = UsedAddress(address.use, try Self.plain(address.address, of: peer))
                if try self.add(plain, sources: sources, expiry: expiry, context) { isChanged = true }
            } catch {
                leftOut.append(LeftOutAddress(address: address.address, refusal: error))
            }
        }
        return (isChanged, leftOut)
    }

    /// The address without the peer's own id at its end.
    static func plain(_ address: Multiaddress, of peer: PeerID) throws(PeerNewsRefusal) -> Multiaddress {
        guard let named = address.peerID else { return address }
        guard named == peer else {
            throw PeerNewsRefusal(.addressOfOtherPeer, "an address leads to another peer, \(named)")
        }
        let plain = address.withoutPeerID
        guard plain != address else { throw PeerNewsRefusal(.noAddress, "an address holds nothing but the peer's id") }
        return plain
    }

    private mutating func add(
        _ used: UsedAddress, sources: AddressSources, expiry: WallClockTime, _ context: NewsContext
    ) throws(PeerNewsRefusal) -> Bool {
        let address = used.address
        let isUsers = sources.contains(.user)
        try Self.checkSomebodys(address)
        if !isUsers, let refusal = context.filter.refusal(address) { throw refusal }
        let isAmbiguous = address.isAmbiguous
        guard !isAmbiguous || context.learnedOn != nil || isUsers else { throw Self.unknownNetwork }
        let network = isAmbiguous ? context.learnedOn : nil
        if let index = self.index(of: used, network) {
            if isUsers, !self.addresses[index].sources.contains(.user) { try self.checkUserRoom() }
            return self.addresses[index].hear(sources, expiry, context.now)
        }
        let entry = AddressEntry(
            address: address, use: used.use, network: network, teller: context.teller, firstSeen: context.now,
            sources: sources,
            lastSeen: context.now, certifiedUntil: sources == .certified ? expiry : nil,
            heardUntil: sources == .certified ? context.now : expiry)
        try self.insert(entry, context.now)
        return true
    }

    private static func checkSomebodys(_ address: Multiaddress) throws(PeerNewsRefusal) {
        guard !address.isNobodys else {
            throw PeerNewsRefusal(.nowhere, "no machine has such an IP address: unspecified, multicast or reserved")
        }
    }

    private static let unknownNetwork = PeerNewsRefusal(
        .unknownNetwork, "an address of a private range came without the name of its network")

    func index(of used: UsedAddress, _ network: LocalNetwork?) -> Int? {
        self.addresses.firstIndex { $0.address == used.address && $0.use == used.use && $0.network == network }
    }

    // MARK: - Room

    /// Puts an address in, in the place of a less well known one if there is no other.
    private mutating func insert(_ entry: AddressEntry, _ now: WallClockTime) throws(PeerNewsRefusal) {
        let rank = entry.rank(now)
        let full = PeerNewsRefusal(.noRoom, "the peer has too many addresses that are known as well or better")
        switch rank {
        case .user: try self.checkUserRoom()
        case .hearsay:
            let hearsay = self.addresses.filter { $0.rank(now) == .hearsay }
            guard hearsay.count < PeerRules.maximumHearsay,
                hearsay.count(where: { $0.teller == entry.teller }) < PeerRules.maximumHearsayPerTeller
            else { throw full }
        case .identify, .proven, .certified: break
        }
        if self.addresses.count >= PeerRules.maximumAddresses {
            let ranks = self.addresses.map { $0.rank(now) }
            // Only the peer itself says something over identify, so that new words of its may replace its old ones.
            let victims = ranks.indices.filter { ranks[$0] < rank || ranks[$0] == rank && rank == .identify }
            let victim = victims.min { left, right in
                (ranks[left], self.addresses[left].lastSeen) < (ranks[right], self.addresses[right].lastSeen)
            }
            guard let victim else { throw full }
            self.addresses.remove(at: victim)
        }
        self.addresses.append(entry)
    }

    private func checkUserRoom() throws(PeerNewsRefusal) {
        guard self.userAddresses < PeerRules.maximumUserAddresses else {
            throw PeerNewsRefusal(
                .noRoom, "a peer can have \(PeerRules.maximumUserAddresses) addresses that you typed; forget one")
        }
    }

    // MARK: - Attempts to connect

    /// We reached the peer at the address.
    mutating func onConnected(
        _ used: UsedAddress, of peer: PeerID, latency: Duration, _ context: NewsContext
    ) -> NewsOutcome {
        do throws(PeerNewsRefusal) {
            let address = try Self.plain(used.address, of: peer)
            var index = self.tried(UsedAddress(used.use, address), context.learnedOn)
            if index == nil {
                try Self.checkSomebodys(address)
                let isAmbiguous = address.isAmbiguous
                guard !isAmbiguous || context.learnedOn != nil else { throw Self.unknownNetwork }
                var entry = AddressEntry(
                    address: address, use: used.use, network: isAmbiguous ? context.learnedOn : nil,
                    teller: context.teller,
                    firstSeen: context.now, sources: .connection, lastSeen: context.now, heardUntil: context.now)
                entry.lastSuccess = context.now
                try self.insert(entry, context.now)
                index = self.addresses.indices.last
            }
            guard let index else { return .unchanged }
            self.addresses[index].succeed(latency, context.now)
            self.rememberSequence(context.now)
            return .stored
        } catch {
            return .refused(error)
        }
    }

    /// We did not reach the peer at the address.
    mutating func onFailed(_ used: UsedAddress, of peer: PeerID, _ context: NewsContext) -> NewsOutcome {
        do throws(PeerNewsRefusal) {
            let address = UsedAddress(used.use, try Self.plain(used.address, of: peer))
            guard let index = self.tried(address, context.learnedOn) else {
                throw PeerNewsRefusal(.unknownAddress, "nothing is known of the address that failed")
            }
            self.addresses[index].lastFailure = context.now
            self.addresses[index].failures = min(self.addresses[index].failures + 1, PeerRules.maximumFailures)
            return .stored
        } catch {
            return .refused(error)
        }
    }

    /// The entry that was dialled: of the network where we are, or one that counts everywhere.
    private func tried(_ address: UsedAddress, _ network: LocalNetwork?) -> Int? {
        self.index(of: address, network) ?? self.index(of: address, nil)
    }
}

extension SealedRecord {
    /// Whether both say the same, even if their signatures differ.
    fileprivate func saysTheSame(as other: SealedRecord) -> Bool {
        switch (self, other) {
        case (.peer(let mine), .peer(let others)): mine.record == others.record
        case (.node(let mine), .node(let others)): mine.record == others.record
        case (.peer, .node), (.node, .peer): false
        }
    }
}

extension AddressEntry {
    /// Somebody told it again; says whether that is worth writing down.
    fileprivate mutating func hear(
        _ sources: AddressSources, _ expiry: WallClockTime, _ now: WallClockTime
    ) -> Bool {
        let known = sources == .certified ? self.certifiedUntil : self.heardUntil
        guard
            !self.sources.isSuperset(of: sources) || known.map { expiry > $0 + PeerRules.refreshInterval } ?? true
                || now > self.lastSeen + PeerRules.refreshInterval
        else { return false }
        self.sources.formUnion(sources)
        if sources == .certified {
            self.certifiedUntil = max(self.certifiedUntil ?? expiry, expiry)
        } else {
            self.heardUntil = max(self.heardUntil, expiry)
        }
        self.lastSeen = max(self.lastSeen, now)
        return true
    }

    fileprivate mutating func succeed(_ latency: Duration, _ now: WallClockTime) {
        self.sources.insert(.connection)
        self.lastSuccess = now
        self.latency = max(.zero, min(latency, PeerRules.maximumLatency))
        self.failures = 0
        self.lastSeen = max(self.lastSeen, now)
        self.heardUntil = max(self.heardUntil, now + PeerRules.provenLifetime)
    }
}
