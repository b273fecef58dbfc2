// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetKeys
public import AltNetLightning

/// Alternative addresses (bLIP 43): who was given which of ours, who gave us one, and what follows from it.
///
/// Callers MUST carry out directives in their order, and none of those after a `.store` before that is on the disk:
/// so a record is durable before the peer can know the address. When a `.store` fails, what is here and what is on the
/// disk differ, and the value MUST be thrown away.
public struct AlternativeAddresses: Sendable {
    /// What the operator decides, and what the machine needs to know of us.
    public struct Settings: Sendable {
        public var ourselves: NodeID
        /// The peers that are given our alternative addresses.
        public var allowed: Set<NodeID>
        /// The channels that the configuration names, 32 bytes each and not all zero.
        public var channels: [NodeID: [UInt8]]
        /// Peers that the configuration names in another way: targets.
        public var configured: Set<NodeID>
        /// Other addresses at which we listen; a peer that gives us one of them is refused.
        public var ownAddresses: Set<LightningAddress>
        /// Whether addresses in private ranges are taken from peers.
        public var takesPrivate: Bool

        public init(
            ourselves: NodeID, allowed: Set<NodeID> = [], channels: [NodeID: [UInt8]] = [:],
            configured: Set<NodeID> = [],
            ownAddresses: Set<LightningAddress> = [], takesPrivate: Bool = false
        ) {
            self.ourselves = ourselves
            self.allowed = allowed
            self.channels = channels
            self.configured = configured
            self.ownAddresses = ownAddresses
            self.takesPrivate = takesPrivate
        }
    }

    /// What the caller has to do.
    public enum Directive: Hashable, Sendable {
        /// One transaction, on the disk before anything that follows.
        case store([StoredChange])
        /// Send over any link with the peer that stands.
        case send(PeerAltAddr, to: NodeID)
    }

    /// Ended records that are kept of one peer, the latest: who changes addresses weekly can look back for months.
    public static let maximumEndedRecords = 16
    /// Peers with records, and peers with a history: more than a node has channel partners.
    public static let maximumPeers = 1000
    /// Addresses that are kept of peers, one each.
    public static let maximumReceived = 1000
    /// Messages with an address that a peer may send at once, and how long each takes to come back. Addresses change
    /// rarely, and each one that is taken costs a write that waits for the disk.
    public static let messages = (burst: 4, refill: Duration.seconds(60))
    /// Links that stood this long altogether are a history: more than a stranger has who only comes to say one thing.
    public static let historyAfter: Duration = .seconds(600)
    /// Shorter links leave no trace, so that strangers who come and go cost no writes.
    public static let shortestLink: Duration = .seconds(60)
    /// A link that breaks sooner after a message may have lost it, so the message is sent again: within this time the
    /// session's pings find a dead connection.
    public static let deliveryDoubt: Duration = .seconds(60)
    /// How soon a message that no link took is tried again: a link that is full for longer has stopped reading, and its
    /// session ends it.
    public static let firstRetry: Duration = .seconds(60)
    /// The pause doubles up to this: a peer that takes no such messages at all costs a try in an hour.
    public static let longestRetry: Duration = .seconds(3600)

    public internal(set) var settings: Settings
    /// In order of preference.
    var endpoints: [AlternativeEndpoint] = []
    /// Where we listen for some peers, whatever they are told.
    var ownPlaces: [OwnPlace] = []
    /// Oldest first; at most the last of each is open.
    var givenTo: [NodeID: [GivenAddress]] = [:]
    var nextID: Int64 = 1
    var receivedFrom: [NodeID: ReceivedAddress] = [:]
    var peers: [NodeID: PeerRecord] = [:]
    var links: [NodeID: Links] = [:]
    /// Channels that an attached Lightning node has with peers.
    var channels: [NodeID: Set<[UInt8]>] = [:]
    var rates: [NodeID: Rate] = [:]
    /// Peers whose last round of dialling ended before the original was tried; some of those in `receivedFrom`.
    var interruptedRounds: Set<NodeID> = []
    /// How often what happened since the start.
    public private(set) var counters: [AlternativeAddressCounter: UInt64] = [:]

    struct Links {
        var count = 1
        let since: MonotonicInstant
        /// When something was last sent that the link may still lose.
        var lastSend: MonotonicInstant?
        /// When what no link took is tried again.
        var retryAt: MonotonicInstant?
        /// The pause before the next try.
        var retryPause = AlternativeAddresses.firstRetry

