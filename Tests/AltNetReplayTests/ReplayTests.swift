// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetWatchdog
import Testing

@testable import AltNetReplay

@Suite("Replay")
struct ReplayTests {
    private static let start: Int64 = 1_700_000_000_000

    private static func hash(_ height: Int, salt: UInt64 = 0) -> String {
        BlockHash(number: UInt256(UInt64(height), salt, 0, 0)).description
    }

    /// A file with a block every ten minutes.
    private static func lines(_ heights: Range<Int>, delay: (Int) -> Int64 = { _ in 0 }) -> String {
        heights.map { "\($0),\(Self.hash($0)),\(Self.start + Int64($0) * 600_000 + delay($0))\n" }.joined()
    }

    private static func file(_ name: String, _ text: String) -> Replay.File {
        Replay.File(name: name, bytes: Array(text.utf8))
    }

    private static func incidents(_ files: [Replay.File], node: String? = nil) throws -> [Incident] {
        Replay.incidents(
            in: try Replay.script(of: files, node: node), configuration: Watchdog.Configuration())
    }

    @Test("finds nothing in regular blocks, in any order of lines, with repeated lines and competing blocks")
    func quiet() throws {
        var lines = Self.lines(100..<200).split(separator: "\n").map { "\($0)\n" }
        lines.append("150,\(Self.hash(150, salt: 9)),\(Self.start + 150 * 600_000 - 5000)\n")
        lines.append("149,\(Self.hash(149)),\(Self.start + 150 * 600_000 - 1000)\n")
        var random = SeededRandom(seed: 1)
        lines.shuffle(using: &random)
        let script = try Replay.script(of: [Self.file("a", lines.joined())])
        #expect(script.lines == 102 && script.episodes.count == 1)
        #expect(Replay.incidents(in: script, configuration: Watchdog.Configuration()).isEmpty)
    }

    @Test("reports the silence of one file, the link that is late among two, and the node when it is that")
    func findings() throws {
        let silent = Self.lines(100..<150) + Self.lines(150..<200) { _ in 12_000_000 }
        let found = try Self.incidents([Self.file("a", silent)])
        #expect(found.first?.kind == .staleTip && found.first?.severity == .critical)
        let late = Self.lines(100..<200) { $0 == 150 ? 31_000 : 0 }
        let pair = [Self.file("a", late), Self.file("b", Self.lines(100..<200))]
        let incidents = try Self.incidents(pair)
        #expect(incidents.map(\.kind) == [.linkBehind] && incidents.first?.subject == Subject("a"))
        #expect(incidents.first?.ending == .caughtUp)
        #expect(try Self.incidents(pair, node: "a").map(\.kind) == [.nodeBehind])
        let report = ReplayReport(
            files: ["a", "b"], script: try Replay.script(of: pair), incidents: incidents)
        #expect(report.critical == 0 && report.warning == 1 && report.kinds == ["link-behind": 1])
    }

    @Test("takes a hole of heights for a recorder that was off, and no shorter one")
    func recorderOff() throws {
        let hole = Self.lines(100..<150) + Self.lines(157..<200)
        let script = try Replay.script(of: [Self.file("a", hole)])
        #expect(script.episodes.count == 2)
        #expect(Replay.incidents(in: script, configuration: Watchdog.Configuration()).isEmpty)
        let lost = Self.lines(100..<150) + Self.lines(155..<200)
        #expect(try Replay.script(of: [Self.file("a", lost)]).episodes.count == 1)
        // While another recorder was on, the daemon went on, and the link was closed.
        let both = try Replay.script(of: [Self.file("a", hole), Self.file("b", Self.lines(100..<200))])
        #expect(both.episodes.count == 1)
        #expect(Replay.incidents(in: both, configuration: Watchdog.Configuration()).isEmpty)
    }

