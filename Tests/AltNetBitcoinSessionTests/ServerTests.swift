// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetObjects
import Testing

@testable import AltNetBitcoinSession

@Suite("Serving a Bitcoin node")
struct ServerTests {
    private let chain = SampleChain(length: 2100)

    @Test("getheaders becomes a request and the answer a headers message")
    func headers() {
        var script = SessionScript.established(direction: .inbound)
        let outcome = script.receive(.getheaders(locator: [self.chain.hashes[0]], stop: self.chain.hashes[9]))
        #expect(
            outcome.requests == [
                1: .headers(locator: [self.chain.hashes[0]], stop: self.chain.hashes[9], heightHint: 0, limit: 2000)
            ]
        )
        let bytes = self.chain.bytes(1...9)
        #expect(script.answer(1, .headers(bytes)).written == [.headers(bytes)])
        #expect(script.answer(1, .headers(bytes)).isQuiet)
        #expect(script.answer(77, .headers(bytes)).isQuiet)
    }

    @Test("sends no more than 2000 headers, and only whole ones")
    func limit() {
        var script = SessionScript.established()
        _ = script.receive(.getheaders(locator: [.zero], stop: .zero), .getheaders(locator: [.zero], stop: .zero))
        #expect(
            script.answer(1, .headers(self.chain.bytes(1...2100))).written == [.headers(self.chain.bytes(1...2000))]
        )
        #expect(
            script.answer(2, .headers(self.chain.bytes(1...1) + [1, 2])).written == [.headers(self.chain.bytes(1...1))]
        )
    }

    @Test("answers a refusal with an empty message, so as not to look dead")
    func refusal() {
        var script = SessionScript.established()
        _ = script.receive(.getheaders(locator: [.zero], stop: .zero))
        #expect(script.answer(1, .refused(.busy)).written == [.headers([])])
        var other = SessionScript.established(serves: [])
        #expect(other.receive(.getheaders(locator: [.zero], stop: .zero)).written == [.headers([])])
    }

    @Test("answers for an orchestrator that does not")
    func silentOrchestrator() {
        var script = SessionScript.established()
        _ = script.receive(.getheaders(locator: [.zero], stop: .zero))
        #expect(script.wait(.seconds(59)).isQuiet)
        #expect(script.wait(.seconds(1)).written == [.headers([])])
        #expect(script.answer(1, .headers([])).isQuiet)
    }

    @Test("a getheaders without locator is for one header, and silence means unknown")
    func oneHeader() {
        var script = SessionScript.established()
        let hash = self.chain.hashes[5]
        let request = ObjectRequest.headers(locator: [], stop: hash, heightHint: 0, limit: 1)
        #expect(script.receive(.getheaders(locator: [], stop: hash)).requests == [1: request])
        #expect(script.answer(1, .headers(self.chain.bytes(5...6))).written == [.headers(self.chain.bytes(5...5))])
        _ = script.receive(.getheaders(locator: [], stop: hash))
        #expect(script.answer(2, .headers(self.chain.bytes(1...9))).isQuiet)
        #expect(script.receive(.getheaders(locator: [], stop: .zero)).isQuiet)
    }

    @Test("no more blocks are served at once than a pruned node promises to have, and one a second after that")
    func servedBlocks() {
        var script = SessionScript.established(serves: [.headers, .blocks])
        func ask(_ number: Int) -> Outcome {
            let hash = self.chain.hashes[1 + number % 2_000]
            return script.receive(.getdata([P2PInventory(type: P2PInventory.witnessBlock, hash: hash)]))
        }
        var taken = 0
        for number in 0..<400 {
            let outcome = ask(number)
            if outcome.requests.isEmpty { #expect(outcome.commands == ["notfound"]) }
            for id in outcome.requests.keys {
                taken += 1
                _ = script.answer(id, .refused(.notFound))
            }
        }
        #expect(taken == 288)
        _ = script.wait(.seconds(2))
        #expect((0..<4).map { ask($0).requests.count } == [1, 1, 0, 0])
    }

    @Test("takes on only so many requests at a time")
    func openRequests() {
        var script = SessionScript.established()
        var count = 0
        for _ in 0..<100 { count += script.receive(.getheaders(locator: [.zero], stop: .zero)).requests.count }
        #expect(count == BitcoinPeerLimits.openPeerRequests)
        _ = script.answer(1, .headers([]))
        #expect(script.receive(.getheaders(locator: [.zero], stop: .zero)).requests.count == 1)
    }

    @Test("serves a whole chain to a node that starts from nothing, twice, but not for ever")
    func headerBudget() {
        var script = SessionScript.established()
        var served = 0
        var end: DisconnectReason?
        for _ in 0..<5000 where end == nil {
            let outcome = script.receive(.getheaders(locator: [.zero], stop: .zero))
            for id in outcome.requests.keys { served += script.answer(id, .headers([])).written.count }
            end = outcome.end
        }
        #expect(served == 1200)
        #expect(end?.code == .limitExceeded)
    }

    @Test("has no blocks unless told so, and no transactions")
    func notFound() {
        var script = SessionScript.established()
        let wanted = [
            P2PInventory(type: P2PInventory.witnessBlock, hash: self.chain.hashes[1]),
            P2PInventory(type: 1, hash: .zero),
        ]
        let outcome = script.receive(.getdata(wanted))
        #expect(outcome.written == [.notfound(wanted)])
        #expect(outcome.requests.isEmpty)
    }

    @Test("passes blocks on where it serves them")
    func blocks() {
        var script = SessionScript.established(serves: [.headers, .blocks])
        let wanted = (1...2).map { P2PInventory(type: P2PInventory.witnessBlock, hash: self.chain.hashes[$0]) }
        let outcome = script.receive(.getdata(wanted))
        #expect(outcome.requests == [1: .block(self.chain.hashes[1]), 2: .block(self.chain.hashes[2])])
        let raw = self.chain.bytes(2...2) + [0]
        #expect(script.answer(2, .objects(.blocks, [raw])).written == [.block(raw)])
        #expect(script.answer(1, .refused(.notFound)).written == [.notfound([wanted[0]])])
    }

    @Test("takes on as many blocks as a node asks for at once, two at a time, and answers each")
    func blockQueue() {
        var script = SessionScript.established(serves: [.headers, .blocks])
        let wanted = (1...20).map { P2PInventory(type: P2PInventory.witnessBlock, hash: self.chain.hashes[$0]) }
        let outcome = script.receive(.getdata(wanted))
        #expect(outcome.written == [.notfound(Array(wanted[16...]))])
        var open = outcome.requests
        var served = 0
        while let (id, request) = open.min(by: { $0.key < $1.key }) {
            #expect(open.count <= BitcoinPeerLimits.servedBlocksAtOnce)
            open[id] = nil
            served += 1
            #expect(request == .block(self.chain.hashes[served]), "in the order asked")
            let raw = self.chain.bytes(served...served) + [0]
            let answer = script.answer(id, .objects(.blocks, [raw]))
            #expect(answer.written == [.block(raw)])
            open.merge(answer.requests) { $1 }
        }
        #expect(served == 16)
    }

    @Test("a block without its witnesses is not found: we have none such")
    func witnesses() {
        var script = SessionScript.established(serves: [.headers, .blocks])
        let entry = P2PInventory(type: P2PInventory.block, hash: self.chain.hashes[1])
        #expect(script.receive(.getdata([entry])).written == [.notfound([entry])])
    }

    @Test("tells nobody any addresses")
    func getaddr() {
        var script = SessionScript.established()
        #expect(script.receive(.getaddr).isQuiet)
    }
}

