// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetPeerRecords

/// One iterative search for the peers closest to a key, and for what they have under it ("Peer routing" and "Value
/// retrieval" of the specification).
///
/// It asks the closest peers it has heard of for closer ones, until the `k` closest that did not fail have answered.
///
/// Against peers that lie about who is close, the search goes along several paths, as S/Kademlia does: every peer
/// belongs to the path on which it was named first, and a path ends only when its own closest peers have answered. A
/// liar can fill the path that leads through it with peers of its own; the others still reach the honest ones.
public struct Lookup: Sendable {
    /// The specification's `α`: requests under way at once.
    public static let parallelism = 10
    /// The most paths.
    public static let maximumPaths = 3
    /// How many of its own closest peers must have answered on every path.
    public static let closestPerPath = 7
    /// How long a peer has to answer, connecting included: the specification's `QueryTimeout`.
    public static let queryTimeout = Duration.seconds(10)
    /// How long the whole search may take.
    public static let timeout = Duration.seconds(60)
    /// The most requests of one search. In a network of a million peers it takes some sixty.
    public static let maximumQueries = 200
    /// The most peers that are waiting to be asked on one path; the farthest are forgotten.
    public static let maximumWaiting = 100
    /// How many peers must name the same newest record of the peer that is looked for, before the search ends early.
    public static let sightings = 3
    /// How many of the closest peers of every path must have answered, or failed, before a search for a record or a value
    /// ends early: those at the key are where the newest is, and whoever has the others say the same old thing does not
    /// hold all paths.
    public static let closestBeforeEnd = 3
    /// The most providers that a search keeps, however many are asked for.
    public static let maximumProviders = 128

    public enum Goal: Hashable, Sendable {
        /// The closest peers, by FIND_NODE.
        case closest
        /// One peer, by FIND_NODE with its id as key. Its id MUST be the key.
        case peer(PeerID)
        /// The value of a key, by GET_VALUE; ends when as many peers have answered with a right one.
        case value(quorum: Int)
        /// The closest peers to the key of a value, by GET_VALUE, and who has which value there already. For putting:
        /// py-libp2p refuses FIND_NODE for keys above 50 bytes.
        case placesOfValue
        /// As many providers of a key, by GET_PROVIDERS; at most ``maximumProviders``.
        case providers(count: Int)
        /// The closest peers to a provider record's key, by GET_PROVIDERS, to be told of one more. For the same reason.
        case placesOfProviders
    }

    public enum Directive: Hashable, Sendable {
        /// Tell the peer store what a peer told of others, and wait for it: they may be asked next. Unverified.
        case learn([KademliaMessage.Peer], from: PeerID)
        /// Send a request, and call `onAnswer` or `onFailure`.
        case query(PeerID, KademliaMessage)
        /// The peer did not answer in time: stop waiting, nothing is to be called.
        case abandon(PeerID)
        case setTimer(MonotonicInstant)
        /// The last directive. Requests still under way have been abandoned.
        case finished(Findings)
    }

    /// Why a search ended.
    public enum Ending: Hashable, Sendable {
        /// The closest peers have answered.
        case converged
        /// Enough was found.
        case satisfied
        case timedOut
        /// ``maximumQueries`` were sent.
        case tooManyQueries
        /// There was nobody to ask.
        case nobody
    }

    /// What a search has found.
    public struct Findings: Hashable, Sendable {
        public var ending = Ending.nobody
        /// The up to `k` closest peers that answered, closest first.
        public var closest: [PeerID] = []
        /// The closest that answered on each path, as far as they are not in ``closest``: where to put what must be
        /// found although others lie.
        public var closestOfPaths: [PeerID] = []
        /// The best right value, and who has it, has an older one, or has none although it is among the closest.
        public var value: [UInt8]?
        public var holders: [PeerID] = []
        public var outdated: [PeerID] = []
        public var lacking: [PeerID] = []
        public var providers: [KademliaMessage.Peer] = []
        /// The newest record of the peer looked for that any answer had, verified.
        public var record: CertifiedPeerRecord?
        /// The plain addresses that answers gave for the peer looked for: hearsay.
        public var hearsay: [Multiaddress] = []
        /// Requests sent, answered, failed (time-outs among them).
        public var asked = 0
        public var answered = 0
        public var failed = 0

        public init() {}
    }

    /// Why an answer was worth nothing.
    public enum BadAnswer: Hashable, Sendable, CustomStringConvertible {
        case otherKind
        case otherKey
        case badValue(KademliaValueError)

        public var description: String {
            switch self {
            case .otherKind: "the answer is of another type than the request"
            case .otherKey: "the answer is about another key"
            case .badValue(let error): error.description
            }
        }
    }

    enum State: Hashable, Sendable {
        case waiting
        case asked(until: MonotonicInstant)
        case answered
        case failed
    }

    struct Candidate: Sendable {
        let peer: PeerID
        let distance: KademliaKey.Distance
        let path: Int
        var state: State
    }

    /// The most hearsay addresses of the peer looked for.
    static let maximumHearsay = 32

    public let key: [UInt8]
    public let goal: Goal
    let ourselves: PeerID
    let place: KademliaKey
    let deadline: MonotonicInstant
    /// By distance, closest first.
    var candidates: [Candidate] = []
    var known: Set<PeerID> = []
    var paths = 0
    var findings = Findings()
    /// Who named the newest record.
    var witnesses = 0
    public private(set) var isFinished = false

    /// - Parameter seeds: the closest members of the routing table.
    public init(key: [UInt8], goal: Goal, ourselves: PeerID, seeds: [PeerID], now: MonotonicInstant) {
        self.key = key
        self.goal = goal
        self.ourselves = ourselves
        self.place = KademliaKey(hashing: key)
        self.deadline = now + Self.timeout
        self.paths = max(1, min(Self.maximumPaths, seeds.count))
        for (index, seed) in seeds.enumerated() { self.insert(seed, path: index % self.paths) }
    }

