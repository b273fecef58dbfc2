// SPDX-License-Identifier: MIT

import AltNetAlternativeAddresses
import AltNetBase
import AltNetKeys
import AltNetLightning
import Testing

@Suite("AlternativeAddresses: giving")
struct GivingTests {
    let a = node(1)
    let b = node(2)

    private func world() -> World {
        World(allowed: [self.a, self.b], channels: [self.a: channel(1), self.b: channel(2)])
    }

    @Test("a peer gets the address when both are there, once, and the record is on the disk before the message")
    func once() throws {
        var world = self.world()
        world.endpoints(.shared("e", 1))
        #expect(world.takeSent() == [])
        let directives = world.machine.onConnected(self.a, now: world.now)
        guard case .store(let changes) = directives[0], case .send(let message, self.a) = directives[1],
            case .store(let sent) = directives[2], directives.count == 3
        else {
            Issue.record("\(directives)")
            return
        }
        #expect(try message.reading() == somewhere(1) && message.channelID == channel(1))
        #expect(changes.contains { if case .given(let record) = $0 { record.sentAt == nil } else { false } })
        #expect(sent.contains { if case .given(let record) = $0 { record.sentAt == world.now.wall } else { false } })
        world.carryOut(directives)
        #expect(world.takeSent() == ["8.8.0.1:9735"])
        world.seconds += 100
        world.disconnect(self.a)
        world.connect(self.a)
        world.endpoints(.shared("e", 1))
        world.restart()
        world.endpoints(.shared("e", 1))
        world.connect(self.a)
        #expect(world.takeSent() == [])
        #expect(world.machine.admits(self.a, at: EndpointID("e")))
        #expect(!world.machine.admits(self.b, at: EndpointID("e")))
    }

    @Test("a changed address is sent again, and only the new one lets in")
    func change() {
        var world = self.world()
        world.endpoints(.shared("e", 1), .shared("f", 9, isUp: false))
        world.connect(self.a)
        world.seconds = 500
        world.endpoints(.shared("e", 2), .shared("f", 1))
        #expect(world.takeSent() == ["8.8.0.1:9735", "8.8.0.2:9735"])
        #expect(world.machine.admissions == [.init(peer: self.a, endpoint: EndpointID("e"))])
        // Now another endpoint has the address that the peer was given first: that does not count.
        #expect(!world.machine.admits(self.a, at: EndpointID("f")))
        #expect(world.machine.given.map(\.until) == [world.now.wall, nil])
    }

    @Test("while the peer is away, the old address ends at once and the new one waits for it")
    func changeWhileAway() {
        var world = self.world()
        world.endpoints(.shared("e", 1))
        world.connect(self.a)
        world.seconds = 500
        world.disconnect(self.a)
        world.endpoints(.shared("e", 2))
        #expect(!world.machine.admits(self.a, at: EndpointID("e")))
        #expect(world.machine.given.map(\.until) == [world.now.wall])
        // The old address again: what was ended is not begun again by itself.
        world.endpoints(.shared("e", 1))
        #expect(!world.machine.admits(self.a, at: EndpointID("e")))
        #expect(world.takeSent() == ["8.8.0.1:9735"])
        world.connect(self.a)
        #expect(world.takeSent() == ["8.8.0.1:9735"])
        #expect(world.machine.admits(self.a, at: EndpointID("e")))
    }

    @Test("an endpoint of the peer's own is preferred, also when it comes up later; one that is down is kept")
    func preference() {
        var world = self.world()
        world.endpoints(.shared("e", 1), .of(self.a, "o", 2, isUp: false), .of(self.b, "p", 3))
        world.connect(self.a)
        world.connect(self.b)
        #expect(world.takeSent() == ["8.8.0.1:9735", "8.8.0.3:9735"])
        world.seconds = 100
        world.endpoints(.shared("e", 1), .of(self.a, "o", 2), .of(self.b, "p", 3))
        #expect(world.takeSent() == ["8.8.0.2:9735"])
        #expect(!world.machine.admits(self.b, at: EndpointID("o")))
        world.endpoints(.shared("e", 1), .of(self.a, "o", 2, isUp: false), .of(self.b, "p", 3))
        #expect(world.takeSent() == [])
        #expect(!world.machine.admits(self.a, at: EndpointID("o")))
        world.endpoints(.shared("e", 1), .of(self.a, "o", 2), .of(self.b, "p", 3))
        #expect(world.machine.admits(self.a, at: EndpointID("o")))
        // The endpoint now belongs to somebody else: its address goes to nobody but its new owner.
        world.endpoints(.of(self.b, "o", 2))
        #expect(!world.machine.admits(self.a, at: EndpointID("o")))
    }

