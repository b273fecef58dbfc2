// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import Testing

@Suite("Operations of drivers", .serialized, .enabled(if: PythonTools.isInstalled, PythonTools.missing))
struct OperationTests {
    private static let nodes = (0..<3).map { "02" + String(repeating: "\($0)", count: 64) }

    /// A daemon with a driver that answers operations as it is told.
    private static func daemon(_ answers: String, behaviour: String = "good") async throws -> DaemonProcess {
        let daemon = try await DaemonProcess.start(settings: ["drivers.bitcoin.connect": ""])
        try await Self.attach("messages", answers, behaviour: behaviour, to: daemon)
        return daemon
    }

    private static func attach(
        _ name: String, _ answers: String, behaviour: String = "good", to daemon: DaemonProcess
    ) async throws {
        _ = try await daemon.control.attach(
            AttachRequest(
                name: name, program: PythonTools.tool("bad-driver"),
                settings: ["settings.behaviour": behaviour, "settings.answers": answers]))
        try await Condition.wait("\(name) is attached") {
            try await daemon.control.drivers().contains { $0.name == name && $0.state == "attached" }
        }
    }

    private static func altnet(_ arguments: [String], _ daemon: DaemonProcess) async throws -> Programs.Result {
        try await Programs.run(
            "altnet", arguments + ["--network", "regtest", "--data-directory", daemon.dataDirectory])
    }

