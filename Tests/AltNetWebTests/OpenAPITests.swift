// SPDX-License-Identifier: MIT

import AltNetControl
import Foundation
import HTTPTypes
import Synchronization
import Testing

@testable import AltNetWeb

/// `docs/api/openapi.json`.
struct OpenAPI: Sendable {
    private let text: Data

    init() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        self.text = try Data(contentsOf: root.appendingPathComponent("docs/api/openapi.json"))
    }

    var document: [String: Any] {
        get throws { try JSONSerialization.jsonObject(with: self.text) as? [String: Any] ?? [:] }
    }

    var schemas: JSONSchema { get throws { JSONSchema(document: try self.document) } }

    func operation(_ method: String, _ path: String) throws -> [String: Any]? {
        let paths = try self.document["paths"] as? [String: [String: [String: Any]]]
        return paths?[path]?[method.lowercased()]
    }

    /// What is wrong with an answer to a request; empty when it is as documented.
    func violations(_ answer: RawAnswer, _ method: String, _ path: String) throws -> [String] {
        guard let responses = try self.operation(method, path)?["responses"] as? [String: [String: Any]] else {
            return ["\(method) \(path) is not documented"]
        }
        guard var response = responses["\(answer.status)"] else { return ["status \(answer.status) is not documented"] }
        if let reference = response["$ref"] as? String { response = try self.schemas.resolve(reference) }
        guard let content = response["content"] as? [String: [String: Any]] else {
            return answer.body.isEmpty ? [] : ["status \(answer.status) has a body"]
        }
        let type = answer.headers["content-type"]?.split(separator: ";").first.map(String.init) ?? ""
        guard let schema = content[type]?["schema"] as? [String: Any] else { return ["\(type) is not documented"] }
        guard type == "application/json" else { return [] }
        let value = try JSONSerialization.jsonObject(with: Data(answer.body.utf8), options: .fragmentsAllowed)
        return try self.schemas.violations(of: value, schema)
    }
}

@Suite("The OpenAPI file says what is served")
struct OpenAPITests {
    private let file: OpenAPI

    init() throws {
        self.file = try OpenAPI()
    }

    @Test("every route is in the file, and every operation of the file is a route")
    func routes() throws {
        let served = Set(Route.all.map { "\($0.method.rawValue) \($0.path)" })
        let paths = try #require(try self.file.document["paths"] as? [String: [String: Any]])
        let documented = Set(paths.flatMap { path, methods in methods.keys.map { "\($0.uppercased()) \(path)" } })
        #expect(served == documented)
        #expect(served.count == Route.all.count)
    }

    @Test("parameters, bodies and needed tokens are the ones in the file")
    func details() throws {
        for route in Route.all {
            let name = "\(route.method) \(route.path)"
            let operation = try #require(try self.file.operation(route.method.rawValue, route.path), "\(name)")
            let parameters = operation["parameters"] as? [[String: Any]] ?? []
            let query = parameters.filter { $0["in"] as? String == "query" }.compactMap { $0["name"] as? String }
            #expect(query.sorted() == route.query.sorted(), "\(name)")
            let path = parameters.filter { $0["in"] as? String == "path" }.compactMap { $0["name"] as? String }
            #expect(path.allSatisfy { route.path.contains("{\($0)}") }, "\(name)")
            #expect(path.count == route.path.count(where: { $0 == "{" }), "\(name)")
            let content = (operation["requestBody"] as? [String: Any])?["content"] as? [String: Any]
            #expect(content?.keys.first == (route.body == .none ? nil : route.body.contentType), "\(name)")
            let security = operation["security"] as? [[String: Any]] ?? []
            let expected: Set<String> =
                switch route.access {
                case .open: []
                case .read: ["token", "readOnlyToken", "session"]
                case .operate: ["token", "session"]
                }
            #expect(Set(security.flatMap(\.keys)) == expected, "\(name)")
        }
    }

