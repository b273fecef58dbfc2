// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDialing
import AltNetPeerRecords
import Synchronization
import Testing

@testable import AltNetLibp2pHost

/// Connections that succeed and fail when the test says so.
private final class FakeNetwork: Sendable {
    final class Link: Sendable {
        let address: String
        private let isClosedState = Mutex(false)

        init(_ address: String) { self.address = address }

        var isOpen: Bool { self.isClosedState.withLock { !$0 } }

        func close() { self.isClosedState.withLock { $0 = true } }
    }

    struct Refused: Error, CustomStringConvertible {
        let description = "connection refused"
    }

    private struct State {
        var waiting: [String: CheckedContinuation<Link, any Error>] = [:]
        var made: [Link] = []
        /// Answers although it was cancelled, as when the answer was on its way.
        var answersCancelled = false
    }

    private let state = Mutex(State())
    /// Addresses, in the order in which attempts began.
    let begun: AsyncStream<String>
    private let began: AsyncStream<String>.Continuation
    /// Addresses whose attempts were broken off.
    let ended: AsyncStream<String>
    private let end: AsyncStream<String>.Continuation
    /// Addresses that did not answer in time.
    let slow: AsyncStream<String>
    private let isSlow: AsyncStream<String>.Continuation

    init() {
        (self.begun, self.began) = AsyncStream.makeStream()
        (self.ended, self.end) = AsyncStream.makeStream()
        (self.slow, self.isSlow) = AsyncStream.makeStream()
    }

    var underWay: Set<String> { Set(self.state.withLock { $0.waiting.keys }) }
    var open: [String] { self.state.withLock { $0.made.filter(\.isOpen).map(\.address) } }

    func answerCancelled() { self.state.withLock { $0.answersCancelled = true } }

    func answer(_ address: String) {
        let link = Link(address)
        let continuation = self.state.withLock { state in
            let continuation = state.waiting.removeValue(forKey: address)
            // Nobody waits when the attempt has just been broken off.
            if continuation != nil { state.made.append(link) }
            return continuation
        }
        continuation?.resume(returning: link)
    }

    func refuse(_ address: String, with error: any Error = Refused()) {
        self.state.withLock { $0.waiting.removeValue(forKey: address) }?.resume(throwing: error)
    }

    private func connect(_ address: String) async throws -> Link {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                self.state.withLock { $0.waiting[address] = continuation }
                // Cancelled before there was anybody to tell.
                if Task.isCancelled { self.breakOff(address) } else { self.began.yield(address) }
            }
        } onCancel: {
            self.breakOff(address)
        }
    }

    private func breakOff(_ address: String) {
        if self.state.withLock({ $0.answersCancelled }) {
            self.answer(address)
        } else {
            self.state.withLock { $0.waiting.removeValue(forKey: address) }?.resume(throwing: CancellationError())
        }
        self.end.yield(address)
    }

    func dialer(_ settings: Dialing.Settings = Dialing.Settings()) -> PeerDialer<Link> {
        PeerDialer(
            settings, seed: 1,
            operations: .init(
                open: { _, address, _ in try await self.connect(address.description) }, close: { $0.close() },
                isOpen: { $0.isOpen },
                blame: { $0 is CancellationError || $0 is LinkFailure ? .local : .remote },
                onTooSlow: { self.isSlow.yield($1.description) })
        )
    }
}

@Suite("PeerDialer", .timeLimit(.minutes(5)))
struct PeerDialerTests {
    private let one = "/ip4/1.1.0.1/tcp/1"
    private let two = "/ip4/2.2.0.1/tcp/1"
    private let network = FakeNetwork()
    /// No second attempt unless the first one fails, whatever the machine is busy with.
    private let patient = Dialing.Settings(stagger: .seconds(600), attemptTimeout: .seconds(600))

    private func peer(_ number: UInt8) throws -> PeerID {
        try PeerID(bytes: [0x12, 0x20] + [UInt8](repeating: number, count: 32))
    }

    private func candidate(_ text: String, _ sources: AddressSources = .dht) throws -> DialCandidate {
        let time = WallClockTime(seconds: 0)
        let known = KnownAddress(
            address: try Multiaddress(text: text), sources: sources, firstSeen: time, lastSeen: time, expiry: nil)
        return DialCandidate(known, exposure: .clearnetAddress)
    }

