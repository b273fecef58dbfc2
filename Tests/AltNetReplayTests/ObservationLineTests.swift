// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetReplay
import AltNetWatchdog
import Testing

@Suite("ObservationLine")
struct ObservationLineTests {
    private static let header = Network.regtest.genesis
    private static let point = ChainPoint(hash: header.hash, height: 7, work: Work(1, 2, 3, 4))
    private static let link = Subject("lightning 03ab \"ö\"")
    private static let facts = LinkFacts(
        driver: "lightning", isTarget: true, operatorKey: "03ab", networkGroup: "onion", exposure: "node key")

    static let events: [Observation.Event] = [
        .proved(header, point, by: link), .best(point), .shows(link, point), .shows(.node, nil), .opened(link, facts),
        .closed(link), .blockBrought(header.hash, by: link, took: .milliseconds(1500)),
        .blockWithheld(header.hash, by: link, why: "timed out"),
        .node(NodeFacts(reach: .reachable, isSyncing: true, blocks: 1, headers: 2)),
        .node(NodeFacts(reach: .unreachable("why"), isSyncing: false, blocks: 1, headers: 2)),
        .node(NodeFacts(reach: .refused("401"), isSyncing: false, blocks: 1, headers: 2)),
        .node(NodeFacts(reach: .wrongNetwork("test"), isSyncing: false, blocks: 1, headers: 2)),
        .clock(link, offset: .seconds(-3)),
        .nodePeers([
            NodePeerFacts(address: "[::1]:1", networkGroup: "local", isInbound: true, clockOffset: .seconds(9))
        ]), .nodePeers([]), .nodeRefuses(point, branchLength: 3, isHeaderValidForUs: true),
    ]

    @Test("gives back every event that was written", arguments: events)
    func roundTrip(event: Observation.Event) throws {
        let line = ObservationLine.observation(Observation(at: WallClockTime(milliseconds: 1_700_000_000_123), event))
        let text = try line.text
        #expect(!text.contains("\n"))
        #expect(try ObservationLine(Array(text.utf8), file: "f", number: 1) == line)
    }

    @Test("has one form, which later versions read")
    func form() throws {
        let at = WallClockTime(milliseconds: 1_700_000_000_000)
        #expect(try ObservationLine.started(at).text == #"{"at":1700000000000,"event":"started"}"#)
        #expect(
            try ObservationLine.observation(Observation(at: at, .clock(Subject("bitcoin a"), offset: .seconds(2)))).text
                == #"{"at":1700000000000,"event":"clock","offset":2000,"subject":"bitcoin a"}"#)
    }

    @Test(
        "gives back with what configuration a daemon started, and reads lines without one",
        arguments: [
            nil, Watchdog.Configuration(), Watchdog.Configuration(expectedInterval: nil),
            Watchdog.Configuration(
                grace: .milliseconds(1), blockGrace: .zero, lateMargin: .seconds(7), expectedInterval: .seconds(5)),
        ])
    func started(configuration: Watchdog.Configuration?) throws {
        let at = WallClockTime(milliseconds: 1_700_000_000_000)
        for network in [nil, Network.main, .regtest] {
            let line = ObservationLine.started(at, configuration, network: network)
            #expect(try ObservationLine(Array(try line.text.utf8), file: "f", number: 1) == line)
        }
        let few = #"{"at":1700000000000,"event":"started","grace":5000}"#
        #expect(
            try ObservationLine(Array(few.utf8), file: "f", number: 1)
                == .started(at, Watchdog.Configuration(grace: .seconds(5))))
    }

    @Test(
        "refuses by name and line what it does not know",
        arguments: [
            ("{", "not a JSON value"), (#"{"at":1700000000000,"event":"eclipsed"}"#, "unknown event eclipsed"),
            (#"{"at":1700000000000,"event":"closed","subject":"a","extra":1}"#, "unknown key extra"),
            (#"{"at":1700000000000,"event":"closed"}"#, "subject is missing"),
            (#"{"at":"now","event":"closed","subject":"a"}"#, "at is of the wrong type"),
            (#"{"at":5,"event":"closed","subject":"a"}"#, "at is not a time"),
            (
                #"{"at":1700000000000,"event":"block-withheld","by":"a","hash":"00","why":""}"#,
                "hash is not a block hash"
            ),
            (#"{"at":1700000000000,"event":"clock","subject":"a","offset":-9223372036854775808}"#, "not a duration"),
            (
                #"{"at":1700000000000,"event":"node","reach":"far","isSyncing":false,"blocks":1,"headers":1}"#,
                "unknown reach far"
            ),
            ("[1]", "of the wrong type"),
            (#"{"at":1700000000000,"event":"started","grace":-1}"#, "grace is negative"),
            (#"{"at":1700000000000,"event":"started","lateMargin":1}"#, "lateMargin without grace"),
            (#"{"at":1700000000000,"event":"started","grace":1,"expectedInterval":0}"#, "expectedInterval is zero"),
            (#"{"at":1700000000000,"event":"started","network":"moon"}"#, "unknown network moon"),
        ])
    func refusals(text: String, what: String) {
        let error = #expect(throws: ReplayError.self) {
            _ = try ObservationLine(Array(text.utf8), file: "day.jsonl", number: 12)
        }
        #expect(error?.description.hasPrefix("day.jsonl, line 12: ") == true)
        #expect(error?.what.contains(what) == true, "\(error?.what ?? "")")
    }
}
