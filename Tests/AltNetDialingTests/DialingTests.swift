// SPDX-License-Identifier: MIT

import AltNetBase
import AltNetDialing
import AltNetPeerRecords
import Testing

@Suite("Dialing")
struct DialingTests {
    private let one = "/ip4/1.1.0.1/tcp/1"
    private let two = "/ip4/2.2.0.1/tcp/1"
    private let three = "/ip4/3.3.0.1/tcp/1"

    private func candidates(_ count: Int, _ sources: AddressSources = .dht) throws -> [DialCandidate] {
        try (1...count).map { try candidate("/ip4/\(1 + $0 / 250).\(1 + $0 % 250).0.1/tcp/1", sources) }
    }

    // MARK: - Attempts follow each other

    @Test("a newer record that drops an address takes its certificate away, from dials and from what stands")
    func dropped() throws {
        func stored(_ text: String, _ sources: AddressSources) throws -> DialCandidate {
            DialCandidate(try candidate(text, sources).known, exposure: .clearnetAddress, isStored: true)
        }
        let (kept, gone) = ("/ip4/1.0.0.1/tcp/1", "/ip4/2.0.0.1/tcp/1")
        var bench = Bench()
        let someone = try peer(1)
        bench.request(1, someone, [try stored(gone, [.certified, .dht])], .certifiedOnly)
        #expect(bench.addresses == [gone])
        // What callers say adds up, and the store's older word does not outlive its newer one.
        bench.add(someone, [try candidate(gone, .identify)])
        bench.take(
            bench.machine.onStored(someone, [try stored(kept, .certified), try stored(gone, .dht)], now: bench.now))
        #expect(bench.addresses == [kept])
        let attempt = try bench.connect(kept)
        #expect(bench.succeeded[1] == attempt)
        #expect(bench.machine.standing(with: someone, .certifiedOnly) == attempt)
        bench.take(bench.machine.onStored(someone, [try stored(kept, .dht)], now: bench.now))
        #expect(bench.machine.standing(with: someone, .certifiedOnly) == nil)
        #expect(bench.machine.standing(with: someone, .standard) == attempt)
        bench.take(bench.machine.onStored(someone, [try stored(kept, .certified)], now: bench.now))
        #expect(bench.machine.standing(with: someone, .certifiedOnly) == attempt)
        // The store does not know it at all any more.
        bench.take(bench.machine.onStored(someone, [], now: bench.now))
        #expect(bench.machine.standing(with: someone, .certifiedOnly) == nil)
        // A caller's word is not the store's to take back.
        bench.add(someone, [try candidate(kept, .certified)])
        bench.take(bench.machine.onStored(someone, [], now: bench.now))
        #expect(bench.machine.standing(with: someone, .certifiedOnly) == attempt)
    }

    @Test("the next address is tried after the stagger, and the first that answers ends the others")
    func stagger() throws {
        var bench = Bench()
        bench.request(1, try peer(1), try [candidate(self.one), candidate(self.two), candidate(self.three)])
        #expect(bench.addresses == [self.one])
        bench.wait(.milliseconds(249))
        #expect(bench.addresses == [self.one])
        bench.wait(.milliseconds(1))
        #expect(bench.addresses == [self.one, self.two])
        let attempt = try bench.connect(self.one)
        #expect(bench.succeeded == [1: attempt])
        #expect(bench.addresses.isEmpty && bench.closed.count == 1)
        bench.wait(.seconds(60))
        #expect(bench.addresses.isEmpty)
    }

    @Test("a failure brings the next address at once")
    func failure() throws {
        var bench = Bench()
        bench.request(1, try peer(1), try [candidate(self.one), candidate(self.two)])
        bench.wait(.milliseconds(10))
        try bench.fail(self.one)
        #expect(bench.addresses == [self.two])
        try bench.fail(self.two)
        #expect(bench.failed == [1: .unreachable(tried: 2, inBackOff: 0)])
        #expect(bench.machine.requestCount == 0 && bench.machine.attemptCount == 0)
    }

    @Test("families take turns from the first attempt on")
    func families() throws {
        var bench = Bench()
        let four = try ["1.1.0.1", "2.2.0.1"].map { try candidate("/ip4/\($0)/tcp/1") }
        let six = try ["2001:db8::1", "2001:db9::1"].map { try candidate("/ip6/\($0)/tcp/1") }
        bench.request(1, try peer(1), four + six)
        bench.wait(.seconds(1))
        #expect(bench.addresses.map { String($0.prefix(4)) } == ["/ip6", "/ip4", "/ip6", "/ip4"])
    }

