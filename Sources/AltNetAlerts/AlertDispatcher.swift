// SPDX-License-Identifier: MIT

internal import AltNetBase
internal import FoundationEssentials
public import Logging
internal import Synchronization

/// Delivers alerts: the shell around ``DeliveryScheduler``.
///
/// ``send(_:)`` may be called from anywhere and never waits; ``run()`` does the work. A message is on the disk before
/// the first attempt to deliver it, and is removed after the receiver has confirmed it: each one arrives at least once,
/// with the same `id` each time.
public actor AlertDispatcher {
    /// How many deliveries ``recent`` remembers.
    public static let maximumRecent = 200

    private enum Event: Sendable {
        case wake, timer
        case result(DeliveryResult, sink: String)
    }

    private let sinks: [AlertSink]
    private let senders: [String: any AlertSender]
    private let node: String
    private let network: String
    private let store: AlertStore
    private let logger: Logger
    private var scheduler: DeliveryScheduler
    private var deliveries: [AlertDelivery] = []
    private var testing: Set<String> = []
    private let onDelivery: @Sendable (AlertDelivery) -> Void
    private var timer: Task<Void, Never>?
    /// Whether the disk refused the last time, so that one line in the log says it and not each alert.
    private var isStoreFailing = false
    /// What ``send(_:)`` took and ``run()`` has not seen yet; the same bound and rule as each sink's queue.
    private let intake = Mutex(AlertQueue())
    private let events: AsyncStream<Event>
    /// Holds at most one result for each sink, the timer and one call to wake.
    private let continuation: AsyncStream<Event>.Continuation
    private let isWoken = Mutex(false)

    /// - Parameters:
    ///   - path: the file for undelivered alerts, in the data directory.
    ///   - node, network: who sends; for tests of a sink.
    ///   - onDelivery: called for each delivery and each failure; must not wait.
    /// - Throws: ``AlertError`` when sinks share a name, are too many, or the file cannot be opened.
    public init(
        sinks: [AlertSink], node: String, network: String, path: String, logger: Logger,
        onDelivery: @escaping @Sendable (AlertDelivery) -> Void = { _ in }
    ) throws(AlertError) {
        guard sinks.count <= AlertSink.maximumCount else {
            throw AlertError("there are \(sinks.count) sinks for alerts; \(AlertSink.maximumCount) are the most")
        }
        guard Set(sinks.map(\.name)).count == sinks.count else {
            throw AlertError("two sinks for alerts have the same name")
        }
        self.sinks = sinks
        self.node = node
        self.network = network
        self.logger = logger
        self.onDelivery = onDelivery
        self.store = try AlertStore(path: path)
        self.senders = Dictionary(
            sinks.map { ($0.name, $0.makeSender(logger: logger)) }, uniquingKeysWith: { first, _ in first })
        self.scheduler = DeliveryScheduler(
            sinks: sinks, seed: UInt64.random(in: 0...UInt64.max), now: .system)
        (self.events, self.continuation) = AsyncStream.makeStream(of: Event.self)
    }

    /// Takes an alert for all sinks that want it. Returns at once, whatever disks and networks do.
    public nonisolated func send(_ message: AlertMessage) {
        let change = self.intake.withLock { $0.add(message) }
        if let dropped = change.dropped {
            self.logger.error("alert dropped before it was stored: too many at once", metadata: ["id": "\(dropped.id)"])
        }
        let mustWake = self.isWoken.withLock { isWoken in
            defer { isWoken = true }
            return !isWoken
        }
        if mustWake { self.continuation.yield(.wake) }
    }

    /// Delivers until the task is cancelled. To be called once.
    ///
    /// What is not delivered by then is on the disk, and is sent after the next start.
    public func run() async {
        await withDiscardingTaskGroup { group in
            await self.restore(&group)
            for await event in self.events {
                switch event {
                case .wake: await self.takeIn(&group)
                case .timer: await self.perform(self.scheduler.onTimer(now: .system), &group)
                case .result(let result, let sink):
                    await self.perform(self.scheduler.onResult(result, sink: sink, now: .system), &group)
                }
            }
            self.timer?.cancel()
            group.cancelAll()
            // The last words of a daemon that stops: stored now, said at the next start.
            await self.keepIntake()
        }
    }

    /// Waits until all that was handed in is delivered or has failed once, at most for the given time: for the moment
    /// before ``run()`` is cancelled.
    public func drain(within limit: Duration) async {
        let deadline = MonotonicInstant.system + limit
        while MonotonicInstant.system < deadline, !Task.isCancelled {
            let isEmpty = self.intake.withLock(\.waiting.isEmpty) && !self.isWoken.withLock(\.self)
            if isEmpty, !self.scheduler.isBusy { return }
            // Only while the daemon stops, for seconds at most.
            try? await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Sends a test to one sink, past its queue and its limits, and tells what became of it.
    ///
    /// - Throws: ``AlertError`` when there is no such sink, or a test of it runs already.
    public func sendTest(to name: String) async throws(AlertError) -> AlertDelivery {
        guard let sender = self.senders[name] else {
            throw AlertError("there is no sink for alerts named \(AlertMessage.clean(name, 64))")
        }
        guard self.testing.insert(name).inserted else { throw AlertError("a test of \(name) runs already") }
        defer { self.testing.remove(name) }
        let message = AlertMessage.test(node: self.node, network: self.network, at: .system)
        let result = await sender.deliver(AlertBatch([message], missed: 0))
        let delivery =
            switch result {
            case .delivered(let detail): AlertDelivery(message, sink: name, .delivered, .system, detail)
            case .failed(let detail, _), .refused(let detail):
                AlertDelivery(message, sink: name, .refused, .system, detail)
            }
        self.record(delivery)
        return delivery
    }

    /// The latest deliveries and failures, newest first.
    public var recent: [AlertDelivery] { self.deliveries.reversed() }

    /// What each sink has got so far.
    public var counters: [AlertCounters] { self.scheduler.counters }

    // MARK: - Directives

    private func restore(_ group: inout DiscardingTaskGroup) async {
        do throws(AlertError) {
            let (messages, missed, unreadable) = try await self.store.load()
            if unreadable > 0 {
                self.logger.warning("undelivered alerts of another version are left alone: \(unreadable)")
            }
            if !messages.isEmpty { self.logger.notice("undelivered alerts are sent again: \(messages.count)") }
            await self.perform(self.scheduler.restore(messages, missed: missed, now: .system), &group)
        } catch {
            self.logger.error("undelivered alerts cannot be read: \(error)")
        }
    }

    private func takeIn(_ group: inout DiscardingTaskGroup) async {
        for message in self.takeAll() { await self.perform(self.scheduler.onMessage(message, now: .system), &group) }
    }

    private func keepIntake() async {
        for message in self.takeAll() { await self.keep(self.scheduler.onMessage(message, now: .system)) }
    }

    private func takeAll() -> [AlertMessage] {
        self.isWoken.withLock { $0 = false }
        return self.intake.withLock { $0.takeFirst(.max) }
    }

    private func perform(_ directives: [DeliveryScheduler.Directive], _ group: inout DiscardingTaskGroup) async {
        await self.keep(directives)
        for directive in directives {
            switch directive {
            case .store, .forget, .storeMissed: break
            case .record(let delivery): self.record(delivery)
            case .setTimer(let instant): self.setTimer(instant)
            case .attempt(let batch, let sink):
                guard let sender = self.senders[sink] else { break }
                let continuation = self.continuation
                group.addTask {
                    let result = await sender.deliver(batch)
                    // An attempt that was cut off by the end of the daemon says nothing about the receiver.
                    if !Task.isCancelled { continuation.yield(.result(result, sink: sink)) }
                }
            }
        }
    }

    /// Brings to the disk what is to be kept. A disk that refuses holds no alert back.
    private func keep(_ directives: [DeliveryScheduler.Directive]) async {
        let isNeeded = directives.contains { directive in
            switch directive {
            case .store, .forget, .storeMissed: true
            case .attempt, .record, .setTimer: false
            }
        }
        guard isNeeded else { return }
        do throws(AlertError) {
            try await self.store.apply(directives)
            if self.isStoreFailing { self.logger.notice("alerts are stored again") }
            self.isStoreFailing = false
        } catch {
            if !self.isStoreFailing {
                self.logger.error("alerts are sent without being stored, and a restart would lose them: \(error)")
            }
            self.isStoreFailing = true
        }
    }

    private func setTimer(_ instant: MonotonicInstant) {
        self.timer?.cancel()
        let continuation = self.continuation
        self.timer = Task {
            try? await Task.sleep(for: max(.zero, instant - .system))
            if !Task.isCancelled { continuation.yield(.timer) }
        }
    }

    private func record(_ delivery: AlertDelivery) {
        self.onDelivery(delivery)
        self.deliveries.append(delivery)
        if self.deliveries.count > Self.maximumRecent {
            self.deliveries.removeFirst(self.deliveries.count - Self.maximumRecent)
        }
        let metadata: Logger.Metadata = [
            "sink": "\(delivery.sink)", "id": "\(delivery.message)", "detail": "\(delivery.detail)",
        ]
        switch delivery.outcome {
        case .delivered: self.logger.info("alert delivered", metadata: metadata)
        case .retrying: self.logger.warning("alert not delivered yet", metadata: metadata)
        case .refused, .gaveUp, .dropped:
            self.logger.error("alert lost: \(delivery.outcome.rawValue)", metadata: metadata)
        }
    }
}

/// Brings a batch to a receiver; one for each sink. Comes back within the sink's time limit.
protocol AlertSender: Sendable {
    func deliver(_ batch: AlertBatch) async -> DeliveryResult
}

extension AlertSink {
    func makeSender(logger: Logger) -> any AlertSender {
        switch self.kind {
        case .webhook(let webhook): WebhookSender(webhook)
        case .command(let command): CommandSender(command)
        case .email(let email): MailSender(email)
        case .journal(let journal): JournalSender(journal, logger: logger)
        }
    }
}

extension MonotonicInstant {
    /// The system's monotonic clock.
    static var system: MonotonicInstant {
        MonotonicInstant(nanoseconds: (ContinuousClock.now - Self.epoch).wholeNanoseconds)
    }

    private static let epoch = ContinuousClock.now
}

extension WallClockTime {
    /// The system's calendar clock.
    static var system: WallClockTime {
        WallClockTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    }
}

extension DeliveryScheduler.Moment {
    static var system: Self { Self(monotonic: .system, wall: .system) }
}
