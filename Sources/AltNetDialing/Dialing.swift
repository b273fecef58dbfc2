// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetPeerRecords

/// Opens connections to peers: which address next, when, how many at once, and who gets what came of it.
///
/// Requests for one peer share their attempts and the connections that come of them, as far as the policy of each allows.
/// Attempts follow each other as in RFC 8305: the next one starts when the last one fails, or after
/// ``Settings/stagger``, and the first that succeeds ends the others.
///
/// Callers MUST carry out directives in their order, answer every `.open` with ``onConnected(_:now:)`` or
/// ``onFailed(_:_:now:)`` unless a `.close` of it came first, and call ``onTimer(now:)`` at the time of the last
/// `.setTimer`, or later. What is connected after its `.close` is closed by whoever opened it;
/// ``onConnected(_:now:)`` says so once more for those that cannot tell.
public struct Dialing: Sendable {
    /// What the operator may change.
    public struct Settings: Hashable, Sendable {
        /// How long an attempt is alone before the next one starts beside it. RFC 8305 recommends 250 ms.
        public var stagger: Duration
        /// After this an attempt has failed, as in go-libp2p: a handshake over Tor takes seconds.
        public var attemptTimeout: Duration
        /// After this a request ends, whatever is still going on.
        public var requestTimeout: Duration
        /// Attempts at once: each is a socket, and routers at home break down when there are many half-open ones.
        public var attempts: Int
        /// Attempts at once for one peer: enough for one of each kind of address.
        public var attemptsPerPeer: Int

        public init(
            stagger: Duration = .milliseconds(250), attemptTimeout: Duration = .seconds(15),
            requestTimeout: Duration = .seconds(60), attempts: Int = 64, attemptsPerPeer: Int = 4
        ) {
            self.stagger = stagger
            self.attemptTimeout = attemptTimeout
            self.requestTimeout = requestTimeout
            // With none at all, nothing would ever begin.
            self.attempts = max(1, attempts)
            self.attemptsPerPeer = max(1, attemptsPerPeer)
        }
    }

    /// Chosen by the caller; used once.
    public struct RequestID: Hashable, Sendable {
        public let rawValue: UInt64

        public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    }

    /// One try to reach an address, and afterwards the connection that came of it. Never used again.
    public struct AttemptID: Hashable, Comparable, Sendable {
        public let rawValue: UInt64

        init(_ rawValue: UInt64) { self.rawValue = rawValue }

        public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
    }

    /// Whose fault a failure is.
    public enum AttemptFailure: Hashable, Sendable {
        /// Nobody answered there, or not the peer. The address is left alone for a while.
        case remote
        /// We could not try: no descriptors, no network. Says nothing about the address.
        case local
    }

    /// Why an attempt is broken off.
    public enum CloseReason: Hashable, Sendable {
        /// Nobody wants it any more.
        case unwanted
        /// It took longer than ``Settings/attemptTimeout``: a failure of the address.
        case tooSlow
    }

    /// What the caller has to do.
    public enum Directive: Hashable, Sendable {
        /// Connect to the peer at the address, and prove that it is the peer. The address does not end with its id.
        case open(attempt: AttemptID, PeerID, Multiaddress)
        /// Break the attempt off, or close what came of it. Nobody was given it.
        case close(attempt: AttemptID, CloseReason)
        /// The request ends with the connection that came of the attempt; others may have been given the same.
        case succeeded(request: RequestID, attempt: AttemptID)
        /// The request ends.
        case failed(request: RequestID, DialFailure)
        /// Replaces the timer set before.
        case setTimer(MonotonicInstant)
    }

    /// Requests that wait at once, for all peers: several hundred look-ups with ten peers each would be too many for the
    /// attempts anyway.
    public static let maximumRequests = 1_024
    /// Requests that wait for one peer: each costs a look at all its attempts whenever something happens.
    public static let maximumRequestsPerPeer = 64
    /// Addresses of a peer in one dial, and that one request tries: one record holds 100, and the operator's are added.
    public static let maximumAddresses = 128
    /// Connections that are remembered, to be given to later requests. One more is not shared.
    public static let maximumConnections = 4_096

    public let settings: Settings
    /// Addresses that were left out of dials: they belong to another peer, or there was no room for them.
    public private(set) var leftOut: UInt64 = 0

    var dials: [PeerID: Dial] = [:]
    var requestPeers: [RequestID: PeerID] = [:]
    /// Of attempts that are under way.
    var attemptPeers: [AttemptID: PeerID] = [:]
    /// Of connections that stand.
    private var connectionPeers: [AttemptID: PeerID] = [:]
    private var connections: [PeerID: [Connection]] = [:]
    /// Peers that could begin an attempt if there were fewer. Each has one at its turn; none is in it twice.
    var turns: [PeerID] = []
    var backOff = DialBackOff()
    var random: SeededRandom
    private var lastAttempt: UInt64 = 0
    private var timer: MonotonicInstant?

