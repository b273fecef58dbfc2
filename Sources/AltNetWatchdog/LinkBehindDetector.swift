// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin

/// Finds links that stand behind the best valid chain.
///
/// - Sees: a link that withholds blocks, one that is stuck, one whose remote follows a branch with less work; every
///   block that is missing is proven, because its header passed all rules with its proof of work.
/// - Is shown only links that the operator asked for: a stranger who connects may be behind as much as they like.
/// - Cannot see: withholding by all links at once, and a link that announces headers but keeps the blocks to itself.
/// - Parameters: ``Configuration/grace``, how long a header may have been proven on one link before others must have
///   it. On the real network nodes hear of a block within seconds of each other.
///
/// A value without I/O: observations and time come in, directives go out.
public struct LinkBehindDetector: Sendable {
    public struct Configuration: Hashable, Sendable {
        /// A link may lag this long behind a proven header without being reported.
        public var grace: Duration

        public init(grace: Duration) {
            self.grace = grace
        }
    }

    /// What a link has not shown.
    public struct Missing: Hashable, Sendable {
        public var blocks: UInt32
        public var firstHeight: UInt32
        public var firstHash: BlockHash
        /// When the first missing header was proven.
        public var since: WallClockTime
        /// The link that proved it.
        public var provenBy: String

        public init(blocks: UInt32, firstHeight: UInt32, firstHash: BlockHash, since: WallClockTime, provenBy: String) {
            self.blocks = blocks
            self.firstHeight = firstHeight
            self.firstHash = firstHash
            self.since = since
            self.provenBy = provenBy
        }
    }

    public enum Directive: Hashable, Sendable {
        /// A new incident; number and store it.
        case open(Incident)
        /// The incident of that number changed.
        case update(Incident)
        /// The incident of that number is over.
        case close(Incident)
        /// Call ``LinkBehindDetector/onTimer(now:)`` at this time; replaces any earlier one.
        case setTimer(WallClockTime)
    }

    private struct Subject: Sendable {
        var missing: Missing?
        var incident: Incident?
        /// The most blocks that were missing since the incident opened.
        var mostMissing: UInt32 = 0
    }

    private let configuration: Configuration
    private var subjects: [String: Subject] = [:]
    private var nextID: Int64

    /// - Parameter nextID: the number of the next incident: one more than the store's last.
    public init(configuration: Configuration, nextID: Int64) {
        self.configuration = configuration
        self.nextID = nextID
    }

    /// The incidents that are open now.
    public var open: [Incident] {
        self.subjects.values.compactMap(\.incident).sorted { $0.id < $1.id }
    }

    /// A link's view or the best chain changed: what the link misses now, `nil` for nothing.
    public mutating func onObservation(
        of subject: String, missing: Missing?, now: WallClockTime
    ) -> [Directive] {
        self.subjects[subject, default: Subject()].missing = missing
        return self.onTimer(now: now)
    }

    /// A link is gone.
    public mutating func onClosed(_ subject: String, now: WallClockTime) -> [Directive] {
        guard let state = self.subjects.removeValue(forKey: subject), let incident = state.incident else { return [] }
        return [.close(Self.ended(incident, .linkClosed, most: state.mostMissing, now: now))]
    }

    /// The daemon stops.
    public mutating func onStop(now: WallClockTime) -> [Directive] {
        defer { self.subjects = [:] }
        let open = self.subjects.values.sorted { ($0.incident?.id ?? 0) < ($1.incident?.id ?? 0) }
        return open.compactMap { state in
            state.incident.map { .close(Self.ended($0, .stopped, most: state.mostMissing, now: now)) }
        }
    }

    /// Time has passed.
    public mutating func onTimer(now: WallClockTime) -> [Directive] {
        var directives: [Directive] = []
        var next: WallClockTime?
        for (name, state) in self.subjects.sorted(by: { $0.key < $1.key }) {
            guard let missing = state.missing else {
                if let incident = state.incident {
                    self.subjects[name]?.incident = nil
                    directives.append(.close(Self.ended(incident, .caughtUp, most: state.mostMissing, now: now)))
                }
                continue
            }
            if let incident = state.incident {
                let updated = Self.updated(incident, with: missing, now: now)
                guard
                    updated.missingBlocks != incident.missingBlocks
                        || updated.firstMissingHash != incident.firstMissingHash
                else { continue }
                self.subjects[name]?.incident = updated
                self.subjects[name]?.mostMissing = max(state.mostMissing, updated.missingBlocks)
                directives.append(.update(updated))
                continue
            }
            let due = missing.since + self.configuration.grace
            guard due <= now else {
                next = min(next ?? due, due)
                continue
            }
            let incident = Incident(
                id: self.nextID, kind: .linkBehind, subject: name, missingBlocks: missing.blocks,
                firstMissingHeight: missing.firstHeight, firstMissingHash: missing.firstHash, since: missing.since,
                provenBy: missing.provenBy, opened: now, updated: now)
            self.nextID += 1
            self.subjects[name]?.incident = incident
            self.subjects[name]?.mostMissing = incident.missingBlocks
            directives.append(.open(incident))
        }
        if let next { directives.append(.setTimer(next)) }
        return directives
    }

    private static func updated(_ incident: Incident, with missing: Missing, now: WallClockTime) -> Incident {
        var incident = incident
        incident.missingBlocks = missing.blocks
        incident.firstMissingHeight = missing.firstHeight
        incident.firstMissingHash = missing.firstHash
        incident.since = missing.since
        incident.provenBy = missing.provenBy
        incident.updated = now
        return incident
    }

    private static func ended(
        _ incident: Incident, _ ending: Incident.Ending, most: UInt32, now: WallClockTime
    ) -> Incident {
        var incident = incident
        incident.missingBlocks = most
        incident.closed = now
        incident.updated = now
        incident.ending = ending
        return incident
    }
}
