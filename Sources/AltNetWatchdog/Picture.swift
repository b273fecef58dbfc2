// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin

/// What the watchdog remembers of the observations: the block tree near its tip, who stands where in it, and the node.
///
/// A bounded value: it costs some two megabytes at most, whatever comes in. Detectors read it and change nothing.
///
/// A point's hash and work are taken as they are given. So recordings without headers (arrival times of blocks) can be
/// replayed with made-up headers; only an exported proof has to hold what it says.
struct Picture: Sendable {
    /// What of the picture an observation has changed; each detector names what it reads.
    struct Aspects: OptionSet, Hashable, Sendable {
        let rawValue: Int

        /// Our best chain.
        static let chain = Aspects(rawValue: 1)
        /// Who shows what; links that open and close.
        static let subjects = Aspects(rawValue: 2)
        /// How the node is.
        static let node = Aspects(rawValue: 4)
        /// The node's peers.
        static let peers = Aspects(rawValue: 8)
        static let clocks = Aspects(rawValue: 16)
        /// Blocks that were brought or withheld.
        static let blocks = Aspects(rawValue: 32)
        /// Branches that the node refuses.
        static let refusals = Aspects(rawValue: 64)
        /// The tree of headers, without the best chain having moved.
        static let headers = Aspects(rawValue: 128)

        static let all = Aspects(rawValue: 255)
    }

    /// Subjects beyond this many are not watched: 125 links a driver is the protocol's bound, targets are 32 a driver.
    static let maximumSubjects = 512
    /// A link that comes back within this time is still the link that it was: leaving and coming back does not wipe out
    /// what it owed.
    static let returnPeriod = Duration.seconds(600)
    /// The node's peers beyond this many are not looked at: Bitcoin Core has 125 unless told otherwise.
    static let maximumPeers = 1024
    /// Branches that the node refuses, the ones with the most work.
    static let maximumRefusals = 16
    /// Blocks that were asked for and not brought: those beyond are not reported singly.
    static let maximumWithheld = 64

    /// What is known of a link or the node.
    struct State: Sendable {
        var link: LinkFacts?
        /// `nil` for the node: whether it can be seen is in ``Picture/node``.
        var isOpen = false
        /// Since when it can be expected to show what it has: when it opened, or when the node could be seen again and
        /// had finished its initial download.
        var watchedSince: WallClockTime
        var closedAt: WallClockTime?
        var shown: ChainPoint?
        var shownAt: WallClockTime
        var clockOffset: Duration?
        var arrivals = ArrivalHistory()
    }

    /// A whole block that a subject was asked for and has not brought.
    struct Withheld: Hashable, Sendable {
        var hash: BlockHash
        var by: Subject
        var at: WallClockTime
        var why: String
    }

    struct Refusal: Hashable, Sendable {
        var point: ChainPoint
        var branchLength: UInt32
        var isHeaderValidForUs: Bool
        var at: WallClockTime
    }

    private(set) var tree = HeaderWindow()
    private(set) var states: [Subject: State] = [:]
    private(set) var node: NodeFacts?
    /// Since when the node's reach has been what it is.
    private(set) var nodeReachSince = WallClockTime(milliseconds: 0)
    /// Since when the node has known headers of which it has not validated the blocks.
    private(set) var nodeHeadersAheadSince: WallClockTime?
    private(set) var peers: [NodePeerFacts] = []
    /// Only blocks that are still wanted: nobody has brought them, and the node does not have them.
    private(set) var withheld: [Withheld] = []
    /// Blocks that somebody brought, the latest few.
    private(set) var brought: [BlockHash] = []
    private(set) var refusals: [Refusal] = []
    /// Since when somebody has been there who could have told us of a block, without a pause of ours.
    private(set) var listeningSince: WallClockTime?
    /// Since when the targets that are open have been the same.
    private(set) var targetsSince = WallClockTime(milliseconds: 0)

