// SPDX-License-Identifier: MIT

public import AltNetBase

/// Notices when the node, a link or all of them are kept from the real chain.
///
/// A value without I/O: observations and time come in, directives go out. What it does with each observation costs some
/// microseconds; of an initial synchronisation only the last ``Picture`` window (some 4,000 headers) need be told,
/// older ones are forgotten again.
public struct Watchdog: Sendable {
    public enum Directive: Hashable, Sendable {
        /// A new incident: store it.
        case open(Incident)
        /// The incident of that number changed; it may have been closed before and be open again.
        case update(Incident)
        /// The incident of that number is over.
        case close(Incident)
        /// Call ``Watchdog/onTimer(now:)`` at this time; replaces any earlier one.
        case setTimer(WallClockTime)
    }

    /// The timer is never set further ahead than this: so a machine that slept is noticed, because the timer then comes
    /// late.
    public static let maximumTimer = Duration.seconds(300)
    /// A timer that comes this much late means that the process did not run, not that it was busy.
    public static let pause = Duration.seconds(120)

    /// A detector with what it said last.
    private struct Seat: Sendable {
        var detector: any Detector
        var findings = Findings()
    }

    private var seats: [Seat]
    private var picture = Picture()
    private var book: IncidentBook
    private var timer: WallClockTime?

    /// - Parameter nextID: the number of the next incident: one more than the store's last.
    public init(configuration: Configuration, nextID: Int64) {
        self.seats = configuration.detectors.map { Seat(detector: $0) }
        self.book = IncidentBook(nextID: nextID)
    }

    /// The incidents that are open now, by number.
    public var open: [Incident] { self.book.open }

    /// How much later than the first one this subject usually shows a block: the median of its last ones, `nil` when
    /// there are none.
    public func lateness(of subject: Subject) -> Duration? { self.picture.states[subject]?.arrivals.median }

    /// Something was seen.
    public mutating func observe(_ observation: Observation) -> [Directive] {
        let now = observation.at
        let paused = self.noticePause(now: now)
        let changed = self.picture.observe(observation)
        return self.look(paused.union(changed), now: now)
    }

    /// Time has passed.
    public mutating func onTimer(now: WallClockTime) -> [Directive] {
        let paused = self.noticePause(now: now)
        self.timer = nil
        return self.look(paused, now: now)
    }

    /// The daemon stops: all open incidents end, in the order of their numbers.
    public mutating func onStop(now: WallClockTime) -> [Directive] {
        self.timer = nil
        return self.book.stop(now: now)
    }

    /// Writes down what was done about an incident, also shortly after it closed.
    public mutating func note(_ action: ActionRecord, on incident: Int64) -> [Directive] {
        self.book.note(action, on: incident)
    }

    /// A machine that slept and a process that was stopped must not be taken for silence of the others.
    private mutating func noticePause(now: WallClockTime) -> Picture.Aspects {
        guard let timer = self.timer, now - timer > Self.pause else { return [] }
        self.picture.resume(now: now)
        return .all
    }

    /// Asks the detectors whose matter changed or whose moment has come, and keeps the book.
    private mutating func look(_ changed: Picture.Aspects, now: WallClockTime) -> [Directive] {
        for index in self.seats.indices {
            let isDue = self.seats[index].findings.next.map { $0 <= now } ?? false
            guard isDue || !self.seats[index].detector.reads.isDisjoint(with: changed) else { continue }
            self.seats[index].findings = self.seats[index].detector.findings(in: self.picture, at: now)
        }
        let picture = self.picture
        var directives = self.book.enter(self.seats.flatMap(\.findings.list), now: now) { picture.isPresent($0) }
        if let timer = self.nextTimer(now: now) { directives.append(.setTimer(timer)) }
        return directives
    }

    /// The next timer, if it is not set already.
    private mutating func nextTimer(now: WallClockTime) -> WallClockTime? {
        var next = now + Self.maximumTimer
        if let timer = self.timer, timer > now { next = min(next, timer) }
        for moment in self.seats.compactMap(\.findings.next) + [self.book.next].compactMap(\.self) {
            next = min(next, moment)
        }
        // Never at once: a detector that names the present would otherwise be asked without end.
        next = max(next, now + .milliseconds(1))
        guard next != self.timer else { return nil }
        self.timer = next
        return next
    }
}
