// SPDX-License-Identifier: MIT

import AltNetControl
import ArgumentParser
import Testing

@testable import AltNetCommands

@Suite("Commands that have a driver do something")
struct OperationCommandTests {
    private static let good = "03" + String(repeating: "aB", count: 32)

    private static let place = "direct:127.0.0.1:9735"

    @Test("a path is read in lower case, and its bad node is named")
    func path() throws {
        #expect(try NodeIDText.path("\(Self.good),\(Self.good)") == Array(repeating: Self.good.lowercased(), count: 2))
        let bad = [
            "", "xyz", String(Self.good.dropLast()), Self.good + "0", "04" + Self.good.dropFirst(2),
            "03" + String(repeating: "g", count: 64), Self.good + " ", "03" + String(repeating: "é", count: 32),
        ]
        for node in bad {
            #expect { try NodeIDText.path("\(Self.good),\(node),\(Self.good)") } throws: {
                "\($0)".contains("node 2 of --path")
            }
        }
        #expect(throws: ValidationError.self) { try NodeIDText.path("") }
        #expect(throws: ValidationError.self) { try NodeIDText.peer("03") }
    }

    @Test(
        "what is mistyped is refused before anybody is asked",
        arguments: [
            ["message", "ping"], ["message", "ping", "--path", "x"],
            ["message", "ping", "--path", Self.good, "--timeout", "0"],
            ["message", "ping", "--path", Self.good, "--over", "air"],
            ["message", "send", "--path", Self.good],
            ["message", "send", "--path", Self.good, "--text", "a", "--transaction", "00"],
            ["alt-addr", "send", "x"], ["alt-addr", "clear"],
            ["punch", Self.place, "--clearnet", "nowhere"], ["punch", Self.place, "--clearnet", "192.0.2.1:8333"],
            ["punch", Self.place, "--clearnet", "192.0.2.1", "--clearnet", "192.0.2.2"],
        ])
    func mistakes(arguments: [String]) {
        #expect(throws: (any Error).self) { try ControlCommand.parseAsRoot(arguments) }
    }

    @Test("what is typed right is taken")
    func right() throws {
        for arguments in [
            ["message", "ping", "--path", Self.good, "--over", "onion", "--timeout", "5", "--driver", "x", "--json"],
            ["message", "send", "--path", Self.good, "--text", "a"], ["message", "received"],
            ["alt-addr", "send", Self.good], ["alt-addr", "send"], ["alt-addr", "clear", Self.good],
            ["punch", Self.place, "--clearnet", "2001:db8::1", "--clearnet", "192.0.2.1"], ["punch", Self.place],
        ] {
            #expect(throws: Never.self) { try ControlCommand.parseAsRoot(arguments) }
        }
    }

    @Test("the driver is the one that can do it, and otherwise the operator says which")
    func choice() throws {
        func driver(_ name: String, _ operations: [String]) -> DriverReport {
            var report = DriverReport(
                name: name, program: "", state: "attached", restarts: 0, messagesPerSecond: 1, bytesPerSecond: 1)
            report.operations = operations
            return report
        }
        let drivers = [driver("b", ["do", "see"]), driver("a", ["do"]), driver("c", [])]
        #expect(try OperationOptions.choose(among: drivers, for: "see") == "b")
        #expect { try OperationOptions.choose(among: drivers, for: "do") } throws: { "\($0)".contains("a, b") }
        #expect { try OperationOptions.choose(among: drivers, for: "fly") } throws: { "\($0)".contains("fly") }
    }

    @Test("a transaction is read from digits, from a file of digits, and from a file of bytes")
    func transaction() throws {
        #expect(try MessageCommand.Send.transaction("00FF") == "00ff")
        #expect(throws: ValidationError.self) { try MessageCommand.Send.transaction("/nowhere/at/all") }
        #expect(throws: ValidationError.self) { try MessageCommand.Send.transaction("00f") }
    }

    @Test("text that others chose cannot move the cursor")
    func untrusted() {
        let escape = "\u{1b}[2J\nforged"
        let tables = [
            MessageCommand.Received.table(
                ReceivedMessagesReport(messages: [
                    .init(receivedAt: escape, over: escape, neighbour: escape, text: escape)
                ])),
            MessageCommand.Ping.table(
                PathPingReport(hops: [.init(node: escape, milliseconds: nil, failure: escape)])),
            AlternativeAddressCommand.List.table(
                GivenAddressesReport(given: [
                    .init(
                        peer: escape, channelID: escape, address: escape, endpoint: escape, since: escape, until: escape
                    )
                ])),
            AlternativeAddressCommand.Received.table(
                ReceivedAddressesReport(received: [
                    .init(
                        peer: escape, address: escape, receivedAt: escape, validatedAt: escape, lastFailureAt: escape)
                ])),
        ]
        for table in tables {
            #expect(!table.contains("\u{1b}"))
            #expect(table.split(separator: "\n").count == 2)
        }
        #expect(!SentText.of(SentAddressesReport(sent: [escape], waiting: [])).contains("\u{1b}"))
    }

    @Test(
        "times are rounded to a tenth of a millisecond",
        arguments: [(12.34, "12.3 ms"), (0, "0.0 ms"), (99.96, "100.0 ms"), (.nan, "?"), (-1, "?"), (.infinity, "?")]
            as [(Double, String)])
    func times(value: Double, text: String) {
        #expect(Milliseconds.text(value) == text)
    }
}
