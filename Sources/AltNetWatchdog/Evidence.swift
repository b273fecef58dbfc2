// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetBitcoin

/// What proves an incident: raw headers, and who said what when.
///
/// The headers prove themselves: anybody can check that they link and carry their work. The statements rest on the word
/// of the daemon that wrote them down.
public struct Evidence: Hashable, Sendable, Codable {
    /// A day of headers, 12 kilobytes: enough for any claim that a person acts on. A longer chain is cut at its end; what
    /// is kept still begins with a header that the accused has.
    public static let maximumHeaders = 144
    /// Enough for every link that an operator asks for, and the node.
    public static let maximumStatements = 64

    /// A header with its place, and who brought it.
    public struct Header: Hashable, Sendable {
        public var height: UInt32
        public var header: BlockHeader
        public var provenBy: Subject
        public var provenAt: WallClockTime

        public init(height: UInt32, header: BlockHeader, provenBy: Subject, provenAt: WallClockTime) {
            self.height = height
            self.header = header
            self.provenBy = provenBy
            self.provenAt = provenAt
        }
    }

    /// What somebody showed or did, as we saw it.
    public struct Statement: Hashable, Sendable {
        public var who: Subject
        public var at: WallClockTime
        /// One sentence for people, without its subject: "showed block 840000 as the end of its chain".
        public var what: String
        /// The block that the sentence is about, for programs.
        public var point: ChainPoint?

        public init(who: Subject, at time: WallClockTime, what: String, point: ChainPoint? = nil) {
            self.who = who
            self.at = time
            self.what = what
            self.point = point
        }
    }

    /// Consecutive headers of the best valid chain, the first of which the accused has too.
    public var headers: [Header]
    /// Consecutive headers of another branch, the first of which builds on one of ``headers``: what the accused follows,
    /// or the branch that was left.
    public var otherBranch: [Header]
    public var statements: [Statement]

    public init(headers: [Header] = [], otherBranch: [Header] = [], statements: [Statement] = []) {
        self.headers = headers
        self.otherBranch = otherBranch
        self.statements = statements
    }

    private enum Key: String, CodingKey {
        case headers, otherBranch, statements
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        self.headers = try container.decode([Header].self, forKey: .headers)
        self.otherBranch = try container.decodeIfPresent([Header].self, forKey: .otherBranch) ?? []
        self.statements = try container.decode([Statement].self, forKey: .statements)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(self.headers, forKey: .headers)
        if !self.otherBranch.isEmpty { try container.encode(self.otherBranch, forKey: .otherBranch) }
        try container.encode(self.statements, forKey: .statements)
    }
}

extension Evidence.Header: Codable {
    private enum Key: String, CodingKey {
        case height, header, provenBy, provenAt
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        self.init(
            height: try container.decode(UInt32.self, forKey: .height), header: try container.decodeHeader(.header),
            provenBy: try container.decode(Subject.self, forKey: .provenBy),
            provenAt: try container.decodeTime(.provenAt))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(self.height, forKey: .height)
        try container.encode(Hex.encode(self.header.bytes), forKey: .header)
        try container.encode(self.provenBy, forKey: .provenBy)
        try container.encode(self.provenAt.milliseconds, forKey: .provenAt)
    }
}

extension Evidence.Statement: Codable {
    private enum Key: String, CodingKey {
        case who, at, what, point
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        self.init(
            who: try container.decode(Subject.self, forKey: .who), at: try container.decodeTime(.at),
            what: try container.decode(String.self, forKey: .what),
            point: try container.decodeIfPresent(ChainPoint.self, forKey: .point))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(self.who, forKey: .who)
        try container.encode(self.at.milliseconds, forKey: .at)
        try container.encode(self.what, forKey: .what)
        try container.encodeIfPresent(self.point, forKey: .point)
    }
}
