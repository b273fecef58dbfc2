// SPDX-License-Identifier: MIT

import AltNetAlternativeAddresses
import AltNetBase
import AltNetKeys
import AltNetLightning
import Testing

@Suite("AlternativeAddresses: receiving and dialling")
struct ReceivingTests {
    let a = node(1)

    @Test("who has a relationship is heard: configured, allowed, a channel partner, or known for ten minutes")
    func relationship() {
        var world = World(allowed: [node(2)], configured: [node(1)])
        #expect(world.receive(body(channel(1), somewhere(1)), from: node(1)) == .stored)
        #expect(world.receive(body(channel(1), somewhere(1)), from: node(2)) == .stored)
        #expect(world.receive(body(channel(1), somewhere(1)), from: node(3)) == .refused(.noRelationship))
        _ = world.machine.onChannels(node(3), [channel(3)], now: world.now)
        #expect(world.receive(body(channel(3), somewhere(1)), from: node(3)) == .stored)
        // Two links of five minutes each, the second one still standing, over a restart.
        world.connect(node(4))
        world.seconds += 300
        world.disconnect(node(4))
        world.restart()
        world.connect(node(4))
        world.seconds += 299
        #expect(world.receive(body(channel(1), somewhere(1)), from: node(4)) == .refused(.noRelationship))
        world.seconds += 1
        #expect(world.receive(body(channel(1), somewhere(1)), from: node(4)) == .stored)
        #expect(world.disk.received.count == 4)
    }

    @Test("many short links are no history, and cost no write")
    func shortLinks() {
        var world = World()
        for _ in 0..<100 {
            world.connect(self.a)
            world.seconds += 59
            #expect(world.machine.onDisconnected(self.a, now: world.now).isEmpty)
        }
        #expect(world.receive(body(channel(1), somewhere(1)), from: self.a) == .refused(.noRelationship))
    }

    @Test("two links at once count once")
    func parallelLinks() {
        var world = World()
        world.connect(self.a)
        world.connect(self.a)
        world.seconds += 400
        world.disconnect(self.a)
        #expect(world.disk.peers.isEmpty)
        world.seconds += 100
        world.disconnect(self.a)
        #expect(world.disk.peers[self.a]?.stood == .seconds(500))
    }

    @Test("what is wrong is refused by name and changes nothing")
    func refusals() throws {
        var world = World(allowed: [self.a], channels: [self.a: channel(1)], own: [somewhere(5)])
        world.endpoints(.shared("e", 6))
        #expect(world.receive(body(channel(1), somewhere(1)), from: self.a) == .stored)
        let before = world.disk
        let atHome = try LightningAddress(text: "192.168.1.9:9735")
        let cases: [([UInt8], AddressReception.Refusal)] = [
            ([1, 2, 3], .malformed(.truncated)),
            ([UInt8](repeating: 0, count: 33), .malformed(.zeroChannelID)),
            (body(channel(2), somewhere(2)), .unknownChannel), (body(channel(2), nil), .unknownChannel),
            (channel(1) + [1, 9], .badAddress(.unknownType(9))),
            (channel(1) + [4] + "a:b:".utf8, .badAddress(.notHostAndPort)),
            (body(channel(1), somewhere(5)), .ownAddress), (body(channel(1), somewhere(6)), .ownAddress),
            (body(channel(1), atHome), .privateRange),
        ]
        for (bytes, refusal) in cases {
            #expect(world.receive(bytes, from: self.a) == .refused(refusal))
            #expect(!"\(refusal)".isEmpty && !"\(refusal)".contains("9735") && !"\(refusal)".contains("192"))
        }
        #expect(world.disk == before)
        #expect(world.machine.counters[.refused] == UInt64(cases.count))
        var open = World(allowed: [self.a], channels: [self.a: channel(1)], takesPrivate: true)
        #expect(open.receive(body(channel(1), atHome), from: self.a) == .stored)
    }