    public mutating func start(now: MonotonicInstant) -> [Directive] {
        self.proceed(now: now)
    }

    /// A peer has answered. Ignored when it was not asked, or no longer.
    /// - Returns: what to do, and what is wrong with the answer, for the log.
    public mutating func onAnswer(
        _ answer: KademliaMessage, from peer: PeerID, now: MonotonicInstant
    ) -> (directives: [Directive], problem: BadAnswer?) {
        guard let index = self.underWay(peer) else { return ([], nil) }
        guard answer.kind == self.request.kind else { return (self.fail(index, now: now), .otherKind) }
        // Some leave the key out of their answers.
        guard answer.key.isEmpty || answer.key == self.key else { return (self.fail(index, now: now), .otherKey) }
        let path = self.candidates[index].path
        self.candidates[index].state = .answered
        self.findings.answered += 1
        // More than `k` closer peers nobody needs to name.
        let ourselves = self.ourselves
        let named = Array(answer.closerPeers.filter { $0.id != ourselves }.prefix(RoutingTable.bucketSize))
        let providers = self.takeProviders(of: answer)
        let news = named + providers
        for peer in named { self.insert(peer.id, path: path) }
        self.forgetFarthest(path: path)
        self.takeSightings(of: news)
        let problem = self.takeValue(of: answer, from: peer)
        let learn: [Directive] = news.isEmpty ? [] : [.learn(news, from: peer)]
        return (learn + self.proceed(now: now), problem)
    }

    /// A peer could not be reached, or gave no answer that could be read.
    public mutating func onFailure(of peer: PeerID, now: MonotonicInstant) -> [Directive] {
        guard let index = self.underWay(peer) else { return [] }
        return self.fail(index, now: now)
    }

    public mutating func onTimer(now: MonotonicInstant) -> [Directive] {
        guard !self.isFinished else { return [] }
        var directives: [Directive] = []
        for index in self.candidates.indices {
            guard case .asked(let until) = self.candidates[index].state, until <= now else { continue }
            self.candidates[index].state = .failed
            self.findings.failed += 1
            directives.append(.abandon(self.candidates[index].peer))
        }
        return directives + self.proceed(now: now)
    }

    /// Ends the search, as the caller no longer wants it.
    public mutating func cancel() -> [Directive] {
        self.isFinished ? [] : self.finish(.timedOut)
    }

    private var request: KademliaMessage {
        switch self.goal {
        case .closest, .peer: KademliaMessage(kind: .findNode, key: self.key)
        case .value, .placesOfValue: KademliaMessage(kind: .getValue, key: self.key)
        case .providers, .placesOfProviders: KademliaMessage(kind: .getProviders, key: self.key)
        }
    }

    private func underWay(_ peer: PeerID) -> Int? {
        guard !self.isFinished, let index = self.candidates.firstIndex(where: { $0.peer == peer }),
            case .asked = self.candidates[index].state
        else { return nil }
        return index
    }

    private mutating func fail(_ index: Int, now: MonotonicInstant) -> [Directive] {
        self.candidates[index].state = .failed
        self.findings.failed += 1
        return self.proceed(now: now)
    }

    /// Asks whom there is to ask, or ends the search.
    private mutating func proceed(now: MonotonicInstant) -> [Directive] {
        guard !self.isFinished else { return [] }
        if self.isSatisfied { return self.finish(.satisfied) }
        if now >= self.deadline { return self.finish(.timedOut) }
        var directives: [Directive] = []
        while let index = self.next() {
            guard self.findings.asked < Self.maximumQueries else { break }
            self.candidates[index].state = .asked(until: min(now + Self.queryTimeout, self.deadline))
            self.findings.asked += 1
            directives.append(.query(self.candidates[index].peer, self.request))
        }
        let ends = self.candidates.compactMap { candidate -> MonotonicInstant? in
            if case .asked(let until) = candidate.state { until } else { nil }
        }
        guard let first = ends.min() else {
            let ending: Ending = self.findings.asked >= Self.maximumQueries ? .tooManyQueries : .converged
            return directives + self.finish(self.findings.asked == 0 ? .nobody : ending)
        }
        return directives + [.setTimer(first)]
    }

    private var isSatisfied: Bool {
        switch self.goal {
        case .closest, .placesOfValue, .placesOfProviders: false
        case .peer: self.witnesses >= Self.sightings && self.haveClosestAnswered
        case .value(let quorum):
            self.findings.holders.count + self.findings.outdated.count >= max(1, quorum) && self.haveClosestAnswered
        case .providers(let count): self.findings.providers.count >= Self.providers(count)
        }
    }

    private mutating func finish(_ ending: Ending) -> [Directive] {
        self.isFinished = true
        let open = self.candidates.filter { if case .asked = $0.state { true } else { false } }
        let answered = self.candidates.filter { $0.state == .answered }
        self.findings.ending = ending
        self.findings.closest = answered.prefix(RoutingTable.bucketSize).map(\.peer)
        let closest = Set(self.findings.closest)
        self.findings.closestOfPaths = (0..<self.paths).flatMap { path in
            answered.filter { $0.path == path }.prefix(Self.closestPerPath).map(\.peer)
        }.filter { !closest.contains($0) }
        let having = Set(self.findings.holders + self.findings.outdated)
        self.findings.lacking = self.findings.closest.filter { !having.contains($0) }
        return open.map { .abandon($0.peer) } + [.finished(self.findings)]
    }
}