        mutating func onSend(now: MonotonicInstant) {
            self.lastSend = now
            // The message before this one was taken, so the link works again.
            if self.retryAt == nil { self.retryPause = AlternativeAddresses.firstRetry }
            self.retryAt = nil
        }
    }

    struct Rate {
        var tokens: Int
        var filledAt: MonotonicInstant
    }

    /// Goes on where the disk stands. Lets nobody in and gives nothing before ``onEndpoints(_:now:)``.
    public init(_ settings: Settings, stored: StoredAddresses = StoredAddresses()) {
        self.settings = settings
        for record in stored.given.sorted(by: { $0.id < $1.id }) {
            self.givenTo[record.peer, default: []].append(record)
            self.nextID = max(self.nextID, record.id + 1)
        }
        for record in stored.received { self.receivedFrom[record.peer] = record }
        for record in stored.peers { self.peers[record.peer] = record }
    }

    /// All records of what was given, oldest first.
    public var given: [GivenAddress] { self.givenTo.values.joined().sorted { $0.id < $1.id } }

    /// All addresses that peers gave us, oldest first.
    public var received: [ReceivedAddress] {
        self.receivedFrom.values.sorted {
            ($0.receivedAt, $0.peer.description) < ($1.receivedAt, $1.peer.description)
        }
    }

    mutating func count(_ counter: AlternativeAddressCounter) {
        self.counters[counter, default: 0] += 1
    }

    /// What was counted did not happen.
    mutating func takeBack(_ counter: AlternativeAddressCounter) {
        guard let count = self.counters[counter], count > 0 else { return }
        self.counters[counter] = count - 1
    }

    // MARK: - Peers

    /// A link with a peer stands, whoever opened it; called for each.
    public mutating func onConnected(_ peer: NodeID, now: Moment) -> [Directive] {
        if self.links[peer] != nil {
            self.links[peer]?.count += 1
        } else {
            self.links[peer] = Links(since: now.monotonic)
        }
        return self.settled([peer], now: now)
    }

    /// A link with a peer ended; called for each that ``onConnected(_:now:)`` was called for.
    public mutating func onDisconnected(_ peer: NodeID, now: Moment) -> [Directive] {
        guard let link = self.links[peer] else { return [] }
        var changes: [StoredChange] = []
        if let sent = link.lastSend, now.monotonic - sent < Self.deliveryDoubt {
            changes += self.doubtDelivery(to: peer)
            self.links[peer]?.lastSend = nil
        }
        if link.count > 1 {
            self.links[peer]?.count -= 1
        } else {
            self.links[peer] = nil
            let stood = now.monotonic - link.since
            if stood >= Self.shortestLink { changes += self.addHistory(stood, of: peer) }
        }
        return (changes.isEmpty ? [] : [.store(changes)]) + self.settled([peer], now: now)
    }

    /// An attached Lightning node says which channels it has with a peer; empty when none any more.
    public mutating func onChannels(_ peer: NodeID, _ channels: [[UInt8]], now: Moment) -> [Directive] {
        let usable = channels.filter { $0.count == PeerAltAddr.channelIDSize && $0.contains { $0 != 0 } }
        self.channels[peer] = usable.isEmpty ? nil : Set(usable)
        return self.settled([peer], now: now)
    }

    /// Channels that we know to have with a peer.
    func knownChannels(_ peer: NodeID) -> Set<[UInt8]> {
        var known = self.channels[peer] ?? []
        if let configured = self.settings.channels[peer] { known.insert(configured) }
        return known
    }

    private mutating func addHistory(_ stood: Duration, of peer: NodeID) -> [StoredChange] {
        var changes: [StoredChange] = []
        if self.peers[peer] == nil, self.peers.count >= Self.maximumPeers {
            // Who has stood the shortest goes, which may be the newcomer: strangers do not push old friends out.
            let candidates = self.peers.values.filter { !$0.mayHold && !$0.isWithheld }
            guard let least = candidates.min(by: { $0.stood < $1.stood }), least.stood < stood else { return [] }
            self.peers[least.peer] = nil
            changes.append(.forgetPeer(least.peer))
        }
        return changes + self.change(peer) { $0.stood += stood }
    }

    /// Changes what is remembered of a peer, and says what to store; nothing when nothing changes.
    mutating func change(_ peer: NodeID, _ body: (inout PeerRecord) -> Void) -> [StoredChange] {
        let before = self.peers[peer] ?? PeerRecord(peer: peer)
        var record = before
        body(&record)
        guard record != before else { return [] }
        self.peers[peer] = record.isEmpty ? nil : record
        return [record.isEmpty ? .forgetPeer(peer) : .peer(record)]
    }
}
