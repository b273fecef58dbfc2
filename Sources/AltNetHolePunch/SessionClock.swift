// SPDX-License-Identifier: MIT

internal import AltNetBase

/// The clock of one coordination connection: microseconds from a random start, so that nothing about the machine's
/// own clock or its uptime is told, which would tie the endpoint to its other connections.
struct SessionClock: Hashable, Sendable {
    private let start: UInt64
    private let origin: MonotonicInstant

    init(start: UInt64, origin: MonotonicInstant) {
        self.start = start
        self.origin = origin
    }

    func reading(at instant: MonotonicInstant) -> UInt64 {
        self.start &+ UInt64(bitPattern: (instant - self.origin).wholeNanoseconds / 1000)
    }

    /// How far a reading lies ahead of `now`; negative when it is over. Every number is a valid reading.
    func lead(of reading: UInt64, at now: MonotonicInstant) -> Duration {
        .microseconds(Int64(bitPattern: reading &- self.reading(at: now)))
    }
}

/// What time it is on the other side, from questions and answers over a link whose delay varies: NTP's arithmetic
/// (RFC 5905, section 8), of which the answer with the shortest round trip counts, because it waited least on the way.
struct ClockAgreement: Sendable {
    /// The moment is not agreed on with fewer answers: one alone may be any that waited long.
    static let minimumSamples = 3
    /// The questions of the first attempt, one after the other.
    static let rounds = 4
    /// The questions of each later attempt: what was agreed on before still holds, and may get better.
    static let laterRounds = 2
    /// The clocks of two machines run apart by up to 500 parts in a million, and answers take seconds at most.
    static let tolerance: Duration = .milliseconds(2)

    private struct Sample {
        /// Our time in the middle between question and answer, and theirs.
        let here: MonotonicInstant
        let there: UInt64
        let roundTrip: Duration
    }

    private var best: Sample?
    private var longest: Duration = .zero
    /// Answers so far.
    private(set) var samples = 0
    /// The question without an answer: what our clock showed, by which the answer is known, and when that was.
    private var open: (reading: UInt64, sent: MonotonicInstant)?

    /// The shortest round trip.
    var roundTrip: Duration? { self.best?.roundTrip }
    /// The difference between the longest and the shortest round trip.
    var jitter: Duration { self.longest - (self.best?.roundTrip ?? self.longest) }
    var isWaiting: Bool { self.open != nil }

    /// A question leaves. There is one at a time.
    mutating func asked(reading: UInt64, now: MonotonicInstant) {
        self.open = (reading, now)
    }

    /// An answer came. `false` when it belongs to no question, or says that it left before it came, or that it took
    /// longer than the time between question and answer.
    mutating func answered(reading: UInt64, received: UInt64, replied: UInt64, now: MonotonicInstant) -> Bool {
        guard let open = self.open, open.reading == reading else { return false }
        self.open = nil
        let total = now - open.sent
        let held = Duration.microseconds(Int64(bitPattern: replied &- received))
        guard held >= .zero, held <= total + Self.tolerance else { return false }
        let roundTrip = max(.zero, total - held)
        self.samples += 1
        self.longest = max(self.longest, roundTrip)
        if let best = self.best, best.roundTrip <= roundTrip { return true }
        self.best = Sample(
            here: open.sent + total / 2, there: received &+ (replied &- received) / 2, roundTrip: roundTrip)
        return true
    }

    /// What the other side's clock shows at a moment of ours; `nil` before the first answer.
    func reading(at instant: MonotonicInstant) -> UInt64? {
        self.best.map { $0.there &+ UInt64(bitPattern: (instant - $0.here).wholeNanoseconds / 1000) }
    }

    /// How far ahead the moment should be, so that the message that names it comes before it, also when it is lost once
    /// on its way: one way, and a round trip more until TCP sends it again, twice what the delay has varied, and a margin.
    /// Whoever starts late is met with resets or silence, which costs a second. Bounded by what the other side accepts.
    var lead: Duration {
        let shortest = self.best?.roundTrip ?? .zero
        return min(shortest / 2 + shortest + self.jitter * 2 + Self.margin, Self.maximumLead)
    }

    /// What TCP waits beside the round trip before it sends again, 200 ms on Linux, and 50 ms for both schedulers.
    private static let margin: Duration = .milliseconds(250)
    /// Below ``Coordination/maximumLead``, of which the other side's clock error has the rest.
    static let maximumLead: Duration = .seconds(4)
}
