// SPDX-License-Identifier: MIT

import AltNetControl
import Foundation
import HTTPTypes
import Synchronization
import Testing

@testable import AltNetWeb

/// How a request says who asks, and what must come of it for each need of a route.
private struct Caller: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let headers: @Sendable (TestServer, _ session: (cookie: String, csrf: String)) -> [String: String]
    var host: @Sendable (TestServer) -> String = { $0.host }
    /// The status that refuses, for questions and for changes; `nil` where the request gets through.
    var refused: @Sendable (Access, _ isChange: Bool) -> Int?
}

@Suite("Who may ask over HTTP")
struct SecurityTests {
    private static func through(_ scope: ControlScope) -> @Sendable (Access, Bool) -> Int? {
        { access, _ in access == .operate && scope != .full ? 403 : nil }
    }

    private static let callers: [Caller] = [
        Caller(
            testDescription: "no token", headers: { _, _ in [:] }, refused: { access, _ in access == .open ? nil : 401 }
        ),
        Caller(
            testDescription: "full token", headers: { server, _ in server.bearer(server.token) },
            refused: through(.full)),
        Caller(
            testDescription: "read-only token", headers: { server, _ in server.bearer(server.readOnlyToken) },
            refused: through(.readOnly)),
        Caller(
            testDescription: "session",
            headers: { _, session in ["Cookie": session.cookie, "Sec-Fetch-Site": "same-origin"] },
            refused: { access, isChange in access != .open && isChange ? 403 : nil }),
        Caller(
            testDescription: "session with CSRF token",
            headers: { server, session in
                ["Cookie": session.cookie, "X-CSRF-Token": session.csrf, "Origin": "http://\(server.host)"]
            }, refused: through(.full)),
        Caller(
            testDescription: "session with another CSRF token",
            headers: { server, session in ["Cookie": session.cookie, "X-CSRF-Token": server.token] },
            refused: { access, isChange in access != .open && isChange ? 403 : nil }),
        Caller(
            testDescription: "page of another origin",
            headers: { server, session in
                [
                    "Cookie": session.cookie, "X-CSRF-Token": session.csrf, "Origin": "https://example.com",
                    "Authorization": "Bearer \(server.token)",
                ]
            }, refused: { _, _ in 403 }),
        Caller(
            testDescription: "page without an origin",
            headers: { server, _ in
                server.bearer(server.token).merging(["Origin": "null"]) { $1 }
            }, refused: { _, _ in 403 }),
        Caller(
            testDescription: "page of another port",
            headers: { server, session in
                ["Cookie": session.cookie, "X-CSRF-Token": session.csrf, "Origin": "http://127.0.0.1:1"]
            }, refused: { _, _ in 403 }),
        Caller(
            testDescription: "image on another site",
            headers: { _, session in ["Cookie": session.cookie, "Sec-Fetch-Site": "cross-site"] },
            refused: { _, _ in 403 }),
        Caller(
            testDescription: "link on another port of this machine",
            headers: { _, session in ["Cookie": session.cookie, "Sec-Fetch-Site": "same-site"] },
            refused: { _, _ in 403 }),
        Caller(
            testDescription: "rebound domain", headers: { server, _ in server.bearer(server.token) },
            host: { "evil.example:\($0.port)" }, refused: { _, _ in 421 }),
        Caller(
            testDescription: "another port in Host", headers: { server, _ in server.bearer(server.token) },
            host: { _ in "127.0.0.1:1" }, refused: { _, _ in 421 }),
        Caller(
            testDescription: "localhost", headers: { server, _ in server.bearer(server.token) },
            host: { "localhost:\($0.port)" }, refused: through(.full)),
    ]

