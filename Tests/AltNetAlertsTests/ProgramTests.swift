// SPDX-License-Identifier: MIT

import AltNetBase
import Foundation
import Glibc
import Testing

@testable import AltNetAlerts

@Suite("Commands and mail")
struct ProgramTests {
    private let directory = TemporaryDirectory()

    private func command(_ script: String, limit: Duration = .seconds(30)) throws -> CommandSender {
        CommandSender(try AlertSink.Command([script, "a b", "$HOME;"], timeout: limit))
    }

    @Test("a program gets the JSON, its arguments as they are, and none of our settings")
    func runs() async throws {
        setenv("ALTNET_TEST_SECRET", "x", 1)
        defer { unsetenv("ALTNET_TEST_SECRET") }
        let script = try self.directory.script(
            "notify",
            "cat > \(self.directory.path)/in; printf '%s|' \"$@\" > \(self.directory.path)/arguments; env > \(self.directory.path)/env"
        )
        let batch = AlertBatch([Sample.message()], missed: 0)
        #expect(try await self.command(script).deliver(batch) == .delivered("exit status 0"))
        #expect(AlertBody.decode(Array(self.directory.read("in").utf8)) == batch.messages[0])
        #expect(self.directory.read("arguments") == "a b|$HOME;|")
        #expect(!self.directory.read("env").contains("ALTNET"))
        #expect(self.directory.read("env").contains("PATH="))
    }