    @Test("two callers share one attempt and its link, and a third gets it without any")
    func joined() async throws {
        let dialer = self.network.dialer(self.patient)
        var begun = self.network.begun.makeAsyncIterator()
        let peer = try self.peer(1)
        let candidates = [try self.candidate(self.one)]
        async let first = dialer.connection(to: peer, policy: .standard, candidates: candidates)
        async let second = dialer.connection(to: peer, policy: .standard, candidates: candidates)
        #expect(await begun.next() == self.one)
        self.network.answer(self.one)
        let links = try await (first, second)
        let third = try await dialer.connection(to: peer, policy: .standard, candidates: [])
        #expect(links.0 === links.1 && links.1 === third)
        #expect(await dialer.standing(with: peer, policy: .standard) === third)
        #expect(await dialer.standing(with: peer, policy: .certifiedOnly) == nil)
        // Nobody hands out what has ended.
        third.close()
        #expect(await dialer.standing(with: peer, policy: .standard) == nil)
        await #expect(throws: PeerUnreachable.self) {
            try await dialer.connection(to: peer, policy: .standard, candidates: [])
        }
    }

    @Test("a failure brings the next address, and all failures are in the error")
    func failures() async throws {
        let dialer = self.network.dialer(self.patient)
        var begun = self.network.begun.makeAsyncIterator()
        let peer = try self.peer(1)
        let candidates = [try self.candidate(self.one), try self.candidate(self.two)]
        let caller = Task { try await dialer.connection(to: peer, policy: .standard, candidates: candidates) }
        #expect(await begun.next() == self.one)
        self.network.refuse(self.one)
        #expect(await begun.next() == self.two)
        self.network.refuse(self.two)
        let error = await #expect(throws: PeerUnreachable.self) { try await caller.value }
        #expect(error?.failure == .unreachable(tried: 2, inBackOff: 0))
        #expect(error?.reasons == ["\(self.one): connection refused", "\(self.two): connection refused"])
        #expect(error?.isOfPeer == true)
        let again = await #expect(throws: PeerUnreachable.self) {
            try await dialer.connection(to: peer, policy: .standard, candidates: candidates)
        }
        guard case .inBackOff(addresses: 2, _)? = again?.failure else {
            Issue.record("\(String(describing: again))")
            return
        }
        // Who insists, dials nevertheless.
        async let insisting = dialer.connection(
            to: peer, policy: .standard, candidates: candidates, ignoresBackOff: true)
        #expect(await begun.next() == self.one)
        self.network.answer(self.one)
        #expect(try await insisting.address == self.one)
    }

    @Test("what fails because of our own limits is not said to be the peer's fault")
    func ownLimits() async throws {
        let dialer = self.network.dialer(self.patient)
        var begun = self.network.begun.makeAsyncIterator()
        let peer = try self.peer(1)
        let candidates = [try self.candidate(self.one)]
        let caller = Task { try await dialer.connection(to: peer, policy: .standard, candidates: candidates) }
        #expect(await begun.next() == self.one)
        self.network.refuse(self.one, with: LinkFailure.limit("too many"))
        let error = await #expect(throws: PeerUnreachable.self) { try await caller.value }
        #expect(error?.isOfPeer == false)
        let none = await #expect(throws: PeerUnreachable.self) {
            try await dialer.connection(to: try self.peer(2), policy: .standard, candidates: [])
        }
        #expect(none?.isOfPeer == true)
    }

    @Test("after the stagger the next address is tried beside the first, and the loser is broken off")
    func stagger() async throws {
        let dialer = self.network.dialer(Dialing.Settings(stagger: .milliseconds(1), attemptTimeout: .seconds(600)))
        var begun = self.network.begun.makeAsyncIterator()
        var ended = self.network.ended.makeAsyncIterator()
        let candidates = [try self.candidate(self.one), try self.candidate(self.two)]
        let peer = try self.peer(1)
        async let link = dialer.connection(to: peer, policy: .standard, candidates: candidates)
        #expect(await begun.next() == self.one)
        #expect(await begun.next() == self.two)
        self.network.answer(self.two)
        #expect(try await link.address == self.two)
        #expect(await ended.next() == self.one)
    }

    @Test("an attempt that takes too long is broken off, and said to have been too slow")
    func tooSlow() async throws {
        let dialer = self.network.dialer(
            Dialing.Settings(stagger: .seconds(600), attemptTimeout: .milliseconds(20)))
        var slow = self.network.slow.makeAsyncIterator()
        let peer = try self.peer(1)
        let error = await #expect(throws: PeerUnreachable.self) {
            try await dialer.connection(to: peer, policy: .standard, candidates: [try self.candidate(self.one)])
        }
        #expect(await slow.next() == self.one)
        #expect(error?.reasons == ["\(self.one): no answer in time"])
        #expect(error?.isOfPeer == true)
        #expect(self.network.open.isEmpty)
    }

    @Test("cancelling one of two callers leaves the attempt to the other, cancelling both breaks it off")
    func cancellation() async throws {
        let dialer = self.network.dialer(self.patient)
        var begun = self.network.begun.makeAsyncIterator()
        var ended = self.network.ended.makeAsyncIterator()
        let peer = try self.peer(1)
        let candidates = [try self.candidate(self.one)]
        let first = Task { try await dialer.connection(to: peer, policy: .standard, candidates: candidates) }
        let second = Task { try await dialer.connection(to: peer, policy: .standard, candidates: candidates) }
        #expect(await begun.next() == self.one)
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        #expect(self.network.underWay == [self.one])
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        #expect(await ended.next() == self.one)
        await dialer.shutdown()
        #expect(self.network.underWay.isEmpty)
    }

    @Test("what was connected although it was cancelled is closed")
    func late() async throws {
        self.network.answerCancelled()
        let dialer = self.network.dialer(self.patient)
        var begun = self.network.begun.makeAsyncIterator()
        let peer = try self.peer(1)
        let candidates = [try self.candidate(self.one)]
        let caller = Task { try await dialer.connection(to: peer, policy: .standard, candidates: candidates) }
        #expect(await begun.next() == self.one)
        caller.cancel()
        await #expect(throws: CancellationError.self) { try await caller.value }
        // Waits until the attempt has ended.
        await dialer.shutdown()
        #expect(self.network.open.isEmpty)
        #expect(await dialer.standing(with: peer, policy: .standard) == nil)
    }

    @Test("each of two callers gets a link that its own policy allows")
    func policies() async throws {
        let dialer = self.network.dialer(self.patient)
        var begun = self.network.begun.makeAsyncIterator()
        let peer = try self.peer(1)
        let plain = [try self.candidate(self.one)]
        let signed = [try self.candidate(self.two, .certified)]
        let tolerant = Task { try await dialer.connection(to: peer, policy: .standard, candidates: plain) }
        #expect(await begun.next() == self.one)
        let strict = Task { try await dialer.connection(to: peer, policy: .certifiedOnly, candidates: signed) }
        #expect(await begun.next() == self.two)
        self.network.answer(self.one)
        #expect(try await tolerant.value.address == self.one)
        self.network.answer(self.two)
        #expect(try await strict.value.address == self.two)
        #expect(self.network.open == [self.one, self.two])
    }

    @Test("addresses and links that come meanwhile serve those who wait")
    func meanwhile() async throws {
        let dialer = self.network.dialer(self.patient)
        var begun = self.network.begun.makeAsyncIterator()
        let peer = try self.peer(1)
        let candidates = [try self.candidate(self.one)]
        let first = Task { try await dialer.connection(to: peer, policy: .standard, candidates: candidates) }
        #expect(await begun.next() == self.one)
        #expect(await dialer.isDialling(peer))
        await dialer.add([try self.candidate(self.two)], of: peer)
        self.network.refuse(self.one)
        #expect(await begun.next() == self.two)
        let inbound = FakeNetwork.Link("/ip4/9.9.0.1/tcp/50000")
        await dialer.onOpened(inbound, with: peer, try self.candidate(inbound.address, .connection))
        #expect(try await first.value === inbound)
        await dialer.onEnded(inbound)
        #expect(await dialer.standing(with: peer, policy: .standard) == nil)
        #expect(await !dialer.isDialling(peer))
    }

    @Test("shutting down ends all who wait and all that is under way, and begins nothing more")
    func shutdown() async throws {
        let dialer = self.network.dialer(self.patient)
        var begun = self.network.begun.makeAsyncIterator()
        let peer = try self.peer(1)
        let candidates = [try self.candidate(self.one)]
        let caller = Task { try await dialer.connection(to: peer, policy: .standard, candidates: candidates) }
        #expect(await begun.next() == self.one)
        await dialer.shutdown()
        await #expect(throws: CancellationError.self) { try await caller.value }
        #expect(self.network.underWay.isEmpty && self.network.open.isEmpty)
        await #expect(throws: CancellationError.self) {
            try await dialer.connection(to: peer, policy: .standard, candidates: candidates)
        }
    }

    @Test("a thousand callers who come and go leave nothing behind", arguments: 1...4 as ClosedRange<UInt64>)
    func crowd(_ seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        let dialer = self.network.dialer(Dialing.Settings(stagger: .milliseconds(1), attempts: 8))
        let network = self.network
        let fates = Task {
            for await address in network.begun {
                if (address.utf8.reduce(0) { ($0 &* 31) &+ Int($1) }) % 3 == 0 {
                    network.refuse(address)
                } else {
                    network.answer(address)
                }
            }
        }
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<1_000 {
                let number = UInt8.random(in: 1...40, using: &random)
                let isCancelled = Int.random(in: 0..<3, using: &random) == 0
                let ports = (0..<3).map { _ in Int.random(in: 1...1_000, using: &random) }
                group.addTask {
                    let caller = Task {
                        try await dialer.connection(
                            to: try self.peer(number), policy: .standard,
                            candidates: try ports.map { try self.candidate("/ip4/1.\(number).0.1/tcp/\($0)") })
                    }
                    if isCancelled { caller.cancel() }
                    _ = await caller.result
                }
            }
        }
        await dialer.shutdown()
        fates.cancel()
        #expect(network.underWay.isEmpty)
        // What is open belongs to those who were given it: one link for each peer at most, but for those that ended
        // while another was made.
        for number in 1...40 as ClosedRange<UInt8> {
            let standing = await dialer.standing(with: try self.peer(number), policy: .standard)
            let open = network.open.filter { $0.hasPrefix("/ip4/1.\(number).0.1/") }
            #expect(open == (standing.map { [$0.address] } ?? []), "peer \(number)")
        }
    }
}
