// SPDX-License-Identifier: MIT

import AltNetBase
import Foundation
import Glibc
import NIOHTTP1
import Synchronization
import Testing

@testable import AltNetAlerts

@Suite("Webhooks")
struct WebhookTests {
    private let batch = AlertBatch([Sample.message()], missed: 0)
    private let directory = TemporaryDirectory()

    private func sender(_ receiver: Receiver, secretFile: String? = nil) throws -> WebhookSender {
        WebhookSender(
            try AlertSink.Webhook(
                url: receiver.url, secretFile: try secretFile ?? self.directory.secret(), timeout: .seconds(2)))
    }

    @Test("an alert arrives whole, with its name and its signature")
    func arrives() async throws {
        let receiver = try Receiver(Receiver.status(204))
        #expect(try await self.sender(receiver).deliver(self.batch) == .delivered("status 204"))
        let request = try #require(receiver.received.first)
        #expect(request.head.hasPrefix("POST /hook HTTP/1.1"))
        #expect(AlertBody.decode(request.body) == self.batch.messages[0])
        #expect(request.header("content-type") == "application/json")
        #expect(request.header("webhook-id") == self.batch.id)
        let timestamp = try #require(request.header("webhook-timestamp").flatMap { Int64($0) })
        #expect(
            request.header("webhook-signature")
                == (try WebhookSecret(TemporaryDirectory.key).signature(
                    id: self.batch.id, timestamp: timestamp, body: request.body)))
    }

    @Test("the key is read again for each attempt, and one that others can read keeps the alert waiting")
    func secretFile() async throws {
        let receiver = try Receiver(Receiver.status(200))
        let path = try self.directory.file("open-secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", mode: 0o644)
        let sender = try self.sender(receiver, secretFile: path)
        guard case .failed(let reason, nil) = await sender.deliver(self.batch) else {
            Issue.record("delivered without a key")
            return
        }
        #expect(reason.contains("chmod 600"))
        #expect(receiver.received.isEmpty)
        chmod(path, 0o600)
        #expect(await sender.deliver(self.batch) == .delivered("status 200"))
        #expect(receiver.received.first?.header("webhook-signature")?.hasPrefix("v1,") == true)
    }

    @Test("a receiver that says nothing costs its time limit and no more")
    func hangs() async throws {
        let receiver = try Receiver(Receiver.hang)
        let began = ContinuousClock.now
        #expect(try await self.sender(receiver).deliver(self.batch) == .failed("no answer within 2 s"))
        #expect(receiver.received.count == 1)
        #expect(ContinuousClock.now - began < .seconds(60))
    }

    @Test("neither does one that says a byte now and then")
    func drips() async throws {
        let receiver = try Receiver { connection, _ in
            for byte in "HTTP/1.1 200 OK\r\nX: \(String(repeating: "x", count: 1000))".utf8 {
                guard Glibc.write(connection, [byte], 1) == 1 else { return }
                usleep(100_000)
            }
        }
        let began = ContinuousClock.now
        #expect(try await self.sender(receiver).deliver(self.batch) == .failed("no answer within 2 s"))
        #expect(ContinuousClock.now - began < .seconds(60))
    }

    @Test("an answer of 100 MB is not read")
    func hugeAnswer() async throws {
        let written = Mutex(0)
        let receiver = try Receiver { connection, _ in
            Receiver.write(connection, "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
            let piece = [UInt8](repeating: 0x41, count: 1 << 20)
            for _ in 0..<100 {
                let count = Glibc.write(connection, piece, piece.count)
                guard count > 0 else { return }
                written.withLock { $0 += count }
            }
        }
        let began = ContinuousClock.now
        #expect(try await self.sender(receiver).deliver(self.batch) == .delivered("status 200"))
        #expect(ContinuousClock.now - began < .seconds(60))
        // What the sockets' buffers take, and what was read with the head.
        #expect(written.withLock(\.self) < 32 << 20)
    }

    @Test("a head of 100 MB is not read either")
    func hugeHead() async throws {
        let receiver = try Receiver { connection, _ in
            Receiver.write(connection, "HTTP/1.1 200 OK\r\n")
            let line = "X: " + String(repeating: "x", count: 8_000) + "\r\n"
            for _ in 0..<12_500 { guard Glibc.write(connection, line, line.utf8.count) > 0 else { return } }
        }
        guard case .failed = try await self.sender(receiver).deliver(self.batch) else {
            Issue.record("taken for an answer")
            return
        }
    }

    @Test("a redirection is not followed, and says where it leads")
    func redirected() async throws {
        let other = try Receiver(Receiver.status(200))
        let receiver = try Receiver(Receiver.status(301, "Location: \(other.url)\r\n"))
        guard case .refused(let reason) = try await self.sender(receiver).deliver(self.batch) else {
            Issue.record("not refused")
            return
        }
        #expect(reason.contains(other.url))
        #expect(other.received.isEmpty)
    }

    @Test("too many requests, and when to come back")
    func tooMany() async throws {
        let receiver = try Receiver(Receiver.status(429, "Retry-After: 17\r\n"))
        #expect(
            try await self.sender(receiver).deliver(self.batch) == .failed("status 429", retryAfter: .seconds(17)))
    }

    @Test("nobody listens")
    func refused() async throws {
        let port = try Receiver(Receiver.hang).port
        let sender = WebhookSender(
            try AlertSink.Webhook(
                url: "http://127.0.0.1:\(port)/", secretFile: self.directory.secret(), timeout: .seconds(2)))
        guard case .failed(let reason, nil) = await sender.deliver(self.batch) else {
            Issue.record("not a failure")
            return
        }
        #expect(reason.hasPrefix("no answer"))
    }

    @Test("what answers without sense is a failure")
    func nonsense() async throws {
        let receiver = try Receiver { connection, _ in Receiver.write(connection, "SSH-2.0-OpenSSH\r\n") }
        guard case .failed = try await self.sender(receiver).deliver(self.batch) else {
            Issue.record("not a failure")
            return
        }
    }

    @Test(
        "which statuses are tried again",
        arguments: [
            (200, "delivered"), (204, "delivered"), (299, "delivered"), (301, "refused"), (304, "refused"),
            (400, "refused"), (401, "refused"), (404, "refused"), (408, "failed"), (409, "failed"), (410, "refused"),
            (413, "refused"), (425, "failed"), (429, "failed"), (500, "failed"), (503, "failed"), (599, "failed"),
            (600, "refused"), (199, "refused"),
        ])
    func statuses(status: UInt, expected: String) {
        let word =
            switch WebhookSender.judge(status, [:], Sample.opened) {
            case .delivered: "delivered"
            case .failed: "failed"
            case .refused: "refused"
            }
        #expect(word == expected)
    }

    @Test(
        "Retry-After in seconds and as a date",
        arguments: [
            ("120", 120), ("0", 0), ("99999999999999999999", 2_147_483_648), ("Sun, 06 Nov 1994 08:49:37 GMT", 57),
            ("Sun, 06 Nov 1994 08:47:00 GMT", 0), ("soon", nil), ("-1", nil), ("", nil),
            ("Sun, 06 Foo 1994 08:49:37 GMT", nil),
            ("Sun, 06 Nov 1994 25:49:37 GMT", nil),
        ] as [(String, Int64?)])
    func retryAfter(text: String, seconds: Int64?) {
        // 1994-11-06 08:48:40 UTC.
        let now = WallClockTime(seconds: 784_111_720)
        #expect(WebhookSender.pause(text, now) == seconds.map { .seconds($0) })
    }

    @Test("a SOCKS5 proxy gets the name, not an address, and the alert goes through it")
    func proxied() async throws {
        let asked = Mutex<[UInt8]>([])
        // A proxy that plays the destination itself: greeting, request, then HTTP on the same connection.
        let proxy = try SocketServer { connection in
            var buffer = [UInt8](repeating: 0, count: 4096)
            guard read(connection, &buffer, buffer.count) > 0 else { return }
            _ = write(connection, [5, 0] as [UInt8], 2)
            let count = read(connection, &buffer, buffer.count)
            asked.withLock { $0 = Array(buffer.prefix(max(0, count))) }
            _ = write(connection, [5, 0, 0, 1, 0, 0, 0, 0, 0, 0] as [UInt8], 10)
            // To the end of the JSON: closing a connection with unread bytes would take the answer back.
            var last: UInt8 = 0
            while last != UInt8(ascii: "}") {
                let count = read(connection, &buffer, buffer.count)
                guard count > 0 else { return }
                last = buffer[count - 1]
            }
            Receiver.write(connection, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        }
        let sender = WebhookSender(
            try AlertSink.Webhook(
                url: "http://alerts.invalid/", secretFile: self.directory.secret(), allowPlain: true,
                proxy: try ProxyAddress("127.0.0.1:\(proxy.port)"),
                timeout: .seconds(5)))
        let result = await sender.deliver(self.batch)
        #expect(result == .delivered("status 200"))
        withExtendedLifetime(proxy) {}
        #expect(asked.withLock(\.self) == [5, 1, 0, 3, 14] + Array("alerts.invalid".utf8) + [0, 80])
    }
}
