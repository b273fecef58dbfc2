// SPDX-License-Identifier: MIT

public import AltNetBase

/// What became of one attempt to deliver.
public enum DeliveryResult: Hashable, Sendable {
    /// The receiver has it.
    case delivered(String)
    /// It may work later. `retryAfter` is the receiver's own wish.
    case failed(String, retryAfter: Duration? = nil)
    /// It will not work later either: it is not tried again.
    case refused(String)
}

/// Decides what is sent where and when: messages, results, time and randomness in, directives out. No I/O.
///
/// One attempt at a time runs for each sink, the oldest message first. A sink that fails is left alone for longer and
/// longer; the others do not notice.
public struct DeliveryScheduler: Sendable {
    /// A message that could not be delivered for this long is given up: whoever was away for a day looks at
    /// `altnet incidents`.
    public static let giveUpAfter: Duration = .seconds(86_400)
    /// Attempts before age alone is a reason to give up: a daemon that was off for two days still tries.
    public static let leastAttempts = 3
    /// Messages in a digest: about 100 kB.
    public static let maximumDigest = 50
    /// The longest wish of a receiver that is granted.
    public static let longestRetryAfter: Duration = .seconds(3_600)

    /// A moment on both clocks.
    public struct Moment: Hashable, Sendable {
        public var monotonic: MonotonicInstant
        public var wall: WallClockTime

        public init(monotonic: MonotonicInstant, wall: WallClockTime) {
            self.monotonic = monotonic
            self.wall = wall
        }
    }

    /// What to do, in this order.
    public enum Directive: Hashable, Sendable {
        /// Bring the message to the disk before anything that follows.
        case store(AlertMessage, sink: String)
        /// The messages with these names need not be kept any longer.
        case forget([String], sink: String)
        /// Keep how many alerts the sink has missed.
        case storeMissed(Int, sink: String)
        /// Try to deliver, and tell ``onResult(_:sink:now:)`` what became of it.
        case attempt(AlertBatch, sink: String)
        /// Note what happened, for people.
        case record(AlertDelivery)
        /// Call ``onTimer(now:)`` at that moment. Replaces an earlier one.
        case setTimer(MonotonicInstant)
    }

    private var lanes: [String: DeliveryLane]
    private let order: [String]
    private var random: SeededRandom

    /// - Parameter seed: for the pauses; it need not be secret.
    public init(sinks: [AlertSink], seed: UInt64, now: MonotonicInstant) {
        self.lanes = Dictionary(
            sinks.map { ($0.name, DeliveryLane(sink: $0, now: now)) }, uniquingKeysWith: { first, _ in first })
        self.order = sinks.map(\.name)
        self.random = SeededRandom(seed: seed)
    }

    /// Takes in what an earlier run of the daemon left undelivered. Messages of sinks that are gone are forgotten.
    public mutating func restore(
        _ messages: [(sink: String, message: AlertMessage)], missed: [String: Int], now: Moment
    ) -> [Directive] {
        var directives: [Directive] = []
        for (sink, message) in messages {
            guard self.lanes[sink] != nil else {
                directives.append(.forget([message.id], sink: sink))
                directives.append(
                    .record(AlertDelivery(message, sink: sink, .dropped, now.wall, "there is no sink of this name")))
                continue
            }
            directives += self.lanes[sink]?.add(message, isStored: true, now: now.wall) ?? []
        }
        for (sink, count) in missed { self.lanes[sink]?.missed += count }
        return directives + self.proceed(now)
    }

    /// An incident's event, for every sink that wants its severity.
    public mutating func onMessage(_ message: AlertMessage, now: Moment) -> [Directive] {
        var directives: [Directive] = []
        for name in self.order where self.lanes[name]?.wants(message) == true {
            directives += self.lanes[name]?.add(message, isStored: false, now: now.wall) ?? []
        }
        return directives + self.proceed(now)
    }

    /// What became of the attempt that runs for a sink.
    public mutating func onResult(_ result: DeliveryResult, sink: String, now: Moment) -> [Directive] {
        let jitter = Double.random(in: 0.75..<1.25, using: &self.random)
        let directives = self.lanes[sink]?.onResult(result, jitter: jitter, now: now) ?? []
        return directives + self.proceed(now)
    }

    public mutating func onTimer(now: Moment) -> [Directive] {
        self.proceed(now)
    }

    /// What each sink has got so far, in the order of the configuration.
    public var counters: [AlertCounters] { self.order.compactMap { self.lanes[$0]?.counters } }

    /// Whether an attempt runs.
    public var isBusy: Bool { self.lanes.values.contains { $0.inFlight != nil } }

    private mutating func proceed(_ now: Moment) -> [Directive] {
        var directives: [Directive] = []
        var wake: MonotonicInstant?
        for name in self.order {
            switch self.lanes[name]?.next(now.monotonic) {
            case .attempt(let batch): directives.append(.attempt(batch, sink: name))
            case .wait(let until): wake = min(wake ?? until, until)
            case .nothing, nil: break
            }
        }
        if let wake { directives.append(.setTimer(wake)) }
        return directives
    }
}