    struct Connection: Sendable {
        let attempt: AttemptID
        var candidate: DialCandidate
    }

    /// - `random`: decides how long addresses that failed are left alone.
    public init(_ settings: Settings = Settings(), random: SeededRandom) {
        self.settings = settings
        self.random = random
    }

    /// Requests that wait.
    public var requestCount: Int { self.requestPeers.count }
    /// Attempts under way.
    public var attemptCount: Int { self.attemptPeers.count }
    /// Connections that are remembered.
    public var connectionCount: Int { self.connectionPeers.count }
    /// Addresses that are, or lately were, left alone.
    public var backOffCount: Int { self.backOff.count }

    // MARK: - What callers want

    /// Somebody wants a connection that the policy allows: one that stands, or a new one.
    ///
    /// - `candidates`: what is known of the peer; they serve all who wait for it.
    /// - `ignoresBackOff`: also tries what failed a moment ago, as when the operator says "now".
    public mutating func onRequest(
        _ id: RequestID, peer: PeerID, policy: DialPolicy, candidates: [DialCandidate], ignoresBackOff: Bool = false,
        now: MonotonicInstant
    ) -> [Directive] {
        precondition(self.requestPeers[id] == nil, "a request's id is used once")
        self.updateConnections(of: peer, candidates)
        if let attempt = self.standing(with: peer, policy) {
            return [.succeeded(request: id, attempt: attempt)] + self.onCandidates(peer, candidates, now: now)
        }
        guard self.requestPeers.count < Self.maximumRequests else { return [.failed(request: id, .tooManyRequests)] }
        var dial = self.dials.removeValue(forKey: peer) ?? Dial(peer: peer)
        var directives: [Directive] = []
        self.leftOut += dial.add(candidates)
        if dial.requests.count < Self.maximumRequestsPerPeer {
            self.requestPeers[id] = peer
            dial.requests.append(
                Request(
                    id: id, policy: policy, ignoresBackOff: ignoresBackOff,
                    deadline: now + self.settings.requestTimeout,
                    wantsNextAt: dial.nextStart(for: policy, stagger: self.settings.stagger) ?? now))
        } else {
            directives.append(.failed(request: id, .tooManyRequestsForPeer))
        }
        directives += self.settle(dial, now: now)
        return directives + self.continued(now: now)
    }

    /// More is known of the peer's addresses: dials under way take them in. Nothing is kept of them otherwise.
    public mutating func onCandidates(
        _ peer: PeerID, _ candidates: [DialCandidate], now: MonotonicInstant
    ) -> [Directive] {
        self.updateConnections(of: peer, candidates)
        guard var dial = self.dials.removeValue(forKey: peer) else { return [] }
        self.leftOut += dial.add(candidates)
        let directives = self.settle(dial, now: now)
        return directives + self.continued(now: now)
    }

    /// The peer store was asked again: this is all that it knows of the peer now. What it said before does not count any
    /// more, for dials under way and for connections that stand; a newer record may have dropped an address.
    public mutating func onStored(
        _ peer: PeerID, _ candidates: [DialCandidate], now: MonotonicInstant
    ) -> [Directive] {
        let kept = Set(candidates.map { $0.without(peer).address })
        for index in (self.connections[peer] ?? []).indices {
            guard let candidate = self.connections[peer]?[index].candidate, !kept.contains(candidate.address) else {
                continue
            }
            self.connections[peer]?[index].candidate = candidate.withoutStored
        }
        self.updateConnections(of: peer, candidates)
        guard var dial = self.dials.removeValue(forKey: peer) else { return [] }
        self.leftOut += dial.replaceStored(candidates)
        let directives = self.settle(dial, now: now)
        return directives + self.continued(now: now)
    }

    /// The caller does not want a connection any more. Nothing happens when the request has ended.
    public mutating func onCancel(_ id: RequestID, now: MonotonicInstant) -> [Directive] {
        guard let peer = self.requestPeers.removeValue(forKey: id), var dial = self.dials.removeValue(forKey: peer)
        else { return [] }
        dial.requests.removeAll { $0.id == id }
        let directives = self.settle(dial, now: now)
        return directives + self.continued(now: now)
    }

    // MARK: - What becomes of attempts

    /// The attempt has reached the peer, and it has proved who it is.
    public mutating func onConnected(_ attempt: AttemptID, now: MonotonicInstant) -> [Directive] {
        guard let (found, ended) = self.end(attempt) else {
            // Broken off while it succeeded. A connection that was handed out is none of these.
            return self.connectionPeers[attempt] == nil ? [.close(attempt: attempt, .unwanted)] : []
        }
        var dial = found
        self.backOff.onConnected(DialBackOff.Key(peer: dial.peer, address: ended.address))
        var directives: [Directive] = []
        if let candidate = dial.candidates[ended.address] {
            directives = self.satisfy(&dial, with: Connection(attempt: attempt, candidate: candidate))
        }
        if directives.isEmpty {
            directives = [.close(attempt: attempt, .unwanted)]
        } else if let candidate = dial.candidates[ended.address] {
            self.remember(Connection(attempt: attempt, candidate: candidate), peer: dial.peer)
        }
        directives += self.settle(dial, now: now)
        return directives + self.continued(now: now)
    }

