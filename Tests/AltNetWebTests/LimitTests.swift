// SPDX-License-Identifier: MIT

import AltNetControl
import AltNetTestKit
import Foundation
import HTTPTypes
import Logging
import NIOCore
import NIOEmbedded
import NIOHTTPTypes
import Synchronization
import Testing

@testable import AltNetWeb

@Suite("What a request may be")
struct BadRequestTests {
    @Test("what is wrong is said with the right status")
    func statuses() async throws {
        try await TestServer.with { server in
            let token = server.bearer(server.token)
            func expect(
                _ status: Int, _ method: String, _ path: String, _ headers: [String: String] = [:], body: String? = nil,
                says: String, line: SourceLocation = #_sourceLocation
            ) async throws {
                let answer = try await server.send(method, path, token.merging(headers) { $1 }, body: body)
                #expect(answer.status == status, "\(answer.body)", sourceLocation: line)
                #expect(answer.message?.contains(says) == true, "\(answer.body)", sourceLocation: line)
            }
            try await expect(404, "GET", "/v2/status", says: "nothing at /v2/status")
            try await expect(404, "GET", "/v1/status/", says: "nothing at")
            try await expect(404, "GET", "/dashboard.js/../../etc/passwd", says: "nothing at")
            try await expect(404, "GET", "/%2e%2e/secret", says: "nothing at")
            try await expect(405, "PUT", "/v1/status", says: "PUT cannot be used here")
            try await expect(405, "OPTIONS", "/v1/drivers", says: "OPTIONS")
            try await expect(405, "TRACE", "/", says: "TRACE")
            try await expect(400, "GET", "/v1/incidents?limit=0", says: "limit must be a whole number from 1 to 1000")
            try await expect(400, "GET", "/v1/incidents?limit=x", says: "limit")
            try await expect(400, "GET", "/v1/incidents?limit=", says: "limit")
            try await expect(400, "GET", "/v1/incidents?limit=5&limit=6", says: "limit is given twice")
            try await expect(400, "GET", "/v1/incidents?limits=5", says: "there is limit, open")
            try await expect(400, "GET", "/v1/incidents?open=yes", says: "open must be true or false")
            try await expect(400, "GET", "/v1/status?x=1", says: "there are none here")
            try await expect(400, "GET", "/v1/incidents/0", says: "numbered from 1")
            try await expect(404, "GET", "/v1/incidents/77", says: "no incident 77")
            try await expect(404, "GET", "/v1/incidents/77/evidence", says: "no incident 77")
            try await expect(400, "POST", "/v1/drivers", body: "{", says: "not the JSON")
            try await expect(400, "POST", "/v1/headers", body: "1234", says: "4 bytes are no whole number")
            try await expect(
                415, "POST", "/v1/drivers", ["Content-Type": "text/plain"], body: "{}", says: "application/json")
            try await expect(
                413, "POST", "/v1/drivers", body: String(repeating: " ", count: 65_537), says: "65536 are allowed")
        }
    }

    @Test("operations that wait for remotes keep nobody else waiting, and more than so many are turned away")
    func slow() async throws {
        let operations = FakeOperations()
        operations.mayAnswer.withLock { $0 = [] }
        try await TestServer.with(operations) { server in
            let path = "/v1/drivers/bitcoin/operations/message.ping"
            try await withThrowingTaskGroup(of: RawAnswer.self) { group in
                for _ in 0..<Listener.maximumSlowRequests {
                    group.addTask { try await server.send("POST", path, body: "{}", unix: true) }
                }
                try await Condition.wait("all of them wait") {
                    operations.mayAnswer.withLock { $0?.count } == Listener.maximumSlowRequests
                }
                #expect(try await server.send("GET", "/v1/status", unix: true).status == 200)
                let more = try await server.send("POST", path, body: "{}", unix: true)
                #expect(more.status == 503)
                #expect(more.message?.contains("wait for drivers already") == true)
                let waiting = operations.mayAnswer.withLock { waiting in
                    defer { waiting = nil }
                    return waiting ?? []
                }
                for continuation in waiting { continuation.resume() }
                for try await answer in group {
                    #expect(answer.status == 200)
                    #expect(answer.body == #"{"hops":[]}"#)
                }
            }
            #expect(try await server.send("POST", path, body: "{}", unix: true).status == 200)
        }
    }

    @Test("405 says what is allowed, and HEAD is GET without a body")
    func methods() async throws {
        try await TestServer.with { server in
            let token = server.bearer(server.token)
            let wrong = try await server.send("PATCH", "/v1/drivers", token)
            #expect(wrong.headers["allow"] == "GET, HEAD, POST")
            let get = try await server.send("GET", "/v1/status", token)
            let head = try await server.send("HEAD", "/v1/status", token)
            #expect(head.status == 200 && head.body.isEmpty)
            #expect(head.headers["content-length"] == get.headers["content-length"])
        }
    }

    @Test("a body without an end in sight is cut off at the bound")
    func chunked() async throws {
        try await TestServer.with { server in
            let chunk = "2000\r\n" + String(repeating: "x", count: 0x2000) + "\r\n"
            let answer = try await server.send(
                raw: "POST /v1/drivers HTTP/1.1\r\nHost: \(server.host)\r\nAuthorization: Bearer \(server.token)\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n" + String(repeating: chunk, count: 9))
            #expect(answer.status == 413)
        }
    }

