// SPDX-License-Identifier: MIT

/// What somebody who has shown a token may do.
public enum ControlScope: String, Hashable, Sendable, Codable {
    /// Questions without side effects.
    case readOnly = "read-only"
    /// Everything.
    case full
}

/// `POST /v1/logins`: asks for an address that logs a browser in.
public struct LoginRequest: Hashable, Sendable, Codable {
    public var scope: ControlScope

    public init(scope: ControlScope) {
        self.scope = scope
    }
}

/// The answer: open `url` once, soon.
public struct LoginReport: Hashable, Sendable, Codable {
    public var url: String
    public var expires: Timestamp

    public init(url: String, expires: Timestamp) {
        self.url = url
        self.expires = expires
    }
}

/// `GET /v1/session`: who the server thinks is asking.
public struct SessionReport: Hashable, Sendable, Codable {
    public var scope: ControlScope
    /// What a page must send as `X-CSRF-Token` to change something; absent without a session.
    public var csrfToken: String?

    public init(scope: ControlScope, csrfToken: String?) {
        self.scope = scope
        self.csrfToken = csrfToken
    }
}
