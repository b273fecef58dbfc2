// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetKeys
public import AltNetLightning

extension AlternativeAddresses {
    /// To whom an operator's wish went out at once, and whom it waits for.
    public struct Delivery: Hashable, Sendable {
        public var sent: [NodeID] = []
        public var waiting: [NodeID] = []

        public init() {}
    }

    /// A peer is not among those that the configuration allows.
    public struct NotAllowed: Error, Hashable, Sendable, CustomStringConvertible {
        public let peer: NodeID

        public init(peer: NodeID) {
            self.peer = peer
        }

        public var description: String { "\(self.peer) is not in alt_addr_peers" }
    }

    /// A peer and an endpoint of ours that it may enter by.
    public struct Admission: Hashable, Sendable {
        public let peer: NodeID
        public let endpoint: EndpointID

        public init(peer: NodeID, endpoint: EndpointID) {
            self.peer = peer
            self.endpoint = endpoint
        }
    }

    // MARK: - Inputs

    /// All our alternative endpoints, in order of preference; those of one peer alone come before shared ones.
    ///
    /// An endpoint that is down keeps its records, because it comes back. One that is missing, or has another address,
    /// ends them.
    public mutating func onEndpoints(_ endpoints: [AlternativeEndpoint], now: Moment) -> [Directive] {
        self.endpoints = endpoints
        return self.settled(Set(self.givenTo.keys).union(self.settings.allowed), now: now)
    }

    /// The operator wants a peer, or all allowed ones, to be told again. Ends what ``clear(_:now:)`` began.
    public mutating func send(to peer: NodeID?, now: Moment) throws(NotAllowed) -> (Delivery, [Directive]) {
        if let peer, !self.settings.allowed.contains(peer) { throw NotAllowed(peer: peer) }
        let peers = peer.map { [$0] } ?? Array(self.settings.allowed)
        var changes: [StoredChange] = []
        for peer in peers {
            changes += self.change(peer) { $0.isWithheld = false }
            changes += self.changeOpen(peer) { $0.sentAt = nil }
        }
        let directives = (changes.isEmpty ? [] : [Directive.store(changes)]) + self.settled(Set(peers), now: now)
        return (Self.delivery(to: peers, directives), directives)
    }

    /// The operator wants a peer not to be let in any more, and to be told. It is given nothing until
    /// ``send(to:now:)``.
    public mutating func clear(_ peer: NodeID, now: Moment) throws(NotAllowed) -> (Delivery, [Directive]) {
        guard self.settings.allowed.contains(peer) || self.peers[peer] != nil || self.givenTo[peer] != nil else {
            throw NotAllowed(peer: peer)
        }
        var changes = self.change(peer) { $0.isWithheld = true }
        changes += self.end(peer, now: now)
        // A peer that never got anything need not be told.
        let isHolder = self.peers[peer]?.mayHold == true
        let directives = (changes.isEmpty ? [] : [Directive.store(changes)]) + self.settled([peer], now: now)
        return (isHolder ? Self.delivery(to: [peer], directives) : Delivery(), directives)
    }

    private static func delivery(to peers: [NodeID], _ directives: [Directive]) -> Delivery {
        let sent = Set(directives.compactMap { if case .send(_, let peer) = $0 { peer } else { nil } })
        let ordered = peers.sorted { $0.description < $1.description }
        var delivery = Delivery()
        for peer in ordered {
            if sent.contains(peer) { delivery.sent.append(peer) } else { delivery.waiting.append(peer) }
        }
        return delivery
    }

    /// What a `.send` directive asked for could not be handed to any link, so it was not sent. It is tried again at
    /// ``nextRetry``, or before when something else happens to the peer: another link, an endpoint that changes, the
    /// operator's wish.
    public mutating func onLost(_ peer: NodeID, now: Moment) -> [Directive] {
        self.takeBack(self.openRecord(peer) == nil ? .clearsSent : .sent)
        if let pause = self.links[peer]?.retryPause {
            self.links[peer]?.retryAt = now.monotonic + pause
            self.links[peer]?.retryPause = min(pause * 2, Self.longestRetry)
            self.links[peer]?.lastSend = nil
        }
        let changes = self.doubtDelivery(to: peer)
        return changes.isEmpty ? [] : [.store(changes)]
    }

