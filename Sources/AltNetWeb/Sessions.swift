// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetControl

/// Browsers that are logged in, and codes that log one in. Kept in memory: a restart logs everybody out.
///
/// Secrets and time come in as arguments.
struct Sessions: Sendable {
    /// Browsers of one operator. The oldest is logged out for a new one; only who has the full token can make them.
    static let maximumSessions = 32
    /// A working day.
    static let lifetime = Duration.seconds(12 * 3600)
    /// Codes that wait to be used.
    static let maximumCodes = 8
    /// Long enough to copy a line from a terminal on another machine.
    static let codeLifetime = Duration.seconds(120)

    struct Session: Hashable, Sendable {
        let secret: SecretDigest
        let scope: ControlScope
        /// What a page must repeat to change something: it can be read by pages of our origin only.
        let csrfToken: String
        let expires: WallClockTime
    }

    private struct Code: Hashable, Sendable {
        let secret: SecretDigest
        let scope: ControlScope
        let expires: WallClockTime
    }

    private var sessions: [Session] = []
    private var codes: [Code] = []

    /// Makes a code good for one login.
    mutating func addCode(_ secret: String, scope: ControlScope, now: WallClockTime) -> WallClockTime {
        self.expire(now)
        let expires = now + Self.codeLifetime
        self.codes.append(Code(secret: SecretDigest(secret), scope: scope, expires: expires))
        self.codes.removeFirst(max(0, self.codes.count - Self.maximumCodes))
        return expires
    }

    /// Uses a code up; what it is good for, or `nil` when there is no such code (any more).
    mutating func use(code: String, now: WallClockTime) -> ControlScope? {
        self.expire(now)
        guard let index = self.codes.firstIndex(where: { $0.secret.matches(code) }) else { return nil }
        return self.codes.remove(at: index).scope
    }

    mutating func begin(_ secret: String, csrfToken: String, scope: ControlScope, now: WallClockTime) {
        self.expire(now)
        self.sessions.append(
            Session(
                secret: SecretDigest(secret), scope: scope, csrfToken: csrfToken, expires: now + Self.lifetime))
        self.sessions.removeFirst(max(0, self.sessions.count - Self.maximumSessions))
    }

    /// The session with this secret, if it is still good.
    mutating func find(_ secret: String, now: WallClockTime) -> Session? {
        self.expire(now)
        return self.sessions.first { $0.secret.matches(secret) }
    }

    mutating func end(_ session: Session) {
        self.sessions.removeAll { $0 == session }
    }

    private mutating func expire(_ now: WallClockTime) {
        self.sessions.removeAll { $0.expires <= now }
        self.codes.removeAll { $0.expires <= now }
    }
}

/// How many wrong credentials are looked at before the answer is "too many".
///
/// It bounds what failed attempts write to the log, and what they learn. It keeps nobody out who has a good token: an
/// attacker could use that to lock the operator out, and gains nothing by guessing at 256 bits.
struct FailureBudget: Sendable {
    /// A mistyped or stale token in some scripts.
    static let burst = 10
    /// One each so much time.
    static let interval = Duration.seconds(1)

    private var left = Self.burst
    private var counted: MonotonicInstant

    init(now: MonotonicInstant) {
        self.counted = now
    }

    /// Whether one more failure is within the budget.
    mutating func take(now: MonotonicInstant) -> Bool {
        let earned = max(0, (now - self.counted).wholeNanoseconds / Self.interval.wholeNanoseconds)
        self.left = Int(min(Int64(Self.burst), Int64(self.left) + earned))
        self.counted =
            self.left == Self.burst ? now : self.counted + Self.interval * Int(min(earned, Int64(Self.burst)))
        guard self.left > 0 else { return false }
        self.left -= 1
        return true
    }
}