    @Test("an attempt that takes too long has failed")
    func attemptTimeout() throws {
        var bench = Bench(Dialing.Settings(attemptTimeout: .seconds(10)))
        bench.request(1, try peer(1), [try candidate(self.one)])
        let attempt = bench.under[0].attempt
        bench.wait(.seconds(10))
        #expect(bench.closed == [attempt] && bench.tooSlow == [attempt])
        #expect(bench.failed == [1: .unreachable(tried: 1, inBackOff: 0)])
        // It answers after all, and is closed once more.
        bench.take(bench.machine.onConnected(attempt, now: bench.now))
        #expect(bench.closed == [attempt, attempt] && bench.tooSlow == [attempt])
    }

    @Test("a request ends in time, whatever is still under way")
    func requestTimeout() throws {
        var bench = Bench(Dialing.Settings(attemptTimeout: .seconds(10)))
        bench.request(1, try peer(1), try self.candidates(100))
        bench.wait(.milliseconds(59_999))
        #expect(bench.failed.isEmpty && bench.under.count == 4)
        bench.wait(.milliseconds(1))
        #expect(bench.failed == [1: .timedOut(tried: 21)])
        #expect(bench.under.isEmpty && bench.machine.attemptCount == 0)
    }

    @Test("a peer without addresses, and one whose addresses are all refused, are said apart")
    func nothing() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [])
        bench.request(2, try peer(1), try [candidate(self.one), candidate(self.two)], .certifiedOnly)
        #expect(bench.failed == [1: .noAddress, 2: .noneAllowed(known: 2)])
    }

    @Test("a peer's own id at the end of an address is taken off, and the address of another peer is left out")
    func ids() throws {
        var bench = Bench()
        let mine = try candidate("\(self.one)/p2p/\(try peer(1))")
        let foreign = try candidate("\(self.two)/p2p/\(try peer(2))")
        bench.request(1, try peer(1), [mine, foreign, try candidate(self.one)])
        bench.wait(.seconds(1))
        #expect(bench.addresses == [self.one])
        #expect(bench.machine.leftOut == 1)
    }

    // MARK: - Joining

    @Test("two who want the same peer share the attempts and the connection")
    func join() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one), try candidate(self.two)])
        bench.request(2, try peer(1), [try candidate(self.one)])
        #expect(bench.addresses == [self.one])
        let attempt = try bench.connect(self.one)
        #expect(bench.succeeded == [1: attempt, 2: attempt])
    }

    @Test("an address that arrives meanwhile is tried in its turn")
    func late() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one)])
        bench.wait(.milliseconds(100))
        bench.add(try peer(1), [try candidate(self.two)])
        bench.add(try peer(2), [try candidate(self.three)])
        #expect(bench.addresses == [self.one])
        bench.wait(.milliseconds(150))
        #expect(bench.addresses == [self.one, self.two])
        bench.add(try peer(1), [try candidate(self.three, .user)])
        try bench.fail(self.one)
        #expect(bench.addresses == [self.two, self.three])
    }

    @Test("each gets a connection that its own policy allows, and never one that only the other's would")
    func policies() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one, .user), try candidate(self.two, .dht)], .standard)
        bench.request(2, try peer(1), [try candidate(self.three, .certified)], .certifiedOnly)
        // The second does not wait for what it may not use.
        #expect(bench.addresses == [self.one, self.three])
        let first = try bench.connect(self.one)
        #expect(bench.succeeded == [1: first])
        #expect(bench.addresses == [self.three])
        let second = try bench.connect(self.three)
        #expect(bench.succeeded == [1: first, 2: second])
        #expect(bench.closed.isEmpty)
    }

    @Test("a connection that both policies allow is shared, whoever's attempt it was")
    func shared() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one, .user)], .standard)
        bench.request(2, try peer(1), [try candidate(self.three, .certified)], .certifiedOnly)
        let attempt = try bench.connect(self.three)
        #expect(bench.succeeded == [1: attempt, 2: attempt])
        #expect(bench.closed.count == 1 && bench.under.isEmpty)
    }

    @Test("what is learned about an address meanwhile decides who may have its connection")
    func merged() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one, .dht), try candidate(self.two, .dht)], .standard)
        bench.request(2, try peer(1), [try candidate(self.three, .certified)], .certifiedOnly)
        bench.add(try peer(1), [try candidate(self.one, .certified)])
        let attempt = try bench.connect(self.one)
        #expect(bench.succeeded == [1: attempt, 2: attempt])
    }

    @Test("an address that turns out to reveal more is dropped for those who do not allow that")
    func exposed() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one, exposure: .pseudonym)], .privateOnly)
        #expect(bench.addresses == [self.one])
        bench.add(try peer(1), [try candidate(self.one, exposure: .clearnetAddress)])
        #expect(bench.addresses.isEmpty && bench.closed.count == 1)
        #expect(bench.failed == [1: .noneAllowed(known: 1)])
    }

    // MARK: - Cancelling

    @Test("the last one who wants an attempt ends it by cancelling")
    func cancel() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one)])
        bench.request(2, try peer(1), [try candidate(self.two, .certified)], .certifiedOnly)
        bench.request(3, try peer(1), [])
        bench.cancel(1)
        #expect(bench.addresses == [self.one, self.two])
        bench.cancel(3)
        #expect(bench.addresses == [self.two])
        bench.cancel(2)
        #expect(bench.addresses.isEmpty && bench.closed.count == 2)
        #expect(bench.machine.requestCount == 0 && bench.machine.attemptCount == 0)
        // Twice is nothing, and a connection that comes too late is closed.
        bench.cancel(2)
        bench.take(bench.machine.onConnected(bench.closed[0], now: bench.now))
        #expect(bench.closed.count == 3 && bench.succeeded.isEmpty && bench.failed.isEmpty)
    }

    // MARK: - Connections that stand

    @Test("a connection that stands is given to later requests that allow it, until it is closed")
    func standing() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one)])
        let attempt = try bench.connect(self.one)
        bench.request(2, try peer(1), [])
        #expect(bench.succeeded[2] == attempt)
        bench.request(3, try peer(1), [], .certifiedOnly)
        #expect(bench.failed[3] == .noAddress)
        // It turns out that the peer signed the address.
        bench.request(4, try peer(1), [try candidate(self.one, .certified)], .certifiedOnly)
        #expect(bench.succeeded[4] == attempt)
        bench.machine.onClosed(attempt)
        #expect(bench.machine.connectionCount == 0)
        bench.request(5, try peer(1), [])
        #expect(bench.failed[5] == .noAddress)
    }

    @Test("a connection that the peer opened serves those whose policy allows it")
    func inbound() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one)])
        bench.request(2, try peer(1), [try candidate(self.two, .certified)], .certifiedOnly)
        let (attempt, directives) = bench.machine.onOpened(
            try peer(1), try candidate("/ip4/9.9.0.1/tcp/55555", .connection), now: bench.now)
        bench.take(directives)
        #expect(bench.succeeded == [1: attempt])
        #expect(bench.addresses == [self.two])
    }

    @Test("a waiting request takes a standing connection when its address turns out to be signed")
    func certifiedLater() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one)])
        let attempt = try bench.connect(self.one)
        bench.request(2, try peer(1), [try candidate(self.two, .certified)], .certifiedOnly)
        #expect(bench.addresses == [self.two])
        bench.add(try peer(1), [try candidate(self.one, .certified)])
        #expect(bench.succeeded == [1: attempt, 2: attempt] && bench.addresses.isEmpty)
    }

    @Test("addresses that come with a request are tried for all who wait, also when that request needs none")
    func servedAtOnce() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one)])
        let attempt = try bench.connect(self.one)
        bench.request(2, try peer(1), [try candidate(self.two, .certified)], .certifiedOnly)
        bench.request(3, try peer(1), [try candidate(self.three, .certified)])
        #expect(bench.succeeded[3] == attempt)
        bench.wait(.milliseconds(250))
        #expect(bench.addresses == [self.two, self.three])
    }

    // MARK: - Back-off

    @Test("an address that failed is left alone, longer each time, until it answers")
    func backOff() throws {
        var bench = Bench()
        var waits: [Duration] = []
        for round in 0..<12 as Range<UInt64> {
            bench.request(2 * round, try peer(1), [try candidate(self.one)])
            try bench.fail(self.one)
            bench.request(2 * round + 1, try peer(1), [try candidate(self.one)])
            guard case .inBackOff(1, let wait)? = bench.failed[2 * round + 1] else {
                Issue.record("not left alone in round \(round): \(String(describing: bench.failed[2 * round + 1]))")
                return
            }
            waits.append(wait)
            bench.wait(wait)
        }
        for (round, wait) in waits.enumerated() {
            let pause = min(Duration.seconds(5 << round), .seconds(600))
            #expect(wait >= pause / 2 && wait <= pause, "round \(round)")
        }
        bench.request(100, try peer(1), [try candidate(self.one)])
        bench.machine.onClosed(try bench.connect(self.one))
        #expect(bench.machine.backOffCount == 0)
    }

    @Test("back-off belongs to a peer, gives way to those who insist, and is not caused by our own troubles")
    func backOffLimits() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one)])
        try bench.fail(self.one)
        bench.request(2, try peer(2), [try candidate(self.one)])
        #expect(bench.addresses == [self.one])
        try bench.fail(self.one, .local)
        #expect(bench.machine.backOffCount == 1)
        bench.request(3, try peer(2), [try candidate(self.one)])
        #expect(bench.under.count == 1)
        bench.request(4, try peer(1), [try candidate(self.one)], ignoresBackOff: true)
        #expect(bench.under.map(\.peer) == [try peer(2), try peer(1)])
        #expect(bench.failed[2] == .unreachable(tried: 1, inBackOff: 0))
    }

    // MARK: - Limits

    @Test("peers take turns at the attempts when there are not enough for all")
    func fairness() throws {
        var bench = Bench(Dialing.Settings(stagger: .milliseconds(1), attempts: 4, attemptsPerPeer: 3))
        for number in 1...3 as ClosedRange<UInt8> {
            bench.request(UInt64(number), try peer(number), try self.candidates(100))
        }
        bench.wait(.milliseconds(50))
        var begun: [UInt8: Int] = [:]
        for _ in 0..<60 {
            #expect(bench.under.count == 4)
            for number in 1...3 as ClosedRange<UInt8> {
                let mine = try peer(number)
                #expect(bench.under.count { $0.peer == mine } <= 3)
            }
            let oldest = bench.under.removeFirst()
            begun[oldest.peer.bytes[2], default: 0] += 1
            bench.take(bench.machine.onFailed(oldest.attempt, .remote, now: bench.now))
            bench.wait(.milliseconds(2))
        }
        #expect(begun.values.allSatisfy { (19...21).contains($0) }, "\(begun)")
    }

    @Test("somebody with another policy is not kept waiting by those who came first")
    func fairnessWithinPeer() throws {
        var bench = Bench(Dialing.Settings(stagger: .milliseconds(1), attempts: 10, attemptsPerPeer: 2))
        bench.request(1, try peer(1), try self.candidates(100))
        bench.wait(.milliseconds(20))
        bench.request(2, try peer(1), [try candidate("/ip4/99.9.0.1/tcp/1", .certified)], .certifiedOnly)
        #expect(bench.under.count == 2)
        try bench.fail(bench.addresses[0])
        #expect(bench.addresses.contains("/ip4/99.9.0.1/tcp/1"))
    }

    @Test("requests, addresses, connections and failures are bounded")
    func bounds() throws {
        var bench = Bench()
        for id in 0...UInt64(Dialing.maximumRequestsPerPeer) {
            bench.request(id, try peer(1), [try candidate(self.one)])
        }
        #expect(bench.failed == [UInt64(Dialing.maximumRequestsPerPeer): .tooManyRequestsForPeer])
        for id in 100..<UInt64(100 + Dialing.maximumRequests) {
            bench.request(id, try peer(UInt8(2 + id % 200)), [try candidate(self.one)])
        }
        #expect(bench.machine.requestCount == Dialing.maximumRequests)
        #expect(bench.failed.values.count { $0 == .tooManyRequests } == Dialing.maximumRequestsPerPeer)
        #expect(bench.machine.attemptCount == 64)

        var failures = Bench()
        for id in 0..<5_000 as Range<UInt64> {
            failures.request(id, try peer(1), [try candidate("/ip4/1.1.\(id / 250).\(id % 250)/tcp/1")])
            failures.take(failures.machine.onFailed(failures.under.removeFirst().attempt, .remote, now: failures.now))
        }
        #expect(failures.machine.backOffCount == 4_096)

        for number in 0..<(Dialing.maximumConnections + 10) {
            let inbound = try candidate("/ip4/1.1.\(number / 250).\(number % 250)/tcp/1", .connection)
            _ = failures.machine.onOpened(try peer(UInt8(number % 250)), inbound, now: failures.now)
        }
        #expect(failures.machine.connectionCount == Dialing.maximumConnections)
    }

    @Test("hearsay fills a dial up, and does not keep out what the peer signed or the operator typed")
    func hearsay() throws {
        var bench = Bench()
        let first = try self.candidates(Dialing.maximumAddresses)
        bench.request(1, try peer(1), first)
        bench.add(try peer(1), try self.candidates(1_000))
        #expect(bench.machine.leftOut == UInt64(1_000 - Dialing.maximumAddresses))
        bench.add(try peer(1), [try candidate("/ip4/99.9.0.1/tcp/1", .certified)])
        bench.add(try peer(1), [try candidate("/ip4/99.8.0.1/tcp/1", .user)])
        bench.add(try peer(1), try self.candidates(1_000))
        bench.wait(.milliseconds(500))
        #expect(Set(bench.addresses.dropFirst()) == ["/ip4/99.9.0.1/tcp/1", "/ip4/99.8.0.1/tcp/1"])
    }

    @Test("the timer is set to the next thing that is due, and not again while that stays")
    func timer() throws {
        var bench = Bench()
        bench.request(1, try peer(1), [try candidate(self.one), try candidate(self.two)])
        #expect(bench.timer == .zero + .milliseconds(250))
        bench.timer = nil
        bench.add(try peer(1), [try candidate(self.three)])
        #expect(bench.timer == nil)
        bench.take(bench.machine.onTimer(now: .zero + .milliseconds(250)))
        #expect(bench.timer == .zero + .milliseconds(500))
    }
}
