// SPDX-License-Identifier: MIT

import AltNetBase
import Testing

@testable import AltNetAlerts

/// A scheduler with one sink, virtual time, and a receiver that answers as a test says.
private struct World {
    var scheduler: DeliveryScheduler
    var now = DeliveryScheduler.Moment(monotonic: .zero, wall: Sample.opened)
    var stored: [String] = []
    var missed = 0
    var timer: MonotonicInstant?
    var running: AlertBatch?
    var attempts: [(at: MonotonicInstant, batch: AlertBatch)] = []
    var records: [AlertDelivery] = []

    init(_ sink: AlertSink, seed: UInt64 = 1) {
        self.scheduler = DeliveryScheduler(sinks: [sink], seed: seed, now: .zero)
    }

    mutating func carryOut(_ directives: [DeliveryScheduler.Directive]) {
        for directive in directives {
            switch directive {
            case .store(let message, _): self.stored.append(message.id)
            case .forget(let ids, _): self.stored.removeAll { ids.contains($0) }
            case .storeMissed(let count, _): self.missed = count
            case .record(let delivery): self.records.append(delivery)
            case .setTimer(let instant): self.timer = instant
            case .attempt(let batch, _):
                #expect(self.running == nil, "one attempt at a time")
                for message in batch.messages { #expect(self.stored.contains(message.id), "stored before it is tried") }
                self.running = batch
                self.attempts.append((self.now.monotonic, batch))
            }
        }
    }

    mutating func send(_ message: AlertMessage) {
        self.carryOut(self.scheduler.onMessage(message, now: self.now))
    }

    mutating func answer(_ result: DeliveryResult) {
        self.running = nil
        self.carryOut(self.scheduler.onResult(result, sink: "s", now: self.now))
    }

    mutating func pass(_ duration: Duration) {
        self.now.monotonic = self.now.monotonic + duration
        self.now.wall = self.now.wall + duration
    }

    mutating func mustJump() {
        let hadTimer = self.jump()
        #expect(hadTimer, "there is a timer")
    }

    /// To the moment of the timer; whether there was one.
    mutating func jump() -> Bool {
        guard let timer = self.timer else { return false }
        self.timer = nil
        self.pass(timer - self.now.monotonic)
        self.carryOut(self.scheduler.onTimer(now: self.now))
        return true
    }
}

@Suite("When alerts are delivered")
struct DeliverySchedulerTests {
    private func webhook(
        minimum: AlertMessage.Severity = .warning, burst: Int = 10, perHour: Int = 60
    ) throws -> AlertSink {
        try AlertSink(
            name: "s", kind: .webhook(AlertSink.Webhook(url: "https://example.org/", secretFile: "/k")),
            minimum: minimum, burst: burst,
            perHour: perHour)
    }

    @Test(
        "a receiver that is away is tried after 5, 10, 20 … 600 s, a quarter more or less, for a day",
        arguments: 0..<20 as Range<UInt64>)
    func backOff(seed: UInt64) throws {
        var world = World(try self.webhook(), seed: seed)
        world.send(Sample.message())
        var expected: Duration = .seconds(5)
        while world.running != nil {
            let before = world.now.monotonic
            world.answer(.failed("status 503"))
            guard world.jump() else { break }
            let pause = world.now.monotonic - before
            #expect(
                pause >= expected * 0.75 && pause <= expected * 1.25, "seed \(seed), attempt \(world.attempts.count)")
            expected = min(expected * 2, .seconds(600))
        }
        #expect(world.records.last?.outcome == .gaveUp)
        #expect(world.now.wall - Sample.opened > .seconds(86_400))
        #expect(world.now.wall - Sample.opened < .seconds(87_200))
        #expect((120...200).contains(world.attempts.count))
        #expect(world.stored.isEmpty)
        #expect(world.missed == 1)
        #expect(Set(world.attempts.map(\.batch.id)).count == 1, "the same name each time")
    }

    @Test("the receiver's wish is granted, an hour at most")
    func retryAfter() throws {
        var world = World(try self.webhook())
        world.send(Sample.message())
        world.answer(.failed("status 429", retryAfter: .seconds(120)))
        #expect(world.timer == .zero + .seconds(120))
        world.mustJump()
        world.answer(.failed("status 429", retryAfter: .seconds(1 << 31)))
        #expect(world.timer == .zero + .seconds(3_720))
    }

    @Test("a command is tried five times")
    func command() throws {
        var world = World(try AlertSink(name: "s", kind: .command(AlertSink.Command(["/bin/false"]))))
        world.send(Sample.message())
        while world.running != nil {
            world.answer(.failed("exit status 1"))
            _ = world.jump()
        }
        #expect(world.attempts.count == 5)
        #expect(world.records.map(\.outcome) == [.retrying, .retrying, .retrying, .retrying, .gaveUp])
        world.send(Sample.message(incident: 18))
        #expect(world.attempts.last?.batch.missed == 1, "the next one tells, and is tried at once")
        world.answer(.delivered(""))
        #expect(world.missed == 0)
    }

