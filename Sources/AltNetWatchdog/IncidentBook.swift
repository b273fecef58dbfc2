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

        /// Notes a finding; of two that are equally bad the later is the worst one.
        mutating func note(_ finding: Finding) {
            self.finding = finding
            if (finding.severity, finding.magnitude) >= (self.worst.severity, self.worst.magnitude) {
                self.worst = finding
            }
        }

        /// Brings the incident to the present state: its words are about now, its proof is of the worst moment, so that
        /// it does not shrink while the subject heals.
        mutating func renew(now: WallClockTime) {
            // What was critical is not made light of while it lasts.
            self.incident.severity = max(self.incident.severity, self.finding.severity)
            self.incident.explanation = self.finding.explanation
            if self.finding.was != self.worst.was { self.incident.explanation += ". At worst it \(self.worst.was)" }
            self.incident.behind = self.worst.behind
            self.incident.measures = self.worst.measures
            self.incident.evidence = self.worst.evidence
            for since in [self.finding.since, self.worst.since].compactMap(\.self) {
                self.incident.since = min(self.incident.since, since)
            }
            self.incident.updated = now
        }
    }

    private var pages: [Key: Page] = [:]
    private var closed: [Page] = []
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
        guard let index = self.closed.firstIndex(where: { $0.incident.id == id }) else { return [] }
        self.closed[index].incident.add(action)
        return [.update(self.closed[index].incident)]
    }

    // MARK: - One incident

    private mutating func open(_ key: Key, _ finding: Finding, now: WallClockTime) -> [Watchdog.Directive] {
        guard self.pages.count < Self.maximumOpen else { return [] }
        if let index = self.closed.lastIndex(where: { $0.incident.canReturn(as: key, now: now) }) {
            var page = self.closed.remove(at: index)
            page.incident.closed = nil
            page.incident.ending = nil
            page.note(finding)
            page.renew(now: now)
            self.pages[key] = page
            return [.update(page.incident)]
        }
        let incident = Incident(
            id: self.nextID, kind: key.kind, severity: finding.severity, subject: key.subject,
            explanation: finding.explanation, behind: finding.behind, measures: finding.measures,
            evidence: finding.evidence, since: min(finding.since ?? now, now), opened: now, updated: now)
        self.nextID += 1
        self.pages[key] = Page(incident: incident, finding: finding, worst: finding)
        return [.open(incident)]
    }

    private mutating func update(_ key: Key, _ finding: Finding, now: WallClockTime) -> [Watchdog.Directive] {
        guard var page = self.pages[key], page.finding != finding || page.isPending else { return [] }
        page.note(finding)
        let escalates = finding.severity > page.incident.severity
        let elapsed = now - page.incident.updated
        // A clock that was set back does not hold up changes.
        guard escalates || elapsed >= Self.updateInterval || elapsed < .zero else {
            page.isPending = true
            self.pages[key] = page
            return []
        }
        page.isPending = false
        let before = page.incident
        page.renew(now: now)
        self.pages[key] = page
        var unchanged = before
        unchanged.updated = page.incident.updated
        guard unchanged != page.incident else { return [] }
        return [.update(page.incident)]
    }

    private mutating func close(
        _ key: Key, now: WallClockTime, ending: (Page) -> Incident.Ending
    ) -> [Watchdog.Directive] {
        guard var page = self.pages.removeValue(forKey: key) else { return [] }
        let ending = ending(page)
        page.renew(now: now)
        page.isPending = false
        page.incident.closed = now
        page.incident.ending = ending
        page.incident.explanation = Self.explanation(of: page.worst, ended: ending)
        self.closed.append(page)
        if self.closed.count > Self.maximumClosed { self.closed.removeFirst() }
        return [.close(page.incident)]
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
