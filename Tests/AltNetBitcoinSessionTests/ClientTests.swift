// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetBitcoin
import AltNetObjects
import Testing

@testable import AltNetBitcoinSession

@Suite("Asking a Bitcoin node")
struct ClientTests {
    private let chain = SampleChain(length: 30)

    private func headers(
        after height: Int,
        limit: UInt32 = 2000,
        stop: BlockHash = .zero
    ) -> ObjectRequest {
        .headers(
            locator: [self.chain.hashes[height], self.chain.hashes[0]],
            stop: stop,
            heightHint: UInt32(height),
            limit: limit
        )
    }

    // MARK: - Headers

    @Test("for headers sends getheaders and passes on the headers that follow")
    func headers() {
        var script = SessionScript.established()
        let asked = script.request(5, self.headers(after: 10, stop: self.chain.hashes[20]))
        let locator = [self.chain.hashes[10], self.chain.hashes[0]]
        #expect(asked.written == [.getheaders(locator: locator, stop: self.chain.hashes[20])])
        let bytes = self.chain.bytes(11...20)
        #expect(script.receive(.headers(bytes)).answers == [5: .headers(bytes)])
    }

    @Test("takes an empty headers message for the answer that there is nothing")
    func nothing() {
        var script = SessionScript.established()
        _ = script.request(5, self.headers(after: 30))
        #expect(script.receive(.headers([])).answers == [5: .headers([])])
        #expect(script.receive(.headers([])).isQuiet)
    }

    @Test("accepts headers from the first block on when the peer knows nothing of the locator")
    func fromGenesis() {
        var script = SessionScript.established()
        _ = script.request(
            5,
            .headers(locator: [BlockHash(number: UInt256(9))], stop: .zero, heightHint: 0, limit: 2000)
        )
        #expect(script.receive(.headers(self.chain.bytes(1...30))).answers.count == 1)
    }

    @Test("cuts what is more than asked for")
    func limit() {
        var script = SessionScript.established()
        _ = script.request(5, self.headers(after: 10, limit: 3))
        #expect(script.receive(.headers(self.chain.bytes(11...30))).answers == [5: .headers(self.chain.bytes(11...13))])
    }

    @Test("keeps one getheaders under way and the next ones waiting")
    func oneAtATime() {
        var script = SessionScript.established()
        #expect(script.request(1, self.headers(after: 1)).commands == ["getheaders"])
        #expect(script.request(2, self.headers(after: 2)).isQuiet)
        #expect(script.request(3, self.headers(after: 3)).isQuiet)
        let first = script.receive(.headers(self.chain.bytes(2...3)))
        #expect(first.answers.keys.sorted() == [1])
        #expect(first.commands == ["getheaders"])
        #expect(script.receive(.headers([])).answers.keys.sorted() == [2])
        #expect(script.receive(.headers([])).answers.keys.sorted() == [3])
    }