    @Test("what is refused is not tried again, and the next message tells")
    func refused() throws {
        var world = World(try self.webhook())
        world.send(Sample.message())
        world.send(Sample.message(.closed, number: 2))
        world.answer(.refused("status 401"))
        #expect(world.records.map(\.outcome) == [.refused])
        #expect(world.running?.messages.map(\.event) == [.closed])
        #expect(world.running?.missed == 1)
    }

    @Test("messages are delivered in order, and updates that wait are replaced")
    func order() throws {
        var world = World(try self.webhook())
        world.send(Sample.message(.opened, number: 1))
        world.send(Sample.message(.updated, number: 2))
        world.send(Sample.message(.updated, number: 3))
        world.send(Sample.message(.opened, incident: 18, number: 1))
        while world.running != nil { world.answer(.delivered("")) }
        #expect(world.attempts.map(\.batch.messages.first?.number) == [1, 3, 1])
        #expect(world.stored.isEmpty)
        #expect(world.scheduler.counters.first?.superseded == 1)
        #expect(world.scheduler.counters.first?.delivered == 3)
        #expect(world.scheduler.counters.first?.waiting == 0)
    }

    @Test("more than the limit goes out as a digest, and no limit holds a message for longer than its interval")
    func digest() throws {
        var world = World(try self.webhook(burst: 3, perHour: 60))
        for incident in 1...20 {
            world.send(Sample.message(incident: Int64(incident)))
        }
        world.answer(.delivered(""))
        world.answer(.delivered(""))
        #expect(world.running?.messages.map(\.incident) == Array(3...20))
        let id = world.running?.id
        world.answer(.failed("status 503"))
        world.mustJump()
        #expect(world.running?.id == id, "the same digest again")
        world.answer(.delivered(""))
        world.send(Sample.message(incident: 21))
        world.send(Sample.message(incident: 22))
        #expect(world.running == nil)
        let before = world.now.monotonic
        world.mustJump()
        #expect(world.now.monotonic - before <= .seconds(61))
        #expect(world.running?.messages.map(\.incident) == [21, 22])
    }

    @Test("a sink that wants critical alerts gets no warnings")
    func minimum() throws {
        var world = World(try self.webhook(minimum: .critical))
        world.send(Sample.message(severity: .warning))
        #expect(world.attempts.isEmpty)
        #expect(world.stored.isEmpty)
        world.send(Sample.message(severity: .critical))
        #expect(world.attempts.count == 1)
    }

    @Test("sinks do not wait for each other")
    func independence() throws {
        let slow = try AlertSink(name: "slow", kind: .journal(AlertSink.Journal()))
        let fast = try AlertSink(name: "fast", kind: .journal(AlertSink.Journal()))
        var scheduler = DeliveryScheduler(sinks: [slow, fast], seed: 1, now: .zero)
        let now = DeliveryScheduler.Moment(monotonic: .zero, wall: Sample.opened)
        _ = scheduler.onMessage(Sample.message(), now: now)
        _ = scheduler.onMessage(Sample.message(incident: 18), now: now)
        let next = scheduler.onResult(.delivered(""), sink: "fast", now: now)
        let attempts = next.compactMap { directive in
            if case .attempt(let batch, let sink) = directive { "\(sink) \(batch.messages[0].incident)" } else { nil }
        }
        #expect(attempts == ["fast 18"])
    }

    @Test("too many messages: the store holds exactly what waits, and the next delivery tells how many were dropped")
    func overflow() throws {
        var world = World(try self.webhook())
        for incident in 1...600 {
            world.send(Sample.message(incident: Int64(incident), severity: incident % 2 == 0 ? .critical : .warning))
        }
        // One is on its way.
        #expect(world.stored.count == AlertQueue.capacity + 1)
        #expect(world.missed == 600 - AlertQueue.capacity - 1)
        world.answer(.delivered(""))
        #expect(world.running?.missed == world.missed)
        world.answer(.delivered(""))
        #expect(world.missed == 0)
        #expect(world.running?.messages.first?.severity == .critical)
    }

    @Test("what an earlier run left is sent, and of sinks that are gone forgotten")
    func restore() throws {
        var world = World(try self.webhook())
        let left = Sample.message()
        world.stored = [left.id, Sample.message(incident: 3).id]
        world.carryOut(
            world.scheduler.restore(
                [("s", left), ("gone", Sample.message(incident: 3))], missed: ["s": 4], now: world.now))
        #expect(world.running == AlertBatch([left], missed: 4))
        #expect(world.stored == [left.id])
        #expect(world.records.map(\.outcome) == [.dropped])
    }

    @Test("after two days without the daemon an alert is still tried three times")
    func oldAlerts() throws {
        var world = World(try self.webhook())
        world.pass(.seconds(172_800))
        let left = Sample.message()
        world.stored = [left.id]
        world.carryOut(world.scheduler.restore([("s", left)], missed: [:], now: world.now))
        while world.running != nil {
            world.answer(.failed("refused"))
            _ = world.jump()
        }
        #expect(world.attempts.count == 3)
        #expect(world.records.last?.outcome == .gaveUp)
    }
}
