// SPDX-License-Identifier: MIT

internal import AltNetBase

/// Notices when the other side has gone: asks with a ping when nothing came for a while (BOLT 1, "Control Messages").
struct KeepAlive: Sendable {
    enum TimerOutcome: Hashable {
        case nothing
        case sendPing(pongLength: UInt16)
        case silent
    }

    /// What our pings ask for: as little as can be told apart from an empty pong.
    static let pongLength: UInt16 = 16
    /// A pong may wait behind an answer that is still on its way, for as long as bytes keep coming, but not for ever.
    static let maximumPongDelay = Duration.seconds(300)

    private let interval: Duration
    private let timeout: Duration
    private var lastReceived: MonotonicInstant
    private var pingSent: MonotonicInstant?

    init(interval: Duration, timeout: Duration, now: MonotonicInstant) {
        self.interval = interval
        self.timeout = timeout
        self.lastReceived = now
    }

    /// When ``onTimer(now:)`` has something to do.
    var deadline: MonotonicInstant {
        guard let pingSent else { return self.lastReceived + self.interval }
        return min(max(self.lastReceived, pingSent) + self.timeout, pingSent + Self.maximumPongDelay)
    }

    /// Bytes came.
    mutating func onReceived(now: MonotonicInstant) {
        self.lastReceived = now
    }

    /// A pong came; `false` when it answers no ping of ours.
    mutating func onPong(length: UInt16) -> Bool {
        guard self.pingSent != nil, length == Self.pongLength else { return false }
        self.pingSent = nil
        return true
    }

    mutating func onTimer(now: MonotonicInstant) -> TimerOutcome {
        guard now >= self.deadline else { return .nothing }
        guard self.pingSent == nil else { return .silent }
        self.pingSent = now
        return .sendPing(pongLength: Self.pongLength)
    }
}
