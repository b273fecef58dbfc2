// SPDX-License-Identifier: MIT

import AltNetBase
import Foundation
import Testing

@testable import AltNetAlerts

@Suite("Messages and their JSON")
struct MessageTests {
    @Test("a message survives its JSON, to the millisecond", arguments: 0..<200 as Range<UInt64>)
    func roundTrip(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let time = WallClockTime(milliseconds: Int64.random(in: 1_231_006_505_000...4_102_444_800_000, using: &random))
        let event = AlertMessage.Event.allCases.randomElement(using: &random) ?? .test
        let message = Sample.message(
            event, incident: Int64(seed), subject: "lightning “ü” \\ \"", at: time,
            measures: [AlertMessage.Measure(name: "probability", value: 1.2e-7, unit: "")])
        #expect(AlertBody.decode(AlertBody.json(AlertBody(message, missed: 3))) == message, "seed \(seed)")
    }

    @Test("the JSON has the documented fields")
    func fields() throws {
        let bytes = AlertBatch([Sample.message(.closed, number: 9)], missed: 2).json(now: Sample.opened)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
        #expect(
            Set(object.keys) == [
                "version", "type", "id", "timestamp", "node", "network", "number", "missed", "incident",
            ])
        #expect(object["version"] as? Int == 1)
        #expect(object["type"] as? String == "altnet.incident.closed")
        #expect(object["timestamp"] as? String == "2025-11-21T10:46:40.123Z")
        #expect(object["missed"] as? Int == 2)
        let incident = try #require(object["incident"] as? [String: Any])
        #expect(
            Set(incident.keys) == [
                "id", "kind", "severity", "subject", "explanation", "since", "opened", "closed", "ending", "measures",
                "actions",
            ])
        let document = try String(contentsOfFile: "docs/alerts.md", encoding: .utf8)
        for key in Set(object.keys).union(incident.keys) { #expect(document.contains("`\(key)`"), "\(key)") }
    }

    @Test("a digest holds the messages")
    func digest() throws {
        let batch = AlertBatch([Sample.message(), Sample.message(incident: 18)], missed: 0)
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(batch.json(now: Sample.opened))) as? [String: Any])
        #expect(object["type"] as? String == "altnet.digest")
        let messages = try #require(object["messages"] as? [[String: Any]])
        #expect(messages.map { $0["id"] as? String } == batch.messages.map(\.id))
        #expect(batch.id == AlertBatch(batch.messages, missed: 5).id)
        #expect(batch.id != AlertBatch([Sample.message(), Sample.message(incident: 19)], missed: 0).id)
    }

    @Test("texts of others are cleaned and cut, and a full message stays below 20 kB")
    func bounds() {
        let long = String(repeating: "\u{1b}[2Jé\r\n", count: 5_000)
        let message = AlertMessage(
            node: long, network: "main", event: .updated, number: 1, at: Sample.opened, incident: 1, kind: long,
            severity: .warning, subject: long, explanation: long, since: Sample.opened, opened: Sample.opened,
            measures: (0..<100).map { AlertMessage.Measure(name: long, value: Double($0), unit: long) }
                + [AlertMessage.Measure(name: "x", value: .nan, unit: "")],
            actions: (0..<100).map { _ in
                AlertMessage.Action(at: Sample.opened, action: long, outcome: long, detail: long)
            })
        let json = AlertBody.json(AlertBody(message, missed: nil))
        #expect(json.count < 20_000)
        #expect(!json.contains { $0 < 0x20 })
        #expect(message.measures.count == AlertMessage.maximumMeasures)
        #expect(
            message.id.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                    || byte == 0x2d || byte == 0x5f
            })
    }

    @Test("a measure that is no number is left out")
    func notANumber() {
        let message = Sample.message(measures: [
            AlertMessage.Measure(name: "a", value: .infinity, unit: ""),
            AlertMessage.Measure(name: "b", value: 1, unit: ""),
        ])
        #expect(message.measures.map(\.name) == ["b"])
    }

    @Test(
        "settings that cannot work are refused",
        arguments: [
            "", "example.org", "ftp://example.org/", "http://example.org/", "http://127.0.0.1.example.org/",
            "https://user:word@example.org/", "https://example.org/#x", "https://exa mple.org/", "http://10.0.0.1/",
            "http://127.1/",
        ])
    func badURLs(url: String) {
        #expect(throws: AlertError.self) { try AlertSink.Webhook(url: url, secretFile: "/k") }
    }

    @Test(
        "settings that work are taken",
        arguments: [
            "https://example.org/hook?a=b", "http://127.0.0.1:8080/", "http://localhost/", "http://[::1]:80/",
            "http://127.3.2.1/",
        ])
    func goodURLs(url: String) throws {
        _ = try AlertSink.Webhook(url: url, secretFile: "/k")
        _ = try AlertSink.Webhook(url: "http://example.org/", secretFile: "/k", allowPlain: true)
    }

    @Test("a program is an absolute path, and a proxy a host and a port")
    func otherSettings() throws {
        #expect(throws: AlertError.self) { try AlertSink.Command([]) }
        #expect(throws: AlertError.self) { try AlertSink.Command(["notify"]) }
        #expect(throws: AlertError.self) { try AlertSink.Command(["/bin/true", "a\0b"]) }
        #expect(throws: AlertError.self) { try AlertSink.Command(["/bin/true"], timeout: .zero) }
        #expect(throws: AlertError.self) { try ProxyAddress("127.0.0.1") }
        #expect(throws: AlertError.self) { try ProxyAddress(":9050") }
        #expect(try ProxyAddress("[::1]:9050").host == "::1")
    }
}