    @Test("a ping shows the round trip of each hop, and fails when one did not answer")
    func ping() async throws {
        let nodes = Self.nodes
        let daemon = try await Self.daemon(
            #"{"message.ping":{"hops":[{"node":"\#(nodes[0])","milliseconds":12.34},"#
                + #"{"node":"\#(nodes[1])","failure":"no answer in time"}]}}"#)
        let path = nodes.prefix(2).joined(separator: ",").uppercased()
        let text = try await Self.altnet(["message", "ping", "--path", path], daemon)
        #expect(text.status == 1)
        #expect(
            text.output == """
                HOP  NODE           ROUND TRIP
                1    \(nodes[0].prefix(12))…  12.3 ms
                2    \(nodes[1].prefix(12))…  no answer in time

                """, "\(text.errors)")
        let json = try await Self.altnet(["message", "ping", "--path", path, "--json"], daemon)
        let report = try JSONDecoder().decode(PathPingReport.self, from: Data(json.output.utf8))
        #expect(report.hops.map(\.node) == Array(nodes.prefix(2)))
        // What was asked reached the driver as the contract has it.
        let asked = try await Self.post(
            #"{"path":["\#(nodes[0])"],"over":"onion","timeoutSeconds":5}"#, "message.ping", to: daemon)
        #expect(asked.contains(#""over": "onion""#))
    }

    /// Asks over HTTP, as a program would; the body of the answer.
    private static func post(_ body: String, _ operation: String, to daemon: DaemonProcess) async throws -> String {
        try await Programs.run(
            "/usr/bin/curl",
            [
                "--silent", "--max-time", "30", "--unix-socket", "\(daemon.dataDirectory)/regtest/run/control.sock",
                "--data", body, "--header", "Content-Type: application/json",
                "http://altnetd/v1/drivers/messages/operations/\(operation)",
            ]
        ).output
    }

    @Test("a text and a transaction reach the driver, and what it says comes back")
    func send() async throws {
        let daemon = try await Self.daemon(#"{"message.send":{"milliseconds":250.04}}"#)
        let path = Self.nodes.joined(separator: ",")
        let text = try await Self.altnet(["message", "send", "--path", path, "--text", "hello"], daemon)
        #expect(text.output == "the last node has it, after 250.0 ms\n", "\(text.errors)")
        let file = TemporaryDirectory.make() + "/transaction"
        try "02 00\n ff\n".write(toFile: file, atomically: false, encoding: .utf8)
        let transaction = try await Self.altnet(
            ["message", "send", "--path", path, "--transaction", file, "--over", "onion"], daemon)
        #expect(transaction.status == 0, "\(transaction.errors)")
        // Nothing of it stands in a log.
        #expect(!daemon.log.contains("hello"))
        #expect(!daemon.log.contains(Self.nodes[1]))
    }

    @Test("alternative addresses are shown to whoever asks, and logged nowhere")
    func addresses() async throws {
        let peer = Self.nodes[0]
        let daemon = try await Self.daemon(
            #"{"alt-addr.list":{"given":[{"peer":"\#(peer)","channelID":"00","address":"198.51.100.7:9735","#
                + #""endpoint":"lan","since":"2026-01-01T00:00:00Z"}]},"#
                + #""alt-addr.received":{"received":[{"peer":"\#(peer)","address":"198.51.100.8:9735","#
                + #""receivedAt":"2026-01-01T00:00:00Z","validatedAt":"2026-01-02T00:00:00Z"}]},"#
                + #""alt-addr.send":{"sent":["\#(peer)"],"waiting":[]},"alt-addr.clear":{"sent":[],"waiting":["\#(peer)"]}}"#
        )
        #expect(try await Self.altnet(["alt-addr", "list"], daemon).output.contains("198.51.100.7:9735  lan"))
        #expect(try await Self.altnet(["alt-addr", "received"], daemon).output.contains("198.51.100.8:9735"))
        #expect(try await Self.altnet(["alt-addr", "send"], daemon).output == "told    \(peer)\n")
        #expect(try await Self.altnet(["alt-addr", "clear", peer], daemon).output == "waiting \(peer)\n")
        #expect(!daemon.log.contains("198.51.100"))
    }

    @Test("which driver is asked is found out, or said when it is not clear")
    func choice() async throws {
        let daemon = try await Self.daemon(#"{"message.received":{"messages":[]}}"#)
        #expect(try await Self.altnet(["message", "received"], daemon).output == "no texts\n")
        let none = try await Self.altnet(["alt-addr", "list"], daemon)
        #expect(none.errors.contains("no attached driver can do alt-addr.list"))
        try await Self.attach("other", #"{"message.received":{"messages":[]}}"#, to: daemon)
        let both = try await Self.altnet(["message", "received"], daemon)
        #expect(both.errors.contains("the drivers messages, other can do that; say which one with --driver"))
        #expect(try await Self.altnet(["message", "received", "--driver", "other"], daemon).status == 0)
        let unable = try await Self.altnet(["message", "received", "--driver", "bitcoin"], daemon)
        #expect(unable.status == 1)
    }

    @Test("a failure is the driver's sentence; a driver that ends meanwhile is said; a result out of form ends it")
    func failures() async throws {
        let daemon = try await Self.daemon(#"{"message.received":"the far\u0007 node is gone","never":null}"#)
        let failed = try await Self.altnet(["message", "received"], daemon)
        #expect(failed.errors == "error: the far? node is gone\n")
        #expect(try await Self.post("{}", "other", to: daemon).contains("has no operation other"))
        #expect(try await Self.post("[]", "never", to: daemon).contains("takes a JSON object"))
        async let never = Self.post("{}", "never", to: daemon)
        // Other questions are answered while this one waits.
        for _ in 0..<20 { _ = try await daemon.control.status() }
        try await Condition.wait("the driver is asked") { daemon.log.contains("asked for never") }
        try await daemon.control.detach("messages")
        let answer = try await never
        #expect(answer.contains("ended before it gave a result"), "\(answer)")
        for (behaviour, reason) in [("operation-array", "not a JSON object"), ("operation-crash", "status 3")] {
            try await Self.attach("messages", "{}", behaviour: behaviour, to: daemon)
            #expect(try await Self.post("{}", "do", to: daemon).contains("ended before it gave a result"))
            let report = try await Condition.value("it is restarted") {
                try await daemon.control.drivers().first { $0.name == "messages" && $0.state == "restarting" }
            }
            #expect(report.reason?.contains(reason) == true, "\(report.reason ?? "")")
            try await daemon.control.detach("messages")
        }
        #expect(try await daemon.stop() == 0)
    }
}
