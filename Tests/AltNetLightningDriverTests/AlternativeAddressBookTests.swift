// SPDX-License-Identifier: MIT

import AltNetAlternativeAddresses
import AltNetBase
import AltNetKeys
import AltNetLightning
import AltNetLightningStore
import AltNetTestKit
import AltNetTransport
import Foundation
import Logging
import Synchronization
import Testing

@testable import AltNetLightningDriver
@testable import AltNetStreamDriver

@Suite("AlternativeAddressBook")
struct AlternativeAddressBookTests {
    private static func node(_ number: UInt8) throws -> NodeID {
        try #require(NodePrivateKey(bytes: [UInt8](repeating: 0, count: 31) + [number])).publicKey
    }

    @Test(
        "the record is on the disk when the message goes out, and lets in; what is lost is told again",
        .timeLimit(.minutes(5)))
    func order() async throws {
        let directory = TemporaryDirectory.make()
        let copy = TemporaryDirectory.make()
        let peer = try Self.node(1)
        let seen = Mutex<[Int]>([])
        let hasRoom = Mutex(false)
        let book = try AlternativeAddressBook(
            AlternativeAddresses.Settings(
                ourselves: try Self.node(9), allowed: [peer], channels: [peer: [UInt8](repeating: 1, count: 32)]),
            store: try AlternativeAddressStore(directory: directory), logsAddresses: false
        ) { message, node in
            // What a crash in this moment would leave.
            for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] {
                try? FileManager.default.removeItem(atPath: "\(copy)/\(name)")
                try? FileManager.default.copyItem(atPath: "\(directory)/\(name)", toPath: "\(copy)/\(name)")
            }
            let left = (try? AlternativeAddressStore(directory: copy).load())?.given ?? []
            seen.withLock { $0.append(left.count { $0.peer == node && $0.until == nil }) }
            return hasRoom.withLock { $0 }
        }
        let endpoint = AlternativeEndpoint(
            id: EndpointID("e"), address: try LightningAddress(text: "8.8.8.8:1"), isUp: true)
        await book.connected(peer)
        #expect(!book.admits(peer, at: EndpointID("e")))
        await book.update(endpoint)
        #expect(book.admits(peer, at: EndpointID("e")))
        #expect(!book.admits(try Self.node(2), at: EndpointID("e")))
        // The link had no room: it is sent with the next link.
        hasRoom.withLock { $0 = true }
        await book.connected(peer)
        await book.connected(peer)
        #expect(seen.withLock { $0 } == [1, 1])
        let counters = await book.snapshot().counters
        #expect(counters[.admitted] == 1 && counters[.turnedAway] == 2)
        _ = try await book.clear(peer)
        #expect(!book.admits(peer, at: EndpointID("e")))
        #expect(seen.withLock { $0 } == [1, 1, 0])
    }

    @Test("a disk that fails lets nobody in, sends nothing more and is told", .timeLimit(.minutes(5)), arguments: 0...2)
    func failure(_ writes: Int) async throws {
        let peer = try Self.node(1)
        let sent = Mutex(0)
        let left = Mutex(writes)
        let store = try AlternativeAddressStore(directory: TemporaryDirectory.make())
        let book = try AlternativeAddressBook(
            AlternativeAddresses.Settings(
                ourselves: try Self.node(9), allowed: [peer], channels: [peer: [UInt8](repeating: 1, count: 32)]),
            store: store, logsAddresses: false,
            apply: { changes in
                guard left.withLock({ $0 > 0 }) else { return AlternativeAddressStoreError(.system, "no space left") }
                left.withLock { $0 -= 1 }
                return (try? store.apply(changes)) == nil ? AlternativeAddressStoreError(.damaged, "it failed") : nil
            }
        ) { _, _ in
            sent.withLock { $0 += 1 }
            return true
        }
        await book.connected(peer)
        await book.update(
            AlternativeEndpoint(id: EndpointID("e"), address: try LightningAddress(text: "8.8.8.8:1"), isUp: true))
        // Three writes in all: the record, that it was sent, and the end of it.
        _ = try? await book.clear(peer)
        await book.connected(peer)
        #expect(await book.failed()?.code == .system)
        #expect(!book.admits(peer, at: EndpointID("e")))
        // Nothing goes out that is not recorded before.
        #expect(sent.withLock { $0 } == min(writes, 1))
        #expect(try store.load().given.count == min(writes, 1))
    }

    /// A book with an endpoint, for one peer.
    private static func book(
        _ peer: NodeID, clock: AlternativeAddressBook.Clock = .init(), logger: Logger = Logger(label: "test"),
        apply: AlternativeAddressBook.Apply? = nil, send: @escaping @Sendable () -> Bool
    ) async throws -> AlternativeAddressBook {
        let book = try AlternativeAddressBook(
            AlternativeAddresses.Settings(
                ourselves: try Self.node(9), allowed: [peer], channels: [peer: [UInt8](repeating: 1, count: 32)],
                takesPrivate: true),
            store: try AlternativeAddressStore(directory: TemporaryDirectory.make()), logsAddresses: false,
            clock: clock, logger: logger, apply: apply
        ) { _, _ in send() }
        await book.update(
            AlternativeEndpoint(id: EndpointID("e"), address: try LightningAddress(text: "8.8.8.8:1"), isUp: true))
        return book
    }

    @Test("says what a message changed of what peers gave, and what it confirmed", .timeLimit(.minutes(5)))
    func gifts() async throws {
        let peer = try Self.node(1)
        let book = try await Self.book(peer) { true }
        let (first, second) = (
            try LightningAddress(text: "8.8.4.4:9735"), try LightningAddress(text: "8.8.4.4:9736")
        )
        func say(_ address: LightningAddress?) async -> [AlternativeAddressBook.Gift] {
            let descriptor = address?.descriptor ?? []
            return await book.received(
                [UInt8](repeating: 1, count: 32) + [UInt8(descriptor.count)] + descriptor, from: peer)
        }
        // Said again, it is confirmed.
        for address in [first, first, second, nil] {
            #expect(await say(address) == [.init(peer: peer, address: address)])
        }
        #expect(await say(nil).isEmpty)
        #expect(await book.received([1, 2, 3], from: peer).isEmpty)
    }

    @Test("what the disk refuses to record fails, also when it refused before", .timeLimit(.minutes(5)))
    func refusedByTheDisk() async throws {
        let peer = try Self.node(1)
        let isFull = Mutex(false)
        let book = try await Self.book(peer) { _ in
            isFull.withLock { $0 } ? AlternativeAddressStoreError(.system, "no space left") : nil
        } send: {
            true
        }
        await book.connected(peer)
        #expect(try await book.send(to: peer).sent == [peer])
        isFull.withLock { $0 = true }
        let operations = AlternativeAddressOperations(book: book)
        for operation in ["alt-addr.clear", "alt-addr.send"] {
            let error = await #expect(throws: OperationFailure.self) {
                try await operations.perform(operation, Array(#"{"peer":"\#(peer)"}"#.utf8))
            }
            #expect(error?.description.contains("no space left") == true)
        }
    }

    @Test("a message that no link takes waits, and is told as waiting", .timeLimit(.minutes(5)))
    func waiting() async throws {
        let peer = try Self.node(1)
        let hasRoom = Mutex(true)
        let book = try await Self.book(peer) { hasRoom.withLock { $0 } }
        await book.connected(peer)
        hasRoom.withLock { $0 = false }
        var delivery = try await book.send(to: peer)
        #expect(delivery.sent == [] && delivery.waiting == [peer])
        delivery = try await book.clear(peer)
        #expect(delivery.sent == [] && delivery.waiting == [peer])
        hasRoom.withLock { $0 = true }
        delivery = try await book.send(to: nil)
        #expect(delivery.sent == [peer] && delivery.waiting == [])
    }

    @Test("a timer sends again what no link took, and does not keep the book", .timeLimit(.minutes(5)))
    func retries() async throws {
        let peer = try Self.node(1)
        let attempts = Mutex(0)
        let nanoseconds = Mutex<Int64>(0)
        let timers = Mutex<[(pause: Duration, body: @Sendable () -> Void)]>([])
        let clock = AlternativeAddressBook.Clock(
            now: {
                Moment(
                    wall: WallClockTime(seconds: 1), monotonic: .init(nanoseconds: nanoseconds.withLock { $0 }))
            }, after: { pause, body in timers.withLock { $0.append((pause, body)) } })
        var book: AlternativeAddressBook? = try await Self.book(peer, clock: clock) {
            attempts.withLock {
                $0 += 1
                return $0 > 3
            }
        }
        await book?.connected(peer)
        // Another link: it is tried at once, and the timer that was set first has nothing to do any more.
        await book?.connected(peer)
        #expect(timers.withLock { $0.map(\.pause) } == [.seconds(60)])
        nanoseconds.withLock { $0 += 60_000_000_000 }
        timers.withLock { $0[0].body() }
        #expect(await book?.snapshot().counters[.sent] == 0)
        #expect(timers.withLock { $0.map(\.pause) } == [.seconds(60), .seconds(60)])
        nanoseconds.withLock { $0 += 60_000_000_000 }
        timers.withLock { $0[1].body() }
        #expect(await book?.snapshot().counters[.sent] == 0)
        #expect(attempts.withLock { $0 } == 3)
        #expect(timers.withLock { $0.map(\.pause) } == [.seconds(60), .seconds(60), .seconds(240)])
        nanoseconds.withLock { $0 += 240_000_000_000 }
        timers.withLock { $0[2].body() }
        #expect(await book?.snapshot().counters[.sent] == 1)
        #expect(attempts.withLock { $0 } == 4 && timers.withLock { $0.count } == 3)
        weak let left = book
        book = nil
        try await Condition.wait("the book is gone") { left == nil }
    }

    @Test("a stranger's messages are all counted and hardly logged", .timeLimit(.minutes(5)))
    func flood() async throws {
        let lines = Lines()
        var logger = Logger(label: "test") { _ in lines }
        logger.logLevel = .trace
        let nanoseconds = Mutex<Int64>(0)
        let clock = AlternativeAddressBook.Clock(
            now: {
                Moment(
                    wall: WallClockTime(seconds: 1), monotonic: .init(nanoseconds: nanoseconds.withLock { $0 }))
            }, after: { _, _ in })
        let book = try await Self.book(try Self.node(1), clock: clock, logger: logger) { true }
        let stranger = try Self.node(2)
        for _ in 0..<1000 { await book.received([1, 2, 3], from: stranger) }
        for _ in 0..<1000 { #expect(!book.admits(stranger, at: EndpointID("e"))) }
        #expect(await book.snapshot().counters[.refused] == 1000)
        #expect(await book.snapshot().counters[.turnedAway] == 1000)
        #expect(lines.all.map { $0["unlogged"] } == ["0", "0"])
        nanoseconds.withLock { $0 += 60_000_000_000 }
        await book.received([1, 2, 3], from: stranger)
        #expect(lines.all.map { $0["unlogged"] } == ["0", "0", "999"])
    }

    @Test("peers with new keys cause no more lines than the bound")
    func limit() throws {
        var limit = AlternativeLogLimit()
        let nodes = try (1...200).map { try Self.node($0) }
        #expect(nodes.count { limit.line($0, now: .zero) != nil } == AlternativeLogLimit.maximumPeers)
        #expect(limit.line(nodes[0], now: .zero + .seconds(59)) == nil)
        let unlogged = UInt64(nodes.count - AlternativeLogLimit.maximumPeers + 1)
        #expect(limit.line(nodes[199], now: .zero + .seconds(60)) == unlogged)
        #expect(limit.line(nodes[0], now: .zero + .seconds(60)) == 0)
    }

    @Test(
        "an attempt that we broke off is no failure of the peer's, one that ended otherwise is",
        .timeLimit(.minutes(5)), arguments: [true, false])
    func brokenOff(_ isCancelled: Bool) async throws {
        let peer = try Self.node(1)
        let book = try await Self.book(peer) { true }
        let address = try LightningAddress(text: "8.8.4.4:1")
        await book.received([UInt8](repeating: 1, count: 32) + [7] + address.descriptor, from: peer)
        #expect(await book.routes(to: peer) == [.alternative(address), .original])
        let dial = AlternativeDial(book, peer, at: address)
        let link = Task {
            while !Task.isCancelled, isCancelled { await Task.yield() }
            dial.ended()
        }
        if isCancelled { link.cancel() }
        await link.value
        #expect(await book.snapshot().counters[.dialFailures] == (isCancelled ? nil : 1))
        #expect((await book.snapshot().received.first?.lastFailureAt == nil) == isCancelled)
        #expect(await book.routes(to: peer) == (isCancelled ? [.alternative(address), .original] : [.original]))
    }

    @Test(
        "a connection that fails after nobody wants it any more is no failure either, and no other address is tried",
        .timeLimit(.minutes(5)), arguments: [true, false])
    func brokenOffBeforehand(_ isCancelled: Bool) async throws {
        let peer = try Self.node(1)
        let book = try await Self.book(peer) { true }
        let address = try LightningAddress(text: "127.0.0.1:\(try FreePort.find())")
        await book.received([UInt8](repeating: 1, count: 32) + [7] + address.descriptor, from: peer)
        let original = try await StreamNetwork().listen(on: HostAndPort(host: "127.0.0.1", port: 0)) {
            (onEvent: { _ in }, onConnection: { _ in })
        }
        let remote = try #require(original.address)
        let dialer = LinkDialer(network: StreamNetwork(), proxy: nil) { _ in }
        let dialling = Task {
            while !Task.isCancelled, isCancelled { await Task.yield() }
            let made = try await AlternativeDialer(book: book, takesPrivate: true).connect(to: peer, dialer) {
                (try await dialer.connect(to: remote), nil)
            }
            made.connection.close()
        }
        if isCancelled { dialling.cancel() }
        let hasReachedOriginal = (try? await dialling.value) != nil
        #expect(hasReachedOriginal == !isCancelled)
        #expect(await book.snapshot().counters[.dialFailures] == (isCancelled ? nil : 1))
        await original.close()
    }
}

/// Keeps what is logged.
private final class Lines: LogHandler, Sendable {
    private let kept = Mutex<[[String: String]]>([])
    var all: [[String: String]] { self.kept.withLock { $0 } }

    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(
        level: Logger.Level, message: Logger.Message, metadata: Logger.Metadata?, source: String, file: String,
        function: String, line: UInt
    ) {
        self.kept.withLock { $0.append((metadata ?? [:]).mapValues { "\($0)" }) }
    }
}