@Suite("Announcements to and from a Bitcoin node")
struct AnnouncementTests {
    private let chain = SampleChain(length: 30)

    private func tip(_ height: Int) -> ObjectAnnouncement {
        .tip(header: self.chain.headers[height], height: UInt32(height))
    }

    @Test("our tip goes out as a header at once, whether or not the peer has asked for that form")
    func ownTip() {
        for direction in [BitcoinPeerSession.Direction.inbound, .outbound] {
            var script = SessionScript.established(direction: direction)
            #expect(script.announce(self.tip(3)).written == [.headers(self.chain.bytes(3...3))])
            #expect(script.announce(self.tip(4)).written == [.headers(self.chain.bytes(4...4))])
        }
    }

    @Test("our tip starts Bitcoin Core's header sync: it does not connect, so Core asks, and goes on asking")
    func coreSync() {
        var script = SessionScript.established(direction: .inbound)
        #expect(script.announce(self.tip(30)).commands == ["headers"])
        // What HandleUnconnectingHeaders does.
        let request = script.receive(.getheaders(locator: [self.chain.hashes[0]], stop: .zero))
        #expect(request.requests.count == 1)
        #expect(script.answer(1, .headers(self.chain.bytes(1...30))).commands == ["headers"])
    }

    @Test("only who serves blocks may offer them with inv, after the first announcement")
    func inventory() {
        var script = SessionScript.established(serves: [.headers, .blocks])
        #expect(script.announce(self.tip(3)).commands == ["headers"])
        let entry = P2PInventory(type: P2PInventory.block, hash: self.chain.hashes[4])
        #expect(script.announce(self.tip(4)).written == [.inv([entry])])
        _ = script.receive(.sendheaders)
        #expect(script.announce(self.tip(5)).commands == ["headers"])
    }

    @Test("a sendheaders that comes before verack counts")
    func earlySendHeaders() {
        var script = SessionScript(direction: .inbound, serves: [.headers, .blocks])
        _ = script.connect()
        _ = script.receive(.version(.sample), .sendheaders, .verack)
        _ = script.announce(self.tip(3))
        #expect(script.announce(self.tip(4)).commands == ["headers"])
    }

