// SPDX-License-Identifier: MIT

internal import AltNetBase

/// One sink's part of the scheduler: what waits, what runs, and when it goes on.
struct DeliveryLane: Sendable {
    /// What a lane does next.
    enum Step: Hashable {
        case attempt(AlertBatch)
        case wait(MonotonicInstant)
        case nothing
    }

    let sink: AlertSink
    private(set) var queue = AlertQueue()
    private(set) var inFlight: AlertBatch?
    /// Failures since the last success, for the pauses.
    private var failures = 0
    /// How often the oldest message was tried.
    private var head: (id: String, attempts: Int) = ("", 0)
    private var notBefore: MonotonicInstant?
    /// Deliveries that may go out at once, and when that was last reckoned.
    private var tokens: Double
    private var refilled: MonotonicInstant
    /// Alerts that the sink has not got since the last delivery.
    var missed = 0
    private var tally: AlertCounters

    init(sink: AlertSink, now: MonotonicInstant) {
        self.sink = sink
        self.tokens = Double(sink.burst)
        self.refilled = now
        self.tally = AlertCounters(sink: sink.name, kind: sink.kind.word)
    }

    var counters: AlertCounters {
        var counters = self.tally
        counters.waiting = self.queue.waiting.count + (self.inFlight?.messages.count ?? 0)
        counters.missed = self.missed
        counters.failing = self.failures
        return counters
    }

    func wants(_ message: AlertMessage) -> Bool {
        message.event == .test || message.severity >= self.sink.minimum
    }

    mutating func add(_ message: AlertMessage, isStored: Bool, now: WallClockTime) -> [DeliveryScheduler.Directive] {
        let isKnown =
            self.queue.waiting.contains { $0.id == message.id }
            || self.inFlight?.messages.contains { $0.id == message.id } == true
        guard !isKnown else { return [] }
        self.tally.accepted += 1
        let change = self.queue.add(message)
        var directives: [DeliveryScheduler.Directive] = []
        if !isStored, change.dropped != message { directives.append(.store(message, sink: self.sink.name)) }
        return directives + self.carryOut(change, isStored: isStored ? nil : message, now)
    }

    /// - Parameter isStored: the message that is on the disk only if it was not dropped at once.
    private mutating func carryOut(
        _ change: AlertQueue.Change, isStored new: AlertMessage?, _ now: WallClockTime
    ) -> [DeliveryScheduler.Directive] {
        var directives: [DeliveryScheduler.Directive] = []
        self.tally.superseded += change.superseded.count
        let gone = (change.superseded + [change.dropped].compactMap(\.self)).filter { $0 != new }
        if !gone.isEmpty { directives.append(.forget(gone.map(\.id), sink: self.sink.name)) }
        if let dropped = change.dropped {
            directives += self.lose([dropped], .dropped, now, "more than \(AlertQueue.capacity) alerts wait")
        }
        return directives
    }

    /// Counts messages that the sink will never get.
    private mutating func lose(
        _ messages: [AlertMessage], _ outcome: AlertDelivery.Outcome, _ now: WallClockTime, _ detail: String
    ) -> [DeliveryScheduler.Directive] {
        self.missed += messages.count
        self.tally.lost += messages.count
        return [.storeMissed(self.missed, sink: self.sink.name)]
            + messages.map {
                .record(
                    AlertDelivery($0, sink: self.sink.name, outcome, now, detail, attempt: max(1, self.head.attempts)))
            }
    }

    // MARK: - Attempts

