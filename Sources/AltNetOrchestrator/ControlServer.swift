// SPDX-License-Identifier: MIT

internal import AltNetControl
internal import AltNetDriverHost
internal import AltNetStore
internal import FoundationEssentials
internal import Glibc
internal import HTTPTypes
internal import Hummingbird
internal import Logging
internal import NIOCore

/// The control interface: HTTP with JSON on a Unix socket that only the owner can use.
///
/// Whoever can open the socket is the operator; there is no other authentication. The answers are the types of
/// `AltNetControl`.
struct ControlServer: Sendable {
    /// What the daemon lets its operator do, apart from questions to the orchestrator.
    protocol Operations: Sendable {
        func status() async -> StatusReport
        func drivers() async -> [DriverReport]
        func splices() async -> [SpliceReport]
        func attach(_ request: AttachRequest) async throws -> DriverReport
        func detach(_ driver: String) async throws
        func openTarget(_ target: String, driver: String) async throws
        func closeTarget(_ target: String, driver: String) async throws
    }

    let socketPath: String
    let orchestrator: Orchestrator
    let operations: any Operations
    let logger: Logger

    /// Serves until the task is cancelled. Calls `onReady` when the socket can be used.
    func run(onReady: @Sendable @escaping () async -> Void) async throws {
        unlink(self.socketPath)
        let path = self.socketPath
        let application = Application(
            router: self.router(),
            configuration: ApplicationConfiguration(address: .unixDomainSocket(path: path), serverName: nil),
            onServerRunning: { _ in
                chmod(path, 0o600)
                await onReady()
            }, logger: self.logger)
        defer { unlink(path) }
        try await application.run()
    }

    private func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.add(middleware: ErrorsAsJSON())
        let version = router.group("v1")
        version.get("status") { _, _ in try Self.json(await self.operations.status()) }
        version.get("links") { _, _ in try Self.json(await self.orchestrator.linkReports) }
        version.get("tips") { _, _ in try Self.json(await self.orchestrator.tipReports) }
        version.get("incidents") { request, _ in
            let limit = try Self.number("limit", in: request, default: 50)
            guard (1...ControlInterface.maximumIncidents).contains(Int(limit)) else {
                throw Refusal(.badRequest, "limit must be from 1 to \(ControlInterface.maximumIncidents)")
            }
            return try Self.json(await self.orchestrator.incidentReports(Int(limit), onlyOpen: false))
        }
        version.get("splices") { _, _ in try Self.json(await self.operations.splices()) }
        version.get("drivers") { _, _ in try Self.json(await self.operations.drivers()) }
        version.post("drivers") { request, _ in
            try Self.json(await self.operations.attach(try await Self.body(of: request)))
        }
        version.delete("drivers/:name") { _, context in
            try await self.operations.detach(try context.parameters.require("name"))
            return try Self.json([String: String]())
        }
        version.post("drivers/:name/targets") { request, context in
            let target: TargetRequest = try await Self.body(of: request)
            try await self.operations.openTarget(target.target, driver: try context.parameters.require("name"))
            return try Self.json([String: String]())
        }
        version.delete("drivers/:name/targets") { request, context in
            let target: TargetRequest = try await Self.body(of: request)
            try await self.operations.closeTarget(target.target, driver: try context.parameters.require("name"))
            return try Self.json([String: String]())
        }
        version.get("headers") { request, _ in
            let from = try Self.number("from", in: request, default: 0)
            let count = min(
                try Self.number("count", in: request, default: 2000),
                UInt32(ControlInterface.maximumHeadersBytes / 80))
            let bytes = try await self.orchestrator.exportHeaders(from: from, count: count)
            return Response(
                status: .ok, headers: [.contentType: "application/octet-stream"],
                body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
        }
        version.post("headers") { request, _ in
            let body = try await request.body.collect(upTo: ControlInterface.maximumHeadersBytes)
            guard body.readableBytes.isMultiple(of: 80), body.readableBytes > 0 else {
                throw Refusal(
                    .badRequest, "\(body.readableBytes) bytes are no whole number of 80-byte headers")
            }
            return try Self.json(await self.orchestrator.importReport(Array(body.readableBytesView)))
        }
        return router
    }

    private static func number(_ name: String, in request: Request, default value: UInt32) throws -> UInt32 {
        guard let text = request.uri.queryParameters[Substring(name)] else { return value }
        guard let number = UInt32(text) else { throw Refusal(.badRequest, "\(name) must be a whole number") }
        return number
    }

    private static func body<Value: Decodable>(of request: Request) async throws -> Value {
        let buffer = try await request.body.collect(upTo: ControlInterface.maximumRequestBytes)
        do {
            return try JSONDecoder().decode(Value.self, from: Data(buffer.readableBytesView))
        } catch {
            throw Refusal(.badRequest, "the request is not the JSON that is expected here: \(error)")
        }
    }

    private static func json(_ value: some Encodable) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: try encoder.encode(value))))
    }

    /// A request that is refused, with a sentence for the operator.
    struct Refusal: Error {
        let status: HTTPResponse.Status
        let message: String

        init(_ status: HTTPResponse.Status, _ message: String) {
            self.status = status
            self.message = message
        }
    }

    /// Turns every error into a status and an ``ErrorReport``.
    private struct ErrorsAsJSON: RouterMiddleware {
        typealias Context = BasicRequestContext

        func handle(
            _ request: Request, context: Context, next: (Request, Context) async throws -> Response
        ) async throws -> Response {
            let status: HTTPResponse.Status
            let message: String
            do {
                return try await next(request, context)
            } catch let error as Refusal {
                (status, message) = (error.status, error.message)
            } catch let error as DriverHostError {
                (status, message) = (.conflict, error.description)
            } catch let error as StoreError {
                (status, message) = (.init(code: 507), error.description)
            } catch let error as HTTPError {
                (status, message) = (
                    error.status, error.body ?? "\(request.method) \(request.uri.path): \(error.status)"
                )
            } catch {
                (status, message) = (.internalServerError, "\(error)")
            }
            var response = try ControlServer.json(ErrorReport(message: message))
            response.status = status
            return response
        }
    }
}
