// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import Glibc

/// When a ``SimultaneousOpen`` connects, and for how long: the SYNs that were sent, and those that are left.
struct OpeningTries: Sendable {
    /// How one try ended without a connection.
    enum Ending: Hashable, Sendable {
        case refused
        case noAnswer
        /// No SYN was sent: a connection between the two ends exists, which may be one that just comes in.
        case inUse

        init(_ code: Int32) {
            switch code {
            case ETIMEDOUT: self = .noAnswer
            case EADDRNOTAVAIL, EADDRINUSE: self = .inUse
            default: self = .refused
            }
        }
    }

    /// A try with two SYNs ends before a third could go out; the second goes out after one second (RFC 6298, section
    /// 2.1). `TCP_SYNCNT` alone does not see to that: Linux sends `tcp_syn_linear_timeouts` more, four by default, a
    /// second apart.
    static let pairLasts: Duration = .milliseconds(1900)
    /// A try with one SYN ends before a second could go out.
    static let singleLasts: Duration = .milliseconds(900)
    /// From one SYN to the next, at least: refusals on one machine come within microseconds, and would use up the budget
    /// before the other side has started.
    static let shortestSpacing: Duration = .milliseconds(5)
    /// From one SYN to the next in the spread rhythm, at most.
    static let longestSpacing: Duration = .seconds(1)
    /// The first refusals are answered by another SYN at once, whatever the rhythm: mostly the clocks are less than a
    /// round trip apart.
    static let atOnce = 1
    /// Round trips between two tries of the spread rhythm after that: as many as the burst of the dense one covers.
    static let spread = 5
    /// Round trips before the burst of the dense rhythm, so that the tries of the spread one lie around it whichever
    /// side started first, and the longest that this may be.
    static let beforeBurst = (roundTrips: 15, atMost: Duration.milliseconds(600))
    /// Before the last try of the dense rhythm, in case the other side starts after all others are spent.
    static let beforeLast: Duration = .milliseconds(700)
    /// How many tries one race may make, those without a SYN included.
    static let maximum = 32

    private let plan: SimultaneousOpen.Plan
    /// When the next try begins; `nil` while one is under way, and when none is left.
    private(set) var next: MonotonicInstant?
    /// When the try under way is cut off.
    private(set) var ends: MonotonicInstant?
    /// SYNs of the tries that are over.
    private(set) var syns = 0
    private var began: MonotonicInstant?
    private var count = 0
    private var refusals = 0
    private var last: Ending?

    init(_ plan: SimultaneousOpen.Plan) {
        self.plan = plan
        self.next = plan.dials ? plan.at : nil
    }

    private var left: Int { self.plan.synBudget - self.syns }

    /// A try begins. MUST be called only when ``next`` has come.
    mutating func begin(now: MonotonicInstant) {
        self.count += 1
        self.began = now
        self.next = nil
        self.ends = now + (self.left >= 2 ? Self.pairLasts : Self.singleLasts)
    }

    /// The try under way is over.
    mutating func finish(_ ending: Ending, retransmissions: Int, now: MonotonicInstant) {
        let began = self.began ?? now
        self.ends = nil
        self.last = ending
        if ending != .inUse { self.syns += 1 + retransmissions }
        guard self.left > 0, self.count < Self.maximum else { return self.next = nil }
        self.next = max(now, began + self.spacing(after: ending, roundTrip: now - began))
    }

    /// From the SYN that was answered after `roundTrip` to the next.
    private mutating func spacing(after ending: Ending, roundTrip: Duration) -> Duration {
        let unit = max(roundTrip, Self.shortestSpacing)
        switch ending {
        case .noAnswer: return .zero
        case .inUse: return Self.shortestSpacing * Self.spread
        case .refused: self.refusals += 1
        }
        guard self.refusals > Self.atOnce else { return unit }
        switch self.plan.rhythm {
        case .spread: return min(unit * Self.spread, Self.longestSpacing)
        case .dense where self.left == 1: return unit + Self.beforeLast
        case .dense where self.refusals == Self.atOnce + 1:
            return unit + min(unit * Self.beforeBurst.roundTrips, Self.beforeBurst.atMost)
        case .dense: return unit
        }
    }

    /// What came of all tries, now that none is left or the deadline has come.
    var failure: SimultaneousOpen.Failure {
        switch self.last {
        case .refused: SimultaneousOpen.Failure(reason: .refused, syns: self.syns)
        case .inUse: SimultaneousOpen.Failure(reason: .inUse, syns: self.syns)
        case .noAnswer, nil: SimultaneousOpen.Failure(reason: .noAnswer, syns: self.syns)
        }
    }
}