    @Test(
        "requests that are no HTTP end the connection, and the server goes on",
        arguments: [
            "\u{16}\u{3}\u{1}\u{2}\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET\r\n\r\n",
            "POST /v1/headers HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "POST /v1/headers HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nX: " + String(repeating: "x", count: 20_000) + "\r\n\r\n",
            "GET / HTTP/1.1\r\n" + (0..<200).map { "X\($0): y\r\n" }.joined() + "\r\n",
        ])
    func garbage(text: String) async throws {
        try await TestServer.with { server in
            let answer = try await server.send(raw: text)
            #expect(answer.status == 400 || answer.status == 0, "\(answer)")
            #expect(try await server.send("GET", "/health", unix: true).status == 200)
        }
    }

    @Test("a request without Host, or with two, is refused")
    func hosts() async throws {
        try await TestServer.with { server in
            let none = try await server.send(raw: "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
            let two = try await server.send(
                raw: "GET /health HTTP/1.1\r\nHost: \(server.host)\r\nHost: evil\r\nConnection: close\r\n\r\n")
            let swapped = try await server.send(
                raw: "GET /health HTTP/1.1\r\nHost: evil\r\nHost: \(server.host)\r\nConnection: close\r\n\r\n")
            let absolute = try await server.send(
                raw: "GET http://evil/health HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n")
            #expect([none, two, swapped, absolute].map(\.status) == [421, 400, 421, 421])
        }
    }

    @Test("a client of HTTP/1.0 is answered, and the connection closed")
    func oldVersion() async throws {
        try await TestServer.with { server in
            let answer = try await server.send(
                raw: "GET /health HTTP/1.0\r\nHost: \(server.host)\r\nConnection: Keep-Alive\r\n\r\n")
            #expect(answer.status == 200)
            #expect(answer.body.contains("true"))
        }
    }

    @Test("a taken port is said in one sentence")
    func taken() async throws {
        try await TestServer.with { server in
            let other = WebServer(
                WebConfiguration(
                    socketPath: server.socketPath + "2", listen: try LoopbackAddress(server.host),
                    tokenDirectory: (server.socketPath as NSString).deletingLastPathComponent),
                operations: server.operations, events: EventHub(), logger: .init(label: "test"))
            let error = await #expect(throws: WebServerError.self) { try await other.run { _ in } }
            #expect(error?.description.hasPrefix("cannot serve HTTP at \(server.host): another program") == true)
        }
    }
}

@Suite("How long a connection may take")
struct ConnectionLimitsTests {
    private let channel: EmbeddedChannel
    private let head = HTTPRequestPart.head(HTTPRequest(method: .get, scheme: "http", authority: "x", path: "/"))
    private let answer = HTTPResponsePart.head(HTTPResponse(status: .ok))

    init() throws {
        self.channel = EmbeddedChannel(handler: ConnectionLimits())
        try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    private func pass(_ time: TimeAmount) { self.channel.embeddedEventLoop.advanceTime(by: time) }

    @Test("a request has to come soon, and the next one after an answer too")
    func nextRequest() throws {
        self.pass(ConnectionLimits.headTime - .seconds(1))
        try self.channel.writeInbound(self.head)
        try self.channel.writeInbound(HTTPRequestPart.end(nil))
        // The answer may take as long as it takes.
        self.pass(.hours(1))
        #expect(self.channel.isActive)
        try self.channel.writeOutbound(self.answer)
        try self.channel.writeOutbound(HTTPResponsePart.end(nil))
        self.pass(ConnectionLimits.headTime - .seconds(1))
        #expect(self.channel.isActive)
        self.pass(.seconds(2))
        #expect(!self.channel.isActive)
    }

    @Test("nobody who asks nothing stays")
    func idle() {
        self.pass(ConnectionLimits.headTime)
        #expect(!self.channel.isActive)
    }

    @Test("a body has to end in time, however steadily it drips")
    func body() throws {
        try self.channel.writeInbound(self.head)
        for _ in 0..<29 {
            self.pass(.seconds(1))
            try self.channel.writeInbound(HTTPRequestPart.body(ByteBuffer(string: "x")))
        }
        #expect(self.channel.isActive)
        self.pass(.seconds(1))
        #expect(!self.channel.isActive)
    }

    @Test("who sends on after the answer has a moment to read it")
    func linger() throws {
        try self.channel.writeInbound(self.head)
        try self.channel.writeOutbound(self.answer)
        try self.channel.writeOutbound(HTTPResponsePart.end(nil))
        #expect(self.channel.isActive)
        self.pass(ConnectionLimits.lingerTime)
        #expect(!self.channel.isActive)
    }

    @Test("who reads nothing is cut off, and who reads again is not")
    func writes() throws {
        try self.channel.writeInbound(self.head)
        try self.channel.writeInbound(HTTPRequestPart.end(nil))
        for _ in 0..<3 {
            self.channel.isWritable = false
            self.channel.pipeline.fireChannelWritabilityChanged()
            self.pass(ConnectionLimits.writeTime - .seconds(1))
            self.channel.isWritable = true
            self.channel.pipeline.fireChannelWritabilityChanged()
        }
        #expect(self.channel.isActive)
        self.channel.isWritable = false
        self.channel.pipeline.fireChannelWritabilityChanged()
        self.pass(ConnectionLimits.writeTime)
        #expect(!self.channel.isActive)
    }

    @Test("an answer that says so closes the connection")
    func close() throws {
        try self.channel.writeInbound(self.head)
        try self.channel.writeInbound(HTTPRequestPart.end(nil))
        try self.channel.writeOutbound(
            HTTPResponsePart.head(HTTPResponse(status: .serviceUnavailable, headerFields: [.connection: "close"])))
        try self.channel.writeOutbound(HTTPResponsePart.end(nil))
        #expect(!self.channel.isActive)
    }
}
