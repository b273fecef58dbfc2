// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import AltNetBitcoin
internal import AltNetObjects

/// Finds out whether the other side still answers (BIP 31).
struct KeepAlive: Hashable, Sendable {
    private enum State: Hashable {
        /// Before the handshake is complete.
        case stopped
        /// The last ping is answered; the next one is due then.
        case waiting(until: MonotonicInstant)
        /// A ping with this number is under way.
        case pinged(nonce: UInt64, deadline: MonotonicInstant)
    }

    /// What to do when the timer rings.
    enum Step: Hashable {
        case nothing
        case ping(UInt64)
        /// The pong is overdue.
        case dead
    }

    private var state = State.stopped
    private var nonces: SeededRandom
    private var inboundPings = TokenBucket(BitcoinPeerLimits.pings)
    private let timeouts: BitcoinPeerSession.Timeouts

    init(seed: UInt64, timeouts: BitcoinPeerSession.Timeouts) {
        self.nonces = SeededRandom(seed: seed)
        self.timeouts = timeouts
    }

    mutating func start(now: MonotonicInstant) {
        self.state = .waiting(until: now + self.timeouts.pingInterval)
    }

    var deadline: MonotonicInstant? {
        switch self.state {
        case .stopped: nil
        case .waiting(let moment), .pinged(_, let moment): moment
        }
    }

    mutating func onTimer(now: MonotonicInstant) -> Step {
        switch self.state {
        case .waiting(let moment) where now >= moment:
            let nonce = self.nonces.next()
            self.state = .pinged(nonce: nonce, deadline: now + self.timeouts.pong)
            return .ping(nonce)
        case .pinged(_, let deadline) where now >= deadline: return .dead
        case .stopped, .waiting, .pinged: return .nothing
        }
    }

    /// Whether the pong answers our ping. Another one is ignored, as Bitcoin Core does: pings may overlap.
    mutating func receivePong(_ nonce: UInt64, now: MonotonicInstant) -> Bool {
        guard case .pinged(nonce, _) = self.state else { return false }
        self.state = .waiting(until: now + self.timeouts.pingInterval)
        return true
    }

    /// Whether the other side may ping us once more.
    mutating func allowsPing(now: MonotonicInstant) -> Bool { self.inboundPings.take(now: now) }
}

extension BitcoinPeerSession {
    /// Answers a ping with its number, within the rate.
    mutating func receivePing(_ nonce: UInt64, now: MonotonicInstant) throws(DisconnectReason) {
        guard self.keepAlive.allowsPing(now: now) else {
            throw DisconnectReason(.limitExceeded, "more than \(Int(BitcoinPeerLimits.pings.perSecond)) pings a second")
        }
        self.write(.pong(nonce))
    }

    /// Sends a ping that is due, and gives up on an overdue pong.
    mutating func checkPing(now: MonotonicInstant) throws(DisconnectReason) {
        switch self.keepAlive.onTimer(now: now) {
        case .nothing: break
        case .ping(let nonce): self.write(.ping(nonce))
        case .dead:
            throw DisconnectReason(.timedOut, "no pong within \(self.configuration.timeouts.pong)")
        }
    }
}
