// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl

/// What one round of questions to the daemon brought.
struct TopAnswer: Hashable, Sendable, Encodable {
    var status: StatusReport
    var safe: SafeReport
    var node: NodeReport
    var links: [LinkReport]
    var tips: [TipReport]
    /// Those that are open, newest first.
    var incidents: [IncidentReport]
}

/// The picture of `altnet top`: from what the daemon answered to lines of text, without a terminal or a clock.
struct TopPicture {
    /// The layout is made for these widths. A narrower screen gets the narrowest layout, cut.
    static let widths = 60...200
    /// More reasons than this would push the links off a small screen; the rest are counted.
    static let maximumReasons = 3
    /// From this width on there is room to say what software a link runs, or why it is down.
    static let widthWithAgents = 90

    /// Columns on the screen; no line is longer.
    var width: Int
    /// Lines on the screen; the picture has no more.
    var height: Int
    var colour: Bool
    /// The moment of the answer, from which ages are counted.
    var now: WallClockTime
    /// Whether keys are listened to, so that the last line names them.
    var takesKeys = true

    func lines(_ answer: TopAnswer) -> [String] {
        let top = self.verdict(answer.safe) + self.summary(answer)
        let links = self.links(answer.links)
        // Incidents are what to act on: when both do not fit, they get the larger half. A title and two lines for each
        // are an odd number; a line too many is left to the links.
        let room = max(0, self.height - top.count - 1)
        let wanted = answer.incidents.isEmpty ? 0 : 1 + 2 * answer.incidents.count
        let most = min(wanted, max((room + 1) / 2, room - links.count))
        let forIncidents = most > 0 && most % 2 == 0 ? most - 1 : most
        let middle = Self.cut(links, to: room - forIncidents) + self.incidents(answer, to: forIncidents)
        return self.finish(top + middle, last: "updated \(Self.timeOfDay(self.now))")
    }

    /// The picture while the daemon does not answer: nothing of what it said before, but when that was.
    func lines(noAnswer reason: String, lastAnswer: WallClockTime? = nil) -> [String] {
        let words = "NO ANSWER from altnetd: \(UntrustedText(reason))".split(separator: " ")
        var wrapped: [String] = []
        for word in words {
            if let line = wrapped.last, line.count + 1 + word.count <= self.width {
                wrapped[wrapped.count - 1] = line + " " + word
            } else {
                wrapped.append(String(word))
            }
        }
        var last = "asked \(Self.timeOfDay(self.now))"
        if let lastAnswer { last += "  last answer \(Self.timeOfDay(lastAnswer))" }
        return self.finish(wrapped.map { [Span($0, .red)] }, last: last)
    }

    // MARK: The parts

    private func verdict(_ safe: SafeReport) -> [Line] {
        // A daemon that says no without a reason still says no.
        var lines: [Line] = [[safe.safe ? Span("SAFE", .green) : Span("NOT SAFE", .red)]]
        lines += safe.reasons.prefix(Self.maximumReasons).map { [Span("  \(UntrustedText($0))")] }
        let more = safe.reasons.count - Self.maximumReasons
        if more > 0 { lines[0].append(Span("  (\(more) more \(more == 1 ? "reason" : "reasons"): altnet node)")) }
        return lines
    }

    private func summary(_ answer: TopAnswer) -> [Line] {
        let status = answer.status
        let open = status.openIncidents
        var lines: [Line] = [
            [
                Span("chain", .bold),
                Span("  \(UntrustedText(status.network))  height \(status.chain.height)"),
                Span("  tip \(self.age(status.chain.tipTime)) old  "),
                Span("\(open) open \(open == 1 ? "incident" : "incidents")", open > 0 ? .yellow : .plain),
                Span("  \(answer.tips.count) \(answer.tips.count == 1 ? "tip" : "tips")"),
            ]
        ]
        if let failure = status.storeFailure {
            lines.append([Span("PROBLEM", .red), Span("  \(UntrustedText(failure))")])
        }
        lines.append(Self.node(answer.node))
        return lines
    }

