// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl
internal import Synchronization

/// What belongs to one of the two listeners. Each has its own bounds, so that a flood over TCP keeps nobody from the
/// Unix socket.
final class Listener: Sendable {
    enum Kind: String, Hashable, Sendable, CaseIterable {
        /// Only the owner can open it.
        case unix
        case tcp
    }

    /// Connections at once. More wait in the system's queue until one ends.
    static let maximumConnections = 256
    /// Connections that the system may hold back for us.
    static let backlog = 256
    /// Requests that are dealt with at once; the others wait. So the daemon's own work is never behind more than these.
    static let maximumRequests = 8
    /// Requests at once whose body or answer has megabytes; more are turned away.
    static let maximumHeavyRequests = 4
    /// Requests at once that wait for remotes, minutes if need be; more are turned away.
    static let maximumSlowRequests = 32

    let kind: Kind
    let requests = Turnstile(maximumRequests)
    let heavy = Turnstile(maximumHeavyRequests)
    let slow = Turnstile(maximumSlowRequests)
    let readers = Turnstile(EventHub.maximumReaders)
    /// Answers by the first digit of their status.
    private let answered = Mutex<[Int: UInt64]>([:])
    /// Who may ask; `nil` for the Unix socket, and for TCP before it listens.
    private let access = Mutex<AccessControl?>(nil)

    init(_ kind: Kind) {
        self.kind = kind
    }

    func open(_ access: AccessControl) {
        self.access.withLock { $0 = access }
    }

    func count(status: Int) {
        self.answered.withLock { $0[status / 100, default: 0] += 1 }
    }

    var counts: [Int: UInt64] { self.answered.withLock { $0 } }

    /// Who asks, if that is enough for the route.
    func judge(_ credentials: Credentials, for access: Access) throws(ControlRefusal) -> AccessControl.Grant {
        guard self.kind == .tcp else { return .owner }
        return try self.withAccess { control throws(ControlRefusal) in
            try control.judge(credentials, for: access, now: .system, wall: .system)
        }
    }

    func checkOrigin(_ credentials: Credentials) throws(ControlRefusal) {
        guard self.kind == .tcp else { return }
        try self.withAccess { control throws(ControlRefusal) in try control.checkOrigin(credentials) }
    }

    /// Makes a code that logs one browser in; when it ends to be good.
    func addCode(_ code: String, scope: ControlScope) throws(ControlRefusal) -> WallClockTime {
        try self.withAccess { control throws(ControlRefusal) in
            control.sessions.addCode(code, scope: scope, now: .system)
        }
    }

    /// Uses a code up; the header `Set-Cookie` of the session that begins.
    func logIn(_ code: String) throws(ControlRefusal) -> String {
        try self.withAccess { control throws(ControlRefusal) in
            let scope = try control.use(code: code, now: .system, wall: .system)
            let secret = SecretDigest.newSecret()
            control.sessions.begin(secret, csrfToken: SecretDigest.newSecret(), scope: scope, now: .system)
            return "\(control.cookieName)=\(secret); Path=/; HttpOnly; SameSite=Strict; "
                + "Max-Age=\(Int(Sessions.lifetime.inSeconds))"
        }
    }

    func logOut(_ session: Sessions.Session) {
        self.access.withLock { $0?.sessions.end(session) }
    }

    private func withAccess<Value: Sendable>(
        _ body: (inout AccessControl) throws(ControlRefusal) -> Value
    ) throws(ControlRefusal) -> Value {
        try self.access.withLock { access throws(ControlRefusal) in
            // Taken out and put back, so that it is changed in place and kept when the body throws.
            guard var control = access.take() else {
                throw ControlRefusal(.unavailable, "altnetd does not serve HTTP on loopback now")
            }
            defer { access = control }
            return try body(&control)
        }
    }
}