    /// Takes an observation, and says what it changed.
    mutating func observe(_ observation: Observation) -> Aspects {
        let now = observation.at
        switch observation.event {
        case .proved(let header, let point, let by):
            return self.tree.insert(header, at: point, by: by, now: now) ? .headers : []
        case .best(let point):
            return self.tree.setBest(point, now: now) ? [.chain] : []
        case .shows(let subject, let point): return self.show(subject, point, now: now)
        case .opened(let subject, let facts): return self.open(subject, facts, now: now)
        case .closed(let subject):
            guard self.states[subject]?.isOpen == true else { return [] }
            self.states[subject]?.isOpen = false
            self.states[subject]?.closedAt = now
            self.targetsSince = now
            return [.subjects, .clocks, .blocks]
        case .blockBrought(let hash, _, _):
            // Whoever else was asked for it owes it no longer: it is no secret.
            self.withheld.removeAll { $0.hash == hash }
            self.brought.append(hash)
            if self.brought.count > Self.maximumWithheld { self.brought.removeFirst() }
            return .blocks
        case .blockWithheld(let hash, let by, let why):
            return self.withhold(Withheld(hash: hash, by: by, at: now, why: UntrustedText(why).description))
        case .node(let facts): return self.note(facts, now: now)
        case .clock(let subject, let offset):
            guard self.states[subject] != nil, self.states[subject]?.clockOffset != offset else { return [] }
            self.states[subject]?.clockOffset = offset
            return .clocks
        case .nodePeers(let peers):
            let kept = Array(peers.prefix(Self.maximumPeers))
            guard kept != self.peers else { return [] }
            self.peers = kept
            return .peers
        case .nodeRefuses(let point, let length, let isValid):
            return self.refuse(
                Refusal(point: point, branchLength: length, isHeaderValidForUs: isValid, at: now))
        }
    }

    /// We did not run for a while: what came late meanwhile came late because of us.
    mutating func resume(now: WallClockTime) {
        if self.listeningSince != nil { self.listeningSince = now }
        for subject in self.states.keys { self.states[subject]?.watchedSince = now }
    }

    // MARK: - What detectors ask

    /// Whether the node answers, on our network, and has finished its initial download.
    var isNodeWatched: Bool { self.node.map { $0.reach == .reachable && !$0.isSyncing } ?? false }

    /// Whether somebody's place may be compared with the best chain now: a target that is open, or the node.
    func isWatched(_ subject: Subject) -> Bool {
        if subject == .node { return self.isNodeWatched }
        guard let state = self.states[subject] else { return false }
        return state.isOpen && state.link?.isTarget == true
    }

    /// Those whose place may be compared, in order of their names.
    var watched: [Subject] { self.states.keys.filter(self.isWatched).sorted() }

    /// The targets that are open, in order of their names.
    var targets: [(subject: Subject, facts: LinkFacts)] {
        self.watched.compactMap { subject in self.states[subject]?.link.map { (subject, $0) } }
    }

    /// Whether an incident about this subject can still be going on.
    func isPresent(_ subject: Subject) -> Bool {
        !subject.isLink || self.states[subject]?.isOpen == true
    }

    // MARK: - Observations

    private mutating func open(_ subject: Subject, _ facts: LinkFacts, now: WallClockTime) -> Aspects {
        guard self.makeRoom(for: subject) else { return [] }
        var state = self.states[subject] ?? State(watchedSince: now, shownAt: now)
        if state.isOpen, state.link == facts { return [] }
        if let closedAt = state.closedAt, now - closedAt > Self.returnPeriod {
            state = State(watchedSince: now, shownAt: now)
        }
        state.link = facts
        state.isOpen = true
        state.closedAt = nil
        self.states[subject] = state
        self.targetsSince = now
        return [.subjects, .clocks, .blocks]
    }

    /// - Returns: whether there is room; a link that is gone gives its place to one that comes.
    private mutating func makeRoom(for subject: Subject) -> Bool {
        guard self.states[subject] == nil, self.states.count >= Self.maximumSubjects else { return true }
        let gone = self.states.filter { $0.key.isLink && !$0.value.isOpen }
        let oldest = gone.min {
            ($0.value.closedAt ?? $0.value.shownAt, $0.key) < ($1.value.closedAt ?? $1.value.shownAt, $1.key)
        }
        guard let oldest else { return false }
        self.states[oldest.key] = nil
        return true
    }

