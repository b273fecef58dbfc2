// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
internal import FoundationEssentials
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore

/// What both listeners share.
struct ControlService: Sendable {
    let operations: any ControlOperations
    let events: EventHub
    let unix: Listener
    let tcp: Listener
    let configuration: WebConfiguration
    let bound: BoundAddress
    let logger: Logger

    /// Where the dashboard is; `nil` when HTTP is turned off.
    var url: String? { self.bound.value?.url }

    /// Makes an address that logs a browser in once.
    func makeLogin(_ scope: ControlScope) throws(ControlRefusal) -> LoginReport {
        guard let url = self.url else {
            throw ControlRefusal(.conflict, "altnetd serves no HTTP: set `listen` in [http]")
        }
        let code = SecretDigest.newSecret()
        let expires = try self.tcp.addCode(code, scope: scope)
        return LoginReport(url: "\(url)/login?code=\(code)", expires: Timestamp(expires))
    }

    /// Uses a login code up; the cookie that it is good for.
    func logIn(_ code: String, at listener: Listener) throws(ControlRefusal) -> String {
        guard listener.kind == .tcp else { throw ControlRefusal(.notFound, "nobody has to log in here") }
        return try listener.logIn(code)
    }

    func metrics() async -> String {
        let operations = self.operations
        return Metrics.page(
            MetricsInput(
                status: await operations.status(), links: await operations.links(), drivers: await operations.drivers(),
                node: await operations.node(), splices: await operations.splices(), safe: await operations.safe(),
                openIncidents: (try? await operations.incidents(
                    limit: ControlInterface.maximumIncidents, onlyOpen: true)) ?? [],
                counters: await operations.counters(), punch: await operations.punchOverview(),
                http: [.unix: self.unix.counts, .tcp: self.tcp.counts],
                eventStreams: self.events.readers, process: .current))
    }
}

/// Answers the requests of one listener.
struct ControlResponder: HTTPResponder {
    /// The connection of a request.
    struct Context: InitializableFromSource {
        let channel: any Channel

        init(source: ApplicationRequestContextSource) {
            self.channel = source.channel
        }
    }

    let service: ControlService
    let listener: Listener

    func respond(to request: Request, context: Context) async throws -> Response {
        var response: Response
        do {
            response = try await self.answer(request, context)
        } catch {
            response = try self.refuse(error, request)
        }
        self.listener.count(status: response.status.code)
        response.headers.append(contentsOf: Self.securityHeaders)
        return request.method == .head ? response.createHeadResponse() : response
    }

    private func answer(_ request: Request, _ context: Context) async throws -> Response {
        let credentials = Credentials(request)
        try self.listener.checkOrigin(credentials)
        // A second one is ambiguous (RFC 9112, section 3.2).
        guard request.headers[.host] == nil else { throw ControlRefusal(.badRequest, "there are two headers Host") }
        let target = (request.head.path ?? "").split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = target.first ?? ""
        let segments = path.split(separator: "/", omittingEmptySubsequences: false)
        let matches = Route.all.compactMap { route in route.match(segments).map { (route, $0) } }
        guard !matches.isEmpty else {
            throw ControlRefusal(.notFound, "there is nothing at \(UntrustedText(path.utf8))")
        }
        let method = request.method == .head ? .get : request.method
        guard let (route, parameters) = matches.first(where: { $0.0.method == method }) else {
            let allowed = matches.map(\.0.method.rawValue) + (matches.contains { $0.0.method == .get } ? ["HEAD"] : [])
            throw MethodNotAllowed(allowed: allowed.sorted())
        }
        let access = route.path == "/metrics" && self.service.configuration.metricsWithoutToken ? .open : route.access
        let grant = try self.listener.judge(credentials, for: access)
        let query = try Query.parse(target.count > 1 ? target[1] : "", names: route.query)
        let heavy = route.isHeavy ? self.listener.heavy.tryEnter() : nil
        guard !route.isHeavy || heavy != nil else {
            throw ControlRefusal(.unavailable, "too many large requests at once; try again")
        }
        let body = try await Self.body(of: request, for: route.body)
        let asked = Asked(
            parameters: parameters, query: query, body: body, headers: request.headers, grant: grant,
            listener: self.listener, channel: context.channel)
        let pass = try await self.place(for: route)
        defer { withExtendedLifetime(pass) {} }
        let response = try await route.answer(asked, self.service)
        return heavy.map { Self.keep($0, while: response) } ?? response
    }

