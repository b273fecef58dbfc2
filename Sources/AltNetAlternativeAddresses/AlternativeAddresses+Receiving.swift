// SPDX-License-Identifier: MIT

internal import AltNetBase
public import AltNetKeys
public import AltNetLightning

extension AlternativeAddresses {
    /// A peer sent the body of a message of type 209: what follows its type.
    public mutating func onMessage(
        body: [UInt8], from peer: NodeID, now: Moment
    ) -> (reception: AddressReception, directives: [Directive]) {
        let reception: AddressReception
        let changes: [StoredChange]
        do throws(PeerAltAddrError) {
            (reception, changes) = self.receive(try PeerAltAddr(body: body), from: peer, now: now)
        } catch {
            (reception, changes) = (.refused(.malformed(error)), [])
        }
        switch reception {
        case .stored: self.count(.stored)
        case .unchanged: self.count(.unchanged)
        case .cleared, .nothingToClear: self.count(.clearsReceived)
        case .refused: self.count(.refused)
        }
        return (reception, changes.isEmpty ? [] : [.store(changes)])
    }

    private mutating func receive(
        _ message: PeerAltAddr, from peer: NodeID, now: Moment
    ) -> (AddressReception, [StoredChange]) {
        let known = self.knownChannels(peer)
        guard known.isEmpty || known.contains(message.channelID) else { return (.refused(.unknownChannel), []) }
        let address: LightningAddress
        do throws(LightningAddressError) {
            guard let read = try message.reading() else {
                // Not limited: there is nothing to forget that was not limited when it came.
                guard self.receivedFrom.removeValue(forKey: peer) != nil else { return (.nothingToClear, []) }
                return (.cleared, [.forgetReceived(peer)])
            }
            address = read
        } catch {
            return (.refused(.badAddress(error)), [])
        }
        if self.receivedFrom[peer]?.address == address { return (.unchanged, []) }
        let isClose =
            self.settings.configured.contains(peer) || !known.isEmpty
            || self.settings.allowed.contains(peer)
        guard isClose || self.hasHistory(peer, now: now) else { return (.refused(.noRelationship), []) }
        guard !self.isOurs(address) else { return (.refused(.ownAddress), []) }
        guard self.settings.takesPrivate || !address.isPrivate else { return (.refused(.privateRange), []) }
        guard self.takeToken(peer, now: now) else { return (.refused(.tooOften), []) }
        var changes: [StoredChange] = []
        if self.receivedFrom[peer] == nil, self.receivedFrom.count >= Self.maximumReceived {
            // A peer that the operator named, or has a channel with, displaces one that merely stood for a while.
            guard isClose, let other = self.oldestOfOthers() else { return (.refused(.full), []) }
            self.receivedFrom[other] = nil
            changes.append(.forgetReceived(other))
        }
        let record = ReceivedAddress(
            peer: peer, address: address, channelID: message.channelID, receivedAt: now.wall)
        self.receivedFrom[peer] = record
        return (.stored, changes + [.received(record)])
    }

    private func hasHistory(_ peer: NodeID, now: Moment) -> Bool {
        let current = self.links[peer].map { now.monotonic - $0.since } ?? .zero
        return (self.peers[peer]?.stood ?? .zero) + current >= Self.historyAfter
    }

    /// Says where we listen for some peers, beside the addresses of the endpoints themselves.
    public mutating func onOwnPlaces(_ places: [OwnPlace]) {
        self.ownPlaces = places
    }

    private func isOurs(_ address: LightningAddress) -> Bool {
        [address, address.unmapped].contains { address in
            self.settings.ownAddresses.contains(address) || self.endpoints.contains { $0.address == address }
                || self.ownPlaces.contains { $0.contains(address) }
        }
    }

    private func oldestOfOthers() -> NodeID? {
        self.receivedFrom.values.filter {
            !self.settings.configured.contains($0.peer) && !self.settings.allowed.contains($0.peer)
                && self.knownChannels($0.peer).isEmpty
        }.min { ($0.receivedAt, $0.peer.description) < ($1.receivedAt, $1.peer.description) }?.peer
    }

    private mutating func takeToken(_ peer: NodeID, now: Moment) -> Bool {
        let (burst, refill) = Self.messages
        if self.rates[peer] == nil, self.rates.count >= Self.maximumPeers {
            // Who has not sent for so long has all tokens back, so that nothing is lost by forgetting.
            self.rates = self.rates.filter { now.monotonic - $0.value.filledAt < refill * burst }
            guard self.rates.count < Self.maximumPeers else { return false }
        }
        var rate = self.rates[peer] ?? Rate(tokens: burst, filledAt: now.monotonic)
        let gained = (now.monotonic - rate.filledAt).wholeNanoseconds / refill.wholeNanoseconds
        if gained > 0 {
            rate.tokens = min(burst, rate.tokens + Int(clamping: min(gained, Int64(burst))))
            rate.filledAt = rate.tokens == burst ? now.monotonic : rate.filledAt + refill * Int(clamping: gained)
        }
        defer { self.rates[peer] = rate }
        guard rate.tokens > 0 else { return false }
        if rate.tokens == burst { rate.filledAt = now.monotonic }
        rate.tokens -= 1
        return true
    }

    // MARK: - Dialling

    /// One attempt of a round of dialling a peer.
    public enum Route: Hashable, Sendable {
        /// The address that the peer gave us.
        case alternative(LightningAddress)
        /// The address that we know it by anyway.
        case original
    }

    /// How an attempt to reach a peer at the address that it gave us ended.
    public enum DialResult: Hashable, Sendable {
        /// The handshake proved that the peer is there.
        case reached
        /// Nobody answered, so the round went on with its next route.
        case notReached
        /// Somebody answered who did not prove to be the peer, which ended the round.
        case notProven
    }

    /// Begins a round of dialling a peer: where, one after the other until somebody answers.
    ///
    /// The alternative comes first. As long as it has never worked, and after its latest attempt failed, the original
    /// follows in the same round. An alternative that worked the last time is dialled alone, so that a single lost
    /// packet does not show the world who talks with whom; when it fails, the next round has both. After a round in
    /// which somebody else answered at the alternative, the next one has the original alone.
    ///
    /// Whom we dial, the operator has named: from then on the peer counts as configured.
    public mutating func routes(to peer: NodeID) -> [Route] {
        self.settings.configured.insert(peer)
        guard self.interruptedRounds.remove(peer) == nil, let received = self.receivedFrom[peer] else {
            return [.original]
        }
        let isSound = received.validatedAt != nil && received.lastFailureAt == nil
        return [.alternative(received.address)] + (isSound ? [] : [.original])
    }

    /// An attempt ended. Nothing happens when the peer has given us another address since.
    public mutating func onDialled(
        _ peer: NodeID, at address: LightningAddress, _ result: DialResult, now: Moment
    ) -> [Directive] {
        self.count(result == .reached ? .dialled : .dialFailures)
        guard var record = self.receivedFrom[peer], record.address == address else { return [] }
        switch result {
        case .reached:
            record.validatedAt = record.validatedAt ?? now.wall
            record.lastSuccessAt = now.wall
            record.lastFailureAt = nil
        case .notReached: record.lastFailureAt = now.wall
        case .notProven:
            record.lastFailureAt = now.wall
            self.interruptedRounds.insert(peer)
        }
        self.receivedFrom[peer] = record
        return [.store([.received(record)])]
    }
}
