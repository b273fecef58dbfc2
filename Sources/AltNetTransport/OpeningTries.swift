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
    /// How many round trips are between two tries of the spread rhythm: as many as the tries of the dense one cover.
    static let spread = 6
    /// The last tries of the dense rhythm wait this long, in case the other side starts after all others are spent.
    static let late: [Duration] = [.milliseconds(700), .milliseconds(300)]
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
        let answered = now - began
        let spacing: Duration =
            switch (ending, self.plan.rhythm) {
            case (.noAnswer, _): .zero
            case (.inUse, _): Self.shortestSpacing * Self.spread
            case (.refused, .dense): self.left <= Self.late.count ? answered + Self.late[self.left - 1] : answered
            case (.refused, .spread): min(answered * Self.spread, Self.longestSpacing)
            }
        let shortest = self.plan.rhythm == .dense ? Self.shortestSpacing : Self.shortestSpacing * Self.spread
        self.next = max(now, began + max(spacing, shortest))
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
