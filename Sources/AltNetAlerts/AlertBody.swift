// SPDX-License-Identifier: MIT

public import AltNetBase
internal import FoundationEssentials

/// What is sent at once: a message, or several as a digest.
public struct AlertBatch: Hashable, Sendable {
    /// The messages, oldest first; at least one.
    public let messages: [AlertMessage]
    /// How many alerts the receiver has not got since the last delivery: dropped for lack of room, or given up.
    public let missed: Int

    public init(_ messages: [AlertMessage], missed: Int) {
        self.messages = messages
        self.missed = missed
    }

    /// Whether it goes out as a digest.
    public var isDigest: Bool { self.messages.count > 1 }

    /// The name of what is sent: the message's own, or one that the same messages have again when they are sent again.
    public var id: String {
        guard self.isDigest, let first = self.messages.first else { return self.messages.first.map(\.id) ?? "" }
        return "digest-\(self.messages.count)-\(first.id)-\(Self.fingerprint(self.messages))"
    }

    /// FNV-1a of the names: the identity of a digest needs no secrecy, and whoever wants to be sure looks at the names
    /// of its messages.
    private static func fingerprint(_ messages: [AlertMessage]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in messages.flatMap({ Array($0.id.utf8) + [UInt8(0)] }) {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        return String(hash, radix: 16)
    }

    /// The batch as JSON, documented in `docs/alerts.md`: what webhooks and commands get.
    ///
    /// - Parameter now: the `timestamp` of a digest; a message has its own.
    public func json(now: WallClockTime) -> [UInt8] {
        guard self.isDigest, let first = self.messages.first else {
            guard let message = self.messages.first else { return [] }
            return AlertBody.json(AlertBody(message, missed: self.missed))
        }
        return AlertBody.json(
            DigestBody(
                version: AlertBody.version, type: "altnet.digest", id: self.id, timestamp: RFC3339.text(now),
                node: first.node, network: first.network, missed: self.missed,
                messages: self.messages.map { AlertBody($0, missed: nil) }))
    }
}

/// A digest as JSON.
private struct DigestBody: Codable {
    var version: Int
    var type: String
    var id: String
    var timestamp: String
    var node: String
    var network: String
    var missed: Int
    var messages: [AlertBody]
}

/// A message as JSON: also the form in which undelivered messages are stored.
struct AlertBody: Codable {
    /// Raised when a field changes its meaning or goes away; new fields do not raise it.
    static let version = 1

    struct Incident: Codable {
        var id: Int64
        var kind: String
        var severity: String
        var subject: String
        var explanation: String
        var since: String
        var opened: String
        var closed: String?
        var ending: String?
        var measures: [Measure]
        var actions: [Action]
    }

    struct Measure: Codable {
        var name: String
        var value: Double
        var unit: String
    }

    struct Action: Codable {
        var at: String
        var action: String
        var outcome: String
        var detail: String
    }

    var version: Int
    var type: String
    var id: String
    var timestamp: String
    var node: String
    var network: String
    var number: Int64
    var missed: Int?
    var incident: Incident

    init(_ message: AlertMessage, missed: Int?) {
        self.version = Self.version
        self.type = message.event == .test ? "altnet.test" : "altnet.incident.\(message.event.rawValue)"
        self.id = message.id
        self.timestamp = RFC3339.text(message.at)
        self.node = message.node
        self.network = message.network
        self.number = message.number
        self.missed = missed
        self.incident = Incident(
            id: message.incident, kind: message.kind, severity: message.severity.rawValue, subject: message.subject,
            explanation: message.explanation, since: RFC3339.text(message.since), opened: RFC3339.text(message.opened),
            closed: message.closed.map(RFC3339.text), ending: message.ending,
            measures: message.measures.map { Measure(name: $0.name, value: $0.value, unit: $0.unit) },
            actions: message.actions.map {
                Action(at: RFC3339.text($0.at), action: $0.action, outcome: $0.outcome, detail: $0.detail)
            })
    }

    /// The message again; `nil` when it was written by a version that we do not understand.
    var message: AlertMessage? {
        guard self.version == Self.version,
            let event = AlertMessage.Event(
                rawValue: self.type.split(separator: ".").last.map(String.init) ?? ""),
            let severity = AlertMessage.Severity(rawValue: self.incident.severity),
            let at = RFC3339.time(self.timestamp), let since = RFC3339.time(self.incident.since),
            let opened = RFC3339.time(self.incident.opened)
        else { return nil }
        return AlertMessage(
            node: self.node, network: self.network, event: event, number: self.number, at: at,
            incident: self.incident.id, kind: self.incident.kind, severity: severity, subject: self.incident.subject,
            explanation: self.incident.explanation, since: since, opened: opened,
            closed: self.incident.closed.flatMap(RFC3339.time), ending: self.incident.ending,
            measures: self.incident.measures.map {
                AlertMessage.Measure(name: $0.name, value: $0.value, unit: $0.unit)
            },
            actions: self.incident.actions.compactMap { action in
                RFC3339.time(action.at).map {
                    AlertMessage.Action(at: $0, action: action.action, outcome: action.outcome, detail: action.detail)
                }
            })
    }

    static func json(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Texts, finite numbers and lists of them: nothing in it can fail to encode.
        return (try? encoder.encode(value)).map { [UInt8]($0) } ?? []
    }

    static func decode(_ bytes: [UInt8]) -> AlertMessage? {
        (try? JSONDecoder().decode(AlertBody.self, from: Data(bytes)))?.message
    }
}

/// Moments as text in UTC with milliseconds, as in the control interface.
enum RFC3339 {
    static func text(_ time: WallClockTime) -> String {
        // Half a millisecond more: the style cuts, and most milliseconds are no exact fractions.
        Date(timeIntervalSince1970: (Double(time.milliseconds) + 0.5) / 1000).formatted(Self.style)
    }

    static func time(_ text: String) -> WallClockTime? {
        (try? Self.style.parse(text)).map {
            WallClockTime(milliseconds: Int64(($0.timeIntervalSince1970 * 1000).rounded()))
        }
    }

    private static let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
}