    @Test("places of ours are refused at each of their ports, written as IPv4 or mapped into IPv6, and never shown")
    func ownPlaces() throws {
        func address(_ text: String) throws -> LightningAddress { try LightningAddress(text: text) }
        var world = World(configured: [self.a], own: [try address("8.8.1.1:9735")], takesPrivate: true)
        let place = OwnPlace(
            hosts: [.ipv4([8, 8, 2, 2]), .ipv6([0x20, 1] + [UInt8](repeating: 9, count: 14))], ports: 100...102)
        world.machine.onOwnPlaces([place])
        let v6 = "[2001" + String(repeating: ":909", count: 7) + "]"
        for text in [
            "8.8.1.1:9735", "[::ffff:8.8.1.1]:9735", "8.8.2.2:100", "8.8.2.2:102", "[::ffff:8.8.2.2]:101", "\(v6):100",
        ] {
            #expect(
                world.receive(body(channel(1), try address(text)), from: self.a) == .refused(.ownAddress), "\(text)")
        }
        for text in ["8.8.2.2:99", "8.8.2.2:103", "\(v6):103", "[::fffe:8.8.2.2]:101"] {
            #expect(world.receive(body(channel(1), try address(text)), from: self.a) == .stored, "\(text)")
        }
        var text = "\(place) \(world.machine)"
        dump(world.machine, to: &text)
        #expect(!text.contains("8, 8, 2") && !text.contains("100...102"))
    }

    @Test("a newer address replaces, the same one changes nothing, an empty one forgets")
    func replacing() {
        var world = World(configured: [self.a])
        #expect(world.receive(body(channel(1), somewhere(1)), from: self.a) == .stored)
        world.dialled(self.a, somewhere(1), .reached)
        #expect(world.receive(body(channel(1), somewhere(1)), from: self.a) == .unchanged)
        #expect(world.machine.received.first?.validatedAt != nil)
        #expect(world.receive(body(channel(1), somewhere(2)), from: self.a) == .stored)
        #expect(world.machine.received.first?.validatedAt == nil)
        #expect(world.receive(body(channel(1), nil), from: self.a) == .cleared)
        #expect(world.receive(body(channel(1), nil), from: self.a) == .nothingToClear)
        #expect(world.disk.received.isEmpty)
        #expect(world.routes(self.a) == [.original])
    }

    @Test("four addresses at once, then one a minute; clearing always")
    func rate() {
        var world = World(configured: [self.a])
        for number in 1...4 { #expect(world.receive(body(channel(1), somewhere(number)), from: self.a) == .stored) }
        world.disconnect(self.a)
        world.connect(self.a)
        world.seconds = 59
        #expect(world.receive(body(channel(1), somewhere(5)), from: self.a) == .refused(.tooOften))
        #expect(world.receive(body(channel(1), nil), from: self.a) == .cleared)
        world.seconds = 60
        #expect(world.receive(body(channel(1), somewhere(5)), from: self.a) == .stored)
        #expect(world.receive(body(channel(1), somewhere(6)), from: self.a) == .refused(.tooOften))
        world.seconds = 10_000
        for number in 7...10 { #expect(world.receive(body(channel(1), somewhere(number)), from: self.a) == .stored) }
        #expect(world.receive(body(channel(1), somewhere(11)), from: self.a) == .refused(.tooOften))
    }

    @Test("the alternative is dialled first; the original follows until it worked, and after it fails")
    func routes() {
        var world = World(configured: [self.a])
        _ = world.receive(body(channel(1), somewhere(1)), from: self.a)
        let both: [AlternativeAddresses.Route] = [.alternative(somewhere(1)), .original]
        #expect(world.routes(self.a) == both)
        world.dialled(self.a, somewhere(1), .notReached)
        #expect(world.routes(self.a) == both)
        world.dialled(self.a, somewhere(1), .reached)
        #expect(world.routes(self.a) == [.alternative(somewhere(1))])
        world.restart()
        #expect(world.routes(self.a) == [.alternative(somewhere(1))])
        world.dialled(self.a, somewhere(1), .notReached)
        #expect(world.routes(self.a) == both)
        world.dialled(self.a, somewhere(1), .reached)
        #expect(world.routes(self.a) == [.alternative(somewhere(1))])
        // Somebody else answers there: the original's turn comes, and then both again.
        world.dialled(self.a, somewhere(1), .notProven)
        let rounds = [world.machine.routes(to: self.a), world.machine.routes(to: self.a)]
        #expect(rounds == [[.original], both])
        // How dialling an address went that was replaced meanwhile says nothing about the new one.
        _ = world.receive(body(channel(1), somewhere(2)), from: self.a)
        world.dialled(self.a, somewhere(1), .reached)
        #expect(world.machine.received.first?.validatedAt == nil)
        #expect(world.routes(node(2)) == [.original])
    }

    @Test("no more peers are remembered than the bounds; strangers do not push out those that stood longer")
    func bounds() {
        var world = World()
        var numbered: [NodeID] = []
        for index in 0..<(AlternativeAddresses.maximumPeers + 20) {
            let peer = NodePrivateKey(
                bytes: [UInt8](repeating: 1, count: 30) + [UInt8(index >> 8), UInt8(index & 255)])!
                .publicKey
            numbered.append(peer)
            world.connect(peer)
        }
        world.seconds = 1000
        for peer in numbered.prefix(AlternativeAddresses.maximumPeers) { world.disconnect(peer) }
        #expect(world.disk.peers.count == AlternativeAddresses.maximumPeers)
        for peer in numbered.prefix(AlternativeAddresses.maximumReceived) {
            #expect(world.receive(body(channel(1), somewhere(1)), from: peer) == .stored)
        }
        let late = numbered[AlternativeAddresses.maximumPeers]
        #expect(world.receive(body(channel(1), somewhere(1)), from: late) == .refused(.tooOften))
        world.seconds += 240
        #expect(world.receive(body(channel(1), somewhere(1)), from: late) == .refused(.full))
        _ = world.machine.onChannels(late, [channel(1)], now: world.now)
        #expect(world.receive(body(channel(1), somewhere(1)), from: late) == .stored)
        #expect(world.disk.received.count == AlternativeAddresses.maximumReceived)
        world.disconnect(late)
        #expect(world.disk.peers[late]?.stood == .seconds(1240))
        #expect(world.disk.peers.count == AlternativeAddresses.maximumPeers)
        world.connect(node(1))
        world.seconds += 100
        world.disconnect(node(1))
        #expect(world.disk.peers[node(1)] == nil)
    }
}
