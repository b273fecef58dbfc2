// SPDX-License-Identifier: MIT

public import AltNetBase

/// A finding of the watchdog that a person or a program should know. It opens, is updated, and closes.
public struct Incident: Hashable, Sendable {
    /// What was found. docs/watchdog.md explains each to operators.
    public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
        /// A link has not shown blocks that are proven to exist.
        case linkBehind = "link-behind"
        /// The operator's node has not accepted blocks that are proven to exist.
        case nodeBehind = "node-behind"
        /// No block has come for longer than chance explains.
        case staleTip = "stale-tip"
        /// Blocks come more slowly than chance explains.
        case slowBlocks = "slow-blocks"
        /// Two branches of similar work grow side by side.
        case competingBranches = "competing-branches"
        /// Blocks that had successors were replaced.
        case deepReorganisation = "deep-reorganisation"
        /// A block's header is known, and the block itself does not come.
        case withheldBlock = "withheld-block"
        /// The node calls a branch invalid that has more work than its own and valid headers.
        case invalidBranch = "invalid-branch"
        /// Many peers, or all links, depend on one network group or one operator.
        case concentration
        /// Clocks disagree.
        case clockSkew = "clock-skew"
        /// Block times or targets have the shape of an attack.
        case implausibleTime = "implausible-time"
        /// One subject gets block after block much later than others.
        case lateBlocks = "late-blocks"
        /// The node cannot be watched.
        case nodeUnavailable = "node-unavailable"
    }

    public enum Severity: String, Hashable, Sendable, Codable, Comparable, CaseIterable {
        /// Look at it today.
        case warning
        /// Money may be at risk now.
        case critical

        public static func < (left: Self, right: Self) -> Bool { left == .warning && right == .critical }
    }

    /// How an incident ended.
    public enum Ending: String, Hashable, Sendable, Codable {
        /// The subject has shown what was missing.
        case caughtUp = "caught-up"
        /// The link closed first.
        case linkClosed = "link-closed"
        /// It is no longer so.
        case over
        /// The daemon stopped first.
        case stopped
    }

    /// Counted from 1 in the order of opening; never used twice in one data directory.
    public var id: Int64
    public var kind: Kind
    public var severity: Severity
    public var subject: Subject
    /// One or two plain sentences: while it is open what is, after it closed what was.
    public var explanation: String
    /// What is missing, for the kinds where blocks are: ``Kind/linkBehind``, ``Kind/nodeBehind``,
    /// ``Kind/withheldBlock``. Like ``measures`` and ``evidence`` it is that of the worst moment so far: what was proven
    /// does not shrink while the subject heals.
    public var behind: Behind?
    /// The numbers behind the explanation, for programs.
    public var measures: [Measure]
    public var evidence: Evidence
    /// What was done about it, oldest first; at most ``maximumActions``.
    public var actions: [ActionRecord]
    /// Since when it has been so; never after ``opened``.
    public var since: WallClockTime
    public var opened: WallClockTime
    public var updated: WallClockTime
    public var closed: WallClockTime?
    public var ending: Ending?

    /// More actions than this push out the oldest but the first: a repair that is tried every minute for hours says
    /// nothing new, and the incident is written as a whole each time.
    public static let maximumActions = 64

    public init(
        id: Int64, kind: Kind, severity: Severity, subject: Subject, explanation: String, behind: Behind? = nil,
        measures: [Measure] = [], evidence: Evidence = Evidence(), actions: [ActionRecord] = [], since: WallClockTime,
        opened: WallClockTime, updated: WallClockTime, closed: WallClockTime? = nil, ending: Ending? = nil
    ) {
        self.id = id
        self.kind = kind
        self.severity = severity
        self.subject = subject
        self.explanation = explanation
        self.behind = behind
        self.measures = measures
        self.evidence = evidence
        self.actions = actions
        self.since = since
        self.opened = opened
        self.updated = updated
        self.closed = closed
        self.ending = ending
    }
}