    @Test("refuses what would wait behind too many others")
    func busy() {
        var script = SessionScript.established()
        let limit = UInt64(BitcoinPeerLimits.queuedHeaderRequests)
        for id in 0...limit { #expect(script.request(id, self.headers(after: 1)).answers.isEmpty) }
        #expect(script.request(limit + 1, self.headers(after: 1)).answers == [limit + 1: .refused(.busy)])
    }

    @Test("gives up after 30 seconds without hanging up, as Bitcoin Core may not want to answer")
    func silence() {
        var script = SessionScript.established()
        _ = script.request(1, self.headers(after: 1))
        _ = script.request(2, self.headers(after: 2))
        #expect(script.wait(.seconds(29)).isQuiet)
        let outcome = script.wait(.seconds(1))
        #expect(outcome.answers == [1: .refused(.unavailable)])
        #expect(outcome.commands == ["getheaders"])
        #expect(script.wait(.seconds(30)).answers == [2: .refused(.unavailable)])
        #expect(script.wait(.seconds(10)).end == nil)
    }

    @Test("drops a long answer that comes after its deadline")
    func late() {
        var script = SessionScript.established()
        _ = script.request(1, self.headers(after: 1))
        _ = script.wait(.seconds(30))
        #expect(script.receive(.headers(self.chain.bytes(2...30))).isQuiet)
    }

    @Test("tells an announcement from an answer by what it builds on")
    func announcementMeanwhile() {
        var script = SessionScript.established()
        _ = script.request(1, self.headers(after: 10))
        let meanwhile = script.receive(.headers(self.chain.bytes(30...30)))
        #expect(meanwhile.answers.isEmpty)
        #expect(meanwhile.announcements == [.tip(header: self.chain.headers[30], height: 0)])
        #expect(script.receive(.headers(self.chain.bytes(11...30))).answers.count == 1)
    }

    @Test("refuses requests that the protocol cannot express")
    func invalid() {
        var script = SessionScript.established()
        let locator = [BlockHash](repeating: .zero, count: 102)
        let requests: [ObjectRequest] = [
            .headers(locator: locator, stop: .zero, heightHint: 0, limit: 1), self.headers(after: 1, limit: 0),
            .headers(locator: [], stop: .zero, heightHint: 0, limit: 1),
        ]
        for request in requests { #expect(script.request(1, request).answers == [1: .refused(.invalid)]) }
        let others: [ObjectRequest] = [
            .filterHeaders(type: 0, start: 0, stop: .zero), .filters(type: 0, start: 0, stop: .zero),
            .transaction(.zero),
        ]
        for request in others { #expect(script.request(1, request).answers == [1: .refused(.unsupported)]) }
    }

    @Test("asks for one header by its hash with an empty locator")
    func oneHeader() {
        var script = SessionScript.established()
        let request = ObjectRequest.headers(locator: [], stop: self.chain.hashes[9], heightHint: 0, limit: 1)
        #expect(script.request(1, request).written == [.getheaders(locator: [], stop: self.chain.hashes[9])])
        #expect(script.receive(.headers(self.chain.bytes(9...9))).answers == [1: .headers(self.chain.bytes(9...9))])
    }

    @Test("refuses everything before the handshake is complete")
    func tooEarly() {
        var script = SessionScript()
        _ = script.connect()
        #expect(script.request(1, self.headers(after: 1)).answers == [1: .refused(.unavailable)])
    }

    @Test("answers everything that is open when the connection ends")
    func end() {
        var script = SessionScript.established()
        for id in 1...3 { _ = script.request(UInt64(id), self.headers(after: id)) }
        _ = script.request(4, .block(.zero))
        _ = script.request(5, .addresses(limit: 9))
        let outcome = script.receive(bytes: [0, 0, 0, 0])
        #expect(outcome.end != nil)
        #expect(outcome.answers.keys.sorted() == [1, 2, 3, 4, 5])
        #expect(Set(outcome.answers.values) == [.refused(.unavailable)])
    }

    // MARK: - Blocks

    @Test("for a block asks with witnesses and takes the block with that header")
    func block() {
        var script = SessionScript.established()
        let hash = self.chain.hashes[4]
        #expect(script.request(1, .block(hash)).written == [.getdata([P2PInventory(type: 0x4000_0002, hash: hash)])])
        let raw = self.chain.bytes(4...4) + [0]
        #expect(script.receive(.block(self.chain.bytes(5...5) + [0])).isQuiet)
        #expect(script.receive(.block(raw)).answers == [1: .objects(.blocks, [raw])])
        #expect(script.receive(.block(raw)).isQuiet)
    }

    @Test("for a block that the peer does not have says so, and when it stays silent too")
    func missingBlock() {
        var script = SessionScript.established()
        _ = script.request(1, .block(self.chain.hashes[1]))
        _ = script.request(2, .block(self.chain.hashes[2]))
        let entry = P2PInventory(type: P2PInventory.witnessBlock, hash: self.chain.hashes[1])
        #expect(script.receive(.notfound([entry])).answers == [1: .refused(.notFound)])
        #expect(script.wait(.seconds(119)).answers.isEmpty)
        #expect(script.wait(.seconds(1)).answers == [2: .refused(.unavailable)])
    }

    @Test("asks for no more than 16 blocks at a time, and for none where the peer has none")
    func blockLimits() {
        var script = SessionScript.established()
        for id in 1...16 { #expect(script.request(UInt64(id), .block(self.chain.hashes[id])).answers.isEmpty) }
        #expect(script.request(17, .block(self.chain.hashes[17])).answers == [17: .refused(.busy)])
        var poor = SessionScript.established(version: .sample.with { $0.services = 0 })
        #expect(poor.request(1, .block(self.chain.hashes[1])).answers == [1: .refused(.unsupported)])
    }

    // MARK: - Addresses

    private func address(_ number: UInt8) -> NodeAddress {
        NodeAddress(lastSeen: 1, services: 1, networkID: 1, address: [192, 0, 2, number], port: 8333)
    }

    @Test("for addresses takes the next list and cuts it, but not a node's own address")
    func addresses() {
        var script = SessionScript.established()
        #expect(script.request(1, .addresses(limit: 2)).commands == ["getaddr"])
        let own = script.receive(.addrv2([self.address(9)]))
        #expect(own.announcements == [.addresses([self.address(9)])])
        let list = (1...3).map { self.address($0) }
        #expect(script.receive(.addr(list)).answers == [1: .addresses(Array(list.prefix(2)))])
        #expect(script.request(2, .addresses(limit: 2)).answers == [2: .refused(.unavailable)])
    }

    @Test("for addresses without an answer returns none")
    func noAddresses() {
        var script = SessionScript.established()
        _ = script.request(1, .addresses(limit: 2))
        #expect(script.request(2, .addresses(limit: 2)).answers == [2: .refused(.busy)])
        _ = script.wait(.seconds(119))
        #expect(script.wait(.seconds(1)).answers == [1: .addresses([])])
    }
}