    private static func node(_ node: NodeReport) -> Line {
        guard node.reach != "none" else { return [Span("node", .bold), Span("   none configured")] }
        let isReachable = node.reach == "reachable"
        var line = [
            Span("node", .bold), Span("   "), Span("\(UntrustedText(node.reach))", isReachable ? .plain : .red),
        ]
        if let reason = node.reason { line.append(Span(": \(UntrustedText(reason))")) }
        if let blocks = node.blocks {
            line.append(Span("  blocks \(blocks)/\(node.headers.map(String.init) ?? "?")"))
        }
        if node.isSyncing { line.append(Span("  syncing", .yellow)) }
        if let missing = node.missingBlocks {
            line.append(missing == 0 ? Span("  level") : Span("  \(missing) behind", .yellow))
        }
        if isReachable { line.append(Span("  peers \(node.outboundPeers) out \(node.inboundPeers) in")) }
        return line
    }

    /// The title, and one line for each link: those behind first, then those that are down, so that a small screen
    /// cuts off what is well.
    private func links(_ links: [LinkReport]) -> [Line] {
        guard !links.isEmpty else { return [[Span("no links", .bold), Span("  altnet link open DRIVER TARGET")]] }
        let width = min(max(self.width, Self.widths.lowerBound), Self.widths.upperBound)
        // What the other columns and the spaces between them leave.
        let rest = width - 44
        let hasAgents = width >= Self.widthWithAgents
        let remoteWidth = hasAgents ? min(45, rest / 2 + 1) : rest
        func row(_ cells: [String], behind: Style, all: Style) -> Line {
            var line = [
                Span(Self.left(cells[0], 9) + " " + Self.left(cells[1], remoteWidth) + " ", all),
                Span(Self.right(cells[2], 7) + " ", all),
                Span(Self.right(cells[3], 6), behind),
                Span(" " + Self.right(cells[4], 5) + " " + Self.right(cells[5], 5), all),
                Span(" " + Self.right(cells[6], 6), all),
            ]
            if hasAgents { line.append(Span(" " + cells[7], all)) }
            return line
        }
        let title = row(
            ["LINK OVER", "REMOTE", "TIP", "BEHIND", "MS", "LATE", "SINCE", "AGENT"], behind: .bold, all: .bold)
        let ranked = links.enumerated().sorted {
            (Self.rank($0.element), $0.offset) < (Self.rank($1.element), $1.offset)
        }
        return [title]
            + ranked.map { _, link in
                let behind = Self.behind(link)
                return row(
                    [
                        UntrustedText(link.driver).description, Self.remote(link, remoteWidth),
                        link.tipHeight.map(String.init) ?? "?", behind.text,
                        link.latencyMilliseconds.map { Self.number($0, decimals: false) } ?? "-",
                        link.latenessSeconds.map { Self.number($0, decimals: true) } ?? "-",
                        link.since.map(self.age) ?? "-",
                        UntrustedText(link.reason ?? link.agent ?? "").description,
                    ], behind: behind.style, all: .plain)
            }
    }

    private static func rank(_ link: LinkReport) -> Int {
        if link.state != "open" { return 1 }
        return link.isLowWork || (link.missingBlocks ?? 0) > 0 ? 0 : 2
    }

    private static func behind(_ link: LinkReport) -> (text: String, style: Style) {
        if link.state != "open" { return ("down", .yellow) }
        if link.isLowWork { return ("weak", .yellow) }
        guard let missing = link.missingBlocks else { return ("?", .plain) }
        return missing == 0 ? ("-", .plain) : ("\(missing)", .yellow)
    }

    /// A Lightning node's key is recognised by its beginning; of what is still too long, both ends are shown.
    private static func remote(_ link: LinkReport, _ width: Int) -> String {
        var text = UntrustedText(link.target ?? link.remote ?? "").description
        if let at = text.firstIndex(of: "@"), text.distance(from: text.startIndex, to: at) > 16 {
            text = text.prefix(8) + "…" + text[at...]
        }
        guard text.count > width else { return text }
        let head = (width - 1) / 2
        return text.prefix(head) + "…" + text.suffix(width - 1 - head)
    }

