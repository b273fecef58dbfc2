// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl

/// What a route needs of who asks.
enum Access: Hashable, Sendable, CaseIterable {
    /// Nothing.
    case open
    /// A token or a session of any scope.
    case read
    /// The full token, or a session with full scope.
    case operate
}

/// The parts of a request that decide who is asking.
struct Credentials: Hashable, Sendable {
    /// The header `Host`.
    var host: String?
    var origin: String?
    /// The header `Sec-Fetch-Site`, by which browsers say who makes them ask (W3C Fetch Metadata).
    var fetchSite: String?
    var authorization: String?
    /// All headers `Cookie`, joined by `; `.
    var cookie: String?
    var csrfToken: String?
    /// The request changes something.
    var isChange = false
}

/// Decides who may do what over TCP. The Unix socket needs none of it: the file's mode says who is the operator.
struct AccessControl: Sendable {
    /// Who was let in.
    enum Grant: Hashable, Sendable {
        /// Asks for what everybody may have.
        case anybody
        case token(ControlScope)
        case session(Sessions.Session)
        /// Came over the Unix socket.
        case owner

        var scope: ControlScope? {
            switch self {
            case .anybody: nil
            case .token(let scope): scope
            case .session(let session): session.scope
            case .owner: .full
            }
        }
    }

    /// Cookies of one name that are looked at: pages on other ports of this machine can add some to ours.
    static let maximumCookies = 4

    /// What we are called; see ``LoopbackAddress/names``.
    let names: Set<String>
    let cookieName: String
    let full: SecretDigest
    let readOnly: SecretDigest
    var sessions = Sessions()
    private var failures: FailureBudget

    init(_ address: LoopbackAddress, tokens: AccessTokens, now: MonotonicInstant) {
        self.names = address.names
        // Cookies do not know ports: two daemons on one machine would log each other out.
        self.cookieName = "altnet-\(address.port)"
        self.full = tokens.full
        self.readOnly = tokens.readOnly
        self.failures = FailureBudget(now: now)
    }

    /// Refuses what a page of another origin made a browser send, or what came by a name that is not ours.
    func checkOrigin(_ request: Credentials) throws(ControlRefusal) {
        guard let host = request.host, self.names.contains(host.lowercased()) else {
            throw ControlRefusal(
                .misdirected, "the header Host must name this server, such as \(self.names.sorted().first ?? "")")
        }
        if let origin = request.origin {
            let prefix = "http://"
            guard origin.hasPrefix(prefix), self.names.contains(origin.dropFirst(prefix.count).lowercased()) else {
                throw ControlRefusal(.forbidden, "pages of another origin may not ask")
            }
        }
        // "same-site" is a page on another port of this machine.
        if let site = request.fetchSite, site != "same-origin", site != "none" {
            throw ControlRefusal(.forbidden, "pages of another origin may not ask")
        }
    }

    /// Who is asking, once the origin is in order, if that is enough for the route.
    mutating func judge(
        _ request: Credentials, for access: Access, now: MonotonicInstant, wall: WallClockTime
    ) throws(ControlRefusal) -> Grant {
        if access == .open { return .anybody }
        let grant: Grant
        if let authorization = request.authorization {
            grant = .token(try self.scope(of: authorization, now: now))
        } else if let session = self.session(of: request.cookie, wall: wall) {
            grant = .session(session)
        } else if request.cookie != nil {
            throw ControlRefusal(.unauthorized, "the session has ended; log in with: altnet dashboard")
        } else {
            throw ControlRefusal(
                .unauthorized, "a token is needed: Authorization: Bearer, with the text of \(AccessTokens.fullFile)")
        }
        if access == .operate, grant.scope != .full {
            throw ControlRefusal(.forbidden, "this needs the full token, not the read-only one")
        }
        if case .session(let session) = grant, request.isChange {
            guard let token = request.csrfToken, SecretDigest(session.csrfToken).matches(token) else {
                throw ControlRefusal(.forbidden, "the header X-CSRF-Token must have what GET /v1/session says")
            }
        }
        return grant
    }

    /// Uses a login code up; what it is good for.
    mutating func use(code: String, now: MonotonicInstant, wall: WallClockTime) throws(ControlRefusal) -> ControlScope {
        guard let scope = self.sessions.use(code: code, now: wall) else {
            throw self.failure("the login code is used up or too old; make another with: altnet dashboard", now: now)
        }
        return scope
    }

    private mutating func scope(of authorization: String, now: MonotonicInstant) throws(ControlRefusal) -> ControlScope
    {
        let parts = authorization.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else {
            throw self.failure("the header Authorization must be Bearer and a token", now: now)
        }
        // Both are compared always, so that the time says nothing about which was nearly right.
        let (isFull, isReadOnly) = (self.full.matches(String(parts[1])), self.readOnly.matches(String(parts[1])))
        if isFull { return .full }
        if isReadOnly { return .readOnly }
        throw self.failure("this is not the token; it is made anew at each start of altnetd", now: now)
    }

    private mutating func failure(_ sentence: String, now: MonotonicInstant) -> ControlRefusal {
        self.failures.take(now: now)
            ? ControlRefusal(.unauthorized, sentence)
            : ControlRefusal(.tooManyRequests, "too many attempts with a wrong token")
    }

    private mutating func session(of cookie: String?, wall: WallClockTime) -> Sessions.Session? {
        guard let cookie else { return nil }
        let prefix = self.cookieName + "="
        let secrets = cookie.split(separator: ";").lazy
            .map { $0.drop { $0 == " " } }.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        for secret in secrets.prefix(Self.maximumCookies) {
            if let session = self.sessions.find(secret, now: wall) { return session }
        }
        return nil
    }
}