    @Test("every answer is as documented, the refusals too")
    func answers() async throws {
        let file = self.file
        try await TestServer.with { server in
            for route in Route.all where route.path != "/v1/events" {
                for isFailing in [false, true] {
                    server.operations.refusal.withLock { $0 = isFailing ? ControlRefusal(.conflict, "no") : nil }
                    server.operations.isSafe.withLock { $0 = !isFailing }
                    let method = route.method.rawValue
                    let hasRefusal = route.access == .operate && route.path.hasPrefix("/v1/drivers")
                    for (path, headers, body) in Self.requests(route, server) {
                        let answer = try await server.send(method, path, headers, body: body)
                        let wrong = try file.violations(answer, method, route.path)
                        if isFailing, !hasRefusal, answer.status == 409 { continue }
                        #expect(
                            wrong.isEmpty, "\(method) \(path) \(answer.status): \(wrong) \(answer.body.prefix(300))")
                    }
                }
            }
        }
    }

    /// A good request, and some that are refused for different reasons.
    private static func requests(
        _ route: Route, _ server: TestServer
    ) -> [(path: String, headers: [String: String], body: String?)] {
        let good =
            switch (route.body, route.path) {
            case (.none, _): String?.none
            case (.headers, _): String(repeating: "x", count: 80)
            case (.json, "/v1/drivers"): #"{"name":"bitcoin","settings":{"connect":"x"},"program":"p"}"#
            case (.json, "/v1/logins"): #"{"scope":"full"}"#
            case (.json, "/v1/punch"): #"{"endpoint":"direct:203.0.113.9:9735"}"#
            case (.operation, "/v1/peers"): #"{"additions":[{"peer":"12D3","addresses":["/ip4/192.0.2.1/tcp/1"]}]}"#
            case (.json, _), (.operation, _): #"{"target":"127.0.0.1:8333"}"#
            }
        let path = route.path.replacing("{name}", with: "bitcoin").replacing("{id}", with: "1")
            .replacing("{operation}", with: "message.ping")
        let token = server.bearer(server.token)
        var requests: [(String, [String: String], String?)] = [
            (path, token, good), (path, [:], good), (path, server.bearer(server.readOnlyToken), good),
            (path + "?limit=0&nonsense=1", token, good), (path, token.merging(["Origin": "https://x"]) { $1 }, good),
            (path, token, String(repeating: "x", count: ControlInterface.maximumRequestBytes + 1)),
            (path, token.merging(["Content-Type": "text/html"]) { $1 }, good),
        ]
        if route.path.contains("{id}") {
            requests += [
                (path.replacing("1", with: "999"), token, nil), (path.replacing("/1", with: "/x"), token, nil),
            ]
        }
        return requests
    }

    @Test("a report with all its fields and one with few are as documented, in events too")
    func events() throws {
        let link = LinkReport(driver: "x", state: "open")
        let events: [(ControlEvent, String)] = [
            (.incident(.init(change: .opened, incident: FakeOperations.incident(1, isOpen: true))), "IncidentEvent"),
            (.tip(FakeOperations.chain), "Chain"), (.link(.init(change: .closed, link: link)), "LinkEvent"),
            (.node(FakeOperations.node), "Node"),
            (.node(NodeReport(kind: "none", description: "", reach: "none")), "Node"),
            (.driver(FakeOperations.driver), "Driver"), (.alert(FakeOperations.alert), "Alert"),
        ]
        #expect(Set(events.map(\.0.name)) == Set(ControlEvent.Name.allCases))
        for (event, schema) in events {
            let value = try JSONSerialization.jsonObject(with: try JSON.bytes(event.data))
            let wrong = try self.file.schemas.violations(of: value, ["$ref": "#/components/schemas/\(schema)"])
            #expect(wrong.isEmpty, "\(event.name): \(wrong)")
        }
    }

    @Test("the checker notices what is not as documented")
    func checker() throws {
        let answer = RawAnswer(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"safe\":1,\"more\":true}")
        let wrong = try self.file.violations(answer, "GET", "/v1/safe")
        #expect(wrong.sorted() == ["$ has no reasons", "$.more is not documented", "$.safe is no boolean"])
    }
}