    private mutating func show(_ subject: Subject, _ point: ChainPoint?, now: WallClockTime) -> Aspects {
        if subject == .node, self.states[.node] == nil {
            self.states[.node] = State(watchedSince: now, shownAt: now)
        }
        guard subject != .chain, let state = self.states[subject] else { return [] }
        var changed: Aspects = []
        if point != nil, self.listeningSince == nil {
            self.listeningSince = now
            changed = .chain
        }
        guard state.shown != point else { return changed }
        if let point {
            if subject == .node { self.tree.noteReorganisation(ofNodeFrom: state.shown, to: point, now: now) }
            let isExpected = self.isWatched(subject)
            let blocks = self.tree.newlyShown(from: state.shown, to: point, limit: ArrivalHistory.capacity)
            for block in blocks where isExpected && block.provenAt >= state.watchedSince && block.wasFresh {
                self.states[subject]?.arrivals.note(lateness: now - block.provenAt, at: now)
            }
        }
        self.states[subject]?.shown = point
        self.states[subject]?.shownAt = now
        if subject == .node { self.withheld = self.withheld.filter { !self.hasNode($0.hash) } }
        return changed.union(.subjects)
    }

    private mutating func note(_ facts: NodeFacts, now: WallClockTime) -> Aspects {
        let old = self.node
        guard facts != old else { return [] }
        if self.states[.node] == nil { self.states[.node] = State(watchedSince: now, shownAt: now) }
        if facts.reach.kind != old?.reach.kind { self.nodeReachSince = now }
        let wasWatched = self.isNodeWatched
        self.node = facts
        if self.isNodeWatched, !wasWatched { self.states[.node]?.watchedSince = now }
        if facts.headers > facts.blocks, self.isNodeWatched {
            // Each block that it validates shows that it is getting on.
            let isStuck = wasWatched && old?.blocks == facts.blocks
            if !isStuck || self.nodeHeadersAheadSince == nil { self.nodeHeadersAheadSince = now }
        } else {
            self.nodeHeadersAheadSince = nil
        }
        return [.node, .subjects]
    }

    /// Whether a block is part of the chain that the node has validated.
    private func hasNode(_ hash: BlockHash) -> Bool {
        guard let shown = self.states[.node]?.shown else { return false }
        return self.tree.isOn(hash, chainTo: shown.hash)
    }

    private mutating func withhold(_ entry: Withheld) -> Aspects {
        // An answer that comes late: the block has come from elsewhere meanwhile, and nobody needs it.
        guard !self.brought.contains(entry.hash), !self.hasNode(entry.hash) else { return [] }
        if let index = self.withheld.firstIndex(where: { $0.hash == entry.hash && $0.by == entry.by }) {
            // The first time counts; the reason is that of the last.
            self.withheld[index].why = entry.why
            return .blocks
        }
        self.withheld.append(entry)
        if self.withheld.count > Self.maximumWithheld { self.withheld.removeFirst() }
        return .blocks
    }

    private mutating func refuse(_ refusal: Refusal) -> Aspects {
        if let index = self.refusals.firstIndex(where: { $0.point.hash == refusal.point.hash }) {
            var same = refusal
            same.at = self.refusals[index].at
            guard same != self.refusals[index] else { return [] }
            self.refusals[index] = same
            return .refusals
        }
        self.refusals.append(refusal)
        if self.refusals.count > Self.maximumRefusals {
            let least = self.refusals.indices.min { self.refusals[$0].point.work < self.refusals[$1].point.work }
            if let least { self.refusals.remove(at: least) }
        }
        return .refusals
    }
}

extension NodeFacts.Reach {
    /// The reach without its text, to compare.
    var kind: Int {
        switch self {
        case .reachable: 0
        case .unreachable: 1
        case .refused: 2
        case .wrongNetwork: 3
        }
    }
}
