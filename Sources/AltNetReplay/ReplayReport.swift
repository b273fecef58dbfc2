// SPDX-License-Identifier: MIT

public import AltNetBase
public import AltNetWatchdog

/// What a replay found, as `altnet replay --json` prints it. Times are seconds since 1970.
public struct ReplayReport: Hashable, Sendable, Codable {
    /// The most incidents that are listed; all are counted.
    public static let maximumListed = 1000

    public struct Found: Hashable, Sendable, Codable {
        public var kind: String
        public var severity: String
        public var subject: String
        public var opened: Int64
        public var closed: Int64?
        public var ending: String?
        public var explanation: String
    }

    public var files: [String]
    public var lines: Int
    /// Runs of a daemon: a recorder that was off ends one.
    public var episodes: Int
    public var from: Int64
    public var to: Int64
    /// How many incidents were critical at any time, and how many were warnings only.
    public var critical: Int
    public var warning: Int
    /// By kind; kinds without an incident are left out.
    public var kinds: [String: Int]
    public var incidents: [Found]
    /// Lines that were cut off while they were written, and are left out, one sentence each.
    public var torn: [String]

    public init(files: [String], script: Replay.Script, incidents: [Incident]) {
        self.files = files
        self.lines = script.lines
        self.episodes = script.episodes.count
        self.from = script.episodes.first?.observations.first?.at.seconds ?? 0
        self.to = script.episodes.last?.observations.last?.at.seconds ?? 0
        self.critical = incidents.count { $0.severity == .critical }
        self.warning = incidents.count { $0.severity == .warning }
        self.kinds = Dictionary(incidents.map { ($0.kind.rawValue, 1) }, uniquingKeysWith: +)
        self.torn = script.torn.map(\.description)
        self.incidents = incidents.prefix(Self.maximumListed).map { incident in
            Found(
                kind: incident.kind.rawValue, severity: incident.severity.rawValue, subject: incident.subject.name,
                opened: incident.opened.seconds, closed: incident.closed?.seconds,
                ending: incident.ending?.rawValue, explanation: incident.explanation)
        }
    }
}