    @Test("every route, by everybody", arguments: callers.indices)
    func matrix(index: Int) async throws {
        let caller = Self.callers[index]
        try await TestServer.with { server in
            let session = try await server.session("full")
            for route in Route.all where route.path != "/v1/session" || route.method != .delete {
                if route.path == "/v1/events" || route.path == "/login" { continue }
                let path = route.path.replacing("{name}", with: "bitcoin").replacing("{id}", with: "1")
                let answer = try await server.send(
                    route.method.rawValue, path, caller.headers(server, session), body: Self.body(of: route),
                    host: caller.host(server))
                let name = "\(caller.testDescription): \(route.method) \(path) \(answer.status) \(answer.body)"
                let isChange = route.method != .get
                if let status = caller.refused(route.access, isChange) {
                    #expect(answer.status == status, "\(name)")
                    #expect(answer.message?.isEmpty == false, "\(name)")
                } else {
                    #expect(answer.status == (path == "/ready" ? 503 : 200), "\(name)")
                }
                #expect(answer.headers["access-control-allow-origin"] == nil, "\(name)")
                #expect(answer.headers["cache-control"] == "no-store", "\(name)")
                #expect(answer.headers["x-frame-options"] == "DENY", "\(name)")
                #expect(answer.headers["x-content-type-options"] == "nosniff", "\(name)")
                #expect(answer.headers["referrer-policy"] == "no-referrer", "\(name)")
                #expect(
                    answer.headers["content-security-policy"]?.contains("frame-ancestors 'none'") == true, "\(name)")
            }
            let isLetIn = Access.allCases.contains { $0 == .operate && caller.refused($0, true) == nil }
            let changes = server.operations.done.withLock { $0.filter { !$0.hasPrefix("incidents") } }
            #expect(changes.isEmpty != isLetIn, "\(caller.testDescription): \(changes)")
        }
    }

    private static func body(of route: Route) -> String? {
        switch (route.body, route.path) {
        case (.none, _): nil
        case (.headers, _): String(repeating: "x", count: 80)
        case (.json, "/v1/drivers"): #"{"name":"bitcoin","settings":{}}"#
        case (.json, "/v1/logins"): #"{"scope":"read-only"}"#
        case (.json, "/v1/punch"): #"{"endpoint":"direct:203.0.113.9:9735"}"#
        case (.operation, "/v1/peers"): #"{"additions":[]}"#
        case (.json, _), (.operation, _): #"{"target":"127.0.0.1:8333"}"#
        }
    }

    @Test("the Unix socket needs no token, and asks for no name")
    func unix() async throws {
        try await TestServer.with { server in
            for route in Route.all where !["/v1/events", "/login", "/ready"].contains(route.path) {
                let path = route.path.replacing("{name}", with: "bitcoin").replacing("{id}", with: "1")
                let answer = try await server.send(
                    route.method.rawValue, path, body: Self.body(of: route), unix: true, host: "altnetd")
                #expect(answer.status == 200, "\(route.method) \(path): \(answer.body)")
            }
        }
    }

    @Test("addresses that were given to us alone are not for those who only read", arguments: ["", "/1"])
    func confidences(path: String) async throws {
        try await TestServer.with { server in
            for (token, isShown) in [(server.token, true), (server.readOnlyToken, false)] {
                let answer = try await server.send("GET", "/v1/peers\(path)", server.bearer(token))
                #expect(answer.status == 200)
                let text = answer.body.replacing("\\/", with: "/")
                #expect(text.contains("/ip4/192.0.2.1/tcp/4001"))
                #expect(text.contains(FakeOperations.confidence) == isShown)
            }
        }
    }

    @Test("a login code is good once, and a read-only session changes nothing")
    func login() async throws {
        try await TestServer.with { server in
            let login = try await server.send(
                "POST", "/v1/logins", server.bearer(server.token), body: #"{"scope":"read-only"}"#)
            let url = try #require(try login.object()["url"] as? String)
            let path = url.replacing("http://\(server.host)", with: "")
            let first = try await server.send("GET", path, ["Sec-Fetch-Site": "none"])
            #expect(first.status == 303)
            #expect(first.headers["location"] == "/")
            let cookie = try #require(first.headers["set-cookie"])
            #expect(cookie.hasPrefix("altnet-\(server.port)="))
            #expect(cookie.contains("; HttpOnly; SameSite=Strict"))
            #expect(try await server.send("GET", path).status == 401)

            let pair = ["Cookie": String(cookie.split(separator: ";")[0])]
            let session = try await server.send("GET", "/v1/session", pair)
            #expect(try session.object()["scope"] as? String == "read-only")
            let csrf = try #require(try session.object()["csrfToken"] as? String)
            let headers = pair.merging(["X-CSRF-Token": csrf]) { $1 }
            #expect(try await server.send("DELETE", "/v1/drivers/x", headers).status == 403)
            #expect(try await server.send("GET", "/v1/status", pair).status == 200)
            #expect(try await server.send("DELETE", "/v1/session", headers).status == 200)
            #expect(try await server.send("GET", "/v1/status", pair).status == 401)
        }
    }

    @Test("wrong tokens are answered 429 after some, and the right one always gets through")
    func guessing() async throws {
        try await TestServer.with { server in
            // The budget fills up again while a busy machine asks, so that it is asked in crowds until it is empty.
            var statuses: [Int] = []
            for _ in 0..<20 where !statuses.contains(429) {
                statuses += try await withThrowingTaskGroup(of: Int.self) { group in
                    for _ in 0..<FailureBudget.burst * 2 {
                        group.addTask {
                            try await server.send("GET", "/v1/status", server.bearer("wrong")).status
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
            }
            #expect(statuses.contains(429))
            #expect(statuses.filter { $0 == 401 }.count >= FailureBudget.burst)
            #expect(statuses.allSatisfy { $0 == 401 || $0 == 429 })
            #expect(try await server.send("GET", "/v1/status", server.bearer(server.token)).status == 200)
            #expect(try await server.send("GET", "/health").status == 200)
        }
    }

    @Test("the token files are their owner's only, differ, and go when the server stops")
    func files() async throws {
        let directory = Shared("")
        try await TestServer.with { server in
            let path = (server.socketPath as NSString).deletingLastPathComponent
            directory.change { $0 = path }
            for name in [AccessTokens.fullFile, AccessTokens.readOnlyFile] {
                let attributes = try FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")
                #expect(attributes[.posixPermissions] as? Int == 0o600)
            }
            #expect(server.token != server.readOnlyToken)
            #expect(server.token.wholeMatch(of: /[0-9a-f]{64}/) != nil)
        }
        let path = directory.value
        #expect(!FileManager.default.fileExists(atPath: "\(path)/\(AccessTokens.fullFile)"))
        #expect(!FileManager.default.fileExists(atPath: "\(path)/\(AccessTokens.readOnlyFile)"))
    }

    @Test("metrics need no token when the operator says so")
    func metrics() async throws {
        try await TestServer.with(metricsWithoutToken: true) { server in
            let metrics = try await server.send("GET", "/metrics")
            let status = try await server.send("GET", "/v1/status")
            let rebound = try await server.send("GET", "/metrics", host: "evil.example")
            #expect((metrics.status, status.status, rebound.status) == (200, 401, 421))
        }
    }
}