    @Test("an endpoint that is gone is cleared with the peers that were given it, as soon as they are there")
    func gone() {
        var world = self.world()
        world.endpoints(.shared("e", 1))
        world.connect(self.a)
        world.connect(self.b)
        world.seconds = 100
        world.disconnect(self.b)
        _ = world.takeSent()
        world.endpoints()
        #expect(world.takeSent() == ["clear"])
        world.restart()
        world.endpoints()
        world.connect(self.b)
        #expect(world.takeSent() == ["clear"])
        world.seconds = 300
        world.disconnect(self.b)
        world.connect(self.b)
        #expect(world.takeSent() == [])
    }

    @Test("clearing ends the record first, tells the peer when it is there, and lasts until the operator sends")
    func clearing() throws {
        var world = self.world()
        world.endpoints(.shared("e", 1))
        world.connect(self.a)
        world.seconds = 100
        world.disconnect(self.a)
        _ = world.takeSent()
        let delivery = try world.clear(self.a)
        #expect(delivery.waiting == [self.a] && delivery.sent == [])
        #expect(!world.machine.admits(self.a, at: EndpointID("e")))
        #expect(world.disk.given.values.allSatisfy { $0.until == world.now.wall })
        world.restart()
        world.endpoints(.shared("e", 1))
        world.connect(self.a)
        #expect(world.takeSent() == ["clear"])
        world.seconds = 200
        world.endpoints(.shared("e", 2))
        world.disconnect(self.a)
        world.connect(self.a)
        #expect(world.takeSent() == [])
        #expect(try world.send(self.a).sent == [self.a])
        #expect(world.takeSent() == ["8.8.0.2:9735"])
        #expect(world.machine.admits(self.a, at: EndpointID("e")))
        // Nobody was told anything, so nobody waits.
        #expect(try world.clear(self.b) == AlternativeAddresses.Delivery())
        #expect(throws: AlternativeAddresses.NotAllowed(peer: node(7))) { try world.clear(node(7)) }
        #expect(throws: AlternativeAddresses.NotAllowed(peer: node(7))) { try world.send(node(7)) }
    }

    @Test("a peer that the configuration does not allow any more is cleared, over the channel that it was told")
    func disallowed() throws {
        var world = self.world()
        world.endpoints(.shared("e", 1))
        world.connect(self.a)
        world.restart(AlternativeAddresses.Settings(ourselves: node(99)))
        world.endpoints(.shared("e", 1))
        #expect(!world.machine.admits(self.a, at: EndpointID("e")))
        let directives = world.machine.onConnected(self.a, now: world.now)
        let clear = try PeerAltAddr(channelID: channel(1), address: nil)
        #expect(directives.contains(.send(clear, to: self.a)))
    }

    @Test("without a channel nothing is given; an attached node's channel comes into it")
    func channels() {
        var world = World(allowed: [self.a])
        world.endpoints(.shared("e", 1))
        world.connect(self.a)
        #expect(world.sent.isEmpty)
        world.carryOut(world.machine.onChannels(self.a, [[UInt8](repeating: 0, count: 32), [1]], now: world.now))
        #expect(world.sent.isEmpty)
        world.carryOut(world.machine.onChannels(self.a, [channel(9), channel(4)], now: world.now))
        #expect(world.takeSent() == ["8.8.0.1:9735"])
        #expect(world.machine.given.first?.channelID == channel(4))
    }

    @Test("what a link may have lost is sent again over the next one, an address as well as its end")
    func doubt() throws {
        var world = self.world()
        world.endpoints(.shared("e", 1))
        world.connect(self.a)
        world.seconds = 59
        world.disconnect(self.a)
        world.connect(self.a)
        #expect(world.takeSent() == ["8.8.0.1:9735", "8.8.0.1:9735"])
        world.seconds = 200
        _ = try world.clear(self.a)
        world.disconnect(self.a)
        world.restart()
        world.endpoints(.shared("e", 1))
        world.connect(self.a)
        #expect(world.takeSent() == ["clear", "clear"])
    }