    /// When ``onTimer(now:)`` has something to do; `nil` while nothing is to be sent again.
    public var nextRetry: MonotonicInstant? { self.links.values.lazy.compactMap(\.retryAt).min() }

    /// Time has passed: sends again what no link took.
    public mutating func onTimer(now: Moment) -> [Directive] {
        let due = Set(self.links.filter { $0.value.retryAt.map { $0 <= now.monotonic } ?? false }.keys)
        let directives = self.settled(due, now: now)
        // Where nothing is left to send, there is nothing to wait for.
        for peer in due { self.links[peer]?.retryAt = nil }
        return directives
    }

    // MARK: - Who is let in

    /// Whether a peer was given exactly the address that an endpoint has now, and that was not taken back.
    public func admits(_ peer: NodeID, at endpoint: EndpointID) -> Bool {
        guard let open = self.openRecord(peer), open.endpoint == endpoint,
            let endpoint = self.endpoints.first(where: { $0.id == endpoint })
        else { return false }
        return endpoint.isUp && endpoint.address == open.address
    }

    /// All pairs for which ``admits(_:at:)`` holds, for callers that have to know without waiting.
    public var admissions: Set<Admission> {
        Set(
            self.givenTo.values.compactMap { records in
                guard let open = records.last, self.admits(open.peer, at: open.endpoint) else { return nil }
                return Admission(peer: open.peer, endpoint: open.endpoint)
            })
    }

    /// A connection on an alternative endpoint was let in or turned away.
    public mutating func onAdmission(_ isAdmitted: Bool) {
        self.count(isAdmitted ? .admitted : .turnedAway)
    }

    // MARK: - Decisions

    /// Brings what peers hold and may do in line with what they should.
    mutating func settled(_ peers: Set<NodeID>, now: Moment) -> [Directive] {
        var directives: [Directive] = []
        for peer in peers.sorted(by: { $0.description < $1.description }) {
            self.settle(peer, now: now, &directives)
        }
        return directives
    }

    private mutating func settle(_ peer: NodeID, now: Moment, _ directives: inout [Directive]) {
        let isConnected = self.links[peer] != nil
        var changes: [StoredChange] = []
        if let open = self.openRecord(peer), !self.isRight(open) { changes += self.end(peer, now: now) }
        if isConnected, let (endpoint, channelID) = self.choice(for: peer) {
            let open = self.openRecord(peer)
            if open == nil || self.isBetter(endpoint, than: open?.endpoint, for: peer) {
                changes += self.end(peer, now: now)
                changes += self.begin(peer, endpoint, channelID, now: now)
            }
        }
        if !changes.isEmpty { directives.append(.store(changes)) }
        guard isConnected else { return }
        if let open = self.openRecord(peer) {
            // The channel may have been replaced since the record was made.
            let channelID = self.channel(with: peer) ?? open.channelID
            guard open.sentAt == nil, self.admits(peer, at: open.endpoint),
                let message = try? PeerAltAddr(channelID: channelID, address: open.address)
            else { return }
            self.links[peer]?.onSend(now: now.monotonic)
            self.count(.sent)
            directives.append(.send(message, to: peer))
            let told = self.changeOpen(peer) { record in
                record.sentAt = now.wall
                record.channelID = channelID
            }
            directives.append(.store(told))
        } else if self.peers[peer]?.mayHold == true, let channelID = self.channelToClear(peer),
            let message = try? PeerAltAddr(channelID: channelID, address: nil)
        {
            self.links[peer]?.onSend(now: now.monotonic)
            self.count(.clearsSent)
            directives.append(.send(message, to: peer))
            directives.append(.store(self.change(peer) { $0.mayHold = false }))
        }
    }

    func openRecord(_ peer: NodeID) -> GivenAddress? {
        guard let last = self.givenTo[peer]?.last, last.until == nil else { return nil }
        return last
    }

