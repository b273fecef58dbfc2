// SPDX-License-Identifier: MIT

import AltNetAlternativeAddresses
import AltNetBase
import AltNetKeys
import AltNetLightning
import Testing

/// Random histories against a model that knows only what went over the wire and onto the disk.
@Suite("AlternativeAddresses: properties")
struct ModelTests {
    @Test("who is let in, who is told what and what is on the disk agree", arguments: 1...60 as ClosedRange<UInt64>)
    func histories(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let peers = (0..<4).map { node($0) }
        // The last peer is not allowed; the third has a channel only when the attached node says so.
        let allowed: Set<NodeID> = [peers[0], peers[1], peers[2]]
        let configured = [peers[0]: channel(0), peers[1]: channel(1)]
        var world = World(allowed: allowed, channels: configured, configured: [peers[3]])
        var endpoints: [AlternativeEndpoint] = []
        // What each peer holds, were no message ever lost; and what of it is certain.
        var holds: [NodeID: LightningAddress] = [:]
        var sentAt: [NodeID: Int64] = [:]
        var links: [NodeID: Int] = [:]
        var channels: [NodeID: [UInt8]] = configured
        var withheld: Set<NodeID> = []

        func perform(_ directives: [AlternativeAddresses.Directive]) {
            for directive in directives {
                world.carryOut([directive])
                guard case .send(let message, let peer) = directive else { continue }
                #expect(links[peer] ?? 0 > 0, "sent to a peer that is not there")
                let address = try? message.reading()
                if let address {
                    let open = world.disk.given.values.filter { $0.peer == peer && $0.until == nil }
                    #expect(open.count == 1 && open[0].address == address, "sent before it was on the disk")
                    #expect(channels[peer] == nil || message.channelID == channels[peer])
                    #expect(allowed.contains(peer) && !withheld.contains(peer))
                    #expect(endpoints.contains { $0.isUp && $0.address == address && ($0.peer ?? peer) == peer })
                } else {
                    #expect(!world.disk.given.values.contains { $0.peer == peer && $0.until == nil })
                }
                holds[peer] = address
                sentAt[peer] = world.seconds
            }
        }

        for step in 0..<400 {
            world.seconds += [0, 1, 30, 61, 700].randomElement(using: &random) ?? 0
            let peer = peers.randomElement(using: &random) ?? peers[0]
            let sentBefore = world.sent.count
            let endpointsBefore = endpoints
            var isQuiet = false
            switch Int.random(in: 0..<10, using: &random) {
            case 0, 1:
                endpoints = (0..<Int.random(in: 0...3, using: &random)).map { index in
                    AlternativeEndpoint(
                        id: EndpointID("e\(index)"),
                        address: somewhere(index * 100 + Int.random(in: 1...2, using: &random)),
                        peer: Bool.random(using: &random) ? nil : peers[index], isUp: Bool.random(using: &random))
                }
                perform(world.machine.onEndpoints(endpoints, now: world.now))
            case 2, 3:
                links[peer, default: 0] += 1
                perform(world.machine.onConnected(peer, now: world.now))
            case 4, 5:
                guard links[peer] ?? 0 > 0 else { continue }
                links[peer, default: 0] -= 1
                perform(world.machine.onDisconnected(peer, now: world.now))
            case 6:
                guard allowed.contains(peer) else { continue }
                withheld.insert(peer)
                let (delivery, directives) = try world.machine.clear(peer, now: world.now)
                perform(directives)
                #expect(links[peer] ?? 0 > 0 || delivery.sent.isEmpty)
            case 7:
                guard allowed.contains(peer) else { continue }
                withheld.remove(peer)
                let (delivery, directives) = try world.machine.send(to: peer, now: world.now)
                perform(directives)
                #expect(delivery.sent + delivery.waiting == [peer])
            case 8:
                let now = Bool.random(using: &random) ? channel(2) : nil
                channels[peers[2]] = now
                perform(world.machine.onChannels(peers[2], now.map { [$0] } ?? [], now: world.now))
            default:
                // kill -9: all links end, and the disk is all that is left.
                links = [:]
                channels[peers[2]] = nil
                world.restart()
                #expect(world.machine.admissions.isEmpty)
                perform(world.machine.onEndpoints(endpoints, now: world.now))
                isQuiet = true
            }
            let context: Comment = "seed \(seed), step \(step)"
            #expect(!isQuiet || world.sent.count == sentBefore, context)

            // The machine and the disk are the same.
            #expect(world.machine.given == world.disk.given.values.sorted { $0.id < $1.id }, context)
            for peer in peers {
                let open = world.disk.given.values.filter { $0.peer == peer && $0.until == nil }
                #expect(open.count <= 1, context)
                for endpoint in endpoints {
                    let expected =
                        endpoint.isUp
                        && open.contains { $0.endpoint == endpoint.id && $0.address == endpoint.address }
                    #expect(world.machine.admits(peer, at: endpoint.id) == expected, context)
                    #expect(
                        world.machine.admissions.contains(.init(peer: peer, endpoint: endpoint.id)) == expected, context
                    )
                    // Nobody is let in where it could not have been given the address.
                    if expected { #expect((endpoint.peer ?? peer) == peer && !withheld.contains(peer), context) }
                }
                guard links[peer] ?? 0 > 0 else { continue }
                // Who is there, has been told all that there is to tell.
                let usable = endpoints.filter { $0.isUp && ($0.peer ?? peer) == peer }
                if let record = open.first, record.sentAt != nil {
                    #expect(holds[peer] == record.address, context)
                } else if open.isEmpty, channels[peer] != nil || holds[peer] == nil {
                    #expect(holds[peer] == nil, context)
                }
                if allowed.contains(peer), !withheld.contains(peer), channels[peer] != nil, !usable.isEmpty {
                    #expect(!open.isEmpty, context)
                    if usable.contains(where: { $0.peer == peer }), let record = open.first {
                        let chosen = endpoints.first { $0.id == record.endpoint }
                        #expect(chosen?.peer == peer, context)
                    }
                }
            }
            // An event that changed no endpoint gives each peer at most one message.
            if endpoints == endpointsBefore { #expect(world.sent.count - sentBefore <= 1, context) }
        }
    }
}