    /// A place among the requests that are dealt with now.
    private func place(for route: Route) async throws(ControlRefusal) -> Turnstile.Pass {
        guard route.isSlow else { return await self.listener.requests.enter() }
        guard let pass = self.listener.slow.tryEnter() else {
            throw ControlRefusal(
                .unavailable,
                "\(Listener.maximumSlowRequests) requests wait for drivers already, which is the most; try again later")
        }
        return pass
    }

    /// Keeps a place until the answer is written, however slowly the client reads.
    private static func keep(_ pass: Turnstile.Pass, while response: Response) -> Response {
        let body = response.body
        return Response(
            status: response.status, headers: response.headers,
            body: ResponseBody(contentLength: body.contentLength) { writer in
                defer { withExtendedLifetime(pass) {} }
                try await body.write(writer)
            })
    }

    private static func body(of request: Request, for expected: Route.Body) async throws -> ByteBuffer {
        guard expected != .none else { return ByteBuffer() }
        let type = request.headers[.contentType]?.split(separator: ";").first?.lowercased()
        guard type == nil || type == expected.contentType else {
            throw ControlRefusal(.unsupportedMediaType, "the header Content-Type must be \(expected.contentType)")
        }
        if let text = request.headers[.contentLength], let length = Int(text), length > expected.maximumBytes {
            throw ControlRefusal(
                .contentTooLarge, "the request has \(length) bytes; \(expected.maximumBytes) are allowed")
        }
        do {
            return try await request.body.collect(upTo: expected.maximumBytes)
        } catch is NIOTooManyBytesError {
            throw ControlRefusal(.contentTooLarge, "the request has more than \(expected.maximumBytes) bytes")
        }
    }

    private struct MethodNotAllowed: Error {
        let allowed: [String]
    }

    /// Every error becomes a status and an ``ErrorReport``.
    private func refuse(_ error: any Error, _ request: Request) throws -> Response {
        let refusal: ControlRefusal
        var headers: HTTPFields = [:]
        switch error {
        case let error as ControlRefusal: refusal = error
        case let error as MethodNotAllowed:
            refusal = ControlRefusal(.methodNotAllowed, "\(UntrustedText(request.method.rawValue)) cannot be used here")
            headers[.allow] = error.allowed.joined(separator: ", ")
        default:
            self.service.logger.warning("request failed", metadata: ["reason": "\(error)"])
            refusal = ControlRefusal(.internalError, "\(error)")
        }
        switch refusal.reason {
        case .unauthorized:
            headers[.wwwAuthenticate] = "Bearer"
            if request.headers[.authorization] != nil {
                self.service.logger.warning(
                    "wrong token", metadata: ["request": "\(UntrustedText(request.uri.path))"])
            }
        case .tooManyRequests, .unavailable: headers[.retryAfter] = "1"
        default: break
        }
        // A connection that was refused an event stream has nothing more to ask.
        if refusal.reason == .unavailable { headers[.connection] = "close" }
        var response = try Answer.json(
            ErrorReport(message: refusal.description), status: HTTPResponse.Status(code: refusal.reason.rawValue))
        response.headers.append(contentsOf: headers)
        return response
    }

    /// No page but ours, and ours only with what it brings itself. Nothing is kept by browsers.
    private static let securityHeaders: HTTPFields = [
        .cacheControl: "no-store",
        .contentSecurityPolicy:
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        .xContentTypeOptions: "nosniff",
        .xFrameOptions: "DENY",
        .referrerPolicy: "no-referrer",
        .crossOriginResourcePolicy: "same-origin",
        .crossOriginOpenerPolicy: "same-origin",
    ]
}

extension Credentials {
    init(_ request: Request) {
        self.init(
            host: request.head.authority, origin: request.headers[.origin], fetchSite: request.headers[.secFetchSite],
            authorization: request.headers[.authorization],
            // The codec splits one header into several.
            cookie: request.headers.contains(.cookie)
                ? request.headers[values: .cookie].joined(separator: "; ") : nil,
            csrfToken: request.headers[.csrfToken], isChange: request.method != .get && request.method != .head)
    }
}

extension HTTPField.Name {
    static let host = literal("Host")
    static let lastEventID = literal("Last-Event-ID")
    static let secFetchSite = literal("Sec-Fetch-Site")
    static let csrfToken = literal("X-CSRF-Token")
    static let xFrameOptions = literal("X-Frame-Options")
    static let referrerPolicy = literal("Referrer-Policy")
    static let crossOriginOpenerPolicy = literal("Cross-Origin-Opener-Policy")

    private static func literal(_ name: StaticString) -> Self {
        guard let name = Self("\(name)") else { preconditionFailure("\(name) is no name of a header") }
        return name
    }
}
