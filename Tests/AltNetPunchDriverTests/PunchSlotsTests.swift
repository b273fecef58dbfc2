// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetBitcoinSession
import AltNetHolePunch
import AltNetObjects
import Testing

@testable import AltNetPunchDriver

@Suite("Slots for connections that others make")
struct PunchSlotsTests {
    private static func peer(_ text: String) throws -> ExternalEndpoint {
        try #require(ExternalEndpoint("\(text):40000"))
    }

    @Test("relayed connections have a quarter of the slots, and one at least", arguments: [1, 3, 4, 8, 125])
    func relayedPart(_ offered: Int) {
        var slots = PunchSlots(offered)
        var taken = 0
        while case .taken = slots.take(nil) { taken += 1 }
        #expect(taken == max(1, offered / 4))
        #expect(!slots.hasRelayedPlace)
        // All the other places, and theirs, are for punched ones.
        #expect(slots.hasPlace(besides: offered - 1) && !slots.hasPlace(besides: offered))
    }

    @Test("two of one network group stand at once, and a third when one of them is gone")
    func groups() throws {
        var slots = PunchSlots(8)
        #expect(slots.take(try Self.peer("81.2.3.4")) == .taken(1, pushedOut: nil))
        #expect(slots.take(try Self.peer("81.2.99.4")) == .taken(2, pushedOut: nil))
        #expect(slots.take(try Self.peer("81.2.3.5")) == .refused)
        #expect(slots.take(try Self.peer("82.2.3.4")) == .taken(3, pushedOut: nil))
        slots.free(1)
        #expect(slots.take(try Self.peer("81.2.3.5")) == .taken(4, pushedOut: nil))
        #expect(slots.taken == 3)
    }

    @Test("a punched connection pushes out the newest relayed one, and nothing pushes out a punched one")
    func pushesOut() throws {
        var slots = PunchSlots(8)
        #expect(slots.take(nil) == .taken(1, pushedOut: nil))
        #expect(slots.take(nil) == .taken(2, pushedOut: nil))
        for number in 0..<6 { _ = slots.take(try Self.peer("8\(number).2.3.4")) }
        #expect(slots.taken == 8 && slots.hasPlace(besides: 1))
        #expect(slots.take(try Self.peer("90.2.3.4")) == .taken(9, pushedOut: 2))
        #expect(slots.take(try Self.peer("91.2.3.4")) == .taken(10, pushedOut: 1))
        #expect(!slots.hasPlace(besides: 0))
        #expect(slots.take(try Self.peer("92.2.3.4")) == .refused)
        #expect(slots.take(nil) == .refused)
        // Who was pushed out has nothing to give back.
        slots.free(2)
        #expect(slots.taken == 8)
    }

    @Test("whoever offers nothing takes nothing")
    func none() throws {
        var slots = PunchSlots(0)
        #expect(!slots.hasPlace(besides: 0) && !slots.hasRelayedPlace)
        #expect(slots.take(nil) == .refused)
        #expect(slots.take(try Self.peer("81.2.3.4")) == .refused)
    }

    @Test("a relayed session serves headers alone, a punched one what is to be served, and says so")
    func servedBlocks() {
        let sessions = PunchedSessions(
            network: .regtest, userAgent: "/AltNet:test/", use: .links, serves: [.headers, .blocks, .peerRecords])
        let relayed = sessions.bitcoin(.responder, isRelayed: true).configuration
        #expect(relayed.serves == [.headers] && relayed.services == 0)
        let punched = sessions.bitcoin(.responder, isRelayed: false).configuration
        #expect(punched.serves == [.headers, .blocks, .peerRecords] && punched.services == 0x408)
    }

    @Test("a relayed session shows neither our clock nor our height, a punched one does")
    func relayedSession() {
        let sessions = PunchedSessions(network: .regtest, userAgent: "/AltNet:test/", use: .links, serves: [.headers])
        sessions.heightChanged(to: 700)
        let relayed = sessions.bitcoin(.responder, isRelayed: true).configuration
        #expect(relayed.wallClock.seconds == 0 && relayed.startHeight == 0 && relayed.ownNonces.isEmpty)
        let punched = sessions.bitcoin(.responder, isRelayed: false).configuration
        #expect(punched.wallClock.seconds > 1_700_000_000 && punched.startHeight == 700)
    }
}
