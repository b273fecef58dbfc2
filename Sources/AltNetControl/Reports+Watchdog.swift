// SPDX-License-Identifier: MIT

/// One of `GET /v1/incidents`, and `GET /v1/incidents/ID`.
public struct IncidentReport: Hashable, Sendable, Codable {
    /// What a subject has not shown of the best chain.
    public struct Behind: Hashable, Sendable, Codable {
        public var blocks: UInt32
        public var firstMissingHeight: UInt32
        public var firstMissingHash: String
        /// The link that proved the first missing header to us.
        public var provenBy: String

        public init(blocks: UInt32, firstMissingHeight: UInt32, firstMissingHash: String, provenBy: String) {
            self.blocks = blocks
            self.firstMissingHeight = firstMissingHeight
            self.firstMissingHash = firstMissingHash
            self.provenBy = provenBy
        }
    }

    /// A number on which the finding rests.
    public struct Measure: Hashable, Sendable, Codable {
        public var name: String
        public var value: Double
        /// Empty for a number without a unit, such as a probability.
        public var unit: String

        public init(name: String, value: Double, unit: String) {
            self.name = name
            self.value = value
            self.unit = unit
        }
    }

    /// What was done about it.
    public struct Action: Hashable, Sendable, Codable {
        public var at: Timestamp
        /// `open-links`, `feed-headers`, `feed-blocks`, `add-spliced-peer`, `drop-peers` or `alert`.
        public var action: String
        /// `planned` (dry run), `done` or `failed`.
        public var outcome: String
        public var detail: String

        public init(at: Timestamp, action: String, outcome: String, detail: String) {
            self.at = at
            self.action = action
            self.outcome = outcome
            self.detail = detail
        }
    }

    public var id: Int64
    /// Such as `link-behind` or `node-behind`.
    public var kind: String
    /// `warning` or `critical`.
    public var severity: String
    /// `node`, `chain`, or a link as people know it: driver and remote.
    public var subject: String
    /// One or two sentences for people: while it is open what is, afterwards what was.
    public var explanation: String
    /// Absent for kinds that are not about missing blocks.
    public var behind: Behind?
    public var measures: [Measure]
    public var actions: [Action]
    /// When what it is about began.
    public var since: Timestamp
    public var opened: Timestamp
    public var updated: Timestamp
    public var closed: Timestamp?
    /// `caught-up`, `link-closed`, `over` or `stopped`.
    public var ending: String?

    /// The fields of ``behind`` under the names that they had in version 0.1.
    public var missingBlocks: UInt32?
    public var firstMissingHeight: UInt32?
    public var firstMissingHash: String?
    public var provenBy: String?

    public init(
        id: Int64, kind: String, severity: String, subject: String, explanation: String, behind: Behind?,
        measures: [Measure] = [], actions: [Action] = [], since: Timestamp, opened: Timestamp, updated: Timestamp,
        closed: Timestamp?, ending: String?
    ) {
        self.id = id
        self.kind = kind
        self.severity = severity
        self.subject = subject
        self.explanation = explanation
        self.behind = behind
        self.measures = measures
        self.actions = actions
        self.since = since
        self.opened = opened
        self.updated = updated
        self.closed = closed
        self.ending = ending
        self.missingBlocks = behind?.blocks
        self.firstMissingHeight = behind?.firstMissingHeight
        self.firstMissingHash = behind?.firstMissingHash
        self.provenBy = behind?.provenBy
    }
}

/// `GET /v1/safe`: whether a payment system may rely on the node's view of the chain. Status 503 when not.
public struct SafeReport: Hashable, Sendable, Codable {
    public var safe: Bool
    /// One sentence each; empty when it is safe.
    public var reasons: [String]

    public init(safe: Bool, reasons: [String]) {
        self.safe = safe
        self.reasons = reasons
    }
}

/// `GET /health` and `GET /ready`. Status 503 when not `ok`.
public struct HealthReport: Hashable, Sendable, Codable {
    public var ok: Bool
    /// Why not; absent when all is well. Answered without a token, so it names no remote, path or amount.
    public var reason: String?

    public init(ok: Bool, reason: String? = nil) {
        self.ok = ok
        self.reason = reason
    }
}

/// One of `GET /v1/alerts`: an attempt to tell somebody of an incident, newest first.
public struct AlertReport: Hashable, Sendable, Codable {
    public var at: Timestamp
    /// `webhook`, `command`, `mail` or `journal`, with its name where there are several.
    public var sink: String
    public var incident: Int64
    /// Counted from 1.
    public var attempt: Int
    /// `delivered`, `failed` (will be tried again) or `given-up`.
    public var outcome: String
    public var detail: String

    public init(at: Timestamp, sink: String, incident: Int64, attempt: Int, outcome: String, detail: String) {
        self.at = at
        self.sink = sink
        self.incident = incident
        self.attempt = attempt
        self.outcome = outcome
        self.detail = detail
    }
}

/// One of `GET /v1/blocks`: a block of the best chain, and who showed its header first. Newest first.
public struct BlockReport: Hashable, Sendable, Codable {
    public var height: UInt32
    public var hash: String
    /// What the miner wrote into the header.
    public var time: Timestamp
    /// When its header was first proven to us, and by whom; absent for one that was in the store already.
    public var provenAt: Timestamp?
    public var provenBy: String?

    public init(height: UInt32, hash: String, time: Timestamp, provenAt: Timestamp?, provenBy: String?) {
        self.height = height
        self.hash = hash
        self.time = time
        self.provenAt = provenAt
        self.provenBy = provenBy
    }
}
