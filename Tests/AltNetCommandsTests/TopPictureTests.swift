// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetControl
import Testing

@testable import AltNetCommands

@Suite("altnet top")
struct TopPictureTests {
    /// 2025-11-21 11:26:40 UTC.
    private static let now = WallClockTime(seconds: 1_763_724_400)

    private static func ago(_ seconds: Int64) -> Timestamp {
        Timestamp(WallClockTime(seconds: Self.now.seconds - seconds))
    }

    private static func picture(width: Int, height: Int, colour: Bool = false) -> TopPicture {
        TopPicture(width: width, height: height, colour: colour, now: Self.now)
    }

    private static func link(_ remote: String, tip: UInt32, missing: UInt32) -> LinkReport {
        var link = LinkReport(driver: "bitcoin", state: "open")
        link.remote = remote
        link.tipHeight = tip
        link.missingBlocks = missing
        link.latencyMilliseconds = 41.7
        link.latenessSeconds = 0.25
        link.since = Self.ago(7_500)
        link.agent = "/Satoshi:31.0.0/"
        return link
    }

    private static func incident(_ kind: String, _ severity: String, _ subject: String) -> IncidentReport {
        IncidentReport(
            id: 1, kind: kind, severity: severity, subject: subject,
            explanation: "It has not shown 2 blocks of the best chain, the first of them 900,000.", behind: nil,
            since: Self.ago(754), opened: Self.ago(600), updated: Self.ago(1), closed: nil, ending: nil)
    }

    private static func healthy() -> TopAnswer {
        let chain = ChainReport(
            startHeight: 0, height: 900_001, tip: String(repeating: "0", count: 64), tipTime: Self.ago(272), work: "1",
            headers: 900_002)
        let status = StatusReport(
            software: "altnet 0.1.0", network: "main", processID: 7, started: Self.ago(9_000), dataDirectory: "/d",
            chain: chain, links: 3, linksBehind: 0, drivers: 1, openIncidents: 0, storeFailure: nil)
        var node = NodeReport(kind: "bitcoin-core", description: "Bitcoin Core", reach: "reachable")
        node.blocks = 900_001
        node.headers = 900_001
        node.missingBlocks = 0
        node.outboundPeers = 10
        node.inboundPeers = 4
        var down = LinkReport(driver: "lightning", state: "unreachable")
        down.target = "03" + String(repeating: "ab", count: 32) + "@198.51.100.4:9735"
        down.reason = "connection refused"
        return TopAnswer(
            status: status, safe: SafeReport(safe: true, reasons: []), node: node,
            links: [
                Self.link("203.0.113.7:8333", tip: 900_001, missing: 0), down,
                Self.link("203.0.113.8:8333", tip: 899_999, missing: 2),
            ],
            tips: [], incidents: [])
    }

    private static func notSafe() -> TopAnswer {
        var answer = Self.healthy()
        answer.safe = SafeReport(
            safe: false, reasons: ["The node is 2 blocks behind.", "second", "third", "fourth", "fifth"])
        answer.node.missingBlocks = 2
        answer.node.blocks = 899_999
        answer.status.openIncidents = 2
        answer.incidents = [
            Self.incident("node-behind", "critical", "node"),
            Self.incident("link-behind", "warning", "bitcoin 203.0.113.8:8333"),
        ]
        return answer
    }

    /// Without escape sequences of colour.
    private static func plain(_ line: String) -> String {
        line.replacing(/\u{1b}\[[0-9;]*m/, with: "")
    }

    @Test("A healthy daemon: verdict, chain, node, and the links with trouble first")
    func healthy() {
        #expect(
            Self.picture(width: 120, height: 24).lines(Self.healthy()) == [
                "SAFE",
                "chain  main  height 900001  tip 4m32s old  0 open incidents  0 tips",
                "node   reachable  blocks 900001/900001  level  peers 10 out 4 in",
                "LINK OVER REMOTE                                      TIP BEHIND    MS  LATE  SINCE AGENT",
                "bitcoin   203.0.113.8:8333                         899999      2    42   0.3  2h05m /Satoshi:31.0.0/",
                "lightning 03ababab…@198.51.100.4:9735                   ?   down     -     -      - connection refused",
                "bitcoin   203.0.113.7:8333                         900001      -    42   0.3  2h05m /Satoshi:31.0.0/",
                "updated 11:26:40 UTC  q quits",
            ])
    }

