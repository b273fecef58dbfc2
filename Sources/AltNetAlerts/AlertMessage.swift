// SPDX-License-Identifier: MIT

public import AltNetBase

/// What happened to an incident, for people and programs elsewhere.
///
/// A value of its own: this module knows nothing of detectors. All texts are cleaned and cut when a message is made, so
/// that nobody who chooses a name can hide lines in a log, a header or a terminal.
public struct AlertMessage: Hashable, Sendable {
    /// What happened.
    public enum Event: String, Hashable, Sendable, CaseIterable {
        case opened, updated, closed
        /// Nothing: the operator wants to see whether alerts arrive.
        case test
    }

    /// How bad it is.
    public enum Severity: String, Hashable, Sendable, Comparable, CaseIterable {
        case warning, critical

        public static func < (left: Self, right: Self) -> Bool { left == .warning && right == .critical }
    }

    /// One figure of an incident.
    public struct Measure: Hashable, Sendable {
        public var name: String
        /// A finite number; messages leave out what is none.
        public var value: Double
        public var unit: String

        public init(name: String, value: Double, unit: String) {
            self.name = AlertMessage.clean(name, AlertMessage.maximumNameLength)
            self.value = value
            self.unit = AlertMessage.clean(unit, AlertMessage.maximumNameLength)
        }
    }

    /// One thing that was done about an incident.
    public struct Action: Hashable, Sendable {
        public var at: WallClockTime
        public var action: String
        /// `planned`, `done` or `failed`.
        public var outcome: String
        public var detail: String

        public init(at: WallClockTime, action: String, outcome: String, detail: String) {
            self.at = at
            self.action = AlertMessage.clean(action, AlertMessage.maximumNameLength)
            self.outcome = AlertMessage.clean(outcome, AlertMessage.maximumNameLength)
            self.detail = AlertMessage.clean(detail, AlertMessage.maximumDetailLength)
        }
    }

    /// Characters of a kind, a name, a unit: enough for every word of ours.
    public static let maximumNameLength = 64
    /// Characters of a subject: a driver and a remote, as long as incidents name them.
    public static let maximumSubjectLength = 300
    /// Characters of an action's detail: a sentence.
    public static let maximumDetailLength = 300
    /// Characters of an explanation: a few sentences.
    public static let maximumExplanationLength = 1_000
    /// Figures in one message. With ``maximumActions`` this keeps a message below the 20 kB that the Standard Webhooks
    /// specification recommends.
    public static let maximumMeasures = 16
    /// Actions in one message, the latest ones: earlier ones were in earlier messages.
    public static let maximumActions = 16

    /// Who sends it: the daemon's name, as the operator knows it.
    public let node: String
    /// The block chain: `main`, `signet`, ….
    public let network: String
    public let event: Event
    /// Which event of the incident this is. It must grow from event to event and be the same when the same event is
    /// handed in again: the incident's `updated` in milliseconds is such a number.
    public let number: Int64
    /// When it happened.
    public let at: WallClockTime
    /// The incident's number; 0 for a test.
    public let incident: Int64
    /// What was found, in kebab-case.
    public let kind: String
    public let severity: Severity
    /// Whom it is about.
    public let subject: String
    /// One or two sentences: what is, and of a closed incident what was.
    public let explanation: String
    public let since: WallClockTime
    public let opened: WallClockTime
    public let closed: WallClockTime?
    /// How it ended, in kebab-case.
    public let ending: String?
    public let measures: [Measure]
    public let actions: [Action]

    public init(
        node: String, network: String, event: Event, number: Int64, at: WallClockTime, incident: Int64, kind: String,
        severity: Severity, subject: String, explanation: String, since: WallClockTime, opened: WallClockTime,
        closed: WallClockTime? = nil, ending: String? = nil, measures: [Measure] = [], actions: [Action] = []
    ) {
        self.node = Self.clean(node, Self.maximumNameLength)
        self.network = Self.clean(network, Self.maximumNameLength)
        self.event = event
        self.number = number
        self.at = at
        self.incident = incident
        self.kind = Self.clean(kind, Self.maximumNameLength)
        self.severity = severity
        self.subject = Self.clean(subject, Self.maximumSubjectLength)
        self.explanation = Self.clean(explanation, Self.maximumExplanationLength)
        self.since = since
        self.opened = opened
        self.closed = closed
        self.ending = ending.map { Self.clean($0, Self.maximumNameLength) }
        self.measures = Array(measures.filter(\.value.isFinite).prefix(Self.maximumMeasures))
        self.actions = Array(actions.suffix(Self.maximumActions))
    }

    /// A message that only shows that alerts arrive.
    public static func test(node: String, network: String, at: WallClockTime) -> AlertMessage {
        AlertMessage(
            node: node, network: network, event: .test, number: at.milliseconds, at: at, incident: 0, kind: "test",
            severity: .warning, subject: "alerts",
            explanation: "This is a test: alerts of \(node) arrive here. Nothing is wrong.", since: at, opened: at)
    }

    /// The name of the incident that is the same in all its messages and in no other's, even after a data directory
    /// was begun anew: node, network, number and moment of opening.
    public var thread: String {
        "\(Self.word(self.node))-\(Self.word(self.network))-\(self.incident)-\(self.opened.milliseconds)"
    }

    /// The name of this message: the same however often it is sent. Letters, digits, `-` and `_` only, because
    /// Standard Webhooks signs it between full stops.
    public var id: String { "\(self.thread)-\(self.number)-\(self.event.rawValue)" }

    /// The message in one line.
    public var headline: String {
        switch self.event {
        case .test: "TEST: alerts of \(self.node) arrive here"
        case .opened: "\(self.severity.rawValue.uppercased()): \(self.kind), \(self.subject)"
        case .updated: "\(self.severity.rawValue.uppercased()), update: \(self.kind), \(self.subject)"
        case .closed: "over (\(self.ending ?? "closed")): \(self.kind), \(self.subject)"
        }
    }

    /// A text without control characters, line breaks and invisible marks, and cut.
    static func clean(_ text: String, _ limit: Int) -> String {
        var scalars = String.UnicodeScalarView()
        for scalar in text.unicodeScalars.prefix(limit) {
            switch scalar.properties.generalCategory {
            case .control, .lineSeparator, .paragraphSeparator: scalars.append(" ")
            case .format, .surrogate, .privateUse, .unassigned: scalars.append("?")
            default: scalars.append(scalar)
            }
        }
        return String(scalars)
    }

    private static func word(_ text: String) -> String {
        String(
            decoding: text.utf8.map { byte -> UInt8 in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                    byte
                default: UInt8(ascii: "_")
                }
            }, as: UTF8.self)
    }
}