/// A number that an explanation rests on.
public struct Measure: Hashable, Sendable, Codable {
    public var name: String
    public var value: Double
    /// "blocks", "seconds", "probability", "share".
    public var unit: String

    public init(_ name: String, _ value: Double, _ unit: String) {
        self.name = name
        self.value = value
        self.unit = unit
    }
}

/// Which proven blocks a subject has not shown.
public struct Behind: Hashable, Sendable {
    /// How many blocks of the best valid chain it has not shown. At least: what lies deeper than the remembered window
    /// is not compared.
    public var blocks: UInt32
    public var firstMissing: ChainPoint
    /// Who brought the header of the first missing block, and when.
    public var provenBy: Subject
    public var provenAt: WallClockTime
    /// The end of the best valid chain; `nil` in records of versions that did not keep it.
    public var best: ChainPoint?
    /// The end of what the subject has shown.
    public var shown: ChainPoint?
    /// How much of the work since the fork the subject has shown: 0 when it merely stands still, 0.5 when it follows a
    /// branch with half the work. `nil` when the fork is not known.
    public var workShare: Double?

    public init(
        blocks: UInt32, firstMissing: ChainPoint, provenBy: Subject, provenAt: WallClockTime, best: ChainPoint? = nil,
        shown: ChainPoint? = nil, workShare: Double? = nil
    ) {
        self.blocks = blocks
        self.firstMissing = firstMissing
        self.provenBy = provenBy
        self.provenAt = provenAt
        self.best = best
        self.shown = shown
        self.workShare = workShare
    }
}

/// Something that was done about an incident.
public struct ActionRecord: Hashable, Sendable {
    public enum Outcome: String, Hashable, Sendable, Codable {
        /// Only written down: a dry run.
        case planned
        case done, failed
    }

    public var at: WallClockTime
    /// The raw value of a ``Policy/Action``.
    public var action: String
    public var outcome: Outcome
    /// One sentence for people.
    public var detail: String

    public init(at time: WallClockTime, action: String, outcome: Outcome, detail: String) {
        self.at = time
        self.action = action
        self.outcome = outcome
        self.detail = detail
    }
}

extension Behind: Codable {
    private enum Key: String, CodingKey {
        case blocks, firstMissing, provenBy, provenAt, best, shown, workShare
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        self.init(
            blocks: try container.decode(UInt32.self, forKey: .blocks),
            firstMissing: try container.decode(ChainPoint.self, forKey: .firstMissing),
            provenBy: try container.decode(Subject.self, forKey: .provenBy),
            provenAt: try container.decodeTime(.provenAt),
            best: try container.decodeIfPresent(ChainPoint.self, forKey: .best),
            shown: try container.decodeIfPresent(ChainPoint.self, forKey: .shown),
            workShare: try container.decodeIfPresent(Double.self, forKey: .workShare))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(self.blocks, forKey: .blocks)
        try container.encode(self.firstMissing, forKey: .firstMissing)
        try container.encode(self.provenBy, forKey: .provenBy)
        try container.encode(self.provenAt.milliseconds, forKey: .provenAt)
        try container.encodeIfPresent(self.best, forKey: .best)
        try container.encodeIfPresent(self.shown, forKey: .shown)
        try container.encodeIfPresent(self.workShare, forKey: .workShare)
    }
}

extension ActionRecord: Codable {
    private enum Key: String, CodingKey {
        case at, action, outcome, detail
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        self.init(
            at: try container.decodeTime(.at), action: try container.decode(String.self, forKey: .action),
            outcome: try container.decode(Outcome.self, forKey: .outcome),
            detail: try container.decode(String.self, forKey: .detail))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(self.at.milliseconds, forKey: .at)
        try container.encode(self.action, forKey: .action)
        try container.encode(self.outcome, forKey: .outcome)
        try container.encode(self.detail, forKey: .detail)
    }
}
