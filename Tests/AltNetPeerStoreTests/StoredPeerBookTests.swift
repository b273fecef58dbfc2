// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetPeerRecords
import AltNetTestKit
import Dispatch
import Synchronization
import Testing

@testable import AltNetPeerStore

@Suite("StoredPeerBook")
struct StoredPeerBookTests {
    /// A store that counts transactions and waits where a test wants it to.
    private final class SlowStore: PeerStoring {
        let inner = MemoryPeerStore()
        let gate = DispatchSemaphore(value: 0)
        let transactions = Mutex<[Int]>([])
        let fails = Mutex(false)

        func learn(_ news: [PeerNews], now: WallClockTime) throws(PeerStoreError) -> [NewsOutcome] {
            self.transactions.withLock { $0.append(news.count) }
            self.gate.wait()
            if self.fails.withLock({ $0 }) { throw PeerStoreError(.system, "no space") }
            return try self.inner.learn(news, now: now)
        }

        func known(_ peers: [PeerID], now: WallClockTime) throws(PeerStoreError) -> [KnownPeer] {
            try self.inner.known(peers, now: now)
        }
        func signedPeerRecords(
            of peers: [PeerID], to network: LocalNetwork?, now: WallClockTime
        ) throws(PeerStoreError) -> [PeerHandout] { try self.inner.signedPeerRecords(of: peers, to: network, now: now) }
        func nodeRecords(of peers: [PeerID], now: WallClockTime) throws(PeerStoreError) -> [[UInt8]] {
            try self.inner.nodeRecords(of: peers, now: now)
        }
        func list(after peer: PeerID?, limit: Int, now: WallClockTime) throws(PeerStoreError) -> PeerPage {
            try self.inner.list(after: peer, limit: limit, now: now)
        }
        func forget(_ peer: PeerID) throws(PeerStoreError) -> Bool { try self.inner.forget(peer) }
        func forget(
            _ address: Multiaddress, of peer: PeerID, now: WallClockTime
        ) throws(PeerStoreError) -> Bool { try self.inner.forget(address, of: peer, now: now) }
        func counts() throws(PeerStoreError) -> PeerCounts { try self.inner.counts() }
        func sweep(limit: Int, now: WallClockTime) throws(PeerStoreError) -> Int {
            try self.inner.sweep(limit: limit, now: now)
        }
    }

    @Test("hosts learn and ask through it", arguments: StoreKind.allCases)
    func book(kind: StoreKind) async throws {
        let book: any PeerBook = StoredPeerBook(store: try kind.make()) { Sample.start }
        let key = try Sample.key(1)
        let outcomes = try await book.learn([
            try Sample.record(key, 2, [try Sample.address(1)]), try Sample.record(key, 1, [try Sample.address(1)]),
            .failed(try Sample.peer(5), try Sample.address(1)),
        ])
        #expect(outcomes.map(\.code) == [nil, .pastRecord, .unknownAddress])
        #expect(try await book.known([key.peerID]).first?.record?.record.sequence == 2)
        #expect(try await book.signedPeerRecords(of: [key.peerID], to: nil).first?.envelope != nil)
        #expect(try await book.learn([]).isEmpty)
        let tooMany = Array(repeating: PeerNews.failed(key.peerID, try Sample.address(9)), count: 1_001)
        await #expect(throws: PeerStoreError.self) { try await book.learn(tooMany) }
    }

    @Test("news that comes meanwhile is written together, and each gets its own answer")
    func batches() async throws {
        let store = SlowStore()
        let book = StoredPeerBook(store: store) { Sample.start }
        let address = try Sample.address(1)
        let first = Task { try await book.learn([Sample.told(try Sample.peer(0), [address])]) }
        try await Condition.wait("the first transaction", within: .seconds(300)) {
            store.transactions.withLock { $0.count } == 1
        }
        let others = (1...50).map { number in
            Task {
                try await book.learn([
                    Sample.told(try Sample.peer(number), [address]), .failed(try Sample.peer(1_000 + number), address),
                ])
            }
        }
        try await Condition.wait("all of them wait", within: .seconds(300)) { book.waiting == 101 }
        for _ in 0..<2 { store.gate.signal() }
        #expect(try await first.value == [.stored])
        for other in others { #expect(try await other.value.map(\.code) == [nil, .unknownAddress]) }
        #expect(store.transactions.withLock { $0 } == [1, 100])
        #expect(book.waiting == 0)
    }

    @Test("what is too much is refused at once, and a failure reaches everyone who waits for it")
    func overload() async throws {
        let store = SlowStore()
        let book = StoredPeerBook(store: store) { Sample.start }
        let address = try Sample.address(1)
        let peer = try Sample.peer(1)
        let batch = Array(repeating: Sample.told(peer, [address]), count: PeerBookLimits.maximumNews)
        let count = StoredPeerBook.maximumWaiting / batch.count
        let tasks = (0..<count).map { _ in Task { try await book.learn(batch) } }
        try await Condition.wait("the queue is full", within: .seconds(300)) {
            book.waiting == StoredPeerBook.maximumWaiting
        }
        #expect(try await book.learn([batch[0], batch[0]]).map(\.code) == [.overloaded, .overloaded])
        store.fails.withLock { $0 = true }
        for _ in 0..<count { store.gate.signal() }
        for task in tasks {
            await #expect(throws: PeerStoreError(.system, "no space")) { try await task.value }
        }
        #expect(book.waiting == 0)
        store.fails.withLock { $0 = false }
        store.gate.signal()
        #expect(try await book.learn([batch[0]]) == [.stored])
    }
}
