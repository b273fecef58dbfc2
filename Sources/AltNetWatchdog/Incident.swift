// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin

/// A finding of the watchdog that a person or a program should know. It opens, is updated, and closes.
public struct Incident: Hashable, Sendable {
    /// What was found.
    public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
        /// A link has not shown blocks that are proven to exist.
        case linkBehind = "link-behind"
    }

    /// How an incident ended.
    public enum Ending: String, Hashable, Sendable, Codable {
        /// The link has shown what was missing.
        case caughtUp = "caught-up"
        /// The link closed first.
        case linkClosed = "link-closed"
        /// The daemon stopped first.
        case stopped
    }

    /// Counted from 1 in the order of opening; never used twice in one data directory.
    public var id: Int64
    public var kind: Kind
    /// The link that it is about, as people know it: driver and remote.
    public var subject: String
    /// How many blocks of the best valid chain the link has not shown; the most there were, once it is closed.
    public var missingBlocks: UInt32
    /// The height and hash of the first block that is missing.
    public var firstMissingHeight: UInt32
    public var firstMissingHash: BlockHash
    /// When that block's header was first proven to us: since when the link has been behind.
    public var since: WallClockTime
    /// Who proved it: the link that brought the header first.
    public var provenBy: String
    public var opened: WallClockTime
    public var updated: WallClockTime
    public var closed: WallClockTime?
    public var ending: Ending?

    public init(
        id: Int64, kind: Kind, subject: String, missingBlocks: UInt32, firstMissingHeight: UInt32,
        firstMissingHash: BlockHash, since: WallClockTime, provenBy: String, opened: WallClockTime,
        updated: WallClockTime, closed: WallClockTime? = nil, ending: Ending? = nil
    ) {
        self.id = id
        self.kind = kind
        self.subject = subject
        self.missingBlocks = missingBlocks
        self.firstMissingHeight = firstMissingHeight
        self.firstMissingHash = firstMissingHash
        self.since = since
        self.provenBy = provenBy
        self.opened = opened
        self.updated = updated
        self.closed = closed
        self.ending = ending
    }
}

extension Incident {
    /// What happened, in one sentence.
    public var explanation: String {
        let blocks = self.missingBlocks == 1 ? "1 block" : "\(self.missingBlocks) blocks"
        let what =
            "\(self.subject) is \(blocks) behind: it has not shown block \(self.firstMissingHeight), whose proof of work \(self.provenBy) brought"
        return switch self.ending {
        case nil: what
        case .caughtUp: "\(self.subject) has caught up; it was \(blocks) behind"
        case .linkClosed: "\(self.subject) closed while it was \(blocks) behind"
        case .stopped: "altnetd stopped while \(self.subject) was \(blocks) behind"
        }
    }
}