    @Test("Not safe: three reasons and a count of the rest, and each incident with its explanation")
    func notSafe() {
        #expect(
            Self.picture(width: 80, height: 24).lines(Self.notSafe()) == [
                "NOT SAFE  (2 more reasons: altnet node)",
                "  The node is 2 blocks behind.",
                "  second",
                "  third",
                "chain  main  height 900001  tip 4m32s old  2 open incidents  0 tips",
                "node   reachable  blocks 899999/900001  2 behind  peers 10 out 4 in",
                "LINK OVER REMOTE                                   TIP BEHIND    MS  LATE  SINCE",
                "bitcoin   203.0.113.8:8333                      899999      2    42   0.3  2h05m",
                "lightning 03ababab…@198.51.100.4:9735                ?   down     -     -      -",
                "bitcoin   203.0.113.7:8333                      900001      -    42   0.3  2h05m",
                "OPEN INCIDENTS",
                "critical  node-behind  node  since 12m34s",
                "  It has not shown 2 blocks of the best chain, the first of them 900,000.",
                "warning  link-behind  bitcoin 203.0.113.8:8333  since 12m34s",
                "  It has not shown 2 blocks of the best chain, the first of them 900,000.",
                "updated 11:26:40 UTC  q quits",
            ])
    }

    @Test("Twenty links on twelve lines: the one behind is kept, the others are counted")
    func manyLinks() {
        var answer = Self.healthy()
        answer.links = (0..<20).map { number in
            Self.link("203.0.113.\(number):8333", tip: 900_001, missing: number == 17 ? 1 : 0)
        }
        #expect(
            Self.picture(width: 100, height: 12).lines(answer) == [
                "SAFE",
                "chain  main  height 900001  tip 4m32s old  0 open incidents  0 tips",
                "node   reachable  blocks 900001/900001  level  peers 10 out 4 in",
                "LINK OVER REMOTE                            TIP BEHIND    MS  LATE  SINCE AGENT",
                "bitcoin   203.0.113.17:8333              900001      1    42   0.3  2h05m /Satoshi:31.0.0/",
                "bitcoin   203.0.113.0:8333               900001      -    42   0.3  2h05m /Satoshi:31.0.0/",
                "bitcoin   203.0.113.1:8333               900001      -    42   0.3  2h05m /Satoshi:31.0.0/",
                "bitcoin   203.0.113.2:8333               900001      -    42   0.3  2h05m /Satoshi:31.0.0/",
                "bitcoin   203.0.113.3:8333               900001      -    42   0.3  2h05m /Satoshi:31.0.0/",
                "bitcoin   203.0.113.4:8333               900001      -    42   0.3  2h05m /Satoshi:31.0.0/",
                "… 14 more links",
                "updated 11:26:40 UTC  q quits",
            ])
    }

    @Test("Sixty columns: every column is there, and what is too long is cut where it shows")
    func narrow() {
        #expect(
            Self.picture(width: 60, height: 12).lines(Self.notSafe()) == [
                "NOT SAFE  (2 more reasons: altnet node)",
                "  The node is 2 blocks behind.",
                "  second",
                "  third",
                "chain  main  height 900001  tip 4m32s old  2 open incidents…",
                "node   reachable  blocks 899999/900001  2 behind  peers 10 …",
                "LINK OVER REMOTE               TIP BEHIND    MS  LATE  SINCE",
                "… 3 more links",
                "OPEN INCIDENTS  1 of 2 shown",
                "critical  node-behind  node  since 12m34s",
                "  It has not shown 2 blocks of the best chain, the first of…",
                "updated 11:26:40 UTC  q quits",
            ])
    }

    @Test("No answer: the reason in full, nothing of the old picture, and when there was an answer")
    func noAnswer() {
        let reason = "no altnetd answers at /run/altnet/main/control.sock; start it, or say which one"
        #expect(
            Self.picture(width: 60, height: 12).lines(
                noAnswer: reason, lastAnswer: WallClockTime(seconds: Self.now.seconds - 61)) == [
                    "NO ANSWER from altnetd: no altnetd answers at",
                    "/run/altnet/main/control.sock; start it, or say which one",
                    "asked 11:26:40 UTC  last answer 11:25:39 UTC  q quits",
                ])
    }

    @Test("Text that others chose moves no cursor, adds no line and sets no colour, wherever it stands")
    func hostile() {
        let hostile = "\u{1b}[2J\u{1b}]0;x\u{7}\r\nSAFE\u{9b}31m\u{202e}\t" + String(repeating: "é", count: 300)
        var answer = Self.notSafe()
        answer.status.network = hostile
        answer.status.storeFailure = hostile
        answer.safe.reasons = [hostile, hostile]
        answer.node.reach = hostile
        answer.node.reason = hostile
        for index in answer.links.indices {
            answer.links[index].driver = hostile
            answer.links[index].remote = hostile
            answer.links[index].agent = hostile
            answer.links[index].latencyMilliseconds = 1e300
            answer.links[index].latenessSeconds = -1e300
            answer.links[index].since = Timestamp(WallClockTime(milliseconds: .min))
        }
        answer.links[1].target = hostile + "@" + hostile
        answer.links[1].reason = hostile
        answer.incidents[0].severity = hostile
        answer.incidents[0].kind = hostile
        answer.incidents[0].subject = hostile
        answer.incidents[0].explanation = hostile
        for colour in [false, true] {
            let picture = Self.picture(width: 100, height: 30, colour: colour)
            for line in picture.lines(answer) + picture.lines(noAnswer: hostile) {
                let text = colour ? Self.plain(line) : line
                #expect(text.count <= 100)
                #expect(text.unicodeScalars.allSatisfy { (0x20...0x7e).contains($0.value) || $0 == "…" })
            }
        }
        #expect(Self.picture(width: 100, height: 30).lines(answer).contains { $0.contains("?[2J?]0;x???SAFE") })
    }

    @Test("Colours repeat the words: without their codes the picture is the one without colour")
    func colour() {
        let coloured = Self.picture(width: 80, height: 24, colour: true).lines(Self.notSafe())
        let plain = Self.picture(width: 80, height: 24).lines(Self.notSafe())
        #expect(coloured.first?.hasPrefix("\u{1b}[1;31mNOT SAFE\u{1b}[0m") == true)
        #expect(coloured.map(Self.plain) == plain)
        #expect(!plain.contains { $0.contains("\u{1b}") })
        let safe = Self.picture(width: 80, height: 24, colour: true).lines(Self.healthy())
        #expect(safe.first == "\u{1b}[1;32mSAFE\u{1b}[0m")
    }

    @Test("No screen is too small: no line is too long, none too many, and the verdict is always the first")
    func everySize() {
        for answer in [Self.healthy(), Self.notSafe()] {
            for width in Array(1...130) + [199, 200] {
                for height in 1...30 {
                    let lines = Self.picture(width: width, height: height).lines(answer)
                    guard lines.count <= height, lines.allSatisfy({ $0.count <= width }),
                        width < 8 || lines.first?.hasPrefix(answer.safe.safe ? "SAFE" : "NOT SAF") == true,
                        width < 30 || height < 2 || lines.last == "updated 11:26:40 UTC  q quits"
                    else {
                        Issue.record("at \(width)×\(height): \(lines)")
                        return
                    }
                }
            }
        }
    }
}
