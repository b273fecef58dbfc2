// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Turns what holds now into incidents that open, are updated and close: one per kind and subject.
struct IncidentBook: Sendable {
    /// Findings beyond this many open incidents wait until one has closed: the critical ones go first. Nobody reads so
    /// many, each is written to the disk, and targets (32 a driver) times what can be wrong with one stays below.
    static let maximumOpen = 256
    /// An incident is written at most once in this time, unless it becomes critical: under a flood of changes the disk
    /// is not made busy.
    static let updateInterval = Duration.seconds(1)
    /// Closed incidents that can still get the outcome of an action, or come back.
    static let maximumClosed = 64
    /// What comes back within this time under the same kind and subject is the same incident: a link that drops and
    /// returns, a measure that swings about its threshold.
    static let returnPeriod = Duration.seconds(600)

    struct Key: Hashable, Comparable, Sendable {
        var kind: Incident.Kind
        var subject: Subject

        static func < (left: Self, right: Self) -> Bool {
            (left.kind.rawValue, left.subject) < (right.kind.rawValue, right.subject)
        }
    }

    private struct Page: Sendable {
        var incident: Incident
        /// The last finding, and the worst one.
        var finding: Finding
        var worst: Finding
        /// Whether a change waits for the next moment at which it may be written.
        var isPending = false
    }

    private var pages: [Key: Page] = [:]
    private var closed: [Incident] = []
    private var nextID: Int64

    init(nextID: Int64) {
        self.nextID = nextID
    }

    var open: [Incident] { self.pages.values.map(\.incident).sorted { $0.id < $1.id } }

    /// When a change that waits may be written.
    var next: WallClockTime? {
        self.pages.values.filter(\.isPending).map { $0.incident.updated + Self.updateInterval }.min()
    }

    /// Compares what holds now with what is open.
    ///
    /// - Parameter isPresent: whether a subject is still there.
    mutating func enter(
        _ findings: [Finding], now: WallClockTime, isPresent: (Subject) -> Bool
    ) -> [Watchdog.Directive] {
        guard !findings.isEmpty || !self.pages.isEmpty else { return [] }
        var directives: [Watchdog.Directive] = []
        var current: [Key: Finding] = [:]
        for finding in findings { current[Key(kind: finding.kind, subject: finding.subject)] = finding }
        for key in self.pages.keys.sorted() where current[key] == nil {
            directives += self.close(key, now: now) { isPresent(key.subject) ? $0.finding.ending : .linkClosed }
        }
        let order = current.sorted {
            ($1.value.severity, $0.key) < ($0.value.severity, $1.key)
        }
        for (key, finding) in order {
            directives +=
                self.pages[key] == nil ? self.open(key, finding, now: now) : self.update(key, finding, now: now)
        }
        return directives
    }

    mutating func stop(now: WallClockTime) -> [Watchdog.Directive] {
        let keys = self.pages.sorted { $0.value.incident.id < $1.value.incident.id }.map(\.key)
        return keys.flatMap { self.close($0, now: now) { _ in .stopped } }
    }

    /// Writes down what was done about an incident that is open, or was until lately.
    mutating func note(_ action: ActionRecord, on id: Int64) -> [Watchdog.Directive] {
        if let key = self.pages.first(where: { $0.value.incident.id == id })?.key, var page = self.pages[key] {
            page.incident.add(action)
            page.incident.updated = max(page.incident.updated, action.at)
            page.isPending = false
            self.pages[key] = page
            return [.update(page.incident)]
        }
        guard let index = self.closed.firstIndex(where: { $0.id == id }) else { return [] }
        self.closed[index].add(action)
        return [.update(self.closed[index])]
    }

    // MARK: - One incident

    private mutating func open(_ key: Key, _ finding: Finding, now: WallClockTime) -> [Watchdog.Directive] {
        guard self.pages.count < Self.maximumOpen else { return [] }
        if let index = self.closed.lastIndex(where: { $0.canReturn(as: key, now: now) }) {
            var incident = self.closed.remove(at: index)
            incident.closed = nil
            incident.ending = nil
            incident.take(finding, now: now)
            self.pages[key] = Page(incident: incident, finding: finding, worst: finding)
            return [.update(incident)]
        }
        let incident = Incident(
            id: self.nextID, kind: key.kind, severity: finding.severity, subject: key.subject,
            explanation: finding.explanation, behind: finding.behind, measures: finding.measures,
            evidence: finding.evidence, since: finding.since ?? now, opened: now, updated: now)
        self.nextID += 1
        self.pages[key] = Page(incident: incident, finding: finding, worst: finding)
        return [.open(incident)]
    }

    private mutating func update(_ key: Key, _ finding: Finding, now: WallClockTime) -> [Watchdog.Directive] {
        guard var page = self.pages[key], page.finding != finding || page.isPending else { return [] }
        if finding.magnitude >= page.worst.magnitude { page.worst = finding }
        let escalates = finding.severity > page.incident.severity
        page.finding = finding
        let elapsed = now - page.incident.updated
        // A clock that was set back does not hold up changes.
        guard escalates || elapsed >= Self.updateInterval || elapsed < .zero else {
            page.isPending = true
            self.pages[key] = page
            return []
        }
        page.isPending = false
        let before = page.incident
        page.incident.take(finding, now: now)
        self.pages[key] = page
        var unchanged = before
        unchanged.updated = page.incident.updated
        guard unchanged != page.incident else { return [] }
        return [.update(page.incident)]
    }

    private mutating func close(
        _ key: Key, now: WallClockTime, ending: (Page) -> Incident.Ending
    ) -> [Watchdog.Directive] {
        guard let page = self.pages.removeValue(forKey: key) else { return [] }
        var incident = page.incident
        let ending = ending(page)
        incident.closed = now
        incident.updated = now
        incident.ending = ending
        incident.explanation = Self.explanation(of: page.worst, ended: ending)
        incident.behind?.blocks = page.worst.behind?.blocks ?? 0
        self.closed.append(incident)
        if self.closed.count > Self.maximumClosed { self.closed.removeFirst() }
        return [.close(incident)]
    }

    private static func explanation(of finding: Finding, ended ending: Incident.Ending) -> String {
        let subject = finding.subject
        return switch ending {
        case .caughtUp: "\(subject) has caught up; it \(finding.was)"
        case .linkClosed: "\(subject) closed while it \(finding.was)"
        case .over: "it is over: \(subject) \(finding.was)"
        case .stopped: "altnetd stopped while \(subject) \(finding.was)"
        }
    }
}

extension Incident {
    fileprivate mutating func take(_ finding: Finding, now: WallClockTime) {
        // An incident keeps the worst severity it had: what was critical is not made light of while it lasts.
        self.severity = max(self.severity, finding.severity)
        self.explanation = finding.explanation
        self.behind = finding.behind
        self.measures = finding.measures
        self.evidence = finding.evidence
        if let since = finding.since { self.since = since }
        self.updated = now
    }

    fileprivate mutating func add(_ action: ActionRecord) {
        if self.actions.count >= Self.maximumActions { self.actions.remove(at: 1) }
        self.actions.append(action)
    }

    fileprivate func canReturn(as key: IncidentBook.Key, now: WallClockTime) -> Bool {
        guard self.kind == key.kind, self.subject == key.subject, let closed = self.closed else { return false }
        guard self.ending == .over || self.ending == .linkClosed else { return false }
        return now - closed <= IncidentBook.returnPeriod
    }
}