    @Test("what no link takes is sent again at the next occasion")
    func lost() {
        var world = self.world()
        world.endpoints(.shared("e", 1))
        world.connect(self.a)
        world.carryOut(world.machine.onLost(self.a, now: world.now))
        #expect(world.disk.given.values.map(\.sentAt) == [nil])
        #expect(world.machine.counters[.sent] == 0)
        world.seconds = 1000
        world.connect(self.a)
        world.connect(self.a)
        #expect(world.takeSent() == ["8.8.0.1:9735", "8.8.0.1:9735"])
    }

    @Test(
        "what no link takes is tried again after a minute, then after twice as long, up to an hour, until it is taken")
    func retries() throws {
        var world = self.world()
        world.endpoints(.shared("e", 1))
        #expect(world.machine.nextRetry == nil)
        world.connect(self.a)
        #expect(world.machine.nextRetry == nil && world.takeSent().count == 1)
        for pause in [60, 120, 240, 480, 960, 1920, 3600, 3600] as [Int64] {
            world.carryOut(world.machine.onLost(self.a, now: world.now))
            #expect(world.machine.nextRetry == world.now.monotonic + .seconds(pause))
            world.seconds += pause - 1
            #expect(world.machine.onTimer(now: world.now).isEmpty)
            world.seconds += 1
            world.carryOut(world.machine.onTimer(now: world.now))
            #expect(world.takeSent() == ["8.8.0.1:9735"] && world.machine.nextRetry == nil)
        }
        #expect(world.machine.counters[.sent] == 1)
        #expect(world.disk.given.values.map(\.sentAt) == [world.now.wall])
        // The last one was taken, so the next one that is lost waits for a minute again; it is one that clears.
        world.seconds += 10_000
        _ = try world.clear(self.a)
        world.carryOut(world.machine.onLost(self.a, now: world.now))
        #expect(world.machine.nextRetry == world.now.monotonic + .seconds(60))
        #expect(world.machine.counters[.clearsSent] == 0)
        world.seconds += 60
        world.carryOut(world.machine.onTimer(now: world.now))
        #expect(world.takeSent() == ["clear", "clear"] && world.machine.counters[.clearsSent] == 1)
    }

    @Test("a retry ends with the links, and when there is nothing left to send")
    func noRetry() {
        var world = self.world()
        world.endpoints(.shared("e", 1))
        world.connect(self.a)
        world.carryOut(world.machine.onLost(self.a, now: world.now))
        world.disconnect(self.a)
        #expect(world.machine.nextRetry == nil)
        world.carryOut(world.machine.onLost(self.a, now: world.now))
        #expect(world.machine.nextRetry == nil)
        world.connect(self.b)
        world.carryOut(world.machine.onLost(self.b, now: world.now))
        world.endpoints(.shared("e", 1, isUp: false))
        world.seconds += 60
        _ = world.takeSent()
        world.carryOut(world.machine.onTimer(now: world.now))
        #expect(world.takeSent() == [] && world.machine.nextRetry == nil)
        // It goes out when the endpoint is back.
        world.endpoints(.shared("e", 1))
        #expect(world.takeSent() == ["8.8.0.1:9735"])
    }

    @Test("of one peer no more records are kept than the bound, the newest ones")
    func bound() {
        var world = self.world()
        world.connect(self.a)
        for number in 1...40 {
            world.seconds += 100
            world.endpoints(.shared("e", number))
        }
        #expect(world.disk.given.count == AlternativeAddresses.maximumEndedRecords + 1)
        #expect(world.machine.given.map(\.address) == (24...40).map(somewhere))
        #expect(world.disk.stored.given.sorted { $0.id < $1.id } == world.machine.given)
    }

    @Test("no record, directive or endpoint shows an address when it is described or dumped")
    func redacted() {
        var world = self.world()
        world.endpoints(.shared("e", 77))
        let directives = world.machine.onConnected(self.a, now: world.now)
        world.carryOut(directives)
        _ = world.receive(body(channel(1), somewhere(78)), from: self.a)
        var text = "\(directives) \(world.machine.given) \(world.machine.received) \(world.machine) \(world.disk)"
        text += " \(world.routes(self.a)) \(AlternativeEndpoint.shared("e", 77))"
        dump(world.machine, to: &text)
        dump(directives, to: &text)
        #expect(text.contains("redacted"))
        #expect(!text.contains("8.8.0") && !text.contains("9735") && !text.contains("8, 8, 0"))
    }
}