    /// Whether a record still says what the peer should have.
    private func isRight(_ record: GivenAddress) -> Bool {
        self.mayBeGiven(record.peer)
            && self.endpoints.contains { endpoint in
                endpoint.id == record.endpoint && endpoint.address == record.address
                    && (endpoint.peer ?? record.peer) == record.peer
            }
    }

    private func mayBeGiven(_ peer: NodeID) -> Bool {
        self.settings.allowed.contains(peer) && self.peers[peer]?.isWithheld != true
    }

    /// The endpoint that a peer would be given now, and the channel to name.
    private func choice(for peer: NodeID) -> (AlternativeEndpoint, channelID: [UInt8])? {
        guard self.mayBeGiven(peer), let channelID = self.channel(with: peer) else { return nil }
        let usable = self.endpoints.filter { $0.isUp && ($0.peer ?? peer) == peer }
        guard let endpoint = usable.first(where: { $0.peer == peer }) ?? usable.first else { return nil }
        return (endpoint, channelID)
    }

    /// The one that the configuration names, or else the first of those that an attached node has.
    func channel(with peer: NodeID) -> [UInt8]? {
        self.settings.channels[peer] ?? self.channels[peer]?.min { $0.lexicographicallyPrecedes($1) }
    }

    /// A peer that is no longer allowed has no channel here, so the one that it was given an address for is named.
    private func channelToClear(_ peer: NodeID) -> [UInt8]? {
        self.channel(with: peer) ?? self.givenTo[peer]?.last?.channelID
    }

    private func isBetter(_ endpoint: AlternativeEndpoint, than other: EndpointID?, for peer: NodeID) -> Bool {
        func rank(_ id: EndpointID?) -> (Int, Int) {
            guard let index = self.endpoints.firstIndex(where: { $0.id == id }) else { return (2, 0) }
            return (self.endpoints[index].peer == peer ? 0 : 1, index)
        }
        return rank(endpoint.id) < rank(other)
    }

    // MARK: - Records

    private mutating func begin(
        _ peer: NodeID, _ endpoint: AlternativeEndpoint, _ channelID: [UInt8], now: Moment
    ) -> [StoredChange] {
        var changes: [StoredChange] = []
        if self.givenTo[peer] == nil, self.givenTo.count >= Self.maximumPeers,
            // Allowed peers are few, so there is one whose records have all ended.
            let oldest = self.givenTo.values.compactMap(\.last).filter({ $0.until != nil }).min(by: { $0.id < $1.id })
        {
            changes += (self.givenTo.removeValue(forKey: oldest.peer) ?? []).map { .forgetGiven(id: $0.id) }
        }
        let record = GivenAddress(
            id: self.nextID, peer: peer, address: endpoint.address, endpoint: endpoint.id, channelID: channelID,
            since: now.wall)
        self.nextID += 1
        self.givenTo[peer, default: []].append(record)
        return changes + [.given(record)] + self.change(peer) { $0.mayHold = true }
    }

    /// Ends the open record of a peer, and forgets the oldest of those that ended.
    private mutating func end(_ peer: NodeID, now: Moment) -> [StoredChange] {
        var changes = self.changeOpen(peer) { $0.until = now.wall }
        let excess = (self.givenTo[peer]?.count ?? 0) - Self.maximumEndedRecords
        if !changes.isEmpty, excess > 0 {
            changes += (self.givenTo[peer]?.prefix(excess) ?? []).map { .forgetGiven(id: $0.id) }
            self.givenTo[peer]?.removeFirst(excess)
        }
        return changes
    }

    mutating func changeOpen(_ peer: NodeID, _ body: (inout GivenAddress) -> Void) -> [StoredChange] {
        guard let before = self.openRecord(peer), let last = self.givenTo[peer]?.indices.last else { return [] }
        var record = before
        body(&record)
        guard record != before else { return [] }
        self.givenTo[peer]?[last] = record
        return [.given(record)]
    }

    /// What was last sent may not have arrived.
    mutating func doubtDelivery(to peer: NodeID) -> [StoredChange] {
        guard self.openRecord(peer) == nil else { return self.changeOpen(peer) { $0.sentAt = nil } }
        return self.change(peer) { $0.mayHold = true }
    }
}