    /// The attempt has come to nothing. Nothing happens when it was closed.
    public mutating func onFailed(
        _ attempt: AttemptID, _ failure: AttemptFailure, now: MonotonicInstant
    ) -> [Directive] {
        guard let (dial, ended) = self.end(attempt) else { return [] }
        let directives = self.settle(self.failed(dial, ended, failure, now: now), now: now)
        return directives + self.continued(now: now)
    }

    /// A connection stands that was not asked for here, such as one that the peer opened. Those who wait for the peer are
    /// given it, as far as their policies allow.
    ///
    /// - Returns: what to name it by in ``onClosed(_:now:)``.
    public mutating func onOpened(
        _ peer: PeerID, _ candidate: DialCandidate, now: MonotonicInstant
    ) -> (attempt: AttemptID, directives: [Directive]) {
        let attempt = self.nextAttempt()
        let connection = Connection(attempt: attempt, candidate: candidate.without(peer))
        self.remember(connection, peer: peer)
        guard var dial = self.dials.removeValue(forKey: peer) else { return (attempt, []) }
        var directives = self.satisfy(&dial, with: connection)
        directives += self.settle(dial, now: now)
        return (attempt, directives + self.continued(now: now))
    }

    /// A connection that was handed out, or named by ``onOpened(_:_:now:)``, is over.
    public mutating func onClosed(_ attempt: AttemptID) {
        guard let peer = self.connectionPeers.removeValue(forKey: attempt) else { return }
        self.connections[peer]?.removeAll { $0.attempt == attempt }
        if self.connections[peer]?.isEmpty == true { self.connections[peer] = nil }
    }

    /// The time of the last `.setTimer` has come.
    public mutating func onTimer(now: MonotonicInstant) -> [Directive] {
        self.timer = nil
        var directives: [Directive] = []
        // In a fixed order: a run can be repeated from its seed.
        let due = self.dials.values.filter { $0.deadline.map { $0 <= now } ?? false }.map(\.peer).sorted()
        for peer in due {
            guard var dial = self.dials.removeValue(forKey: peer) else { continue }
            for (id, attempt) in dial.attempts.sorted(by: { $0.key < $1.key }) where attempt.deadline <= now {
                self.attemptPeers[id] = nil
                dial.attempts[id] = nil
                directives.append(.close(attempt: id, .tooSlow))
                dial = self.failed(dial, attempt, .remote, now: now)
            }
            directives += self.settle(dial, now: now)
        }
        return directives + self.continued(now: now)
    }

    /// Who stands behind the address of an attempt that is under way; nobody when it has ended.
    public func sources(of attempt: AttemptID) -> AddressSources {
        guard let dial = self.attemptPeers[attempt].flatMap({ self.dials[$0] }),
            let address = dial.attempts[attempt]?.address
        else { return [] }
        return dial.candidates[address]?.known.sources ?? []
    }

    // MARK: - Connections that stand

    /// The connection that stands and that the policy likes best; nil when it allows none.
    public func standing(with peer: PeerID, _ policy: DialPolicy) -> AttemptID? {
        guard let standing = self.connections[peer] else { return nil }
        let best = policy.plan(standing.map(\.candidate)).first
        return standing.first { $0.candidate == best }?.attempt
    }

    private mutating func remember(_ connection: Connection, peer: PeerID) {
        guard self.connectionPeers.count < Self.maximumConnections else { return }
        self.connectionPeers[connection.attempt] = peer
        self.connections[peer, default: []].append(connection)
    }

    private mutating func updateConnections(of peer: PeerID, _ candidates: [DialCandidate]) {
        guard var standing = self.connections.removeValue(forKey: peer) else { return }
        for candidate in candidates.lazy.map({ $0.without(peer) }) {
            for index in standing.indices where standing[index].candidate.address == candidate.address {
                standing[index].candidate = standing[index].candidate.merged(with: candidate)
            }
        }
        self.connections[peer] = standing
    }

    // MARK: - The timer and names

    /// Begins what can begin now, and sets the timer when it has to be another.
    private mutating func continued(now: MonotonicInstant) -> [Directive] {
        var directives = self.takeTurns(now: now)
        let next = self.dials.values.lazy.compactMap(\.deadline).min()
        if let next, next != self.timer {
            self.timer = next
            directives.append(.setTimer(next))
        }
        return directives
    }

    mutating func nextAttempt() -> AttemptID {
        self.lastAttempt += 1
        return AttemptID(self.lastAttempt)
    }
}
