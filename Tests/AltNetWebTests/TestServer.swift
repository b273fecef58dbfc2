// SPDX-License-Identifier: MIT

import AltNetTestKit
import AltNetWeb
import Foundation
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// A server with a fake daemon behind it, for the time of a test.
struct TestServer: Sendable {
    let operations: FakeOperations
    let events: EventHub
    let socketPath: String
    let port: Int
    let token: String
    let readOnlyToken: String

    var host: String { "127.0.0.1:\(self.port)" }

    static func with(
        _ operations: FakeOperations = FakeOperations(), metricsWithoutToken: Bool = false,
        _ body: @Sendable @escaping (TestServer) async throws -> Void
    ) async throws {
        let directory = TemporaryDirectory.make()
        let events = EventHub()
        let server = WebServer(
            WebConfiguration(
                socketPath: directory + "/control.sock", listen: try LoopbackAddress("127.0.0.1:0"),
                tokenDirectory: directory, metricsWithoutToken: metricsWithoutToken),
            operations: operations, events: events,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        try await withThrowingTaskGroup(of: Void.self) { group in
            let (ready, isReady) = AsyncStream.makeStream(of: String?.self)
            group.addTask {
                try await server.run { url in isReady.yield(url) }
            }
            group.addTask {
                let url = await ready.first { _ in true } ?? nil
                let port = url?.split(separator: ":").last.flatMap { Int($0) }
                try await body(
                    TestServer(
                        operations: operations, events: events, socketPath: directory + "/control.sock",
                        port: port ?? 0, token: try Self.text(directory + "/http.cookie"),
                        readOnlyToken: try Self.text(directory + "/http.read-only-token")))
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private static func text(_ path: String) throws -> String {
        try String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .newlines)
    }

    /// Sends a request of these lines, over TCP unless a socket is named, and reads until the server closes.
    func send(
        _ method: String, _ path: String, _ headers: [String: String] = [:], body: String? = nil, unix: Bool = false,
        host: String? = nil
    ) async throws -> RawAnswer {
        var lines = ["\(method) \(path) HTTP/1.1", "Host: \(host ?? self.host)", "Connection: close"]
        lines += headers.map { "\($0.key): \($0.value)" }
        if let body { lines.append("Content-Length: \(body.utf8.count)") }
        return try await self.send(raw: lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? ""), unix: unix)
    }

    func send(raw text: String, unix: Bool = false) async throws -> RawAnswer {
        let connection = try await self.connect(unix: unix)
        return try await connection.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: text))
            var bytes = ByteBuffer()
            // A reset after the answer is the end of it as well.
            do { for try await part in inbound { bytes.writeImmutableBuffer(part) } } catch {}
            return RawAnswer(String(buffer: bytes))
        }
    }

    func connect(
        unix: Bool = false, autoRead: Bool = true
    ) async throws -> NIOAsyncChannel<ByteBuffer, ByteBuffer> {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: autoRead).channelOption(.socketOption(.so_rcvbuf), value: 4096)
        let wrap: @Sendable (any Channel) -> EventLoopFuture<NIOAsyncChannel<ByteBuffer, ByteBuffer>> = { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel(wrappingChannelSynchronously: channel)
            }
        }
        return unix
            ? try await bootstrap.connect(unixDomainSocketPath: self.socketPath, channelInitializer: wrap)
            : try await bootstrap.connect(host: "127.0.0.1", port: self.port, channelInitializer: wrap)
    }

    func bearer(_ token: String) -> [String: String] { ["Authorization": "Bearer \(token)"] }

    /// Logs in as a browser does; the cookie and the token against forged requests.
    func session(_ scope: String) async throws -> (cookie: String, csrf: String) {
        let login = try await self.send("POST", "/v1/logins", body: #"{"scope":"\#(scope)"}"#, unix: true)
        let url = try login.object()["url"] as? String ?? ""
        let path = url.replacingOccurrences(of: "http://\(self.host)", with: "")
        let answer = try await self.send("GET", path)
        let cookie = String(answer.headers["set-cookie"]?.split(separator: ";").first ?? "")
        let session = try await self.send("GET", "/v1/session", ["Cookie": cookie])
        return (cookie, try session.object()["csrfToken"] as? String ?? "")
    }
}

/// A value that several tasks of a test change.
final class Shared<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>

    init(_ value: Value) {
        self.mutex = Mutex(value)
    }

    var value: Value { self.mutex.withLock { $0 } }

    func change(_ body: (inout Value) -> Void) {
        self.mutex.withLock { body(&$0) }
    }
}

struct RawAnswer: Sendable {
    let status: Int
    let headers: [String: String]
    let body: String

    init(_ text: String) {
        let parts = text.components(separatedBy: "\r\n\r\n")
        let lines = (parts.first ?? "").components(separatedBy: "\r\n")
        self.status = lines.first.flatMap { $0.split(separator: " ").dropFirst().first }.flatMap { Int($0) } ?? 0
        self.headers = Dictionary(
            lines.dropFirst().compactMap { line in
                line.firstIndex(of: ":").map {
                    (line[..<$0].lowercased(), line[line.index(after: $0)...].trimmingCharacters(in: .whitespaces))
                }
            }, uniquingKeysWith: { "\($0), \($1)" })
        self.body = parts.dropFirst().joined(separator: "\r\n\r\n")
    }

    func object() throws -> [String: Any] {
        try JSONSerialization.jsonObject(with: Data(self.body.utf8)) as? [String: Any] ?? [:]
    }

    /// What an error says.
    var message: String? { (try? self.object())?["message"] as? String }
}