    @Test("the last words of a program that fails are told, cleaned and cut")
    func fails() async throws {
        let script = try self.directory.script("fail", "cat > /dev/null; echo one; printf 'two\\033[2J\\n' >&2; exit 3")
        #expect(
            try await self.command(script).deliver(AlertBatch([Sample.message()], missed: 0))
                == .failed("exit status 3: two?[2J"))
        let missing = CommandSender(try AlertSink.Command([self.directory.path + "/none"]))
        guard case .failed(let reason, nil) = await missing.deliver(AlertBatch([Sample.message()], missed: 0)) else {
            Issue.record("started what is not there")
            return
        }
        #expect(reason.contains("cannot be started"))
    }

    @Test("a program that reads nothing is judged by its exit status, however much there is to read")
    func readsNothing() async throws {
        let many = AlertBatch(
            (0..<50).map { Sample.message(incident: $0, explanation: String(repeating: "x", count: 1000)) }, missed: 0)
        #expect(
            try await self.command(try self.directory.script("deaf", "exit 0")).deliver(many)
                == .delivered("exit status 0"))
    }

    @Test("a program that writes without end is ended at its time limit, and its words are not kept")
    func writesWithoutEnd() async throws {
        let script = try self.directory.script("talk", "exec yes")
        let began = ContinuousClock.now
        #expect(
            try await self.command(script, limit: .seconds(1)).deliver(AlertBatch([Sample.message()], missed: 0))
                == .failed("took too long and was killed"))
        #expect(ContinuousClock.now - began < .seconds(60))
    }

    @Test("at the time limit its children end too, even those that do not listen to signals")
    func stubbornChildren() async throws {
        let script = try self.directory.script(
            "stubborn",
            """
            trap '' TERM INT HUP
            (trap '' TERM INT HUP; echo $BASHPID > \(self.directory.path)/child; while true; do sleep 1; done) &
            echo $$ > \(self.directory.path)/parent
            while true; do sleep 1; done
            """)
        #expect(
            try await self.command(script, limit: .seconds(2)).deliver(AlertBatch([Sample.message()], missed: 0))
                == .failed("took too long and was killed"))
        for name in ["parent", "child"] {
            let id = try #require(Int32(self.directory.read(name).trimmingCharacters(in: .whitespacesAndNewlines)))
            try await Wait.until("the \(name) is gone") { kill(id, 0) != 0 || Self.isZombie(id) }
        }
    }

    /// Whose parent has not asked for its status: whoever runs the tests in a container may never do so.
    private static func isZombie(_ id: Int32) -> Bool {
        let status = (try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8)) ?? ""
        return status.split(separator: ")").last?.hasPrefix(" Z") ?? true
    }

    @Test("a child that lives on does not hold the alert back")
    func background() async throws {
        let script = try self.directory.script("fork", "cat > /dev/null; sleep 120 & exit 0")
        let began = ContinuousClock.now
        #expect(
            try await self.command(script).deliver(AlertBatch([Sample.message()], missed: 0))
                == .delivered("exit status 0"))
        #expect(ContinuousClock.now - began < .seconds(60))
    }

    private func mail(_ batch: AlertBatch, exit: Int = 0, from: String = "altnet@example.org") async throws
        -> DeliveryResult
    {
        let script = try self.directory.script(
            "sendmail",
            "printf '%s|' \"$@\" > \(self.directory.path)/arguments; cat > \(self.directory.path)/mail; exit \(exit)")
        return await MailSender(
            try AlertSink.Email(from: from, to: ["alice@example.org", "root@localhost"], program: script)
        ).deliver(batch)
    }

    /// What Python's parser finds in the mail: an independent reading.
    private func parsed() async throws -> [String: String] {
        let script = try self.directory.file(
            "parse.py",
            """
            import email, email.policy, json, sys
            m = email.message_from_bytes(open(sys.argv[1], "rb").read(), policy=email.policy.default)
            out = {k.lower(): str(v) for k, v in m.items()}
            out["defects"] = str(m.defects + [d for v in m.values() for d in v.defects])
            out["count"] = str(len(m.items()))
            out["text"] = m.get_content()
            json.dump(out, open(sys.argv[2], "w"))
            """)
        let ending = await ProgramRun.run(
            ["/usr/bin/env", "python3", script, self.directory.path + "/mail", self.directory.path + "/parsed"],
            input: [], limit: .seconds(30))
        #expect(ending.failure == nil)
        return try JSONDecoder().decode([String: String].self, from: Data(self.directory.read("parsed").utf8))
    }

    @Test("a mail is one that other programs understand")
    func mailForm() async throws {
        let message = Sample.message(subject: "Knoten „ä“ 🔗", explanation: "Der Knoten fehlt 3 Blöcke.\n.\nEnde")
        #expect(
            try await self.mail(AlertBatch([message], missed: 2))
                == .delivered("given to \(self.directory.path)/sendmail"))
        #expect(self.directory.read("arguments") == "-i|--|alice@example.org|root@localhost|")
        let mail = try await self.parsed()
        #expect(mail["defects"] == "[]")
        #expect(mail["from"] == "AltNet <altnet@example.org>")
        #expect(mail["to"] == "alice@example.org, root@localhost")
        #expect(mail["subject"] == "[AltNet alice main] CRITICAL: node-behind, Knoten „ä“ 🔗")
        #expect(mail["message-id"] == "<\(message.thread)@example.org>")
        #expect(mail["in-reply-to"] == nil)
        #expect(mail["auto-submitted"] == "auto-generated")
        #expect(mail["importance"] == "high")
        #expect(mail["text"]?.contains("Der Knoten fehlt 3 Blöcke. . Ende") == true)
        #expect(mail["text"]?.hasPrefix("2 earlier alerts could not be delivered here.") == true)
        let raw = self.directory.read("mail")
        #expect(raw.utf8.allSatisfy { $0 < 0x80 })
        #expect(raw.split(separator: "\n").allSatisfy { $0.utf8.count <= 200 })
    }

    @Test("later mails of an incident answer the first one")
    func threads() async throws {
        let opened = Sample.message(.opened, number: 1)
        let closed = Sample.message(.closed, number: 5)
        _ = try await self.mail(AlertBatch([opened], missed: 0))
        let first = try await self.parsed()
        _ = try await self.mail(AlertBatch([closed], missed: 0))
        let last = try await self.parsed()
        #expect(last["in-reply-to"] == first["message-id"])
        #expect(last["references"] == first["message-id"])
        #expect(last["message-id"] != first["message-id"])
    }

    @Test(
        "nobody can add a header",
        arguments: [
            "\r\nBcc: eve@example.org", "\nBcc: eve@example.org\n\nbody", "\u{2028}Bcc: e@e", "\u{85}Bcc: e@e",
            "\rBcc: e@e",
        ])
    func injection(text: String) async throws {
        let message = AlertMessage(
            node: "alice" + text, network: "main" + text, event: .opened, number: 1, at: Sample.opened, incident: 1,
            kind: "link-behind" + text, severity: .critical, subject: "lightning ü" + text,
            explanation: "It is behind." + text, since: Sample.opened, opened: Sample.opened)
        _ = try await self.mail(AlertBatch([message], missed: 0))
        let mail = try await self.parsed()
        #expect(mail["bcc"] == nil)
        #expect(mail["count"] == "10")
        #expect(mail["defects"] == "[]")
        #expect(throws: AlertError.self) { try AlertSink.Email(from: "a@b" + text, to: ["a@b"]) }
        #expect(throws: AlertError.self) { try AlertSink.Email(from: "a@b", to: ["a@b" + text]) }
    }

    @Test(
        "addresses",
        arguments: [
            ("alice@example.org", true), ("root", true), ("a+b.c@x-y.example", true), ("", false), ("-oQ/tmp", false),
            ("a b@c", false), ("a@b@c", false), ("@b", false), ("a@", false), ("a@b,c@d", false), ("<a@b>", false),
            ("\"a\"@b", false),
        ])
    func addresses(text: String, isGood: Bool) {
        #expect(MailMessage.isAddress(text) == isGood)
    }

    @Test(
        "what sendmail's exit status means",
        arguments: [(75, false), (1, false), (64, true), (67, true), (78, true), (69, false)])
    func exitStatus(status: Int, isFinal: Bool) async throws {
        switch try await self.mail(AlertBatch([Sample.message()], missed: 0), exit: status) {
        case .delivered: Issue.record("delivered")
        case .failed: #expect(!isFinal)
        case .refused: #expect(isFinal)
        }
    }

    @Test("dates as RFC 5322 wants them")
    func dates() {
        #expect(MailMessage.date(WallClockTime(seconds: 784_111_777)) == "Sun, 6 Nov 1994 08:49:37 +0000")
    }
}
