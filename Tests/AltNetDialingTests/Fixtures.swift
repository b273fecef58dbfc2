// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDialing
import AltNetPeerRecords
import Testing

/// A peer of that number.
func peer(_ number: UInt8) throws -> PeerID {
    try PeerID(bytes: [0x12, 0x20] + [UInt8](repeating: number, count: 32))
}

func address(_ text: String) throws -> Multiaddress { try Multiaddress(text: text) }

/// An address as a store knows it. Times are seconds.
func candidate(
    _ text: String, _ sources: AddressSources = .dht, exposure: DialExposure = .clearnetAddress,
    success: Int64? = nil, failure: Int64? = nil, latency: Duration? = nil
) throws -> DialCandidate {
    let known = KnownAddress(
        address: try address(text), sources: sources, firstSeen: WallClockTime(seconds: 1),
        lastSeen: WallClockTime(seconds: 2), expiry: nil, lastSuccess: success.map { WallClockTime(seconds: $0) },
        lastFailure: failure.map { WallClockTime(seconds: $0) }, latency: latency)
    return DialCandidate(known, exposure: exposure)
}

/// A machine whose directives are taken apart for a test.
struct Bench {
    var machine: Dialing
    var now = MonotonicInstant.zero
    /// Attempts under way, in the order in which they began.
    var under: [(attempt: Dialing.AttemptID, peer: PeerID, address: String)] = []
    var closed: [Dialing.AttemptID] = []
    /// Those of them that took too long.
    var tooSlow: [Dialing.AttemptID] = []
    var succeeded: [UInt64: Dialing.AttemptID] = [:]
    var failed: [UInt64: DialFailure] = [:]
    var timer: MonotonicInstant?

    init(_ settings: Dialing.Settings = Dialing.Settings()) {
        self.machine = Dialing(settings, random: SeededRandom(seed: 1))
    }

    /// The addresses under way.
    var addresses: [String] { self.under.map(\.address) }

    mutating func take(_ directives: [Dialing.Directive]) {
        for directive in directives {
            switch directive {
            case .open(let attempt, let peer, let address): self.under.append((attempt, peer, address.description))
            case .close(let attempt, let reason):
                if reason == .tooSlow { self.tooSlow.append(attempt) }
                self.under.removeAll { $0.attempt == attempt }
                self.closed.append(attempt)
            case .succeeded(let request, let attempt): self.succeeded[request.rawValue] = attempt
            case .failed(let request, let failure): self.failed[request.rawValue] = failure
            case .setTimer(let time): self.timer = time
            }
        }
    }

    mutating func request(
        _ id: UInt64, _ peer: PeerID, _ candidates: [DialCandidate], _ policy: DialPolicy = .standard,
        ignoresBackOff: Bool = false
    ) {
        self.take(
            self.machine.onRequest(
                .init(id), peer: peer, policy: policy, candidates: candidates, ignoresBackOff: ignoresBackOff,
                now: self.now))
    }

    mutating func add(_ peer: PeerID, _ candidates: [DialCandidate]) {
        self.take(self.machine.onCandidates(peer, candidates, now: self.now))
    }

    mutating func cancel(_ id: UInt64) { self.take(self.machine.onCancel(.init(id), now: self.now)) }

    /// The attempt at that address succeeds.
    @discardableResult
    mutating func connect(_ address: String) throws -> Dialing.AttemptID {
        let attempt = try self.end(address)
        self.take(self.machine.onConnected(attempt, now: self.now))
        return attempt
    }

    mutating func fail(_ address: String, _ failure: Dialing.AttemptFailure = .remote) throws {
        let attempt = try self.end(address)
        self.take(self.machine.onFailed(attempt, failure, now: self.now))
    }

    private mutating func end(_ address: String) throws -> Dialing.AttemptID {
        let index = try #require(self.under.firstIndex { $0.address == address })
        return self.under.remove(at: index).attempt
    }

    /// Lets time go by, with the timers on time.
    mutating func wait(_ duration: Duration) {
        let end = self.now + duration
        while let timer = self.timer, timer <= end {
            self.timer = nil
            self.now = max(self.now, timer)
            self.take(self.machine.onTimer(now: self.now))
        }
        self.now = end
    }
}
