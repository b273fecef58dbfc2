// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDialing
import AltNetPeerRecords
import Testing

@Suite("ObservedAddresses")
struct ObservedAddressesTests {
    private let ours = "/ip4/203.0.113.7/tcp/4001"
    private let now = MonotonicInstant.zero

    /// Observers of a world, each over a connection of its own.
    private struct World {
        var machine = ObservedAddresses()
        var now = MonotonicInstant.zero
        var connections: UInt64 = 0

        /// Peer `number`, in the network group of that number unless another is named.
        @discardableResult
        mutating func observe(
            _ text: String, peer: UInt64, group: Int? = nil, host: Int = 1,
            _ origin: ObservedAddresses.Origin = .inbound
        ) throws -> (ObservedAddresses.Outcome, ObservedAddresses.ConnectionID) {
            self.connections += 1
            let connection = ObservedAddresses.ConnectionID(self.connections)
            let group = group ?? Int(peer)
            let remote = try address("/ip4/\(20 + group / 200).\(group % 200).\(host / 250).\(host % 250)/tcp/9")
            let outcome = self.machine.onObserved(
                try address(text), by: try id(peer), at: remote, over: connection, origin, now: self.now)
            return (outcome, connection)
        }

        func id(_ number: UInt64) throws -> PeerID {
            var random = SeededRandom(seed: number)
            return try PeerID(bytes: [0x12, 0x20] + random.bytes(32))
        }

        var addresses: [String] { self.machine.addresses(now: self.now).map(\.description) }
        var hosts: [String] { self.machine.hosts(now: self.now).map(\.description) }
    }

    @Test("an address is believed from the fourth network group on that sees us there")
    func threshold() throws {
        var world = World()
        for peer in 1...3 as ClosedRange<UInt64> {
            #expect(try world.observe(self.ours, peer: peer).0 == .counted)
            try world.observe(self.ours, peer: peer + 100, group: Int(peer), host: 2)
        }
        #expect(world.addresses.isEmpty && world.hosts.isEmpty)
        try world.observe(self.ours, peer: 4)
        #expect(world.addresses == [self.ours] && world.hosts == ["/ip4/203.0.113.7"])
    }

    @Test("one peer in four networks is one voice")
    func roaming() throws {
        var world = World()
        for group in 1...8 { try world.observe(self.ours, peer: 1, group: group) }
        #expect(world.hosts.isEmpty)
    }

    @Test("the port counts only where it is one that others can dial")
    func ports() throws {
        var world = World()
        for peer in 1...9 as ClosedRange<UInt64> {
            try world.observe("/ip4/203.0.113.7/tcp/\(50_000 + peer)", peer: peer, .outbound)
        }
        #expect(world.addresses.isEmpty && world.hosts == ["/ip4/203.0.113.7"])
        // Not even when all see the same one: a NAT may give one port to all connections from ours.
        for peer in 11...19 as ClosedRange<UInt64> { try world.observe(self.ours, peer: peer, .outbound) }
        #expect(world.addresses.isEmpty)
        for peer in 21...24 as ClosedRange<UInt64> {
            try world.observe(self.ours, peer: peer, peer % 2 == 0 ? .inbound : .outboundFromListener)
        }
        #expect(world.addresses == [self.ours])
    }

    @Test("what comes behind the port does not make two addresses of one")
    func normalised() throws {
        var world = World()
        try world.observe("\(self.ours)/ws", peer: 1)
        try world.observe("\(self.ours)/p2p/\(try world.id(9))", peer: 2)
        try world.observe("\(self.ours)/tls/ws", peer: 3)
        try world.observe(self.ours, peer: 4)
        #expect(world.addresses == [self.ours])
    }

