// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Logging

/// Writes alerts to the system's journal with fields to search by.
struct JournalSender: AlertSender {
    private let journal: AlertSink.Journal
    private let logger: Logger

    init(_ journal: AlertSink.Journal, logger: Logger) {
        self.journal = journal
        self.logger = logger
    }

    func deliver(_ batch: AlertBatch) async -> DeliveryResult {
        // The journal has no digests: each message is an entry, and one that is there twice has the same id.
        for message in batch.messages {
            do throws(UnixDatagram.Failure) {
                try UnixDatagram.send(JournalEntry(message, missed: batch.missed).bytes, to: self.journal.socketPath)
            } catch {
                guard error.isAbsent else { return .failed("the journal does not take it: \(error)") }
                self.log(message)
            }
        }
        return .delivered("written")
    }

    /// Where there is no journal, standard error is what is kept.
    private func log(_ message: AlertMessage) {
        self.logger.log(
            level: message.event == .closed || message.event == .test
                ? .notice : (message.severity == .critical ? .critical : .warning),
            "ALERT \(message.headline)",
            metadata: ["incident": "\(message.incident)", "id": "\(message.id)", "what": "\(message.explanation)"])
    }
}

/// One entry in journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).
struct JournalEntry: Hashable, Sendable {
    let bytes: [UInt8]

    init(_ message: AlertMessage, missed: Int) {
        var fields: [(String, String)] = [
            ("MESSAGE", "\(message.headline)\n\(message.explanation)"),
            ("MESSAGE_ID", Self.messageID(message.event)),
            ("PRIORITY", "\(Self.priority(message))"),
            ("SYSLOG_IDENTIFIER", "altnetd"),
            ("ALTNET_ALERT", message.id),
            ("ALTNET_EVENT", message.event.rawValue),
            ("ALTNET_INCIDENT", "\(message.incident)"),
            ("ALTNET_KIND", message.kind),
            ("ALTNET_SEVERITY", message.severity.rawValue),
            ("ALTNET_SUBJECT", message.subject),
            ("ALTNET_NETWORK", message.network),
            ("ALTNET_NODE", message.node),
            ("ALTNET_SINCE", RFC3339.text(message.since)),
        ]
        if let ending = message.ending { fields.append(("ALTNET_ENDING", ending)) }
        if missed > 0 { fields.append(("ALTNET_MISSED", "\(missed)")) }
        self.bytes = fields.flatMap { Self.field($0.0, $0.1) }
    }

    /// `NAME=value` and a line feed, or, for a value with line feeds, its length in between.
    static func field(_ name: String, _ value: String) -> [UInt8] {
        guard value.utf8.contains(UInt8(ascii: "\n")) else { return Array("\(name)=\(value)\n".utf8) }
        let length = (0..<8).map { UInt8(truncatingIfNeeded: UInt64(value.utf8.count) >> (8 * $0)) }
        return Array("\(name)\n".utf8) + length + Array(value.utf8) + [UInt8(ascii: "\n")]
    }

    /// Syslog's levels: critical, warning; notice for what is over, information for tests.
    private static func priority(_ message: AlertMessage) -> Int {
        switch (message.event, message.severity) {
        case (.test, _): 6
        case (.closed, _): 5
        case (.opened, .critical), (.updated, .critical): 2
        case (.opened, .warning), (.updated, .warning): 4
        }
    }

    /// Chosen once at random; `journalctl MESSAGE_ID=…` finds all entries of that kind. They never change.
    static func messageID(_ event: AlertMessage.Event) -> String {
        switch event {
        case .opened: "5d1c8d3ee4f24c0a9a7c5be1b0f4a7d1"
        case .updated: "8a2f6b7740a34b2f9e3d1c6a52b7e0f2"
        case .closed: "c94e0b1d6d8f4ad1b7e8250f3a916c33"
        case .test: "e07f3c58a1b94e4c8d26f9b4c7150a84"
        }
    }
}