    mutating func next(_ now: MonotonicInstant) -> Step {
        guard self.inFlight == nil, let first = self.queue.waiting.first else { return .nothing }
        if let notBefore = self.notBefore, now < notBefore { return .wait(notBefore) }
        self.refill(now)
        guard self.tokens >= 1 else {
            let missing = (1 - self.tokens) * 3600 / Double(self.sink.perHour)
            // A little late rather than a little early, or the timer would be set again for nothing.
            return .wait(now + .seconds(missing) + .milliseconds(1))
        }
        // With the last delivery that is allowed, all that wait go out together.
        let batch = AlertBatch(
            self.queue.takeFirst(self.tokens >= 2 ? 1 : DeliveryScheduler.maximumDigest), missed: self.missed)
        self.inFlight = batch
        self.head = (first.id, self.head.id == first.id ? self.head.attempts + 1 : 1)
        self.tally.attempts += 1
        return .attempt(batch)
    }

    private mutating func refill(_ now: MonotonicInstant) {
        let earned = (now - self.refilled).inSeconds * Double(self.sink.perHour) / 3600
        self.tokens = min(Double(self.sink.burst), self.tokens + max(0, earned))
        self.refilled = now
    }

    mutating func onResult(
        _ result: DeliveryResult, jitter: Double, now: DeliveryScheduler.Moment
    ) -> [DeliveryScheduler.Directive] {
        guard let batch = self.inFlight else { return [] }
        self.inFlight = nil
        let ids = batch.messages.map(\.id)
        switch result {
        case .delivered(let detail):
            self.refill(now.monotonic)
            self.tokens -= 1
            self.failures = 0
            self.notBefore = nil
            self.tally.delivered += batch.messages.count
            var directives: [DeliveryScheduler.Directive] = [.forget(ids, sink: self.sink.name)]
            if batch.missed > 0 {
                self.missed -= batch.missed
                directives.append(.storeMissed(self.missed, sink: self.sink.name))
            }
            return directives
                + batch.messages.map {
                    .record(
                        AlertDelivery(
                            $0, sink: self.sink.name, .delivered, now.wall, detail, attempt: self.head.attempts))
                }
        case .refused(let detail):
            self.notBefore = nil
            return [.forget(ids, sink: self.sink.name)] + self.lose(batch.messages, .refused, now.wall, detail)
        case .failed(let detail, let retryAfter):
            return self.onFailure(batch, detail, retryAfter, jitter, now)
        }
    }

    private mutating func onFailure(
        _ batch: AlertBatch, _ detail: String, _ retryAfter: Duration?, _ jitter: Double,
        _ now: DeliveryScheduler.Moment
    ) -> [DeliveryScheduler.Directive] {
        self.failures += 1
        let pause = max(
            self.pause * jitter, min(retryAfter ?? .zero, DeliveryScheduler.longestRetryAfter))
        self.notBefore = now.monotonic + pause
        let isExhausted = self.sink.patience.attempts.map { self.head.attempts >= $0 } ?? false
        let hopeless = batch.messages.filter { message in
            isExhausted
                || (self.head.attempts >= DeliveryScheduler.leastAttempts
                    && now.wall - message.at > DeliveryScheduler.giveUpAfter)
        }
        var directives: [DeliveryScheduler.Directive] = []
        if !hopeless.isEmpty {
            directives.append(.forget(hopeless.map(\.id), sink: self.sink.name))
            directives += self.lose(
                hopeless, .gaveUp, now.wall, "after \(self.head.attempts) attempts: \(detail)")
        }
        let others = batch.messages.filter { !hopeless.contains($0) }
        if let first = others.first {
            let seconds = Int(pause.inSeconds.rounded(.up))
            directives.append(
                .record(
                    AlertDelivery(
                        first, sink: self.sink.name, .retrying, now.wall, "\(detail); again in \(seconds) s",
                        attempt: self.head.attempts)))
        } else if isExhausted {
            // The next message is another matter: it does not pay for this one.
            self.failures = 0
            self.notBefore = nil
        }
        for change in self.queue.putBack(others) { directives += self.carryOut(change, isStored: nil, now.wall) }
        return directives
    }

    /// The pause after the failures so far, before chance is added.
    private var pause: Duration {
        let patience = self.sink.patience
        let doublings = min(self.failures - 1, 16)
        return min(patience.longestPause, patience.firstPause * (1 << doublings))
    }
}