    @Test(
        "what is no place on the Internet does not count",
        arguments: [
            "/ip4/192.168.1.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip6/fe80::1/tcp/1", "/ip4/0.0.0.0/tcp/1",
            "/dns4/example.org/tcp/1", "/ip4/203.0.113.7", "/ip4/203.0.113.7/tcp/0", "/ip4/203.0.113.7/ws",
            "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234",
            "/ip4/203.0.113.7/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N/p2p-circuit",
        ])
    func notGlobal(_ text: String) throws {
        var world = World()
        for peer in 1...6 as ClosedRange<UInt64> { #expect(try world.observe(text, peer: peer).0 == .notGlobal) }
        #expect(world.machine.count == 0)
    }

    @Test(
        "who is on our network or comes through an overlay is no witness",
        arguments: [
            "/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip6/fe80::1/tcp/1",
            "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234",
            "/ip4/20.1.1.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N/p2p-circuit",
        ])
    func observers(_ remote: String) throws {
        var machine = ObservedAddresses()
        let outcome = machine.onObserved(
            try address(self.ours), by: try peer(1), at: try address(remote), over: .init(1), .inbound, now: self.now)
        #expect(outcome == .observerNotGlobal && machine.count == 0)
    }

    @Test("a peer that sees us elsewhere does not count for the old address any more")
    func changed() throws {
        var world = World()
        var last: ObservedAddresses.ConnectionID?
        for peer in 1...4 as ClosedRange<UInt64> { last = try world.observe(self.ours, peer: peer).1 }
        #expect(world.addresses == [self.ours])
        let connection = try #require(last)
        _ = world.machine.onObserved(
            try address("/ip4/198.51.100.1/tcp/4001"), by: try world.id(4), at: try address("/ip4/20.4.0.1/tcp/9"),
            over: connection, .inbound, now: world.now)
        #expect(world.addresses.isEmpty && world.machine.count == 4)
    }

    @Test("an observation outlives its connection for a while, and a connection that stands keeps it alive")
    func forgetting() throws {
        var world = World()
        var connections: [ObservedAddresses.ConnectionID] = []
        for peer in 1...5 as ClosedRange<UInt64> { connections.append(try world.observe(self.ours, peer: peer).1) }
        world.now = world.now + .seconds(86_400)
        #expect(world.addresses == [self.ours])
        for connection in connections.prefix(2) { world.machine.onClosed(connection, now: world.now) }
        let expiry = world.now + ObservedAddresses.lifetime
        world.now = MonotonicInstant(nanoseconds: expiry.nanoseconds - 1)
        // Closing twice does not lengthen anything.
        world.machine.onClosed(connections[0], now: world.now)
        #expect(world.addresses == [self.ours])
        world.now = expiry
        #expect(world.addresses.isEmpty && world.hosts.isEmpty)
        try world.observe(self.ours, peer: 9)
        #expect(world.machine.count == 4 && world.addresses == [self.ours])
        world.machine.onNetworkChanged()
        #expect(world.addresses.isEmpty)
    }

    @Test("an attacker with one block of addresses and 10,000 peer ids cannot make us believe, or forget, anything")
    func attack() throws {
        var world = World()
        let lie = "/ip4/198.51.100.66/tcp/666"
        for peer in 1...5 as ClosedRange<UInt64> { try world.observe(self.ours, peer: peer) }
        for number in 0..<10_000 as Range<UInt64> {
            let text = number % 2 == 0 ? lie : "/ip4/198.51.\(number / 250 % 250).\(number % 250)/tcp/666"
            try world.observe(text, peer: 1_000 + number, group: 77, host: Int(number))
            #expect(world.machine.count <= 5 + ObservedAddresses.maximumPerGroup)
        }
        #expect(world.addresses == [self.ours] && world.hosts == ["/ip4/203.0.113.7"])
        // Three such blocks are not enough either.
        for number in 0..<3_000 as Range<UInt64> {
            try world.observe(lie, peer: 20_000 + number, group: 78 + Int(number % 2), host: Int(number))
        }
        #expect(world.addresses == [self.ours] && world.hosts == ["/ip4/203.0.113.7"])
    }

    @Test("all that is kept is bounded, and those with many voices go first")
    func bounds() throws {
        var world = World()
        for peer in 1...4 as ClosedRange<UInt64> { try world.observe(self.ours, peer: peer) }
        for number in 0..<2_000 as Range<UInt64> {
            let text = "/ip4/198.51.\(number / 250).\(number % 250)/tcp/1"
            try world.observe(text, peer: 100 + number, group: 10 + Int(number % 200), host: Int(number))
        }
        #expect(world.machine.count == ObservedAddresses.maximumObservations)
        #expect(world.addresses == [self.ours])
    }

    @Test("at most three addresses of each family are believed, those with most voices first")
    func most() throws {
        var world = World()
        for number in 1...5 {
            for peer in 1...UInt64(3 + number) {
                try world.observe("/ip4/203.0.113.\(number)/tcp/1", peer: 100 * UInt64(number) + peer)
                try world.observe("/ip6/2001:db8::\(number)/tcp/1", peer: 100 * UInt64(number) + peer)
            }
        }
        #expect(world.addresses.filter { $0.hasPrefix("/ip4") } == [5, 4, 3].map { "/ip4/203.0.113.\($0)/tcp/1" })
        #expect(world.addresses.count == 6 && world.hosts.count == 6)
    }

    @Test("what is believed is what a naive count says", arguments: 1...50 as ClosedRange<UInt64>)
    func model(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var world = World()
        struct Note { var peer: UInt64, group: Int, text: String, expiry: MonotonicInstant? }
        var notes: [ObservedAddresses.ConnectionID: Note] = [:]
        for step in 0..<200 {
            world.now = world.now + .seconds(Int.random(in: 0...200, using: &random))
            if Bool.random(using: &random),
                let some = notes.keys.sorted(by: { $0.rawValue < $1.rawValue })
                    .randomElement(using: &random)
            {
                world.machine.onClosed(some, now: world.now)
                if notes[some]?.expiry == nil { notes[some]?.expiry = world.now + ObservedAddresses.lifetime }
            } else {
                let peer = UInt64.random(in: 1...12, using: &random)
                let group = Int.random(in: 1...40, using: &random)
                let text = "/ip4/203.0.113.\(Int.random(in: 1...2, using: &random))/tcp/1"
                let connection = try world.observe(text, peer: peer, group: group).1
                notes[connection] = Note(peer: peer, group: group, text: text, expiry: nil)
            }
            notes = notes.filter { $0.value.expiry.map { world.now < $0 } ?? true }
            // The naive count knows no bound, so histories that reach one prove nothing.
            let largest = Dictionary(grouping: notes.values, by: \.group).values.map(\.count).max() ?? 0
            guard largest <= ObservedAddresses.maximumPerGroup else { return }
            for text in ["/ip4/203.0.113.1/tcp/1", "/ip4/203.0.113.2/tcp/1"] {
                let mine = notes.values.filter { $0.text == text }
                let isBelieved = Set(mine.map(\.peer)).count >= 4 && Set(mine.map(\.group)).count >= 4
                #expect(world.addresses.contains(text) == isBelieved, "seed \(seed), step \(step)")
            }
        }
    }
}