    @Test(
        "names the file and the line of what it cannot read",
        arguments: [
            ("1,2\n", 1, "not height,hash,milliseconds"), ("\n\nx,00,1\n", 3, "not a height: x"),
            ("4294967295,00,1", 1, "not a height"), ("7,00,1", 1, "not a block hash"),
            ("7,\(String(repeating: "0", count: 64)),1", 1, "not a time"), ("", 0, "there is no arrival in it"),
            (#"{"at":1700000000000,"event":"closed","subject":"a"}"# + "\n{\n", 2, "not a JSON value"),
            (
                #"{"at":1700000000001,"event":"started"}"# + "\n"
                    + #"{"at":1700000000000,"event":"closed","subject":"a"}"#,
                2, "earlier than the line before"
            ),
        ])
    func refusals(text: String, line: Int, what: String) {
        let error = #expect(throws: ReplayError.self) { _ = try Replay.script(of: [Self.file("name", text)]) }
        #expect(error?.line == line && error?.file == "name")
        #expect(error?.what.contains(what) == true, "\(error?.what ?? "")")
    }

    @Test("refuses the same file twice, and a node that is not among the files")
    func options() {
        let file = Self.file("a", Self.lines(1..<5))
        #expect(throws: ReplayError.self) { _ = try Replay.script(of: [file, file]) }
        #expect(throws: ReplayError.self) { _ = try Replay.script(of: [file], node: "b") }
    }

    @Test("a recording of what it observed gives the same incidents")
    func recording() throws {
        let silent = Self.lines(100..<150) + Self.lines(150..<200) { _ in 12_000_000 }
        let script = try Replay.script(of: [Self.file("a", silent)])
        var text = try ObservationLine.started(WallClockTime(milliseconds: Self.start)).text + "\n"
        for observation in script.episodes.flatMap(\.observations) {
            text += try ObservationLine.observation(observation).text + "\n"
        }
        let again = try Replay.script(of: [Self.file("a.jsonl", text)])
        #expect(again.episodes == script.episodes)
        #expect(
            Replay.incidents(in: again, configuration: Watchdog.Configuration())
                == Replay.incidents(in: script, configuration: Watchdog.Configuration()))
    }

    @Test("replays a recording with the configuration of its daemon, unless told another grace")
    func recordedConfiguration() throws {
        let late = Self.lines(100..<200) { $0 == 150 ? 50_000 : 0 }
        let script = try Replay.script(of: [Self.file("a", late), Self.file("b", Self.lines(100..<200))])
        func kinds(_ configuration: Watchdog.Configuration?, grace: Duration? = nil) throws -> [Incident.Kind] {
            var text = try ObservationLine.started(WallClockTime(milliseconds: Self.start), configuration).text + "\n"
            for observation in script.episodes.flatMap(\.observations) {
                text += try ObservationLine.observation(observation).text + "\n"
            }
            let again = try Replay.script(of: [Self.file("a.jsonl", text)])
            return Replay.incidents(in: again, grace: grace).map(\.kind)
        }
        #expect(try kinds(nil) == [.linkBehind])
        #expect(try kinds(Watchdog.Configuration(grace: .seconds(60))).isEmpty)
        #expect(try kinds(Watchdog.Configuration(grace: .seconds(60)), grace: .seconds(40)) == [.linkBehind])
        // Where blocks come by hand, nothing is concluded from silence.
        let silent = Self.lines(100..<150) + Self.lines(150..<200) { _ in 12_000_000 }
        var text =
            try ObservationLine.started(
                WallClockTime(milliseconds: Self.start), Watchdog.Configuration(expectedInterval: nil),
                network: .regtest
            ).text + "\n"
        for observation in try Replay.script(of: [Self.file("a", silent)]).episodes.flatMap(\.observations) {
            text += try ObservationLine.observation(observation).text + "\n"
        }
        #expect(Replay.incidents(in: try Replay.script(of: [Self.file("a.jsonl", text)])).isEmpty)
    }

    @Test("names a last line that was cut off, and replays the others")
    func tornLine() throws {
        let whole = #"{"at":1700000000000,"event":"closed","subject":"a"}"# + "\n"
        let script = try Replay.script(of: [Self.file("a.jsonl", whole + #"{"at":17000"#)])
        #expect(script.torn.map(\.description) == ["a.jsonl, line 2: not a JSON value"])
        #expect(script.episodes.map(\.observations.count) == [1])
        #expect(ReplayReport(files: [], script: script, incidents: []).torn.count == 1)
        #expect(try Replay.script(of: [Self.file("a.jsonl", whole)]).torn.isEmpty)
    }

    @Test("notices every injected attack, sooner beside an honest link, and repeats itself from a seed")
    func injection() throws {
        var random = SeededRandom(seed: 5)
        var time = Self.start
        let lines = (1...1200).map { height in
            time += Int64.random(in: 1000...1_199_000, using: &random)
            return "\(height),\(Self.hash(height)),\(time)\n"
        }
        let injection = try Injection(
            files: [Self.file("a", lines.joined())], configuration: Watchdog.Configuration())
        for attack in Injection.Attack.allCases {
            let alone = injection.run(attack, moments: 5, seed: 3, besideHonestLink: false)
            let beside = injection.run(attack, moments: 5, seed: 3, besideHonestLink: true)
            #expect(alone == injection.run(attack, moments: 5, seed: 3, besideHonestLink: false))
            #expect(alone.allSatisfy { $0.noticed != nil } && beside.allSatisfy { $0.noticed != nil }, "\(attack)")
            let report = InjectionReport(attack, besideHonestLink: true, seed: 3, outcomes: beside)
            #expect(report.noticed == 5 && (report.secondsToNotice?.maximum ?? .infinity) < 1300, "\(attack)")
        }
        #expect(throws: ReplayError.self) {
            _ = try Injection(files: [Self.file("a", Self.lines(1..<100))], configuration: Watchdog.Configuration())
        }
    }
}
