// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import FoundationEssentials
internal import Glibc

/// A batch as a mail (RFC 5322) with a body in UTF-8 (RFC 2045). Lines end as `sendmail` wants them: with a line feed.
struct MailMessage: Hashable, Sendable {
    /// Characters of a subject, before encoding: more is not shown by anything.
    static let maximumSubjectLength = 150
    /// Bytes of text in one encoded word: 75 characters are the most (RFC 2047, section 2), and base64 makes 4 of 3.
    private static let encodedWordBytes = 45
    /// Characters in a line of base64 (RFC 2045, section 6.8).
    private static let lineLength = 76

    let bytes: [UInt8]

    init(_ batch: AlertBatch, from: String, to: [String], at now: WallClockTime) {
        let domain = from.split(separator: "@").last.map(String.init) ?? "localhost"
        var headers: [(String, String)] = [
            ("From", "AltNet <\(from)>"),
            ("To", to.joined(separator: ",\n ")),
            ("Subject", Self.encoded(Self.subject(batch))),
            ("Date", Self.date(now)),
        ]
        if let message = batch.messages.first, !batch.isDigest {
            // The first mail of an incident is the one that the others answer to, so that programs show them together.
            let root = "<\(message.thread)@\(domain)>"
            if message.event == .opened || message.event == .test {
                headers.append(("Message-ID", root))
            } else {
                headers += [("Message-ID", "<\(message.id)@\(domain)>"), ("In-Reply-To", root), ("References", root)]
            }
        } else {
            headers.append(("Message-ID", "<\(batch.id)@\(domain)>"))
        }
        headers += [
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "base64"),
            // RFC 3834: no holiday notices in return.
            ("Auto-Submitted", "auto-generated"),
        ]
        if batch.messages.contains(where: { $0.severity == .critical && $0.event != .closed }) {
            headers.append(("Importance", "high"))
        }
        let head = headers.map { "\($0.0): \($0.1)\n" }.joined()
        self.bytes = Array(head.utf8) + [UInt8(ascii: "\n")] + Self.base64(AlertText.of(batch))
    }

    /// Whether a text is an address that can stand in a header and after `--` of a command: a plain `local@domain`, or
    /// the name of a local user. Quoted forms of RFC 5322 are not taken.
    static func isAddress(_ text: String) -> Bool {
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "@.!#$%&'*+/=?^_`{|}~-".utf8.contains(byte)
            }
        }
        let parts = text.split(separator: "@", omittingEmptySubsequences: false)
        return isPlain && text.utf8.count <= 254 && (1...2).contains(parts.count) && parts.allSatisfy { !$0.isEmpty }
            && !text.hasPrefix("-")
    }

    private static func subject(_ batch: AlertBatch) -> String {
        guard let first = batch.messages.first else { return "" }
        let prefix = "[AltNet \(first.node) \(first.network)] "
        let text =
            batch.isDigest
            ? prefix + "\(batch.messages.count) alerts, the first: \(first.headline)" : prefix + first.headline
        return AlertMessage.clean(text, Self.maximumSubjectLength)
    }

    /// A header's text: as it is when it is plain ASCII of moderate length, else in encoded words (RFC 2047).
    static func encoded(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { (0x20...0x7e).contains($0) } && !text.contains("=?")
        guard !isPlain || text.utf8.count > 200 else { return text }
        var words: [String] = []
        var word: [UInt8] = []
        for scalar in AlertMessage.clean(text, Self.maximumSubjectLength).unicodeScalars {
            let bytes = Array(String(scalar).utf8)
            if word.count + bytes.count > Self.encodedWordBytes {
                words.append("=?utf-8?B?\(Data(word).base64EncodedString())?=")
                word = []
            }
            word += bytes
        }
        words.append("=?utf-8?B?\(Data(word).base64EncodedString())?=")
        return words.joined(separator: "\n ")
    }

    /// RFC 5322, section 3.3.
    static func date(_ time: WallClockTime) -> String {
        var seconds = time_t(time.seconds)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let clock = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { ($0 < 10 ? "0" : "") + "\($0)" }
        return "\(days[Int(parts.tm_wday) % 7]), \(parts.tm_mday) \(months[Int(parts.tm_mon) % 12]) "
            + "\(parts.tm_year + 1900) \(clock.joined(separator: ":")) +0000"
    }

    private static func base64(_ text: String) -> [UInt8] {
        // Encoded text has its line ends in the canonical form (RFC 2045, section 6.8).
        let canonical = text.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n")
        let encoded = Array(Data(canonical.utf8).base64EncodedString().utf8)
        var lines: [UInt8] = []
        for start in stride(from: 0, to: encoded.count, by: Self.lineLength) {
            lines += encoded[start..<min(start + Self.lineLength, encoded.count)]
            lines.append(UInt8(ascii: "\n"))
        }
        return lines
    }
}

/// A batch as text for people.
enum AlertText {
    static func of(_ batch: AlertBatch) -> String {
        var text = ""
        if batch.missed > 0 {
            text +=
                "\(batch.missed) earlier alerts could not be delivered here. `altnet incidents` lists everything.\n\n"
        }
        return text + batch.messages.map(Self.of).joined(separator: "\n--------\n\n")
    }

    private static func of(_ message: AlertMessage) -> String {
        var lines = [message.headline, "", message.explanation, ""]
        if message.event != .test {
            lines.append("incident   \(message.incident) (\(message.kind), \(message.severity.rawValue))")
            lines.append("since      \(RFC3339.text(message.since))")
            lines.append("reported   \(RFC3339.text(message.opened))")
            if let closed = message.closed {
                lines.append("over       \(RFC3339.text(closed)) (\(message.ending ?? "closed"))")
            }
        }
        lines.append("node       \(message.node), \(message.network)")
        for measure in message.measures { lines.append("\(measure.name): \(measure.value) \(measure.unit)") }
        for action in message.actions {
            lines.append("\(RFC3339.text(action.at))  \(action.action): \(action.outcome). \(action.detail)")
        }
        if message.event != .test { lines += ["", "altnet incidents show \(message.incident)"] }
        return lines.joined(separator: "\n") + "\n"
    }
}