    /// A title, and two lines for each incident that fits into `room` lines; nothing when there is none.
    private func incidents(_ answer: TopAnswer, to room: Int) -> [Line] {
        guard !answer.incidents.isEmpty, room > 0 else { return [] }
        let shown = answer.incidents.prefix((room - 1) / 2)
        // The daemon may have more than it was asked for.
        let all = max(answer.incidents.count, answer.status.openIncidents)
        var title = [Span("OPEN INCIDENTS", .bold)]
        if shown.count < all { title.append(Span("  \(shown.count) of \(all) shown")) }
        return [title]
            + shown.flatMap { incident -> [Line] in
                let style: Style = incident.severity == "critical" ? .red : .yellow
                return [
                    [
                        Span("\(UntrustedText(incident.severity))", style),
                        Span("  \(UntrustedText(incident.kind))  \(UntrustedText(incident.subject))"),
                        Span("  since \(self.age(incident.since))"),
                    ],
                    [Span("  \(UntrustedText(incident.explanation))")],
                ]
            }
    }
}

// MARK: - Lines

extension TopPicture {
    /// Colours only repeat what the words beside them say.
    enum Style: String {
        case plain = ""
        case bold = "1"
        case red = "1;31"
        case yellow = "33"
        case green = "1;32"
    }

    /// A piece of a line. Its text is printable: what others wrote has gone through `UntrustedText`.
    struct Span {
        var text: String
        var style: Style

        init(_ text: String, _ style: Style = .plain) {
            self.text = text
            self.style = style
        }
    }

    typealias Line = [Span]

    /// The title and its entries to at most `count` lines, of which the last tells how many are left out.
    private static func cut(_ lines: [Line], to count: Int) -> [Line] {
        guard lines.count > count else { return lines }
        guard count > 0 else { return [] }
        let kept = lines.prefix(count - 1)
        return kept + [[Span("… \(lines.count - max(1, kept.count)) more links")]]
    }

    private func finish(_ lines: [Line], last: String) -> [String] {
        let end: Line = [Span(last + (self.takesKeys ? "  q quits" : ""))]
        // The verdict comes before the last line where there is room for one only.
        let shown = self.height > 1 ? lines.prefix(self.height - 1) + [end] : lines.prefix(max(0, self.height))
        return shown.map(self.text)
    }

    /// The line with its colours, cut to the width; what is cut ends in `…`.
    private func text(_ line: Line) -> String {
        let length = line.reduce(0) { $0 + $1.text.count }
        var room = length > self.width ? max(0, self.width - 1) : self.width
        var text = ""
        for span in line where room > 0 {
            let part = String(span.text.prefix(room))
            room -= part.count
            text += self.colour && span.style != .plain ? "\u{1b}[\(span.style.rawValue)m\(part)\u{1b}[0m" : part
        }
        return length > self.width && self.width > 0 ? text + "…" : text
    }

    private static func left(_ text: String, _ width: Int) -> String {
        text.count > width
            ? text.prefix(width - 1) + "…" : text + String(repeating: " ", count: width - text.count)
    }

    private static func right(_ text: String, _ width: Int) -> String {
        text.count > width
            ? text.prefix(width - 1) + "…" : String(repeating: " ", count: width - text.count) + text
    }

    /// Five characters at most: what does not fit is beyond what a link lives through.
    private static func number(_ value: Double, decimals: Bool) -> String {
        guard value.isFinite else { return "?" }
        if value >= 100_000 { return ">9999" }
        if value <= -10_000 { return "<-999" }
        guard decimals, value.magnitude < 99.95 else { return "\(Int(value.rounded()))" }
        let tenths = Int((value * 10).rounded())
        return "\(tenths < 0 ? "-" : "")\(tenths.magnitude / 10).\(tenths.magnitude % 10)"
    }

    /// Six characters at most for 9999 days. A moment ahead of our clock counts as now.
    private func age(_ moment: Timestamp) -> String {
        let seconds = max(0, (self.now - moment.time).components.seconds)
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        switch seconds {
        case ..<60: return "\(seconds)s"
        case ..<3_600: return "\(seconds / 60)m\(two(seconds % 60))s"
        case ..<86_400: return "\(seconds / 3_600)h\(two(seconds % 3_600 / 60))m"
        case ..<(100 * 86_400): return "\(seconds / 86_400)d\(two(seconds % 86_400 / 3_600))h"
        default: return "\(min(9_999, seconds / 86_400))d"
        }
    }

    /// In UTC, as everything that altnet prints.
    private static func timeOfDay(_ time: WallClockTime) -> String {
        let second = ((time.seconds % 86_400) + 86_400) % 86_400
        let parts = [second / 3_600, second % 3_600 / 60, second % 60]
        return parts.map { $0 < 10 ? "0\($0)" : "\($0)" }.joined(separator: ":") + " UTC"
    }
}