    @Test("nothing is announced before the handshake is complete, and transactions never")
    func dropped() {
        var script = SessionScript()
        _ = script.connect()
        #expect(script.announce(self.tip(3)).isQuiet)
        var later = SessionScript.established()
        #expect(later.announce(.transaction([1, 2, 3])).isQuiet)
    }

    @Test("the peer's new headers become a tip of unknown height", arguments: [1, 2, 8])
    func peerTip(count: Int) {
        var script = SessionScript.established()
        let outcome = script.receive(.headers(self.chain.bytes(1...count)))
        #expect(outcome.announcements == [.tip(header: self.chain.headers[count], height: 0)])
    }

    @Test("a long run of headers that nobody asked for is no announcement")
    func longRun() {
        var script = SessionScript.established()
        #expect(script.receive(.headers(self.chain.bytes(1...9))).isQuiet)
    }

    @Test("an inv of a block makes us ask for its header, which becomes the tip")
    func inv() {
        var script = SessionScript.established()
        let blocks = [7, 8].map { P2PInventory(type: P2PInventory.block, hash: self.chain.hashes[$0]) }
        let transaction = P2PInventory(type: 5, hash: .zero)
        let outcome = script.receive(.inv([blocks[0], blocks[1], transaction]))
        #expect(outcome.written == [.getheaders(locator: [], stop: self.chain.hashes[8])])
        #expect(script.receive(.inv([blocks[1]])).isQuiet)
        #expect(script.receive(.headers(self.chain.bytes(8...8))).announcements == [self.tip0(8)])
        #expect(script.receive(.inv([transaction])).isQuiet)
    }

    private func tip0(_ height: Int) -> ObjectAnnouncement { .tip(header: self.chain.headers[height], height: 0) }

    @Test("an inv while we wait for headers does not confuse the answers")
    func invMeanwhile() {
        var script = SessionScript.established()
        _ = script.request(1, .headers(locator: [self.chain.hashes[20]], stop: .zero, heightHint: 20, limit: 2000))
        let entry = P2PInventory(type: P2PInventory.block, hash: self.chain.hashes[30])
        #expect(script.receive(.inv([entry])).commands == ["getheaders"])
        let answer = script.receive(.headers(self.chain.bytes(21...30)), .headers(self.chain.bytes(30...30)))
        #expect(answer.answers == [1: .headers(self.chain.bytes(21...30))])
        #expect(answer.announcements == [self.tip0(30)])
    }

    @Test("addresses travel in the form that the peer reads")
    func addresses() {
        let onion = NodeAddress(
            lastSeen: 1,
            services: 1,
            networkID: 4,
            address: [UInt8](repeating: 1, count: 32),
            port: 8333
        )
        var script = SessionScript(direction: .inbound)
        _ = script.connect()
        _ = script.receive(.version(.sample), .sendaddrv2, .verack)
        #expect(script.announce(.addresses([onion])).written == [.addrv2([onion])])
        #expect(script.announce(.addresses([])).isQuiet)
        let many = [NodeAddress](repeating: onion, count: 1500)
        #expect(script.announce(.addresses(many)).written == [.addrv2(Array(many.prefix(1000)))])
    }

    @Test("offers of hole punching travel unchanged, both ways, and never to a peer that cannot read them")
    func offers() {
        // Network ids and service bits that nobody has assigned.
        let flagged = NodeAddress(
            lastSeen: 1_800_000_000, services: 1 << 27, networkID: 4, address: Array(0..<32), port: 8333)
        let combined = NodeAddress(
            lastSeen: 1_800_000_001, services: 1 << 27, networkID: 0xf0, address: [1, 4] + Array(0..<37), port: 8333)
        let ordinary = NodeAddress(lastSeen: 1, services: 1, networkID: 1, address: [192, 0, 2, 1], port: 8333)
        var script = SessionScript()
        _ = script.connect()
        _ = script.receive(.version(.sample), .sendaddrv2, .verack)
        #expect(script.announce(.addresses([combined, flagged])).written == [.addrv2([combined, flagged])])
        #expect(script.receive(.addrv2([combined, flagged])).announcements == [.addresses([combined, flagged])])
        var old = SessionScript.established()
        #expect(old.announce(.addresses([combined, flagged])).isQuiet)
        #expect(old.announce(.addresses([combined, ordinary])).written == [.addr([ordinary])])
    }

    @Test("addresses that nobody asked for pass only as fast as Bitcoin Core would take them")
    func addressBudget() {
        var script = SessionScript.established()
        let address = NodeAddress(lastSeen: 1, services: 1, networkID: 1, address: [192, 0, 2, 1], port: 8333)
        let full = P2PMessage.addrv2([NodeAddress](repeating: address, count: 1000))
        #expect(script.receive(full).announcements.count == 1)
        #expect(script.receive(full).announcements.isEmpty)
        _ = script.wait(.seconds(20))
        #expect(script.receive(full).announcements == [.addresses([address, address])])
    }
}
